"""Wazuh's own sample lines: what share of each decoder's lines the syslog and audit decoders read."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from pathlib import Path

from dsmil.errors import EventInvalid
from dsmil.events.model import Event
from dsmil.sources import _auditd, _syslog
from dsmil.sources._feed import RawRecord, Reader
from dsmil.sources.wazuh import Wazuh

#: Decoders of which not every line is syslog or an audit record -> lines read. Each other one is read whole.
PARTLY = {
    "ECPServerLog": 0,
    "FreePBX": 1,
    "HTTPProxyLog": 0,
    "apache-errorlog": 0,
    "cpanel-login": 0,
    "fortimail-like": 1,
    "gitlab-12-application-log": 0,
    "gitlab-shell-stderr": 0,
    "json": 0,
    "json-msgraph": 0,
    "oscap": 3,
    "postgresql_log": 0,
    "sonicwall": 3,
    "sophos": 0,
    "sophos-win": 0,
    "squid-accesslog": 0,
    "web-accesslog": 0,
}


def samples(folder: Path) -> list[tuple[str, str]]:
    """Return (expected decoder, line) of all cases."""
    found: list[tuple[str, str]] = []
    for path in sorted(folder.iterdir()):
        raw = path.read_bytes()
        lines: list[str] = []
        decoder = ""
        for text in [*(gzip.decompress(raw) if path.suffix == ".gz" else raw).decode().splitlines(), "[end]"]:
            if re.fullmatch(r"\[.*\]\s*", text):
                found += [(decoder, line) for line in lines]
                lines, decoder = [], ""
            elif match := re.match(r"log \d+ (?:pass|fail)\s*=\s?(.*)", text):
                lines.append(match[1])
            elif match := re.match(r"decoder\s*=\s*(.*)", text):
                decoder = match[1].strip()
    return found


def is_read(line: str) -> bool:
    try:
        if _auditd.header(line):
            _auditd.decode_line(line)
        else:
            _syslog.decode(line.encode())
    except EventInvalid:
        return False
    return True


def test_the_share_of_each_decoder_is_pinned(fixtures: Path) -> None:
    lines = samples(fixtures / "wazuh_rule_tests/tests")
    total = Counter(decoder for decoder, _ in lines)
    read = Counter(decoder for decoder, line in lines if is_read(line))
    for decoder in sorted(total):
        print(f"{decoder or '(none)':28} {read[decoder]:4} of {total[decoder]:4}")  # noqa: T201 - the share is the report
    assert sum(total.values()) == 1150
    assert {name: read[name] for name in total if read[name] < total[name]} == PARTLY


def test_json_lines_are_read_as_the_manager_archives_them(fixtures: Path) -> None:
    """Each JSON sample is what the manager puts under ``data``; four are not JSON as they stand there."""
    reader = Reader(Wazuh())
    kinds: dict[str, list[Event]] = {}
    broken = 0
    for decoder, line in samples(fixtures / "wazuh_rule_tests/tests"):
        if decoder not in {"json", "json-msgraph"}:
            continue
        head = b'{"timestamp":"2024-01-01T00:00:00.000+0000","location":"x","decoder":{"name":"json"}'
        raw = b'%b,"data":%b,"full_log":%b}' % (head, line.encode(), json.dumps(line).encode())
        try:
            event = reader.event(RawRecord(raw, "archives.json:1"), 1_750_000_000.0)
        except EventInvalid as exc:
            broken += exc.cause == "malformed_json"
            continue
        data = event.payload["data"]
        assert data == json.loads(line)
        kinds.setdefault(data.get("integration") or next(iter(data)), []).append(event)
    told = {kind: sum(bool(event.entities) for event in events) for kind, events in kinds.items()}
    assert (sum(map(len, kinds.values())), broken) == (565, 4), "of 569"
    assert {kind: told[kind] for kind in ("win", "github", "docker", "metadata", "ClientIP")} == {
        "win": 141,
        "github": 324,
        "docker": 14,
        "metadata": 15,
        "ClientIP": 14,
    }


def test_known_programs_are_named(fixtures: Path) -> None:
    """Wazuh picks these decoders by the program's name: ours must find the same one."""
    lines = samples(fixtures / "wazuh_rule_tests/tests")
    for program in ("sshd", "dropbear", "doas", "smbd", "openldap"):
        syslog = [_syslog.decode(line.encode()) for decoder, line in lines if decoder == program]
        assert {parts["app"] for parts in syslog} == {"slapd" if program == "openldap" else program}


def test_cef_and_leef_of_the_samples_are_whole(fixtures: Path) -> None:
    lines = samples(fixtures / "wazuh_rule_tests/tests")
    cef = [_syslog.decode(line.encode())["cef"] for decoder, line in lines if decoder == "cef-fireeye"]
    leef = [_syslog.decode(line.encode())["leef"] for decoder, line in lines if decoder == "paps"]
    assert (len(cef), len(leef)) == (3, 8)
    assert all(found["extension"] and "unread" not in found for found in [*cef, *leef])
