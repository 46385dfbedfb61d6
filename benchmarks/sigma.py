"""Process-creation events against a set of Sigma rules: our index beside asking every rule in turn.

    python -m benchmarks.sigma RULES [--events 20000] [--json]

RULES is a folder of rules, or a tar archive of one. Every event has a command line of its own, so that what is
remembered of fields that do repeat (programs, users) helps as much as it does on a real host, and no more.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from dsmil.sigma.engine import RuleSet
from dsmil.sigma.loading import load
from dsmil.sigma.sources import read
from dsmil.testing.archive import unpack

#: Events that are put to every rule in turn: enough for a figure, few enough to wait for.
IN_TURN: Final = 400
_S32: Final = "C:\\Windows\\System32\\"
#: Program, its parent, and how it is called; {n} is a number and {f} a path that never come again.
_USUAL: Final = (
    ("svchost.exe", "services.exe", "{s}svchost.exe -k netsvcs -p -s Svc{n}"),
    ("conhost.exe", "cmd.exe", "\\??\\{s}conhost.exe 0xffffffff -ForceV1"),
    ("cmd.exe", "explorer.exe", 'cmd /c "C:\\Program Files\\Agent\\collect.cmd" {f}'),
    ("backgroundTaskHost.exe", "svchost.exe", "{s}backgroundTaskHost.exe -ServerName:App.AppX{n}.mca"),
    ("RuntimeBroker.exe", "svchost.exe", "{s}RuntimeBroker.exe -Embedding -{n}"),
    ("taskhostw.exe", "svchost.exe", "taskhostw.exe {n}"),
    ("SearchProtocolHost.exe", "SearchIndexer.exe", "{s}SearchProtocolHost.exe Global\\UsGthrFltPipeMss{n}"),
    ("dllhost.exe", "svchost.exe", "{s}DllHost.exe /Processid:{{{n}-3F60-4A3A-8B7A-1A2B3C4D5E6F}}"),
    ("powershell.exe", "svchost.exe", "powershell.exe -File C:\\ProgramData\\Agent\\inventory.ps1 -Run {n}"),
    ("notepad.exe", "explorer.exe", '"{s}notepad.exe" {f}'),
    ("reg.exe", "cmd.exe", "reg query HKLM\\Software\\Agent\\{n} /v Version"),
    ("ipconfig.exe", "cmd.exe", "ipconfig /all"),
    ("msiexec.exe", "services.exe", "{s}msiexec.exe /V {n}"),
    ("WmiPrvSE.exe", "svchost.exe", "{s}wbem\\wmiprvse.exe -secured -Embedding {n}"),
)


def events(number: int, seed: int = 1) -> Iterator[dict[str, Any]]:
    """Yield Sysmon's records of programs that start on a usual day; one in a hundred is a known attack."""
    chance = random.Random(seed)
    for n in range(number):
        image, parent, command = chance.choice(_USUAL)
        called = command.format(s=_S32, n=n * 7919, f=f"C:\\Users\\kim\\Documents\\report-{n}.txt")
        if chance.random() < 0.01:
            image, called = "vssadmin.exe", f"vssadmin delete shadows /for=c: /quiet /{n}"
        digest = f"{chance.getrandbits(128):032X}"
        data = {
            "RuleName": "-",
            "UtcTime": f"2026-11-24 10:{n // 60 % 60:02}:{n % 60:02}.100",
            "ProcessGuid": f"{{{digest[:8]}-0000-0000-0000-{n:012}}}",
            "ProcessId": n % 65536,
            "Image": _S32 + image,
            "FileVersion": "10.0.19041.1 (WinBuild.160101.0800)",
            "Description": image.removesuffix(".exe"),
            "Product": "Microsoft® Windows® Operating System",
            "Company": "Microsoft Corporation",
            "OriginalFileName": image,
            "CommandLine": called,
            "CurrentDirectory": _S32,
            "User": "NT AUTHORITY\\SYSTEM",
            "LogonId": "0x3e7",
            "IntegrityLevel": "System",
            "Hashes": f"MD5={digest},IMPHASH={digest[::-1]}",
            "ParentProcessId": 700,
            "ParentImage": _S32 + parent,
            "ParentCommandLine": _S32 + parent,
            "ParentUser": "NT AUTHORITY\\SYSTEM",
        }
        system = {"Channel": "Microsoft-Windows-Sysmon/Operational", "EventID": 1, "Computer": "ws1.example.org"}
        yield {"Event": {"System": system, "EventData": data}}


def measure(rules: RuleSet, number: int) -> dict[str, float]:
    """Return events per second of both ways, their ratio, and what was found."""
    records = list(events(number))
    _ask(rules, records[:500])  # the index is built by the first event
    started = time.process_time()
    hits = _ask(rules, records)
    seconds = time.process_time() - started
    known = read("windows", records[0])
    assert known is not None  # noqa: S101 - they are Windows records
    mine = [rule for rule in rules.rules if known[1].includes(rule.source)]
    started, in_turn = time.process_time(), 0
    for record in records[:IN_TURN]:
        found = read("windows", record)
        in_turn += sum(rule.test(found[0]) for rule in mine) if found else 0
    turn_seconds = time.process_time() - started
    if in_turn != _ask(rules, records[:IN_TURN]):
        sys.exit("bench: the index and the rules in turn disagree")
    indexed, turned = number / seconds, IN_TURN / turn_seconds
    return {
        "rules": len(mine),
        "events": number,
        "hits": hits,
        "indexed_per_s": round(indexed),
        "in_turn_per_s": round(turned),
        "ratio": round(indexed / turned, 1),
    }


def _ask(rules: RuleSet, records: list[dict[str, Any]]) -> int:
    hits = 0
    for record in records:
        known = read("windows", record)
        if known is not None:
            hits += len(rules.match(*known))
    return hits


def main() -> None:
    """Read the rules, measure, and print the figures (events per second of CPU time, one core)."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rules", type=Path)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = options.rules
        if place.is_file():
            unpack(place, Path(folder))
            place = Path(folder)
        started = time.process_time()
        loaded = load([place])
        figures = {"load_s": round(time.process_time() - started, 2), **measure(loaded.rules, options.events)}
    lines = (f"{name:14} {value}" for name, value in figures.items())
    print(json.dumps(figures) if options.json else "\n".join(lines))


if __name__ == "__main__":
    main()
