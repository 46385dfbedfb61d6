"""What users of the broker must be refused, by role."""

from __future__ import annotations

from collections.abc import Sequence

from dsmil.infrastructure.groups import attempts_key, ledger_key
from dsmil.services.catalogue import correlator_classes, detector_classes

TRIM = ("XTRIM", "L3_IN", "MAXLEN", "0")
DETECTOR = "l3-suricata-alert"
#: Nobody but a superuser needs these, whatever the role.
NEVER: Sequence[tuple[str, ...]] = (
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("CONFIG", "SET", "maxmemory", "1"),
    ("KEYS", "*"),
    ("SCAN", "0"),
    ("EVAL", "return 1", "0"),
    ("EVALSHA", "0" * 40, "0"),
    ("SCRIPT", "LOAD", "return 1"),
    ("FUNCTION", "DELETE", "dsmil"),
    ("FUNCTION", "FLUSH"),
    ("DEBUG", "SLEEP", "0"),
    ("RESTORE", "L3_IN", "0", "x"),
    ("SHUTDOWN", "NOSAVE"),
    ("ACL", "SETUSER", "me", "on", "+@all"),
    ("ACL", "LIST"),
    ("XDEL", "L3_IN", "1-1"),
    ("XGROUP", "DESTROY", "L3_IN", DETECTOR),
    ("XGROUP", "SETID", "L3_IN", DETECTOR, "$"),
    ("DEL", "L3_IN"),
    ("UNLINK", "L3_IN"),
    ("RENAME", "L3_IN", "L3_OUT"),
    ("COPY", "L3_IN", "L3_OUT"),
    ("EXPIRE", "L3_IN", "1"),
    ("SUBSCRIBE", "news"),
    ("MONITOR",),
    ("CLIENT", "LIST"),
    ("CLIENT", "KILL", "ID", "1"),
    ("SLAVEOF", "127.0.0.1", "1"),
    ("SAVE",),
    ("MODULE", "LIST"),
    ("SET", "other", "1"),
    ("XADD", "OTHER", "*", "event", "{}"),
    ("FCALL", "other", "0"),
)


def refused_to_correlators(name: str) -> Sequence[tuple[str, ...]]:
    """Return what a correlator must be refused beside the rest; above all to write what it reads."""
    return (
        ("XTRIM", "L3_OUT", "MAXLEN", "0"),
        ("MULTI",),
        ("XADD", "SOC_EVENTS", "*", "event", "{}"),
        ("XADD", "L3_OUT", "*", "event", "{}"),
        ("XADD", "L4_IN", "*", "event", "{}"),
        ("XRANGE", "L4_OUT", "-", "+"),
        ("XREADGROUP", "GROUP", "soc-router", "c", "STREAMS", "L4_OUT", ">"),
        ("HSET", ledger_key("L3_OUT", name), "published", "0"),
        ("FUNCTION", "LOAD", "x"),
    )


def refused_to_detectors(name: str) -> Sequence[tuple[str, ...]]:
    """Return what a detector must be refused beside the rest."""
    return (
        TRIM,
        ("MULTI",),
        ("XADD", "SOC_EVENTS", "*", "event", "{}"),
        ("XADD", "L3_IN", "*", "event", "{}"),
        ("XREADGROUP", "GROUP", "soc-router", "c", "STREAMS", "L3_OUT", ">"),
        ("XACK", "L3_OUT", "soc-router", "1-1"),
        ("HSET", ledger_key("L3_IN", name), "published", "0"),
        ("HINCRBY", ledger_key("L3_OUT", "soc-router"), "published", "1"),
        ("FUNCTION", "LOAD", "x"),
    )


#: What others may: not this role.
ALSO: dict[str, Sequence[tuple[str, ...]]] = {
    **{detector: refused_to_detectors(detector) for detector in detector_classes()},
    **{correlator: refused_to_correlators(correlator) for correlator in correlator_classes()},
    "soc-router": (
        TRIM,
        ("MULTI",),
        ("XADD", "L3_OUT", "*", "event", "{}"),
        ("XADD", "L3_IN", "*", "event", "{}"),
        ("XREADGROUP", "GROUP", DETECTOR, "c", "STREAMS", "L3_IN", ">"),
        ("XRANGE", "DEAD_LETTERS", "-", "+"),
        ("FCALL", "dsmil_settle", "4", "L3_IN", "a", "b", "DEAD_LETTERS", "g", "c", "-", "+"),
        ("FUNCTION", "LOAD", "x"),
        ("XGROUP", "CREATE", "L3_OUT", "g", "0"),
    ),
    "store-writer": (
        TRIM,
        ("MULTI",),
        ("XADD", "SOC_EVENTS", "*", "event", "{}"),
        ("XREAD", "STREAMS", "DEAD_LETTERS", "0"),
        ("XREAD", "STREAMS", "L3_OUT", "0"),
        ("FCALL", "dsmil_settle", "4", "L3_IN", "a", "b", "DEAD_LETTERS", "g", "c", "-", "+"),
    ),
    "ingest": (
        TRIM,
        ("MULTI",),
        ("XADD", "L3_OUT", "*", "event", "{}"),
        ("XADD", "SOC_EVENTS", "*", "event", "{}"),
        ("XREAD", "STREAMS", "L3_IN", "0"),
        ("XLEN", "L3_IN"),
    ),
    "listen": (
        TRIM,
        ("XADD", "L3_OUT", "*", "event", "{}"),
        ("XREAD", "STREAMS", "L3_IN", "0"),
        ("DEL", "suricata"),
        ("LPUSH", "suricata", "{}"),
        ("LMOVE", "other", "dsmil:list:other:me", "RIGHT", "LEFT"),
        ("SET", "dsmil:pressure", "{}"),
    ),
    "janitor": (
        ("XADD", "L3_IN", "*", "event", "{}"),
        ("XRANGE", "L3_IN", "-", "+"),
        ("XRANGE", "DEAD_LETTERS", "-", "+"),
        ("HSET", "dsmil:saved", "store|L3_IN", "9-9"),
        ("XACK", "L3_IN", DETECTOR, "1-1"),
        ("XGROUP", "CREATE", "L3_IN", "g", "0"),
        ("MULTI",),
    ),
    "auditor": (
        TRIM,
        ("XADD", "L3_IN", "*", "event", "{}"),
        ("XADD", "SOC_EVENTS", "*", "event", "{}"),
        ("XREADGROUP", "GROUP", DETECTOR, "c", "STREAMS", "L3_IN", ">"),
        ("SET", "dsmil:pressure", "{}"),
    ),
    "reader": (
        TRIM,
        ("XADD", "L3_IN", "*", "event", "{}"),
        ("XADD", "DEAD_LETTERS", "*", "event", "{}"),
        ("XREADGROUP", "GROUP", DETECTOR, "c", "STREAMS", "L3_IN", ">"),
        ("CONFIG", "GET", "*"),
        ("HGETALL", attempts_key("L3_IN", DETECTOR)),
    ),
    "admin": (
        ("XADD", "L5_OUT", "*", "event", "{}"),
        ("FUNCTION", "KILL"),
        ("ACL", "DELUSER", "default"),
        ("ACL", "GETUSER", "dsmil-reader"),
    ),
}
