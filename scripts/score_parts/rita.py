"""RITA's own test captures: a command-and-control host behind a proxy, among hosts that are benign."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar, Final

from dsmil.analytics.beat import FEWEST
from dsmil.detections.analytics import Analytics
from score_parts._analytics import beacon_means, beacon_scores, events, findings
from score_parts._figure import Figure

#: Captures beside the proxy's, in which nothing is known to be hostile.
_OTHERS: Final = ("json_with_all_fields", "open_conns/open", "open_conns/closed")
#: RITA's makers call a score of this beacon right within so much.
_HOSTILE_FROM: Final = 0.9


class Rita:
    """Every pair of all captures is scored, those too quiet to be published included."""

    name: ClassVar[str] = "rita"

    def needs(self, fixtures: Path) -> bool:
        """Return whether the captures are there."""
        return (fixtures / "zeek_activecm_rita" / "GROUND_TRUTH.json").is_file()

    def figures(self, fixtures: Path) -> list[Figure]:
        """Put each capture to a detector of its own."""
        folder = fixtures / "zeek_activecm_rita"
        truth = json.loads((folder / "GROUND_TRUTH.json").read_text("utf-8"))["proxy"]
        (hostile,) = (one for one in truth if one["beacon_score"] >= _HOSTILE_FROM)
        key = f"{hostile['src']} > {hostile['fqdn']}"
        scores: dict[str, float] = {}
        published: dict[str, float] = {}
        means: dict[str, float] = {}
        for name in ("proxy", *_OTHERS):
            detector = Analytics()
            logs = sorted(log for log in (folder / "test_data" / name).iterdir() if ".log" in log.name)
            for found in findings(detector, events(logs)):
                if found.payload["rule"]["id"] == "beacon":
                    matched = found.payload["matched"]
                    pair = f"{matched['src']} > {matched['dest']}"
                    published[pair] = max(found.score or 0.0, published.get(pair, 0.0))
            means = beacon_means(detector) | means
            for pair, score in beacon_scores(detector, FEWEST).items():
                scores[pair] = max(score, scores.get(pair, 0.0))
        apart = [abs(means.get(f"{one['src']} > {one['fqdn']}", 0) - one["beacon_score"]) for one in truth]
        benign = [max(scores.get(pair, 0), published.get(pair, 0)) for pair in {*scores, *published} - {key}]
        return [
            Figure(
                key="rita.c2_score",
                value=round(scores.get(key, 0.0), 3),
                meaning="beacon score of the command-and-control host behind a proxy, at the end of the capture",
            ),
            Figure(
                key="rita.c2_published",
                value=round(published.get(key, 0.0), 3),
                meaning="highest score of the findings about it",
            ),
            Figure(
                key="rita.reference_difference",
                value=round(max(apart), 3),
                meaning="how far the mean of the four figures is from what RITA's makers assert, at most",
                better="lower",
            ),
            Figure(
                key="rita.benign_pairs",
                value=len(benign),
                meaning="benign pairs of four check-ins or more",
                better="",
            ),
            Figure(
                key="rita.benign_max",
                value=round(max(benign, default=0.0), 3),
                meaning="highest beacon score among them",
                better="lower",
            ),
        ]


PART = Rita
