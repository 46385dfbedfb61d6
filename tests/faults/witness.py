"""Somebody who notes every entry as it comes by, for scenarios in which the janitor removes them later.

It reads with a group of its own, so the janitor also has to wait for a reader that it does not know.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterable
from typing import Any, Final

import redis
from tests.faults.checker import Copy, _copy
from tests.faults.rig import Rig

GROUP: Final = "witness"
_PAGE: Final = 2000


class Witness(threading.Thread):
    """Notes the copies of some streams while the ``with`` block lasts; inside it, the oracle asks the notes."""

    def __init__(self, rig: Rig, streams: Iterable[str] = ("L3_OUT", "SOC_EVENTS")) -> None:
        super().__init__(name="witness", daemon=True)
        self.seen: dict[str, list[Copy]] = {stream: [] for stream in streams}
        self.done = False
        self._rig = rig
        self._over = threading.Event()
        self._client = redis.Redis(unix_socket_path=str(rig.broker.socket), protocol=2, socket_timeout=30)
        for stream in self.seen:
            self._client.xgroup_create(stream, GROUP, id="0", mkstream=True)

    def run(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(redis.RedisError):
                self._note(200)

    def _note(self, block_ms: int) -> int:
        places: Any = dict.fromkeys(self.seen, ">")
        reply: Any = self._client.xreadgroup(GROUP, "w", places, count=_PAGE, block=block_ms, noack=True)
        for stream, entries in reply or ():
            notes = self.seen[stream.decode()]
            for _, fields in entries:
                notes.append(_copy(json.loads(fields[b"event"])))
        return sum(len(entries) for _, entries in reply or ())

    def __enter__(self) -> Witness:
        self.start()
        plain = self._rig.client
        self._rig.client = Lens(plain, witness=self)  # type: ignore[assignment]
        return self

    def __exit__(self, *_exc: object) -> None:
        self._over.set()
        self.join()
        self._client.close()

    def finish(self) -> None:
        """Note what is still unread."""
        self._over.set()
        self.join()
        while self._note(1):
            pass
        self.done = True
        for stream in self.seen:
            self._client.xgroup_destroy(stream, GROUP)


class Lens:
    """A client through which the oracle looks: notes for trimmed streams, without what is wrong by plan."""

    def __init__(
        self, client: Any, *, witness: Witness | None = None, without: Iterable[int] = (), letters: int = 0
    ) -> None:
        self._client = client
        self._witness = witness
        #: Copy numbers that are not looked at.
        self.without = set(without)
        #: Dead letters that are as they should be.
        self.letters = letters

    def xrange(self, stream: str, min: str = "-", count: int | None = None) -> Any:  # noqa: A002 - the driver's name
        if self._witness is None or stream not in self._witness.seen:
            rows: Any = self._client.xrange(stream, min=min, count=count)
            if not self.without:
                return rows
            # None of them may be dropped from a page: its length says whether there is another.
            pairs = [(row, row[1].get(b"event")) for row in rows]
            kept = [
                row for row, body in pairs if body is None or _copy(json.loads(body)).number not in self.without
            ]
            return (
                kept
                if len(rows) < (count or len(rows) + 1)
                else kept + self.xrange(stream, f"({rows[-1][0].decode()}", None)
            )
        if min == "-" and not self._witness.done:
            self._witness.finish()
        notes = self._witness.seen[stream]
        if self.without:  # else every page would cost a walk through all of them
            notes = [copy for copy in notes if copy.number not in self.without]
        first = 0 if min == "-" else int(min.lstrip("(").partition("-")[0]) + 1
        return [
            (b"%d-0" % n, {b"event": json.dumps({"event_id": c.event_id, "payload": {"copy": c.number}}).encode()})
            for n, c in enumerate(notes[first : first + (count or len(notes))], first)
        ]

    def xlen(self, stream: str) -> int:
        length = int(self._client.xlen(stream))
        return length - self.letters if stream == "DEAD_LETTERS" else length

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


__all__ = ["Lens", "Witness"]
