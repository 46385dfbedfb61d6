"""Work done in a forked process, so that the libraries it needs leave with it."""

from __future__ import annotations

import multiprocessing
import traceback
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from dsmil.errors import DsmilError

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

P = ParamSpec("P")
T = TypeVar("T")


def aside(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what ``work`` returns, or raise what it raises, having run it in a copy of this process.

    Arguments, result and errors must be picklable. Call it while this process has one thread.
    """
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_tell, args=(theirs, work, args, kwargs))
    process.start()
    theirs.close()
    try:
        result = ours.recv()
    except EOFError:
        process.join()
        raise DsmilError(f"{work.__name__} ended with code {process.exitcode} and without an answer") from None
    finally:
        ours.close()
    process.join()
    if isinstance(result, BaseException):
        raise result
    return cast("T", result)


def _tell(to: Connection, work: Callable[..., Any], args: Any, kwargs: Any) -> None:  # noqa: ANN401 - those of `work`
    try:
        to.send(work(*args, **kwargs))
    except Exception as exc:  # noqa: BLE001 - raised again where the work was asked for
        if not isinstance(exc, DsmilError):
            exc.add_note(traceback.format_exc())  # the traceback itself stays here
        to.send(exc)
