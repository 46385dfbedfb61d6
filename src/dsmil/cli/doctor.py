"""``dsmil doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click
import msgspec

from dsmil.cli._errors import NO, OK, UNAVAILABLE
from dsmil.cli._shared import AS_JSON, console, print_json, safe, state_dir_option

if TYPE_CHECKING:
    from dsmil.doctor.finding import Finding

_STYLE: Final = {"ok": "green", "info": "cyan", "warning": "yellow", "error": "bold red"}
_TROUBLE: Final = frozenset({"warning", "error"})


@click.command("doctor")
@click.option("--fix", is_flag=True, help="Mend what can be mended without any risk, and say what was done.")
@click.option("--deep", is_flag=True, help="Look through the store's file even when it is large.")
@AS_JSON
@state_dir_option
def COMMAND(*, fix: bool, deep: bool, as_json: bool) -> int:
    """Tell what is wrong and how to mend it; changes nothing without --fix.

    One line per finding. Exits 0 when there is no warning and no error, 1 when there is, and 69 when the
    broker cannot be reached: the other findings are shown all the same.

    \b
    Examples:
      dsmil doctor
      dsmil doctor --fix
      dsmil doctor --json | jq '.[] | select(.severity == "error")'
    """
    from dsmil.doctor.collect import collect, environment
    from dsmil.doctor.examine import examine

    found = environment()
    facts = collect(found, deep=deep)
    findings = examine(facts)
    if fix and any(finding.fix for finding in findings):
        from dsmil.doctor.mend import mend

        mended = mend(findings, found.settings)
        facts = collect(found, deep=deep)
        findings = [*mended, *examine(facts)]
    if as_json:
        print_json([msgspec.structs.asdict(finding) for finding in findings])
    else:
        _show(findings)
    if facts.broker.error:
        return UNAVAILABLE
    return NO if any(finding.severity in _TROUBLE for finding in findings) else OK


def _show(findings: list[Finding]) -> None:
    screen = console()
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        line = f"{finding.severity:8} {finding.check:{width}}  {safe(finding.evidence, 1000)}"
        if finding.remedy:
            line += f" -> {safe(finding.remedy, 1000)}"
        screen.print(line, style=_STYLE[finding.severity])
    counts = [
        (word, sum(finding.severity == word for finding in findings)) for word in ("error", "warning", "info")
    ]
    said = ", ".join(f"{number} {word}{'s' if number != 1 and word != 'info' else ''}" for word, number in counts)
    click.echo(said, err=True)
