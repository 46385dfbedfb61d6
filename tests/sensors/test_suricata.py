"""Suricata reads a capture that the test made; its log becomes a finding."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

from tests.sensors.conftest import program

from dsmil.detections.suricata_alert import DETECTOR
from dsmil.events.handling import Delivery, Publish
from dsmil.events.streams import StreamName
from dsmil.sources.suricata_eve import SuricataEve
from dsmil.testing.feeds import read_file

PAYLOAD = b"a word that nobody else says: grobstruxel"
RULE = (
    'alert udp any any -> any 5140 (msg:"the word"; content:"grobstruxel"; sid:1000001; rev:1;'
    " metadata: mitre_technique_id T1041;)\n"
)


def capture() -> bytes:
    """Return a pcap file (its global header, one record) with one UDP datagram over Ethernet and IPv4."""
    udp = struct.pack("!HHHH", 40000, 5140, 8 + len(PAYLOAD), 0) + PAYLOAD
    addresses = bytes([192, 0, 2, 1, 198, 51, 100, 2])
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0) + addresses
    frame = bytes(12) + b"\x08\x00" + ip + udp
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    return head + struct.pack("<IIII", 1_700_000_000, 250_000, len(frame), len(frame)) + frame


def test_its_alert_about_a_capture_is_a_finding(tmp_path: Path) -> None:
    suricata = program("suricata")
    (tmp_path / "made.pcap").write_bytes(capture())
    (tmp_path / "made.rules").write_text(RULE)
    words = ("-r", tmp_path / "made.pcap", "-S", tmp_path / "made.rules", "-l", tmp_path, "-k", "none")
    subprocess.run([suricata, *words], check=True, capture_output=True, timeout=100)
    reading = read_file(SuricataEve(), tmp_path / "eve.json")
    assert (dict(reading.dead), reading.partial) == ({}, 0)
    (alert,) = [event for event in reading.events if event.payload["event_type"] == "alert"]
    assert alert.ts == 1_700_000_000.25
    assert {"192.0.2.1", "198.51.100.2"} <= {one.value for one in alert.entities}
    (outcome,) = DETECTOR().handle([Delivery(stream=StreamName.L3_IN, entry_id="1-0", event=alert)])
    assert isinstance(outcome, Publish)
