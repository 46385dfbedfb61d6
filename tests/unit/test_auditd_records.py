"""Audit records against the documents that Wazuh's engine makes of the same lines, and a real recording."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from dsmil.sources import _auditd

#: Where the engine's document has a field -> our name of it.
SAME = {
    ("process", "pid"): "pid",
    ("process", "executable"): "exe",
    ("process", "name"): "comm",
    ("process", "parent", "pid"): "ppid",
    ("process", "exit_code"): "exit",
    ("user", "id"): "uid",
    ("user", "name"): "acct",
    ("user", "audit", "id"): "auid",
    ("user", "effective", "id"): "euid",
    ("user", "terminal"): "terminal",
    ("source", "address"): "addr",
    ("event", "outcome"): "res",
    ("auditd", "log", "ses"): "ses",
    ("auditd", "log", "subj"): "subj",
    ("auditd", "log", "key"): "key",
    ("auditd", "log", "syscall"): "syscall",
    ("auditd", "log", "unit"): "unit",
    ("auditd", "log", "op"): "op",
    ("auditd", "log", "hostname"): "hostname",
}
#: The engine keeps what stands for "not set"; ours leaves it out.
NOT_SET = {"?", "4294967295"}


def _at(document: dict[str, Any], path: tuple[str, ...]) -> object:
    found: object = document
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def test_fields_agree_with_those_of_wazuh_s_engine(fixtures: Path) -> None:
    folder = fixtures / "wazuh_engine_normalisation/integrations/auditd/_test"
    records = [_auditd.decode_line(line) for line in (folder / "input.txt").read_text().splitlines()]
    documents = json.loads((folder / "expected.json").read_text())
    compared = 0
    for record, document in zip(records, documents, strict=True):
        assert record["type"].lower() == document["event"]["action"]
        assert record["serial"] == document["auditd"]["log"]["sequence"]
        assert record["time"] == document["timestamp"]
        assert record.get("node") == document["auditd"]["log"].get("node")
        for path, name in SAME.items():
            value = _at(document, path)
            if value is not None:
                compared += 1
                assert record["fields"].get(name) == (None if str(value) in NOT_SET else str(value)), path
    assert compared == 45


def test_a_recorded_command_line_is_read_from_its_records(fixtures: Path) -> None:
    folder = fixtures / "otrf_security_datasets/datasets/atomic/linux"
    (dd,) = folder.glob("defense_evasion/host/*.log.gz")
    event = _auditd.decode(gzip.decompress(dd.read_bytes()).decode().splitlines())
    assert event["command_line"] == "dd if=/dev/zero bs=1 count=1"
    assert event["records"][-1]["fields"]["proctitle"] == event["command_line"]
    assert (event["time"], event["serial"]) == ("1604996384.965", 93777)
    assert event["types"] == ["SYSCALL", "EXECVE", "CWD", "PATH", "PROCTITLE"]
