r"""Linux audit records: ``type=SYSCALL msg=audit(1700000000.123:42): key=value key="value" ...``.

A value is in quotes when it is plain text, and in hexadecimal digits, unquoted, when it holds blanks, quotes or
control characters; only certain fields are written so (``ENCODED``). Behind the byte 0x1D stand names that
``auditd`` with ``log_format = ENRICHED`` adds: ``UID="root"``. Records of one event share ``node`` and
``audit(time:serial)``.
"""

from __future__ import annotations

import re
from typing import Any, Final

from dsmil.errors import EventInvalid
from dsmil.sources import _saddr
from dsmil.sources._cef import add

_HEAD: Final = re.compile(
    r"\s*(?:node=(?P<node>\S+)\s+)?(?:audit: )?type=(?P<type>[\w\[\]\-.]+)\s+"
    r"(?:msg=)?audit\((?P<time>\d{1,12}\.\d{1,9}):(?P<serial>\d{1,20})\)\s*:\s*",
    re.ASCII,
)
_PAIR: Final = re.compile(
    r"""(?<![\w\-\[\]])(?P<key>[A-Za-z_][\w\-\[\]]*)="""
    r"""(?:"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>[^']*)'|(?P<curly>\{[^}]{0,1024}\})|(?P<plain>[^\s]*))""",
    re.ASCII,
)
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2})+", re.ASCII)
_ARGUMENT: Final = re.compile(r"a(?P<number>\d{1,6})(?:\[(?P<part>\d{1,6})\]|(?P<length>_len))?", re.ASCII)
#: Fields that the kernel and the audit library write as untrusted strings.
ENCODED: Final = frozenset(
    "proctitle name exe comm cmd cwd path key acct data file new-disk old-disk device dir watch root vm"
    " old-fs new-fs old-rng new-rng old-chardev new-chardev old_prom grp new_group sw key_desc".split()
)
#: What enriched records have in place of a name when there is none.
_NAMELESS: Final = ("unset", "unknown(", "unknown-")
#: What means that there is nothing.
_NOTHING: Final = {"(null)", "?", "(none)", "(unset)"}
#: -1 as the kernel's unsigned number: an auid or a session that was never set.
UNSET: Final = {"4294967295", "-1", "18446744073709551615"}
_UNSET_FIELDS: Final = frozenset("auid ses old-auid old-ses old_auid old_ses obj_uid oauid oses".split())
#: Records of which an event may have several: kernel events, 1300 to 1399 and the access decisions beside them.
#: All others (user space, daemon, anomalies from 2100 on) are events of their own, even under one serial.
JOINED: Final = frozenset(
    "SYSCALL PATH IPC SOCKETCALL CONFIG_CHANGE SOCKADDR CWD EXECVE IPC_SET_PERM MQ_OPEN MQ_SENDRECV MQ_NOTIFY"
    " MQ_GETSETATTR KERNEL_OTHER FD_PAIR OBJ_PID TTY EOE BPRM_FCAPS CAPSET MMAP NETFILTER_PKT NETFILTER_CFG"
    " SECCOMP PROCTITLE FEATURE_CHANGE REPLACE KERN_MODULE FANOTIFY TIME_INJOFFSET TIME_ADJNTPVAL BPF"
    " EVENT_LISTENER URINGOP OPENAT2 DM_CTRL DM_EVENT AVC SELINUX_ERR AVC_PATH MAC_POLICY_LOAD MAC_STATUS"
    " MAC_CONFIG_CHANGE MAC_TASK_CONTEXTS MAC_OBJ_CONTEXTS APPARMOR APPARMOR_AUDIT APPARMOR_ALLOWED"
    " APPARMOR_DENIED APPARMOR_HINT APPARMOR_STATUS APPARMOR_ERROR ANOM_PROMISCUOUS ANOM_ABEND ANOM_LINK"
    " ANOM_CREAT INTEGRITY_DATA INTEGRITY_METADATA INTEGRITY_STATUS INTEGRITY_HASH INTEGRITY_PCR INTEGRITY_RULE"
    " INTEGRITY_EVM_XATTR INTEGRITY_POLICY_RULE IPE_ACCESS IPE_CONFIG_CHANGE IPE_POLICY_LOAD LANDLOCK_ACCESS"
    " LANDLOCK_DOMAIN".split()
)
#: Records after which no other of their event comes.
LAST: Final = frozenset({"EOE", "PROCTITLE"})
#: What the kernel's own log has in place of names, and ``auditd`` for types that it does not know.
_NUMBERS: Final = {
    "1006": "LOGIN", "1300": "SYSCALL", "1302": "PATH", "1303": "IPC", "1304": "SOCKETCALL",
    "1305": "CONFIG_CHANGE",
    "1306": "SOCKADDR", "1307": "CWD", "1309": "EXECVE", "1318": "OBJ_PID", "1319": "TTY", "1320": "EOE",
    "1321": "BPRM_FCAPS", "1322": "CAPSET", "1323": "MMAP", "1325": "NETFILTER_CFG", "1326": "SECCOMP",
    "1327": "PROCTITLE", "1330": "KERN_MODULE", "1400": "AVC", "1401": "SELINUX_ERR", "1700": "ANOM_PROMISCUOUS",
    "1701": "ANOM_ABEND", "1702": "ANOM_LINK",
}  # fmt: skip
#: How ``ausearch -i`` writes times: in the zone and the language of whoever ran it.
_FOR_PEOPLE: Final = re.compile(r"type=\S+\s+msg=audit\(\d+[/.-]\d+[/.-]\d+ ", re.ASCII)
#: Most parts that a split argument may have.
_MOST_PARTS: Final = 10_000


def header(line: str) -> re.Match[str] | None:
    """Return node, type, time and serial of a line, or None when it is no audit record."""
    return _HEAD.match(line)


def type_name(head: re.Match[str]) -> str:
    """Return the type that a header names, by name where the kernel wrote a number."""
    kind = head["type"]
    return _NUMBERS.get(kind.removeprefix("UNKNOWN[").removesuffix("]"), kind)


def decode_line(line: str) -> dict[str, Any]:
    """Return one record: ``type``, ``node``, ``time``, ``serial``, ``fields``, and more when it has it.

    ``enriched`` are the names behind the numbers, ``socket`` is a decoded ``saddr``.

    Raises EventInvalid (``not_auditd``) when the line has no ``type=`` and ``msg=audit(time:serial):``.
    """
    head = header(line)
    if head is None:
        hint = "; this is ausearch -i, read ausearch --raw" if _FOR_PEOPLE.search(line[:1024]) else ""
        raise EventInvalid(
            "not_auditd", f"{line[:60]!r} does not begin with type=NAME msg=audit(time:serial):{hint}"
        )
    body, _, extra = line[head.end() :].partition("\x1d")
    record: dict[str, Any] = {"type": type_name(head), "time": head["time"], "serial": int(head["serial"])}
    if head["node"]:
        record["node"] = head["node"]
    record["fields"] = fields = _fields(body, record["type"])
    if extra.strip():
        record["enriched"] = {
            key: value for key, value in _fields(extra, "").items() if not str(value).startswith(_NAMELESS)
        }
    if isinstance(fields.get("saddr"), str) and (socket := _saddr.decode(fields["saddr"])):
        record["socket"] = socket
    return record


def decode(lines: list[str]) -> dict[str, Any]:
    """Return one event of its records: ``records`` in order, and what tells about all of them on top."""
    records = [decode_line(line) for line in lines]
    first = records[0]
    event: dict[str, Any] = {"time": first["time"], "serial": first["serial"]}
    if "node" in first:
        event["node"] = first["node"]
    event["types"] = list(dict.fromkeys(record["type"] for record in records))
    event["records"] = [
        {key: value for key, value in record.items() if key not in {"time", "serial", "node"}}
        for record in records
    ]
    arguments = [a for record in records if record["type"] == "EXECVE" for a in record["fields"].get("argv", ())]
    title = next((r["fields"]["proctitle"] for r in records if "proctitle" in r["fields"]), None)
    command = " ".join(arguments) if arguments else title
    if command:
        event["command_line"] = command
    return event


def _fields(text: str, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    words: list[str] = []
    at = 0
    for pair in _PAIR.finditer(text):
        words += text[at : pair.start()].split()
        at = pair.end()
        key = pair["key"]
        if key == "msg" and (inner := pair["single"] or pair["double"]):
            # What a user-space program said: pairs inside quotes.
            inside = _fields(inner.replace('\\"', '"') if pair["double"] else inner, kind)
            for name, value in inside.items():
                if name == "words":
                    words += value
                else:
                    add(found, name, value)
            continue
        value = _value(key, pair, kind)
        if value is not None:
            add(found, key, value)
    words += text[at:].split()
    if kind == "EXECVE":
        found = _arguments(found)
    if words and (said := [word for word in words if word.strip(",:")]):
        found["words"] = said
    return found


def _value(key: str, pair: re.Match[str], kind: str) -> str | None:
    """Return a decoded value; None for what is not set."""
    quoted = pair["double"] if pair["double"] is not None else pair["single"]
    if quoted is not None:
        return None if quoted in _NOTHING else quoted
    value = pair["curly"] or (pair["plain"] or "").rstrip(",")
    if value in _NOTHING or (key in _UNSET_FIELDS and value in UNSET):
        return None
    encoded = key in ENCODED or (kind == "EXECVE" and _ARGUMENT.fullmatch(key) and not key.endswith("_len"))
    if encoded and _HEX.fullmatch(value):
        return _text(value, "\x01" if key == "key" else " " if key in {"proctitle", "cmd"} else "")
    return value


def _text(digits: str, parted_by: str) -> str:
    """Return the text in hexadecimal digits; NUL ends words of a command line, 0x01 parts the keys of rules."""
    text = bytes.fromhex(digits).decode("utf-8", "backslashreplace")
    if parted_by == "\x01":
        return text.replace("\x01", ",")
    return text.rstrip("\x00").replace("\x00", parted_by or "\x00")


def _arguments(fields: dict[str, Any]) -> dict[str, Any]:
    """Put ``a0``, ``a1``, ``a2[0]``, ``a2[1]`` together as ``argv``."""
    whole: dict[int, dict[int, str]] = {}
    rest: dict[str, Any] = {}
    for key, value in fields.items():
        match = _ARGUMENT.fullmatch(key)
        if match is None or not isinstance(value, str):
            rest[key] = value
        elif not match["length"] and int(match["part"] or 0) < _MOST_PARTS:
            whole.setdefault(int(match["number"]), {})[int(match["part"] or 0)] = value
    argv = ["".join(parts[number] for number in sorted(parts)) for _, parts in sorted(whole.items())]
    return {**rest, "argv": argv} if argv else rest
