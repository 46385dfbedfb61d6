"""A pipe that stays open: what was written to it is on the stream, however few lines that are."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
from tests.acceptance.fabric_process import ROOT, environment

from dsmil.config import Settings
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.testing.waiting import until

EVENT = json.dumps({"source_device": 5, "payload": {"alert": "one"}}).encode()
RECORD = json.dumps({"timestamp": "2026-01-01T00:00:00+0000", "event_type": "flow", "flow_id": 1}).encode()
COMMANDS = {"publish": (("publish", "L3_IN", "-"), EVENT), "ingest": (("ingest", "suricata-eve", "-"), RECORD)}


@contextmanager
def reading(settings: Settings, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    env = environment(REDIS_URL=settings.redis_url, DSMIL_STATE_DIR=settings.state_dir)
    process = subprocess.Popen(
        [sys.executable, "-m", "dsmil", *arguments],
        env=env,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    try:
        yield process, process.stdin
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_line_is_sent_before_the_next_is_waited_for(
    bus: RedisStreamsClient, settings: Settings, name: str
) -> None:
    arguments, line = COMMANDS[name]
    with reading(settings, *arguments) as (process, pipe):
        pipe.write(line + b"\n")
        pipe.flush()
        until(lambda: bus.client.xlen("L3_IN") == 1, what="the first line")
        # The beginning of a line does not hold back those before it.
        pipe.write((line + b"\n") * 2 + line[:10])
        pipe.flush()
        until(lambda: bus.client.xlen("L3_IN") == 3, what="two more")
        pipe.write(line[10:])
        assert process.poll() is None
        said, problems = process.communicate(timeout=20)
    assert (process.returncode, problems) == (0, b""), said
    assert bus.client.xlen("L3_IN") == 4


def test_a_dead_letter_does_not_wait_either(bus: RedisStreamsClient, settings: Settings) -> None:
    with reading(settings, "ingest", "suricata-eve", "-") as (process, pipe):
        pipe.write(b"no record\n")
        pipe.flush()
        until(lambda: bus.client.xlen("DEAD_LETTERS") == 1, what="the letter")
        assert process.poll() is None


def test_a_refused_line_is_named_at_once(bus: RedisStreamsClient, settings: Settings) -> None:
    with reading(settings, "publish", "L3_IN") as (process, pipe):
        pipe.write(EVENT + b"\nno event\n")
        pipe.flush()
        assert process.stderr is not None
        assert process.stderr.readline().startswith(b"dsmil: <stdin>:2: malformed_json")
        until(lambda: bus.client.xlen("L3_IN") == 1, what="the good line")


def test_a_stream_that_never_pauses_goes_out_in_batches(
    bus: RedisStreamsClient, settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "events"
    file.write_bytes((EVENT + b"\n") * 5000)
    before = bus.client.info("stats")["total_reads_processed"]
    with file.open("rb") as given:
        subprocess.run(
            [sys.executable, "-m", "dsmil", "publish", "L3_IN", "-"],
            env=environment(REDIS_URL=settings.redis_url, DSMIL_STATE_DIR=settings.state_dir),
            stdin=given,
            check=True,
            capture_output=True,
            timeout=60,
        )
    assert bus.client.xlen("L3_IN") == 5000
    assert bus.client.info("stats")["total_reads_processed"] - before < 500
