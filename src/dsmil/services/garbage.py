"""When the garbage collector looks: seldom, because nearly nothing here is a cycle."""

from __future__ import annotations

import gc
from typing import Final

#: New objects between two collections of the youngest; two batches in work have fewer.
_THRESHOLDS: Final = (50_000, 10, 10)


def collect_seldom() -> None:
    """Let the collector pass over what was loaded so far, and look less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
