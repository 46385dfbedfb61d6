"""Looking at the broker; nothing is changed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import redis

from dsmil.doctor.checks.streams import STUCK_S
from dsmil.doctor.facts import Broker, Consumer, Group, Stream
from dsmil.errors import DsmilError
from dsmil.events.streams import DEAD_LETTERS, DEFAULT_GROUP, StreamName
from dsmil.infrastructure.address import broker_url, public_url
from dsmil.infrastructure.books import Book, read_books
from dsmil.infrastructure.connection import connect, translated
from dsmil.infrastructure.entries import id_order
from dsmil.infrastructure.groups import LIBRARIES, library_source
from dsmil.infrastructure.instance import StateDir
from dsmil.services.letters import Letter
from dsmil.services.preparation import service_groups

if TYPE_CHECKING:
    from dsmil.config import Settings
    from dsmil.doctor.look_locks import ConsumerLocks

_MOST_HELD: Final = 100
_SAMPLES: Final = 5


def registered_groups() -> dict[StreamName, tuple[str, ...]]:
    """Return the groups that services and detectors of this version read with, by stream."""
    groups = service_groups()
    return {stream: tuple(sorted(name for place, name in groups if place is stream)) for stream in StreamName}


def broker_mode(settings: Settings) -> str:
    """Return whose broker it is: ``bundled``, ``system``, ``given``, or ``none`` when there is no address."""
    instance = StateDir(settings.state_dir).running()
    if instance is not None and broker_url(settings) == instance.broker_url:
        return instance.broker_mode
    return "given" if settings.redis_url or settings.redis_explicit else "none"


def look(settings: Settings, locks: ConsumerLocks) -> Broker:
    """Return what the broker says; its ``error`` tells why it says nothing."""
    url = broker_url(settings)
    mode = broker_mode(settings)
    client = connect(url, settings)
    try:
        with translated("asking"):
            return _ask(client, public_url(url), mode, locks)
    except DsmilError as exc:
        why = "no address is given and no instance runs; at the default address, " if mode == "none" else ""
        return Broker(address=public_url(url), mode=mode, error=f"{why}{exc}")
    finally:
        client.close()


def _ask(client: redis.Redis, address: str, mode: str, locks: ConsumerLocks) -> Broker:
    info: Any = client.info()
    offset, doubt, now = _clock(client)
    letters: Any = client.xrevrange(DEAD_LETTERS, count=1)
    letter, letter_s = _letter(letters, now)
    groups = registered_groups()
    return Broker(
        address=address,
        mode=mode,
        server=str(info.get("server_name", "redis")),
        version=str(info.get("valkey_version") or info.get("redis_version")),
        used_memory=int(info.get("used_memory", 0)),
        maxmemory=int(info.get("maxmemory", 0)),
        policy=str(info.get("maxmemory_policy", "")),
        evicted=int(info.get("evicted_keys", 0)),
        aof=bool(info.get("aof_enabled")),
        fsync=_fsync(client),
        aof_write=str(info.get("aof_last_write_status", "ok")),
        aof_rewrite=str(info.get("aof_last_bgrewrite_status", "ok")),
        snapshot=str(info.get("rdb_last_bgsave_status", "ok")),
        functions=_functions(client),
        clock_offset_s=offset,
        clock_error_s=doubt,
        streams=tuple(_stream(client, stream, groups[stream], locks) for stream in StreamName),
        dead_letters=int(client.xlen(DEAD_LETTERS)),
        newest_letter=letter,
        newest_letter_s=letter_s,
    )


def _clock(client: redis.Redis) -> tuple[float, float, float]:
    """Return the broker's clock minus ours, how exact that is, and the broker's time; best of three tries."""
    tries = []
    for _ in range(3):
        before = time.time()
        answer: Any = client.time()
        after = time.time()
        theirs = answer[0] + answer[1] / 1e6
        tries.append((abs(after - before) / 2, theirs - (before + after) / 2, theirs))
    doubt, offset, theirs = min(tries)
    return offset, doubt, theirs


def _fsync(client: redis.Redis) -> str:
    try:
        found: Any = client.config_get("appendfsync")
    except redis.ResponseError:  # CONFIG is not allowed to this user
        return ""
    return next((_text(value) for value in found.values()), "")


def _functions(client: redis.Redis) -> str:
    states = {_library(client, name) for name in LIBRARIES}
    return next((state for state in ("unknown", "missing", "other") if state in states), "loaded")


def _library(client: redis.Redis, name: str) -> str:
    try:
        found: Any = client.function_list(name, withcode=True)
    except redis.ResponseError:
        return "unknown"
    if not found:
        return "missing"
    return "loaded" if library_source(name).encode() in _flat(found) else "other"


def _flat(value: Any) -> list[Any]:  # noqa: ANN401 - a plain reply
    if isinstance(value, dict):
        return _flat([*value.keys(), *value.values()])
    if isinstance(value, list):
        return [item for part in value for item in _flat(part)]
    return [value.encode() if isinstance(value, str) else value]


def _letter(rows: Any, now: float) -> tuple[str, float]:  # noqa: ANN401 - a plain reply
    if not rows:
        return "", 0.0
    entry_id = _text(rows[0][0])
    letter = Letter.parse(entry_id, rows[0][1])
    where = letter.source or f"{letter.stream}/{letter.entry_id}"
    age = max(now - id_order(entry_id)[0] / 1000, 0.0)
    return f"{letter.cause or 'no cause'} in {letter.service or 'an unknown service'} at {where}", age


def _stream(client: redis.Redis, stream: StreamName, wanted: tuple[str, ...], locks: ConsumerLocks) -> Stream:
    if not client.exists(stream):
        return Stream(name=stream.value, exists=False, missing=wanted)
    info: Any = client.xinfo_stream(stream)
    groups = _rows(client.xinfo_groups(stream))
    books = {book.group: book for book in read_books(client, [(stream.value, group) for group in wanted])}
    names = {_text(row["name"]) for row in groups}
    return Stream(
        name=stream.value,
        length=int(info["length"]),
        added=int(info.get("entries-added", info["length"])),
        memory=_memory(client, stream),
        groups=tuple(_group(client, stream, row, books, locks) for row in groups),
        missing=tuple(name for name in (*wanted, DEFAULT_GROUP) if name not in names),
    )


def _memory(client: redis.Redis, stream: StreamName) -> int | None:
    try:
        found: Any = client.memory_usage(stream, samples=_SAMPLES)
    except redis.ResponseError:
        return None
    return None if found is None else int(found)


def _group(
    client: redis.Redis,
    stream: StreamName,
    row: dict[str, Any],
    books: dict[str, Book],
    locks: ConsumerLocks,
) -> Group:
    name, pending = _text(row["name"]), int(row["pending"])
    book = books.get(name)
    held: list[dict[str, Any]] = []
    consumers: tuple[Consumer, ...] = ()
    if pending:
        most_ms = int(STUCK_S * 1000)
        held = _rows(client.xpending_range(stream, row["name"], "-", "+", _MOST_HELD, idle=most_ms))
        consumers = tuple(
            Consumer(
                name=_text(consumer["name"]),
                pending=int(consumer["pending"]),
                idle_s=consumer["idle"] / 1000,
                held=locks.held(name, _text(consumer["name"])),
            )
            for consumer in _rows(client.xinfo_consumers(stream, row["name"]))
        )
    return Group(
        name=name,
        registered=book is not None,
        pending=pending,
        unread=row.get("lag"),
        held_long=len(held),
        oldest_held_s=max((entry["time_since_delivered"] / 1000 for entry in held), default=0.0),
        imbalance=None if book is None else book.imbalance,
        consumers=consumers,
    )


def _rows(reply: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - the driver types both its ways at once
    return list(reply)


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
