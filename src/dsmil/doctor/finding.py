"""What a check says, and what a check is."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final

import msgspec

from dsmil.doctor.facts import Facts


class Severity(StrEnum):
    """How much a finding matters, least first."""

    OK = "ok"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


#: What ``--fix`` can do, by the id that findings carry.
FIXES: Final = {
    "noeviction": "set maxmemory-policy noeviction on the bundled broker",
    "load-functions": "load the server-side functions",
    "make-groups": "make missing streams and groups, reading from the first entry",
    "remove-record": "remove instance.json after proving by its lock that no instance runs",
    "remove-socket": "remove the broker's socket after proving that no server holds it",
    "store-mode": "set the mode of the store's file to 0660",
}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at, and what was seen."""

    severity: Severity
    #: Name of the check, ``family.what``.
    check: str
    #: What was seen, with numbers.
    evidence: str
    #: What to do about it, a command where there is one; empty when there is nothing to do.
    remedy: str = ""
    #: What ``--fix`` would do, a key of ``FIXES``; empty when it would do nothing.
    fix: str = ""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One family of checks."""

    #: Name of the family.
    name: str
    #: Name of each check -> what it tells, for the table in ``docs/doctor.md``.
    tells: dict[str, str]
    #: Judges the facts; no input, no output, no clock.
    run: Callable[[Facts], list[Finding]]


def ok(check: str, evidence: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(severity=Severity.OK, check=check, evidence=evidence)


def info(check: str, evidence: str, remedy: str = "", fix: str = "") -> Finding:
    """Return a finding that is good to know."""
    return Finding(severity=Severity.INFO, check=check, evidence=evidence, remedy=remedy, fix=fix)


def warning(check: str, evidence: str, remedy: str, fix: str = "") -> Finding:
    """Return a finding that will become a problem."""
    return Finding(severity=Severity.WARNING, check=check, evidence=evidence, remedy=remedy, fix=fix)


def error(check: str, evidence: str, remedy: str, fix: str = "") -> Finding:
    """Return a finding that is a problem now."""
    return Finding(severity=Severity.ERROR, check=check, evidence=evidence, remedy=remedy, fix=fix)
