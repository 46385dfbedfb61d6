#!/usr/bin/env python3
"""The documented test report: checks a running fabric from the outside. Exit code 0 or 1.

Usage: python3 scripts/test_soc_router.py [--verbose]
"""

from __future__ import annotations

import argparse
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.append(str(Path(__file__).resolve().parents[1] / "src"))

from _checkout import use_own_environment

use_own_environment()

from dsmil import log
from dsmil.config import Settings
from dsmil.events.ids import new_id
from dsmil.infrastructure.address import broker_url, public_url
from dsmil.infrastructure.hotpath_db import HotPathDB
from dsmil.infrastructure.redis_streams import (
    EventCategory,
    RedisStreamsClient,
    Severity,
    StreamName,
    create_event,
)
from dsmil.infrastructure.store import Store
from dsmil.services.soc_router import SHRINKClient, SOCRouter, SOCRouterConfig

if TYPE_CHECKING:
    from collections.abc import Callable

RULE = "=" * 50
VERBOSE = False


class CheckFailed(Exception):
    """A check did not hold; the text says which."""


def say(sign: str, text: str) -> None:
    print(f"  {sign} {text}")


def detail(text: str) -> None:
    if VERBOSE:
        print(f"     {text}")


def expect(held: object, what: str) -> None:
    if not held:
        raise CheckFailed(what)


def check_redis() -> None:
    print("🔴 Testing Redis Streams...")
    address = public_url(broker_url(Settings.from_env()))
    with RedisStreamsClient() as client:
        expect(client.connect(), f"no broker at {address}; start the fabric with scripts/up")
        say("✅", "Connected to Redis")
        detail(address)
        made = client.initialize_streams()
        expect(all(made.values()), f"streams not initialized: {[n for n, ok in made.items() if not ok]}")
        say("✅", f"Initialized {sum(made.values())}/{len(made)} streams")
        event = create_event(
            source_device=22,
            source_layer=3,
            category=EventCategory.SYSTEM,
            severity=Severity.LOW,
            payload={"alert": "test event of scripts/test_soc_router.py", "decision": "self-test"},
            source="self-test",
        )
        entry = client.publish(StreamName.L3_OUT, event)
        expect(entry, "publishing to L3_OUT failed")
        say("✅", "Published test event")
        detail(f"L3_OUT/{entry}, event {event.event_id}")
        expect(client.get_stream_info(StreamName.L3_OUT)["length"] > 0, "L3_OUT is empty after publishing")
    say("✅", "Redis tests passed")


def check_hotpath_db() -> None:
    print("💾 Testing Hot-Path Database...")
    with HotPathDB() as db:
        expect(db.connect(), f"cannot open {db.place.path}")
        say("✅", "Connected to hot-path DB")
        detail(f"{db.place.path} ({db.place.reason})")
        expect(db.initialize_schema(), "the schema cannot be brought up to date")
        say("✅", "Schema initialized")
        event_id = new_id()
        written = db.insert_event(
            event_id=event_id,
            device_id=52,
            layer=8,
            source="self-test",
            compartment="GENERAL",
            category="SYSTEM",
            severity="LOW",
            payload={"alert": "test row"},
        )
        expect(written, "a row cannot be written")
        expect(db.get_event(event_id)["raw"], "a written row cannot be read back")
        detail(f"wrote, read and removed row {event_id}")
        path = db.place.path
    store = Store(path)
    with store.writing("removing the test row") as connection:
        connection.execute("DELETE FROM raw_events_fast WHERE event_id = ?", (event_id,))
    store.close()
    say("✅", "Hot-path DB tests passed")


def check_shrink() -> None:
    print("🧠 Testing SHRINK Integration...")
    client = SHRINKClient(Settings.from_env().shrink_url)
    metrics = client.get_metrics()
    if metrics is None:
        say("⚠️ ", "SHRINK not available (optional)")
        return
    say("✅", "SHRINK available")
    for name, value in metrics.items():
        say("📊", f"{name}: {value}")
    detail(f"{len(client.get_alerts())} alerts")


def check_soc_router() -> None:
    print("🔧 Testing SOC Router...")
    stats = SOCRouter(SOCRouterConfig()).get_stats()
    expect(stats["device_id"] == 52, f"device id is {stats['device_id']}")  # noqa: PLR2004 - the documented number
    say("📊", f"Device ID: {stats['device_id']}")
    say("📊", f"Token Base: {stats['token_base']}")
    expect(stats["token_base"] == "0x809C", f"token base is {stats['token_base']}")
    detail(str(stats))
    say("✅", "SOC Router instantiation passed")


CHECKS: dict[str, Callable[[], None]] = {
    "redis": check_redis,
    "hotpath_db": check_hotpath_db,
    "shrink": check_shrink,
    "soc_router": check_soc_router,
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Check a running fabric.")
    parser.add_argument("--verbose", "-v", action="store_true", help="say more about each check")
    global VERBOSE  # noqa: PLW0603 - a script of one run
    VERBOSE = parser.parse_args().verbose
    log.configure("WARNING")
    print(f"{RULE}\nDSMIL SOC Router Infrastructure Tests\n{RULE}\n")
    results = {}
    for name, check in CHECKS.items():
        try:
            check()
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is reported
            say("❌", str(exc) if isinstance(exc, CheckFailed) else f"{type(exc).__name__}: {exc}")
            if VERBOSE and not isinstance(exc, CheckFailed):
                traceback.print_exc()
            results[name] = False
        else:
            results[name] = True
        print()
    print(f"{RULE}\nTest Summary\n{RULE}")
    for name, passed in results.items():
        print(f"  {name}: {'✅ PASSED' if passed else '❌ FAILED'}")
    print(f"\nTotal: {sum(results.values())}/{len(results)} tests passed")
    if all(results.values()):
        print("🎉 All tests passed!")
        return 0
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
