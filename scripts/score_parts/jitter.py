"""Synthetic beacons whose interval varies: the score over jitter, and its curve as a picture."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Final

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
_DAY: Final = 86_400
_START: Final = 1_780_000_000
_KEY: Final = "10.0.0.7 > 203.0.113.9:443"


def logs(interval: int, jitter: float, seed: int) -> Iterator[Event]:
    """Yield the connections of a beacon, read from Zeek's JSON; ``jitter`` above 1 means: at random, as people."""
    chance, ts, reader = random.Random(f"{interval} {seed}"), float(_START), Reader(ZeekJson())
    while ts < _START + _DAY:
        sent = 300 + chance.randrange(20)
        line = (
            f'{{"_path":"conn","ts":{ts:.6f},"id.orig_h":"10.0.0.7","id.resp_h":"203.0.113.9","id.resp_p":443,'
            f'"proto":"tcp","conn_state":"SF","orig_bytes":{sent},"resp_bytes":500}}'
        )
        yield reader.event(RawRecord(line.encode(), "synthetic"), ts)
        drawn = chance.uniform(-1, 1)
        ts += chance.expovariate(1 / interval) if jitter > 1 else interval * (1 + jitter * drawn)


class Jitter:
    """The lowest score of all intervals and seeds at each jitter."""

    name: ClassVar[str] = "jitter"

    def needs(self, fixtures: Path) -> bool:  # noqa: ARG002 - it makes its own logs
        """Return True: the beacons are made here."""
        return True

    def figures(self, fixtures: Path) -> list[Figure]:  # noqa: ARG002
        """Score every beacon at the end of its day, and whether it was published."""
        lowest: dict[float, float] = {}
        missed = 0
        for jitter in JITTERS:
            for interval in INTERVALS:
                for seed in range(_EACH):
                    detector = Analytics()
                    found = findings(detector, logs(interval, jitter, seed))
                    missed += not found
                    score = beacon_scores(detector, 4).get(_KEY, 0.0)
                    lowest[jitter] = min(score, lowest.get(jitter, 1.0))
        at_random = 0.0
        for interval in INTERVALS:
            for seed in range(_EACH):
                detector = Analytics()
                findings(detector, logs(interval, 2.0, seed))
                at_random = max(at_random, beacon_scores(detector, 4).get(_KEY, 0.0))
        curve = [
            Figure(
                key=f"jitter.score_{jitter * 100:02.0f}",
                value=round(score, 3),
                meaning=f"lowest beacon score at {jitter * 100:.0f} % jitter",
            )
            for jitter, score in lowest.items()
        ]
        return [
            *curve,
            Figure(key="jitter.missed", value=missed, meaning="beacons of which nothing was said", better="lower"),
            Figure(
                key="jitter.random_score",
                value=round(at_random, 3),
                meaning="highest score of connections at random, for comparison",
                better="lower",
            ),
        ]


PART = Jitter
