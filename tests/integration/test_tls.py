"""TLS to a real server that speaks it: whom a client believes, and whom the server lets in."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.conftest import IN_CI

from dsmil.config import Settings
from dsmil.errors import BusUnavailable, ConfigError
from dsmil.events.streams import StreamName
from dsmil.infrastructure.groups import GroupReader
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.infrastructure.shrink import SHRINKClient, ShrinkUnavailable
from dsmil.testing.factories import make_event
from dsmil.testing.servers import PrivateServer
from dsmil.testing.waiting import until


@pytest.fixture(scope="module")
def binary() -> str:
    """Return a server with TLS, which the bundled one lacks; in CI it must be there."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found is not None and shutil.which("openssl") is not None:
            return found
    message = "no redis-server (with TLS) and openssl on PATH; Debian: apt install redis-server openssl"
    if IN_CI:
        pytest.fail(message)
    pytest.skip(message)


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Certificates:
    """A certificate authority in a folder, and what it has signed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = self._own("ca")
        #: A stranger's authority.
        self.other_ca = self._own("other")

    def _own(self, name: str) -> Path:
        key, certificate = self.folder / f"{name}.key", self.folder / f"{name}.crt"
        new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
        openssl(*new, "-subj", f"/CN={name}", "-keyout", key, "-out", certificate)
        return certificate

    def sign(self, name: str, by: str = "ca") -> tuple[Path, Path]:
        """Return certificate and key of a host or client called ``name``."""
        stem = f"{name}-{by}"
        key, request, certificate = (self.folder / f"{stem}.{end}" for end in ("key", "csr", "crt"))
        names = self.folder / f"{stem}.ext"
        names.write_text(f"subjectAltName=DNS:{name}\n")
        new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        openssl(*new, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        authority = ("-CA", self.folder / f"{by}.crt", "-CAkey", self.folder / f"{by}.key", "-CAcreateserial")
        openssl("x509", "-req", "-in", request, *authority, "-days", "2", "-extfile", names, "-out", certificate)
        return certificate, key


@pytest.fixture(scope="module")
def certificates(binary: str, tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    assert binary
    return Certificates(tmp_path_factory.mktemp("certificates"))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def serve(binary: str, certificates: Certificates, port: int, *, clients: str) -> PrivateServer:
    certificate, key = certificates.sign("localhost")
    own = ("--tls-port", str(port), "--tls-cert-file", certificate, "--tls-key-file", key)
    return PrivateServer(binary, (*own, "--tls-ca-cert-file", certificates.ca, "--tls-auth-clients", clients))


@pytest.fixture(scope="module")
def port(binary: str, certificates: Certificates) -> Iterator[int]:
    """Return the port of a server that asks for no certificate of clients."""
    number = free_port()
    with serve(binary, certificates, number, clients="no"):
        yield number


@pytest.fixture(scope="module")
def strict_port(binary: str, certificates: Certificates) -> Iterator[int]:
    """Return the port of a server that lets in only whom its authority has signed."""
    number = free_port()
    with serve(binary, certificates, number, clients="yes"):
        yield number


def bus(port: int, host: str = "localhost", scheme: str = "rediss", **files: object) -> RedisStreamsClient:
    given = {f"REDIS_TLS_{name.upper()}": str(value) for name, value in files.items()}
    return RedisStreamsClient(settings=Settings.from_env({"REDIS_URL": f"{scheme}://{host}:{port}", **given}))


def test_a_blocked_read_can_be_ended(port: int, certificates: Certificates) -> None:
    with bus(port, ca=certificates.ca) as client:
        reader = GroupReader(client.client, [StreamName.L3_OUT], "woken", "c1")
        reader.prepare()
        found: list[object] = []
        waiting = threading.Thread(target=lambda: found.append(reader.read_new(10, 3_600_000)), daemon=True)
        waiting.start()
        until(lambda: client.client.info("clients")["blocked_clients"] == 1, what="a blocked read")
        reader.wake()
        waiting.join(5)
        assert found == [[]]
        assert reader.read_new(10, None) == [], "it goes on by another connection"


def test_shrink_is_believed_with_the_right_authority_only(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = b'{"crisis_level": 0.1}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates.sign("localhost"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        url = f"https://localhost:{server.server_port}"
        with pytest.raises(ShrinkUnavailable, match="certificate"):
            SHRINKClient(url).get_reading()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
        assert SHRINKClient(url).get_reading().metrics == {"crisis_level": 0.1}
        with pytest.raises(ShrinkUnavailable, match="certificate"):
            SHRINKClient(url.replace("localhost", "127.0.0.1")).get_reading()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_works_with_the_right_authority(port: int, certificates: Certificates) -> None:
    with bus(port, ca=certificates.ca) as client:
        assert client.publish_many(StreamName.L3_IN, [make_event()])


def test_a_server_of_another_authority_is_refused(port: int, certificates: Certificates) -> None:
    with bus(port, ca=certificates.other_ca) as client, pytest.raises(BusUnavailable, match="VERIFY_FAILED"):
        client.publish_many(StreamName.L3_IN, [make_event()])


def test_a_server_nobody_vouches_for_is_refused(port: int) -> None:
    with bus(port) as client, pytest.raises(BusUnavailable, match="VERIFY_FAILED"):
        client.publish_many(StreamName.L3_IN, [make_event()])


def test_a_server_of_another_name_is_refused(port: int, certificates: Certificates) -> None:
    with (
        bus(port, "127.0.0.1", ca=certificates.ca) as client,
        pytest.raises(BusUnavailable, match=r"127\.0\.0\.1"),
    ):
        client.publish_many(StreamName.L3_IN, [make_event()])
    with bus(port, "127.0.0.1", ca=certificates.ca, check_hostname=0) as client:
        assert client.publish_many(StreamName.L3_IN, [make_event()])


def test_without_tls_there_is_no_answer(port: int) -> None:
    with bus(port, scheme="redis") as client, pytest.raises(BusUnavailable):
        client.publish_many(StreamName.L3_IN, [make_event()])


def test_a_client_proves_who_it_is(strict_port: int, certificates: Certificates) -> None:
    certificate, key = certificates.sign("client")
    with bus(strict_port, ca=certificates.ca, cert=certificate, key=key) as client:
        assert client.publish_many(StreamName.L3_IN, [make_event()])


def test_a_client_without_certificate_is_refused(strict_port: int, certificates: Certificates) -> None:
    with bus(strict_port, ca=certificates.ca) as client, pytest.raises(BusUnavailable):
        client.publish_many(StreamName.L3_IN, [make_event()])


def test_a_client_of_another_authority_is_refused(strict_port: int, certificates: Certificates) -> None:
    certificate, key = certificates.sign("client", by="other")
    refused = pytest.raises(BusUnavailable)
    with bus(strict_port, ca=certificates.ca, cert=certificate, key=key) as client, refused:
        client.publish_many(StreamName.L3_IN, [make_event()])


def test_commands_say_in_one_line_why(port: int, certificates: Certificates) -> None:
    given = {"REDIS_URL": f"rediss://localhost:{port}", "REDIS_TLS_CA": str(certificates.other_ca)}
    command = [sys.executable, "-m", "dsmil", "tail", "--no-follow"]
    done = subprocess.run(command, env=os.environ | given, capture_output=True, text=True, check=False)
    assert done.returncode == 69
    assert len(done.stderr.splitlines()) == 1
    assert "certificate verify failed" in done.stderr


def test_files_that_would_go_unused_are_an_error(certificates: Certificates) -> None:
    with pytest.raises(ConfigError, match="rediss://"):
        bus(6379, scheme="redis", ca=certificates.ca)
