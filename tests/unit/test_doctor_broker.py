"""The doctor on the broker and on durability: boundaries of each check."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.unit.doctor_facts import GB, facts, only, run, worst

from dsmil.doctor.checks.broker import parse


def test_all_well_has_no_trouble() -> None:
    for family in ("broker", "durability"):
        assert {f.severity for f in run(family, facts())} <= {"ok", "info"}


def test_a_broker_that_is_away_is_one_error() -> None:
    away = facts("broker", error="refused")
    (found,) = run("broker", away)
    assert (found.check, found.severity) == ("broker.reach", "error")
    assert run("durability", away) == []
    assert "dsmil up" in only("broker", "reach", facts("broker", error="x", mode="none")).remedy
    assert "REDIS_URL" in only("broker", "reach", facts("broker", error="x", mode="given")).remedy


@pytest.mark.parametrize(("mode", "fix"), [("bundled", "noeviction"), ("system", ""), ("given", "")])
def test_eviction_is_mended_on_the_bundled_broker_only(mode: str, fix: str) -> None:
    found = only("broker", "eviction", facts("broker", policy="allkeys-lru", evicted=3, mode=mode))
    assert (found.severity, found.fix) == ("error", fix)
    assert "allkeys-lru" in found.evidence
    assert "3 keys evicted" in found.evidence
    assert "redis-cli -s /run/broker.sock CONFIG SET maxmemory-policy noeviction" in found.remedy


@pytest.mark.parametrize(
    ("used", "limit", "expected"),
    [
        (0, GB, "ok"),
        (0.6999 * GB, GB, "ok"),
        (0.70 * GB, GB, "warning"),
        (0.8499 * GB, GB, "warning"),
        (0.85 * GB, GB, "error"),
        (GB, 12 * GB, "ok"),
        (GB, 12 * GB + 1, "warning"),
        (8 * GB - 1, 0, "info"),
        (8 * GB, 0, "warning"),
    ],
)
def test_memory(used: float, limit: int, expected: str) -> None:
    assert (
        worst("broker", "memory", facts("broker", used_memory=int(used) + (used % 1 > 0), maxmemory=limit))
        == expected
    )


@pytest.mark.parametrize(
    ("server", "version", "expected"),
    [
        ("redis", "6.2.14", "error"),
        ("redis", "7.0.15", "warning"),
        ("redis", "7.2.10", "warning"),
        ("redis", "7.2.11", "ok"),
        ("redis", "7.4.5", "warning"),
        ("redis", "7.4.6", "ok"),
        ("redis", "8.2.1", "warning"),
        ("redis", "8.2.2", "warning"),
        ("redis", "8.4.0", "warning"),
        ("redis", "8.4.1", "ok"),
        ("valkey", "8.1.3", "warning"),
        ("valkey", "8.1.4", "ok"),
        ("valkey", "9.1.2", "ok"),
        ("valkey", "255.255.255", "ok"),
        ("other", "unstable", "info"),
    ],
)
def test_version(server: str, version: str, expected: str) -> None:
    found = only("broker", "version", facts("broker", server=server, version=version))
    assert found.severity == expected
    assert version in found.evidence


def test_versions_are_compared_as_numbers() -> None:
    assert parse("7.10") == (7, 10, 0)
    assert parse("7.2.11-rc1") == (7, 2, 11)
    assert parse("") is None


@pytest.mark.parametrize(("state", "expected"), [("loaded", "ok"), ("unknown", "info"), ("missing", "warning")])
def test_functions(state: str, expected: str) -> None:
    assert worst("broker", "functions", facts("broker", functions=state)) == expected


def test_functions_of_a_version_that_runs_are_left_alone() -> None:
    changed = facts("broker", functions="other")
    assert only("broker", "functions", changed).fix == "load-functions"
    other = facts("instance", same_version=False, version="9")
    mixed = msgspec.structs.replace(other, broker=changed.broker)
    found = only("broker", "functions", mixed)
    assert (found.severity, found.fix) == ("warning", "")


@pytest.mark.parametrize(
    ("changes", "name", "expected"),
    [
        ({"aof": False}, "log", "warning"),
        ({"fsync": "always"}, "log", "ok"),
        ({"fsync": "everysec"}, "log", "info"),
        ({"fsync": "no"}, "log", "warning"),
        ({"fsync": ""}, "log", "info"),
        ({}, "writes", "ok"),
        ({"aof_write": "err"}, "writes", "error"),
        ({"aof_rewrite": "err"}, "writes", "warning"),
        ({"snapshot": "err"}, "snapshot", "warning"),
        ({"aof": False, "snapshot": "err"}, "snapshot", "warning"),
        ({}, "snapshot", None),
    ],
)
def test_durability(changes: dict[str, Any], name: str, expected: str | None) -> None:
    assert worst("durability", name, facts("broker", **changes)) == expected


def test_durability_is_told_and_never_mended() -> None:
    for changes in ({"aof": False}, {"fsync": "no"}, {"aof_write": "err"}, {"aof_rewrite": "err"}):
        assert all(not found.fix for found in run("durability", facts("broker", **changes)))
    assert "up to 1 s" in only("durability", "log", facts()).evidence
