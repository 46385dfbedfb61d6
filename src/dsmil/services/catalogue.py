"""Every part there is, by name: services, and detectors and correlators with a runner around them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dsmil import correlation, detections, services
from dsmil.errors import UnknownName
from dsmil.registry import discover
from dsmil.services.deliveries import Deliveries
from dsmil.services.runner import Runner

if TYPE_CHECKING:
    from dsmil.config import Settings
    from dsmil.services.part import Part


def service_classes() -> dict[str, Any]:
    """Return the services of ``dsmil.services`` by name."""
    return discover(services, "SERVICE", required=False)


def detector_classes() -> dict[str, Any]:
    """Return the detectors of ``dsmil.detections`` by name."""
    return discover(detections, "DETECTOR")


def correlator_classes() -> dict[str, Any]:
    """Return the correlators of ``dsmil.correlation`` by name."""
    return discover(correlation, "CORRELATOR")


def handler_classes() -> dict[str, Any]:
    """Return what a runner runs, beside services, by name: Layer 3, then Layer 4."""
    return detector_classes() | correlator_classes()


def part_names() -> list[str]:
    """Return the names that ``dsmil run`` knows."""
    return [*service_classes(), *handler_classes()]


def make_parts(names: list[str], settings: Settings) -> list[Part]:
    """Return the named parts, ready to run; UnknownName names an unknown one and lists the known."""
    own, handlers = service_classes(), handler_classes()
    # Where a handler is alone, nobody would use what is remembered.
    deliveries = Deliveries() if sum(name in handlers for name in names) > 1 else None
    parts: list[Part] = []
    for name in names:
        if name in own:
            parts.append(own[name](settings=settings))
        elif name in handlers:
            parts.append(Runner(handlers[name](), settings, deliveries=deliveries))
        else:
            msg = f"no service is called {name!r}; there are: {', '.join([*own, *handlers])}"
            raise UnknownName(msg)
    return parts
