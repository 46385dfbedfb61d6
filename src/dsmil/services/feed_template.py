"""A new feed of the user's own: the files that ``dsmil source new`` writes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from dsmil.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

_CODE: Final = '''"""{title}: one JSON object a line. Tell here where the format is documented."""

from __future__ import annotations

from typing import Any, ClassVar

from dsmil.errors import EventInvalid
from dsmil.events.model import EventCategory, Severity
from dsmil.sources._feed import Parsed, Source
from dsmil.sources._mapping import Levels, Mapping, Take


class {kind}(Source):
    """One record, one event; the payload is the record itself."""

    name: ClassVar[str] = "{name}"  # on the command line; it enters the ids, so keep it
    source: ClassVar[str] = "{name}"  # in the events; detectors know their records by it
    device_id: ClassVar[int] = 11  # 5 for networks, 11 for hosts: docs/devices.md
    json_array: ClassVar[bool] = True  # a file may also be one JSON array
    mapping: ClassVar[Mapping] = Mapping(
        time=("time",),
        severity=Levels(paths=("level",), words={{"info": Severity.LOW, "error": Severity.HIGH}}),
        entities=(Take("src_ip", "ip", "src"), Take("user.name", "user", "src")),
        category=EventCategory.APP,
    )

    def parse(self, record: dict[str, Any]) -> Parsed:
        """Map a record; refuse what is of another format."""
        if "message" not in record:
            raise EventInvalid("not_{word}", "the record has no message")
        return self.mapping.apply(record)


SOURCE = {kind}
'''
_TEST: Final = '''"""The feed {name} on records of its own: run it with pytest."""

from pathlib import Path

from dsmil.services.feeds import read_source
from dsmil.testing.feeds import read_file

FEED = Path(__file__).with_name("{file}")


def test_a_record_is_mapped_and_another_is_refused(tmp_path: Path) -> None:
    log = tmp_path / "sample.json"
    log.write_text(
        '{{"time":"2026-01-31T08:00:00Z","level":"error","message":"x","src_ip":"192.0.2.1"}}\\n'
        '{{"something":"else"}}\\n'
    )
    reading = read_file(read_source(FEED)(), log)
    (event,) = reading.events
    assert (event.ts, event.severity) == (1769846400.0, "HIGH")
    assert [(e.type, e.value, e.role) for e in event.entities] == [("ip", "192.0.2.1", "src")]
    assert reading.dead == {{"{cause}": 1}}
    assert reading.dead_places == [f"{{log}}:2"]
'''
_MAP: Final = """# The feed {name}: where in its JSON records the fields lie. Paths are keys joined by dots.
name = "{name}"
source = "{name}"
device_id = 11       # 5 for networks, 11 for hosts
category = "APP"     # AUTH, NETWORK, SYSTEM, APP, INTEL, SECURITY, CRYPTO, SOC
require = ["message"]  # a record without these is of another format
time = ["time"]      # ISO 8601, or Unix seconds, milli-, micro- or nanoseconds

[severity]
from = "level"
missing = "LOW"
[severity.words]
info = "LOW"
error = "HIGH"

[[entities]]
from = "src_ip"
type = "ip"
role = "src"

[[entities]]
from = "user.name"
type = "user"
role = "src"
"""


def write_template(name: str, folder: Path, *, field_map: bool) -> list[Path]:
    """Write the files of a new feed and return them; raises ConfigError when one of them is there already."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"NAME={name!r} is no name of a feed; use small letters, digits and single hyphens")
    word = name.replace("-", "_")
    file = f"{name}.toml" if field_map else f"{word}.py"
    kind = "".join(part.capitalize() for part in name.split("-"))
    body = _MAP if field_map else _CODE
    cause = "not_of_map" if field_map else f"not_{word}"
    texts = {
        folder / file: body.format(name=name, word=word, kind=kind, title=name.replace("-", " ").capitalize()),
        folder / f"test_{word}.py": _TEST.format(name=name, file=file, cause=cause),
    }
    for path in texts:
        if path.exists():
            raise ConfigError(f"{path} is there already; choose another NAME or directory")
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        path.write_text(text, "utf-8")
    return list(texts)
