"""Where the hot store lies, and why there."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import sys
from pathlib import Path
from typing import Final

import msgspec

from dsmil.config import Settings
from dsmil.infrastructure.instance import StateDir

DOCUMENTED: Final = Path("/mnt/dsmil-ram/hotpath.db")
_FILE: Final = "hotpath.db"
_TMPFS: Final = "tmpfs"


class Place(msgspec.Struct, frozen=True):
    """A file for the store and, in words, why this one."""

    path: Path
    reason: str
    #: Whether the file does not lie in memory although it should.
    degraded: bool = False


def choose(settings: Settings, *, mount: Path = DOCUMENTED, shm: Path = Path("/dev/shm")) -> Place:  # noqa: S108 - its folder is made 0700
    """Return the place: HOTPATH_DB, the running instance's, the named state directory, tmpfs, fallback."""
    if settings.hotpath_db:
        return Place(Path(settings.hotpath_db), "HOTPATH_DB names it")
    instance = StateDir(settings.state_dir).running()
    if instance is not None and instance.hotpath_db:
        return Place(Path(instance.hotpath_db), "the running instance keeps it there")
    if settings.state_dir_explicit:
        return Place(settings.state_dir / _FILE, "inside the named state directory")
    if is_tmpfs(mount.parent) and os.access(mount.parent, os.W_OK):
        return Place(mount, "the documented tmpfs")
    missing = f"{mount.parent} is not a writable tmpfs"
    if settings.hotpath_fallback:
        return Place(Path(settings.hotpath_fallback), f"HOTPATH_FALLBACK, because {missing}")
    if is_tmpfs(shm) and os.access(shm, os.W_OK):
        folder = shm / f"dsmil-{os.getuid()}"
        if _is_ours_or_free(folder):
            return Place(folder / _FILE, f"fallback in memory, because {missing}")
    return Place(settings.state_dir / _FILE, f"on disk, because {missing} and {shm} cannot be used", degraded=True)


def is_tmpfs(folder: Path) -> bool:
    """Return whether a folder lies on a tmpfs mount (Linux; False elsewhere)."""
    if not sys.platform.startswith("linux") or not folder.is_dir():
        return False
    device = folder.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        mounts = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    except OSError:
        return False
    for line in mounts:
        left, _, right = line.partition(" - ")
        if left.split()[2] == wanted:
            return right.split()[0] == _TMPFS
    return False


def tmpfs_bytes(folder: Path) -> int | None:
    """Return the size of the tmpfs that a folder lies on; None when it lies on none, or does not say."""
    if not is_tmpfs(folder):
        return None
    try:
        return shutil.disk_usage(folder).total or None
    except OSError:
        return None


def _is_ours_or_free(folder: Path) -> bool:
    try:
        info = folder.lstat()
    except FileNotFoundError:
        return True
    return stat.S_ISDIR(info.st_mode) and info.st_uid == os.getuid() and not info.st_mode & 0o077


def store_name(path: Path) -> str:
    """Return the name under which the broker knows the store: several hosts may copy the same streams."""
    return f"{socket.gethostname() or 'localhost'}:{path.absolute()}"
