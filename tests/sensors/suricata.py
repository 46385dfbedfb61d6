"""Running Suricata on a capture that a test made."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.sensors.conftest import program
from tests.sensors.pcap import Packet, file_of
from tests.sensors.traffic import WORD

RULE = (
    f'alert udp any any -> any 5140 (msg:"the word"; content:"{WORD}"; classtype:trojan-activity;'
    " sid:1000001; rev:3; metadata: mitre_technique_id T1041;)\n"
)
#: No hour of the log is that of UTC.
ZONE = "<+0545>-5:45"


def build() -> dict[str, str]:
    """Return what Suricata says of how it was built."""
    told = subprocess.run([program("suricata"), "--build-info"], check=True, capture_output=True, text=True).stdout
    pairs = (line.partition(":") for line in told.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def watch(folder: Path, packets: Iterable[Packet], *options: str | Path) -> Path:
    """Have Suricata read packets, with its default configuration if ``options`` name no other; return its log."""
    suricata = program("suricata")
    (folder / "made.pcap").write_bytes(file_of(packets))
    (folder / "made.rules").write_text(RULE)
    words: tuple[str | Path, ...] = ("-r", folder / "made.pcap", "-S", folder / "made.rules", "-l", folder)
    # Its socket for commands belongs to the Suricata that may watch this host.
    words += ("--set", "unix-command.enabled=no", *options)
    subprocess.run([suricata, *words], env=os.environ | {"TZ": ZONE}, check=True, capture_output=True, timeout=100)
    return folder / "eve.json"
