"""What all listeners share as parts of a process: figures, a heartbeat, and a word for ``dsmil status``."""

from __future__ import annotations

import os
import time
from abc import abstractmethod
from typing import TYPE_CHECKING

from dsmil.infrastructure.listeners import Listening, forget, tell
from dsmil.services import metric_names
from dsmil.services.listening.tallies import Tallies
from dsmil.services.part import PlainPart, Vitals

if TYPE_CHECKING:
    from dsmil.config import Settings
    from dsmil.infrastructure.hotpath_db import HotPathDB


class ListenerPart(PlainPart):
    """Base of every listener."""

    def __init__(self, settings: Settings) -> None:
        """Count from zero."""
        self._settings = settings
        self.tallies = Tallies()

    @property
    @abstractmethod
    def name(self) -> str:
        """Kind of the listener, and its feed."""

    @property
    @abstractmethod
    def device_id(self) -> int:
        """Device the feed publishes as."""

    @property
    @abstractmethod
    def endpoints(self) -> list[str]:
        """Where it listens, e.g. ``tcp://127.0.0.1:5514``."""

    @abstractmethod
    def checks(self) -> dict[str, str]:
        """Return check -> empty when it is fine, else what is wrong."""

    @abstractmethod
    def waiting_bytes(self) -> int:
        """Return the memory of what was received and the broker does not have."""

    def vitals(self) -> Vitals:
        """Return how it goes."""
        self.tallies.set(metric_names.LISTEN_WAITING, value=self.waiting_bytes())
        return Vitals(
            name=self.name,
            device_id=self.device_id,
            outcomes=self.tallies.outcomes(),
            layers={},
            figures=self.tallies.figures(),
            notes={"listens": self.endpoints},
            checks=self.checks(),
        )

    def record(self, db: HotPathDB) -> None:
        """Write the heartbeat, and the word."""
        tell(self._settings.state_dir, self._word())
        super().record(db)

    def fall_silent(self) -> None:
        """Take the word back: it listens no more."""
        forget(self._settings.state_dir, self._word())

    def _word(self) -> Listening:
        outcomes: dict[str, int] = {}
        for (_, outcome), count in self.tallies.outcomes().items():
            outcomes[outcome] = outcomes.get(outcome, 0) + count
        return Listening(
            name=self.name,
            pid=os.getpid(),
            endpoints=self.endpoints,
            received=self.tallies.total(metric_names.LISTEN_RECORDS),
            published=outcomes.get("published", 0),
            dead=outcomes.get("dead", 0),
            dropped=self.tallies.total(metric_names.LISTEN_DROPPED),
            connections=self.tallies.total(metric_names.LISTEN_CONNECTIONS),
            waiting_bytes=self.waiting_bytes(),
            problem="; ".join(f"{check}: {text}" for check, text in self.checks().items() if text),
            updated=time.time(),
        )
