"""The body of a push: unpacked within bounds, and cut into records."""

from __future__ import annotations

import zlib
from typing import Final

import msgspec

#: Largest body, bytes unpacked, by default.
MAX_BODY: Final = 16 * 1024 * 1024
#: Most records of one push.
MAX_RECORDS: Final = 20_000
#: Unpacked at once, bytes.
_STEP: Final = 64 * 1024
_BLANK: Final = b" \t\r\n"
_GZIP: Final = 16 + zlib.MAX_WBITS

_ANY: Final = msgspec.json.Decoder(msgspec.Raw)
_ARRAY: Final = msgspec.json.Decoder(list[msgspec.Raw])


class Refused(Exception):
    """A push is not taken; nothing of it is."""

    def __init__(self, status: int, reason: str, retry_s: float = 0.0) -> None:
        """``status`` is that of the answer; ``retry_s`` says when it may be worth trying again."""
        super().__init__(reason)
        self.status, self.reason, self.retry_s = status, reason, retry_s


class Body:
    """Takes the pieces of a body as they come; at most ``most`` bytes of it are ever unpacked."""

    def __init__(self, most: int, *, zipped: bool) -> None:
        """``zipped`` when it is gzip."""
        self._most = most
        self._unpack = zlib.decompressobj(_GZIP) if zipped else None
        self._pieces: list[bytes] = []
        self.size = 0

    def add(self, data: bytes) -> int:
        """Take a piece; return by how much the body grew. Raises Refused: 413 when too large, 400 when damaged."""
        before = self.size
        while data:
            if self._unpack is None:
                self._keep(data)
                break
            try:
                self._keep(self._unpack.decompress(data, _STEP))
            except zlib.error as exc:
                raise Refused(400, f"the gzip body is damaged: {exc}") from None
            data = self._unpack.unconsumed_tail
            if self._unpack.eof and self._unpack.unused_data:  # another member follows
                data, self._unpack = self._unpack.unused_data, zlib.decompressobj(_GZIP)
        return self.size - before

    def whole(self) -> bytes:
        """Return the body; raises Refused when it ended early."""
        if self._unpack is not None:
            while rest := self._flush():
                self._keep(rest)
            if not self._unpack.eof:
                raise Refused(400, "the gzip body ends early")
        return b"".join(self._pieces)

    def _flush(self) -> bytes:
        # What the last step held back: asked for in steps as well, a few bytes may still unpack to a lot.
        unpack = self._unpack
        return unpack.decompress(unpack.unconsumed_tail, _STEP) if unpack is not None and not unpack.eof else b""

    def _keep(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > self._most:
            raise Refused(413, f"the body is larger than the {self._most} bytes that are accepted, unpacked")
        if data:
            self._pieces.append(data)


def split(body: bytes, *, document: bool) -> list[bytes]:
    """Return the records of a body: one JSON ``document``, an array of records or a single one, or lines.

    Raises Refused: 400 when it holds none, 413 when it holds too many.
    """
    if document:
        try:
            single = body.lstrip(_BLANK)[:1] == b"{"
            elements = [_ANY.decode(body)] if single else _ARRAY.decode(body)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
            hint = "one record a line is Content-Type: application/x-ndjson"
            raise Refused(400, f"the body is neither a JSON array nor one object ({exc}); {hint}") from None
        records = [bytes(element).strip(_BLANK) for element in elements]
    else:
        records = [line for line in (line.strip(_BLANK) for line in body.split(b"\n")) if line]
    if not records:
        raise Refused(400, "the body holds no record")
    if len(records) > MAX_RECORDS:
        raise Refused(413, f"{len(records)} records in one push, at most {MAX_RECORDS} are accepted")
    return records
