"""Logging: an event name plus fields, one line each, on standard error."""

from __future__ import annotations

import contextlib
import logging
import sys
from pathlib import Path
from typing import Any

# structlog loads rich for its coloured tracebacks wherever that is installed: four megabytes in each process. Ours
# are plain, so it is not to find it; a command that draws with rich imports it later.
_hidden = sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
import structlog  # noqa: E402

if _hidden is None:
    del sys.modules["rich"]

from dsmil import journal  # noqa: E402
from dsmil.text import printable  # noqa: E402


class _Unfailing:
    """Standard error, except that nobody reading it is no reason to stop working."""

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()


def configure(
    level: str = "INFO", *, json: bool | None = None, service: str = "", journal_socket: Path = journal.SOCKET
) -> None:
    """Set up logging for this process; ``json`` defaults to yes when standard error is no terminal.

    Where standard error is the systemd journal, records go there natively, as those of ``dsmil-<service>``.
    """
    as_json = not sys.stderr.isatty() if json is None else json
    renderer: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=True, exception_formatter=structlog.dev.plain_traceback)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info if as_json else structlog.processors.StackInfoRenderer(),
            _escape_controls,
            *([journal.Journal(service, journal_socket)] if as_json and journal.stderr_is_journal() else []),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        # One write a line: threads that print text and line end apart run into each other.
        logger_factory=structlog.WriteLoggerFactory(_Unfailing()),  # type: ignore[arg-type]
        cache_logger_on_first_use=False,
    )


def get(name: str) -> Any:  # noqa: ANN401 - structlog's bound loggers have no common static type
    """Return a logger that stamps ``name`` on every line."""
    if not structlog.is_configured():  # used as a library, by a script that set nothing up
        configure("WARNING")
    return structlog.get_logger(component=name)


def _escape_controls(_logger: object, _method: str, fields: Any) -> Any:  # noqa: ANN401
    # Event text reaches log lines; unescaped it could forge a line or drive the reader's terminal.
    return {
        key: printable(value) if isinstance(value, str) and key != "exception" else value
        for key, value in fields.items()
    }
