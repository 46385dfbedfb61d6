"""The fenced server-side call: what it settles, what it leaves alone, what it counts."""

from __future__ import annotations

import pytest

from dsmil.config import Settings
from dsmil.errors import BusRefused, GroupLost
from dsmil.events.streams import DEAD_LETTERS, StreamName
from dsmil.infrastructure.connection import connect
from dsmil.infrastructure.entries import Entry
from dsmil.infrastructure.groups import GroupReader, attempts_key, ledger_key
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.infrastructure.settling import Verdict

IN, OUT = StreamName.L3_OUT, StreamName.SOC_EVENTS


@pytest.fixture
def reader(bus: RedisStreamsClient) -> GroupReader:
    made = GroupReader(bus.client, [IN], "g", "c1")
    made.prepare()
    return made


def fill(bus: RedisStreamsClient, reader: GroupReader, count: int) -> list[Entry]:
    bus.append(IN, [b"%d" % n for n in range(count)])
    return reader.read_new(count, 1)


def publish(entry: Entry, *streams: str) -> Verdict:
    return Verdict(entry, "P", outputs=tuple((s, entry.entry_id.encode()) for s in streams or (OUT,)))


def ledger(bus: RedisStreamsClient) -> dict[str, int]:
    return {k.decode(): int(v) for k, v in bus.client.hgetall(ledger_key(IN, "g")).items()}


def pending(bus: RedisStreamsClient) -> int:
    return int(bus.client.xpending(IN, "g")["pending"])


def test_each_verdict_does_what_it_says_and_is_counted(bus: RedisStreamsClient, reader: GroupReader) -> None:
    first, second, third, fourth = fill(bus, reader, 4)
    letter = (("cause", b"bad"), ("raw", b"\xff\x00"))
    settled = reader.settle(
        IN,
        [
            publish(first, "SOC_EVENTS", "L9_COMMANDS"),
            Verdict(second, "D", counter="dropped:quiet"),
            Verdict(third, "X", letter=letter),
        ],
    )
    assert (settled.done, settled.missed, settled.error) == (3, frozenset(), "")
    assert bus.client.xrange(OUT)[0][1] == {b"event": first.entry_id.encode()}
    assert bus.client.xlen("L9_COMMANDS") == 1
    assert bus.client.xrange(DEAD_LETTERS)[0][1] == {b"cause": b"bad", b"raw": b"\xff\x00"}
    assert ledger(bus) == {"published": 1, "outputs": 2, "dropped:quiet": 1, "dead": 1}
    assert reader.read_own(IN, "0", 10) == [fourth], "what was not settled is still in hand"


def test_a_call_sent_twice_is_a_no_op(bus: RedisStreamsClient, reader: GroupReader) -> None:
    entries = fill(bus, reader, 3)
    verdicts = [publish(entry) for entry in entries]
    assert reader.settle(IN, verdicts).done == 3
    again = reader.settle(IN, verdicts)
    assert again.done == 0
    assert again.missed == {entry.entry_id for entry in entries}
    assert bus.client.xlen(OUT) == 3
    assert ledger(bus)["published"] == 3


def test_a_zombie_cannot_publish_what_another_has_claimed(bus: RedisStreamsClient, reader: GroupReader) -> None:
    entries = fill(bus, reader, 2)
    other = GroupReader(bus.client, [IN], "g", "c2")
    taken, lost = other.claim_idle(IN, 0)
    assert [e.entry_id for e in taken] == [e.entry_id for e in entries]
    assert lost == []
    assert reader.settle(IN, [publish(entry) for entry in entries]).done == 0
    assert bus.client.xlen(OUT) == 0
    assert other.settle(IN, [publish(entry) for entry in taken]).done == 2
    assert bus.client.xlen(OUT) == 2


def test_an_output_that_fails_leaves_it_and_all_behind_it_pending(
    bus: RedisStreamsClient, reader: GroupReader
) -> None:
    entries = fill(bus, reader, 3)
    bus.client.delete("L9_COMMANDS")
    bus.client.set("L9_COMMANDS", "not a stream")
    verdicts = [publish(entries[0]), publish(entries[1], "SOC_EVENTS", "L9_COMMANDS"), publish(entries[2])]
    settled = reader.settle(IN, verdicts)
    assert "not a stream" in settled.error
    assert settled.done == 0
    assert settled.missed == {entry.entry_id for entry in entries}
    assert bus.client.xlen(OUT) == 0, "no half of an entry's outputs"
    assert pending(bus) == 3
    bus.client.delete("L9_COMMANDS")
    assert reader.settle(IN, verdicts).done == 3


def test_a_run_time_error_acknowledges_only_what_was_put_out(bus: RedisStreamsClient, reader: GroupReader) -> None:
    """The server may fail an XADD in the middle: here the output stream has no ids left."""
    entries = fill(bus, reader, 2)
    bus.client.xadd("L9_COMMANDS", {"event": "last"}, id="18446744073709551615-18446744073709551615")
    settled = reader.settle(IN, [publish(entries[0]), publish(entries[1], "L9_COMMANDS")])
    assert settled.error
    assert settled.done == 1
    assert settled.missed == {entries[1].entry_id}
    assert bus.client.xlen(OUT) == 1
    assert pending(bus) == 1
    assert ledger(bus) == {"published": 1, "outputs": 1}


def test_settling_goes_on_when_memory_has_run_out(bus: RedisStreamsClient, reader: GroupReader) -> None:
    """Only what is settled can be trimmed: refused here as well, a full broker would stay full for ever."""
    entries = fill(bus, reader, 2)
    bus.client.config_set("maxmemory", "1")
    try:
        with pytest.raises(BusRefused, match="maxmemory"):
            bus.append(IN, [b"{}"])
        settled = reader.settle(IN, [publish(entry) for entry in entries])
        assert (settled.done, settled.error) == (2, "")
    finally:
        bus.client.config_set("maxmemory", "0")
    assert bus.client.xlen(OUT) == 2


def test_more_than_one_page_and_one_call(bus: RedisStreamsClient, reader: GroupReader) -> None:
    entries = fill(bus, reader, 1234)
    settled = reader.settle(IN, [publish(entry) for entry in reversed(entries)])
    assert (settled.done, settled.missed) == (1234, frozenset())
    assert [fields[b"event"].decode() for _, fields in bus.client.xrange(OUT)] == [e.entry_id for e in entries]
    assert pending(bus) == 0


def test_large_outputs_are_cut_into_several_calls(bus: RedisStreamsClient, reader: GroupReader) -> None:
    entries = fill(bus, reader, 40)
    body = b"x" * 500_000
    before = bus.client.info("commandstats").get("cmdstat_fcall", {"calls": 0})["calls"]
    settled = reader.settle(IN, [Verdict(entry, "P", outputs=((OUT, body),)) for entry in entries])
    after = bus.client.info("commandstats")["cmdstat_fcall"]["calls"]
    assert settled.done == 40
    assert after - before == 3


def test_attempts_are_forgotten_once_settled(bus: RedisStreamsClient, reader: GroupReader) -> None:
    first, second = fill(bus, reader, 2)
    assert [reader.count_attempt(first) for _ in range(3)] == [1, 2, 3]
    assert reader.count_attempt(second) == 1
    reader.settle(IN, [publish(first)])
    assert bus.client.hgetall(attempts_key(IN, "g")) == {second.entry_id.encode(): b"1"}


def test_lost_functions_and_lost_groups_are_recognised(
    bus: RedisStreamsClient, reader: GroupReader, settings: Settings
) -> None:
    (entry,) = fill(bus, reader, 1)
    bus.client.function_flush()
    with pytest.raises(GroupLost):
        reader.settle(IN, [publish(entry)])
    reader.prepare()
    assert reader.settle(IN, [publish(entry)]).done == 1
    bus.client.flushall()
    with pytest.raises(GroupLost):
        reader.settle(IN, [publish(entry)])
    other = connect(str(settings.redis_url), settings)
    with pytest.raises(GroupLost):
        GroupReader(other, [IN], "g", "c1").read_new(1, 1)
    other.close()


def test_entries_trimmed_while_pending_are_reported(bus: RedisStreamsClient, reader: GroupReader) -> None:
    entries = fill(bus, reader, 3)
    bus.client.xtrim(IN, maxlen=1, approximate=False)
    own = reader.read_own(IN, "0", 10)
    assert [entry.fields is None for entry in own] == [True, True, False]
    taken, lost = GroupReader(bus.client, [IN], "g", "c2").claim_idle(IN, 0)
    assert lost == [entry.entry_id for entry in entries[:2]]
    assert [entry.entry_id for entry in taken] == [entries[2].entry_id]
