"""What is to become of entries, and its form for the server-side function ``dsmil_settle``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from dsmil.events.model import Severity
from dsmil.infrastructure.entries import Entry
from dsmil.infrastructure.packed import argument

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Entries of one server-side call: above this the server would stop the whole bus for too long.
MAX_SETTLE: Final = 500
#: Bytes of outputs after which a call is cut as well.
MAX_SETTLE_BYTES: Final = 8 * 1024 * 1024
#: Entry id, verdict and body of the usual case: one output.
_ONE_OUTPUT: Final = b"$%d\r\n%b\r\n%b$%d\r\n%b\r\n"
#: Entry id, and what to count it as: the other usual case.
_DROP: Final = b"$%d\r\n%b\r\n$1\r\nD\r\n%b"


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What to do with one entry, in the terms of the server-side function."""

    entry: Entry
    #: ``P`` publish, ``D`` drop, ``X`` dead letter.
    kind: str
    #: For ``P``: stream and body of each output.
    outputs: Sequence[tuple[str, bytes]] = ()
    #: For ``D``: the ledger field to count.
    counter: str = ""
    #: For ``X``: fields of the dead letter.
    letter: Sequence[tuple[str, bytes]] = ()
    #: The event's id, once it is known to be one.
    event_id: str = ""
    #: For ``P``: (layer, severity) of each output, for the counts by layer.
    layers: Sequence[tuple[int, Severity]] = ()


class Settled(msgspec.Struct, frozen=True):
    """What the server did."""

    done: int
    #: Entry ids that were left alone: no longer ours, or behind the error.
    missed: frozenset[str]
    #: Error of the output that stopped the batch, or empty.
    error: str

    def and_then(self, more: Settled) -> Settled:
        """Return what was done by both; the first error is the one that is told."""
        return Settled(self.done + more.done, self.missed | more.missed, self.error or more.error)


def packed_settlement(
    keys: list[str], group: str, consumer: str, verdicts: Sequence[Verdict]
) -> tuple[list[bytes], int]:
    """Return the call that settles these entries as packed arguments, and how many they are.

    ``keys`` are those that every call has; the streams of the outputs are added to them.
    """
    places: dict[str, int] = {}
    packed_places: dict[str, bytes] = {}
    counters: dict[str, bytes] = {}
    packed = [b""]
    count = 0
    for verdict in verdicts:
        entry_id = verdict.entry.entry_id.encode()
        for target, _ in verdict.outputs:
            if target not in places:
                keys.append(target)
                places[target] = len(keys)
                packed_places[target] = argument(f"P{len(keys)}")
        if len(verdict.outputs) == 1:
            ((target, body),) = verdict.outputs
            packed.append(_ONE_OUTPUT % (len(entry_id), entry_id, packed_places[target], len(body), body))
            count += 3
        elif verdict.kind == "D":
            counter = counters.get(verdict.counter)
            if counter is None:
                counter = counters[verdict.counter] = argument(verdict.counter)
            packed.append(_DROP % (len(entry_id), entry_id, counter))
            count += 3
        else:
            more = _arguments(verdict, places)
            packed += map(argument, more)
            count += len(more)
    first, last = verdicts[0].entry.entry_id, verdicts[-1].entry.entry_id
    head = ["FCALL", "dsmil_settle", str(len(keys)), *keys, group, consumer, first, last]
    packed[0] = b"".join(map(argument, head))
    return packed, count + len(head)


def _arguments(verdict: Verdict, index: dict[str, int]) -> list[str | bytes]:
    """Return the arguments of one entry in the general form: several outputs, none, or a dead letter."""
    outputs = [(str(index[target]), body) for target, body in verdict.outputs]
    pairs = outputs if verdict.kind == "P" else verdict.letter
    return [verdict.entry.entry_id, verdict.kind, str(len(pairs)), *(part for pair in pairs for part in pair)]


def parts(verdicts: Sequence[Verdict]) -> Iterator[Sequence[Verdict]]:
    """Cut a batch where a single call would hold the server for too long."""
    if len(verdicts) <= MAX_SETTLE and _bytes(verdicts) <= MAX_SETTLE_BYTES:
        yield verdicts
        return
    start, size = 0, 0
    for i, verdict in enumerate(verdicts):
        weight = _bytes([verdict])
        if i > start and (i - start >= MAX_SETTLE or size + weight > MAX_SETTLE_BYTES):
            yield verdicts[start:i]
            start, size = i, 0
        size += weight
    if verdicts[start:]:
        yield verdicts[start:]


def _bytes(verdicts: Sequence[Verdict]) -> int:
    return sum([len(body) for verdict in verdicts for _, body in verdict.outputs or verdict.letter])
