"""Volumes and contacts: exfiltration, scans, lateral movement."""

from __future__ import annotations

import pytest
from tests.unit.analytics_events import conn, feature, findings

from dsmil.analytics.scorers.scan import walk
from dsmil.analytics.stats import certainty
from dsmil.detections.analytics import Analytics
from dsmil.events.model import Entity

OUTSIDE = "8.8.8.8"
#: Doubt halved, severity risen, doubt halved, four times as much.
MEGABYTES = [100, 300, 460, 780]


def test_much_more_sent_than_received_is_found_once_and_again_at_four_times() -> None:
    events = [conn(60.0 * n, dst=OUTSIDE, orig_bytes=20_000_000, resp_bytes=200_000) for n in range(100)]
    found = findings(Analytics(), events, "exfiltration")
    assert [round(feature(one, "sent_bytes")["value"] / 1e6) for one in found] == [100, 300, 460, 780, 2000][
        : len(found)
    ]
    assert found[-1].techniques == ("T1048",)
    assert found[-1].severity == "HIGH"
    assert Entity("ip", OUTSIDE, "dest") in found[-1].entities


@pytest.mark.parametrize(
    ("dst", "sent", "received"),
    [("10.9.9.9", 20_000_000, 0), (OUTSIDE, 20_000_000, 20_000_000), (OUTSIDE, 50_000, 0)],
    ids=["a backup within the house", "as much received", "little"],
)
def test_what_is_no_exfiltration(dst: str, sent: int, received: int) -> None:
    events = [conn(60.0 * n, dst=dst, orig_bytes=sent, resp_bytes=received) for n in range(100)]
    assert findings(Analytics(), events, "exfiltration") == []


def test_bytes_of_an_open_connection_are_counted_once() -> None:
    events = [conn(0, dst=OUTSIDE, uid="C1", _path="open_conn", orig_bytes=n * 1_000_000) for n in range(1, 90)]
    assert findings(Analytics(), events, "exfiltration") == [], "89 MB in all, not the sum of the reports"


def test_a_scan_is_found_by_its_failures() -> None:
    events = [conn(n, dst=f"10.0.1.{n}", port=445, conn_state="REJ" if n % 10 else "SF") for n in range(200)]
    found = findings(Analytics(), events, "scan")
    assert found[0].techniques == ("T1046",)
    assert len(found) <= 6
    assert feature(found[0], "failed")["value"] <= 12
    assert (found[0].severity, found[-1].severity) == ("MEDIUM", "HIGH")
    assert "at port 445" in found[-1].payload["says"]


def test_a_scan_of_ports_names_the_host() -> None:
    events = [conn(n, dst="10.0.1.1", port=n, conn_state="S0") for n in range(1, 50)]
    found = findings(Analytics(), events, "scan")
    assert Entity("ip", "10.0.1.1", "dest") in found[0].entities
    assert "ports of 1 host" in found[-1].payload["says"]


def test_the_same_dead_host_again_and_again_is_no_scan() -> None:
    assert findings(Analytics(), [conn(n, conn_state="S0") for n in range(500)], "scan") == []
    mostly_fine = [conn(n, dst=f"10.0.1.{n}", conn_state="S0" if n % 3 == 0 else "SF") for n in range(200)]
    assert findings(Analytics(), mostly_fine, "scan") == []


def test_the_walk_is_the_published_one() -> None:
    assert walk(3, 3) == pytest.approx(walk(0, 0))
    assert certainty(walk(8, 0)) < 0.5 < certainty(walk(9, 0))


def test_many_hosts_reached_for_the_first_time() -> None:
    events = [conn(60.0 * n, dst=f"10.0.1.{n}", port=3389) for n in range(30)]
    found = findings(Analytics(), events, "lateral")
    assert found[0].techniques == ("T1021",)
    assert feature(found[0], "new_hosts")["value"] == 5
    assert (found[0].severity, found[-1].severity) == ("MEDIUM", "HIGH")
    assert len(found) <= 5


def test_hosts_that_are_known_are_not_new_the_next_day() -> None:
    detector = Analytics()
    monday = [conn(7200.0 * n, dst=f"10.0.1.{n}", port=22) for n in range(12)]
    tuesday = [conn(86_400 + 60.0 * n, dst=f"10.0.1.{n}", port=22) for n in range(12)]
    assert findings(detector, [*monday, *tuesday], "lateral") == []
    assert findings(Analytics(), tuesday, "lateral"), "without Monday they are new"
