"""A part running in a thread of the test."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dsmil.services.part import Part


class Running:
    """Runs a part until the ``with`` block ends; an error of the part is raised there."""

    def __init__(self, part: Part) -> None:
        """Take the part; it starts with the ``with`` block."""
        self.part = part
        self.stop = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self.part.run(self.stop)
        except Exception as exc:  # noqa: BLE001 - carried to the test
            self._error = exc

    def __enter__(self) -> Running:
        """Start."""
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        """Stop, wait, and raise what the part raised."""
        self.stop.set()
        self.part.wake()
        self._thread.join(20)
        if self._thread.is_alive():
            raise TimeoutError(f"{self.part.name} did not stop")
        if self._error is not None:
            raise self._error
