"""A handler whose every answer depends on all that came before, and a process that dies at a chosen step of it."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from dsmil.config import Settings
from dsmil.events import ids
from dsmil.events.handling import Delivery, Outcome, Publish
from dsmil.events.model import Event
from dsmil.events.streams import StreamName
from dsmil.infrastructure.groups import GroupReader
from dsmil.infrastructure.memory_file import MemoryFile
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.services import remembering as remembering_module
from dsmil.services import runner as runner_module
from dsmil.services.runner import Runner
from dsmil.services.signalled import SignalEvent
from dsmil.testing.factories import make_event

LINK_BYTES = 32


def link(before: bytes, event: Event) -> bytes:
    return hashlib.sha256(before + event.event_id.encode()).digest()


class Chain:
    """Each output names a digest of all events so far, in their order: what goes wrong shows in all later ones."""

    name: ClassVar[str] = "l4-chain"
    device_id: ClassVar[int] = 25
    reads: ClassVar[tuple[StreamName, ...]] = (StreamName.L3_OUT, StreamName.L4_IN)
    writes: ClassVar[tuple[StreamName, ...]] = (StreamName.L4_OUT,)

    def __init__(self) -> None:
        self.digest = bytes(LINK_BYTES)
        self.poison = ""
        self.deadly = ""

    def handle(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        return [self.one(delivery.event) for delivery in batch]

    def one(self, event: Event) -> Outcome:
        if event.payload.get("do") == "raise":
            raise RuntimeError("poison")
        if event.payload.get("do") == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        self.digest = link(self.digest, event)
        found = event.replace(
            event_id=ids.derived_id(event.ts, self.digest), payload={"chain": self.digest.hex()}, source_layer=4
        )
        return Publish(((StreamName.L4_OUT, found),))

    def memory(self) -> bytes:
        return self.digest

    def recall(self, memory: bytes) -> None:
        if len(memory) != LINK_BYTES:
            raise ValueError(f"{len(memory)} bytes are no digest")
        self.digest = memory


def dying(owner: Any, name: str, times: int, *, before: bool = False) -> None:
    """Make the process die at the n-th call of a function, before or after it did its work."""
    original: Callable[..., Any] = getattr(owner, name)
    left = [times]

    def call(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if before and left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **kwargs)
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, call)


STEPS: dict[str, Callable[[int], None]] = {
    "handled": lambda n: dying(Chain, "one", n),
    "counted": lambda n: dying(GroupReader, "count_attempt", n),
    "before settling": lambda n: dying(GroupReader, "begin", n, before=True),
    "settlement sent": lambda n: dying(GroupReader, "begin", n),
    "after settling": lambda n: dying(GroupReader, "finish", n),
    "before keeping": lambda n: dying(MemoryFile, "save", n, before=True),
    "draft written": lambda n: dying(Path, "replace", n, before=True),
    "after keeping": lambda n: dying(MemoryFile, "save", n),
    "recalled": lambda n: dying(Chain, "recall", n),
}


def chained(bus: RedisStreamsClient) -> list[str]:
    """Return what the chain must have said, from what the streams hold."""
    return sorted(links(bus))  # outputs of one batch come stream by stream


def links(bus: RedisStreamsClient) -> list[str]:
    """Return it in the order in which it was to be said."""
    entries = []
    for rank, stream in enumerate(Chain.reads):
        entries += [(_order(i), rank, event) for i, event in bus.read(stream, count=10_000)]
    digest, said = bytes(LINK_BYTES), []
    for _, _, event in sorted(entries, key=lambda one: one[:2]):
        if not event.payload.get("do"):
            digest = link(digest, event)
            said.append(digest.hex())
    return said


def _order(entry_id: str) -> tuple[int, ...]:
    return tuple(map(int, entry_id.split("-")))


def said(bus: RedisStreamsClient) -> list[str]:
    return sorted(event.payload["chain"] for _, event in bus.read(StreamName.L4_OUT, count=10_000))


def feed(bus: RedisStreamsClient, number: int) -> None:
    """Add events to both streams, in turns of different length."""
    for n in range(number):
        events = [make_event({"n": f"{n}-{m}"}) for m in range(1 + n % 4)]
        bus.publish_many(Chain.reads[n % 2], events)


def main(step: str, times: str) -> None:
    """Run the chain until SIGTERM, or death at the n-th passing of a step."""
    remembering_module.KEEP_EVERY_S = 0.0  # type: ignore[misc]
    remembering_module._SHARE = 0  # type: ignore[misc]
    runner_module._MEMORY_BATCH = 20  # type: ignore[misc]
    if step:
        STEPS[step](int(times))
    stop, runner = SignalEvent(), Runner(Chain(), Settings.from_env())
    signal.signal(signal.SIGTERM, lambda *_: stop.set())

    def wake() -> None:
        stop.wait()
        runner.wake()

    threading.Thread(target=wake, daemon=True).start()
    runner.run(stop)


if __name__ == "__main__":
    main(*sys.argv[1:])
