"""What ``--fix`` does: only what is safe, only what a finding named, and it says what it did.

Nothing here deletes data or touches persistence.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import redis

from dsmil.doctor.finding import Finding, Severity
from dsmil.doctor.look_broker import broker_mode, registered_groups
from dsmil.doctor.look_locks import answers
from dsmil.errors import BusRefused, DsmilError
from dsmil.events.streams import DEFAULT_GROUP
from dsmil.infrastructure import store_place
from dsmil.infrastructure.address import broker_url
from dsmil.infrastructure.connection import connect, translated
from dsmil.infrastructure.groups import ensure_group, load_functions, open_books
from dsmil.infrastructure.instance import StateDir, runtime_places

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dsmil.config import Settings


def mend(findings: Iterable[Finding], settings: Settings) -> list[Finding]:
    """Do what the findings name, once each; return what was done, or why it was not."""
    done = []
    for fix in dict.fromkeys(finding.fix for finding in findings if finding.fix):
        try:
            done.append(_said(fix, Severity.INFO, ACTIONS[fix](settings)))
        except (DsmilError, OSError) as exc:
            done.append(_said(fix, Severity.WARNING, f"not done: {exc}"))
    return done


def _said(fix: str, severity: Severity, text: str) -> Finding:
    remedy = "see the finding itself" if severity == Severity.WARNING else ""
    return Finding(severity=severity, check=f"fix.{fix}", evidence=text, remedy=remedy)


def _noeviction(settings: Settings) -> str:
    if broker_mode(settings) != "bundled":
        raise BusRefused("the broker is not the bundled one; its configuration is left to its owner")
    with _client(settings) as client, translated("setting the policy"):
        client.config_set("maxmemory-policy", "noeviction")
    return "maxmemory-policy is set to noeviction"


def _load_functions(settings: Settings) -> str:
    with _client(settings) as client:
        load_functions(client)
    return "the server-side functions are loaded"


def _make_groups(settings: Settings) -> str:
    made = []
    with _client(settings) as client:
        for stream, groups in registered_groups().items():
            if ensure_group(client, stream, DEFAULT_GROUP):
                made.append(f"{DEFAULT_GROUP} on {stream}")
            made += [f"{group} on {stream}" for group in groups if open_books(client, stream, group)]
    return f"made {len(made)} groups, reading from the first entry: {', '.join(made) or 'all were there'}"


def _remove_record(settings: Settings) -> str:
    state = StateDir(settings.state_dir)
    # Taking the lock is the proof that nobody runs, and removes what a killed instance left.
    state.acquire()
    state.release()
    return f"removed instance.json from {settings.state_dir}"


def _remove_socket(settings: Settings) -> str:
    state = StateDir(settings.state_dir)
    state.acquire()  # no instance can start a server meanwhile
    try:
        data = _take(settings.state_dir / "broker" / "broker.lock")
        try:
            gone = []
            for place in runtime_places(str(settings.state_dir.resolve())):
                path = place / "broker.sock"
                if path.is_socket() and not answers(str(path)):
                    path.unlink()
                    gone.append(str(path))
        finally:
            if data >= 0:
                os.close(data)
    finally:
        state.release()
    return f"removed {', '.join(gone) or 'nothing: it was gone or answers'}"


def _take(path: Path) -> int:
    """Hold the lock of the broker's data while its socket is removed; -1 when there never was a server."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    return fd


def _store_mode(settings: Settings) -> str:
    path = store_place.choose(settings).path
    path.chmod(0o660, follow_symlinks=True)
    return f"mode of {path} is 0660"


def _client(settings: Settings) -> redis.Redis:
    return connect(broker_url(settings), settings)


#: Fix id -> what does it.
ACTIONS: Final[dict[str, Callable[[Settings], str]]] = {
    "noeviction": _noeviction,
    "load-functions": _load_functions,
    "make-groups": _make_groups,
    "remove-record": _remove_record,
    "remove-socket": _remove_socket,
    "store-mode": _store_mode,
}
