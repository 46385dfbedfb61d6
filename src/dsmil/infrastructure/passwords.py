"""The file of the broker's clear passwords: ``USER=PASSWORD`` a line, for its owner's eyes only."""

from __future__ import annotations

import hashlib
import os
import secrets
from typing import TYPE_CHECKING, Final

from dsmil.errors import ConfigError, UnreadableFile

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_MODE: Final = 0o600
_BYTES: Final = 32


def read_passwords(path: Path) -> dict[str, str]:
    """Return passwords by user; a file that others may read is refused."""
    try:
        mode = path.stat().st_mode & 0o777
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise UnreadableFile(f"passwords cannot be read: {exc}") from exc
    if mode & 0o077:
        raise ConfigError(f"{path} can be read by others (mode {mode:04o}); run: chmod 600 {path}")
    found = {}
    for number, line in enumerate(lines, start=1):
        user, equals, password = line.partition("=")
        if not line.strip():
            continue
        if not (user and equals and password):
            raise ConfigError(f"{path}:{number} is not USER=PASSWORD")
        found[user] = password
    return found


def complete_passwords(path: Path, users: Iterable[str]) -> dict[str, str]:
    """Return passwords by user, drawing those that the file does not have yet; others stay as they are."""
    found = read_passwords(path) if path.exists() else {}
    missing = [user for user in users if user not in found]
    if missing:
        found |= {user: secrets.token_urlsafe(_BYTES) for user in missing}
        write_private(path, "".join(f"{user}={password}\n" for user, password in found.items()))
    return found


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 in one step: readers see the old or the new one, and nobody else any."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE), "w", encoding="utf-8") as file:
            file.write(text)
        fresh.replace(path)
    except OSError as exc:
        fresh.unlink(missing_ok=True)
        raise UnreadableFile(f"{path} cannot be written: {exc}") from exc


def password_hash(password: str) -> str:
    """Return the hash as an ACL file has it. The passwords are long and drawn at random, so a plain one does."""
    return hashlib.sha256(password.encode()).hexdigest()
