"""Log records in the journal's own form, read from a real datagram socket."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
import structlog

from dsmil import log


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[socket.socket]:
    """Return the socket that journald would listen on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "journal"))
        sock.settimeout(5)
        yield sock


class Process:
    """A process, set up as one that systemd started: its standard error is what JOURNAL_STREAM names."""

    def __init__(self, file: IO[str], journald: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
        self._file, self._journald, self._monkeypatch = file, journald, monkeypatch

    def configure(self, *, named: bool = True) -> None:
        # In the test's own call: pytest sets standard error anew after its fixtures.
        self._monkeypatch.setattr(sys, "stderr", self._file)
        found = os.fstat(self._file.fileno())
        self._monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino if named else 0}")
        log.configure("INFO", service="soc-router", journal_socket=Path(self._journald.getsockname()))

    def stderr(self) -> str:
        self._file.flush()
        return Path(self._file.name).read_text("utf-8")


@pytest.fixture
def process(tmp_path: Path, journald: socket.socket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Process]:
    before = structlog.get_config()
    with (tmp_path / "stderr").open("w", encoding="utf-8") as file:
        yield Process(file, journald, monkeypatch)
    structlog.configure(**before)


def parsed(datagram: bytes) -> dict[str, str]:
    """Read a datagram by the rules of the native protocol."""
    found: dict[str, str] = {}
    while datagram:
        line, _, datagram = datagram.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            length = int.from_bytes(datagram[:8], "little")
            value, datagram = datagram[8 : 8 + length], datagram[8 + length + 1 :]
        assert name.decode() not in found
        found[name.decode()] = value.decode()
    return found


def test_fields_arrive_as_journal_fields(journald: socket.socket, process: Process) -> None:
    process.configure()
    log.get("store-writer").warning("store.trouble", cause="it's gone", retry_in_s=0.25, Ids=["a", "b"])
    record = parsed(journald.recv(65536))
    assert record.pop("MESSAGE") == 'store.trouble cause=it\'s gone retry_in_s=0.25 Ids=["a", "b"]'
    assert record == {
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "dsmil-soc-router",
        "DSMIL_EVENT": "store.trouble",
        "DSMIL_COMPONENT": "store-writer",
        "DSMIL_CAUSE": "it's gone",
        "DSMIL_RETRY_IN_S": "0.25",
        "DSMIL_IDS": '["a", "b"]',
    }
    assert process.stderr() == ""


def test_the_documented_line_is_the_message(journald: socket.socket, process: Process) -> None:
    process.configure()
    line = "📊 Stats: uptime=123s, processed=45, published=42, shrink=✅"
    log.get("host").info(line, part="soc-router")
    record = parsed(journald.recv(65536))
    assert record["MESSAGE"].startswith(line)
    assert record["PRIORITY"] == "6"
    assert process.stderr() == ""


def test_an_exception_keeps_its_lines_and_forges_no_field(journald: socket.socket, process: Process) -> None:
    process.configure()
    try:
        raise ValueError(  # noqa: TRY301 - an error to log
            "first\nPRIORITY=0\n_UID=0"
        )
    except ValueError:
        log.get("host").exception("host.part_broken", part="a\nPRIORITY=0")
    record = parsed(journald.recv(65536))
    assert record["PRIORITY"] == "3"
    assert "_UID" not in record
    assert record["DSMIL_PART"] == r"a\x0aPRIORITY=0"
    assert record["DSMIL_EXCEPTION"].endswith("ValueError: first\nPRIORITY=0\n_UID=0")
    assert record["MESSAGE"] == r"host.part_broken part=a\x0aPRIORITY=0" + "\n" + record["DSMIL_EXCEPTION"]
    assert process.stderr() == ""


def test_what_the_journal_does_not_take_goes_to_standard_error(journald: socket.socket, process: Process) -> None:
    process.configure()
    log.get("host").info("too.large", text="x" * 10_000_000)
    log.get("host").info("small")
    assert parsed(journald.recv(65536))["DSMIL_EVENT"] == "small"
    assert process.stderr().startswith('{"component": "host", "text": "xxx')
    journald.close()
    log.get("host").info("journald.away")
    assert '"event": "journald.away"' in process.stderr().splitlines()[-1]


def test_another_standard_error_gets_json(journald: socket.socket, process: Process) -> None:
    process.configure(named=False)
    log.get("host").info("an.event")
    assert '"event": "an.event"' in process.stderr()
    journald.settimeout(0)
    with pytest.raises(BlockingIOError):
        journald.recv(65536)
