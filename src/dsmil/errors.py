"""Every error this package raises on purpose.

Three families, three answers: unavailable (degrade and try again), bad input (dead letter or one clear
line), and everything else, which is a bug and is left to crash.
"""

from __future__ import annotations


class DsmilError(Exception):
    """Something went wrong in the fabric."""

    def __init__(self, message: str | None = None, *, source: str | None = None) -> None:
        """Take the docstring as message when none is given; ``source`` is a stream id or file:line."""
        text = message or (type(self).__doc__ or "").strip().splitlines()[0]
        super().__init__(f"{source}: {text}" if source else text)
        #: Where it was seen: ``STREAM/entry-id`` or ``file:line``.
        self.source = source


class ConfigError(DsmilError, ValueError):
    """A setting has a value that cannot be used."""


class Unavailable(DsmilError):
    """Something the fabric depends on does not answer now."""


class BusUnavailable(Unavailable):
    """The broker does not answer."""


class BusRefused(Unavailable):
    """The broker answered, and refused the command (out of memory, read-only, loading)."""


class NotAllowed(BusRefused):
    """The broker does not let this user do that."""


class LoginRefused(NotAllowed):
    """The broker knows no such user and password."""


class GroupLost(Unavailable):
    """A consumer group or its stream has vanished (flushed or deleted)."""


class StoreUnavailable(Unavailable):
    """The hot store cannot be read or written."""


class StoreDamaged(StoreUnavailable):
    """The file of the hot store is no longer a whole database."""


class MemoryUnavailable(Unavailable):
    """What a service remembers cannot be read or kept."""


class StoreTooNew(DsmilError):
    """The hot store was written by a newer version of this software."""


class EventInvalid(DsmilError, ValueError):
    """A document is not an acceptable event."""

    def __init__(self, cause: str, detail: str, *, source: str | None = None) -> None:
        """Keep ``cause``, a short stable word for counting, apart from the human ``detail``."""
        super().__init__(f"{cause}: {detail}", source=source)
        #: One of the causes listed in ``docs/events.md``, e.g. ``malformed_json``.
        self.cause = cause
        #: What exactly was wrong, for people.
        self.detail = detail


class UnknownName(DsmilError, LookupError):
    """Nothing of that name is there."""


class UnreadableFile(DsmilError):
    """The file cannot be read."""


class RegistryError(DsmilError):
    """A built-in feed, detector or service could not be loaded."""


class InstanceRunning(DsmilError):
    """Another instance holds this state directory."""


class QueryRefused(DsmilError, ValueError):
    """The statement is not allowed, or not SQL."""


class QueryTooLong(DsmilError):
    """The statement ran into its time limit."""


class BrokerFailed(DsmilError):
    """The broker process could not be started."""
