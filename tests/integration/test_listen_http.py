"""HTTP pushes to a real listener and a real broker: what is taken, and every way of being turned away."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.integration.listening import Process, figure, free_port, ids, line, lines, numbers, reachable

from dsmil.config import Settings
from dsmil.errors import ConfigError
from dsmil.infrastructure import pressure as pressure_module
from dsmil.infrastructure.broker import Broker, bundled_binary
from dsmil.infrastructure.pressure import announce, judge
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.services import metric_names
from dsmil.services.ingest import Ingest
from dsmil.services.letters import read_letters
from dsmil.services.listening import connection as connection_module
from dsmil.services.listening.courier import Courier
from dsmil.services.listening.guests import Bounds
from dsmil.services.listening.http import HttpListener
from dsmil.services.listening.keys import Keys, make_key
from dsmil.services.listening.specs import Spec
from dsmil.sources.suricata_eve import SuricataEve
from dsmil.testing.running import Running
from dsmil.testing.waiting import until

MB = 1024 * 1024
KEY = "a key that nobody guesses".replace(" ", "-")
BOUNDS = Bounds(max_body=MB, max_waiting=2 * MB, max_connections=20, max_pushes=4)
LINES = {"Content-Type": "application/x-ndjson"}
ARRAY = {"Content-Type": "application/json"}


def push_listener(settings: Settings, bounds: Bounds = BOUNDS) -> HttpListener:
    keys = Keys(Path("nowhere"), KEY)
    spec = Spec(scheme="http", address="127.0.0.1:0")
    return HttpListener({"suricata-eve": SuricataEve()}, settings, [spec], keys=keys, bounds=bounds)


def client(part: HttpListener, key: str = KEY) -> httpx2.Client:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx2.Client(
        base_url=f"{part.endpoints[0]}/api/v1/ingest/", headers=headers, timeout=30, trust_env=False
    )


def here(part: HttpListener) -> tuple[str, int]:
    host, _, number = part.endpoints[0].removeprefix("http://").rpartition(":")
    return host, int(number)


@pytest.fixture
def part(bus: RedisStreamsClient, settings: Settings) -> Iterator[HttpListener]:
    assert bus
    made = push_listener(settings)
    with Running(made):
        until(lambda: made.vitals().healthy)
        yield made


def test_both_forms_plain_and_gzip(part: HttpListener, bus: RedisStreamsClient) -> None:
    array = b"[%s]" % b",\n ".join(line(n) for n in range(3))
    with client(part) as http:
        for number, (body, headers) in enumerate(
            [
                (array, ARRAY),
                (lines(3, 3), LINES),
                (gzip.compress(lines(6, 3)), LINES | {"Content-Encoding": "gzip"}),
                (gzip.compress(lines(9, 1)) + gzip.compress(lines(10, 2)), LINES | {"Content-Encoding": "gzip"}),
                (lines(12, 3), {"Content-Type": "Application/X-NDJSON; charset=utf-8"}),
            ]
        ):
            answer = http.post("suricata-eve", content=body, headers=headers)
            assert (answer.status_code, answer.json()) == (202, {"records": 3, "accepted": 3, "rejected": []})
            # 202 says that the broker has it: no waiting here.
            assert numbers(bus) == list(range(3 * number + 3))
    assert part.vitals().outcomes == {("L3_IN", "published"): 15}


def test_a_push_during_the_start_waits_instead_of_being_turned_away(
    bus: RedisStreamsClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The door is open before the broker is greeted: whoever comes in between is not told that it is away."""
    answered = threading.Event()
    greet = Courier.greet

    def late(courier: Courier, stop: threading.Event) -> bool:
        answered.wait(20)
        return greet(courier, stop)

    monkeypatch.setattr(Courier, "greet", late)
    made = push_listener(settings)
    with Running(made), client(made) as http:
        assert http.post("suricata-eve", content=lines(0, 1), headers=LINES).status_code == 202
        assert numbers(bus) == [0]
        answered.set()


def test_one_object_is_a_batch_of_one(part: HttpListener, bus: RedisStreamsClient) -> None:
    """Falco and Alertmanager push so."""
    body = b"\n" + line(3).replace(b",", b",\n") + b"\n"
    with client(part) as http:
        answer = http.post("suricata-eve", content=body, headers=ARRAY)
        assert (answer.status_code, answer.json()["accepted"]) == (202, 1)
        assert http.post("suricata-eve", content=body + b"x", headers=ARRAY).status_code == 400
    assert numbers(bus) == [3]


def test_a_body_in_chunks_without_a_length(part: HttpListener, bus: RedisStreamsClient) -> None:
    with client(part) as http:
        pieces = iter([lines(0, 1)[:7], lines(0, 1)[7:], lines(1, 2)])
        assert http.post("suricata-eve", content=pieces, headers=LINES).status_code == 202
    assert numbers(bus) == [0, 1, 2]


def test_the_answer_says_which_were_rejected_and_why(
    part: HttpListener, bus: RedisStreamsClient, settings: Settings
) -> None:
    body = b"\n".join([line(1), b"no json", line(2), b'{"x":1}', b"", b'{"event_type":"a","event_type":"b"}'])
    with client(part) as http:
        answer = http.post("suricata-eve", content=body, headers=LINES)
    assert answer.status_code == 202
    found = answer.json()
    assert (found["records"], found["accepted"]) == (5, 2)
    assert [(row["index"], row["cause"]) for row in found["rejected"]] == [
        (1, "malformed_json"),
        (3, "not_eve"),
        (4, "duplicate_key"),
    ]
    letters = read_letters(settings, 10)[0]
    assert [(letter.source, letter.raw) for letter in letters[::-1]] == [
        ("http://127.0.0.1#1", b"no json"),
        ("http://127.0.0.1#3", b'{"x":1}'),
        ("http://127.0.0.1#4", b'{"event_type":"a","event_type":"b"}'),
    ]
    assert numbers(bus) == [1, 2]


def test_the_same_again_adds_nothing_and_a_file_of_it_neither(
    part: HttpListener, bus: RedisStreamsClient, settings: Settings, tmp_path: Path
) -> None:
    body = lines(0, 5) + (line(1) + b"\n") * 2 + b'{"event_type":"flow","flow_id":9}\n' * 2
    with client(part) as http:
        for _ in range(3):
            assert http.post("suricata-eve", content=body, headers=LINES).json()["accepted"] == 9
        assert http.post("suricata-eve", content=gzip.compress(body), headers=LINES | {"Content-Encoding": "gzip"})
    assert len(ids(bus)) == 9
    (tmp_path / "eve.json").write_bytes(body)
    Ingest(SuricataEve(), settings).run([str(tmp_path / "eve.json")])
    assert len(ids(bus)) == 9


@pytest.mark.parametrize(
    ("status", "change"),
    [
        (401, {"key": ""}),
        (401, {"key": "another-key-of-some-length"}),
        (401, {"headers": LINES | {"Authorization": f"Basic {KEY}"}}),
        (404, {"path": "nothing"}),
        (404, {"path": "/metrics"}),
        (405, {"method": "GET"}),
        (415, {"headers": {"Content-Type": "text/csv"}}),
        (415, {"headers": {}}),
        (415, {"headers": LINES | {"Content-Encoding": "br"}}),
        (400, {"content": b""}),
        (400, {"content": b" \n\n"}),
        (400, {"headers": ARRAY}),
        (400, {"headers": ARRAY, "content": b"[1,"}),
        (400, {"headers": ARRAY, "content": b"[" * 100_000}),
        (400, {"headers": LINES | {"Content-Encoding": "gzip"}}),
        (400, {"headers": LINES | {"Content-Encoding": "gzip"}, "content": gzip.compress(lines(0, 9))[:-9]}),
        (413, {"content": b"x" * (MB + 1)}),
        (413, {"content": iter([b"x" * MB, b"x"])}),
        (413, {"content": gzip.compress(b"\0" * 500 * MB), "headers": LINES | {"Content-Encoding": "gzip"}}),
        (413, {"content": b"1\n" * 20_001}),
    ],
    ids=lambda value: str(value)[:60],
)
def test_turned_away(part: HttpListener, bus: RedisStreamsClient, status: int, change: dict[str, Any]) -> None:
    with client(part, change.get("key", KEY)) as http:
        answer = http.request(
            change.get("method", "POST"),
            change.get("path", "suricata-eve"),
            content=change.get("content", lines(0, 2)),
            headers=change.get("headers", LINES),
        )
        assert (answer.status_code, list(answer.json())) == (status, ["error"])
        assert ("WWW-Authenticate" in answer.headers) == (status == 401)
        assert http.post("suricata-eve", content=lines(7, 1), headers=LINES | auth()).status_code == 202
    assert figure(part.tallies, metric_names.LISTEN_REFUSED, str(status)) == 1
    assert numbers(bus) == [7]
    assert bus.client.xlen("DEAD_LETTERS") == 0
    assert part._guests.waiting == 0


def auth() -> dict[str, str]:
    return {"Authorization": f"Bearer {KEY}"}


def test_one_client_has_its_bound(part: HttpListener) -> None:
    with client(part) as http:
        held = [start_a_push(part) for _ in range(BOUNDS.max_pushes)]
        until(lambda: part._guests.pushes == BOUNDS.max_pushes)
        answer = http.post("suricata-eve", content=lines(0, 1), headers=LINES)
        assert answer.status_code == 429
        assert answer.headers["Retry-After"] == "1"
        for stream in held:
            stream.close()
        until(lambda: http.post("suricata-eve", content=lines(0, 1), headers=LINES).status_code == 202)


def start_a_push(part: HttpListener, size: int = 100) -> socket.socket:
    """Send the head of a push, and none of its body."""
    stream = socket.create_connection(here(part), timeout=20)
    head = f"POST /api/v1/ingest/suricata-eve HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n"
    fields = "".join(f"{name}: {value}\r\n" for name, value in (LINES | auth()).items())
    stream.sendall(f"{head}{fields}\r\n".encode())
    return stream


def test_the_memory_of_all_is_bounded(bus: RedisStreamsClient, settings: Settings) -> None:
    part = push_listener(settings)
    with Running(part), client(part) as http:
        until(lambda: part.vitals().healthy)
        held = [start_a_push(part, MB) for _ in range(3)]
        for stream in held[:2]:
            stream.sendall(b"x" * (MB - 1))
        until(lambda: part._guests.waiting == 2 * MB - 2)
        answer = http.post("suricata-eve", content=lines(0, 1), headers=LINES)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        for stream in held:
            stream.close()
        until(lambda: part._guests.waiting == 0)
        assert http.post("suricata-eve", content=lines(0, 1), headers=LINES).status_code == 202
    assert numbers(bus) == [0]


def test_a_rate_is_paid_back(bus: RedisStreamsClient, settings: Settings) -> None:
    part = push_listener(
        settings, Bounds(max_body=MB, max_waiting=MB, max_connections=9, max_pushes=9, rate=100.0)
    )
    with Running(part), client(part) as http:
        until(lambda: part.vitals().healthy)
        assert http.post("suricata-eve", content=lines(0, 900), headers=LINES).status_code == 202
        answer = http.post("suricata-eve", content=lines(900, 200), headers=LINES)
        assert answer.status_code == 429
        assert answer.headers["Retry-After"] == "1"
        until(lambda: http.post("suricata-eve", content=lines(900, 200), headers=LINES).status_code == 202)
    assert len(ids(bus)) == 1100


def test_an_outage_is_503_and_nothing_accepted_is_lost(tmp_path: Path) -> None:
    broker = Broker(bundled_binary(), tmp_path / "broker")
    broker.start()
    places = {"HOTPATH_DB": str(tmp_path / "db"), "DSMIL_STATE_DIR": str(tmp_path)}
    settings = Settings.from_env({"REDIS_URL": broker.url} | places)
    part = push_listener(settings)
    accepted: set[int] = set()
    statuses: set[int] = set()
    over = threading.Event()

    def push() -> None:
        number = 0
        with client(part) as http:
            while not over.is_set():
                answer = http.post("suricata-eve", content=lines(number, 20), headers=LINES)
                statuses.add(answer.status_code)
                if answer.status_code == 202:
                    accepted.update(range(number, number + 20))
                    number += 20  # else the same again
                else:
                    assert answer.headers["Retry-After"] == "5"

    try:
        with Running(part), RedisStreamsClient(settings=settings) as bus:
            until(lambda: part.vitals().healthy)
            pusher = threading.Thread(target=push)
            pusher.start()
            for _ in range(3):
                before = len(accepted)
                until(lambda before=before: len(accepted) > before + 200)  # type: ignore[misc]
                broker.stop()
                until(lambda: part.vitals().checks["broker"])
                broker.start()
                until(lambda: not part.vitals().checks["broker"])
            over.set()
            pusher.join(30)
            assert statuses == {202, 503}
            assert accepted == set(numbers(bus)) & accepted
            assert len(ids(bus)) == len(set(numbers(bus)))
    finally:
        over.set()
        broker.stop()


def test_memory_over_the_mark_is_503(
    part: HttpListener, bus: RedisStreamsClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pressure_module, "_LOOK_S", 0.0)
    announce(bus.client, judge({"broker": 0.9}))
    with client(part) as http:
        answer = http.post("suricata-eve", content=lines(0, 2), headers=LINES)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert bus.client.xlen("L3_IN") == 0
        announce(bus.client, judge({"broker": 0.1}))
        until(lambda: http.post("suricata-eve", content=lines(0, 2), headers=LINES).status_code == 202)
    assert numbers(bus) == [0, 1]


def test_killed_between_accepting_and_answering(bus: RedisStreamsClient, settings: Settings) -> None:
    """SIGKILL at changing moments; a client that sends again what was not answered loses and doubles nothing."""
    number = free_port()
    address = f"http://127.0.0.1:{number}/api/v1/ingest/suricata-eve"
    arguments = ("http", "--bind", f"127.0.0.1:{number}", "--feed", "suricata-eve", "--key-file")
    key, _ = make_key(Path(settings.state_dir) / "key")
    headers = LINES | {"Authorization": f"Bearer {key}"}
    batches = [lines(n * 500, 500) for n in range(12)]
    unanswered = 0
    while batches:
        with Process(settings, *arguments, str(Path(settings.state_dir) / "key")) as process:
            reachable(number).close()
            begun = bus.client.xlen("L3_IN")
            killer = threading.Thread(target=kill_after, args=(process, bus, begun + 600))
            killer.start()
            try:
                while batches:
                    answer = httpx2.post(address, content=batches[0], headers=headers, timeout=20, trust_env=False)
                    if answer.status_code == 202:
                        batches.pop(0)
            except httpx2.TransportError:
                unanswered += 1
            process.kill()
            killer.join()
    assert unanswered >= 2
    assert set(numbers(bus)) == set(range(6000))
    assert len(ids(bus)) == 6000


def kill_after(process: Process, bus: RedisStreamsClient, entries: int) -> None:
    """Kill it once the broker has so many entries: in the middle of a push, as a push is 500."""
    while process.process.poll() is None and bus.client.xlen("L3_IN") < entries:
        pass
    process.process.kill()


@pytest.mark.parametrize(
    "noise",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 50,
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 5000,
        b"\r\n\0\xff" * 20,
    ],
    ids=["tls", "long head", "noise"],
)
def test_what_is_not_http_is_told_so_and_closed(part: HttpListener, noise: bytes) -> None:
    with socket.create_connection(here(part), timeout=20) as stream:
        stream.sendall(noise)
        stream.shutdown(socket.SHUT_WR)
        answer = b""
        while data := stream.recv(4096):
            answer += data
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 "))
    assert figure(part.tallies, metric_names.LISTEN_REFUSED, "bad_request") == 1


def test_slow_clients_are_let_go(part: HttpListener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "_HEAD_S", 0.2)
    monkeypatch.setattr(connection_module, "_BODY_S", 0.2)
    with socket.create_connection(here(part), timeout=20) as stream:
        stream.sendall(b"POST /api/v1/in")
        assert stream.recv(100) == b""
    with start_a_push(part) as stream:
        stream.sendall(b"x")
        assert stream.recv(100).startswith(b"HTTP/1.1 408 ")
    assert figure(part.tallies, metric_names.LISTEN_REFUSED, "slow") == 1
    assert figure(part.tallies, metric_names.LISTEN_REFUSED, "408") == 1


def test_hundreds_of_idle_connections_keep_nobody_out(part: HttpListener) -> None:
    idle = [socket.create_connection(here(part), timeout=20) for _ in range(200)]
    try:
        with client(part) as http:
            assert http.post("suricata-eve", content=lines(0, 1), headers=LINES).status_code == 202
        assert figure(part.tallies, metric_names.LISTEN_CONNECTIONS) <= BOUNDS.max_connections
    finally:
        for stream in idle:
            stream.close()


def test_keys_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "state" / "listen.key"
    with pytest.raises(ConfigError, match="dsmil listen key"):
        Keys(path)
    first, made = make_key(path)
    assert (make_key(path), made) == ((first, False), True)
    assert path.stat().st_mode & 0o777 == 0o600
    keys = Keys(path)
    second, _ = make_key(path, another=True)
    for key in (first, second):
        assert keys.accept(f"Bearer {key}".encode())
        assert keys.accept(f"bearer  {key} ".encode())
    for wrong in (first, f"Bearer {first[:-1]}", f"Bearer {first}x", "Bearer", "Bearer ", "", f"Basic {first}"):
        assert not keys.accept(wrong.encode())
    path.write_text(f"# the old one is gone\n{second}\n")
    assert not keys.accept(f"Bearer {first}".encode())
    assert keys.accept(f"Bearer {second}".encode())
    path.write_text("short\n")
    with pytest.raises(ConfigError, match="at least 16 characters"):
        Keys(path)
