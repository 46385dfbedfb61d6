"""The books: what became of every entry of a stream, for each group that reads it.

Everything that was added is settled, in work, or unread. Another sum means that an entry was lost, or counted
twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import redis

from dsmil.infrastructure.broker_picture import stream_shape
from dsmil.infrastructure.connection import translated
from dsmil.infrastructure.groups import ledger_key

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Ledger fields that count something beside the entries themselves.
BESIDE: Final = frozenset({"outputs"})


class Book(msgspec.Struct, frozen=True, kw_only=True):
    """One group on one stream, all figures of one moment."""

    stream: str
    group: str
    added: int
    pending: int
    #: None when the broker cannot tell: entries were deleted from the middle.
    unread: int | None
    #: Outcome -> entries.
    ledger: dict[str, int]

    @property
    def settled(self) -> int:
        """Entries that are done with."""
        return sum(count for field, count in self.ledger.items() if field not in BESIDE)

    @property
    def imbalance(self) -> int | None:
        """Added - settled - in work - unread: zero, or something is wrong; None when it cannot be told."""
        if self.unread is None:
            return None
        return self.added - self.settled - self.pending - self.unread


def read_books(client: redis.Redis, places: Iterable[tuple[str, str]]) -> list[Book]:
    """Return the books of (stream, group) pairs, read at one moment; groups that are not there are left out.

    Read one after another, the figures of a busy stream would never agree.
    """
    wanted = list(places)
    streams = list(dict.fromkeys(stream for stream, _ in wanted))
    with translated("reading the books"):
        pipeline = client.pipeline(transaction=True)
        for stream in streams:
            pipeline.xinfo_stream(stream)
            pipeline.xinfo_groups(stream)
        for stream, group in wanted:
            pipeline.hgetall(ledger_key(stream, group))
        replies = pipeline.execute(raise_on_error=False)
        for reply in replies:
            if isinstance(reply, Exception) and "no such key" not in str(reply):
                raise reply
    shapes: dict[str, Any] = {}
    for i, stream in enumerate(streams):
        shapes[stream] = _shape(stream, replies[2 * i], replies[2 * i + 1])
    found = []
    for (stream, name), ledger in zip(wanted, replies[2 * len(streams) :], strict=True):
        row = next((g for g in shapes[stream]["groups"] if g["name"] == name), None)
        if row is not None:
            found.append(
                Book(
                    stream=stream,
                    group=name,
                    added=shapes[stream]["entries_added"],
                    pending=row["pending"],
                    unread=row["lag"],
                    ledger={k.decode(): int(v) for k, v in ledger.items()},
                )
            )
    return found


def _shape(stream: str, info: Any, groups: Any) -> Any:  # noqa: ANN401 - plain replies, and a tree of values
    gone = isinstance(info, redis.RedisError) or isinstance(groups, redis.RedisError)
    return stream_shape(stream, None if gone else info, groups)
