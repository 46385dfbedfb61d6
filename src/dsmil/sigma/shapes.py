"""Records that nest their fields, laid flat as rules expect them."""

from __future__ import annotations

from posixpath import join
from typing import TYPE_CHECKING, Any

from dsmil.sigma.zeek_logs import zeek_fields

if TYPE_CHECKING:
    from collections.abc import Mapping


def flatten(product: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the fields of a record by the names that rules of this product use."""
    if product == "linux" and isinstance(payload.get("records"), list):
        return _auditd(payload)
    if product == "zeek":
        return zeek_fields(payload)
    if product != "windows":
        return payload
    event = payload.get("Event")
    if isinstance(event, dict):
        return _windows_xml(event)
    winlog = payload.get("winlog")
    if isinstance(winlog, dict):
        return _winlogbeat(payload, winlog)
    if "LogName" in payload and "Id" in payload:
        return _get_winevent(payload)
    return _azure_event(payload) if "EventLog" in payload and "Channel" not in payload else payload


def _windows_xml(event: dict[str, Any]) -> dict[str, Any]:
    """Lay an event flat that was XML: ``System`` and ``EventData`` (or ``UserData``) side by side.

    Attributes stand under ``#attributes``, under ``@name`` each, or beside their element under ``..._attributes``;
    text beside attributes stands under ``#text``.
    """
    fields: dict[str, Any] = {}
    system = event.get("System")
    for name, value in system.items() if isinstance(system, dict) else ():
        if name.endswith("_attributes") and isinstance(value, dict):
            _attributes(name.removesuffix("_attributes"), value, fields)
        elif not isinstance(value, dict):
            fields[name] = value
        else:
            if "#text" in value:
                fields[name] = value["#text"]
            _attributes(name, _attributes_of(value), fields)
    data = event.get("EventData")
    if isinstance(data, dict):
        _data(data, fields)
    user = event.get("UserData")
    for inner in user.values() if isinstance(user, dict) else ():
        if isinstance(inner, dict):
            _data(inner, fields)
    return fields


def _attributes_of(element: dict[str, Any]) -> dict[str, Any]:
    inner = element.get("#attributes")
    found = dict(inner) if isinstance(inner, dict) else {}
    found.update({key[1:]: value for key, value in element.items() if key.startswith("@")})
    return found


def _attributes(name: str, attributes: dict[str, Any], fields: dict[str, Any]) -> None:
    for key, one in attributes.items():
        fields[f"{name}_{key}"] = one
        if name in {"Execution", "TimeCreated", "Security"}:
            fields.setdefault(key, one)


def _data(data: dict[str, Any], fields: dict[str, Any]) -> None:
    """Add named values; ``Data`` may be a list of elements with their names, or of texts without any."""
    for name, value in data.items():
        if name == "#attributes" or name.startswith("@") or name.endswith("_attributes"):
            continue
        unnamed: list[Any] = []
        for one in value if name == "Data" and isinstance(value, list) else (value,):
            said = _attributes_of(one).get("Name") if name == "Data" and isinstance(one, dict) else None
            if isinstance(said, str):
                fields[said] = one.get("#text")
            if not isinstance(said, str) or one is value:
                unnamed.append(_text(one))
        if unnamed:
            fields[name] = unnamed if name == "Data" and isinstance(value, list) else unnamed[0]


def _text(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return the text of an element that has attributes too; ``Data`` without names is a list of texts."""
    if isinstance(value, dict) and "#text" in value:
        return value["#text"]
    return value


def _winlogbeat(payload: Mapping[str, Any], winlog: dict[str, Any]) -> dict[str, Any]:
    """Lay an event of Winlogbeat or Elastic Agent flat."""
    fields: dict[str, Any] = {}
    names = (
        ("Channel", "channel"),
        ("EventID", "event_id"),
        ("Provider_Name", "provider_name"),
        ("Computer", "computer_name"),
        ("EventRecordID", "record_id"),
        ("Keywords", "keywords"),
        ("Task", "task"),
        ("Opcode", "opcode"),
    )
    for name, key in names:
        if key in winlog:
            fields[name] = winlog[key]
    event, said = payload.get("event"), payload.get("log")
    if "EventID" not in fields and isinstance(event, dict) and "code" in event:
        fields["EventID"] = event["code"]
    if isinstance(said, dict) and "level" in said:
        fields["Level"] = said["level"]
    if "message" in payload:
        fields["Message"] = payload["message"]
    if "@timestamp" in payload:
        fields["SystemTime"] = payload["@timestamp"]
    for part in ("user_data", "event_data"):
        data = winlog.get(part)
        if isinstance(data, dict):
            fields.update(data)
    return fields


def _get_winevent(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Name the fields of PowerShell's ``Get-WinEvent | ConvertTo-Json`` as Windows does."""
    names = {"Id": "EventID", "LogName": "Channel", "ProviderName": "Provider_Name", "MachineName": "Computer"}
    fields = {names.get(name, name): value for name, value in payload.items()}
    created = fields.get("TimeCreated")
    text = created.get("value") if isinstance(created, dict) else created
    if isinstance(text, str) and text.strip("\\/").startswith("Date("):
        fields["TimeCreated"] = text.strip("\\/")[5:-1]
    return fields


def _azure_event(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Name the fields of Azure Monitor's table ``Event`` as Windows does."""
    names = {
        "EventLog": "Channel",
        "Source": "Provider_Name",
        "EventLevel": "Level",
        "RenderedDescription": "Message",
    }
    return {names.get(name, name): value for name, value in payload.items()}


def _auditd(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Lay the records of one audit event flat; a field that several have gets a list, words of EXECVE are a0, a1.

    ``started`` is true when the event is the start of a program; ``made`` when it made files, which
    ``created`` names.
    """
    fields = {name: value for name, value in payload.items() if name != "records"}
    several: dict[str, list[Any]] = {}
    arguments: list[Any] = []
    for record in payload["records"]:
        if not isinstance(record, dict):
            continue
        several.setdefault("type", []).append(record.get("type"))
        inner = record.get("fields")
        for name, value in inner.items() if isinstance(inner, dict) else ():
            if name == "argv" and isinstance(value, list):
                arguments = value
            else:
                several.setdefault(name, []).append(value)
    fields.update({name: values[0] if len(values) == 1 else values for name, values in several.items()})
    fields.update({f"a{number}": value for number, value in enumerate(arguments)})
    if "EXECVE" in several.get("type", []):
        fields["started"] = True
    made = _made(payload["records"], several.get("cwd", ["/"])[0])
    return fields | {"made": True, "created": made} if made else fields


def _made(records: list[Any], folder: Any) -> list[str]:  # noqa: ANN401 - JSON
    """Return the files that a call made, as whole paths."""
    found = []
    for record in records:
        inner = record.get("fields") if isinstance(record, dict) else None
        name = inner.get("name") if isinstance(inner, dict) and inner.get("nametype") == "CREATE" else None
        if isinstance(name, str):
            found.append(join(folder, name) if isinstance(folder, str) else name)
    return found
