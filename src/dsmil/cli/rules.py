"""``dsmil rules``."""

from __future__ import annotations

from pathlib import Path

import click

from dsmil.cli._errors import BAD_INPUT
from dsmil.cli._shared import AS_JSON, print_json, safe

_FOLDERS = click.argument("folders", nargs=-1, metavar="DIR...", type=click.Path(exists=True, path_type=Path))


@click.group("rules")
def COMMAND() -> None:
    """Check and test Sigma rules; without DIR, those that come with the product.

    \b
    Examples:
      dsmil rules check ~/sigma/rules
      dsmil rules test
      dsmil up --rules ~/sigma/rules
    """


@COMMAND.command("check")
@_FOLDERS
@AS_JSON
def check_rules(*, folders: tuple[Path, ...], as_json: bool) -> int:
    """Say which rules can be used, and of each other one the file and the reason (exit code 65)."""
    from dsmil.sigma.loading import load

    loaded = load(_chosen(folders))
    if not loaded.files:
        raise click.UsageError(f"there are no rule files (*.yml, *.yaml) in {', '.join(map(str, folders))}")
    if as_json:
        print_json(
            {
                "files": loaded.files,
                "rules": len(loaded.rules.rules),
                "correlations": len(loaded.rules.correlations),
                "problems": loaded.problems,
            }
        )
    else:
        for problem in loaded.problems:
            click.echo(safe(problem))
        correlations = len(loaded.rules.correlations)
        click.echo(
            f"{loaded.files} files: {len(loaded.rules.rules)} rules and {correlations} correlations can be used,"
            f" {len(loaded.problems)} problems",
            err=True,
        )
    return BAD_INPUT if loaded.problems else 0


@COMMAND.command("test")
@_FOLDERS
@AS_JSON
def run_tests(*, folders: tuple[Path, ...], as_json: bool) -> int:
    """Run the cases beside the rules: NAME.cases.yml beside NAME.yml. Exit code 65 when one fails."""
    from dsmil.sigma.cases import run_cases
    from dsmil.sigma.loading import load

    chosen = _chosen(folders)
    loaded = load(chosen)
    tested = run_cases(chosen, loaded.rules)
    problems = (*loaded.problems, *tested.problems)
    if as_json:
        print_json({"cases": tested.cases, "files": tested.files, "without": tested.without, "problems": problems})
    else:
        for problem in problems:
            click.echo(safe(problem))
        click.echo(
            f"{tested.cases} cases of {tested.files} rule files, {len(problems)} problems;"
            f" {len(tested.without)} rule files have no cases",
            err=True,
        )
    return BAD_INPUT if problems else 0


def _chosen(folders: tuple[Path, ...]) -> list[Path]:
    from dsmil.detections._rules import PACK

    return list(folders) or [PACK]
