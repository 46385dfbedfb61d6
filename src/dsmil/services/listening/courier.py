"""Handing batches to the broker, for as long as it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsmil import log
from dsmil.errors import NotAllowed, Unavailable
from dsmil.events.streams import StreamName
from dsmil.infrastructure.connection import translated
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.services.letters import append_letters
from dsmil.services.part import STARTING
from dsmil.services.retry import pause
from dsmil.services.shipping import Shipping

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from dsmil.config import Settings
    from dsmil.services.listening.tallies import Tallies


class Courier:
    """One connection to the broker, and the patience of whoever must not lose what it carries."""

    def __init__(self, name: str, settings: Settings, tallies: Tallies) -> None:
        """``name`` is for the log; nothing is connected yet."""
        self.bus = RedisStreamsClient(settings=settings)
        self._shipping = Shipping(self.bus, StreamName.L3_IN)
        #: What is wrong with the broker, in words; empty while it takes everything.
        self.problem = STARTING
        self._tallies = tallies
        #: Whether the broker has ever taken anything.
        self._allowed = False
        self._log = log.get(name)

    def greet(self, stop: threading.Event) -> bool:
        """Wait for the broker; False when the process is to stop before. Raises NotAllowed at a wrong password."""
        return self.insist(self.ping, stop)

    def ping(self) -> None:
        """Ask the broker whether it is there; raises Unavailable."""
        with translated("connecting"):
            self.bus.client.ping()

    def hand_over(self, bodies: list[bytes], letters: list[dict[str, bytes]], stop: threading.Event) -> bool:
        """Publish a batch to ``L3_IN``, dead letters after it; both lists are empty then.

        False when the process is to stop before the broker has all of it. Raises NotAllowed when the broker has
        never taken anything and refuses the right.
        """
        return self.insist(lambda: self.publish(bodies, letters), stop)

    def send(self, bodies: list[bytes], letters: list[dict[str, bytes]], stop: threading.Event) -> bool:
        """Do what :meth:`hand_over` does, but leave the events under way, so that more can be made meanwhile.

        Nothing may be under way yet: :meth:`settle` comes first.
        """

        def action() -> None:
            if letters:
                self.publish([], letters)
            if bodies:
                self._shipping.send(bodies)

        return self.insist(action, stop)

    def settle(self, stop: threading.Event) -> bool:
        """Wait until the broker has what is under way; False when the process is to stop before."""
        return self.insist(self._settle, stop)

    def _settle(self) -> None:
        count = self._shipping.settle()
        if count:
            self._tallies.settle("published", count)
            self._allowed = True

    def publish(self, bodies: list[bytes], letters: list[dict[str, bytes]]) -> None:
        """Publish a batch once; raises Unavailable, and what is in the lists then is not known to be there."""
        if bodies:
            self.bus.append(StreamName.L3_IN, bodies)
            self._tallies.settle("published", len(bodies))
            bodies.clear()
        if letters:
            append_letters(self.bus, letters)
            self._tallies.settle("dead", len(letters))
            letters.clear()
        self._allowed = True

    def insist(self, action: Callable[[], None], stop: threading.Event) -> bool:
        """Do something at the broker, for as long as it takes; False when the process is to stop before."""
        failures = 0
        while True:
            try:
                action()
            except Unavailable as exc:
                if isinstance(exc, NotAllowed) and not self._allowed:
                    raise
                failures += 1
                self.problem = str(exc)
                self._log.warning("listen.waiting_for_broker", cause=str(exc))
                self.bus.disconnect()
                if stop.wait(pause(failures)):
                    return False
            else:
                self.problem = ""
                return True
