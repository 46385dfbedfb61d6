"""Which log a Zeek record is of, and its fields under Zeek's own names, whoever wrote it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Zeek's plain JSON does not say which log a record is of: log -> fields that only its records have together.
#: Source: the Zeek manual, "Zeek Log Formats and Inspection".
_TELLING: Final = (
    ("conn", ("conn_state",)),
    ("dns", ("trans_id", "query")),
    ("dns", ("trans_id", "rejected")),
    ("smtp", ("trans_depth", "helo")),
    ("http", ("trans_depth", "method")),
    ("http", ("trans_depth", "status_code")),
    ("ssl", ("cipher", "established")),
    ("ssl", ("server_name", "established")),
    ("x509", ("certificate.serial",)),
    ("kerberos", ("request_type", "success")),
    ("dce_rpc", ("endpoint", "operation")),
    ("smb_mapping", ("share_type",)),
    ("smb_files", ("action", "path", "name")),
    ("rdp", ("cookie", "result")),
    ("rdp", ("security_protocol",)),
    ("ssh", ("auth_attempts", "client")),
    ("notice", ("note", "actions")),
)
#: Beginnings of names as some exporters write them, because a dot is a level to their store.
_LEVELS: Final = ("id_", "certificate_", "basic_constraints_", "san_")


def zeek_fields(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a record with ``_path``, and with the names that Zeek gives."""
    if "_path" in payload and "id_orig_h" not in payload and "certificate_serial" not in payload:
        return payload
    fields = {_dotted(name): value for name, value in payload.items()}
    if "_path" not in fields:
        stream = fields.get("@stream")
        fields["_path"] = stream if isinstance(stream, str) else _log_of(fields)
    return fields


def _dotted(name: str) -> str:
    for level in _LEVELS:
        if name.startswith(level):
            return f"{level[:-1]}.{name[len(level) :]}"
    return name


def _log_of(fields: Mapping[str, Any]) -> str:
    for log, names in _TELLING:
        if all(name in fields for name in names):
            return log
    return ""
