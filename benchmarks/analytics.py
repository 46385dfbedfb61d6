"""What the detector l3-analytics costs an event, and what it remembers: a day of a busy network, made up.

    python -m benchmarks.analytics [--events 60000] [--json]

Half of the records are connections, the others names asked of DNS, names of TLS, and logins of hosts. Hosts,
destinations and names come as unevenly as on a real network: a few very often, most hardly ever.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator

from dsmil.detections.analytics import Analytics
from dsmil.events.handling import Delivery, Drop
from dsmil.events.model import Entity, Event, create_event
from dsmil.events.streams import StreamName

#: Event time of the first record, Unix seconds.
START = 1_780_000_000.0
DAY_S = 86_400.0


def events(number: int, seed: int = 1) -> Iterator[Event]:
    """Yield records in order of time, spread over a day."""
    chance = random.Random(seed)
    for n in range(number):
        ts = START + DAY_S * n / number
        src = f"10.0.{chance.randrange(4)}.{_uneven(chance, 250)}"
        dst = f"198.51.{_uneven(chance, 250)}.{_uneven(chance, 250)}"
        ends = {"id.orig_h": src, "id.resp_h": dst, "uid": f"C{n // 2}"}
        who = (Entity("ip", src, "src"), Entity("ip", dst, "dest"))
        kind = n % 8
        if kind in (0, 2, 4, 6):
            sent = int(chance.lognormvariate(6, 2))
            conn = {"_path": "conn", "proto": "tcp", "id.resp_p": 443, "conn_state": "SF", "service": "ssl"}
            yield _event(ends | conn | {"orig_bytes": sent, "resp_bytes": 9 * sent}, ts, "zeek", who)
        elif kind in (1, 5):
            name = f"{'www api cdn m mail'.split()[chance.randrange(5)]}.site{_uneven(chance, 3000)}.example"
            dns = {"_path": "dns", "id.resp_p": 53, "query": name, "qtype_name": "A", "rcode_name": "NOERROR"}
            yield _event(ends | dns, ts, "zeek", (*who, Entity("domain", name)))
        elif kind == 3:
            name = f"www.site{_uneven(chance, 3000)}.example"
            ssl = {"_path": "ssl", "id.resp_p": 443, "server_name": name, "cipher": "X"}
            yield _event(ends | ssl, ts, "zeek", (*who, Entity("host", name, "dest")))
        else:
            user, host = f"user{_uneven(chance, 300)}", f"ws{_uneven(chance, 200)}"
            yield _event({"EventID": 4624}, ts, "windows", (Entity("user", user), Entity("host", host)))


def _uneven(chance: random.Random, most: int) -> int:
    """Return a number below ``most``, small ones far more often."""
    return min(most - 1, int(chance.paretovariate(0.8)) - 1)


def _event(payload: dict[str, object], ts: float, source: str, entities: tuple[Entity, ...]) -> Event:
    return create_event(5, 3, "NETWORK", "LOW", payload, ts=ts, ingest_ts=ts, source=source, entities=entities)


def measure(number: int) -> dict[str, float]:
    """Return microseconds of CPU an event, of all and of each analytic, findings, and bytes remembered."""
    given = [
        Delivery(stream=StreamName.L3_IN, entry_id=f"{n}-0", event=one) for n, one in enumerate(events(number))
    ]
    detector = Analytics()
    started = time.process_time()
    answers = [answer for at in range(0, number, 200) for answer in detector.handle(given[at : at + 200])]
    seconds = time.process_time() - started
    figures = {
        "events": number,
        "us_an_event": round(seconds / number * 1e6, 2),
        "events_per_s": round(number / seconds),
        "findings": sum(not isinstance(answer, Drop) for answer in answers),
    }
    for name in detector.scorers:
        alone = Analytics()
        alone.scorers = {name: alone.scorers[name]}
        started = time.process_time()
        alone.handle(given)
        figures[f"us_{name}"] = round((time.process_time() - started) / number * 1e6, 2)
    bare = Analytics()
    bare.scorers = {}
    started = time.process_time()
    bare.handle(given)
    figures["us_bare"] = round((time.process_time() - started) / number * 1e6, 2)
    started = time.process_time()
    memory = detector.memory()
    figures["memory_ms"] = round((time.process_time() - started) * 1e3, 1)
    figures["memory_bytes"] = len(memory)
    return figures


def main() -> None:
    """Measure, and print the figures (CPU time, one core)."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure(options.events)
    lines = (f"{name:20} {value}" for name, value in figures.items())
    print(json.dumps(figures) if options.json else "\n".join(lines))


if __name__ == "__main__":
    main()
