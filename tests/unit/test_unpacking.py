"""Unpacking an archive, with the filter that newer releases of Python have and without it."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from dsmil.testing.archive import unpack


@pytest.fixture(params=["with", "without"])
def _the_filter(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without":
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    elif not hasattr(tarfile, "data_filter"):  # 3.11.0 to 3.11.3
        pytest.skip("this Python has no filter")


def packed(path: Path, name: str) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.size = 4
        tar.addfile(member, io.BytesIO(b"text"))
    return path


@pytest.mark.usefixtures("_the_filter")
def test_files_lie_where_they_lay(tmp_path: Path) -> None:
    unpack(packed(tmp_path / "a.tar.gz", "rules/linux/one.yml"), tmp_path / "out")
    assert (tmp_path / "out" / "rules" / "linux" / "one.yml").read_bytes() == b"text"


@pytest.mark.usefixtures("_the_filter")
def test_a_name_that_leads_out_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises((ValueError, tarfile.TarError)):
        unpack(packed(tmp_path / "a.tar.gz", "../elsewhere.yml"), tmp_path / "out")
    assert not (tmp_path / "elsewhere.yml").exists()
