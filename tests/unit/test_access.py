"""Users of the broker: what `dsmil acl` prints, and the file of passwords."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from dsmil.cli.acl import COMMAND
from dsmil.errors import ConfigError, UnreadableFile
from dsmil.infrastructure.access import Grant, Role
from dsmil.infrastructure.passwords import complete_passwords, password_hash, read_passwords
from dsmil.services.catalogue import part_names
from dsmil.services.roles import roles


def acl(*arguments: str | Path) -> str:
    done = CliRunner().invoke(COMMAND, [str(part) for part in arguments], standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    assert done.exit_code == 0
    return done.stdout


def test_there_is_a_role_for_each_part_and_for_people() -> None:
    assert [role.name for role in roles()] == [*part_names(), "ingest", "listen", "reader", "admin"]


def test_nothing_is_allowed_by_a_pattern_or_a_category() -> None:
    for role in roles():
        line = role.line("dsmil-", "0" * 64)
        rules = line.split()
        assert "-@all" in rules
        assert not [rule for rule in rules if rule.startswith(("+@", "~", "&", "allkeys", "allcommands"))]
        stars = {rule.rstrip(")") for rule in rules if "*" in rule}
        ledgers = {"reader": {"%R"}, "auditor": {"%R"}, "admin": {"%R", "%RW"}}.get(role.name, set())
        lists = {"%RW~dsmil:from:*", "%RW~dsmil:list:*"} if role.name in {"listen", "admin"} else set()
        assert stars <= {f"{right}~dsmil:ledger:*:*" for right in ledgers} | lists


@pytest.mark.parametrize(
    "command",
    "eval evalsha script config|set flushall flushdb debug restore keys scan unlink xdel".split(),
)
def test_no_role_has_a_command_that_nobody_needs(command: str) -> None:
    assert [role.name for role in roles() if command in role.commands] == []


def test_who_may_take_something_away() -> None:
    assert [role.name for role in roles() if "xtrim" in role.commands] == ["janitor", "admin"]
    (admin,) = [role for role in roles() if role.name == "admin"]
    for grant in admin.grants:
        if "del" in grant.commands:
            what = "ledgers begin anew with their group; a list's own keys end with their batch"
            assert grant.writes in {("dsmil:ledger:*:*",), ("dsmil:list:*",)}, what


def test_a_line_in_the_words_of_the_broker() -> None:
    grants = (
        Grant(commands=("xadd",), writes=("OUT",)),
        Grant(commands=("get", "set"), reads=("k",), writes=("k",)),
    )
    role = Role(name="r", about="", grants=grants, keyless=("info",))
    assert role.line("p-", "ab", db=3) == (
        "user p-r on #ab resetchannels -@all +ping +client|setname +info +select|3"
        " (-@all +xadd %W~OUT) (-@all +get +set %RW~k)"
    )


def test_passwords_are_drawn_once_and_kept(tmp_path: Path) -> None:
    passwords, out = tmp_path / "passwords", tmp_path / "users.acl"
    first = acl("--passwords", passwords)
    kept = read_passwords(passwords)
    assert passwords.stat().st_mode & 0o777 == 0o600
    assert len(set(kept.values())) == len(kept) == len(roles())
    assert all(password not in first for password in kept.values())
    assert f"user dsmil-reader on #{password_hash(kept['dsmil-reader'])} " in first
    assert acl("--passwords", passwords, "--hash-only") == first
    assert "users in" in acl("--passwords", passwords, "--out", out)
    assert (out.read_text(), out.stat().st_mode & 0o777) == (first, 0o600)
    assert first.startswith("user default off ")
    assert sorted(tmp_path.iterdir()) == [passwords, out], "nothing half written is left"


def test_a_new_user_gets_a_password_and_the_others_keep_theirs(tmp_path: Path) -> None:
    file = tmp_path / "passwords"
    first = complete_passwords(file, ["a", "b"])
    assert complete_passwords(file, ["b", "c"]) == {**first, "c": read_passwords(file)["c"]}


def test_json_tells_streams_and_commands(tmp_path: Path) -> None:
    shown = json.loads(acl("--passwords", tmp_path / "p", "--json", "--user-prefix", "x."))
    (router,) = [user for user in shown["users"] if user["user"] == "x.soc-router"]
    assert router["reads"] == ["L3_OUT", "L4_OUT"]
    assert router["adds_to"] == ["SOC_EVENTS", "DEAD_LETTERS"]
    assert "fcall|dsmil_settle" in router["commands"]
    assert len(shown["acl"]) == len(shown["users"]) + 1


def test_another_database_may_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://broker/7")
    assert acl("--passwords", tmp_path / "p").count("+select|7 ") == len(roles())


def test_a_password_file_that_is_no_secret_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "passwords"
    file.write_text("dsmil-reader=x\n")
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        acl("--passwords", file)


@pytest.mark.parametrize("content", ["no equals sign\n", "=x\n", "user=\n"])
def test_a_line_that_is_none_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "passwords"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(ConfigError, match=":1 is not USER=PASSWORD"):
        read_passwords(file)


def test_hash_only_changes_nothing(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile):
        acl("--passwords", tmp_path / "none", "--hash-only")
    file = tmp_path / "passwords"
    file.write_text("dsmil-reader=x\n")
    file.chmod(0o600)
    with pytest.raises(ConfigError, match=r"no password of dsmil-\S+, .*--hash-only"):
        acl("--passwords", file, "--hash-only")
    assert file.read_text() == "dsmil-reader=x\n"


def test_a_prefix_that_would_be_a_rule_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="user-prefix"):
        acl("--passwords", tmp_path / "p", "--user-prefix", "a on +@all ")
    assert not (tmp_path / "p").exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="cannot be written"):
        acl("--passwords", tmp_path / "no folder" / "p")
