"""OCSF export over generated events: valid by the published schema, whatever they hold, and nothing is lost."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from dsmil.events.model import Entity, Severity, SocEvent
from dsmil.events.streams import StreamName
from dsmil.fusion.fuse import fuse
from dsmil.fusion.ocsf import VERSION, detection_finding
from dsmil.fusion.shrink import parse_reading
from dsmil.infrastructure.rows import decoded, soc_row
from dsmil.infrastructure.sql import statement
from dsmil.testing.factories import make_event

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
KINDS = (
    st.sampled_from(["ip", "port", "host", "user", "hash", "mac", "email", "account", "registry", "pod"]) | TEXT
)
ENTITIES = st.builds(Entity, KINDS, TEXT, st.sampled_from(["", "src", "dest", "sensor"]))
TACTICS = st.sampled_from(["TA0006", "Credential Access", "lateral-movement", "TA9999"])
PAYLOADS = st.fixed_dictionaries(
    {},
    optional={
        "detector": TEXT | JSON,
        "rule": st.fixed_dictionaries({}, optional={"id": TEXT | JSON, "name": TEXT, "revision": TEXT | JSON})
        | JSON,
        "tactics": st.lists(TACTICS, max_size=3) | JSON,
        "revision": st.integers(0, 9) | JSON,
        "features": JSON,
        "records": JSON,
        "group": st.fixed_dictionaries({"members": st.integers(), "start": NUMBERS, "end": NUMBERS}) | JSON,
        "correlation": st.fixed_dictionaries(
            {}, optional={"start": NUMBERS | JSON, "end": NUMBERS | JSON, "events": st.integers() | JSON}
        )
        | JSON,
    },
)
EVENTS = st.builds(
    lambda payload, reading, fields: fuse(make_event(payload, **fields), StreamName.L3_OUT, reading),
    PAYLOADS,
    st.none()
    | st.fixed_dictionaries({"crisis_level": st.floats(0, 1)}).map(lambda said: parse_reading(said, 0.0)),
    st.fixed_dictionaries(
        {},
        optional={
            "severity": st.sampled_from(Severity),
            "source_layer": st.sampled_from([3, 4]),
            "ts": st.floats(0, 4e9),
            "ingest_ts": st.floats(0, 4e9),
            "entities": st.lists(ENTITIES, max_size=4).map(tuple),
            "techniques": st.lists(st.sampled_from(["T1059", "T1059.001", "T1105"]) | TEXT, max_size=3).map(tuple),
            "evidence": st.lists(TEXT, max_size=3).map(tuple),
            "score": st.none() | st.floats(0, 1),
            "correlation_id": TEXT,
            "origin": TEXT,
            "source": TEXT,
        },
    ),
)
COLUMNS = re.findall(r"\w+", statement("insert_soc").partition("(")[2].partition(")")[0])


SCHEMA: dict[str, Any] = get_ocsf_schema(VERSION)
VALIDATOR = Draft202012Validator(OcsfJsonSchemaEmbedded(SCHEMA).get_class_schema("detection_finding"))


def exported(event: Any) -> dict[str, Any]:
    """Return the finding as another system reads it."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(detection_finding(event, "words")))
    return found


def faults(found: dict[str, Any]) -> list[str]:
    return [f"{list(error.absolute_path)}: {error.message}" for error in VALIDATOR.iter_errors(found)]


def row(event: SocEvent) -> dict[str, Any]:
    return decoded(dict(zip(COLUMNS, soc_row(event), strict=True)))


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(EVENTS)
def test_every_event_is_valid_and_whole(event: SocEvent) -> None:
    for form in (event.to_dict(), row(event)):
        found = exported(form)
        assert faults(found) == []
        assert found["unmapped"] == msgspec.json.decode(msgspec.json.encode(form))
        captions_agree(found)
        both_severities_are_told(event, found)
        assert found["type_uid"] == found["class_uid"] * 100 + found["activity_id"]


def captions_agree(found: dict[str, Any]) -> None:
    """Names beside numbers are those that the schema gives them; 99 has the source's own."""
    told = SCHEMA["classes"]["detection_finding"]["attributes"]
    for number, name in (("severity_id", "severity"), ("activity_id", "activity_name"), ("status_id", "status")):
        assert told[number]["enum"][str(found[number])]["caption"] == found[name]
    assert told["type_uid"]["enum"][str(found["type_uid"])]["caption"] == found["type_name"]
    kinds = SCHEMA["objects"]["observable"]["attributes"]["type_id"]["enum"]
    for one in found.get("observables", ()):
        assert one["type_id"] == 99 or kinds[str(one["type_id"])]["caption"] == one["type"]
    kinds = SCHEMA["objects"]["analytic"]["attributes"]["type_id"]["enum"]
    analytic = found["finding_info"].get("analytic")
    assert (
        analytic is None
        or analytic["type_id"] == 99
        or kinds[str(analytic["type_id"])]["caption"] == analytic["type"]
    )


def both_severities_are_told(event: SocEvent, found: dict[str, Any]) -> None:
    enrichments = found.get("enrichments", [])
    assert bool(enrichments) == (event.severity is not event.original_severity)
    for one in enrichments:
        assert one["data"]["original_severity"] == event.original_severity
        assert one["data"]["escalation"] == list(event.escalation)


ANY_ROW = st.dictionaries(
    st.sampled_from([*COLUMNS, "entities", "techniques", "evidence", "source", "origin"]) | TEXT, JSON, max_size=12
)


@settings(max_examples=150)
@given(ANY_ROW)
def test_what_somebody_wrote_by_sql_is_valid_too(found: dict[str, Any]) -> None:
    assert faults(exported(found)) == []
