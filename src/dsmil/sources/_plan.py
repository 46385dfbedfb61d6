"""Which of many paths can lead anywhere in records of one shape: worked out once for each set of keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dsmil.sources._mapping import Path

#: Sets of keys that are remembered; a log has few of them, and whoever sends more only makes it slower.
_REMEMBERED: Final = 512


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


class Plan:
    """The places of many paths, found by the keys on top of a record."""

    def __init__(self, wanted: Sequence[tuple[Path, Any]]) -> None:
        """Take the paths in the order in which their values are wanted, each with what is wanted there."""
        #: Key on top -> (number of the path, number of its split, step).
        self._places: dict[str, list[tuple[int, int, Step]]] = {}
        for number, (path, what) in enumerate(wanted):
            for split, (head, below) in enumerate(((path.text, None), *path.splits)):
                self._places.setdefault(head, []).append((number, split, Step(head, below, what)))
        self._is_known = self._places.__contains__
        #: Keys of a record that any path begins with, as the record has them -> its steps.
        self._steps: dict[tuple[str, ...], tuple[Step, ...]] = {}

    def first(self, record: dict[str, Any]) -> Any:  # noqa: ANN401 - any JSON value
        """Return the first value that is there and not empty, or None."""
        for step in self.steps(record):
            for value in step.values(record):
                if value is not None and value != "":
                    return value
        return None

    def steps(self, record: dict[str, Any]) -> tuple[Step, ...]:
        """Return the places that a record has, in the order of the paths."""
        keys = tuple(filter(self._is_known, record))
        found = self._steps.get(keys)
        if found is None:
            places = sorted((place for key in keys for place in self._places[key]), key=lambda place: place[:2])
            found = tuple(step for _, _, step in places)
            if len(self._steps) >= _REMEMBERED:
                self._steps.clear()
            self._steps[keys] = found
        return found
