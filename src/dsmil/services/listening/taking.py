"""Taking the records of one push: all of them are at the broker when it returns, as events or as dead letters."""

from __future__ import annotations

import queue
import time
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from dsmil.errors import EventInvalid, NotAllowed, Unavailable
from dsmil.events import codec
from dsmil.services.letters import source_letter
from dsmil.services.listening.bodies import Refused
from dsmil.services.listening.courier import Courier
from dsmil.sources._feed import RawRecord, Reader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dsmil.config import Settings
    from dsmil.services.listening.tallies import Tallies
    from dsmil.sources._feed import Source

#: Pushes published at a time.
COURIERS: Final = 2
#: Entries published in one round trip.
_BATCH: Final = 1000
#: When a client may try again while the broker takes nothing, seconds.
RETRY_S: Final = 5.0
_MAX_DETAIL: Final = 300


class Taker:
    """Publishes pushes from several threads, each with a connection of its own."""

    def __init__(self, name: str, settings: Settings, tallies: Tallies) -> None:
        """Nothing is connected yet."""
        self.couriers = [Courier(name, settings, tallies) for _ in range(COURIERS)]
        self._free: queue.SimpleQueue[Courier] = queue.SimpleQueue()
        for courier in self.couriers:
            self._free.put(courier)

    @property
    def problem(self) -> str:
        """What is wrong with the broker, in words; empty while it takes everything."""
        return next((courier.problem for courier in self.couriers if courier.problem), "")

    def take(self, source: Source, records: list[bytes], client: str) -> dict[str, Any]:
        """Publish records; return what became of each. Raises Refused (503) when the broker does not take them.

        A record that was refused is a dead letter. After 503 some may be there: sent again they have the same
        ids.
        """
        bodies, letters, rejected = _events(source, records, client)
        courier = self._free.get()
        try:
            for start in range(0, len(bodies), _BATCH):
                courier.publish(bodies[start : start + _BATCH], [])
            courier.publish([], letters)
        except Unavailable as exc:
            courier.problem = str(exc)
            courier.bus.disconnect()
            barred = isinstance(exc, NotAllowed)
            hint = "the broker refuses this user" if barred else "the broker takes nothing now"
            raise Refused(503, hint, RETRY_S) from exc
        else:
            courier.problem = ""
        finally:
            self._free.put(courier)
        return {"records": len(records), "accepted": len(bodies), "rejected": rejected}

    def ask_again(self) -> None:
        """Find out whether a broker that was away is back."""
        for _ in self.couriers:
            courier = self._free.get()
            try:
                if courier.problem:
                    courier.ping()
                    courier.problem = ""
            except Unavailable as exc:
                courier.problem = str(exc)
                courier.bus.disconnect()
            finally:
                self._free.put(courier)

    def close(self) -> None:
        """Close the connections."""
        for courier in self.couriers:
            courier.bus.disconnect()


def _events(
    source: Source, records: list[bytes], client: str
) -> tuple[list[bytes], list[dict[str, bytes]], list[dict[str, Any]]]:
    reader, now = Reader(source), time.time()  # a reader of its own: the same push gives the same ids
    bodies: list[bytes] = []
    letters: list[dict[str, bytes]] = []
    rejected: list[dict[str, Any]] = []
    given = (RawRecord(raw, f"http://{client}#{index}") for index, raw in enumerate(records))
    whole = chain.from_iterable(map(reader.records, given))
    for record in chain(whole, _rest(reader)):
        try:
            bodies.append(codec.encode_bounded(reader.event(record, now)))
        except EventInvalid as exc:
            letters.append(source_letter(record, exc, source.name, now))
            index = int(record.place.rpartition("#")[2])
            rejected.append({"index": index, "cause": exc.cause, "detail": exc.detail[:_MAX_DETAIL]})
    return bodies, letters, rejected


def _rest(reader: Reader) -> Iterator[RawRecord]:
    """Return what waits for more lines, asked once all are read."""
    yield from reader.rest()
