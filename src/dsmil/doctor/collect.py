"""Collecting the facts: every effect of looking is here and in the ``look_`` files beside it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from dsmil.config import Settings
from dsmil.doctor import look_broker, look_host, look_keeping, look_locks, look_store
from dsmil.doctor.facts import Broker, Facts
from dsmil.errors import ConfigError
from dsmil.infrastructure.address import broker_url

_VARIABLE = re.compile(r"[A-Z][A-Z_]+")
_BROKER = "REDIS_"


class Environment(msgspec.Struct, frozen=True):
    """Settings as far as they can be used."""

    settings: Settings
    #: What is wrong with each variable that cannot.
    problems: tuple[str, ...] = ()
    #: Whether one that names the broker is among them.
    broker_unknown: bool = False


def environment(environ: Mapping[str, str] | None = None) -> Environment:
    """Read the settings; a variable that cannot be used is named and left out, and the rest are read."""
    env = dict(os.environ if environ is None else environ)
    problems: list[str] = []
    unknown = False
    while True:
        try:
            return Environment(Settings.from_env(env), tuple(problems), unknown)
        except ConfigError as exc:
            match = _VARIABLE.match(str(exc))
            if match is None or env.pop(match.group(), None) is None:
                raise
            problems.append(str(exc))
            unknown |= match.group().startswith(_BROKER)


def collect(found: Environment, *, deep: bool = False) -> Facts:
    """Look at everything once."""
    settings, now = found.settings, time.time()
    locks = look_locks.ConsumerLocks(broker_url(settings))
    if found.broker_unknown:
        broker = Broker(
            address="the broker", mode="given", error="not asked: a variable that names it cannot be used"
        )
    else:
        broker = look_broker.look(settings, locks)
    store = look_store.look(settings, now, deep=deep)
    # The folder in memory is ours by its name; a foreign one there drives the store to the disk.
    memory = "" if settings.hotpath_db else f"/dev/shm/dsmil-{os.getuid()}"  # noqa: S108 - looked at, not used
    return Facts(
        now=now,
        settings_errors=found.problems,
        host=look_host.look_host(),
        instance=look_host.look_instance(settings, locks, now, store=str(Path(store.path)), private=memory),
        broker=broker,
        store=store,
        keeping=look_keeping.look(settings, now, ask_broker=not broker.error),
    )
