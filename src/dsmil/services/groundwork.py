"""What must be right before a fabric's services start: the store's version, streams, groups, functions, tables.

What this needs is imported when it is done: ``dsmil up`` has it done by a process that ends, and never loads the
libraries itself, which stays for months.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from dsmil.config import Settings


def refuse_newer_store(path: Path) -> None:
    """Raise StoreTooNew when a newer version wrote the store; one that cannot be read is the store writer's."""
    from dsmil.errors import StoreUnavailable
    from dsmil.infrastructure.store import Store, refuse_newer

    with contextlib.suppress(StoreUnavailable), contextlib.closing(Store(path, read_only=True)) as store:
        refuse_newer(store)


def lay(settings: Settings, url: str, store: Path) -> list[str]:
    """Make what is missing at the broker and in the store; return the names of all detectors and correlators."""
    from dsmil import log
    from dsmil.errors import BusUnavailable, NotAllowed, Unavailable
    from dsmil.infrastructure.address import public_url
    from dsmil.infrastructure.connection import translated
    from dsmil.infrastructure.hotpath_db import HotPathConfig, HotPathDB
    from dsmil.infrastructure.redis_streams import RedisStreamsClient
    from dsmil.services.catalogue import handler_classes
    from dsmil.services.preparation import prepare_broker

    log.configure(settings.log_level)
    with RedisStreamsClient(url, settings=settings) as bus:
        try:
            with translated("connecting"):
                bus.client.ping()
        except NotAllowed:
            raise
        except Unavailable as exc:
            remedy = "start it, correct REDIS_URL or REDIS_HOST/PORT, or unset them for the bundled broker"
            raise BusUnavailable(f"the broker at {public_url(url)} cannot be used ({exc}); {remedy}") from exc
        prepare_broker(bus.client)
    with HotPathDB(HotPathConfig(db_path=store), settings=settings) as db:
        # So that whoever reads "running" can ask it; when it cannot be made, the store writer goes on trying.
        db.initialize_schema()
    return list(handler_classes())
