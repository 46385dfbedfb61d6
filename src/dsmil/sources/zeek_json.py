"""Zeek logs as JSON: one record a line, of any log, with ``ts`` as Unix seconds, milliseconds or ISO 8601.

Source: the Zeek manual, "Zeek Log Formats and Inspection", and the ``json-streaming-logs`` package for ``_path``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from dsmil.sources import _zeek
from dsmil.sources._feed import Source

if TYPE_CHECKING:
    from dsmil.sources._feed import Parsed
    from dsmil.sources._mapping import Mapping


class ZeekJson(Source):
    """One record, one event; the payload is the record itself."""

    name: ClassVar[str] = "zeek-json"
    source: ClassVar[str] = "zeek"
    device_id: ClassVar[int] = 5
    json_array: ClassVar[bool] = True
    mapping: ClassVar[Mapping] = _zeek.MAPPING

    def parse(self, record: dict[str, Any]) -> Parsed:
        """Map a record of any log."""
        return _zeek.parse(record)


SOURCE = ZeekJson
