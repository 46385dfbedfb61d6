"""Services of one process are given the same event objects: none may edit what the next one sees."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsmil.events import codec
from dsmil.events.handling import Delivery, Publish
from dsmil.events.model import Event
from dsmil.events.streams import StreamName
from dsmil.services.catalogue import handler_classes
from dsmil.services.feeds import find_source
from dsmil.testing.feeds import read_file

#: Feed and files of each kind of record that a detector looks at.
LOGS = {
    "suricata-eve": "suricata_josevnz/test/eve-2.json.gz",
    "falco": "falco/test/output_files/single_rule_with_cat_write.json",
    "k8s-audit": "falco/test/trace_files/k8s_audit/*.json",
    "windows": "sigma/regression_data/**/*.json",
    "ocsf": "ocsf_prowler/*.json",
    "zeek-json": "zeek_brimdata_zed/zeek-json/*.json.gz",
}
_MOST = 500


def delivered(events: list[Event], stream: StreamName) -> list[Delivery]:
    return [Delivery(stream=stream, entry_id=f"{n}-0", event=one) for n, one in enumerate(events, start=1)]


def test_no_handler_edits_an_event(fixtures: Path) -> None:
    records = [
        event
        for feed, pattern in LOGS.items()
        for path in sorted(fixtures.glob(pattern))[:80]
        for event in read_file(find_source(feed), path).events[:_MOST]
    ]
    assert {event.source for event in records} >= {"suricata", "falco", "windows", "ocsf", "zeek"}
    kinds = [kind for kind in handler_classes().values() if StreamName.L3_IN in kind.reads]
    findings = _untouched(kinds, records, StreamName.L3_IN)
    assert len(findings) > 50
    kinds = [kind for kind in handler_classes().values() if StreamName.L3_OUT in kind.reads]
    assert _untouched(kinds, findings, StreamName.L3_OUT)


def test_no_handler_edits_an_event_of_the_demo() -> None:
    """The same where the public logs are not at hand."""
    sample = Path(__file__).parents[2] / "samples" / "eve-demo.json"
    records = read_file(find_source("suricata-eve"), sample).events
    kinds = [kind for kind in handler_classes().values() if StreamName.L3_IN in kind.reads]
    findings = _untouched(kinds, records, StreamName.L3_IN)
    assert findings
    kinds = [kind for kind in handler_classes().values() if StreamName.L3_OUT in kind.reads]
    _untouched(kinds, findings, StreamName.L3_OUT)


def _untouched(kinds: list[type], events: list[Event], stream: StreamName) -> list[Event]:
    """Return what these handlers publish; fail when one has edited an event."""
    before = [codec.encode(event) for event in events]
    published: list[Event] = []
    for kind in kinds:
        handler = kind()
        for outcome in handler.handle(delivered(events, stream)):
            if isinstance(outcome, Publish):
                published += [event for _, event in outcome.outputs]
        edited = [n for n, event in enumerate(events) if codec.encode(event) != before[n]]
        if edited:
            pytest.fail(f"{handler.name} has edited {len(edited)} events, the first of {events[edited[0]].source}")
    return published
