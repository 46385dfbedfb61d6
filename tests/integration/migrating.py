"""Bring a store up to date by other schema steps, stopping half way: run by tests as a process of its own.

migrating.py FILE FOLDER HOW: FOLDER holds the steps after those of this version. HOW is ``through``, or ``hold``:
say "half way" in the middle of the step and wait there for a line on standard input.
"""

from __future__ import annotations

import sys
from pathlib import Path

from dsmil.infrastructure.sql import SchemaStep, read_steps, schema_steps
from dsmil.infrastructure.store import Store


def next_steps(folder: Path) -> tuple[SchemaStep, ...]:
    """Return the steps of this version and those of a folder."""
    return (*schema_steps(), *read_steps(folder))


def say(words: str) -> None:
    """Print a line for the test, at once."""
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def main(path: str, folder: str, how: str) -> None:
    store = Store(Path(path))

    def half_way(*_: object) -> int:
        if how == "hold":
            say("half way")
            sys.stdin.readline()
        return 1

    store.connection.create_scalar_function("half_way", half_way, 0)
    say("ready")
    if how == "through":
        sys.stdin.readline()
    say(f"applied {len(store.migrate(next_steps(Path(folder))))}")
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
