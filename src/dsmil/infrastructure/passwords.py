"""The files with the broker's clear passwords, for their owner's eyes only.

One has them all, ``USER=PASSWORD`` a line; those of the units have one login each.
"""

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
#: What a login is in the environment.
_LOGIN: Final = ("REDIS_USERNAME", "REDIS_PASSWORD")


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


def write_login(path: Path, user: str, password: str) -> bool:
    """Put a login into an environment file, mode 0600, and keep its other lines; False when it was there."""
    try:
        before = path.read_text("utf-8") if path.exists() else ""
        private = bool(before) and not path.stat().st_mode & 0o077
    except (OSError, UnicodeDecodeError) as exc:
        raise UnreadableFile(f"{path} cannot be read: {exc}") from exc
    kept = [line for line in before.splitlines() if line.partition("=")[0].strip() not in _LOGIN]
    values = dict(zip(_LOGIN, (user, password), strict=True))
    text = "\n".join([*kept, *(f"{name}={value}" for name, value in values.items())]) + "\n"
    if text == before and private:
        return False
    write_private(path, text)
    return True


def password_hash(password: str) -> str:
    """Return the hash as an ACL file has it. The passwords are long and drawn at random, so a plain one does."""
    return hashlib.sha256(password.encode()).hexdigest()
