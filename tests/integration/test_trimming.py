"""Trimming: nothing goes that a reader has not settled or that no snapshot has, and what may go does."""

from __future__ import annotations

from typing import Any

import pytest

from dsmil.config import Settings
from dsmil.events.streams import DEAD_LETTERS, StreamName
from dsmil.infrastructure.books import read_books
from dsmil.infrastructure.connection import connect
from dsmil.infrastructure.groups import GroupReader, ensure_group, ledger_key, open_books
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.infrastructure.settling import Verdict
from dsmil.infrastructure.trimming import ALL, SAVED_KEY, Trimmer, saved_field, saved_positions

IN = StreamName.L3_OUT
GROUP = "soc-router"


@pytest.fixture
def trimmer(bus: RedisStreamsClient) -> Trimmer:
    made = Trimmer(bus.client)
    made.prepare()
    return made


def fill(bus: RedisStreamsClient, count: int, start: int = 1) -> list[str]:
    """Add entries whose ids are known; large enough that a stream node holds two of them."""
    ids = [f"{n}-0" for n in range(start, start + count)]
    pipeline = bus.client.pipeline(transaction=False)
    for entry_id in ids:
        pipeline.xadd(IN.value, {"event": "x" * 2000}, id=entry_id)
    pipeline.execute()
    return ids


def left(bus: RedisStreamsClient) -> set[str]:
    return {entry_id.decode() for entry_id, _ in bus.client.xrange(IN.value)}


def read(bus: RedisStreamsClient, group: str, count: int, consumer: str = "c") -> list[str]:
    reply: Any = bus.client.xreadgroup(group, consumer, {IN.value: ">"}, count=count)
    return [entry_id.decode() for entry_id, _ in reply[0][1]] if reply else []


def trim(trimmer: Trimmer, *groups: str, copied: bool = False, oldest: str = ALL) -> tuple[int, str, str]:
    done = trimmer.trim(IN, groups, oldest=oldest, copied=copied)
    return done.removed, done.bound, done.holder


def test_a_registered_group_that_was_never_made_holds_everything(
    bus: RedisStreamsClient, trimmer: Trimmer
) -> None:
    fill(bus, 50)
    assert trim(trimmer, GROUP) == (0, "0-0", f"group {GROUP}")
    ensure_group(bus.client, IN, "foreign")
    read(bus, "foreign", 50)
    assert trim(trimmer, "foreign", GROUP) == (0, "0-0", f"group {GROUP}")
    assert len(left(bus)) == 50


def test_a_registered_group_that_has_read_nothing_holds_everything(
    bus: RedisStreamsClient, trimmer: Trimmer
) -> None:
    fill(bus, 50)
    ensure_group(bus.client, IN, GROUP)
    assert trim(trimmer, GROUP) == (0, "0-0", f"group {GROUP}")
    assert len(left(bus)) == 50


def test_unread_entries_stay(bus: RedisStreamsClient, trimmer: Trimmer) -> None:
    ids = fill(bus, 100)
    ensure_group(bus.client, IN, GROUP)
    bus.client.xack(IN.value, GROUP, *read(bus, GROUP, 60))
    removed, bound, holder = trim(trimmer, GROUP)
    assert (bound, holder) == ("60-0", f"group {GROUP}")
    assert removed >= 55
    assert left(bus) >= set(ids[60:])
    assert read(bus, GROUP, 100) == ids[60:]


def test_pending_entries_stay(bus: RedisStreamsClient, trimmer: Trimmer) -> None:
    ids = fill(bus, 100)
    ensure_group(bus.client, IN, GROUP)
    held = read(bus, GROUP, 100)
    bus.client.xack(IN.value, GROUP, *held[:30], *held[31:])
    assert trim(trimmer, GROUP)[1:] == ("31-0", f"group {GROUP}")
    assert left(bus) >= set(ids[30:])
    bus.client.xack(IN.value, GROUP, held[30])
    assert trim(trimmer, GROUP)[1] == "100-0"
    assert len(left(bus)) <= 2


def test_the_oldest_pending_entry_of_all_consumers_counts(bus: RedisStreamsClient, trimmer: Trimmer) -> None:
    fill(bus, 20)
    ensure_group(bus.client, IN, GROUP)
    read(bus, GROUP, 10, "dead")
    bus.client.xack(IN.value, GROUP, *read(bus, GROUP, 10, "alive"))
    assert trim(trimmer, GROUP)[1] == "1-0"


def test_a_foreign_group_counts_once_it_has_read(bus: RedisStreamsClient, trimmer: Trimmer) -> None:
    fill(bus, 100)
    ensure_group(bus.client, IN, GROUP)
    ensure_group(bus.client, IN, "foreign")
    bus.client.xack(IN.value, GROUP, *read(bus, GROUP, 100))
    read(bus, "foreign", 40)
    assert trim(trimmer, GROUP)[1:] == ("1-0", "group foreign")
    bus.client.xack(IN.value, "foreign", *[f"{n}-0" for n in range(1, 41)])
    assert trim(trimmer, GROUP)[1:] == ("40-0", "group foreign")
    assert len(read(bus, "foreign", 100)) == 60, "it goes on where it was"


def test_a_group_that_never_read_and_is_nobodys_holds_nothing(bus: RedisStreamsClient, trimmer: Trimmer) -> None:
    fill(bus, 100)
    ensure_group(bus.client, IN, GROUP)
    bus.client.xack(IN.value, GROUP, *read(bus, GROUP, 100))
    assert "dsmil" in {row["name"].decode() for row in bus.client.xinfo_groups(IN.value)}
    assert trim(trimmer, GROUP)[1] == "100-0"


def test_a_copied_stream_without_any_store_keeps_everything(bus: RedisStreamsClient, trimmer: Trimmer) -> None:
    fill(bus, 50)
    assert trim(trimmer, copied=True) == (0, "0-0", "store")
    bus.client.hset(SAVED_KEY, saved_field("s", "SOC_EVENTS"), "50-0")
    assert trim(trimmer, copied=True) == (0, "0-0", "store"), "a store that copies another stream"
    bus.client.hset(SAVED_KEY, saved_field("s", "L4_L3_OUT"), "50-0")
    assert trim(trimmer, copied=True) == (0, "0-0", "store"), "a name that only ends alike"


def test_what_no_snapshot_has_stays(bus: RedisStreamsClient, trimmer: Trimmer) -> None:
    ids = fill(bus, 100)
    bus.client.hset(SAVED_KEY, saved_field("host:/a|b/hot.db", IN), "40-0")
    assert trim(trimmer, copied=True)[1:] == ("40-0", "store host:/a|b/hot.db")
    bus.client.hset(SAVED_KEY, saved_field("two", IN), "70-0")
    assert trim(trimmer, copied=True)[1:] == ("40-0", "store host:/a|b/hot.db"), "the minimum of all stores"
    assert left(bus) >= set(ids[40:])
    assert saved_positions(bus.client)["L3_OUT"] == {"host:/a|b/hot.db": "40-0", "two": "70-0"}


def test_what_is_young_stays(bus: RedisStreamsClient, trimmer: Trimmer) -> None:
    fill(bus, 100)
    ensure_group(bus.client, IN, GROUP)
    bus.client.xack(IN.value, GROUP, *read(bus, GROUP, 100))
    assert trim(trimmer, GROUP, oldest="30-0")[1:] == ("30-0", "")
    assert left(bus) >= {f"{n}-0" for n in range(30, 101)}


def test_without_a_stream_nothing_happens(bus: RedisStreamsClient, trimmer: Trimmer) -> None:
    bus.client.delete(IN.value)
    assert trim(trimmer, GROUP, copied=True) == (0, "0-0", "")
    assert not bus.client.exists(IN.value)


def test_lag_and_books_stay_right_after_trims(bus: RedisStreamsClient, trimmer: Trimmer) -> None:
    reader = GroupReader(bus.client, [IN], GROUP, "c")
    reader.prepare()
    for cycle in range(5):
        fill(bus, 40, start=1 + 40 * cycle)
        entries = reader.read_new(30, 1)
        reader.settle(IN, [Verdict(entry, "D", counter="dropped:quiet") for entry in entries[:-1]])
        trim(trimmer, GROUP)
        (book,) = read_books(bus.client, [(IN.value, GROUP)])
        assert (book.added, book.settled, book.pending) == (40 * (cycle + 1), 29 * (cycle + 1), cycle + 1)
        assert (book.unread, book.imbalance) == (10 * (cycle + 1), 0)
        bus.client.xlen(IN.value)


def test_a_group_made_on_a_trimmed_stream_has_right_books(bus: RedisStreamsClient, trimmer: Trimmer) -> None:
    fill(bus, 100)
    ensure_group(bus.client, IN, "foreign")
    bus.client.xack(IN.value, "foreign", *read(bus, "foreign", 100))
    removed = trim(trimmer)[0]
    assert removed > 90
    reader = GroupReader(bus.client, [IN], "late", "c")
    reader.prepare()

    def book() -> Any:
        return read_books(bus.client, [(IN.value, "late")])[0]

    assert (book().ledger, book().unread, book().imbalance) == ({"before": removed}, 100 - removed, 0)
    fill(bus, 10, start=101)
    entries = reader.read_new(100, 1)
    assert len(entries) == 110 - removed
    assert book().imbalance == 0
    reader.settle(IN, [Verdict(entry, "D", counter="dropped:quiet") for entry in entries])
    assert (book().unread, book().pending, book().imbalance) == (0, 0, 0)
    fill(bus, 3, start=111)
    trim(trimmer, "late")
    assert (book().unread, book().imbalance) == (3, 0)


def test_a_second_maker_of_a_group_does_not_wipe_its_ledger(bus: RedisStreamsClient, settings: Settings) -> None:
    """Two routers begin together: the faster has settled before the slower one acts."""
    fill(bus, 10)
    slow = connect(str(settings.redis_url), settings)
    real: Any = slow.execute_command
    raced: list[int] = []

    def late(*arguments: Any, **options: Any) -> Any:
        reply = real(*arguments, **options)
        if (
            not raced
            and arguments[0] in {"XINFO STREAM", "EXISTS", "XINFO GROUPS", "HLEN"}
            and IN.value in arguments
        ):
            fast = GroupReader(bus.client, [IN], GROUP, "fast")
            fast.prepare()
            entries = fast.read_new(4, 1)
            raced.append(fast.settle(IN, [Verdict(e, "D", counter="dropped:quiet") for e in entries]).done)
        return reply

    slow.execute_command = late  # type: ignore[method-assign]
    assert open_books(slow, IN, GROUP) is False
    assert raced == [4]
    assert bus.client.hget(ledger_key(IN, GROUP), "dropped:quiet") == b"4"
    assert read_books(bus.client, [(IN.value, GROUP)])[0].imbalance == 0
    slow.close()


def test_dead_letters_go_by_age_alone(bus: RedisStreamsClient, trimmer: Trimmer) -> None:
    for n in range(1, 11):
        bus.client.xadd(DEAD_LETTERS, {"raw": "x"}, id=f"{n}-0")
    assert trimmer.trim_letters("4-0") == 3
    assert bus.client.xrange(DEAD_LETTERS)[0][0] == b"4-0"
    bus.client.delete(DEAD_LETTERS)
    assert trimmer.trim_letters("4-0") == 0


def test_consumers_that_hold_nothing_and_are_silent_go(bus: RedisStreamsClient, trimmer: Trimmer) -> None:
    fill(bus, 10)
    ensure_group(bus.client, IN, GROUP)
    read(bus, GROUP, 2, "holder")
    bus.client.xack(IN.value, GROUP, *read(bus, GROUP, 2, "idle"))

    def names() -> set[str]:
        return {row["name"].decode() for row in bus.client.xinfo_consumers(IN.value, GROUP)}

    assert trimmer.reap(IN, GROUP, 3600) == []
    assert names() == {"holder", "idle"}
    while bus.client.xinfo_consumers(IN.value, GROUP)[1]["idle"] < 2:
        bus.client.ping()
    assert trimmer.reap(IN, GROUP, 0.001) == ["idle"]
    assert names() == {"holder"}
    assert len(read(bus, GROUP, 3, "idle")) == 3, "one that was alive comes back by reading"
    assert bus.client.xpending(IN.value, GROUP)["pending"] == 5


def test_reaping_where_there_is_no_group_is_no_trouble(bus: RedisStreamsClient, trimmer: Trimmer) -> None:
    assert trimmer.reap(IN, "nobody", 1) == []
    bus.client.delete(IN.value)
    assert trimmer.reap(IN, GROUP, 1) == []


def test_functions_of_another_revision_are_replaced(bus: RedisStreamsClient, trimmer: Trimmer) -> None:
    bus.client.function_flush()
    trimmer.prepare()
    source = "#!lua name=dsmil_janitor\nredis.register_function('dsmil_trim', function() return '0' end)"
    bus.client.function_load(source, replace=True)
    trimmer.prepare()
    assert trim(trimmer) == (0, "0-0", "")
