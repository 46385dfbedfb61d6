"""Every feed there is: the built-in ones, and the user's own from a directory that is named (DSMIL_FEEDS)."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsmil import sources
from dsmil.config import Settings
from dsmil.errors import ConfigError, RegistryError, UnknownName
from dsmil.events import devices
from dsmil.registry import discover
from dsmil.sources._feed import Source
from dsmil.sources._field_map import read_field_map

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec


def source_classes() -> dict[str, Any]:
    """Return all feeds by name, the user's own behind the built-in ones.

    Raises RegistryError or ConfigError naming the file that is broken: it does not go missing in silence.
    """
    found = discover(sources, "SOURCE")
    folder = Settings.from_env().feeds_dir
    if not folder:
        return found
    if not Path(folder).is_dir():
        raise ConfigError(f"DSMIL_FEEDS={folder!r} is no directory; make it, or take the variable away")
    for path in sorted(Path(folder).iterdir()):
        if path.suffix in (".py", ".toml") and not path.name.startswith(("_", ".", "test_")):
            kind = read_source(path)
            if kind.name in found:
                raise RegistryError(f"{path} offers {kind.name!r}, which another feed offers too; rename it")
            found[kind.name] = kind
    return found


def source_names() -> list[str]:
    """Return the names of all feeds."""
    return list(source_classes())


def find_source(name: str) -> Source:
    """Return a feed by name, or by its file (``./door-log.toml``); UnknownName names the known ones."""
    if name.endswith((".py", ".toml")):
        return read_source(Path(name))()
    found = source_classes()
    if name not in found:
        raise UnknownName(f"no feed is called {name!r}; there are: {', '.join(found)}")
    source: Source = found[name]()
    return source


def read_source(path: Path) -> type[Source]:
    """Return the feed of one file, code or field map; RegistryError or ConfigError names file and remedy."""
    if path.suffix == ".toml":
        return read_field_map(path)
    spec: ModuleSpec | None = importlib.util.spec_from_file_location(f"dsmil_feed_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise RegistryError(f"{path} is no file of a feed")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as exc:
        raise RegistryError(f"{path} does not import: {type(exc).__name__}: {exc}") from exc
    kind = getattr(module, "SOURCE", None)
    if not isinstance(kind, type) or not issubclass(kind, Source):
        raise RegistryError(f"{path} has no SOURCE; end the file with `SOURCE = <its class>`, derived from Source")
    missing = [field for field in ("name", "source", "device_id") if not hasattr(kind, field)]
    if missing or kind.device_id not in devices.DEVICES:
        raise RegistryError(f"{path}: {kind.__name__} needs name, source and a device_id of docs/devices.md")
    return kind
