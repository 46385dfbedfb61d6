"""Dead letters put back under the ids they had."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from dsmil.config import Settings
from dsmil.events.handling import Delivery, Outcome, Publish
from dsmil.events.streams import StreamName
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.services import runner as runner_module
from dsmil.services.ingest import Ingest
from dsmil.services.letters import read_letters
from dsmil.services.redrive import redrive, redriven_ids
from dsmil.services.runner import Runner
from dsmil.sources.suricata_eve import SuricataEve
from dsmil.testing.factories import make_event
from dsmil.testing.running import Running
from dsmil.testing.waiting import until

IN, OUT = StreamName.L3_IN, StreamName.L3_OUT


class Fragile:
    """Fails until it is mended."""

    name: ClassVar[str] = "l3-fragile"
    device_id: ClassVar[int] = 20
    reads: ClassVar[tuple[StreamName, ...]] = (StreamName.L3_IN,)
    writes: ClassVar[tuple[StreamName, ...]] = (StreamName.L3_OUT,)
    broken = True

    def handle(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        if self.broken:
            raise RuntimeError("not today")
        return [Publish(((OUT, delivery.event),)) for delivery in batch]


@pytest.fixture
def fragile(bus: RedisStreamsClient, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fragile]:
    monkeypatch.setattr(runner_module, "pause", lambda *_: 0.01)
    assert bus.connect()
    service = Fragile()
    with Running(Runner(service, settings)):
        yield service


def test_a_mended_service_gets_its_events_again_under_the_same_ids(
    bus: RedisStreamsClient, settings: Settings, fragile: Fragile
) -> None:
    event = make_event()
    bus.publish(IN, event)
    foreign = bus.client.xadd(IN, {"source_device": "16", "note": b"without an id"}).decode()
    until(lambda: read_letters(settings, 10)[1] == 2)
    fragile.broken = False
    results = [redrive(letter, bus) for letter in read_letters(settings, 10)[0]]
    assert all(not one.problem for one in results)
    until(lambda: bus.client.xlen(OUT) == 2)
    published = {found.event_id for _, found in bus.read(OUT)}
    assert published == {one.event_id for one in results}
    assert event.event_id in published
    first_reading = dict(bus.read(IN))[foreign].event_id
    assert first_reading in published, "an id that followed from the entry's place stays that id"
    assert redriven_ids(bus) == {one.letter_id for one in results}
    assert read_letters(settings, 10)[1] == 2, "letters are kept"


def test_what_is_still_no_event_stays_with_the_reason(
    bus: RedisStreamsClient, settings: Settings, fragile: Fragile
) -> None:
    bus.append(IN, [b"garbage"])
    until(lambda: read_letters(settings, 10)[1] == 1)
    (letter,) = read_letters(settings, 10)[0]
    result = redrive(letter, bus)
    assert "malformed_json" in result.problem
    assert bus.client.xlen(IN) == 1
    assert redriven_ids(bus) == set()
    assert fragile.broken


def test_a_line_of_a_file_is_put_back_as_its_feed_reads_it(
    bus: RedisStreamsClient, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = b'{"timestamp": "2026-01-01T00:00:00+0000", "event_type": "flow"}'
    file = tmp_path / "eve.json"
    file.write_bytes(line + b"\n")
    real = SuricataEve.parse
    monkeypatch.setattr(SuricataEve, "parse", lambda self, _: real(self, {}))  # an older version's bug
    assert Ingest(SuricataEve(), settings).run([str(file)]).dead == 1
    monkeypatch.undo()
    (letter,) = read_letters(settings, 10)[0]
    result = redrive(letter, bus)
    assert Ingest(SuricataEve(), settings).run([str(file)]).published == 1
    assert {event.event_id for _, event in bus.read(IN)} == {result.event_id}
