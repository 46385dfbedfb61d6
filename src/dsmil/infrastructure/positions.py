"""Where reading of live files has got to, kept on disk beside the instance's state.

Position and the counts of identical records move in one transaction, after the broker has the events. A crash in
between reads the last lines again, and they get the same ids again.
"""

from __future__ import annotations

import fcntl
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import apsw
import msgspec

from dsmil.errors import DsmilError
from dsmil.infrastructure.store import translated

if TYPE_CHECKING:
    from pathlib import Path

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS positions (
  key TEXT PRIMARY KEY, position BLOB NOT NULL, updated REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (
  key TEXT NOT NULL, digest BLOB NOT NULL, times INTEGER NOT NULL, serial INTEGER NOT NULL,
  PRIMARY KEY (key, digest)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS seen_serial ON seen (key, serial);
"""


class AlreadyFollowed(DsmilError):
    """Another process follows this file already."""


class Positions:
    """The positions of one follower, by its key (feed and file)."""

    def __init__(self, state_dir: Path, key: str, keep: int) -> None:
        """Open the file of this state directory; at most ``keep`` counts are kept. Raises AlreadyFollowed."""
        self._key = key
        self._keep = keep
        with translated(f"opening positions in {state_dir}"):
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = (state_dir / f"follow-{key.encode().hex()[-80:]}.lock").open("w")
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                self._lock.close()
                raise AlreadyFollowed(f"another process follows {key} for this state directory") from None
            self._db = apsw.Connection(str(state_dir / "ingest.db"))
            self._db.set_busy_timeout(5000)
            for pragma in ("journal_mode = WAL", "synchronous = NORMAL"):
                self._db.execute(f"PRAGMA {pragma}").fetchall()
            self._db.execute(_SCHEMA)
        self._serial = self._one("SELECT max(serial) FROM seen WHERE key = ?") or 0

    def load(self, kind: type[Any]) -> Any:  # noqa: ANN401 - a struct of that kind, or None
        """Return the position as ``kind``, or None when there is none that can be read."""
        raw = self._one("SELECT position FROM positions WHERE key = ?")
        with suppress(msgspec.MsgspecError, TypeError):
            return msgspec.json.decode(raw, type=kind)
        return None

    def seen(self) -> dict[bytes, int]:
        """Return how often records were seen, oldest first."""
        with translated("reading positions"):
            rows: Any = self._db.execute(
                "SELECT digest, times FROM seen WHERE key = ? ORDER BY serial", (self._key,)
            ).fetchall()
        return dict(rows)

    def save(self, position: msgspec.Struct, changed: dict[bytes, int], *, fresh: bool) -> None:
        """Keep position and counts; ``fresh`` forgets the older counts: another file was begun."""
        with translated("saving the position"), self._db:
            if fresh:
                self._db.execute("DELETE FROM seen WHERE key = ?", (self._key,))
            rows = []
            for digest, times in changed.items():
                self._serial += 1
                rows.append((self._key, digest, times, self._serial))
            self._db.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?)", rows)
            self._db.execute(
                "DELETE FROM seen WHERE key = ? AND serial <= ?", (self._key, self._serial - self._keep)
            )
            self._db.execute(
                "INSERT OR REPLACE INTO positions VALUES (?, ?, ?)",
                (self._key, msgspec.json.encode(position), time.time()),
            )

    def _one(self, sql: str) -> Any:  # noqa: ANN401 - any SQLite value
        with translated("reading positions"):
            row: Any = self._db.execute(sql, (self._key,)).fetchone()
        return row[0] if row else None

    def close(self) -> None:
        """Close file and lock."""
        self._db.close()
        self._lock.close()
