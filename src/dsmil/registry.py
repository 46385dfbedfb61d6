"""Finding built-in parts: one file each in one folder, one constant naming what the file offers."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from dsmil.errors import RegistryError

if TYPE_CHECKING:
    from types import ModuleType


def discover(folder: ModuleType, constant: str, *, required: bool = True) -> dict[str, Any]:
    """Import every public module of ``folder`` and return its ``constant``, keyed by that part's ``name``.

    A module that does not import, or lacks the constant where ``required``, or repeats a name, raises
    RegistryError naming the file: a broken part stops start-up instead of going missing in silence.
    """
    found: dict[str, Any] = {}
    for info in iter_modules(folder.__path__):
        if info.name.startswith("_"):
            continue
        where = f"{folder.__name__}.{info.name}"
        try:
            module = import_module(where)
        except (Exception, SystemExit) as exc:
            msg = f"{where} does not import: {type(exc).__name__}: {exc}"
            raise RegistryError(msg) from exc
        part = getattr(module, constant, None)
        if part is None:
            if required:
                msg = f"{where} has no {constant}; end the file with `{constant} = <its class>`"
                raise RegistryError(msg)
            continue
        name = getattr(part, "name", None)
        if not isinstance(name, str) or not name:
            msg = f"{where}: what it offers as {constant} has no name"
            raise RegistryError(msg)
        if name in found:
            msg = f"{where} offers {name!r}, which another file of {folder.__name__} offers too"
            raise RegistryError(msg)
        found[name] = part
    return found
