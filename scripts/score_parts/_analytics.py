"""What the parts about analytics share: logs through the product's feeds to the product's detector."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from pathlib import Path

from dsmil.analytics.beat import FEWEST
from dsmil.analytics.scorers.beacon import Beacon
from dsmil.detections.analytics import Analytics
from dsmil.events.handling import Delivery, Publish
from dsmil.events.model import Event
from dsmil.events.streams import StreamName
from dsmil.sources._feed import Source
from dsmil.sources.zeek_json import ZeekJson
from dsmil.sources.zeek_tsv import ZeekTsv
from dsmil.testing.feeds import read_file


def events(logs: Iterable[Path]) -> Iterator[Event]:
    """Yield the events of Zeek logs, file by file, as ``dsmil ingest`` makes them."""
    for log in logs:
        yield from read_file(_feed(log), log).events


def _feed(log: Path) -> Source:
    with gzip.open(log) if log.suffix == ".gz" else log.open("rb") as file:
        return ZeekTsv() if file.read(1) == b"#" else ZeekJson()


def findings(detector: Analytics, given: Iterable[Event]) -> list[Event]:
    """Return what the detector publishes for events."""
    batch = [Delivery(stream=StreamName.L3_IN, entry_id=f"{n}-0", event=event) for n, event in enumerate(given, 1)]
    answers = detector.handle(batch)
    return [found for answer in answers if isinstance(answer, Publish) for _, found in answer.outputs]


def beacon_scores(detector: Analytics, fewest: int) -> dict[str, float]:
    """Return what each pair of host and destination comes to that has so many check-ins, published or not."""
    return {signal.key: signal.score for signal in _beacon(detector).scores(fewest)}


def beacon_means(detector: Analytics) -> dict[str, float]:
    """Return the mean of the four figures of each pair, over the last day: RITA's score, without what is ours."""
    verdicts = {key: pair.verdict(FEWEST) for key, pair in _beacon(detector).state.pairs.items()}
    return {key: verdict.beat.mean for key, verdict in verdicts.items() if verdict is not None}


def _beacon(detector: Analytics) -> Beacon:
    beacon = detector.scorers[Beacon.name]
    if not isinstance(beacon, Beacon):
        raise TypeError(f"the analytic {Beacon.name} is a {type(beacon).__name__}")
    return beacon
