"""The environment files of the units that ``dsmil acl --env-dir`` writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from dsmil.cli import cli
from dsmil.infrastructure.passwords import read_passwords
from dsmil.services.roles import roles


def acl(folder: Path, *options: str) -> str:
    given = ["acl", "--passwords", str(folder / "passwords"), "--env-dir", str(folder), *options]
    done = CliRunner().invoke(cli, given, standalone_mode=False)
    assert done.exit_code == 0, done
    return done.stderr


def test_each_role_gets_a_private_file(tmp_path: Path) -> None:
    acl(tmp_path)
    clear = read_passwords(tmp_path / "passwords")
    for role in roles():
        file = tmp_path / f"{role.name}.env"
        user = f"dsmil-{role.name}"
        assert file.read_text() == f"REDIS_USERNAME={user}\nREDIS_PASSWORD={clear[user]}\n"
        assert file.stat().st_mode & 0o777 == 0o600


def test_other_lines_stay_and_a_second_time_writes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "soc-router.env"
    file.write_text("LOG_LEVEL=DEBUG\nREDIS_USERNAME=other\n# kept")
    file.chmod(0o640)
    acl(tmp_path, "--user-prefix", "site-")
    password = read_passwords(tmp_path / "passwords")["site-soc-router"]
    assert file.read_text().splitlines() == [
        "LOG_LEVEL=DEBUG",
        "# kept",
        "REDIS_USERNAME=site-soc-router",
        f"REDIS_PASSWORD={password}",
    ]
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.stat().st_ino
    assert f"0 of {len(roles())} environment files" in acl(tmp_path, "--user-prefix", "site-")
    assert file.stat().st_ino == before


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_file_that_others_can_read_is_made_private(tmp_path: Path, mode: int) -> None:
    acl(tmp_path)
    (tmp_path / "admin.env").chmod(mode)
    assert f"1 of {len(roles())}" in acl(tmp_path)
    assert (tmp_path / "admin.env").stat().st_mode & 0o777 == 0o600
