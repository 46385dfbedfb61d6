"""Which of many paths can lead anywhere in records of one shape: worked out once for each set of keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dsmil.sources._mapping import Path

#: Shapes that are remembered; a log has few of them, and whoever sends more only makes it slower.
_REMEMBERED: Final = 1024
#: Keys of one that is remembered, and characters of all of them: whoever makes up names must not take our memory.
_MOST_KEYS: Final = 128
_MOST_CHARACTERS: Final = 4096


class Step(NamedTuple):
    """One place to look at."""

    #: Key on top of the record.
    key: str
    #: What remains of the path below it; None when the value itself is wanted.
    below: Path | None
    #: What the path was given with.
    wanted: Any

    def values(self, record: dict[str, Any]) -> Iterable[Any]:
        """Return the values there; elements of a list one by one."""
        value = record[self.key]
        if self.below is not None:
            return self.below.values(value)
        return value if isinstance(value, list) else (value,)


Steps = tuple[Step, ...]


class Plan:
    """The places of several groups of paths, found by the keys on top of a record."""

    def __init__(self, *groups: Sequence[tuple[Path, Any]]) -> None:
        """Take groups of paths in the order in which their values are wanted, each with what is wanted there."""
        #: By group: key on top -> (number of the path, number of its split, step).
        self._places: list[dict[str, list[tuple[int, int, Step]]]] = []
        for group in groups:
            places: dict[str, list[tuple[int, int, Step]]] = {}
            for number, (path, what) in enumerate(group):
                for split, (head, below) in enumerate(((path.text, None), *path.splits)):
                    places.setdefault(head, []).append((number, split, Step(head, below, what)))
            self._places.append(places)
        #: Keys of a record, as it has them -> steps of each group.
        self._steps: dict[tuple[str, ...], tuple[Steps, ...]] = {}

    def steps(self, record: dict[str, Any]) -> tuple[Steps, ...]:
        """Return for each group the places that a record has, in the order of the paths."""
        keys = tuple(record)
        found = self._steps.get(keys)
        if found is None:
            found = tuple(_steps(places, keys) for places in self._places)
            if len(keys) <= _MOST_KEYS and sum(map(len, keys)) <= _MOST_CHARACTERS:
                if len(self._steps) >= _REMEMBERED:
                    self._steps.clear()
                self._steps[keys] = found
        return found


def first(steps: Steps, record: dict[str, Any]) -> Any:  # noqa: ANN401 - any JSON value
    """Return the first value that is there and not empty, or None."""
    for step in steps:
        for value in step.values(record):
            if value is not None and value != "":
                return value
    return None


def _steps(places: dict[str, list[tuple[int, int, Step]]], keys: tuple[str, ...]) -> Steps:
    found = sorted((place for key in keys for place in places.get(key, ())), key=lambda place: place[:2])
    return tuple(step for _, _, step in found)
