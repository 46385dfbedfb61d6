"""Unpacking archives of rules and logs for tests and measurements."""

from __future__ import annotations

import tarfile
from pathlib import Path


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar archive of plain files into a folder; a name that leads out of it raises ValueError."""
    with tarfile.open(archive) as tar:
        if hasattr(tarfile, "data_filter"):
            tar.extractall(folder, filter="data")
            return
        # Python 3.11 has the filter from its fourth release on; Debian 12 has the second.
        inside = folder.resolve()
        for member in tar:
            if not inside.joinpath(member.name).resolve().is_relative_to(inside):
                msg = f"{archive}: {member.name} leads out of the folder"
                raise ValueError(msg)
            if member.isfile() or member.isdir():
                tar.extract(member, folder)
