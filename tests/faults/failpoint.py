"""The process in which a service runs in these tests: ``dsmil`` itself, with a trap at a named step if asked.

It imports the product once and forks a child for every life it is asked for, so that hundreds of deaths cost
little. Run as ``python -m tests.faults.failpoint LOG PARENT``; one JSON object a line on standard
input and output:

    in   {"arguments": ["run", "soc-router"], "point": "settle:sent", "nth": 3, "signal": 9,
          "mutant": "", "constants": {"dsmil.services.runner:CLAIM_IDLE_MS": 1000}}
    out  {"pid": 4711}, then {"stopped": 4711} when it was stopped, then {"status": -9, "hit": true}
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from importlib import import_module
from typing import Any, Final

from tests.faults.oddities import behave
from tests.faults.points import Trap, install

import dsmil.cli.ingest
import dsmil.cli.run
import dsmil.services.host
from dsmil.services.catalogue import part_names
from dsmil.services.feeds import source_names

_PR_SET_PDEATHSIG: Final = 1


def main() -> None:
    """Serve lives until standard input ends."""
    _die_with(int(sys.argv[2]))
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number in (1, 2):
        os.dup2(log, number)
    part_names(), source_names()  # all imports are done before the first fork
    for line in sys.stdin:
        life = json.loads(line)
        told, tell = os.pipe()
        nursery = os.getpid()
        pid = os.fork()
        if pid == 0:
            _die_with(nursery)
            _live(life, tell)
        os.close(tell)
        print(json.dumps({"pid": pid}), file=answers)
        status = _outlast(pid, answers)
        hit = bool(os.read(told, 1))
        os.close(told)
        print(json.dumps({"status": status, "hit": hit}), file=answers)


def _die_with(parent: int) -> None:
    """Be killed when ``parent`` is gone: a test run that is killed leaves nothing behind, frozen or not."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _outlast(pid: int, answers: Any) -> int:
    while True:
        _, status = os.waitpid(pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            return os.waitstatus_to_exitcode(status)
        print(json.dumps({"stopped": pid}), file=answers)


def _live(life: dict[str, Any], tell: int) -> None:
    """Be the service; never returns."""
    code = 70
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for place, value in life["constants"].items():
            module, _, name = place.partition(":")
            getattr(import_module(module), name)  # a name that is gone must not go unnoticed
            setattr(import_module(module), name, value)
        if life["mutant"]:
            behave(life["mutant"])
        if life["point"]:
            trap = Trap(life["nth"], signal.Signals(life["signal"]), lambda: os.write(tell, b"x"))
            install(life["point"], trap)
        sys.argv = ["dsmil", *life["arguments"]]
        dsmil.cli.main()
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else 70
    except BaseException:  # noqa: BLE001 - told to the test by the code and the log
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
