"""Settings, read once from the environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from dsmil.errors import ConfigError

T = TypeVar("T", int, float)

_MOST = (1 << 63) - 1
_HOUR_MS = 3_600_000
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}

#: Documented variable -> field of :class:`Settings`.
VARIABLES: Final = {
    "REDIS_URL": "redis_url",
    "REDIS_HOST": "redis_host",
    "REDIS_PORT": "redis_port",
    "REDIS_DB": "redis_db",
    "REDIS_USERNAME": "redis_username",
    "REDIS_PASSWORD": "redis_password",
    "REDIS_TLS_CA": "redis_tls_ca",
    "REDIS_TLS_CERT": "redis_tls_cert",
    "REDIS_TLS_KEY": "redis_tls_key",
    "REDIS_TLS_CHECK_HOSTNAME": "redis_tls_check_hostname",
    "HOTPATH_DB": "hotpath_db",
    "HOTPATH_FALLBACK": "hotpath_fallback",
    "HOTPATH_MAX_BYTES": "hotpath_max_bytes",
    "BROKER_MAX_BYTES": "broker_max_bytes",
    "SHRINK_URL": "shrink_url",
    "SHRINK_POLL_INTERVAL": "shrink_poll_interval",
    "BATCH_SIZE": "batch_size",
    "POLL_TIMEOUT": "poll_timeout_ms",
    "LOG_LEVEL": "log_level",
    "DSMIL_DEVICE_ID": "device_id",
    "DSMIL_LAYER": "layer",
    "DSMIL_STATE_DIR": "state_dir",
    "DSMIL_RULES": "rules",
    "DSMIL_DEDUPE": "dedupe",
    "DSMIL_LISTEN": "listen",
    "DSMIL_LISTEN_KEY": "listen_key",
    "DSMIL_LISTEN_FROM": "listen_from",
    "DSMIL_FEEDS": "feeds_dir",
}


class Secret(str):
    """A string that does not show itself in repr, so that it cannot slip into a log."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Hide the value."""
        return "Secret('**********')" if self else "Secret('')"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the environment can say. One row per variable; names are the documented ones."""

    #: REDIS_URL: broker address, wins over the three below. ``redis://``, ``rediss://`` or ``unix://``.
    redis_url: Secret = Secret("")
    #: REDIS_HOST
    redis_host: str = "localhost"
    #: REDIS_PORT
    redis_port: int = 6379
    #: REDIS_DB
    redis_db: int = 0
    #: REDIS_USERNAME
    redis_username: str = ""
    #: REDIS_PASSWORD
    redis_password: Secret = Secret("")
    #: REDIS_TLS_CA: file of the certificates to believe; empty means the system's.
    redis_tls_ca: str = ""
    #: REDIS_TLS_CERT and REDIS_TLS_KEY: files with our own certificate and its key.
    redis_tls_cert: str = ""
    redis_tls_key: str = ""
    #: REDIS_TLS_CHECK_HOSTNAME
    redis_tls_check_hostname: bool = True
    #: Whether host, port or db was given by the environment rather than left at its default.
    redis_explicit: bool = False
    #: HOTPATH_DB: file of the hot store; empty means the documented place or its fallback.
    hotpath_db: str = ""
    #: HOTPATH_FALLBACK: file used when the documented place is not a writable tmpfs.
    hotpath_fallback: str = ""
    #: HOTPATH_MAX_BYTES: most bytes the store's live pages may take; 0 means 80 % of 4 GB.
    hotpath_max_bytes: int = 0
    #: BROKER_MAX_BYTES: most memory of the bundled broker; 0 means a quarter of this host's.
    broker_max_bytes: int = 0
    #: SHRINK_URL
    shrink_url: str = "http://localhost:8500"
    #: SHRINK_POLL_INTERVAL, seconds
    shrink_poll_interval: float = 1.0
    #: BATCH_SIZE: the least number of events a service asks for; under load it takes more.
    batch_size: int = 10
    #: POLL_TIMEOUT, milliseconds: bound of one blocking read.
    poll_timeout_ms: int = 5000
    #: LOG_LEVEL
    log_level: str = "INFO"
    #: DSMIL_DEVICE_ID and DSMIL_LAYER: the unit file names them; they must be the router's own.
    device_id: int = 52
    layer: int = 8
    #: DSMIL_STATE_DIR
    state_dir: Path = Path()
    #: DSMIL_FEEDS: directory of the user's own feeds; empty means none. What lies there is run as code.
    feeds_dir: str = ""
    #: Whether the state directory was named rather than left at its default.
    state_dir_explicit: bool = False
    #: DSMIL_RULES: folders of Sigma rules, with colons between; the product's own are used as well.
    rules: str = ""
    #: DSMIL_DEDUPE: file of deduplication rules; empty means the default alone.
    dedupe: str = ""
    #: DSMIL_LISTEN: listeners of `dsmil up`, as the words after `dsmil listen`; `;` parts them.
    listen: str = ""
    #: DSMIL_LISTEN_KEY: the key of HTTP pushes, instead of a file of keys.
    listen_key: Secret = Secret("")
    #: DSMIL_LISTEN_FROM: broker of a list, when it is another one.
    listen_from: Secret = Secret("")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the documented variables; a bad value raises ConfigError with its name, value and type."""
        env = os.environ if environ is None else environ
        state_dir = env.get("DSMIL_STATE_DIR", "")
        return cls(
            redis_url=Secret(_address(env, "REDIS_URL")),
            redis_host=env.get("REDIS_HOST", "") or "localhost",
            redis_port=_number(env, "REDIS_PORT", 6379, int, low=1, high=65535),
            redis_db=_number(env, "REDIS_DB", 0, int, low=0, high=_MOST),
            redis_username=env.get("REDIS_USERNAME", ""),
            redis_password=Secret(env.get("REDIS_PASSWORD", "")),
            redis_tls_ca=_tls_file(env, "REDIS_TLS_CA"),
            redis_tls_cert=_tls_file(env, "REDIS_TLS_CERT"),
            redis_tls_key=_tls_file(env, "REDIS_TLS_KEY"),
            redis_tls_check_hostname=not env.get("REDIS_TLS_CHECK_HOSTNAME")
            or flag(env, "REDIS_TLS_CHECK_HOSTNAME"),
            redis_explicit=any(env.get(key) for key in ("REDIS_HOST", "REDIS_PORT", "REDIS_DB")),
            hotpath_db=env.get("HOTPATH_DB", ""),
            hotpath_fallback=env.get("HOTPATH_FALLBACK", ""),
            hotpath_max_bytes=_number(env, "HOTPATH_MAX_BYTES", 0, int, low=0, high=_MOST),
            broker_max_bytes=_number(env, "BROKER_MAX_BYTES", 0, int, low=0, high=_MOST),
            shrink_url=_http_url(env, "SHRINK_URL", "http://localhost:8500"),
            shrink_poll_interval=_number(env, "SHRINK_POLL_INTERVAL", 1.0, float, low=0.05, high=3600.0),
            batch_size=_number(env, "BATCH_SIZE", 10, int, low=1, high=10_000),
            poll_timeout_ms=_number(env, "POLL_TIMEOUT", 5000, int, low=1, high=_HOUR_MS),
            log_level=_level(env),
            device_id=_number(env, "DSMIL_DEVICE_ID", 52, int, low=52, high=52),
            layer=_number(env, "DSMIL_LAYER", 8, int, low=8, high=8),
            state_dir=Path(state_dir).expanduser() if state_dir else default_state_dir(env),
            state_dir_explicit=bool(state_dir),
            rules=env.get("DSMIL_RULES", ""),
            dedupe=env.get("DSMIL_DEDUPE", ""),
            listen=env.get("DSMIL_LISTEN", ""),
            listen_key=Secret(env.get("DSMIL_LISTEN_KEY", "")),
            listen_from=Secret(_address(env, "DSMIL_LISTEN_FROM")),
            feeds_dir=env.get("DSMIL_FEEDS", ""),
        )

    def replace(self, **changes: object) -> Settings:
        """Return a copy with some fields changed."""
        return msgspec.structs.replace(self, **changes)


def default_state_dir(env: Mapping[str, str]) -> Path:
    """Return the state directory of a user who named none (XDG base directory specification)."""
    base = env.get("XDG_STATE_HOME", "")
    return (Path(base) if base else Path.home() / ".local" / "state") / "dsmil"


def flag(env: Mapping[str, str], key: str) -> bool:
    """Read a yes-or-no variable."""
    raw = env.get(key, "").strip().lower()
    if raw in _TRUE:
        return True
    if raw in _FALSE:
        return False
    msg = f"{key}={env[key]!r} is not yes or no; use 1 or 0"
    raise ConfigError(msg)


def _number(env: Mapping[str, str], key: str, default: T, cast: Callable[[str], T], *, low: T, high: T) -> T:
    raw = env.get(key, "")
    if not raw.strip():
        return default
    try:
        value = cast(raw)
    except ValueError:
        msg = f"{key}={raw!r} is not a valid {type(default).__name__}"
        raise ConfigError(msg) from None
    if not low <= value <= high:  # false for NaN as well
        msg = f"{key}={raw!r} is out of range: it must be between {low} and {high}"
        raise ConfigError(msg)
    return value


def _address(env: Mapping[str, str], key: str) -> str:
    url = env.get(key, "")
    if url and not url.startswith(("redis://", "rediss://", "unix://")):
        scheme = url.split(":", 1)[0][:20]
        msg = f"{key} has the scheme {scheme!r}; use redis://, rediss:// or unix://"
        raise ConfigError(msg)
    return url


def _tls_file(env: Mapping[str, str], key: str) -> str:
    """Read the name of a file for TLS; one that would go unused is an error, not a plain connection."""
    name = env.get(key, "")
    if not name:
        return ""
    plain = env.get("REDIS_URL", "").startswith("redis://") or (
        not env.get("REDIS_URL") and any(env.get(other) for other in ("REDIS_HOST", "REDIS_PORT"))
    )
    if plain:
        msg = f"{key} is set, but the broker's address is not TLS; use REDIS_URL=rediss://..."
        raise ConfigError(msg)
    if not os.access(name, os.R_OK):
        msg = f"{key}={name!r} is not a file that can be read"
        raise ConfigError(msg)
    return name


def _http_url(env: Mapping[str, str], key: str, default: str) -> str:
    url = env.get(key, "") or default
    if not url.startswith(("http://", "https://")):
        shown = url.rpartition("@")[2]  # without a password
        msg = f"{key}={shown!r} is not an http or https address"
        raise ConfigError(msg)
    return url.rstrip("/")


def _level(env: Mapping[str, str]) -> str:
    level = (env.get("LOG_LEVEL", "") or "INFO").upper()
    if level not in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}:
        msg = f"LOG_LEVEL={level!r} is not one of DEBUG, INFO, WARNING, ERROR, CRITICAL"
        raise ConfigError(msg)
    return level
