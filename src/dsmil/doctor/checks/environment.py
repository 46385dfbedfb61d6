"""Settings, Python, and folders that another user stands in."""

from __future__ import annotations

import shlex
from typing import Final

from dsmil.doctor.facts import Facts, Folder
from dsmil.doctor.finding import Check, Finding, error, info, ok, warning

_OLDEST: Final = (3, 11)


def run(facts: Facts) -> list[Finding]:
    """Judge the surroundings."""
    found = [
        error("environment.settings", problem, "correct or unset the variable; nothing else starts until then")
        for problem in facts.settings_errors
    ]
    if not found:
        found.append(ok("environment.settings", "every setting can be used"))
    return [*found, _python(facts), *_owner(facts), *(_conflict(facts, f) for f in facts.instance.conflicts)]


def _python(facts: Facts) -> Finding:
    version = ".".join(map(str, facts.host.python))
    if facts.host.python[:2] < _OLDEST:
        return error(
            "environment.python", f"Python {version}; 3.11 or later is needed", "PYTHON=python3.11 scripts/setup"
        )
    if not facts.host.platform.startswith("linux"):
        evidence = (
            f"Python {version} on {facts.host.platform}: children outlive a killed parent, no tmpfs is found"
        )
        return info("environment.python", evidence)
    return ok("environment.python", f"Python {version} on {facts.host.platform}")


def _owner(facts: Facts) -> list[Finding]:
    folder, uid = facts.instance.state_dir, facts.host.uid
    if not folder.exists:
        return []
    if not folder.is_dir:
        return [error("environment.folders", f"{folder.path} is not a folder", "name another with --state-dir")]
    if folder.uid != uid:
        evidence = f"{folder.path} belongs to user {folder.uid}, you are {uid}"
        return [warning("environment.folders", evidence, f"run as user {folder.uid}, or name another --state-dir")]
    return []


def _conflict(facts: Facts, folder: Folder) -> Finding:
    if folder.is_dir and folder.uid == facts.host.uid:
        what = f"has mode {folder.mode:04o}, others may enter"
        remedy = shlex.join(["chmod", "700", folder.path])
    else:
        what = f"belongs to user {folder.uid}" if folder.is_dir else "is not a folder"
        remedy = f"have its owner remove it: {shlex.join(['rm', '-r', folder.path])}"
    return warning("environment.folders", f"{folder.path} {what}: it cannot be used for our files", remedy)


CHECK = Check(
    name="environment",
    tells={
        "environment.settings": "error for each variable with a value that cannot be used",
        "environment.python": "error below Python 3.11; info on other systems than Linux",
        "environment.folders": "warning when a folder of ours in memory or for sockets is another user's or not"
        " private, or the state directory is another user's",
    },
    run=run,
)
