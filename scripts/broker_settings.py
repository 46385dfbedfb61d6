"""Look at the settings of the broker that decide whether events survive; change them only when told to.

Run by scripts/setup_data_fabric.sh. Exit code: 0 when all is well, 3 when a setting is wrong (and was not
changed), 4 when it was changed, 5 when it was changed until the next restart only, 69 when the broker does not
answer or is too old.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

import redis

from dsmil.config import Settings
from dsmil.infrastructure.address import broker_url, public_url
from dsmil.infrastructure.connection import connect

#: Setting -> values that are right, the first of which is set. Anything else loses events without an error.
WANTED: Final = {
    "appendonly": ("yes",),
    "appendfsync": ("everysec", "always"),
    "maxmemory-policy": ("noeviction",),
}
OLDEST: Final = 7
REWRITE_S: Final = 600.0
WELL, WRONG, CHANGED, CHANGED_FOR_NOW, UNAVAILABLE = 0, 3, 4, 5, 69


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fix", action="store_true", help="change what is wrong, in the safe order")
    parser.add_argument(
        "--env-file",
        type=Path,
        action="append",
        default=[],
        help="environment file of the services; the last one and then the environment win",
    )
    options = parser.parse_args()
    environ = {"REDIS_HOST": "localhost"}
    for file in options.env_file:
        environ |= from_file(file)
    settings = Settings.from_env(environ | dict(os.environ))
    url = broker_url(settings)
    try:
        with connect(url, settings) as client:
            return examine(client, public_url(url), fix=options.fix)
    except redis.RedisError as exc:
        say(f"the broker at {public_url(url)} does not answer: {exc}")
        return UNAVAILABLE


def examine(client: redis.Redis, name: str, *, fix: bool) -> int:
    info: Any = client.info("server")
    version = str(info.get("valkey_version") or info.get("redis_version", "0"))
    if int(version.split(".", maxsplit=1)[0]) < OLDEST:
        say(f"the broker at {name} is version {version}; at least {OLDEST}.0 is needed")
        return UNAVAILABLE
    now = {key: read(client, key) for key in WANTED}
    wrong = [key for key, right in WANTED.items() if now[key] not in right]
    shown = ", ".join(f"{key} {value}" for key, value in now.items())
    say(f"the broker at {name} is version {version}: {shown}")
    if not wrong:
        return WELL
    for key in wrong:
        say(f"WARNING: {key} is {now[key]}; it must be {' or '.join(WANTED[key])}, or events are lost")
    if not fix:
        tell_how(wrong)
        return WRONG
    for key in sorted(wrong, key=lambda key: key == "appendonly"):
        say(f"CONFIG SET {key} {WANTED[key][0]}")
        client.config_set(key, WANTED[key][0])
    wait_for_rewrite(client)
    return keep(client, wrong)


def read(client: redis.Redis, key: str) -> str:
    answer: Any = client.config_get(key)
    value = answer.get(key, answer.get(key.encode(), "unknown"))
    return value.decode() if isinstance(value, bytes) else str(value)


def tell_how(wrong: list[str]) -> None:
    say("nothing was changed. Run this script again with --fix-redis, or do it by hand with redis-cli, live:")
    for key in sorted(wrong, key=lambda key: key == "appendonly"):
        say(f"  CONFIG SET {key} {WANTED[key][0]}")
    say("  INFO persistence   until aof_rewrite_in_progress:0 and aof_last_bgrewrite_status:ok")
    say(
        "  CONFIG REWRITE     writes the settings into the server's file, once its data is in the append-only file"
    )
    say("Do not write appendonly yes into the file and restart: the server would start empty.")


def wait_for_rewrite(client: redis.Redis) -> None:
    """Wait until everything the server holds is in its append-only file; before that a restart loses it."""
    say("waiting until the server has written all its data to the append-only file")
    deadline = time.monotonic() + REWRITE_S
    while time.monotonic() < deadline:
        info: Any = client.info("persistence")
        if not info["aof_rewrite_in_progress"] and not info["aof_rewrite_scheduled"]:
            if info["aof_last_bgrewrite_status"] != "ok":
                raise redis.RedisError("the server could not write its append-only file; see its log")
            return
        time.sleep(0.1)
    raise redis.RedisError(f"the append-only file was not written within {REWRITE_S:.0f} s; no CONFIG REWRITE")


def keep(client: redis.Redis, changed: list[str]) -> int:
    """Let the settings outlive a restart; a server that has no file must be told how to start."""
    say("CONFIG REWRITE")
    try:
        client.config_rewrite()
    except redis.ResponseError as exc:
        say(f"WARNING: the settings hold until the server restarts, which could lose its data: {exc}")
        say(f"put them where it is started: {' '.join(f'--{key} {WANTED[key][0]}' for key in changed)}")
        return CHANGED_FOR_NOW
    return CHANGED


def from_file(path: Path) -> dict[str, str]:
    """Read KEY=value lines as systemd does, as far as addresses need it."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError:
        return {}
    pairs = (
        line.strip().split("=", 1) for line in lines if "=" in line and not line.lstrip().startswith(("#", ";"))
    )
    return {key.strip(): value.strip().strip("\"'") for key, value in pairs}


def say(text: str) -> None:
    print(f"    {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
