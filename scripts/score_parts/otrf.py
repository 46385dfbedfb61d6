"""Windows captures of single attack techniques: in how many a finding names the very technique."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from dsmil.detections._rules import RuleKeeper
from dsmil.sources.windows import Windows
from score_parts._figure import Figure
from score_parts._findings import findings, public_rules


class Otrf:
    """Captures of Security-Datasets, each labelled by its authors with one technique."""

    name: ClassVar[str] = "otrf"

    def needs(self, fixtures: Path) -> bool:
        """Return whether the captures and the public rules are there."""
        captures = (fixtures / "otrf_security_datasets" / "GROUND_TRUTH.json").is_file()
        return captures and (fixtures / "sigma" / "sigma_rules_master.tar.gz").is_file()

    def figures(self, fixtures: Path) -> list[Figure]:
        """Put each capture to our rules alone, and to ours beside the public ones."""
        folder = fixtures / "otrf_security_datasets"
        truth = json.loads((folder / "GROUND_TRUTH.json").read_text("utf-8"))
        truth = [capture for capture in truth if capture["id"].startswith("SDWIN-")]
        own, events, made = _named(truth, folder, RuleKeeper([]))
        with public_rules(fixtures) as place:
            # The folder is gone at the end: the rules are not looked at again.
            both, _, _ = _named(truth, folder, RuleKeeper([place], clock=lambda: 0.0))
        alone = f"the same with our own rules alone, which make {made} findings of {events} events"
        return [
            Figure(
                key="otrf.captures",
                value=len(truth),
                meaning="Windows captures of one attack technique each",
                better="",
            ),
            Figure(key="otrf.technique_named", value=both, meaning="of them a finding names the very technique"),
            Figure(key="otrf.technique_named_own", value=own, meaning=alone),
        ]


def _named(truth: list[dict[str, Any]], folder: Path, keeper: RuleKeeper) -> tuple[int, int, int]:
    """Return captures whose technique is named, events, and findings."""
    named = events = made = 0
    for capture in truth:
        (path,) = folder.rglob(f"{capture['file']}*")
        found = findings(keeper, Windows(), path)
        named += any(set(capture["techniques"]) & set(finding.techniques) for finding in found)
        events += capture["events"]
        made += len(found)
    return named, events, made


PART = Otrf
