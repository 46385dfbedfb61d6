"""The broker itself: whether it answers, refuses instead of evicting, has room, and is a fit version."""

from __future__ import annotations

import re
from typing import Final

from dsmil.doctor.facts import Broker, Facts
from dsmil.doctor.finding import Check, Finding, error, info, ok, warning
from dsmil.doctor.words import redis_cli, size

_NEEDED: Final = "noeviction"
_OLDEST: Final = (7, 0, 0)
_FULL: Final = 0.85
_FILLING: Final = 0.70
#: Part of the host's memory beyond which a broker leaves too little for the store and the services.
_MOST_OF_HOST: Final = 0.75
_HALF_OF_HOST: Final = 0.50

Version = tuple[int, int, int]
#: Server, first bad version, first good version, whether packagers are known to mend it in place, what is wrong.
BAD_VERSIONS: Final[tuple[tuple[str, Version, Version, str], ...]] = (
    ("redis", (7, 0, 0), (7, 0, 5), "XAUTOCLAIM can corrupt memory (CVE-2022-35951)"),
    ("redis", (7, 0, 0), (7, 2, 11), "scripts can run foreign code (CVE-2025-49844)"),
    ("redis", (7, 4, 0), (7, 4, 6), "scripts can run foreign code (CVE-2025-49844)"),
    ("redis", (8, 0, 0), (8, 0, 4), "scripts can run foreign code (CVE-2025-49844)"),
    ("redis", (8, 2, 0), (8, 2, 2), "scripts can run foreign code (CVE-2025-49844)"),
    ("redis", (8, 2, 0), (8, 2, 3), "XACKDEL can overflow its stack (CVE-2025-62507)"),
    ("redis", (8, 2, 2), (8, 4, 1), "trimming with ACKED deletes nothing (redis issue 14656)"),
    ("valkey", (7, 2, 0), (7, 2, 11), "scripts can run foreign code (CVE-2025-49844)"),
    ("valkey", (8, 0, 0), (8, 0, 6), "scripts can run foreign code (CVE-2025-49844)"),
    ("valkey", (8, 1, 0), (8, 1, 4), "scripts can run foreign code (CVE-2025-49844)"),
)


def run(facts: Facts) -> list[Finding]:
    """Judge the broker."""
    broker = facts.broker
    if broker.error:
        return [_away(broker)]
    return [
        ok("broker.reach", f"{broker.address} answers ({broker.mode})"),
        _eviction(broker),
        _memory(broker, facts.host.memory_total),
        *_version(broker),
        _functions(facts),
    ]


def _away(broker: Broker) -> Finding:
    remedy = {
        "none": "start the fabric with `dsmil up`, or name a broker with REDIS_URL",
        "given": "start it, or correct REDIS_URL or REDIS_HOST/PORT/DB, user and password",
    }.get(
        broker.mode, "look at broker/broker.log in the state directory; `dsmil up` starts a broker that died anew"
    )
    return error("broker.reach", f"{broker.address}: {broker.error}", remedy)


def _eviction(broker: Broker) -> Finding:
    gone = f", {broker.evicted} keys evicted so far" if broker.evicted else ""
    if broker.policy == _NEEDED:
        return ok("broker.eviction", f"maxmemory-policy is {_NEEDED}{gone}")
    ours = broker.mode == "bundled"
    command = redis_cli(broker, "CONFIG", "SET", "maxmemory-policy", _NEEDED)
    return error(
        "broker.eviction",
        f"maxmemory-policy is {broker.policy or 'unknown'}{gone}: a full broker silently throws streams away",
        f"{command}{'' if ours else ', and the same in the configuration of the server'}",
        fix="noeviction" if ours else "",
    )


def _memory(broker: Broker, host: int | None) -> Finding:
    name, used = "broker.memory", size(broker.used_memory)
    if not broker.maxmemory:
        limit = size(host / 2) if host else "half of the memory"
        remedy = redis_cli(broker, "CONFIG", "SET", "maxmemory", str(host // 2) if host else "2gb")
        evidence = f"{used} used, no limit is set: only the end of the host's memory stops it"
        if host and broker.used_memory >= _HALF_OF_HOST * host:
            return warning(name, f"{evidence} ({size(host)})", f"{remedy}, and remove what is no longer needed")
        return info(name, evidence, f"a limit makes it refuse writes in time ({limit}): {remedy}")
    share = broker.used_memory / broker.maxmemory
    evidence = f"{used} of {size(broker.maxmemory)} used ({share:.0%})"
    more = f"give it more: {redis_cli(broker, 'CONFIG', 'SET', 'maxmemory', str(broker.maxmemory * 2))}"
    if share >= _FULL:
        return error(name, f"{evidence}: when it is full, nothing can be published", more)
    if share >= _FILLING:
        return warning(name, evidence, more)
    if host and broker.maxmemory > _MOST_OF_HOST * host:
        fit = redis_cli(broker, "CONFIG", "SET", "maxmemory", str(host // 2))
        return warning(name, f"{evidence}, but the host has only {size(host)}", fit)
    return ok(name, evidence)


def parse(version: str) -> Version | None:
    """Return the three numbers that a version begins with."""
    match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


def _version(broker: Broker) -> list[Finding]:
    name, said = "broker.version", f"{broker.server} {broker.version}"
    version = parse(broker.version)
    if version is None:
        return [info(name, f"{said}: not a version that can be compared")]
    if version < _OLDEST:
        return [error(name, f"{said}: functions and group lag need 7.0", "upgrade the server to 7.2 or later")]
    bad = [
        (good, what)
        for server, first, good, what in BAD_VERSIONS
        if server == broker.server and first <= version < good
    ]
    if not bad:
        return [ok(name, said)]
    needed = ".".join(map(str, max(good for good, _ in bad)))
    evidence = f"{said}: {'; '.join(what for _, what in bad)}"
    remedy = f"upgrade to {broker.server} {needed} or later, or see whether its packager has mended this version"
    return [warning(name, evidence, remedy)]


def _functions(facts: Facts) -> Finding:
    name, state = "broker.functions", facts.broker.functions
    if state == "loaded":
        return ok(name, "the server-side functions are loaded")
    if state == "unknown":
        return info(name, "FUNCTION LIST is not allowed: it cannot be told whether the functions are loaded")
    if state == "other" and facts.instance.running and not facts.instance.same_version:
        return warning(
            name,
            f"the server-side functions are not those of this version; {facts.instance.version} is running",
            "use the program of the version that runs, or start this one with `dsmil down` and `dsmil up`",
        )
    seen = "are not loaded" if state == "missing" else "are a copy of another version"
    return warning(
        name,
        f"the server-side functions {seen}",
        "`dsmil doctor --fix`, or start the services: each loads them",
        fix="load-functions",
    )


CHECK = Check(
    name="broker",
    tells={
        "broker.reach": "error when the broker does not answer",
        "broker.eviction": "error when the eviction policy is not `noeviction`: any other throws streams away",
        "broker.memory": "info without a limit; warning from 70 % of the limit, error from 85 %, and warning when"
        " the limit, or half of the host without one, does not fit the host's memory",
        "broker.version": "error below 7.0, warning for versions with known bugs that concern the fabric",
        "broker.functions": "warning when the server-side functions are missing or of another version",
    },
    run=run,
)
