"""A running fabric for tests: ``dsmil up`` as a process, on a state directory of its own, seen from outside."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import pytest
import redis

from dsmil.testing.waiting import until

ROOT = Path(__file__).resolve().parents[2]
#: The specification, where it lies beside the fixtures.
SPECIFICATION = ROOT.parent / "shared" / "seed" / "phase1_2f.md"
#: What the services of one instance read.
GROUPS = {
    ("L3_IN", "l3-analytics"),
    ("L3_IN", "l3-sensor-alert"),
    ("L3_IN", "l3-sigma"),
    ("L3_IN", "l3-suricata-alert"),
    *((stream, name) for stream in ("L3_OUT", "L4_IN") for name in ("l4-fusion", "l4-risk", "l4-tactics")),
    ("L3_OUT", "soc-router"),
    ("L4_OUT", "soc-router"),
}
LINUX = sys.platform.startswith("linux")
#: Variables of whoever runs the tests that would change what the program under test does.
_FOREIGN = (
    *("REDIS_", "HOTPATH_", "SHRINK_", "DSMIL_", "BATCH_SIZE", "POLL_TIMEOUT", "LOG_LEVEL", "XDG_STATE_HOME"),
    *("FORCE_COLOR", "CLICOLOR", "TTY_", "COLUMNS", "LINES"),
)


def environment(**given: str | Path) -> dict[str, str]:
    """Return this process's environment without anything that concerns the product, plus what is given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    return kept | {name: str(value) for name, value in given.items()}


class Done(NamedTuple):
    """A command that has ended. Texts are decoded without changing line ends."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Return standard output as JSON."""
        return json.loads(self.out)

    @property
    def complaint(self) -> str:
        """Return the one line on standard error; there must be no other."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        return lines[0]


def run(*command: str | Path, env: Mapping[str, str], given: str | bytes = b"", timeout_s: float = 60.0) -> Done:
    """Run a program to its end in the repository's root."""
    fed = given.encode() if isinstance(given, str) else given
    ended = subprocess.run(
        [str(part) for part in command],
        env=env,
        cwd=ROOT,
        input=fed,
        capture_output=True,
        timeout=timeout_s,
        check=False,
    )
    return Done(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


def dsmil(*arguments: str | Path, env: Mapping[str, str], given: str | bytes = b"") -> Done:
    """Run one ``dsmil`` command."""
    return run(sys.executable, "-m", "dsmil", *arguments, env=env, given=given)


def http_get(port: int, path: str) -> tuple[int, str]:
    """Return status and body of a page on loopback."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def alive(pid: int) -> bool:
    """Return whether a process is there and not merely waiting to be reaped."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


class Fabric:
    """One instance of ``dsmil up``."""

    def __init__(self, state: Path, *options: str, **environ: str | Path) -> None:
        self.state = state
        self.options = options
        self.env = environment(DSMIL_STATE_DIR=state, **environ)
        self.output = state.with_suffix(".log")
        self.process: subprocess.Popen[bytes] | None = None
        self.record: dict[str, Any] = {}
        self.socket = ""
        self._log: IO[bytes] | None = None

    def start(self) -> Fabric:
        """Start it and wait until it says that it runs."""
        self._log = self.output.open("wb")
        command = [sys.executable, "-m", "dsmil", "up", *self.options]
        self.process = subprocess.Popen(
            command, env=self.env, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
        )
        until(self._is_up, 30, "the fabric")
        return self

    def _is_up(self) -> bool:
        assert self.process is not None
        code = self.process.poll()
        assert code is None, f"ended with {code}: {self.said()}"
        if not any(line.startswith("running ") for line in self.said().splitlines()):
            return False
        self.record = json.loads((self.state / "instance.json").read_bytes())
        self.socket = self.record.get("socket", "") or self.socket
        return True

    def said(self) -> str:
        """Return what it has printed."""
        return self.output.read_text("utf-8", "replace")

    def __enter__(self) -> Fabric:
        return self.start()

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def end(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = 30.0) -> int:
        """Stop it by a signal; return its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout_s)

    def close(self) -> None:
        """Leave no process behind, whatever the test did. Not the way to stop it: see :meth:`end`."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if LINUX:
            for pid in self.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            until(lambda: not self.processes(), 10, "the end of all processes")
        if self._log is not None:
            self._log.close()

    # Its processes

    def processes(self) -> dict[int, str]:
        """Return command lines of all living processes of this instance, whoever their parent is."""
        if not LINUX:
            pytest.skip("finding the processes of an instance needs /proc")
        found = {}
        own = f"DSMIL_STATE_DIR={self.state}\0".encode()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                environ = (entry / "environ").read_bytes() + b"\0"
            except OSError:
                continue
            # The broker overwrites its environment with its title, which names the socket.
            if own in environ or (self.socket and self.socket in words):
                found[int(entry.name)] = words
        return found

    def children(self) -> dict[str, int]:
        """Return the pids of what ``up`` started: ``broker``, and each service process by its first part."""
        found = {}
        for pid, words in self.processes().items():
            if "valkey-server" in words or "redis-server" in words:
                found["broker"] = pid
            elif " -m dsmil run " in words:
                found[words.split(" run ", 1)[1].split()[0]] = pid
            elif " -m dsmil demo " in words:
                found["demo"] = pid
        return found

    # What is in it

    def cli(self, *arguments: str | Path, given: str | bytes = b"") -> Done:
        """Run a command against this instance."""
        return dsmil(*arguments, env=self.env, given=given)

    def json(self, *arguments: str | Path) -> Any:
        """Run a command with ``--json`` that must succeed; return what it prints."""
        done = self.cli(*arguments, "--json")
        assert done.code == 0, done
        return done.json

    @contextlib.contextmanager
    def redis(self) -> Iterator[redis.Redis]:
        """Return a plain client of its broker, as a foreign producer would have."""
        with redis.Redis.from_url(self.record["broker_url"], protocol=2) as client:
            yield client

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask its hot store through the standard library, which shares no code with the product."""
        with self._store() as connection:
            return connection.execute(sql, values).fetchall()

    def row(self, event_id: str, table: str = "soc_events_cache") -> dict[str, Any] | None:
        """Return the row of an event, decoded; None while there is none, or no store yet."""
        statement = f"SELECT * FROM {table} WHERE event_id = ?"  # noqa: S608 - a table of ours
        try:
            with self._store() as connection:
                connection.row_factory = sqlite3.Row
                found = connection.execute(statement, (event_id,)).fetchone()
        except sqlite3.OperationalError as exc:
            if "unable to open" in str(exc) or "no such table" in str(exc):
                return None
            raise
        if found is None:
            return None
        row = dict(found)
        for name in {"payload", "context", "escalation", "signals", "shrink_metrics"} & row.keys():
            row[name] = None if row[name] is None else json.loads(row[name])
        return row

    @contextlib.contextmanager
    def _store(self) -> Iterator[sqlite3.Connection]:
        place = f"file:{self.record['hotpath_db']}?mode=ro"
        with contextlib.closing(sqlite3.connect(place, uri=True, timeout=10)) as connection:
            yield connection

    def wait_row(self, event_id: str, timeout_s: float = 20.0) -> dict[str, Any]:
        """Wait for the SOC row of an event."""
        return until(lambda: self.row(event_id), timeout_s, f"the SOC row of {event_id}") or {}

    def send(self, event_id: str, stream: str = "L3_OUT", **fields: Any) -> dict[str, Any]:
        """Publish one finding as a foreign producer; return its document."""
        document = {
            "event_id": event_id,
            "ts": 1_700_000_000.5,
            "source_device": 16,
            "source_layer": 3,
            "category": "NETWORK",
            "severity": "MEDIUM",
            "payload": {"decision": f"finding {event_id}"},
        } | fields
        with self.redis() as client:
            client.xadd(stream, {"event": json.dumps(document)})
        return document

    def settled(self, timeout_s: float = 60.0) -> dict[str, Any]:
        """Wait until everything is read, settled and copied; return the status then."""
        until(self._at_rest, timeout_s, "rest")
        status: dict[str, Any] = self.json("status")
        return status

    def _at_rest(self) -> bool:
        """Look in the order in which entries flow: what comes out of one look is seen by the next."""
        with self.redis() as client:
            for stream, name in sorted(GROUPS):
                groups: Any = client.xinfo_groups(stream) if client.exists(stream) else []
                found = [group for group in groups if group["name"] == name.encode()]
                if not found or found[0]["lag"] != 0 or found[0]["pending"] != 0:
                    return False  # also while the services are still starting
            ends = {stream: _last_id(client, stream) for stream in ("L3_IN", "SOC_EVENTS")}
        try:
            reached = dict(self.rows("SELECT stream, last_id FROM stream_positions"))
        except sqlite3.OperationalError:
            return False  # no store yet
        return all(end == "0-0" or reached.get(stream) == end for stream, end in ends.items())


def _last_id(client: redis.Redis, stream: str) -> str:
    info: Any = client.xinfo_stream(stream)
    return str(info["last-generated-id"].decode())


def groups_of(status: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the groups of services, by stream and name."""
    return {
        (stream["name"], group["name"]): group
        for stream in status["broker"]["streams"]
        for group in stream["groups"]
        if group["name"] != "dsmil"
    }


def assert_balanced(status: Mapping[str, Any]) -> None:
    """Nothing may be lost or doubled: not in any group, not on the way into the store."""
    groups = groups_of(status)
    assert groups.keys() >= GROUPS
    assert {key: group["imbalance"] for key, group in groups.items()} == dict.fromkeys(groups, 0)
    for place in status["store"]["positions"]:
        assert place["entries"] == place["rows"] + place["duplicates"] + place["rejected"], place
