"""Events for tests."""

from __future__ import annotations

from typing import Any

from dsmil.events.model import Event, create_event

_DEFAULTS: dict[str, Any] = {
    "source_device": 16,
    "source_layer": 3,
    "category": "NETWORK",
    "severity": "MEDIUM",
    "source": "test",
}


def make_event(payload: dict[str, Any] | None = None, **fields: Any) -> Event:  # noqa: ANN401 - any field
    """Return a finding of device 16; name what should be different."""
    return create_event(payload={"alert": "test"} if payload is None else payload, **{**_DEFAULTS, **fields})
