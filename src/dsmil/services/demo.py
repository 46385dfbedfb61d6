"""The demo: the project's sample log re-dated to now, and recorded readings behind the SHRINK endpoint."""

from __future__ import annotations

import re
import signal
import socket
import sys
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dsmil import log
from dsmil.errors import DsmilError
from dsmil.events import codec
from dsmil.events.streams import StreamName
from dsmil.fusion.shrink import alerts, parse_reading
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.services.retry import pause
from dsmil.services.signalled import SignalEvent
from dsmil.services.wsgi import serve
from dsmil.sources._feed import RawRecord, Reader
from dsmil.sources._times import iso_seconds
from dsmil.sources.suricata_eve import SuricataEve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dsmil.config import Settings

#: Seconds between two records of the sample log.
_PACE_S: Final = 0.4
_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}[+-]\d{4}")


def samples() -> Path:
    """Return the folder of samples: in a clone beside ``src``, else where the wheel puts it."""
    for folder in (Path(__file__).parents[3] / "samples", Path(sys.prefix) / "share" / "dsmil" / "samples"):
        if (folder / "eve-demo.json").is_file():
            return folder
    raise DsmilError("the samples are not installed beside this package")


def play(settings: Settings, shrink: socket.socket) -> int:
    """Play until SIGTERM; answer SHRINK's endpoint on ``shrink``."""
    stop = SignalEvent()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    folder = samples()
    recording = msgspec.json.decode((folder / "shrink-recorded.json").read_bytes())
    server = serve(shrink, _ShrinkPlayer(recording["points"], recording["interval_s"]))
    _feed((folder / "eve-demo.json").read_bytes().splitlines(), settings, stop)
    server.server_close()
    return 0


def _feed(lines: list[bytes], settings: Settings, stop: threading.Event) -> None:
    """Publish the sample records, one every :data:`_PACE_S`, over and over, each dated to this moment."""
    logger = log.get("demo")
    records = [msgspec.json.decode(line) for line in lines]
    failures = 0
    with RedisStreamsClient(settings=settings) as bus:
        while not stop.is_set():
            reader = Reader(SuricataEve())
            for number, record in enumerate(records, start=1):
                dated = msgspec.json.encode(redate(record, time.time()))
                event = reader.event(RawRecord(dated, f"samples/eve-demo.json:{number}"), time.time())
                while not stop.is_set():
                    try:
                        bus.append(StreamName.L3_IN, [codec.encode(event)])
                    except DsmilError as exc:
                        failures += 1
                        logger.warning("demo.feed_waits", cause=str(exc))
                        stop.wait(pause(failures))
                    else:
                        failures = 0
                        break
                if stop.wait(_PACE_S):
                    return


def redate(record: dict[str, Any], now: float) -> dict[str, Any]:
    """Return the record with all its times moved by one offset, so that it happens at ``now``."""
    offset = timedelta(seconds=now - (iso_seconds(record["timestamp"]) or now))

    def moved(value: Any) -> Any:  # noqa: ANN401 - any JSON value
        if isinstance(value, dict):
            return {key: moved(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [moved(inner) for inner in value]
        if isinstance(value, str) and _TIME.fullmatch(value):
            return (datetime.fromisoformat(value) + offset).strftime("%Y-%m-%dT%H:%M:%S.%f%z")
        return value

    shifted: dict[str, Any] = moved(record)
    return shifted


class _ShrinkPlayer:
    """Answers the documented endpoints with the point of the recording that belongs to this second."""

    def __init__(self, points: list[dict[str, float]], interval_s: float) -> None:
        self._points = points
        self._interval_s = interval_s
        self._started = time.monotonic()

    def _point(self, back: int = 0) -> dict[str, Any]:
        at = int((time.monotonic() - self._started) / self._interval_s) - back
        return {**self._points[at % len(self._points)], "recorded": True}

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path, status, answer = environ.get("PATH_INFO", ""), "200 OK", self._point()
        if path == "/api/v1/alerts":
            reading = parse_reading(answer, time.time())
            answer = {"alerts": alerts(reading) if reading else [], "recorded": True}
        elif path == "/api/v1/history":
            now = time.time()
            points = [{"ts": now - back * self._interval_s, **self._point(back)} for back in range(60)]
            answer = {"window": "60s", "points": points[::-1], "recorded": True}
        elif path != "/api/v1/metrics":
            status, answer = "404 Not Found", {"error": "not here"}
        body = msgspec.json.encode(answer)
        start(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]
