"""From a file of records to findings, on the way that the product itself takes: feed, detector, rules."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from dsmil.detections._rules import RuleKeeper
from dsmil.detections.sigma import Sigma
from dsmil.events.handling import Delivery, Publish
from dsmil.events.model import Event
from dsmil.events.streams import StreamName
from dsmil.sources._feed import Source
from dsmil.testing.archive import unpack
from dsmil.testing.feeds import read_file

#: Entries handled at once, as by the runner.
_BATCH = 200


def findings(keeper: RuleKeeper, feed: Source, path: Path) -> list[Event]:
    """Read a file with its feed, and return what a fresh detector with these rules finds in it."""
    detector, found = Sigma(keeper), list[Event]()
    events = read_file(feed, path).events
    for start in range(0, len(events), _BATCH):
        batch = [
            Delivery(stream=StreamName.L3_IN, entry_id=f"{start + number}-0", event=event)
            for number, event in enumerate(events[start : start + _BATCH], start=1)
        ]
        for outcome in detector.handle(batch):
            if isinstance(outcome, Publish):
                found += [finding for _, finding in outcome.outputs]
    return found


@contextmanager
def public_rules(fixtures: Path) -> Iterator[Path]:
    """Lay out the public Sigma rules in a folder that is gone afterwards."""
    with TemporaryDirectory() as place:
        unpack(fixtures / "sigma" / "sigma_rules_master.tar.gz", Path(place))
        yield Path(place)
