"""The list of variables that ``dsmil config show`` prints is the list that is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dsmil.config import VARIABLES, Settings


class Recording(Mapping[str, str]):
    """An empty environment that remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: set[str] = set()

    def get(self, key: str, default: object = None) -> object:  # type: ignore[override]
        self.asked.add(key)
        return default

    def __getitem__(self, key: str) -> str:
        self.asked.add(key)
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def test_every_variable_that_is_read_is_listed() -> None:
    environment = Recording()
    Settings.from_env(environment)
    assert environment.asked - {"XDG_STATE_HOME"} == set(VARIABLES)


def test_every_field_but_the_derived_ones_has_a_variable() -> None:
    derived = {"redis_explicit", "state_dir_explicit"}
    assert set(VARIABLES.values()) == set(Settings.__struct_fields__) - derived
