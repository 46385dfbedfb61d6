"""The setup script, in a throw-away root, and what it does to a real server's settings."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from dsmil.infrastructure.broker import bundled_binary
from dsmil.services.catalogue import part_names
from dsmil.testing.waiting import until

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "setup_data_fabric.sh"
SYSTEM = {
    "passwd": "root:x:0:0:root:/root:/bin/bash\n",
    "group": "root:x:0:\n",
    "shadow": "root:*:19000:0:99999:7:::\n",
    "gshadow": "root:*::\n",
    "fstab": "# table of the host\n/dev/sda1 / ext4 defaults 0 1",  # without an end of line: it happens
}
TMPFS = re.compile(r"^tmpfs /mnt/dsmil-ram tmpfs size=4G,mode=0770,uid=\d+,gid=\d+,\S+ 0 0$", re.MULTILINE)

pytestmark = pytest.mark.timeout(300)  # the first test fills an environment with packages


def setup(root: Path, *options: str, port: int = 1) -> str:
    """Run the script and return what it says; nothing listens on port 1."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("REDIS_", "DSMIL_"))}
    done = subprocess.run(
        [SCRIPT, "--root", root, *options],
        env=env | {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def tree(root: Path) -> dict[str, tuple[int, int, int, int, int]]:
    """Everything under ``root`` but what Python itself writes beside the program."""
    found = {}
    for path in sorted(root.rglob("*")):
        if "__pycache__" not in path.parts:
            info = path.lstat()
            mtime = 0 if path.is_dir() else info.st_mtime_ns
            found[str(path.relative_to(root))] = (info.st_mode, info.st_uid, info.st_gid, info.st_size, mtime)
    return found


def host(folder: Path) -> Path:
    (folder / "etc").mkdir(parents=True)
    for name, text in SYSTEM.items():
        (folder / "etc" / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def as_root() -> None:
    if os.geteuid() != 0:
        message = "needs root: the script makes accounts and files of other owners"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    if shutil.which("useradd") is None:
        pytest.skip("useradd is not on PATH")


@pytest.fixture(scope="module")
def installed(as_root: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    del as_root
    root = host(tmp_path_factory.mktemp("host"))
    said = setup(root)
    assert re.search(r"^done: \d+ changes$", said, re.MULTILINE), said
    return root


def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    root = host(tmp_path / "host")
    before = tree(root)
    said = setup(root, "--dry-run")
    assert re.search(r"^dry run: \d+ changes would be made, none was$", said, re.MULTILINE)
    assert "+ useradd" in said
    assert "/systemd/ingest.env.example" in said
    assert "/systemd/dsmil-ingest@.service" in said
    assert "/systemd/listen.env.example" in said
    assert "/systemd/dsmil-listen@.service" in said
    assert tree(root) == before


def test_what_is_installed(installed: Path) -> None:
    user = re.search(
        r"^dsmil:x:(\d+):(\d+):.*:/opt/dsmil:/bin/false$", (installed / "etc/passwd").read_text(), re.MULTILINE
    )
    assert user is not None
    uid, gid = int(user[1]), int(user[2])
    found = tree(installed)
    for path, mode, owner, group in (
        ("opt/dsmil", 0o40755, 0, 0),
        ("var/lib/dsmil", 0o40750, uid, gid),
        ("etc/dsmil", 0o40750, 0, gid),
        ("etc/dsmil/dsmil.env", 0o100640, 0, gid),
        ("etc/dsmil/ingest.env.example", 0o100644, 0, gid),
        ("etc/dsmil/listen.env.example", 0o100644, 0, gid),
        ("mnt/dsmil-ram", 0o40770, uid, gid),
        ("etc/systemd/system/dsmil-soc-router.service", 0o100644, 0, 0),
        ("etc/systemd/system/dsmil@.service", 0o100644, 0, 0),
        ("etc/systemd/system/dsmil@store-writer.service", 0o100644, 0, 0),
        ("etc/systemd/system/dsmil-ingest@.service", 0o100644, 0, 0),
        ("etc/systemd/system/dsmil-listen@.service", 0o100644, 0, 0),
        ("etc/systemd/system/dsmil.target", 0o100644, 0, 0),
    ):
        assert found[path][:3] == (mode, owner, group), path
    settings = (installed / "etc/dsmil/dsmil.env").read_text().splitlines()
    assert all(line.startswith("#") for line in settings if line)
    fstab = (installed / "etc/fstab").read_text()
    assert fstab.startswith(SYSTEM["fstab"] + "\n")
    assert len(TMPFS.findall(fstab)) == 1


def test_the_program_is_the_tracked_files_and_runs(installed: Path) -> None:
    program = installed / "opt/dsmil"
    listed = {line[66:] for line in (program / ".installed-files").read_text().splitlines()}
    there = {str(p.relative_to(program)) for p in program.rglob("*") if p.is_file() and ".venv" not in p.parts}
    assert {name for name in there if "__pycache__" not in name} == listed | {".installed-files"}
    assert {"src/services/soc_router.py", "scripts/setup", "LICENSE"} <= listed
    done = subprocess.run(
        [program / ".venv/bin/dsmil", "run", "--list"], cwd="/", capture_output=True, text=True, check=True
    )
    assert {"soc-router", "store-writer", "janitor", "auditor"} <= set(done.stdout.split())
    writable = [p for p in program.rglob("*") if not p.is_symlink() and p.stat().st_mode & 0o022]
    assert writable == []


def test_every_service_is_to_be_enabled(installed: Path) -> None:
    """The functions of the script itself say which units they would enable."""
    body = SCRIPT.read_text().rpartition('\nmain "$@"')[0]
    lines = body.replace('source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)', f"source_dir={ROOT}")
    done = subprocess.run(
        ["bash", "-c", f"{lines}\nroot={installed}\nenabled_units"], capture_output=True, text=True, check=True
    )
    parts = {f"dsmil@{name}.service" for name in part_names()} - {"dsmil@soc-router.service"}
    assert {"dsmil@janitor.service", "dsmil@auditor.service"} <= parts
    assert set(done.stdout.split()) == {"dsmil.target", "dsmil-soc-router.service"} | parts


def test_a_second_run_does_nothing(installed: Path) -> None:
    (installed / "etc/dsmil/dsmil.env").write_text("LOG_LEVEL=DEBUG\n")
    before = tree(installed)
    said = setup(installed)
    assert said.endswith("nothing to do\n")
    assert "    + " not in said
    assert tree(installed) == before


def test_former_settings_of_all_units_are_taken_over(installed: Path) -> None:
    common, former = installed / "etc/dsmil/dsmil.env", installed / "etc/dsmil/soc-router.env"
    before = common.read_text()
    common.rename(former)
    former.write_text("LOG_LEVEL=WARNING\n")
    setup(installed)
    assert (common.read_text(), former.exists()) == ("LOG_LEVEL=WARNING\n", False)
    # A file of the router alone, as `dsmil acl --env-dir` writes it, stays what it is.
    former.touch(0o600)
    common.unlink()
    setup(installed)
    assert former.exists()
    assert common.read_text().startswith("# Settings of all DSMIL units")
    former.unlink()
    common.write_text(before)
    assert setup(installed).endswith("nothing to do\n")


def test_an_old_example_is_brought_up_to_date(installed: Path) -> None:
    example = installed / "etc/dsmil/ingest.env.example"
    example.write_text("# of an older version\n")
    assert "done: 1 changes" in setup(installed)
    assert example.read_bytes() == (ROOT / "systemd" / "ingest.env.example").read_bytes()


def test_a_damaged_program_is_mended_and_old_files_go(installed: Path) -> None:
    program = installed / "opt/dsmil"
    manifest = program / ".installed-files"
    wanted = (program / "src/services/soc_router.py").read_bytes()
    (program / "src/services/soc_router.py").write_text("broken")
    (program / "src/gone.py").write_text("a file of an older version")
    manifest.write_text(manifest.read_text() + "0" * 64 + "  src/gone.py\n")
    assert "+ copy_files" in setup(installed)
    assert (program / "src/services/soc_router.py").read_bytes() == wanted
    assert not (program / "src/gone.py").exists()
    assert setup(installed).endswith("nothing to do\n")


def test_an_entry_of_fstab_that_is_there_is_recognised(installed: Path) -> None:
    fstab = installed / "etc/fstab"
    before = fstab.read_text()
    documented = "tmpfs /mnt/dsmil-ram tmpfs size=4G,mode=0770 0 0\n"
    fstab.write_text(documented)
    said = setup(installed)
    assert "names no owner" in said
    assert fstab.read_text() == documented
    fstab.write_text(before)


class Server:
    """A server with a configuration file of its own, as a distribution starts it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.file = folder / "server.conf"
        self.file.write_text(f"bind 127.0.0.1\nport {self.port}\ndir {folder}\nmaxmemory-policy allkeys-lru\n")
        self.client = redis.Redis(port=self.port, decode_responses=True, protocol=2)
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen([bundled_binary(), self.file], stdout=subprocess.DEVNULL)
        until(self._answers, what="the server")

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.client.connection_pool.disconnect()

    def settings(self) -> dict[str, str]:
        return {
            key: str(self.client.config_get(key)[key]) for key in ("appendonly", "appendfsync", "maxmemory-policy")
        }


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    started = Server(tmp_path / "server")
    yield started
    started.kill()
    started.client.close()


WRONG = {"appendonly": "no", "appendfsync": "everysec", "maxmemory-policy": "allkeys-lru"}
RIGHT = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}


def test_wrong_settings_of_a_broker_are_told_and_left(installed: Path, server: Server) -> None:
    file = server.file.read_bytes()
    said = setup(installed, port=server.port)
    assert "WARNING: appendonly is no; it must be yes" in said
    assert "WARNING: maxmemory-policy is allkeys-lru; it must be noeviction" in said
    order = [
        said.index(line) for line in ("CONFIG SET maxmemory-policy", "CONFIG SET appendonly", "CONFIG REWRITE")
    ]
    assert order == sorted(order)
    assert said.endswith("nothing to do\n")
    assert server.settings() == WRONG
    setup(installed, "--dry-run", "--fix-redis", port=server.port)
    assert server.settings() == WRONG
    assert server.file.read_bytes() == file


def test_settings_are_changed_so_that_nothing_is_lost(installed: Path, server: Server) -> None:
    for number in range(1000):
        server.client.xadd("L3_IN", {"event": str(number)})
    said = setup(installed, "--fix-redis", port=server.port)
    assert "done: 1 changes" in said
    assert server.settings() == RIGHT
    server.client.xadd("L3_IN", {"event": "after"})
    server.kill()
    server.start()
    assert server.client.xlen("L3_IN") == 1001
    assert server.settings() == RIGHT
    assert setup(installed, "--fix-redis", port=server.port).endswith("nothing to do\n")


def test_uninstalling_leaves_the_data(installed: Path) -> None:
    """The last test of this file: it takes the installation apart."""
    (installed / "var/lib/dsmil/kept").write_text("data")
    before = tree(installed)
    assert "none was" in setup(installed, "--uninstall", "--dry-run")
    assert tree(installed) == before
    setup(installed, "--uninstall")
    left = {name for name, (mode, *_) in tree(installed).items() if mode & 0o170000 == 0o100000}
    accounts = {f"etc/{name}{backup}" for name in SYSTEM for backup in ("", "-")} | {"etc/.pwd.lock"}
    assert left - accounts == {"var/lib/dsmil/kept", "etc/dsmil/dsmil.env"}
    assert (installed / "var/lib/dsmil").stat().st_uid == 0
    for name in ("passwd", "group", "fstab"):
        assert "dsmil" not in (installed / "etc" / name).read_text().lower(), name
    assert (installed / "etc/fstab").read_text() == SYSTEM["fstab"] + "\n"
    assert setup(installed, "--uninstall").endswith("nothing to do\n")
