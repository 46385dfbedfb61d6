"""Looking at the hot store: opened for reading only, so that looking mends and spoils nothing."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import apsw
import msgspec

from dsmil.doctor.facts import Device, Folder, Store, Table
from dsmil.doctor.look_locks import is_held
from dsmil.errors import DsmilError
from dsmil.infrastructure import store as store_file
from dsmil.infrastructure import store_place
from dsmil.infrastructure.retention import RULES, max_bytes
from dsmil.infrastructure.sql import schema_steps, statement

if TYPE_CHECKING:
    from collections.abc import Callable

    from dsmil.config import Settings
    from dsmil.infrastructure.retention import Rule

#: Larger files are looked through on demand only: it reads every page.
QUICK_CHECK_BELOW: Final = 200 * 1024**2
#: Over how much of the past the rate is measured, seconds; a store filled later than that counts from its start.
_WINDOW_S: Final = 600.0
_LEAST_WINDOW_S: Final = 60.0
#: The tables whose rows are events; of the others a few a second come by themselves.
_ARRIVAL: Final = {
    "raw": "coalesce(ingest_ts, ts)",
    "soc": "coalesce(ingest_ts, ts)",
    "model": "ts",
    "shrink": "ts",
}


def folder(path: Path) -> Folder:
    """Return what ``lstat`` says of a path."""
    try:
        seen = path.lstat()
    except OSError:
        return Folder(path=str(path))
    return Folder(
        path=str(path),
        exists=True,
        is_dir=path.is_dir() and not path.is_symlink(),
        mode=seen.st_mode & 0o7777,
        uid=seen.st_uid,
        mtime=seen.st_mtime,
    )


def free(path: Path) -> tuple[int | None, int | None]:
    """Return size and free bytes of the file system that a path lies on, or would lie on."""
    for place in (path, *path.parents):
        if place.exists():
            try:
                usage = shutil.disk_usage(place)
            except OSError:
                break
            return usage.total, usage.free
    return None, None


def look(settings: Settings, now: float, *, deep: bool = False) -> Store:
    """Return what is to be seen of the store."""
    place = store_place.choose(settings)
    lock = Path(f"{place.path}.writer")
    total, spare = free(place.path.parent)
    seen = Store(
        path=str(place.path),
        place=place.reason,
        degraded=place.degraded,
        on_tmpfs=store_place.is_tmpfs(place.path.parent),
        exists=place.path.exists(),
        sqlite=apsw.sqlite_lib_version(),
        sqlite_ok=store_file.sqlite_version_ok(),
        schema=0,
        schema_known=schema_steps()[-1][0],
        file=folder(place.path),
        folder=folder(place.path.parent),
        file_bytes=_bytes(place.path),
        wal_bytes=_bytes(Path(f"{place.path}-wal")),
        budget_bytes=max_bytes(settings, place.path),
        fs_total=total,
        fs_free=spare,
        writer_lock=lock.exists(),
        writer_held=is_held(lock),
    )
    if not seen.exists:
        return seen
    try:
        store = store_file.Store(place.path, read_only=True)
    except DsmilError as exc:
        return msgspec.structs.replace(seen, error=str(exc))
    try:
        with store_file.translated("looking"):
            inside = _inside(store, now, deep=deep or seen.file_bytes < QUICK_CHECK_BELOW)
    except DsmilError as exc:
        return msgspec.structs.replace(seen, error=str(exc))
    finally:
        store.close()
    return msgspec.structs.replace(seen, **inside)


def _inside(store: store_file.Store, now: float, *, deep: bool) -> dict[str, Any]:
    steps = store.rows(f"SELECT max(step) AS step FROM {store_file.LEDGER}")  # noqa: S608 - a constant
    oldest = [row[1] for rule in RULES[:1] for row in _ends(store, rule)[:1]]
    window = min(_WINDOW_S, max(now - oldest[0], _LEAST_WINDOW_S)) if oldest else _WINDOW_S
    return {
        "schema": int(steps[0]["step"] or 0),
        "used_bytes": store.used_bytes(),
        "quick_check": _quick_check(store) if deep else "",
        "window_s": window,
        "tables": tuple(_table(store, rule, now - window) for rule in RULES),
        "devices": tuple(_device(row, now) for row in store.named("device_statuses")),
    }


def _quick_check(store: store_file.Store) -> str:
    return str(store.rows("PRAGMA quick_check(1)")[0]["quick_check"])


def _ends(store: store_file.Store, rule: Rule) -> list[tuple[int, float]]:
    """Return id and arrival of the first and the last row, or nothing."""
    first: Any = store.connection.execute(statement(f"oldest_{rule.statements}"), (math.inf, 1)).fetchall()
    last: Any = store.connection.execute(
        f"SELECT id, {_ARRIVAL[rule.statements]} FROM {rule.table} ORDER BY id DESC LIMIT 1"  # noqa: S608 - fixed names
    ).fetchall()
    return [*first, *last]


def _table(store: store_file.Store, rule: Rule, since: float) -> Table:
    rows: Any = store.connection.execute(f"SELECT count(*) FROM {rule.table}").fetchall()  # noqa: S608 - fixed names
    ends = _ends(store, rule)
    if len(ends) < 2:  # noqa: PLR2004 - first and last
        return Table(name=rule.table, rows=0, keep_s=rule.seconds)
    (first, oldest), (last, newest) = ends

    def arrival(at: int) -> float:
        row: Any = store.connection.execute(
            f"SELECT {_ARRIVAL[rule.statements]} FROM {rule.table} WHERE id >= ? ORDER BY id LIMIT 1",  # noqa: S608 - fixed names
            (at,),
        ).fetchall()
        return float(row[0][0])

    begin = first_since(first, last, since, arrival) if newest >= since else last + 1
    return Table(
        name=rule.table,
        rows=rows[0][0],
        keep_s=rule.seconds,
        oldest=oldest,
        newest=newest,
        recent=min(last - begin + 1, rows[0][0]),
    )


def first_since(first: int, last: int, since: float, arrival: Callable[[int], float]) -> int:
    """Return the first id that arrived at ``since`` or later; rows lie in the order of arrival, so halves do."""
    while first < last:
        middle = (first + last) // 2
        if arrival(middle) >= since:
            last = middle
        else:
            first = middle + 1
    return first


def _device(row: dict[str, Any], now: float) -> Device:
    beat = row["last_heartbeat"]
    metadata: dict[str, Any] = {}
    try:
        decoded = msgspec.json.decode(row["metadata"] or b"{}")
        metadata = decoded if isinstance(decoded, dict) else {}
    except (msgspec.MsgspecError, TypeError, UnicodeError):
        pass  # what somebody wrote by SQL may be no JSON
    problems = metadata.get("problems")
    texts = problems.items() if isinstance(problems, dict) else ()
    return Device(
        device_id=int(row["device_id"]),
        name=str(row["name"]),
        status=str(row["status"]),
        age_s=None if beat is None else now - float(beat),
        service=str(metadata.get("service", "")),
        problems="; ".join(f"{name}: {text}" for name, text in texts),
    )


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
