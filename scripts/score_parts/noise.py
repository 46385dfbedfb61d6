"""How much the analytics say on a network at work: Zeek's logs of a competition of attackers and defenders."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from dsmil.detections.analytics import Analytics
from score_parts._analytics import events, findings
from score_parts._figure import Figure


class Noise:
    """All findings count, right or wrong: nobody has said which are right."""

    name: ClassVar[str] = "noise"

    def needs(self, fixtures: Path) -> bool:
        """Return whether the logs are there."""
        return (fixtures / "zeek_brimdata_zed" / "zeek-json").is_dir()

    def figures(self, fixtures: Path) -> list[Figure]:
        """Put all logs to one detector, in order of time, as a live sensor writes them."""
        logs = sorted((fixtures / "zeek_brimdata_zed" / "zeek-json").glob("*.json.gz"))
        given = sorted(events(logs), key=lambda event: event.ts)
        hours = (given[-1].ts - given[0].ts) / 3600
        found = findings(Analytics(), given)
        matters = {one.correlation_id for one in found}
        return [
            Figure(key="noise.records", value=len(given), meaning="records of the competition", better=""),
            Figure(key="noise.hours", value=round(hours, 3), meaning="hours they cover", better=""),
            Figure(
                key="noise.per_hour",
                value=round(len(found) / hours, 3),
                meaning="findings an hour, revisions counted",
                better="lower",
            ),
            Figure(key="noise.matters", value=len(matters), meaning="different matters", better="lower"),
        ]


PART = Noise
