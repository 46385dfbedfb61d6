"""A signal that comes while the main thread holds the lock of what its handler sets."""

from __future__ import annotations

import subprocess
import sys

#: The handler runs where the main thread is within ``wait`` or ``clear``.
INSIDE = """
import signal
from dsmil.services.signalled import SignalEvent
stop = SignalEvent()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
with stop._cond:
    signal.raise_signal(signal.SIGTERM)
print(stop.wait(0))
"""


def test_a_signal_inside_a_wait_does_not_stop_the_main_thread_for_good() -> None:
    done = subprocess.run([sys.executable, "-c", INSIDE], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr
