"""``dsmil listen``."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import click

from dsmil.cli._shared import settings, state_dir_option

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

    from dsmil.config import Settings
    from dsmil.services.part import Part
    from dsmil.sources._feed import Source

_MB = 1024 * 1024


@click.group("listen")
def COMMAND() -> None:
    """Take in what senders push: syslog, HTTP, or a Redis list.

    Each runs until SIGTERM or Ctrl-C. While the broker takes nothing, senders are held back or told to come again.

    \b
    Examples:
      dsmil listen syslog --udp 0.0.0.0:5514 --tcp 0.0.0.0:5514
      dsmil listen http --bind 127.0.0.1:8514
      dsmil listen redis-list suricata
    """


def _common(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that all listeners have."""
    options = (
        state_dir_option,
        click.option("--metrics-fd", type=int, hidden=True),
        click.option(
            "--metrics-port", type=click.IntRange(0, 65535), help="Serve /metrics and /health here (0: none)."
        ),
    )
    for option in options:
        function = option(function)
    return function


def _tls(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of TLS."""
    for name, text in (
        ("--tls-client-ca", "Let in only clients with a certificate of one of these authorities."),
        ("--tls-key", "Key of that certificate."),
        ("--tls-cert", "Certificate (chain) of this host, PEM."),
    ):
        function = click.option(name, metavar="FILE", default="", help=text)(function)
    return function


@COMMAND.command("syslog")
@click.option("--udp", multiple=True, metavar="HOST:PORT", help="Listen for datagrams; may be repeated.")
@click.option("--tcp", multiple=True, metavar="HOST:PORT", help="Listen for connections; may be repeated.")
@click.option("--tls", multiple=True, metavar="HOST:PORT", help="Listen for TLS connections; may be repeated.")
@click.option("--unix-dgram", multiple=True, metavar="PATH", help="Listen on a datagram socket file.")
@click.option("--unix-stream", multiple=True, metavar="PATH", help="Listen on a stream socket file.")
@click.option("--socket-mode", default="0660", show_default=True, help="Permissions of the socket files.")
@click.option("--feed", default="syslog", show_default=True, help="Format of the lines: `dsmil ingest --list`.")
@click.option(
    "--framing",
    type=click.Choice(["auto", "counted", "lines"]),
    default="auto",
    show_default=True,
    help="How messages of a connection are parted; auto: its first bytes tell.",
)
@click.option("--max-connections", type=click.IntRange(1, 100_000), default=1000, show_default=True)
@click.option("--max-message", type=click.IntRange(480, 250_000), default=65536, show_default=True, help="Bytes.")
@click.option(
    "--max-waiting",
    type=click.IntRange(1, 4096),
    default=32,
    show_default=True,
    help="MB of messages that may wait for the broker.",
)
@_tls
@_common
def syslog(*, metrics_port: int | None, metrics_fd: int | None, **options: Any) -> int:  # noqa: ANN401 - click's own
    """Listen for syslog over UDP, TCP (RFC 6587), TLS (RFC 5425) and unix sockets.

    \b
    Examples:
      dsmil listen syslog --udp 0.0.0.0:5514 --tcp 0.0.0.0:5514
      dsmil listen syslog --tls 0.0.0.0:6514 --tls-cert host.pem --tls-key host.key
      dsmil listen syslog --tcp 127.0.0.1:5514 --feed suricata-eve
    """
    return _run(lambda chosen: _syslog(chosen, **options), metrics_port, metrics_fd)


@COMMAND.command("http")
@click.option("--bind", multiple=True, metavar="HOST:PORT", required=True, help="Listen here; may be repeated.")
@click.option("--feed", multiple=True, help="Accept this feed only; may be repeated. All by default.")
@click.option("--key-file", metavar="FILE", help="Keys, one a line (default: listen.key in the state directory).")
@click.option("--max-connections", type=click.IntRange(1, 100_000), default=256, show_default=True)
@click.option(
    "--max-body", type=click.IntRange(1, 1024), default=16, show_default=True, help="MB of a body, unpacked."
)
@click.option(
    "--max-waiting",
    type=click.IntRange(1, 4096),
    default=64,
    show_default=True,
    help="MB of bodies in memory, of all clients together.",
)
@click.option(
    "--max-pushes", type=click.IntRange(1, 1000), default=8, show_default=True, help="Of one client at a time."
)
@click.option(
    "--client-rate",
    type=click.FloatRange(min=0),
    default=0.0,
    help="Most records a second of one client (0: any).",
)
@_tls
@_common
def http(*, metrics_port: int | None, metrics_fd: int | None, **options: Any) -> int:  # noqa: ANN401 - click's own
    """Take pushes: POST /api/v1/ingest/FEED with a JSON array or lines of records, gzip too.

    202 says that the broker has every record; the answer names those that were refused. A key is required:
    `dsmil listen key` makes one.

    \b
    Examples:
      dsmil listen http --bind 127.0.0.1:8514
      dsmil listen http --bind 0.0.0.0:8514 --tls-cert host.pem --tls-key host.key --feed suricata-eve
    """
    return _run(lambda chosen: _http(chosen, **options), metrics_port, metrics_fd)


@COMMAND.command("redis-list")
@click.argument("key", metavar="LIST")
@click.option("--feed", default="suricata-eve", show_default=True, help="Format of the records.")
@click.option(
    "--oldest",
    type=click.Choice(["right", "left"]),
    default="right",
    show_default=True,
    help="End with the oldest record: right for LPUSH (Suricata's list mode), left for RPUSH.",
)
@click.option("--consumer", help="Name of this reader at the list's broker (default: the host's name).")
@_common
def redis_list(
    *, key: str, feed: str, oldest: str, consumer: str | None, metrics_port: int | None, metrics_fd: int | None
) -> int:
    """Move the records of a Redis list into the fabric, such as Suricata's `filetype: redis`, `mode: list`.

    The list lies at the fabric's broker, or at the one that DSMIL_LISTEN_FROM names.

    \b
    Examples:
      dsmil listen redis-list suricata
      DSMIL_LISTEN_FROM=redis://10.0.0.7:6379/0 dsmil listen redis-list suricata
    """
    return _run(lambda chosen: _redis_list(chosen, key, feed, oldest, consumer), metrics_port, metrics_fd)


@COMMAND.command("key")
@click.option("--new", is_flag=True, help="Add another key; the older ones stay valid until you remove them.")
@click.option("--key-file", metavar="FILE", help="Where it is kept (default: listen.key in the state directory).")
@state_dir_option
def key(*, new: bool, key_file: str | None) -> int:
    """Print the key for pushes over HTTP, making it when there is none."""
    from dsmil.services.listening.keys import make_key

    path = _key_file(settings(), key_file)
    found, made = make_key(path, another=new)
    click.echo(f"{'made' if made else 'kept'} in {path}", err=True)
    click.echo(found)
    return 0


def _run(make: Callable[[Settings], Part], metrics_port: int | None, metrics_fd: int | None) -> int:
    from dsmil import log
    from dsmil.services.host import host_parts
    from dsmil.services.ports import FIRST_PORT, listen

    chosen = settings()
    log.configure(chosen.log_level, service="listen")
    part = make(chosen)
    sock: socket.socket | None = None
    if metrics_fd is not None:
        sock = socket.socket(fileno=metrics_fd)
    elif metrics_port != 0:
        sock = listen(metrics_port or FIRST_PORT)
    return host_parts([part], chosen, metrics_socket=sock)


def _context(tls_cert: str, tls_key: str, tls_client_ca: str, *, needed: bool) -> ssl.SSLContext | None:
    from dsmil.services.listening.tls import server_context

    if bool(tls_cert) != bool(tls_key) or (needed and not tls_cert) or (tls_client_ca and not tls_cert):
        msg = "TLS needs both --tls-cert and --tls-key"
        raise click.UsageError(msg)
    return server_context(tls_cert, tls_key, tls_client_ca) if tls_cert else None


def _syslog(chosen: Settings, **given: Any) -> Part:  # noqa: ANN401 - click's own
    from dsmil.services.listening.specs import Limits, Spec
    from dsmil.services.listening.syslog import SyslogListener
    from dsmil.sources._frames import Framing

    try:
        mode = int(given["socket_mode"], 8)
    except ValueError:
        msg = f"--socket-mode {given['socket_mode']!r} is not octal, as 0660 is"
        raise click.UsageError(msg) from None
    tls = _context(given["tls_cert"], given["tls_key"], given["tls_client_ca"], needed=bool(given["tls"]))
    specs = [
        Spec(scheme=scheme, address=address, tls=tls if scheme == "tls" else None, mode=mode)
        for scheme in ("udp", "tcp", "tls", "unix-dgram", "unix-stream")
        for address in given[scheme.replace("-", "_")]
    ]
    if not specs:
        msg = "name at least one address: --udp, --tcp, --tls, --unix-dgram or --unix-stream"
        raise click.UsageError(msg)
    limits = Limits(
        max_connections=given["max_connections"],
        max_message=given["max_message"],
        max_waiting=given["max_waiting"] * _MB,
    )
    return SyslogListener(_source(given["feed"]), chosen, specs, framing=Framing(given["framing"]), limits=limits)


def _http(chosen: Settings, **given: Any) -> Part:  # noqa: ANN401 - click's own
    from dsmil.services.feeds import find_source, source_names
    from dsmil.services.listening.guests import Bounds
    from dsmil.services.listening.http import HttpListener
    from dsmil.services.listening.keys import Keys
    from dsmil.services.listening.specs import Spec

    tls = _context(given["tls_cert"], given["tls_key"], given["tls_client_ca"], needed=False)
    bounds = Bounds(
        max_body=given["max_body"] * _MB,
        max_waiting=given["max_waiting"] * _MB,
        max_connections=given["max_connections"],
        max_pushes=given["max_pushes"],
        rate=given["client_rate"],
    )
    keys = Keys(_key_file(chosen, given["key_file"]), str(chosen.listen_key))
    specs = [Spec(scheme="https" if tls else "http", address=address, tls=tls) for address in given["bind"]]
    feeds = {name: find_source(name) for name in given["feed"] or source_names()}
    return HttpListener(feeds, chosen, specs, keys=keys, bounds=bounds)


def _redis_list(chosen: Settings, key: str, feed: str, oldest: str, consumer: str | None) -> Part:
    from dsmil.services.listening.redis_list import RedisList

    name = consumer or socket.gethostname()
    return RedisList(_source(feed), chosen, key=key, consumer=name, oldest=oldest)


def _source(name: str) -> Source:
    """Return a feed whose records are one line each; others need a file around them."""
    from dsmil.services.feeds import find_source

    source = find_source(name)
    if source.joiner() is not None and not source.by_message:
        msg = f"feed {name!r} joins lines to records; push it over HTTP, or read its files with `dsmil ingest`"
        raise click.UsageError(msg)
    return source


def _key_file(chosen: Settings, given: str | None) -> Path:
    from pathlib import Path

    return Path(given) if given else chosen.state_dir / "listen.key"
