"""Which broker: its address, found without the client library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsmil.infrastructure.instance import StateDir

if TYPE_CHECKING:
    from dsmil.config import Settings


def broker_url(settings: Settings) -> str:
    """Return the broker's address: the given one, else the running instance's, else the documented default.

    REDIS_URL wins; then REDIS_HOST, REDIS_PORT and REDIS_DB when one is set; then the instance of the state
    directory; then localhost:6379. A given address is never replaced by another when it does not answer.
    """
    if settings.redis_url:
        return str(settings.redis_url)
    if not settings.redis_explicit:
        instance = StateDir(settings.state_dir).running()
        if instance is not None and instance.broker_url:
            return instance.broker_url
    host = f"[{settings.redis_host}]" if ":" in settings.redis_host else settings.redis_host
    return f"redis://{host}:{settings.redis_port}/{settings.redis_db}"


def broker_choice(settings: Settings) -> tuple[str, str]:
    """Return the address that :func:`broker_url` gives, without credentials, and why it is that one."""
    if settings.redis_url:
        reason = "REDIS_URL names it"
    elif settings.redis_explicit:
        reason = "REDIS_HOST, REDIS_PORT or REDIS_DB names it"
    elif StateDir(settings.state_dir).running() is not None:
        reason = "the running instance's"
    else:
        reason = "the default; `dsmil up` starts a private one instead"
    return public_url(broker_url(settings)), reason


def public_url(url: str) -> str:
    """Return an address without its credentials, for people and logs."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
