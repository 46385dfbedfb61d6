"""Synthetic beacons whose interval varies: the score over jitter, and its curve as a picture."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Final

from dsmil.analytics.beat import FEWEST
from dsmil.detections.analytics import Analytics
from dsmil.events.model import Event
from dsmil.sources._feed import RawRecord, Reader
from dsmil.sources.zeek_json import ZeekJson
from score_parts._analytics import beacon_scores, findings
from score_parts._figure import Figure

#: Share by which an interval may be longer or shorter, evenly distributed.
JITTERS: Final = tuple(step / 20 for step in range(11))
#: Seconds between check-ins, and how many beacons of each; one day each.
INTERVALS: Final = (60, 300, 1800)
_EACH: Final = 3
#: Instead of a jitter: at random, as people.
AT_RANDOM: Final = 2.0
_DAY: Final = 86_400
_START: Final = 1_780_000_000
_KEY: Final = "10.0.0.7 > 203.0.113.9:443"


def logs(interval: int, jitter: float, seed: int) -> Iterator[Event]:
    """Yield the connections of a beacon, read from Zeek's JSON."""
    chance, ts, reader = random.Random(f"{interval} {seed}"), float(_START), Reader(ZeekJson())
    while ts < _START + _DAY:
        sent = 300 + chance.randrange(20)
        line = (
            f'{{"_path":"conn","ts":{ts:.6f},"id.orig_h":"10.0.0.7","id.resp_h":"203.0.113.9","id.resp_p":443,'
            f'"proto":"tcp","conn_state":"SF","orig_bytes":{sent},"resp_bytes":500}}'
        )
        yield reader.event(RawRecord(line.encode(), "synthetic"), ts)
        drawn = chance.uniform(-1, 1)
        ts += chance.expovariate(1 / interval) if jitter == AT_RANDOM else interval * (1 + jitter * drawn)


def lowest(interval: int, jitter: float) -> tuple[float, int]:
    """Return the lowest score of beacons of a kind at the end of their day, and of how many nothing was said."""
    scores, missed = [], 0
    for seed in range(_EACH):
        detector = Analytics()
        missed += not findings(detector, logs(interval, jitter, seed))
        scores.append(beacon_scores(detector, FEWEST).get(_KEY, 0.0))
    return min(scores), missed


def at_random() -> float:
    """Return the highest score of connections that come at random."""
    scores = [0.0]
    for interval in INTERVALS:
        for seed in range(_EACH):
            detector = Analytics()
            findings(detector, logs(interval, AT_RANDOM, seed))
            scores.append(beacon_scores(detector, FEWEST).get(_KEY, 0.0))
    return max(scores)


class Jitter:
    """The lowest score of all intervals and seeds at each jitter."""

    name: ClassVar[str] = "jitter"

    def needs(self, fixtures: Path) -> bool:  # noqa: ARG002 - it makes its own logs
        """Return True: the beacons are made here."""
        return True

    def figures(self, fixtures: Path) -> list[Figure]:  # noqa: ARG002
        """Score every beacon at the end of its day, and whether it was published."""
        found = {jitter: [lowest(interval, jitter) for interval in INTERVALS] for jitter in JITTERS}
        curve = [
            Figure(
                key=f"jitter.score_{jitter * 100:02.0f}",
                value=round(min(score for score, _ in results), 3),
                meaning=f"lowest beacon score at {jitter * 100:.0f} % jitter, of a day of check-ins",
            )
            for jitter, results in found.items()
        ]
        missed = sum(number for results in found.values() for _, number in results)
        return [
            *curve,
            Figure(key="jitter.missed", value=missed, meaning="of 99 beacons, nothing was said", better="lower"),
            Figure(
                key="jitter.random_score",
                value=round(at_random(), 3),
                meaning="highest score of connections at random, for comparison",
                better="lower",
            ),
        ]


PART = Jitter
