"""How many records of every public log its feed reads, beside what the log's source states."""

from __future__ import annotations

import ast
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from dsmil.sources._feed import Source
from dsmil.sources.auditd import Auditd
from dsmil.sources.aws_cloudtrail import AwsCloudTrail
from dsmil.sources.falco import Falco
from dsmil.sources.k8s_audit import K8sAudit
from dsmil.sources.ocsf import Ocsf
from dsmil.sources.suricata_eve import SuricataEve
from dsmil.sources.syslog import Syslog
from dsmil.sources.windows import Windows
from dsmil.sources.zeek_json import ZeekJson
from dsmil.sources.zeek_tsv import ZeekTsv
from dsmil.testing.feeds import read_file
from score_parts._figure import Figure

#: One file: the feed that reads it, and how many records it has, as its source states.
Log = tuple[type[Source], Path, int]


class Parse:
    """All public logs for which there is a feed."""

    name: ClassVar[str] = "parse"

    def needs(self, fixtures: Path) -> bool:
        """Return whether the logs are there."""
        return all((fixtures / folder).is_dir() for folder in _FOLDERS)

    def figures(self, fixtures: Path) -> list[Figure]:
        """Read each file with its feed."""
        read: dict[str, int] = {}
        stated: dict[str, int] = {}
        files: dict[str, int] = {}
        different = []
        for logs in _FOLDERS.values():
            for feed, path, count in logs(fixtures):
                got = len(read_file(feed(), path).events)
                read[feed.name] = read.get(feed.name, 0) + got
                stated[feed.name] = stated.get(feed.name, 0) + count
                files[feed.name] = files.get(feed.name, 0) + 1
                if got != count:
                    different.append(path.name)
        found = [
            Figure(
                key=f"parse.{name}.records",
                value=read[name],
                meaning=f"records read, of {stated[name]} in {files[name]} files",
            )
            for name in sorted(read)
        ]
        shown = f": {', '.join(different)}" if different else ""
        meaning = f"files of which fewer or more records are read than they have{shown}"
        return [*found, Figure(key="parse.files_different", value=len(different), meaning=meaning, better="lower")]


def _counts(folder: Path) -> dict[str, int]:
    """Return the counts that SOURCE.txt states, by name; ``kept/total`` counts what was kept."""
    lines = (folder / "SOURCE.txt").read_text("utf-8").splitlines()
    (stated,) = (line.removeprefix("counts:") for line in lines if line.startswith("counts:"))
    pairs = ast.literal_eval(stated.strip()).items()
    return {name: int(str(count).partition("/")[0]) for name, count in pairs}


def _existing(path: Path) -> Path:
    """Return the file of a name, which may be kept compressed."""
    return path if path.is_file() else path.with_name(f"{path.name}.gz")


def _content(path: Path) -> bytes:
    raw = path.read_bytes()
    return gzip.decompress(raw) if path.suffix == ".gz" else raw


def _lines(path: Path) -> int:
    return sum(bool(line.strip()) for line in _content(path).split(b"\n"))


def _zeek_brimdata(fixtures: Path) -> Iterator[Log]:
    folder = fixtures / "zeek_brimdata_zed"
    for name, count in _counts(folder).items():
        yield ZeekJson if name.startswith("zeek-json") else ZeekTsv, _existing(folder / name), count


def _zeek_apt29(fixtures: Path) -> Iterator[Log]:
    folder = fixtures / "zeek_otrf_apt29_day1"
    logs = folder / "datasets/compound/apt29/day1/zeek/individual_zeek_logs"
    for name, count in _counts(folder).items():
        yield ZeekJson, _existing(logs / name), count


def _zeek_rita(fixtures: Path) -> Iterator[Log]:
    """Yield whole logs; the source counts lines, of which header and empty ones of a text log are no records."""
    folder = fixtures / "zeek_activecm_rita"
    whole = ("open_conns", "open_sni", "proxy", "json_with_all_fields")
    for name, count in _counts(folder).items():
        kind = Path(name).parts[1]
        if kind in whole:
            path = _existing(folder / name)
            lines = _content(path).removesuffix(b"\n").split(b"\n")
            none = sum(not line or line.startswith(b"#") for line in lines)
            yield ZeekTsv if lines[0].startswith(b"#") else ZeekJson, path, count - none


def _suricata_josevnz(fixtures: Path) -> Iterator[Log]:
    """Yield all files; the source counts the records of the large one, by type."""
    folder = fixtures / "suricata_josevnz"
    for path in sorted((folder / "test").glob("eve*")):
        large = path.name.startswith("eve_large")
        yield SuricataEve, path, sum(_counts(folder).values()) if large else _lines(path)


def _suricata_alerts(fixtures: Path) -> Iterator[Log]:
    folder = fixtures / "suricata_frankhassanabad"
    for name, count in _counts(folder).items():
        yield SuricataEve, folder / "samples" / name / "alerts-only.json.gz", count


def _wazuh_engine(fixtures: Path) -> Iterator[Log]:
    """Yield raw lines beside their documents: as many as there are documents."""
    folder = fixtures / "wazuh_engine_normalisation" / "integrations"
    for kind, feed in (("suricata", SuricataEve), ("auditd", Auditd), ("syslog", Syslog)):
        for path in sorted((folder / kind).rglob("*input.txt")):
            beside = _existing(path.with_name(path.name.replace("input.txt", "expected.json")))
            yield feed, path, len(json.loads(_content(beside)))


def _windows_and_others(fixtures: Path) -> Iterator[Log]:
    folder = fixtures / "otrf_security_datasets"
    truth = json.loads((folder / "GROUND_TRUTH.json").read_text("utf-8"))
    events = {capture["file"]: capture["events"] for capture in truth}
    for path in sorted((folder / "datasets").rglob("*.gz")):
        count = events[path.name.removesuffix(".gz")]
        if "windows" in path.parts or path.name == "WindowsEvents.json.gz":
            yield Windows, path, count
        elif "aws" in path.parts:
            yield AwsCloudTrail, path, count
        elif "linux" in path.parts:  # the source counts lines, the feed makes one event of those of one serial
            serials = {line.partition(b"msg=audit(")[2].partition(b")")[0] for line in _content(path).split(b"\n")}
            yield Auditd, path, len(serials - {b""})


def _sigma(fixtures: Path) -> Iterator[Log]:
    folder = fixtures / "sigma"
    for pair in json.loads((folder / "REFERENCE_HITS.json").read_text("utf-8")):
        yield Windows, folder / pair["event"], len(pair["hits_per_event"])


def _falco(fixtures: Path) -> Iterator[Log]:
    """Yield all files; one of the audit events is none, and is there for that."""
    folder = fixtures / "falco" / "test"
    for path in sorted((folder / "trace_files" / "k8s_audit").glob("*.json")):
        yield K8sAudit, path, 0 if path.name == "fal_01_003.json" else _lines(path)
    for path in sorted((folder / "trace_files" / "plugins").glob("*.json")):
        yield AwsCloudTrail, path, 1
    for path in sorted((folder / "output_files").glob("*.json")):
        yield Falco, path, _lines(path)


def _ocsf(fixtures: Path) -> Iterator[Log]:
    for path in sorted((fixtures / "ocsf_prowler").glob("*.json")):
        yield Ocsf, path, len(json.loads(path.read_text("utf-8")))


#: Folder of public logs -> what yields its files.
_FOLDERS = {
    "zeek_brimdata_zed": _zeek_brimdata,
    "zeek_otrf_apt29_day1": _zeek_apt29,
    "zeek_activecm_rita": _zeek_rita,
    "suricata_josevnz": _suricata_josevnz,
    "suricata_frankhassanabad": _suricata_alerts,
    "wazuh_engine_normalisation": _wazuh_engine,
    "otrf_security_datasets": _windows_and_others,
    "sigma": _sigma,
    "falco": _falco,
    "ocsf_prowler": _ocsf,
}


PART = Parse
