"""One scenario's fabric: a broker with data on disk, service processes, producers, and the oracle.

How a scenario is written::

    @pytest.mark.scenario("A1 router kills")
    def test_router(make_rig, tier, row):
        with make_rig() as rig:
            load = rig.load(rate=1000)                    # publishes to L3_OUT from now on
            rig.store()                                   # `dsmil run store-writer`
            rig.router("router-0", lives=[Life(point="settle:sent", nth=3)])
            rig.crew.play_out(60)                         # every trap must spring, or it fails
            row.injected = sum(rig.crew.hits().values())
            row.judge(rig.finish(load))                   # drain, stop, compare id sets, fill the table

``rig.broker`` can be killed, frozen, thawed and started; ``rig.client`` is a plain admin client;
``make_rig(environ={...})`` gives the services variables, ``constants={"module:NAME": value}`` shortens a time of
the product in the service processes, ``mutant="ack_first"`` breaks it, ``proxied=True`` puts ``rig.proxy`` (a
:class:`dsmil.testing.proxy.FaultProxy`) between services and broker. Figures of the two tiers:
``tier.pick(short, full)``. Draw every random number from ``rig.chance``, which follows ``--seed``.
"""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from tests.acceptance.fabric_process import environment
from tests.faults import checker
from tests.faults.brokers import FaultBroker
from tests.faults.checker import DETECTOR, ROUTER, Hop, Verdict
from tests.faults.crew import Crew, Life, Slot
from tests.faults.load import Load

from dsmil.config import Settings
from dsmil.events.streams import StreamName
from dsmil.services.catalogue import handler_classes
from dsmil.testing.proxy import FaultProxy
from dsmil.testing.waiting import until

#: How long a fabric may take to come to rest after the last fault, seconds.
DRAIN_S: Final = 30.0
#: Nobody listens here: SHRINK is optional, and its absence is an answer at once.
_NO_SHRINK: Final = "http://127.0.0.1:9"


class Drained(Verdict, kw_only=True):
    """The oracle's verdict, and how long the fabric took to come to rest."""

    recovery_s: float = 0.0


class Rig:
    """See the module's text. Leaves no process behind."""

    def __init__(
        self,
        folder: Path,
        chance: random.Random,
        *,
        binary: Path,
        durable: bool = False,
        environ: Mapping[str, str] | None = None,
        constants: Mapping[str, object] | None = None,
        mutant: str = "",
        proxied: bool = False,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.chance = chance
        self.broker = FaultBroker(binary, folder, durable=durable)
        self._environ = dict(environ or {})
        self._constants = dict(constants or {})
        self._mutant = mutant
        self._proxied = proxied
        self._loads: list[Load] = []

    def __enter__(self) -> Rig:
        self.broker.start()
        own = {"HOTPATH_DB": str(self.folder / "hotpath.db"), "DSMIL_STATE_DIR": str(self.folder)}
        own |= {"POLL_TIMEOUT": "500", "LOG_LEVEL": "WARNING", "SHRINK_URL": _NO_SHRINK} | self._environ
        #: Settings of producers and of the oracle: straight to the broker.
        self.settings = Settings.from_env(own | {"REDIS_URL": self.broker.url})
        self.proxy = FaultProxy(self.broker.url, seed=self.chance.getrandbits(32), unix=True)
        if self._proxied:
            self.proxy.__enter__()
        services = own | {"REDIS_URL": self.proxy.url if self._proxied else self.broker.url}
        #: Settings of the services: through the proxy where there is one.
        self.service_settings = Settings.from_env(services)
        runtime = {"XDG_RUNTIME_DIR": os.environ.get("XDG_RUNTIME_DIR", "")}
        self.crew = Crew(
            self.folder,
            environment(**services, **runtime),
            mutant=self._mutant,
            constants=self._constants,
        )
        #: A plain client of the broker itself.
        self.client = redis.Redis(
            unix_socket_path=str(self.broker.socket), protocol=2, socket_timeout=30, retry=Retry(NoBackoff(), 0)
        )
        return self

    def __exit__(self, *_exc: object) -> None:
        for load in self._loads:
            load._over.set()
        if self.broker.poll() is None:
            self.broker.thaw()
        self.crew.stop()
        for load in self._loads:
            load.join(20)
        self.client.close()
        if self._proxied:
            self.proxy.__exit__()
        self.broker.stop()

    # What runs

    def router(self, name: str = "router-0", lives: Iterable[Life] = ()) -> Slot:
        return self.crew.add(name, "run", "soc-router", "--metrics-port", "0", lives=lives)

    def detector(self, name: str = "detect-0", lives: Iterable[Life] = ()) -> Slot:
        """Run all detectors and correlators; with ``lives``, that of the hop in a process of its own."""
        # All of them: a group that nobody reads holds what it has not read, and the broker stays full. Apart,
        # because a death is blamed on the entry that each detector of the process handles alone: killed dozens of
        # times, one would use up the tries of an entry that another holds.
        names = set(handler_classes())
        if not lives:
            return self.crew.add(name, "run", *names, "--metrics-port", "0")
        self.crew.add(f"{name}-others", "run", *(names - {DETECTOR.group}), "--metrics-port", "0")
        return self.crew.add(name, "run", DETECTOR.group, "--metrics-port", "0", lives=lives)

    def store(self, lives: Iterable[Life] = ()) -> Slot:
        return self.crew.add("store", "run", "store-writer", "--metrics-port", "0", lives=lives)

    def load(
        self,
        *,
        rate: float = 1000.0,
        stream: StreamName = StreamName.L3_OUT,
        first: int = 200,
        settings: Settings | None = None,
    ) -> Load:
        """Start a producer; return once ``first`` events are accepted."""
        load = Load(settings or self.settings, self.chance, rate=rate, stream=stream)
        self._loads.append(load)
        load.start()
        self.accept(load, first)
        return load

    # What is waited for

    def accept(self, load: Load, more: int, timeout_s: float = 60.0) -> None:
        """Wait until ``load`` has got rid of that many more copies."""
        goal = len(load.accepted) + more
        until(lambda: len(load.accepted) >= goal, timeout_s, f"{more} more accepted events")

    def put_out(self, stream: str = "SOC_EVENTS") -> int:
        """Return how many entries were ever added to a stream; 0 while it is not there or nobody answers."""
        with contextlib.suppress(redis.RedisError):
            info: Any = self.client.xinfo_stream(stream)
            return int(info["entries-added"])
        return 0

    def flowing(self, timeout_s: float = 60.0, stream: str = "SOC_EVENTS") -> float:
        """Wait until something new comes out; return the seconds that took."""
        started, before = time.monotonic(), self.put_out(stream)
        until(lambda: self.put_out(stream) > before, timeout_s, f"a new entry in {stream}")
        return time.monotonic() - started

    def at_rest(self, hops: Iterable[Hop] = (ROUTER,), *, store: bool = True) -> bool:
        """Return whether everything is read, settled and copied, looking in the order in which entries flow."""
        try:
            for hop in hops:
                found: Any = self.client.xinfo_groups(hop.source)
                # All that read it, not the group of the hop alone: the books of a neighbour that is still behind
                # cannot be told for some time after the broker was killed.
                readers = {row["name"].decode(): row for row in found if row["consumers"]}
                if hop.group not in readers or any(r["lag"] != 0 or r["pending"] != 0 for r in readers.values()):
                    return False
            if not store:
                return True
            reached = dict(checker.rows(self.settings, "SELECT stream, last_id FROM stream_positions"))
            for stream in ("L3_IN", "SOC_EVENTS"):
                if self.client.exists(stream):
                    info: Any = self.client.xinfo_stream(stream)
                    end = info["last-generated-id"].decode()
                    if end not in {"0-0", reached.get(stream)}:
                        return False
        except (redis.RedisError, sqlite3.OperationalError):
            return False
        return True

    def finish(
        self,
        *loads: Load,
        hops: Iterable[Hop] = (ROUTER,),
        drain_s: float = DRAIN_S,
        kept: Iterable[str] = (),
        store: bool = True,
    ) -> Drained:
        """End the producers, wait for rest, stop the services, and ask the oracle. The faults are over by now."""
        for load in loads:
            load.finish()
        started = time.monotonic()
        late = ""
        try:
            until(lambda: self.at_rest(hops, store=store), drain_s, "rest")
        except TimeoutError:
            late = f"not at rest within {drain_s} s"
        seconds = time.monotonic() - started
        self.crew.stop()
        accepted = {number: event_id for load in loads for number, event_id in load.accepted.items()}
        found = checker.check(self.client, self.settings, accepted, hops, kept=kept, store=store)
        others = [late] * bool(late) + self.crew.exits() + found.other
        return Drained(
            lost=found.lost, duplicated=found.duplicated, resent=found.resent, other=others, recovery_s=seconds
        )


__all__ = ["DETECTOR", "DRAIN_S", "ROUTER", "Drained", "Rig"]
