"""What the checks are given: everything that was looked at, as plain records. None means: cannot be told."""

from __future__ import annotations

import msgspec


class Folder(msgspec.Struct, frozen=True, kw_only=True):
    """A file or folder as ``lstat`` sees it."""

    path: str
    exists: bool = False
    is_dir: bool = False
    mode: int = 0
    uid: int = -1
    #: Unix seconds of the last change.
    mtime: float = 0.0


class Consumer(msgspec.Struct, frozen=True, kw_only=True):
    """A consumer of a group."""

    name: str
    pending: int
    #: Seconds since the server last heard of it.
    idle_s: float
    #: Whether a process of this host holds the name; None for names of other hosts.
    held: bool | None = None


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A consumer group of a stream."""

    name: str
    #: Whether a service of this version reads with it.
    registered: bool = True
    pending: int = 0
    unread: int | None = 0
    #: Entries delivered five minutes ago or longer and still pending; counting ends at 100.
    held_long: int = 0
    #: Seconds since the entry longest in work was delivered.
    oldest_held_s: float = 0.0
    #: Added - settled - pending - unread, of one instant.
    imbalance: int | None = 0
    consumers: tuple[Consumer, ...] = ()


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """A stream of the broker."""

    name: str
    exists: bool = True
    length: int = 0
    added: int = 0
    #: Bytes, estimated by the server from a sample.
    memory: int | None = None
    groups: tuple[Group, ...] = ()
    #: Registered groups that are not there.
    missing: tuple[str, ...] = ()


class Broker(msgspec.Struct, frozen=True, kw_only=True):
    """The broker, as far as it answers."""

    #: Without credentials.
    address: str = "redis://localhost:6379/0"
    #: ``bundled``, ``system``, ``given``, or ``none`` when no address is given and nothing runs.
    mode: str = "bundled"
    #: Why it was not asked or does not answer; empty when it does.
    error: str = ""
    server: str = "valkey"
    version: str = "9.1.2"
    used_memory: int = 0
    #: 0 is no limit.
    maxmemory: int = 0
    policy: str = "noeviction"
    evicted: int = 0
    aof: bool = True
    #: Empty when CONFIG is not allowed.
    fsync: str = "everysec"
    #: Words of INFO persistence; ``ok`` is fine.
    aof_write: str = "ok"
    aof_rewrite: str = "ok"
    snapshot: str = "ok"
    #: ``loaded``, ``missing``, ``other`` or ``unknown``.
    functions: str = "loaded"
    #: The broker's clock minus ours, and how exact that is, seconds.
    clock_offset_s: float = 0.0
    clock_error_s: float = 0.0
    streams: tuple[Stream, ...] = ()
    dead_letters: int = 0
    #: Newest dead letter in words: cause, service, where, when.
    newest_letter: str = ""
    #: Seconds since it was added.
    newest_letter_s: float = 0.0


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table of the store that retention empties."""

    name: str
    rows: int
    #: How long its rows are kept, seconds.
    keep_s: float
    #: Arrival of the oldest and newest row, Unix seconds; None when there is none.
    oldest: float | None = None
    newest: float | None = None
    #: Rows that arrived within the window of ``Store.window_s``.
    recent: int = 0


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A row of ``device_status``."""

    device_id: int
    name: str
    status: str
    #: Seconds since its last heartbeat; None when it never had one.
    age_s: float | None
    service: str = ""
    problems: str = ""


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """The hot store and where it lies."""

    path: str = "/dev/shm/dsmil-1000/hotpath.db"  # noqa: S108 - shown in examples only
    #: Why there.
    place: str = "fallback in memory"
    degraded: bool = False
    on_tmpfs: bool = True
    exists: bool = True
    #: Why it cannot be read; empty when it can.
    error: str = ""
    sqlite: str = "3.53.0"
    sqlite_ok: bool = True
    #: Newest schema step of the file, and the newest this version knows.
    schema: int = 1
    schema_known: int = 1
    file: Folder = Folder(path="hotpath.db", exists=True, mode=0o660)
    folder: Folder = Folder(path=".", exists=True, is_dir=True, mode=0o700)
    #: Bytes of file, log and live pages, and the most the live pages may take.
    file_bytes: int = 0
    wal_bytes: int = 0
    used_bytes: int = 0
    budget_bytes: int = 1
    #: Of its file system.
    fs_total: int | None = None
    fs_free: int | None = None
    #: ``ok``, what is broken, or empty when it was not asked.
    quick_check: str = ""
    window_s: float = 600.0
    tables: tuple[Table, ...] = ()
    devices: tuple[Device, ...] = ()
    #: Whether the lock file of the store writer is there, and held.
    writer_lock: bool = False
    writer_held: bool = False


class Keeping(msgspec.Struct, frozen=True, kw_only=True):
    """What janitor, snapshots and producers say."""

    #: Whether a janitor has said so within half a minute.
    janitor: bool = True
    #: Percent of memory from which the janitor acts: 0, 50, 70 or 85; and why.
    level: int = 0
    reason: str = ""
    #: Stream and who keeps its entries, while memory runs short.
    holders: tuple[tuple[str, str], ...] = ()
    #: Age of the newest snapshot, seconds; None when there is none.
    snapshot_s: float | None = None
    snapshot_bytes: int = 0
    #: Whether the store has more than the snapshot.
    snapshot_late: bool = False
    producers: int = 0
    #: Producer, and since when it is silent, seconds.
    silent: tuple[tuple[str, float], ...] = ()


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """A metrics port of the running instance."""

    name: str
    port: int
    #: ``healthy``, ``degraded`` or ``unhealthy``; empty when it does not answer.
    health: str
    #: What it says is wrong, or why it does not answer.
    problem: str = ""


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """The state directory and what it says."""

    state_dir: Folder
    running: bool = False
    #: Whether ``instance.json`` is there, and can be read.
    record: bool = False
    record_readable: bool = True
    pid: int = 0
    version: str = ""
    #: Whether this version is the one that runs.
    same_version: bool = True
    #: Seconds since its start by the wall clock, and by the kernel's steady clock.
    age_wall_s: float | None = None
    age_steady_s: float | None = None
    fs_total: int | None = None
    fs_free: int | None = None
    #: Path of the bundled broker's socket when it is there, and whether a server answers on it.
    socket: str = ""
    socket_answers: bool = False
    #: Whether a server holds the lock of the broker's data.
    data_held: bool = False
    #: Lock files of consumer names, and how many of them are held.
    consumer_locks: int = 0
    consumer_held: int = 0
    ports: tuple[Port, ...] = ()
    shrink_url: str = ""
    #: Why SHRINK gives no reading; empty when it does.
    shrink_problem: str = ""
    #: Folders for sockets and locks that are there and not private to this user.
    conflicts: tuple[Folder, ...] = ()
    #: Our files that were changed later than now.
    future_files: tuple[Folder, ...] = ()


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """The process that looks, and its host."""

    uid: int = 1000
    python: tuple[int, int, int] = (3, 11, 0)
    platform: str = "linux"
    memory_total: int | None = None
    memory_free: int | None = None


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was looked at."""

    #: Unix seconds when it was looked at.
    now: float
    #: Settings that cannot be used: what is wrong with each.
    settings_errors: tuple[str, ...] = ()
    host: Host
    instance: Instance
    broker: Broker
    store: Store
    keeping: Keeping = Keeping()

    @property
    def alive(self) -> bool:
        """Whether the fabric works: an instance, or services run by units that beat."""
        return self.instance.running or any(beats(device) for device in self.store.devices)


#: A heartbeat older than this means that nobody is there.
HEARTBEAT_S = 15.0


def beats(device: Device) -> bool:
    """Return whether a device has sent a heartbeat just now."""
    return device.status != "OFFLINE" and device.age_s is not None and device.age_s <= HEARTBEAT_S
