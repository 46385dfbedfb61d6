"""``dsmil acl``."""

from __future__ import annotations

import re
from pathlib import Path

import click

from dsmil.cli._shared import AS_JSON, print_json, settings, state_dir_option


@click.command("acl")
@click.option(
    "--passwords",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="File of the clear passwords, mode 0600; made, or completed, where users have none yet.",
)
@click.option("--hash-only", is_flag=True, help="Only read the passwords; a user without one is an error.")
@click.option("--user-prefix", default="dsmil-", show_default=True, help="What each user's name begins with.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the ACL file here, mode 0600.")
@click.option(
    "--env-dir",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Write each user's name and password into an environment file here, NAME.env, mode 0600.",
)
@AS_JSON
@state_dir_option
def COMMAND(
    *, passwords: Path, hash_only: bool, user_prefix: str, out: Path | None, env_dir: Path | None, as_json: bool
) -> int:
    """Print an ACL file for the broker: one user for each service, with just the rights it needs.

    Hand the file to the broker (`aclfile`), then run `dsmil init` as the admin user. Everybody who gives no
    user and password is refused from then on.

    With --env-dir each user also gets an environment file, named as in `dsmil run --list` (or ingest, reader,
    admin); other lines of a file that is there stay. The units read theirs from /etc/dsmil.

    \b
    Examples:
      dsmil acl --passwords dsmil.passwords --out users.acl
      dsmil acl --passwords /etc/dsmil/passwords --out /etc/dsmil/users.acl --env-dir /etc/dsmil
    """
    from dsmil.errors import ConfigError
    from dsmil.infrastructure.access import acl_lines
    from dsmil.infrastructure.connection import broker_database
    from dsmil.infrastructure.passwords import (
        complete_passwords,
        password_hash,
        read_passwords,
        write_login,
        write_private,
    )
    from dsmil.services.roles import roles

    if not re.fullmatch(r"[A-Za-z0-9_.:-]*", user_prefix):
        raise ConfigError(f"--user-prefix {user_prefix!r} may hold letters, digits and _ . : - only")
    known = roles()
    users = [user_prefix + role.name for role in known]
    clear = read_passwords(passwords) if hash_only else complete_passwords(passwords, users)
    missing = [user for user in users if user not in clear]
    if missing:
        raise ConfigError(f"{passwords} has no password of {', '.join(missing)}; leave out --hash-only to add it")
    hashes = {user: password_hash(clear[user]) for user in users}
    lines = acl_lines(known, user_prefix, hashes, broker_database(settings()))
    if out is not None:
        write_private(out, "\n".join(lines) + "\n")
    written = 0
    if env_dir is not None:
        logins = ((role.name, user_prefix + role.name) for role in known)
        written = sum(write_login(env_dir / f"{name}.env", user, clear[user]) for name, user in logins)
    if as_json:
        shown = [
            {
                "user": user,
                "reads": role.streams(written=False),
                "adds_to": role.streams(written=True),
                "commands": role.commands,
            }
            for user, role in zip(users, known, strict=True)
        ]
        print_json({"users": shown, "acl": lines})
        return 0
    if out is None:
        click.echo("\n".join(lines))
    else:
        click.echo(f"{len(users)} users in {out}, their passwords in {passwords}")
    if env_dir is not None:
        click.echo(f"{written} of {len(users)} environment files in {env_dir} written", err=out is None)
    return 0
