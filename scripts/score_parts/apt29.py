"""The APT29 emulation of the ATT&CK Evaluations, day 1, as Zeek saw it: the TLS beacon, and what else was said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

from dsmil.detections.analytics import Analytics
from score_parts._analytics import events, findings
from score_parts._figure import Figure


class Apt29:
    """Every flow to the attacker's two addresses is hostile, every other one is not known to be."""

    name: ClassVar[str] = "apt29"

    def needs(self, fixtures: Path) -> bool:
        """Return whether the logs are there."""
        return (fixtures / "zeek_otrf_apt29_day1" / "GROUND_TRUTH.json").is_file()

    def figures(self, fixtures: Path) -> list[Figure]:
        """Put all logs of both sensors to one detector."""
        folder = fixtures / "zeek_otrf_apt29_day1"
        truth = json.loads((folder / "GROUND_TRUTH.json").read_text("utf-8"))
        beacon = max(truth["c2"], key=lambda one: int(one["connections"]))
        wanted = {"src": beacon["src"], "dest": f"{beacon['dst']}:{beacon['port']}"}
        found = findings(Analytics(), events(sorted(folder.rglob("*.log.gz"))))
        hits = [one for one in found if one.payload["matched"] == wanted]
        hostile = {
            one.correlation_id
            for one in found
            if {entity.value for entity in one.entities} & set(truth["attacker"])
        }
        others = {one.correlation_id for one in found} - hostile
        return [
            Figure(
                key="apt29.beacon",
                value=int(bool(hits)),
                meaning="1 when the beacon of 376 TLS connections is found",
            ),
            Figure(
                key="apt29.beacon_score",
                value=round(max((one.score or 0 for one in hits), default=0.0), 3),
                meaning="highest score of the findings about it; it lasts four minutes, which allows 0.8",
            ),
            Figure(
                key="apt29.other_findings",
                value=len(others),
                meaning="matters found that do not name the attacker's addresses",
                better="lower",
            ),
        ]


PART = Apt29
