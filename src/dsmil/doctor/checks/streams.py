"""Streams and groups: what waits, who is gone, what does not add up, what grows."""

from __future__ import annotations

from typing import Final

from dsmil.doctor.facts import Broker, Facts, Group, Stream
from dsmil.doctor.finding import Check, Finding, error, info, ok, warning
from dsmil.doctor.words import redis_cli, size, span
from dsmil.events.streams import DEAD_LETTERS, DEFAULT_GROUP

_MOST_UNREAD: Final = 10_000
#: An entry in work for so long is stuck, seconds.
STUCK_S: Final = 300.0
#: Live consumers are heard of twice a second; what is idle this long is claimed from them.
_GONE_S: Final = 60.0
_LONG: Final = 1_000_000
_COUNTED: Final = 100
#: Older dead letters are history.
_RECENT_S: Final = 86_400.0


def run(facts: Facts) -> list[Finding]:
    """Judge the streams."""
    broker = facts.broker
    if broker.error:
        return []
    found = [_missing(broker)]
    for stream in broker.streams:
        for group in stream.groups:
            if group.registered:
                found += _group(broker, stream, group)
            elif group.name != DEFAULT_GROUP:
                found.append(_foreign(broker, stream, group))
    return [*found, *_growth(broker), _letters(broker)]


def _missing(broker: Broker) -> Finding:
    gone = [stream.name for stream in broker.streams if not stream.exists]
    groups = [f"{name} on {stream.name}" for stream in broker.streams for name in stream.missing]
    remedy = "`dsmil doctor --fix` makes them, reading from the first entry; so does the start of their service"
    parts = []
    if gone:
        parts.append(f"streams not there: {', '.join(gone)}")
    if groups:
        parts.append(f"groups not there: {', '.join(groups)}")
    if not parts:
        return ok("streams.groups", f"all {len(broker.streams)} streams and their groups are there")
    unread = any(stream.missing and stream.added for stream in broker.streams)
    make = warning if gone or unread else info
    return make("streams.groups", "; ".join(parts), remedy, "make-groups")


def _group(broker: Broker, stream: Stream, group: Group) -> list[Finding]:
    where = f"{group.name} on {stream.name}"
    found = [_backlog(where, group), *_stuck(where, group)]
    for consumer in group.consumers:
        gone = consumer.held is False or (consumer.held is None and consumer.idle_s > _GONE_S)
        if consumer.pending and gone:
            evidence = f"{where}: consumer {consumer.name} is gone (idle {span(consumer.idle_s)}) and holds"
            found.append(
                warning(
                    "streams.consumers",
                    f"{evidence} {consumer.pending} entries",
                    f"start {group.name}: it takes them over after 60 s; XGROUP DELCONSUMER would lose them",
                )
            )
    if group.imbalance:
        found.append(
            error(
                "streams.balance",
                f"{where}: added - settled - pending - unread is {group.imbalance:+d}, not zero",
                "look for entries acknowledged or trimmed by other programs:"
                f" {redis_cli(broker, 'XINFO', 'STREAM', stream.name, 'FULL')}",
            )
        )
    return found


def _backlog(where: str, group: Group) -> Finding:
    name = "streams.backlog"
    if group.unread is None:
        return info(name, f"{where}: how many are unread cannot be told, entries were deleted from the stream")
    evidence = f"{where}: {group.unread} unread, {group.pending} in work"
    if group.unread > _MOST_UNREAD:
        remedy = f"see that it runs and keeps up: `dsmil status`, `dsmil run {group.name}`"
        return warning(name, f"{evidence}: it has fallen behind", remedy)
    return ok(name, evidence)


def _stuck(where: str, group: Group) -> list[Finding]:
    if not group.held_long or group.oldest_held_s <= STUCK_S:
        return []
    number = f"{group.held_long}{' or more' if group.held_long >= _COUNTED else ''}"
    return [
        warning(
            "streams.stuck",
            f"{where}: {number} entries in work for more than 5 min, the oldest for {span(group.oldest_held_s)}",
            f"start {group.name} if it does not run; else its log says what it waits for",
        )
    ]


def _foreign(broker: Broker, stream: Stream, group: Group) -> Finding:
    unread = "?" if group.unread is None else str(group.unread)
    command = redis_cli(broker, "XGROUP", "DESTROY", stream.name, group.name)
    return info(
        "streams.foreign",
        f"{stream.name} has the group {group.name}, which no service of this version reads with: {unread} unread,"
        f" {group.pending} in work",
        f"leave it if a program of yours uses it; else {command}",
    )


def _growth(broker: Broker) -> list[Finding]:
    lengths = [(stream.length, stream) for stream in broker.streams if stream.exists]
    found = []
    for length, stream in lengths:
        if length >= _LONG:
            memory = "" if stream.memory is None else f", about {size(stream.memory)}"
            read = ", ".join(f"{g.name} {g.unread} unread" for g in stream.groups if g.registered) or "no service"
            found.append(
                warning(
                    "streams.growth",
                    f"{stream.name} has {length:,} entries{memory}; readers: {read}",
                    "the janitor trims what all have read, after 24 h (SOC_EVENTS 7 d) or when memory runs"
                    " short; a reader that is far behind keeps the rest",
                )
            )
    if not found:
        total = sum(stream.memory or 0 for _, stream in lengths)
        entries = sum(length for length, _ in lengths)
        found.append(ok("streams.growth", f"{entries:,} entries in all streams, about {size(total)}"))
    return found


def _letters(broker: Broker) -> Finding:
    if not broker.dead_letters:
        return ok("streams.letters", "no dead letters")
    evidence = f"{broker.dead_letters} dead letters in {DEAD_LETTERS}, the newest: {broker.newest_letter}"
    make = warning if broker.newest_letter_s <= _RECENT_S else info
    return make("streams.letters", evidence, "`dsmil dlq list`, `dsmil dlq show ID`")


CHECK = Check(
    name="streams",
    tells={
        "streams.groups": "warning when streams are missing, or the group of a service whose stream has entries;"
        " info when its stream is empty",
        "streams.backlog": "warning when a service has more than 10,000 entries to read",
        "streams.stuck": "warning when entries are in work for more than 5 minutes",
        "streams.consumers": "warning when a consumer is gone and still holds entries",
        "streams.balance": "error when added - settled - pending - unread is not zero",
        "streams.foreign": "info for each group that no service of this version reads with",
        "streams.growth": "warning for each stream of 1,000,000 entries or more",
        "streams.letters": "warning when there is a dead letter of the last 24 hours, info for older ones; with"
        " the newest cause",
    },
    run=run,
)
