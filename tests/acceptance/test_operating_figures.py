"""The bytes that docs/operate.md names, measured again on real Suricata records."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.fabric_process import ROOT, Fabric

LOGS = (
    *(f"suricata_josevnz/test/{name}.json.gz" for name in ("eve_large", "eve-2", "eve_payload")),
    *(
        f"suricata_frankhassanabad/samples/{name}/alerts-only.json.gz"
        for name in ("first-org-conf-2015", "honeypot-2018", "wrccdc-2017")
    ),
)
BUDGET = 0.8 * 4 * 2**30
DAY = 86_400
#: Allocators and pages differ a little between servers and systems.
WITHIN = 0.1


def page_table(heading: str) -> list[list[str]]:
    """Return the cells of the table whose head begins with these words."""
    text = (ROOT / "docs" / "operate.md").read_text()
    rows = text.split(f"\n| {heading}", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def named() -> dict[str, int]:
    """Return the figures of the page, by the words before them."""
    return {words: int(number.replace(",", "")) for words, number in page_table("What | Bytes")}


@pytest.fixture(scope="module")
def measured(fixtures: Path, runtime: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """Return bytes in the order of the page's table."""
    with Fabric(tmp_path_factory.mktemp("figures") / "state", **runtime) as fabric:
        fabric.settled()
        with fabric.redis() as client:
            empty: Any = client.info("memory")
            done = fabric.json("ingest", "suricata-eve", *(fixtures / log for log in LOGS))
            assert done["records"] == done["published"] == 15_118
            fabric.settled()
            full: Any = client.info("memory")
            names = ("L3_IN", "L3_OUT", "SOC_EVENTS")
            sizes: list[Any] = [client.memory_usage(name, samples=0) for name in names]
            streams = [size / int(client.xlen(name)) for name, size in zip(names, sizes, strict=True)]
            assert client.xlen("L3_OUT") >= 1_602, "an alert each, and what other detectors find"
        disk = sum(file.stat().st_size for file in (fabric.state / "broker" / "appendonlydir").iterdir())
        memory = full["used_memory"] - empty["used_memory"]
        with closing(sqlite3.connect(fabric.record["hotpath_db"])) as connection:
            tables = [_bytes_a_row(connection, table) for table in ("raw_events_fast", "soc_events_cache")]
        return [*streams, disk / 15_118, memory / 15_118, *tables]


def _bytes_a_row(connection: sqlite3.Connection, table: str) -> float:
    """Return the pages of a table and its indexes, shared out to its rows."""
    query = "SELECT sum(pgsize) FROM dbstat WHERE name IN (SELECT name FROM sqlite_schema WHERE tbl_name = ?)"
    try:
        pages = connection.execute(query, (table,)).fetchone()[0]
    except sqlite3.OperationalError:
        pytest.skip("this Python's SQLite has no dbstat")
    return float(pages / connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608


@pytest.mark.parametrize("row", range(7), ids=list(named()))
def test_a_figure_of_the_page(measured: list[float], row: int) -> None:
    words, figure = list(named().items())[row]
    assert measured[row] == pytest.approx(figure, rel=WITHIN), words


def test_the_table_of_rates_follows_from_the_figures() -> None:
    figures, share = list(named().values()), 0.158
    raw, soc = figures[5], figures[6]
    rows = page_table("Records a second")
    assert len(rows) == 5
    for rate, needed, raw_back, soc_back in rows:
        whole = float(rate.replace(",", "")) * ((1 + share) * DAY * raw + share * 7 * DAY * soc)
        assert _seconds_or_gib(needed) == pytest.approx(whole / 2**30, rel=WITHIN), rate
        part = min(1.0, BUDGET / whole)
        assert _seconds_or_gib(raw_back) == pytest.approx(DAY * part, rel=WITHIN), rate
        assert _seconds_or_gib(soc_back) == pytest.approx(7 * DAY * part, rel=WITHIN), rate


def _seconds_or_gib(words: str) -> float:
    match = re.fullmatch(r"([\d.,]+) (min|h|d|GiB)", words)
    assert match, words
    return float(match[1].replace(",", "")) * {"min": 60, "h": 3600, "d": DAY, "GiB": 1}[match[2]]
