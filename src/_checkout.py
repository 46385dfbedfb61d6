"""Lets the documented paths of a plain clone run under any Python: the clone's own .venv has what is needed."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def use_own_environment() -> None:
    """Start this program anew in the clone's .venv when this Python lacks the dependencies."""
    if find_spec("msgspec") and find_spec("redis") and find_spec("apsw"):
        return
    python = ROOT / ".venv" / "bin" / "python"
    if not python.exists():
        sys.exit(f"the dependencies are not installed; run {ROOT / 'scripts' / 'setup'} first")
    if Path(sys.prefix).resolve() == python.parents[1].resolve():
        sys.exit(f"{python.parents[1]} is incomplete; remove it and run {ROOT / 'scripts' / 'setup'}")
    os.execv(python, [str(python), *sys.orig_argv[1:]])  # noqa: S606 - the same program, another interpreter
