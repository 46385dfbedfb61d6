"""The syslog listener on real sockets and a real broker: every way in, and every way to be rude."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import IN_CI
from tests.integration.listening import (
    LIMITS,
    connect,
    figure,
    ids,
    line,
    lines,
    listener,
    numbers,
    port,
    taken,
    tcp,
)
from tests.integration.test_tls import Certificates

from dsmil.config import Settings
from dsmil.errors import ConfigError
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.services import metric_names
from dsmil.services.letters import read_letters
from dsmil.services.listening.address import CannotListen
from dsmil.services.listening.specs import Limits, Spec
from dsmil.services.listening.tls import server_context
from dsmil.testing.running import Running
from dsmil.testing.waiting import until


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    if shutil.which("openssl") is None:
        message = "no openssl on PATH; Debian: apt install openssl"
        if IN_CI:
            pytest.fail(message)
        pytest.skip(message)
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def short() -> Iterator[Path]:
    """Return a folder with a short name: a socket's path is limited."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="dsmil-l-") as folder:
        yield Path(folder)


def test_every_way_in(bus: RedisStreamsClient, settings: Settings, short: Path) -> None:
    specs = [
        tcp(),
        Spec(scheme="udp", address="127.0.0.1:0"),
        Spec(scheme="unix-dgram", address=str(short / "d")),
        Spec(scheme="unix-stream", address=str(short / "s")),
    ]
    part = listener(settings, *specs)
    with Running(part):
        with connect(part) as stream:
            stream.sendall(lines(0, 3))
        with connect(part) as stream:
            stream.sendall(b"".join(b"%d %s" % (len(line(n)), line(n)) for n in (3, 4)))
        udp = next(name for name in part.endpoints if name.startswith("udp://"))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
            datagram.sendto(line(5) + b"\n", ("127.0.0.1", int(udp.rpartition(":")[2])))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagram:
            datagram.sendto(line(6), str(short / "d"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
            stream.connect(str(short / "s"))
            stream.sendall(line(7) + b"\n")
        until(lambda: taken(part) == 8)
        assert sorted(numbers(bus)) == list(range(8))
        assert (short / "s").stat().st_mode & 0o777 == 0o660
        vitals = part.vitals()
    assert vitals.healthy
    assert vitals.outcomes == {("L3_IN", "published"): 8}
    assert list(short.iterdir()) == []
    records = vitals.figures["dsmil_listen_records"]
    assert sorted(records.values()) == [1, 1, 1, 5]


def test_tls_of_both_sides(bus: RedisStreamsClient, settings: Settings, certificates: Certificates) -> None:
    certificate, key = certificates.sign("localhost")
    mine, my_key = certificates.sign("sender")
    foreign, foreign_key = certificates.sign("stranger", by="other")
    context = server_context(str(certificate), str(key), str(certificates.ca))
    part = listener(settings, Spec(scheme="tls", address="127.0.0.1:0", tls=context))

    def client(
        pair: tuple[Path, Path] | None, *, latest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    ) -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=str(certificates.ca))
        made.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        made.maximum_version = latest
        if pair is not None:
            made.load_cert_chain(*pair)
        return made

    def send(chosen: ssl.SSLContext, number: int) -> None:
        with chosen.wrap_socket(connect(part), server_hostname="localhost") as stream:
            stream.sendall(b"%d %s" % (len(line(number)), line(number)))
            stream.unwrap()

    with Running(part):
        for number, latest in enumerate((ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)):
            send(client((mine, my_key), latest=latest), number)
        until(lambda: taken(part) == 2)
        # The server judges; some clients hear of it only at their next message.
        with contextlib.suppress(ssl.SSLError, OSError):
            send(client(None), 2)
        with contextlib.suppress(ssl.SSLError, OSError):
            send(client((foreign, foreign_key)), 3)
        with pytest.warns(DeprecationWarning, match="TLSv1_1"), pytest.raises((ssl.SSLError, OSError)):
            send(client((mine, my_key), latest=ssl.TLSVersion.TLSv1_1), 4)
        with connect(part) as plain:
            plain.sendall(b"<13>this is no handshake at all, but plain text of some length\n" * 10)
        until(lambda: figure(part.tallies, metric_names.LISTEN_REFUSED, "tls") == 4)
        assert taken(part) == 2
        send(client((mine, my_key)), 5)
        until(lambda: taken(part) == 3)
    assert numbers(bus) == [0, 1, 5]


@pytest.mark.parametrize("files", [("nothing", "nothing"), ("ca", "other")])
def test_a_certificate_that_cannot_be_used_is_named(certificates: Certificates, files: tuple[str, str]) -> None:
    certificate, key = certificates.folder / f"{files[0]}.crt", certificates.folder / f"{files[1]}.key"
    with pytest.raises(ConfigError, match=str(certificate)):
        server_context(str(certificate), str(key))


def test_a_busy_address_is_named(settings: Settings) -> None:
    part = listener(settings, tcp())
    with pytest.raises(CannotListen, match=f"127.0.0.1:{port(part)} cannot be listened on"):
        listener(settings, Spec(scheme="tcp", address=f"127.0.0.1:{port(part)}"))
    with Running(part):
        pass


def test_a_socket_file_is_taken_over_from_the_dead_only(settings: Settings, short: Path) -> None:
    path = short / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as old:
        old.bind(str(path))
        old.listen()
        with pytest.raises(CannotListen, match=str(path)):
            listener(settings, Spec(scheme="unix-stream", address=str(path)))
    with Running(listener(settings, Spec(scheme="unix-stream", address=str(path)))):
        assert path.exists()
    path.write_text("a file of somebody's")
    with pytest.raises(CannotListen, match=str(path)):
        listener(settings, Spec(scheme="unix-stream", address=str(path)))


def test_what_is_no_record_is_a_letter_and_the_connection_goes_on(
    bus: RedisStreamsClient, settings: Settings
) -> None:
    part = listener(settings, tcp())
    with Running(part), connect(part) as stream:
        here = stream.getsockname()[1]
        stream.sendall(line(1) + b"\nno json\n" + b"\x00\xff\xfe\x80\n" + b"x" * 10_000 + b"\n" + line(2) + b"\n")
        until(lambda: taken(part) == 5)
        assert numbers(bus) == [1, 2]
    letters = {letter.source: letter for letter in read_letters(settings, 10)[0]}
    place = f"tcp://127.0.0.1:{here}"
    assert {source: letter.cause for source, letter in letters.items()} == {
        f"{place}#2": "malformed_json",
        f"{place}#3": "bad_utf8",
        f"{place}#5": "too_large",
    }
    assert letters[f"{place}#3"].raw == b"\x00\xff\xfe\x80"
    assert letters[f"{place}#5"].raw == b"x" * LIMITS.max_message
    assert "1808 bytes were not kept" in letters[f"{place}#5"].truncated
    assert figure(part.tallies, metric_names.LISTEN_RECORDS) == 5


def test_nonsense_between_counted_messages_costs_the_connection_and_nothing_before(
    bus: RedisStreamsClient, settings: Settings
) -> None:
    part = listener(settings, tcp())
    with Running(part), connect(part) as stream:
        stream.sendall(b"%d %s" % (len(line(1)), line(1)) + b"GET / HTTP/1.1\r\n\r\n")
        until(lambda: figure(part.tallies, metric_names.LISTEN_CONNECTIONS) == 0)
        until(lambda: taken(part) == 2)
        assert figure(part.tallies, metric_names.LISTEN_REFUSED, "bad_frame") == 1
    assert numbers(bus) == [1]
    assert [letter.cause for letter in read_letters(settings, 10)[0]] == ["bad_frame"]


def test_identical_lines_count_and_a_resent_one_does_not(bus: RedisStreamsClient, settings: Settings) -> None:
    """Within a session each counts, on any of its connections; whoever comes anew may have to send again."""
    part = listener(settings, tcp())
    with Running(part):
        with connect(part) as first, connect(part) as second:
            first.sendall((line(1) + b"\n") * 3)
            second.sendall((line(1) + b"\n") * 2)
            until(lambda: taken(part) == 5)
        assert len(ids(bus)) == 5
        until(lambda: figure(part.tallies, metric_names.LISTEN_CONNECTIONS) == 0)
        with connect(part) as again:
            again.sendall((line(1) + b"\n") * 5)
            until(lambda: taken(part) == 10)
        assert len(ids(bus)) == 5
        until(lambda: figure(part.tallies, metric_names.LISTEN_CONNECTIONS) == 0)
        with connect(part) as again:
            again.sendall((line(1) + b"\n") * 6)
            until(lambda: taken(part) == 16)
        assert len(ids(bus)) == 6


def test_lines_without_a_time_are_told_apart_by_when_they_came(
    bus: RedisStreamsClient, settings: Settings
) -> None:
    part = listener(settings, tcp())
    with Running(part):
        for count in (2, 4):
            with connect(part) as stream:
                stream.sendall(b'{"event_type":"flow","flow_id":1}\n' * 2)
                until(lambda count=count: taken(part) == count)  # type: ignore[misc]
            until(lambda: figure(part.tallies, metric_names.LISTEN_CONNECTIONS) == 0)
    assert len(ids(bus)) == 4


def test_connections_are_bounded_and_nobody_keeps_others_out(bus: RedisStreamsClient, settings: Settings) -> None:
    part = listener(settings, tcp(), limits=Limits(max_connections=20, max_message=8192, max_waiting=1 << 20))
    with Running(part):
        crowd = [connect(part) for _ in range(200)]
        try:
            until(lambda: figure(part.tallies, metric_names.LISTEN_REFUSED, "evicted") == 180)
            until(lambda: figure(part.tallies, metric_names.LISTEN_CONNECTIONS) == 20)
            with connect(part) as stream:
                stream.sendall(lines(0, 3))
                until(lambda: taken(part) == 3)
            crowd[-1].sendall(lines(3, 1))  # the last to come still have their seat
            until(lambda: taken(part) == 4)
        finally:
            for stream in crowd:
                stream.close()
    assert numbers(bus) == [0, 1, 2, 3]


def test_a_drip_and_a_half_open_connection_hold_nobody_up(bus: RedisStreamsClient, settings: Settings) -> None:
    part = listener(settings, tcp())
    with Running(part), connect(part) as drip, connect(part) as silent, connect(part) as stream:
        for byte in line(1)[:-1]:
            drip.sendall(bytes([byte]))
        silent.sendall(b"1")
        stream.sendall(lines(2, 1))
        until(lambda: taken(part) == 1)
        drip.sendall(line(1)[-1:] + b"\n")
        until(lambda: taken(part) == 2)
        silent.sendall(b"2345 is no count\n")
        until(lambda: taken(part) == 3)
    assert numbers(bus) == [2, 1]
