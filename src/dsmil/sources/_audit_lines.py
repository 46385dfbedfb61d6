"""Lines of an audit log -> events: records of one share node, time and serial, and may lie between others'."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from dsmil.sources._auditd import JOINED, LAST, header, type_name
from dsmil.sources._feed import MAX_RECORD_BYTES, RawRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Events that may be open at a time; the oldest is taken as whole when there is one more.
_MOST_OPEN: Final = 64
#: An event is whole when one of this many seconds later has begun: the kernel writes all its records at once.
_SETTLED_S: Final = 2.0
#: Within these node, type, time and serial stand.
_HEAD_BYTES: Final = 1024
#: What ``ausearch`` writes between events: a ruler, and the time for people.
_BETWEEN: Final = re.compile(rb"----\s*|time->.*")


class AuditLines:
    """Joins the records of each event; what is no audit record passes, so that it becomes a dead letter."""

    def __init__(self) -> None:
        """Begin without an open event."""
        #: (node, time, serial) -> its lines.
        self._open: dict[tuple[str, str, str], list[RawRecord]] = {}
        self._sizes: Counter[tuple[str, str, str]] = Counter()

    def add(self, line: RawRecord) -> Iterable[RawRecord]:
        """Return the events that are whole with this line."""
        if _BETWEEN.fullmatch(line.raw):
            return self.rest()
        head = header(line.raw[:_HEAD_BYTES].decode("utf-8", "replace"))
        if head is None:
            return (line,)
        kind, node, when = type_name(head), head["node"] or "", float(head["time"])
        # Of the same node: clocks of two nodes do not agree.
        late = [one for one in self._open if one[0] == node and when > float(one[1]) + _SETTLED_S]
        whole = [self._take(one) for one in late]
        if kind not in JOINED and not kind.startswith("UNKNOWN["):
            return (*whole, line)
        key = (node, head["time"], head["serial"])
        if self._sizes[key] + len(line.raw) > MAX_RECORD_BYTES and key in self._open:
            whole.append(self._take(key))
        if key in self._open or kind != "EOE":  # else its event ended with PROCTITLE
            self._open.setdefault(key, []).append(line)
            self._sizes[key] += len(line.raw) + 1
        if kind in LAST and key in self._open:
            whole.append(self._take(key))
        elif len(self._open) > _MOST_OPEN:
            whole.append(self._take(next(iter(self._open))))
        return whole

    def rest(self) -> Iterable[RawRecord]:
        """Return the events that may have more records to come."""
        return [self._take(key) for key in list(self._open)]

    def held(self) -> Sequence[RawRecord]:
        """Return the lines of open events; those of one event stay in order, and that is what counts."""
        return [line for lines in self._open.values() for line in lines]

    def _take(self, key: tuple[str, str, str]) -> RawRecord:
        lines = self._open.pop(key)
        del self._sizes[key]
        return RawRecord(b"\n".join(line.raw for line in lines), lines[0].place)
