"""Bounded memory: a dictionary in which the key that was quiet longest makes room."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

V = TypeVar("V")


def touched(table: dict[str, V], key: str, make: Callable[[], V], most: int) -> V:
    """Return the value of ``key``, made if it is new, and now the newest of at most ``most``.

    The table is a plain dictionary, newest last, so that it can be packed as it is.
    """
    value = table.pop(key, None)
    if value is None:
        if len(table) >= most:
            drop_oldest(table)
        value = make()
    table[key] = value
    return value


def remember(table: dict[str, V], key: str, value: V, most: int) -> None:
    """Set a value, as the newest of at most ``most``."""
    table.pop(key, None)
    if len(table) >= most:
        drop_oldest(table)
    table[key] = value


def drop_oldest(table: dict[str, V]) -> list[V]:
    """Forget the oldest eighth, and return what it was.

    Not one by one: the oldest key is found by walking over the places of those that were removed before it.
    """
    return [table.pop(key) for key in list(islice(table, len(table) // 8 + 1))]


def keep_newest(ids: list[str], event_id: str, most: int) -> None:
    """Add an id to a list that keeps the newest ``most``."""
    ids.append(event_id)
    if len(ids) > most:
        del ids[: len(ids) - most]
