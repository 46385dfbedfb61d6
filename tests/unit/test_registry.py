"""Built-in parts are found by folder; a broken one stops start-up by name."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from dsmil import detections, sources
from dsmil.errors import RegistryError
from dsmil.registry import discover

Package = Callable[[dict[str, str]], ModuleType]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    """Make a package of the given files; it is forgotten after the test."""
    name = f"parts_{tmp_path.name.replace('-', '_')}"

    def make(files: dict[str, str]) -> ModuleType:
        folder = tmp_path / name
        folder.mkdir()
        for file, text in files.items():
            (folder / f"{file}.py").write_text(text)
        (folder / "__init__.py").touch()
        monkeypatch.syspath_prepend(str(tmp_path))
        return importlib.import_module(name)

    yield make
    for loaded in [m for m in sys.modules if m.startswith(name)]:
        del sys.modules[loaded]


def part(name: str) -> str:
    return f"class Part:\n    name = {name!r}\n\nPART = Part\n"


def test_each_public_file_offers_one_part(package: Package) -> None:
    found = discover(package({"one": part("first"), "two": part("second"), "_private": "boom("}), "PART")
    assert sorted(found) == ["first", "second"]
    assert found["first"].name == "first"


def test_a_file_that_does_not_import_is_named_with_its_cause(package: Package) -> None:
    folder = package({"good": part("good"), "broken": "import no_such_module_at_all"})
    with pytest.raises(RegistryError, match=r"\.broken does not import: ModuleNotFoundError") as caught:
        discover(folder, "PART")
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_a_file_of_bad_python_is_named(package: Package) -> None:
    with pytest.raises(RegistryError, match=r"\.bad does not import: SyntaxError"):
        discover(package({"bad": "def ("}), "PART")


def test_a_file_without_the_constant_is_named_where_it_is_required(package: Package) -> None:
    folder = package({"empty": "X = 1", "full": part("full")})
    with pytest.raises(RegistryError, match=r"\.empty has no PART"):
        discover(folder, "PART")
    assert list(discover(folder, "PART", required=False)) == ["full"]


def test_two_files_of_one_name_are_refused(package: Package) -> None:
    with pytest.raises(RegistryError, match=r"\.two offers 'same', which another file"):
        discover(package({"one": part("same"), "two": part("same")}), "PART")


def test_an_empty_folder_offers_nothing(package: Package) -> None:
    assert discover(package({}), "PART") == {}


def test_the_built_in_feeds_and_detectors_are_found() -> None:
    assert discover(sources, "SOURCE")["suricata-eve"].source == "suricata"
    assert discover(detections, "DETECTOR")["l3-suricata-alert"].device_id == 16
