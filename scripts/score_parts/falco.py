"""Kubernetes audit events of the Falco project, put to our own rules in Sigma form.

Only those expectations count that rest on Falco's default rules; the others need lists of what is allowed, which a
user would write. Our rules say in their own words what the default ones are documented to find.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar, Final

from dsmil.detections._rules import RuleKeeper
from dsmil.sources.k8s_audit import K8sAudit
from score_parts._figure import Figure
from score_parts._findings import findings

#: What an expectation rests on when it rests on the default rules.
DEFAULT: Final = ["falco_rules.yaml", "k8s_audit_rules.yaml"]
#: Rule that an expectation names -> id of ours that means the same.
OURS: Final = {
    "Attach/Exec Pod": "58be2e7a-c290-4960-b153-80fc309fa2f8",
    "ClusterRole With Pod Exec Created": "40c0ffe1-f29d-4f77-b076-524cf42259b5",
    "ClusterRole With Wildcard Created": "ba09eccb-1f10-4ca6-b730-1a24935b04b2",
    "ClusterRole With Write Privileges Created": "6249e624-0ba2-4750-b8f1-a7b109172efb",
    "Create Privileged Pod": "b63f5e70-137b-4f2a-aa03-78d878ddf367",
    "Create Sensitive Mount Pod": "2fcab6bb-a3e2-4227-817b-e2cf746bf6c9",
    "K8s Namespace Deleted": "fd190d73-595f-4004-928b-c7ed6933558d",
    "K8s Role/Clusterrole Created": "e16f0e73-b766-4ba8-8031-df879f467fe2",
    "K8s Role/Clusterrole Deleted": "a0d6f37f-fece-49a8-ac1d-83ab49fcd84b",
    "K8s Role/Clusterrolebinding Created": "d4cef527-7b8c-4a4a-be63-818bd6f97814",
    "K8s Role/Clusterrolebinding Deleted": "a7bed568-d8c8-4f50-9148-52f830b98f7a",
    "K8s Secret Deleted": "fde5967a-f5b4-4cca-bc60-b464466d84a8",
    "K8s Service Created": "32e93447-ab0a-4834-bbc7-4f04137a006c",
    "K8s Serviceaccount Created": "14e31ff1-150d-410b-a5c3-7a72b5ea448a",
    "K8s Serviceaccount Deleted": "1d3d1e26-1e2d-49bd-9579-b11f47ede830",
    "Pod Created in Kube Namespace": "9322c8bd-1efd-40fd-81b3-5e4563022958",
    "Service Account Created in Kube Namespace": "c70dfebd-9ae9-4772-9353-d67fc497cc67",
    "System ClusterRole Modified/Deleted": "359e40b7-f6c2-49ff-9684-8b773a711e49",
}


class Falco:
    """Expectations that rest on default rules: findings to be made, and records to be silent about."""

    name: ClassVar[str] = "falco"

    def needs(self, fixtures: Path) -> bool:
        """Return whether the events are there."""
        return (fixtures / "falco" / "K8S_EXPECTED.json").is_file()

    def figures(self, fixtures: Path) -> list[Figure]:
        """Put the events of each expectation to the rules that come with the product."""
        folder, keeper = fixtures / "falco", RuleKeeper([])
        cases = json.loads((folder / "K8S_EXPECTED.json").read_text("utf-8"))
        cases = [case for case in cases if case["rules"] == DEFAULT]
        silent = sum(not case["detect"] for case in cases)
        right = 0
        for case in cases:
            path = folder / "test" / "trace_files" / "k8s_audit" / case["trace"]
            ids = Counter(one.payload["rule"]["id"] for one in findings(keeper, K8sAudit(), path))
            right += _as_expected(case, ids)
        meaning = f"Falco's expectations that rest on default rules; {silent} of them are to stay silent"
        return [
            Figure(key="falco.cases", value=len(cases), meaning=meaning, better=""),
            Figure(key="falco.right", value=right, meaning="of them our rules meet, to the number of findings"),
        ]


def _as_expected(case: dict[str, Any], found: Counter[str]) -> bool:
    """Return whether each rule gave as many findings as it must; nothing at all where silence is expected."""
    if not case["detect"]:
        return not found
    return all(found[OURS.get(rule, rule)] == count for rule, count in case["detect_counts"].items())


PART = Falco
