"""The rules in use: loaded once, looked at again while they are used, and kept when their successors are bad."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dsmil import log
from dsmil.errors import ConfigError, DsmilError
from dsmil.sigma.engine import RuleSet
from dsmil.sigma.loading import Loaded, available, load, rule_files

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: The rules that come with the product.
PACK: Final = Path(__file__).parent / "rules"
#: How often the folders are looked at, seconds.
LOOK_S: Final = 2.0

_Stamp = tuple[tuple[str, int, int], ...]


class RuleKeeper:
    """Holds the rule set of some folders; a change of a file is taken up within seconds."""

    def __init__(self, folders: Sequence[Path], *, clock: Callable[[], float] = time.monotonic) -> None:
        """Name the folders; the first call of :meth:`current` reads them. The product's own rules come last."""
        self._folders = tuple(folders)
        self._clock = clock
        self._lock = threading.Lock()
        self._loaded: Loaded | None = None
        self._stamp: _Stamp = ()
        self._next_look = 0.0
        self._reading: threading.Thread | None = None
        self._log = log.get("l3-sigma")
        #: Why no rules can be read at all; empty when they can.
        self.lacking = ""
        #: Why a newer set was not taken; empty when there is none.
        self.refused = ""

    @property
    def loaded(self) -> Loaded | None:
        """What is in use; None before the first use."""
        return self._loaded

    def current(self) -> RuleSet:
        """Return the rules in use. Looks for changes now and then; reading them does not hold up the caller."""
        loaded = self._loaded
        if loaded is None:
            loaded = self._first()
        elif self._clock() >= self._next_look:
            self._next_look = self._clock() + LOOK_S
            if self._reading is None or not self._reading.is_alive():
                self._reading = threading.Thread(target=self.look, name="rules", daemon=True)
                self._reading.start()
        return loaded.rules

    def _first(self) -> Loaded:
        with self._lock:
            if self._loaded is None:
                self.lacking = available()
                if self.lacking:
                    self._log.warning("rules.none", cause=self.lacking)
                    self._loaded = Loaded(RuleSet([]), (), 0)
                else:
                    self._stamp = _stamp((*self._folders, PACK))
                    self._loaded = load(self._folders, spare=PACK)
                    self._say(self._loaded)
                self._next_look = self._clock() + LOOK_S
            return self._loaded

    def look(self) -> None:
        """Read the folders again if a file has changed; keep the old rules when the new ones are worse."""
        if self.lacking:
            return
        with self._lock:
            stamp = _stamp((*self._folders, PACK))
            if stamp == self._stamp or self._loaded is None:
                return
            self._stamp = stamp
            try:
                fresh = load(self._folders, spare=PACK)
            except DsmilError as exc:
                self._refuse(str(exc))
                return
            known = {problem.path for problem in self._loaded.problems}
            worse = [problem for problem in fresh.problems if problem.path not in known]
            if worse:
                self._refuse(f"{worse[0]}" + (f" (and {len(worse) - 1} more)" if len(worse) > 1 else ""))
                return
            self.refused = ""
            self._loaded = fresh
            self._say(fresh)

    def _refuse(self, why: str) -> None:
        self.refused = why
        self._log.error("rules.refused", cause=why, remedy="mend the file; the rules as they were stay in use")

    def _say(self, loaded: Loaded) -> None:
        rules, correlations = len(loaded.rules.rules), len(loaded.rules.correlations)
        self._log.info("rules.loaded", rules=rules, correlations=correlations, not_usable=len(loaded.problems))
        for problem in loaded.problems:
            self._log.warning("rules.not_usable", source=problem.path, cause=problem.reason)


def _stamp(folders: Sequence[Path]) -> _Stamp:
    """Return what changes when a rule file does: names, times and sizes."""
    found = []
    for folder in folders:
        extra = [one for one in (folder / "placeholders.yml",) if one.is_file()]
        for path in [*rule_files(folder), *extra] if folder.exists() else ():
            try:
                facts = path.stat()
            except OSError:  # gone since it was listed: the next look sees that
                continue
            found.append((str(path), facts.st_mtime_ns, facts.st_size))
    return tuple(found)


def folders_of(setting: str) -> tuple[Path, ...]:
    """Return the folders that DSMIL_RULES names; ConfigError when one is not there."""
    folders = tuple(Path(one).expanduser() for one in setting.split(":") if one)
    for folder in folders:
        if not folder.exists():
            raise ConfigError(f"DSMIL_RULES={setting!r}: there is no folder {folder}")
    return folders
