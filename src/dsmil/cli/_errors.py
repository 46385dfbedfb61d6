"""Errors as one line and a numbered exit code."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from dsmil.errors import (
    BrokerFailed,
    ConfigError,
    DsmilError,
    EventInvalid,
    InstanceRunning,
    QueryRefused,
    QueryTooLong,
    RegistryError,
    StoreTooNew,
    Unavailable,
    UnknownName,
    UnreadableFile,
)
from dsmil.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

OK: Final = 0
#: Not running, or nothing found.
NO: Final = 1
USAGE: Final = 2
BAD_INPUT: Final = 65
NO_INPUT: Final = 66
UNAVAILABLE: Final = 69
INTERNAL: Final = 70
RUNNING: Final = 75
CONFIG: Final = 78
INTERRUPTED: Final = 130

#: Class of error -> exit code; the first that fits counts.
_CODES: Final[tuple[tuple[type[DsmilError], int], ...]] = (
    (ConfigError, CONFIG),
    (InstanceRunning, RUNNING),
    (BrokerFailed, UNAVAILABLE),
    (Unavailable, UNAVAILABLE),
    (StoreTooNew, UNAVAILABLE),
    (EventInvalid, BAD_INPUT),
    (QueryRefused, BAD_INPUT),
    (QueryTooLong, UNAVAILABLE),
    (UnreadableFile, NO_INPUT),
    (UnknownName, USAGE),
    (RegistryError, INTERNAL),
)


def let_go() -> None:
    """Write out what is left; when nobody reads it any more, that is no failure at exit."""
    for stream in (sys.__stdout__, sys.__stderr__):  # not what click may have put in their place
        if stream is None:
            continue
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def guarded(action: Callable[[], Any]) -> int:
    """Run a command; print one line for an error that is ours, and return the exit code."""
    try:
        result = action()
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        return OK  # the reader of a pipe has seen enough
    except SystemExit as exc:
        # At a broken pipe click ends with 1 and a muted stream in place of standard output.
        muted = sys.stdout is not sys.__stdout__
        return exc.code if isinstance(exc.code, int) and not muted else OK
    except DsmilError as exc:
        click.echo(f"dsmil: {printable(exc)}", err=True)
        return next((code for kind, code in _CODES if isinstance(exc, kind)), NO)
    except Exception as exc:
        if os.environ.get("LOG_LEVEL", "").upper() == "DEBUG":
            raise
        text = printable(f"{type(exc).__name__}: {exc}", 500)
        click.echo(f"dsmil: internal error, please report it: {text} (LOG_LEVEL=DEBUG shows where)", err=True)
        return INTERNAL
    return result if isinstance(result, int) else OK
