"""The engine on the public rules and their samples: SigmaHQ's own regression data."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dsmil.sigma.loading import Loaded, load
from dsmil.sigma.sources import read
from dsmil.testing.archive import unpack

#: Public rules that cannot be used as they are, and why: file name -> words of the reason.
UNUSABLE = {
    "win_security_adcs_certighost_cdc_chase_request.yml": "%known_cdcs%",
    "win_security_adcs_certighost_cert_issued_via_chase.yml": "%known_cdcs%",
}
Hits = list[dict[str, Any]]


@pytest.fixture(scope="module")
def corpus(fixtures: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Loaded, float]:
    folder = tmp_path_factory.mktemp("corpus")
    unpack(fixtures / "sigma" / "sigma_rules_master.tar.gz", Path(folder))
    start = time.process_time()
    loaded = load([folder])
    return loaded, time.process_time() - start


@pytest.fixture(scope="module")
def samples(fixtures: Path) -> list[tuple[str, list[dict[str, Any]], list[list[str]]]]:
    folder = fixtures / "sigma"
    pairs: Hits = json.loads((folder / "REFERENCE_HITS.json").read_text("utf-8"))
    return [
        (pair["rule_id"], list(_objects((folder / pair["event"]).read_text("utf-8"))), pair["hits_per_event"])
        for pair in pairs
    ]


def _objects(text: str) -> Iterator[dict[str, Any]]:
    decoder, at = json.JSONDecoder(), 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        value, at = decoder.raw_decode(text, at)
        yield value


def test_all_public_rules_but_a_listed_few_compile_in_time(corpus: tuple[Loaded, float]) -> None:
    loaded, seconds = corpus
    assert loaded.files == 3754
    assert {Path(problem.path).name for problem in loaded.problems} == set(UNUSABLE)
    for problem in loaded.problems:
        assert UNUSABLE[Path(problem.path).name] in problem.reason
    assert len(loaded.rules.rules) + len(loaded.problems) == 3754
    assert seconds < 10


def test_each_rule_hits_its_own_sample_and_hits_are_those_of_the_reference(
    corpus: tuple[Loaded, float], samples: list[tuple[str, list[dict[str, Any]], list[list[str]]]]
) -> None:
    rules = corpus[0].rules
    own, different = 0, []
    for rule_id, records, reference in samples:
        hits = [_hits(rules, record) for record in records]
        own += any(rule_id in found for found in hits)
        different += [
            (rule_id, set(found) ^ set(wanted))
            for found, wanted in zip(hits, reference, strict=True)
            if set(found) != set(wanted)
        ]
    assert own == len(samples) == 151
    assert different == []


def _hits(rules: Any, record: dict[str, Any]) -> list[str]:
    known = read("windows", record)
    assert known is not None
    return [rule.about.id for rule in rules.match(*known)]


def test_the_index_answers_as_each_rule_by_itself(
    corpus: tuple[Loaded, float], samples: list[tuple[str, list[dict[str, Any]], list[list[str]]]]
) -> None:
    rules = corpus[0].rules
    asked = 0
    for _, records, _ in samples[::3]:
        for record in records[:3]:
            known = read("windows", record)
            assert known is not None
            view, origin = known
            one_by_one = [rule for rule in rules.rules if origin.includes(rule.source) and rule.test(view)]
            assert sorted(rule.about.id for rule in rules.match(view, origin)) == sorted(
                rule.about.id for rule in one_by_one
            )
            asked += len(rules.index(origin).candidates(view))
    assert asked > 0
