"""OCSF: JSON events of the Open Cybersecurity Schema Framework, of any class, one a line or one array.

Source: the OCSF schema, version 1.x (schema.ocsf.io): base event, findings category, ``severity_id``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from dsmil.errors import EventInvalid
from dsmil.events.model import Entity, EventCategory, Severity
from dsmil.sources._feed import Source
from dsmil.sources._joiners import JsonDocuments
from dsmil.sources._mapping import Levels, Mapping, Take, entity_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dsmil.sources._feed import Joiner, Parsed

#: ``category_uid`` -> what an event is about.
CATEGORIES: Final = {
    1: EventCategory.SYSTEM,
    2: EventCategory.SECURITY,
    3: EventCategory.AUTH,
    4: EventCategory.NETWORK,
    5: EventCategory.SYSTEM,
    6: EventCategory.APP,
    7: EventCategory.SOC,
}


#: Numbers of OCSF's observables -> our kinds of entity.
_OBSERVABLES: Final = {
    1: "host",
    2: "ip",
    4: "user",
    6: "url",
    7: "file",
    8: "file",
    9: "process",
    10: "resource",
    11: "port",
}


class _WithObservables(Mapping):
    """Takes observables as well, those that no field has named already."""

    def sources(self, record: dict[str, Any]) -> Iterator[tuple[str, Entity]]:
        """Yield the entities of a record."""
        seen: set[tuple[str, str]] = set()
        for path, found in super().sources(record):
            seen.add((found.type, found.value))
            yield path, found
        observables = record.get("observables")
        for one in observables if isinstance(observables, list) else ():
            number = one.get("type_id") if isinstance(one, dict) else None
            kind = _OBSERVABLES.get(number) if isinstance(number, int) else None
            text = entity_text(one.get("value"), kind) if kind else ""
            if kind and text and (kind, text) not in seen:
                yield "observables", Entity(kind, text)


class Ocsf(Source):
    """One OCSF event, one event; the payload is the record itself."""

    name: ClassVar[str] = "ocsf"
    source: ClassVar[str] = "ocsf"
    device_id: ClassVar[int] = 11
    json_array: ClassVar[bool] = True
    mapping: ClassVar[Mapping] = _WithObservables(
        time=("time", "time_dt"),
        severity=Levels(
            paths=("severity_id", "severity"),
            words={
                "1": Severity.LOW,
                "2": Severity.LOW,
                "3": Severity.MEDIUM,
                "4": Severity.HIGH,
                "5": Severity.CRITICAL,
                "6": Severity.CRITICAL,
                "informational": Severity.LOW,
                "low": Severity.LOW,
                "medium": Severity.MEDIUM,
                "high": Severity.HIGH,
                "critical": Severity.CRITICAL,
                "fatal": Severity.CRITICAL,
            },
            missing=None,
        ),
        techniques=tuple(
            f"{start}attacks.{part}.uid"
            for start in ("", "finding_info.", "finding.")
            for part in ("technique", "sub_technique")
        ),
        entities=(
            Take("src_endpoint.ip", "ip", "src"),
            Take("src_endpoint.port", "port", "src"),
            Take("src_endpoint.hostname", "host", "src"),
            Take("dst_endpoint.ip", "ip", "dest"),
            Take("dst_endpoint.port", "port", "dest"),
            Take("dst_endpoint.hostname", "host", "dest"),
            Take("device.hostname", "host"),
            Take("device.name", "host"),
            Take("device.ip", "ip"),
            Take("actor.user.name", "user", "src"),
            Take("actor.process.name", "process", "src"),
            Take("user.name", "user"),
            Take("process.name", "process"),
            Take("process.file.path", "file"),
            Take("file.path", "file"),
            Take("file.hashes.value", "file"),
            Take("query.hostname", "domain"),
            Take("url.url_string", "url"),
            Take("http_request.url.url_string", "url"),
            Take("resources.uid", "resource"),
            Take("resources.name", "resource"),
            Take("resource.uid", "resource"),
            Take("cloud.account.uid", "account"),
            Take("cloud.account_uid", "account"),
        ),
        category=EventCategory.SYSTEM,
        notes="`observables` that no field has named; category by `category_uid`: "
        + ", ".join(f"{uid} `{category}`" for uid, category in CATEGORIES.items()),
    )

    def joiner(self) -> Joiner:
        """Return what joins pretty-printed events."""
        return JsonDocuments()

    def parse(self, record: dict[str, Any]) -> Parsed:
        """Map an event of any class."""
        uid = record.get("class_uid")
        if not isinstance(uid, int) or isinstance(uid, bool):
            raise EventInvalid("not_ocsf", "the record has no class_uid")
        category = record.get("category_uid", uid // 1000)
        return self.mapping.apply(
            record, category=CATEGORIES.get(category if isinstance(category, int) else 0, EventCategory.SYSTEM)
        )


SOURCE = Ocsf
