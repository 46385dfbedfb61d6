"""The keys that let somebody push over HTTP: one a line of a file, or one in the environment."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from typing import TYPE_CHECKING, Final

from dsmil.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

#: A key shorter than this could be guessed.
_SHORTEST: Final = 16


class Keys:
    """The keys that are accepted; the file is read again when it has changed."""

    def __init__(self, path: Path, given: str = "") -> None:
        """Take a file, or the one key of the environment instead. Raises ConfigError when there is none."""
        self._path, self._given = path, given
        self._version: tuple[int, int] | None = None
        self._digests: list[bytes] = []
        self._read()

    def accept(self, authorization: bytes) -> bool:
        """Return whether an ``Authorization`` header holds a key, in a time that tells nothing of it."""
        self._read()
        scheme, _, key = authorization.strip().partition(b" ")
        given = hashlib.sha256(key.strip()).digest()
        known = 0
        for digest in self._digests:  # all of them, whether or not one was it
            known |= hmac.compare_digest(digest, given)
        return bool(known) and scheme.lower() == b"bearer"

    def _read(self) -> None:
        if self._given:
            self._digests = [hashlib.sha256(_checked(self._given, "DSMIL_LISTEN_KEY")).digest()]
            return
        try:
            state = self._path.stat()
            version = state.st_mtime_ns, state.st_size
            if version == self._version:
                return
            found = _keys(self._path.read_text())
        except OSError as exc:
            if self._version is not None:
                return  # being replaced: those that were read go on
            remedy = "make one with `dsmil listen key`, or set DSMIL_LISTEN_KEY"
            raise ConfigError(f"no key in {self._path} ({exc.strerror}); {remedy}") from exc
        if not found:
            raise ConfigError(f"{self._path} holds no key; make one with `dsmil listen key --new`")
        self._digests = [hashlib.sha256(_checked(key, str(self._path))).digest() for key in found]
        self._version = version


def _keys(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _checked(key: str, where: str) -> bytes:
    if len(key) < _SHORTEST or not key.isascii() or any(letter.isspace() for letter in key):
        raise ConfigError(f"{where}: a key has at least {_SHORTEST} characters, ASCII without spaces")
    return key.encode()


def make_key(path: Path, *, another: bool = False) -> tuple[str, bool]:
    """Return the newest key of a file, and whether it was made now; ``another`` adds one to those that are there.

    The file can be read by its owner alone. Older keys stay valid until their lines are removed.
    """
    if path.exists() and not another:
        keys = _keys(path.read_text())
        if keys:
            return keys[-1], False
    key = secrets.token_urlsafe(32)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "a") as file:
        file.write(f"{key}\n")
    return key, True
