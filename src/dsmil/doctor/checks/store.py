"""The hot store's file: library, place, owner, mode, soundness, log."""

from __future__ import annotations

import shlex
from typing import Final

from dsmil.doctor.facts import Facts, Store
from dsmil.doctor.finding import Check, Finding, error, info, ok, warning
from dsmil.doctor.words import size

_FILE_MODE: Final = 0o660
_FOLDER_MODE: Final = 0o700
_MOST_WAL: Final = 256 * 1024**2


def run(facts: Facts) -> list[Finding]:
    """Judge the file."""
    store = facts.store
    found = [_library(store)]
    if not store.exists:
        return [*found, _none_yet(facts)]
    found += [_place(store), *_access(facts)]
    if store.error:
        return [*found, _broken(store)]
    return [*found, _schema(store), _sound(store), _log(store)]


def _library(store: Store) -> Finding:
    if store.sqlite_ok:
        return ok("store.library", f"SQLite {store.sqlite}")
    return error(
        "store.library",
        f"SQLite {store.sqlite}: before 3.51.3 a checkpoint that races a writer can corrupt the file",
        "install apsw 3.51.3 or later: scripts/setup, or `pip install -U apsw`",
    )


def _none_yet(facts: Facts) -> Finding:
    evidence = f"there is no store at {facts.store.path} yet ({facts.store.place})"
    if facts.alive:
        return warning("store.place", evidence, "look at the log of the store writer; `dsmil run store-writer`")
    return info("store.place", evidence, "`dsmil up` makes it and fills it from the streams")


def _place(store: Store) -> Finding:
    if store.degraded:
        return warning(
            "store.place",
            f"{store.path} lies on disk: {store.place}",
            "mount a tmpfs at /mnt/dsmil-ram, or name a file with HOTPATH_DB",
        )
    where = "in memory" if store.on_tmpfs else "on disk"
    return ok("store.place", f"{store.path}, {where} ({store.place})")


def _access(facts: Facts) -> list[Finding]:
    store, uid = facts.store, facts.host.uid
    found = []
    if store.file.uid != uid:
        found.append(
            warning(
                "store.access",
                f"{store.path} belongs to user {store.file.uid}, you are {uid}",
                f"run as user {store.file.uid}, or give this user a store of its own with HOTPATH_DB",
            )
        )
    elif store.file.mode != _FILE_MODE:
        found.append(
            warning(
                "store.access",
                f"{store.path} has mode {store.file.mode:04o}, should be {_FILE_MODE:04o}",
                shlex.join(["chmod", "660", store.path]),
                fix="store-mode",
            )
        )
    others = store.folder.mode & 0o007
    if others or store.folder.uid != uid:
        # Who may write the folder may replace the file; a shared one is for the group at most.
        evidence = f"{store.folder.path} has mode {store.folder.mode:04o} and belongs to user {store.folder.uid}"
        listing = shlex.join(["chmod", "700", store.folder.path])
        writable = others & 0o002 and not store.folder.mode & 0o1000
        make = warning if writable else info
        found.append(make("store.access", f"{evidence}; private would be {_FOLDER_MODE:04o}", listing))
    if not found:
        modes = f"{store.file.mode:04o} in {store.folder.mode:04o}"
        found.append(ok("store.access", f"mode {modes}, ours"))
    return found


def _broken(store: Store) -> Finding:
    return error(
        "store.sound",
        f"{store.path} cannot be read: {store.error}",
        f"stop the fabric, move the file away ({shlex.join(['mv', store.path, store.path + '.bad'])}), start it:"
        " the store fills itself from the streams",
    )


def _schema(store: Store) -> Finding:
    name = "store.schema"
    if store.schema > store.schema_known:
        return error(
            name,
            f"the file has schema step {store.schema}, this version knows {store.schema_known}",
            "use the newer version, or move the file away: it is rebuilt from the streams",
        )
    if store.schema < store.schema_known:
        evidence = f"the file has schema step {store.schema} of {store.schema_known}"
        return info(name, evidence, "the next start of the store writer brings it up to date")
    return ok(name, f"schema step {store.schema}")


def _sound(store: Store) -> Finding:
    if not store.quick_check:
        return info("store.sound", f"not looked through ({size(store.file_bytes)})", "`dsmil doctor --deep`")
    if store.quick_check == "ok":
        return ok("store.sound", f"quick_check found nothing wrong in {size(store.file_bytes)}")
    return _broken(Store(path=store.path, error=f"quick_check says: {store.quick_check}"))


def _log(store: Store) -> Finding:
    evidence = f"the write-ahead log has {size(store.wal_bytes)}"
    if store.wal_bytes > _MOST_WAL:
        return warning(
            "store.log",
            f"{evidence}, more than {size(_MOST_WAL)}: a reader keeps it from being emptied",
            "end queries that stay open for long, in your own SQL clients too; the writer then empties it",
        )
    return ok("store.log", evidence)


CHECK = Check(
    name="store",
    tells={
        "store.library": "error when the SQLite library is older than 3.51.3",
        "store.place": "warning when the store lies on disk because memory cannot be used",
        "store.access": "warning when the file is another user's, its mode is not 0660, or anybody may write the"
        " folder; info when the folder is not private",
        "store.schema": "error when a newer version wrote the file",
        "store.sound": "error when the file cannot be read or `quick_check` finds damage; files from 200 MB on are"
        " looked through with `--deep` only",
        "store.log": "warning when the write-ahead log is larger than 256 MB",
    },
    run=run,
)
