"""Settings: the documented names and defaults, and errors that name key and value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dsmil.config import Secret, Settings, default_state_dir, flag
from dsmil.errors import ConfigError


def test_the_documented_defaults() -> None:
    settings = Settings.from_env({})
    assert (settings.redis_host, settings.redis_port, settings.redis_db) == ("localhost", 6379, 0)
    assert (settings.redis_url, settings.redis_username, settings.redis_password) == ("", "", "")
    assert settings.redis_explicit is False
    assert settings.shrink_url == "http://localhost:8500"
    assert settings.shrink_poll_interval == 1.0
    assert (settings.batch_size, settings.poll_timeout_ms, settings.log_level) == (10, 5000, "INFO")
    assert (settings.device_id, settings.layer) == (52, 8)
    assert (settings.hotpath_db, settings.hotpath_fallback, settings.hotpath_max_bytes) == ("", "", 0)
    assert settings.state_dir == Path.home() / ".local" / "state" / "dsmil"
    assert settings.state_dir_explicit is False


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    names = (
        "REDIS_URL REDIS_HOST REDIS_PORT REDIS_DB SHRINK_URL SHRINK_POLL_INTERVAL BATCH_SIZE POLL_TIMEOUT "
        "LOG_LEVEL DSMIL_DEVICE_ID DSMIL_LAYER DSMIL_STATE_DIR XDG_STATE_HOME"
    ).split()
    assert Settings.from_env(dict.fromkeys(names, "")) == Settings.from_env({})


@pytest.mark.parametrize(
    ("key", "value", "field", "expected"),
    [
        ("REDIS_URL", "redis://h:1/2", "redis_url", "redis://h:1/2"),
        ("REDIS_URL", "rediss://h", "redis_url", "rediss://h"),
        ("REDIS_URL", "unix:///run/v.sock", "redis_url", "unix:///run/v.sock"),
        ("REDIS_HOST", "example", "redis_host", "example"),
        ("REDIS_PORT", " 7000 ", "redis_port", 7000),
        ("REDIS_DB", "15", "redis_db", 15),
        ("REDIS_USERNAME", "u", "redis_username", "u"),
        ("REDIS_PASSWORD", "p", "redis_password", "p"),
        ("HOTPATH_DB", "/x.db", "hotpath_db", "/x.db"),
        ("HOTPATH_FALLBACK", "/y.db", "hotpath_fallback", "/y.db"),
        ("HOTPATH_MAX_BYTES", "1000000", "hotpath_max_bytes", 1_000_000),
        ("SHRINK_URL", "https://s:1/", "shrink_url", "https://s:1"),
        ("SHRINK_POLL_INTERVAL", "0.05", "shrink_poll_interval", 0.05),
        ("BATCH_SIZE", "10000", "batch_size", 10_000),
        ("POLL_TIMEOUT", "1", "poll_timeout_ms", 1),
        ("LOG_LEVEL", "debug", "log_level", "DEBUG"),
        ("DSMIL_DEVICE_ID", "52", "device_id", 52),
        ("DSMIL_LAYER", "8", "layer", 8),
        ("DSMIL_STATE_DIR", "/state", "state_dir", Path("/state")),
        ("DSMIL_STATE_DIR", "~/state", "state_dir", Path.home() / "state"),
    ],
)
def test_each_variable_is_read(key: str, value: str, field: str, expected: Any) -> None:
    assert getattr(Settings.from_env({key: value}), field) == expected


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("REDIS_PORT", "six", "is not a valid int"),
        ("REDIS_PORT", "6379.0", "is not a valid int"),
        ("REDIS_PORT", "0", "between 1 and 65535"),
        ("REDIS_PORT", "65536", "between 1 and 65535"),
        ("REDIS_PORT", "-1", "between 1 and 65535"),
        ("REDIS_PORT", "9" * 5000, "is not a valid int"),
        ("REDIS_DB", "-1", "between 0 and"),
        ("REDIS_DB", "zero", "is not a valid int"),
        ("HOTPATH_MAX_BYTES", "4G", "is not a valid int"),
        ("SHRINK_POLL_INTERVAL", "fast", "is not a valid float"),
        ("SHRINK_POLL_INTERVAL", "0", "between 0.05 and"),
        ("SHRINK_POLL_INTERVAL", "nan", "out of range"),
        ("SHRINK_POLL_INTERVAL", "inf", "out of range"),
        ("SHRINK_POLL_INTERVAL", "1e999", "out of range"),
        ("BATCH_SIZE", "0", "between 1 and 10000"),
        ("BATCH_SIZE", "10001", "between 1 and 10000"),
        ("POLL_TIMEOUT", "0", "between 1 and"),
        ("POLL_TIMEOUT", "5s", "is not a valid int"),
        ("LOG_LEVEL", "LOUD", "is not one of"),
        ("SHRINK_URL", "localhost:8500", "not an http or https address"),
        ("SHRINK_URL", "file:///etc/passwd", "not an http or https address"),
        ("DSMIL_DEVICE_ID", "53", "between 52 and 52"),
        ("DSMIL_LAYER", "7", "between 8 and 8"),
    ],
)
def test_a_bad_value_is_named_with_its_key(key: str, value: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.from_env({key: value})
    shown = value if key == "LOG_LEVEL" else repr(value)
    assert str(caught.value).startswith(f"{key}=")
    assert shown in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize("key", ["REDIS_DB", "REDIS_PORT", "BATCH_SIZE", "POLL_TIMEOUT"])
def test_a_number_beyond_a_double_is_out_of_range(key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        Settings.from_env({key: "9" * 400})


def test_a_bad_address_is_named_without_the_password_in_it() -> None:
    with pytest.raises(ConfigError, match=r"REDIS_URL has the scheme 'http'") as caught:
        Settings.from_env({"REDIS_URL": "http://user:hunter2@h"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["user:hunter2@h", "http:/user:hunter2@h", "HTTP://user:hunter2@h"])
def test_a_bad_address_of_shrink_is_named_without_the_password_in_it(url: str) -> None:
    with pytest.raises(ConfigError, match="SHRINK_URL='h' is not an http or https address") as caught:
        Settings.from_env({"SHRINK_URL": url})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("key", ["REDIS_HOST", "REDIS_PORT", "REDIS_DB"])
def test_an_address_set_by_hand_is_known_to_be_one(key: str) -> None:
    default = {"REDIS_HOST": "localhost", "REDIS_PORT": "6379", "REDIS_DB": "0"}[key]
    assert Settings.from_env({key: default}).redis_explicit


def test_secrets_hide_in_repr() -> None:
    settings = Settings.from_env({"REDIS_URL": "redis://:hunter2@h", "REDIS_PASSWORD": "hunter3"})
    assert "hunter" not in repr(settings)
    assert "hunter" not in repr([settings.redis_password, {"url": settings.redis_url}])
    assert settings.redis_password == "hunter3"
    assert repr(Secret("")) == "Secret('')"


def test_settings_are_never_edited() -> None:
    settings = Settings.from_env({})
    with pytest.raises(AttributeError):
        settings.batch_size = 5  # type: ignore[misc]
    assert settings.replace(batch_size=5).batch_size == 5
    assert settings.batch_size == 10


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_SIZE", "77")
    assert Settings.from_env().batch_size == 77


def test_the_state_directory_follows_the_xdg_rules() -> None:
    assert default_state_dir({"XDG_STATE_HOME": "/x"}) == Path("/x/dsmil")
    settings = Settings.from_env({"XDG_STATE_HOME": "/x"})
    assert (settings.state_dir, settings.state_dir_explicit) == (Path("/x/dsmil"), False)
    assert Settings.from_env({"DSMIL_STATE_DIR": "/s", "XDG_STATE_HOME": "/x"}).state_dir_explicit


@pytest.mark.parametrize("text", ["1", "true", "YES", " on "])
def test_ways_to_say_yes(text: str) -> None:
    assert flag({"F": text}, "F")


@pytest.mark.parametrize("env", [{}, *({"F": text} for text in ("", "0", "false", "No", "off"))])
def test_ways_to_say_no(env: dict[str, str]) -> None:
    assert not flag(env, "F")


def test_neither_yes_nor_no() -> None:
    with pytest.raises(ConfigError, match="F='maybe'"):
        flag({"F": "maybe"}, "F")
