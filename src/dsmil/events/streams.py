"""The streams by name."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class StreamName(StrEnum):
    """The 13 documented streams, lowest layer first. A layer publishes upward only."""

    L3_IN = "L3_IN"
    L3_OUT = "L3_OUT"
    L4_IN = "L4_IN"
    L4_OUT = "L4_OUT"
    L5_IN = "L5_IN"
    L5_OUT = "L5_OUT"
    L6_IN = "L6_IN"
    L6_OUT = "L6_OUT"
    L7_IN = "L7_IN"
    L7_OUT = "L7_OUT"
    SOC_EVENTS = "SOC_EVENTS"
    L8_ALERTS = "L8_ALERTS"
    L9_COMMANDS = "L9_COMMANDS"


#: Where entries go that cannot be handled, with cause and raw bytes. Made on demand, not one of the 13.
DEAD_LETTERS: Final = "DEAD_LETTERS"

#: The group that exists on every stream from the start.
DEFAULT_GROUP: Final = "dsmil"

#: The one field of an entry that holds the JSON document.
EVENT_FIELD: Final = "event"
