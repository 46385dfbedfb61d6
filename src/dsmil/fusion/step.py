"""One step of an explanation."""

from __future__ import annotations

from typing import Any

import msgspec


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to an event."""

    #: source, member, correlation, detection, fusion, escalation or publication.
    stage: str
    #: When, Unix seconds; None where it was not recorded.
    at: float | None = None
    #: One sentence.
    text: str
    #: The recorded facts behind the sentence.
    detail: dict[str, Any] = {}
