"""SigmaHQ's rules on SigmaHQ's own samples: each rule finds its sample, and no hit is unexplained."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Final

from dsmil.sigma.engine import RuleSet
from dsmil.sigma.loading import load
from dsmil.sigma.sources import read
from dsmil.testing.archive import unpack
from score_parts._figure import Figure

#: Rule id -> why its hits differ from those of the reference. Empty: none do.
EXPLAINED: Final[dict[str, str]] = {}


class Sigma:
    """Samples and reference hits of the public Sigma rules."""

    name: ClassVar[str] = "sigma"

    def needs(self, fixtures: Path) -> bool:
        """Return whether the samples are there."""
        return (fixtures / "sigma" / "REFERENCE_HITS.json").is_file()

    def figures(self, fixtures: Path) -> list[Figure]:
        """Load all rules and put every sample to them."""
        folder = fixtures / "sigma"
        with tempfile.TemporaryDirectory() as place:
            unpack(folder / "sigma_rules_master.tar.gz", Path(place))
            loaded = load([Path(place)])
        pairs = json.loads((folder / "REFERENCE_HITS.json").read_text("utf-8"))
        own, records, different = 0, 0, []
        for pair in pairs:
            text = (folder / pair["event"]).read_text("utf-8")
            hits = [_hits(loaded.rules, record) for record in _objects(text)]
            own += any(pair["rule_id"] in found for found in hits)
            records += len(hits)
            for found, wanted in zip(hits, pair["hits_per_event"], strict=True):
                different += sorted(found ^ set(wanted))
        explained = sum(rule in EXPLAINED for rule in different)
        return [
            Figure(key="sigma.corpus", value=loaded.files, meaning="public rules", better=""),
            Figure(key="sigma.compiled", value=len(loaded.rules.rules), meaning="of them can be used"),
            Figure(key="sigma.rules", value=len(pairs), meaning="rules that come with a sample", better=""),
            Figure(key="sigma.matched", value=own, meaning="of them find their own sample"),
            Figure(key="sigma.records", value=records, meaning="records of all samples", better=""),
            Figure(
                key="sigma.extra_hits",
                value=len(different),
                meaning="hits that the reference has and we have not, or the other way round",
                better="lower",
            ),
            Figure(
                key="sigma.extra_hits_explained",
                value=1.0 if not different else explained / len(different),
                meaning="share of them that is explained rule by rule (1 when there are none)",
            ),
        ]


def _hits(rules: RuleSet, record: dict[str, Any]) -> set[str]:
    known = read("windows", record)
    return {rule.about.id for rule in rules.match(*known)} if known is not None else set()


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of a sample; some files hold several, one after the other."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text.rstrip()):
        at += len(text[at:]) - len(text[at:].lstrip())
        value, at = decoder.raw_decode(text, at)
        yield value


PART = Sigma
