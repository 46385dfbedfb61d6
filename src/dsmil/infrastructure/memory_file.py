"""The memory of a service on disk: whole or not there, and held by one process at a time."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from typing import TYPE_CHECKING, Final

import msgspec

from dsmil.errors import MemoryUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Folder of the state directory.
FOLDER: Final = "memory"
#: A file begins with this, the digest, and then what was kept.
_MAGIC: Final = b"dsmil memory 1\n"
_DIGEST_BYTES: Final = 32
#: Entries that are noted as deadly; older ones lie behind the memory long since.
_MOST_SKIPPED: Final = 100


class Place(msgspec.Struct, frozen=True):
    """How far a memory has come in one stream."""

    #: Last entry that it contains.
    entry_id: str
    #: How many entries of the stream had been read up to there; -1 when the broker could not say.
    read: int = -1


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a service."""

    #: Name of the broker's data that the places are about.
    epoch: str
    #: Stream -> how far the memory has come.
    places: dict[str, Place]
    #: What the handler gave.
    memory: bytes


class MemoryFile:
    """The file of one service."""

    def __init__(self, state_dir: Path, name: str) -> None:
        """Take the file's lock; raises MemoryUnavailable when another process holds it, or it cannot be made."""
        self._path = state_dir / FOLDER / f"{name}.memory"
        self._skips = self._path.with_suffix(".skip")
        self._lock = -1
        with _translated(f"opening the memory of {name}"):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self._path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise MemoryUnavailable(
                f"another process runs {name} with the memory in {self._path}; two would each know only a part:"
                " end one of them"
            ) from None

    def load(self) -> tuple[Kept | None, str]:
        """Return what was kept, or None with the reason: empty when there is no file."""
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return None, ""
        except OSError as exc:
            return None, f"{self._path} cannot be read: {exc}"
        start = len(_MAGIC) + _DIGEST_BYTES
        if not raw.startswith(_MAGIC):
            return None, f"{self._path} is no memory of this version"
        if hashlib.sha256(raw[start:]).digest() != raw[len(_MAGIC) : start]:
            return None, f"{self._path} is damaged: its checksum is wrong"
        try:
            return msgspec.msgpack.decode(raw[start:], type=Kept), ""
        except msgspec.MsgspecError as exc:
            return None, f"{self._path} cannot be understood: {exc}"

    def save(self, kept: Kept) -> None:
        """Replace the file in one step: whenever the power goes, the old one or the new one is there."""
        body = msgspec.msgpack.encode(kept)
        draft = self._path.with_suffix(".draft")
        with _translated(f"saving {self._path}"):
            fd = os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.writelines((_MAGIC, hashlib.sha256(body).digest(), body))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def skip(self, place: str) -> None:
        """Note an entry that must not be handled again; it is there when this returns."""
        with _translated(f"noting {place}"):
            self._skips.write_text("\n".join([*self.skipped(), place][-_MOST_SKIPPED:]), "utf-8")

    def skipped(self) -> list[str]:
        """Return the entries that must not be handled again."""
        with _translated(f"reading {self._skips}"):
            return self._skips.read_text("utf-8").splitlines() if self._skips.exists() else []

    def close(self) -> None:
        """Give the lock back."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        msg = f"{what}: {exc}"
        raise MemoryUnavailable(msg) from exc
