"""Everything found by scanning a folder: named, described, a device of the registry; a broken file is named."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dsmil import correlation, detections, services, sources
from dsmil.errors import ConfigError, RegistryError, UnknownName
from dsmil.events import devices
from dsmil.events.handling import Remembering
from dsmil.events.streams import StreamName
from dsmil.registry import discover
from dsmil.services.catalogue import handler_classes, make_parts, part_names, service_classes
from dsmil.services.feeds import find_source, source_names

SERVICES: dict[str, Any] = discover(services, "SERVICE", required=False)
DETECTORS: dict[str, Any] = discover(detections, "DETECTOR")
SOURCES: dict[str, Any] = discover(sources, "SOURCE")
CORRELATORS: dict[str, Any] = discover(correlation, "CORRELATOR")
PARTS = [*SERVICES.values(), *DETECTORS.values(), *CORRELATORS.values(), *SOURCES.values()]
#: How far up each stream lies; a layer never publishes into a lower one.
LEVEL = {stream: number for number, stream in enumerate(StreamName)}


def test_the_documented_ones_are_there() -> None:
    assert {"soc-router", "store-writer"} <= SERVICES.keys()
    assert "l3-suricata-alert" in DETECTORS
    assert "suricata-eve" in SOURCES
    assert SERVICES["soc-router"].device_id == 52
    assert SERVICES["soc-router"].reads == (StreamName.L3_OUT, StreamName.L4_OUT)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_is_named_and_described(part: Any) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", part.name), "it is a command line word and a group"
    assert devices.device(part.device_id).device_id == part.device_id
    assert (part.__doc__ or "").strip()
    assert (sys.modules[part.__module__].__doc__ or "").strip()


@pytest.mark.parametrize("part", DETECTORS.values(), ids=lambda part: part.name)
def test_detectors_speak_as_layer_3_and_read_streams(part: Any) -> None:
    assert 15 <= part.device_id <= 22
    assert part.reads
    assert all(stream in set(StreamName) for stream in part.reads)
    assert all(LEVEL[stream] < LEVEL[StreamName.L3_OUT] for stream in part.reads), "flow is upward only"
    assert callable(part().handle)
    assert part().handle([]) == []


@pytest.mark.parametrize("part", CORRELATORS.values(), ids=lambda part: part.name)
def test_correlators_speak_as_layer_4_remember_and_never_read_what_they_write(part: Any) -> None:
    assert 23 <= part.device_id <= 30
    assert part.reads == (StreamName.L3_OUT, StreamName.L4_IN)
    assert part.writes == (StreamName.L4_OUT,)
    made = part()
    assert made.handle([]) == []
    assert isinstance(made, Remembering)
    made.recall(part().memory())
    with pytest.raises(ValueError, match=part.name):
        made.recall(b"no memory")


@pytest.mark.parametrize("part", SOURCES.values(), ids=lambda part: part.name)
def test_sources_speak_as_devices_of_the_bottom(part: Any) -> None:
    assert 0 <= part.device_id <= 11
    assert part.source
    assert isinstance(part.json_array, bool)
    assert part.mapping.time, "the table of mappings is written from it"
    assert list(inspect.signature(part.parse).parameters) == ["self", "record"]


def test_names_are_unique_over_everything_that_reads_streams() -> None:
    names = part_names()
    assert len(names) == len(set(names)), "a name is a consumer group"
    assert set(names) == {*service_classes(), *handler_classes()}
    assert set(source_names()) == set(SOURCES)


@pytest.mark.parametrize("call", [lambda: make_parts(["no-such"], None), lambda: find_source("no-such")])  # type: ignore[arg-type]
def test_unknown_names_list_the_known(call: Callable[[], object]) -> None:
    with pytest.raises((UnknownName, ConfigError), match=r"no-such.*(soc-router|suricata-eve)"):
        call()


# A folder of one's own

GOOD = "class Part:\n    'Fine.'\n    name = {name!r}\n    device_id = 5\nPART = Part\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """Return an empty package that can be imported under a name no other test uses."""
    name = f"parts_{abs(hash(request.node.nodeid))}"
    made = tmp_path / name
    made.mkdir()
    (made / "__init__.py").write_text('"""Parts."""\n')
    (made / "good.py").write_text(GOOD.format(name="good"))
    monkeypatch.syspath_prepend(tmp_path)
    return made


def _scan(folder: Path, **options: bool) -> dict[str, Any]:
    importlib.invalidate_caches()
    module: ModuleType = importlib.import_module(folder.name)
    return discover(module, "PART", **options)


def test_good_files_are_found_by_their_names(folder: Path) -> None:
    (folder / "other.py").write_text(GOOD.format(name="another-name"))
    (folder / "_shared.py").write_text("raise RuntimeError('not a part')\n")
    assert sorted(_scan(folder)) == ["another-name", "good"]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def broken(:\n", "SyntaxError"),
        ("import no_such_module_at_all\n", "no_such_module_at_all"),
        ("raise RuntimeError('as it is loaded')\n", "as it is loaded"),
        ("1 / 0\n", "ZeroDivisionError"),
        ("PARTS = None\n", "PART"),
        (GOOD.format(name="good"), "'good'"),
    ],
    ids=["syntax", "import", "raises", "zero", "no constant", "name twice"],
)
def test_broken_file_stops_the_start_and_is_named(folder: Path, source: str, words: str) -> None:
    (folder / "odd.py").write_text(source)
    with pytest.raises(RegistryError) as caught:
        _scan(folder)
    assert f"{folder.name}.odd" in str(caught.value)
    assert words in str(caught.value)


def test_file_without_the_constant_is_passed_over_where_that_is_allowed(folder: Path) -> None:
    (folder / "helper.py").write_text('"""No part."""\n')
    assert list(_scan(folder, required=False)) == ["good"]


@pytest.mark.parametrize(
    "source",
    [
        "class Part:\n    device_id = 5\nPART = Part\n",
        "import sys\nsys.exit(3)\n",
    ],
    ids=["no name", "exits"],
)
def test_file_that_offers_half_a_part_is_named_too(folder: Path, source: str) -> None:
    (folder / "half.py").write_text(source)
    with pytest.raises(RegistryError, match=r"\.half"):
        _scan(folder)
