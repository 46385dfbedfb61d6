"""The groups that the doctor expects are those that something reads with."""

from __future__ import annotations

from dsmil.doctor.look_broker import registered_groups
from dsmil.events.streams import StreamName
from dsmil.services.catalogue import correlator_classes, detector_classes


def test_the_store_writer_reads_without_a_group() -> None:
    groups = registered_groups()
    assert groups[StreamName.SOC_EVENTS] == ()
    assert groups[StreamName.L3_IN] == tuple(sorted(detector_classes()))
    assert groups[StreamName.L3_OUT] == tuple(sorted([*correlator_classes(), "soc-router"]))
    assert groups[StreamName.L4_IN] == tuple(sorted(correlator_classes()))
    assert groups[StreamName.L4_OUT] == ("soc-router",)
