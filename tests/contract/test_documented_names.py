"""Names, arguments and spellings that the specification and its users rely on."""

from __future__ import annotations

import inspect
import itertools
import re
import subprocess
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dsmil.events import devices
from dsmil.events.streams import DEAD_LETTERS, DEFAULT_GROUP
from dsmil.infrastructure import hotpath_db, redis_streams
from dsmil.infrastructure.hotpath_db import HotPathConfig, HotPathDB
from dsmil.infrastructure.redis_streams import (
    DSMILEvent,
    EventCategory,
    RedisStreamsClient,
    Severity,
    StreamName,
    create_event,
)
from dsmil.services import soc_router
from dsmil.services.soc_router import SHRINKClient, SOCRouter, SOCRouterConfig

ROOT = Path(__file__).resolve().parents[2]
#: Documented module -> its documented names.
MODULES = {
    "infrastructure.redis_streams": (
        *("RedisStreamsClient", "StreamName", "DSMILEvent", "create_event", "Severity", "EventCategory"),
    ),
    "infrastructure.hotpath_db": ("HotPathDB", "HotPathConfig"),
    "services.soc_router": ("SOCRouter", "SOCRouterConfig", "SHRINKClient"),
}
SPELLINGS = ("src.{}", "{}", "dsmil.{}")


def _python(script: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


# One class identity


@pytest.mark.parametrize("order", list(itertools.permutations(SPELLINGS)), ids=" ".join)
def test_three_spellings_are_one_module(order: tuple[str, ...]) -> None:
    """Whichever is imported first: a second copy of a class would fail every isinstance between them."""
    lines = ["import sys", "from importlib import import_module", "sys.path.insert(0, 'src')"]
    for module, names in MODULES.items():
        lines += [
            f"found = [import_module(s.format({module!r})) for s in {order!r}]",
            f"for name in {names!r}:",
            "    kinds = {id(getattr(m, name)) for m in found}",
            f"    assert len(kinds) == 1, ({module!r}, name, found)",
            "    assert getattr(found[0], name).__module__.startswith('dsmil.'), name",
        ]
    _python("\n".join(lines))


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_documented_import_statement(spelling: str) -> None:
    path = "import sys; sys.path.insert(0, 'src')\n" if spelling == "{}" else ""
    for module, names in MODULES.items():
        _python(f"{path}from {spelling.format(module)} import (\n    {', '.join(names)}\n)")


def test_patches_reach_the_code_under_every_spelling() -> None:
    _python(
        "import src.infrastructure.redis_streams as documented\n"
        "import dsmil.infrastructure.redis_streams as real\n"
        "assert documented is real\n"
        "documented.create_event = 'patched'\n"
        "assert real.create_event == 'patched'\n"
    )


def test_importing_the_documented_paths_starts_nothing() -> None:
    said = _python(
        "import threading\n"
        "import src.infrastructure.redis_streams, src.infrastructure.hotpath_db, src.services.soc_router\n"
        "print(threading.active_count())"
    )
    assert said == "1\n"


# Names and arguments

#: Callable -> documented arguments, in their documented order; ``*`` begins those that are named.
ARGUMENTS: dict[Callable[..., Any], str] = {
    create_event: "source_device source_layer category severity payload * event_id ts source compartment token_id "
    "clearance ingest_ts correlation_id entities techniques score evidence",
    RedisStreamsClient.connect: "",
    RedisStreamsClient.initialize_streams: "",
    RedisStreamsClient.publish: "stream event",
    RedisStreamsClient.read: "stream count last_id",
    RedisStreamsClient.read_group: "stream group consumer",
    RedisStreamsClient.ack: "stream group",
    RedisStreamsClient.get_stream_info: "stream",
    RedisStreamsClient.disconnect: "",
    HotPathDB.connect: "",
    HotPathDB.initialize_schema: "",
    HotPathDB.insert_event: "event_id device_id layer source compartment category severity payload",
    HotPathDB.get_recent_events: "layer severity limit",
    HotPathDB.insert_soc_event: "event_id severity category source_device source_layer payload"
    " * signals shrink_metrics",
    HotPathDB.insert_shrink_metrics: "metrics",
    HotPathDB.insert_model_output: "",
    HotPathDB.update_device_status: "device_id layer name status * memory_mb tops_allocated",
    HotPathDB.get_recent_soc_events: "limit",
    HotPathDB.get_device_statuses: "",
    HotPathDB.update_layer_state: "layer active_devices memory_used_gb tops_used",
    HotPathDB.get_layer_states: "",
    HotPathDB.cleanup_old_data: "",
    HotPathDB.get_stats: "",
    HotPathDB.disconnect: "",
    SHRINKClient.check_availability: "",
    SHRINKClient.get_metrics: "",
    SHRINKClient.get_alerts: "",
    SOCRouter.get_stats: "",
}


@pytest.mark.parametrize("function", ARGUMENTS, ids=lambda function: function.__qualname__)
def test_documented_arguments(function: Callable[..., Any]) -> None:
    parameters = {n: p for n, p in inspect.signature(function).parameters.items() if n != "self"}
    positional, _, named = ARGUMENTS[function].partition("*")
    wanted = positional.split()
    assert list(parameters)[: len(wanted)] == wanted
    for name in named.split():
        assert name in parameters, name
        assert parameters[name].kind in {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    # What is not documented must not be needed.
    known = {*wanted, *named.split()}
    if wanted:
        for name, parameter in parameters.items():
            optional = parameter.default is not inspect.Parameter.empty or parameter.kind in {
                inspect.Parameter.VAR_POSITIONAL,
                inspect.Parameter.VAR_KEYWORD,
            }
            assert name in known or optional, f"{name} is needed and not documented"


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (RedisStreamsClient.connect, bool),
        (RedisStreamsClient.initialize_streams, dict[str, bool]),
        (RedisStreamsClient.publish, str | None),
        (HotPathDB.connect, bool),
        (HotPathDB.initialize_schema, bool),
        (HotPathDB.insert_event, bool),
        (HotPathDB.insert_soc_event, bool),
        (HotPathDB.insert_shrink_metrics, bool),
        (HotPathDB.insert_model_output, bool),
        (HotPathDB.update_device_status, bool),
        (HotPathDB.update_layer_state, bool),
        (HotPathDB.get_recent_events, list[dict[str, Any]]),
        (HotPathDB.get_recent_soc_events, list[dict[str, Any]]),
        (HotPathDB.get_device_statuses, list[dict[str, Any]]),
        (HotPathDB.get_layer_states, list[dict[str, Any]]),
        (HotPathDB.get_stats, dict[str, Any]),
        (SHRINKClient.check_availability, bool),
        (SHRINKClient.get_metrics, dict[str, Any] | None),
        (SHRINKClient.get_alerts, list[dict[str, Any]]),
    ],
    ids=lambda value: getattr(value, "__qualname__", ""),
)
def test_documented_returns(function: Callable[..., Any], kind: Any) -> None:
    """Writers and ``connect`` answer bool, readers lists of dicts."""
    assert typing.get_type_hints(function)["return"] == kind


def test_documented_defaults() -> None:
    read = inspect.signature(RedisStreamsClient.read).parameters
    assert read["last_id"].default == "0-0"
    assert inspect.signature(SHRINKClient).parameters["url"].default == "http://localhost:8500"
    for kind in (RedisStreamsClient, HotPathDB, SOCRouter):
        needed = [
            name
            for name, parameter in inspect.signature(kind).parameters.items()
            if parameter.default is inspect.Parameter.empty
        ]
        assert needed == [], f"{kind.__name__}() takes everything from the environment"


def test_documented_settings_of_the_router_and_the_store() -> None:
    config = SOCRouterConfig(redis_host="h", redis_port=1, shrink_url="http://127.0.0.1:9")
    assert (config.redis_host, config.redis_port, config.shrink_url) == ("h", 1, "http://127.0.0.1:9")
    place = HotPathConfig(db_path="/a", fallback_path="/b")
    assert (place.db_path, place.fallback_path) == ("/a", "/b")
    assert HotPathConfig("/a", "/b") == place


@pytest.mark.parametrize("module", [redis_streams, hotpath_db, soc_router], ids=lambda module: module.__name__)
def test_all_names_what_is_there(module: Any) -> None:
    documented = MODULES[module.__name__.removeprefix("dsmil.")]
    assert set(documented) <= set(module.__all__)
    for name in module.__all__:
        assert hasattr(module, name), name


# Values


def test_streams() -> None:
    assert {stream.value for stream in StreamName} == set(
        "L3_IN L3_OUT L4_IN L4_OUT L5_IN L5_OUT L6_IN L6_OUT L7_IN L7_OUT SOC_EVENTS L8_ALERTS L9_COMMANDS".split()
    )
    assert len(StreamName) == 13
    assert all(stream.name == stream.value for stream in StreamName)
    assert DEAD_LETTERS == "DEAD_LETTERS"
    assert DEFAULT_GROUP == "dsmil"


def test_severities_and_categories() -> None:
    assert [s.value for s in sorted(Severity)] == ["LOW", "MEDIUM", "HIGH", "CRITICAL"]
    assert Severity.LOW < Severity.MEDIUM < Severity.HIGH < Severity.CRITICAL
    assert {c.value for c in EventCategory} == set("AUTH NETWORK SYSTEM APP INTEL SECURITY CRYPTO SOC".split())


def test_event_fields_and_defaults() -> None:
    event = create_event(
        source_device=15,
        source_layer=3,
        category=EventCategory.SECURITY,
        severity=Severity.HIGH,
        payload={"alert": "Anomaly detected"},
    )
    assert isinstance(event, DSMILEvent)
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", event.event_id)
    assert event.compartment == "GENERAL"
    assert event.token_id == 0x8000 + 3 * 15
    assert event.clearance == 0x03030303
    assert event.ingest_ts == pytest.approx(event.ts)
    documented = {
        *("event_id", "ts", "source_device", "source_layer", "category", "severity", "payload", "source"),
        *("compartment", "token_id", "clearance", "ingest_ts", "correlation_id", "entities", "techniques"),
        *("score", "evidence"),
    }
    assert documented <= set(type(event).__struct_fields__)
    for alias, severity in (("INFO", Severity.LOW), ("MODERATE", Severity.MEDIUM), ("odd", Severity.HIGH)):
        assert create_event(15, 3, "SECURITY", alias, {}).severity is severity


def test_router_before_it_is_started() -> None:
    stats = SOCRouter(SOCRouterConfig(redis_host="127.0.0.1", redis_port=1)).get_stats()
    assert stats == {
        "device_id": 52,
        "token_base": "0x809C",
        "layer": 8,
        "processed": 0,
        "published": 0,
        "uptime": 0.0,
        "shrink": False,
    }


def test_registry_of_devices_and_layers() -> None:
    assert len(devices.DEVICES) == 104
    found = {n: (x.name, x.first_device, x.last_device, x.tops, x.memory_gb) for n, x in devices.LAYERS.items()}
    assert found == {
        2: ("TRAINING", 4, 4, 102, 4),
        3: ("SECRET", 15, 22, 50, 6),
        4: ("TOP_SECRET", 23, 30, 65, 8),
        5: ("COSMIC", 31, 36, 105, 10),
        6: ("ATOMAL", 37, 42, 160, 12),
        7: ("EXTENDED", 43, 50, 440, 40),
        8: ("ENHANCED_SEC", 51, 58, 80, 8),
        9: ("EXECUTIVE", 59, 62, 200, 12),
    }
    assert devices.device(52).name == "Security Analytics"
    assert devices.token_id(52) == 0x809C
    assert devices.clearance(8) == 0x08080808
    assert (devices.device(61).name, devices.device(83).name) == ("NC3 Integration", "Emergency Stop")
    assert all(devices.device(n).layer == 0 for n in (*range(4), *range(5, 15)))
    assert {devices.device(n).name for n in (*range(63, 83), *range(84, 104))} == {"reserved"}
