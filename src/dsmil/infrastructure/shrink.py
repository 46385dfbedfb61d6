"""Asking SHRINK for operator state, in a way that can neither block nor mislead the router."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dsmil import log
from dsmil.errors import Unavailable
from dsmil.fusion.shrink import Reading, alerts, parse_reading
from dsmil.infrastructure.web_page import PageUnavailable, WebPages

if TYPE_CHECKING:
    from collections.abc import Callable

#: Bound of one exchange, seconds, and of one answer, bytes.
TIMEOUT_S: Final = 0.5
MAX_BYTES: Final = 64 * 1024
#: A reading older than this many polls is no reading.
STALE_POLLS: Final = 3
_OK: Final = 200
_KEEP_READINGS: Final = 600


class ShrinkUnavailable(Unavailable):
    """SHRINK does not answer, or not in a usable way."""


class SHRINKClient:
    """The documented client: each call is one bounded exchange."""

    def __init__(self, url: str = "http://localhost:8500") -> None:
        """Name the server; nothing is sent yet."""
        self._pages = WebPages(url, timeout_s=TIMEOUT_S, max_bytes=MAX_BYTES, accept="application/json")
        #: Where it is, without a password.
        self.url = self._pages.shown

    def check_availability(self) -> bool:
        """Return whether SHRINK answers with metrics."""
        return self.get_metrics() is not None

    def get_metrics(self) -> dict[str, Any] | None:
        """Return the metrics that may be believed, or None when SHRINK does not answer."""
        try:
            return dict(self.get_reading().metrics)
        except ShrinkUnavailable:
            return None

    def get_alerts(self) -> list[dict[str, Any]]:
        """Return SHRINK's alerts; where it has no such page, those that its metrics give by the thresholds."""
        try:
            answer = self._get("/api/v1/alerts")
            listed = answer.get("alerts") if isinstance(answer, dict) else answer
            if isinstance(listed, list):
                return [alert for alert in listed if isinstance(alert, dict)]
        except ShrinkUnavailable:
            pass
        try:
            return alerts(self.get_reading())
        except ShrinkUnavailable:
            return []

    def get_reading(self) -> Reading:
        """Return one reading; raises ShrinkUnavailable with the cause."""
        reading = parse_reading(self._get("/api/v1/metrics"), time.time())
        if reading is None:
            raise ShrinkUnavailable(f"{self.url} answers with something other than a JSON object")
        if not reading.metrics:
            raise ShrinkUnavailable(f"{self.url} answers without a usable metric: {reading.rejected or 'none'}")
        return reading

    def _get(self, path: str) -> Any:  # noqa: ANN401 - any JSON value
        try:
            status, body = self._pages.get(path)
        except PageUnavailable as exc:
            raise ShrinkUnavailable(str(exc)) from exc
        if status != _OK:  # a redirect too: the administrator named one address
            raise ShrinkUnavailable(f"{self.url}{path} answers {status}")
        try:
            # The lenient decoder: one NaN is no reading of one metric, not of all.
            return json.loads(body)
        except (ValueError, RecursionError) as exc:
            raise ShrinkUnavailable(f"{self.url}{path} answers with bad JSON: {exc}") from exc

    def close(self) -> None:
        """Close the connection."""
        self._pages.close()


class ShrinkPoller:
    """Asks SHRINK from a thread of its own; whoever needs a reading takes the latest and never waits."""

    def __init__(
        self,
        url: str,
        interval_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Name the server and how often to ask it; nothing runs yet."""
        self._client = SHRINKClient(url)
        self._interval_s = interval_s
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shrink-poller", daemon=True)
        self._latest: tuple[float, Reading] | None = None
        self._unrecorded: deque[Reading] = deque(maxlen=_KEEP_READINGS)
        self._problem = ""
        self._log = log.get("shrink")

    def start(self) -> None:
        """Start asking."""
        self._thread.start()

    def stop(self) -> None:
        """Stop asking; does not wait for an exchange under way."""
        self._stop.set()

    def latest(self) -> Reading | None:
        """Return the newest reading with its age, or None when there is none young enough to believe."""
        latest = self._latest
        if latest is None:
            return None
        taken, reading = latest
        age = max(self._clock() - taken, 0.0)
        if age > STALE_POLLS * self._interval_s:
            return None
        return msgspec.structs.replace(reading, age_s=age)

    def take_readings(self) -> list[Reading]:
        """Return the readings since the last call, for the store; the oldest are dropped when nobody asks."""
        return [self._unrecorded.popleft() for _ in range(len(self._unrecorded))]

    @property
    def ok(self) -> bool:
        """Whether there is a reading to believe now."""
        return self.latest() is not None

    @property
    def problem(self) -> str:
        """Why the last exchange failed; empty when it did not."""
        return self._problem

    def poll(self) -> None:
        """Ask once, and remember the answer or the problem."""
        try:
            asked = self._clock()
            reading = self._client.get_reading()
        except ShrinkUnavailable as exc:
            if not self._problem:
                self._log.info("shrink.unavailable", cause=str(exc))
            self._problem = str(exc)
            return
        if self._problem:
            self._log.info("shrink.available", url=self._client.url)
        self._problem = ""
        self._latest = (asked, reading)
        self._unrecorded.append(reading)

    def _run(self) -> None:
        while not self._stop.is_set():
            started = self._clock()
            try:
                self.poll()
            except Exception:  # noqa: BLE001 - one odd answer must not end polling for good
                self._log.exception("shrink.poll_failed")
                self._problem = "polling failed, see the log"
            self._stop.wait(max(self._interval_s - (self._clock() - started), 0.01))
        self._client.close()
