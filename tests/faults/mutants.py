"""Six deliberate mistakes, put into a process from outside: the suite must catch every one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from dsmil.events.streams import EVENT_FIELD, StreamName
from dsmil.infrastructure import adding, connection, groups, redis_streams
from dsmil.infrastructure.connection import translated
from dsmil.infrastructure.groups import GroupReader, ledger_key
from dsmil.infrastructure.settling import Settled, Verdict
from dsmil.services.runner import Runner


def ack_first() -> None:
    """Acknowledge, then publish: a kill in between loses what was acknowledged."""

    def settle(self: GroupReader, stream: StreamName, verdicts: Sequence[Verdict]) -> None:
        self._client.xack(stream, self.group, *(v.entry.entry_id for v in verdicts))
        pipeline = self._client.pipeline(transaction=False)
        _put_out(pipeline, verdicts)
        _count(pipeline, ledger_key(stream, self.group), verdicts)
        pipeline.execute()

    _settle_by(settle)


def multi() -> None:
    """MULTI/EXEC: when an output fails at run time, the acknowledgement is carried out all the same."""

    def settle(self: GroupReader, stream: StreamName, verdicts: Sequence[Verdict]) -> None:
        pipeline = self._client.pipeline(transaction=True)
        _put_out(pipeline, verdicts)
        pipeline.xack(stream, self.group, *(v.entry.entry_id for v in verdicts))
        _count(pipeline, ledger_key(stream, self.group), verdicts)
        pipeline.execute()

    _settle_by(settle)


def _settle_by(settle: Callable[[GroupReader, StreamName, Sequence[Verdict]], None]) -> None:
    """Put another settlement in the place of the server-side call."""

    def begin(self: GroupReader, work: Sequence[tuple[StreamName, Sequence[Verdict]]]) -> list[Settled]:
        with translated("settling"):
            for stream, verdicts in work:
                settle(self, stream, verdicts)
        return [Settled(len(verdicts), frozenset(), "") for _, verdicts in work]

    def finish(_self: GroupReader, call: list[Settled]) -> list[Settled]:
        return call

    setattr(GroupReader, "begin", begin)  # noqa: B010 - another signature
    setattr(GroupReader, "finish", finish)  # noqa: B010 - as well


def _put_out(pipeline: Any, verdicts: Sequence[Verdict]) -> None:
    for verdict in verdicts:
        for target, body in verdict.outputs:
            pipeline.xadd(target, {EVENT_FIELD: body})


def _count(pipeline: Any, ledger: str, verdicts: Sequence[Verdict]) -> None:
    """Keep the ledger as the product does: the mistake must show in the ids, not in a ledger that is not kept."""
    names = {"P": "published", "X": "dead"}
    for field, number in Counter(names.get(v.kind, v.counter) for v in verdicts).items():
        pipeline.hincrby(ledger, field, number)


def no_own_read() -> None:
    """Never read what this consumer already holds: entries of a killed process stay pending."""
    setattr(Runner, "_take_up_own", lambda _self, *, alone: None)  # noqa: ARG005, B010 - another signature


def from_now_on() -> None:
    """Make groups at the end of the stream: what came before the first start is never read."""
    groups.FIRST_ENTRY = "$"  # type: ignore[misc]


def default_retries() -> None:
    """Let the client library send again by itself: a broker that was only slow takes it twice."""

    def default(*_: object) -> Retry:
        return Retry(ExponentialWithJitterBackoff(base=0.01, cap=1), 10)

    class Again(adding.Sent):
        def __init__(self, client: Any, stream: str, bodies: Iterable[bytes]) -> None:
            self._again = client, stream, list(bodies)

        def ids(self) -> list[bytes]:
            found: list[bytes] = default().call_with_retry(lambda: adding.Sent(*self._again).ids(), lambda _: None)
            return found

    setattr(connection, "Retry", default)  # noqa: B010
    setattr(redis_streams, "Sent", Again)  # noqa: B010


def no_fence() -> None:
    """Settle without asking who holds the entries: a process that woke up late publishes again."""
    source = groups.library_source()
    without = source.replace("local active = mine[id] and failed == ''", "local active = failed == ''")
    if without == source:
        raise RuntimeError("functions.lua has changed: this mutant changes nothing")
    whole = groups.library_source
    groups.library_source = lambda name="dsmil": without if name == "dsmil" else whole(name)  # type: ignore[assignment]


MUTANTS: Final[dict[str, Callable[[], None]]] = {
    mutant.__name__: mutant for mutant in (ack_first, multi, no_own_read, from_now_on, default_retries, no_fence)
}
