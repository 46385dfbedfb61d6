"""A bytewax dataflow: batched group reads, one transaction to the store and one to the broker per batch.

Run by the suite: bytewax_pipeline.py SOCKET SHRINK_URL STORE.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent))

import bytewax.operators as op
import common
import orjson
import redis
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.run import cli_main

GROUP = "bytewax"
Item = tuple[str, bytes, bytes]


class _Read(StatelessSourcePartition[list[Item]]):
    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def next_batch(self) -> list[list[Item]]:
        places: Any = dict.fromkeys(common.STREAMS, ">")
        reply: Any = self._client.xreadgroup(GROUP, "1", places, count=common.BATCH, block=100)
        batch = [(name.decode(), i, fields[b"event"]) for name, found in reply or [] for i, fields in found]
        return [batch] if batch else []


class _Source(DynamicSource[list[Item]]):
    def build(self, _step_id: str, _worker_index: int, _worker_count: int) -> _Read:
        client = redis.Redis(unix_socket_path=sys.argv[1], protocol=2)
        for stream in common.STREAMS:
            client.xgroup_create(stream, GROUP, id="0", mkstream=True)
        return _Read(client)


class _Write(StatelessSinkPartition[list[tuple[str, bytes, dict[str, Any]]]]):
    def __init__(self) -> None:
        self._client = redis.Redis(unix_socket_path=sys.argv[1], protocol=2)
        self._store = common.Store(sys.argv[3])

    def write_batch(self, items: list[list[tuple[str, bytes, dict[str, Any]]]]) -> None:
        for batch in items:
            self._store.add([event for _, _, event in batch])
            with self._client.pipeline(transaction=True) as pipe:
                for _, _, event in batch:
                    pipe.xadd("SOC_EVENTS", {"event": orjson.dumps(event)})
                for stream in common.STREAMS:
                    done = [entry_id for name, entry_id, _ in batch if name == stream]
                    if done:
                        pipe.xack(stream, GROUP, *done)
                pipe.execute()


class _Sink(DynamicSink[list[tuple[str, bytes, dict[str, Any]]]]):
    def build(self, _step_id: str, _worker_index: int, _worker_count: int) -> _Write:
        return _Write()


def main() -> None:
    """Serve until killed."""
    shrink = common.Shrink(sys.argv[2])

    def fuse(batch: list[Item]) -> list[tuple[str, bytes, dict[str, Any]]]:
        metrics = shrink.metrics
        return [(name, entry_id, common.fused(raw, name, metrics)) for name, entry_id, raw in batch]

    flow = Dataflow("soc")
    stream = op.input("read", flow, _Source())
    op.output("write", op.map("fuse", stream, fuse), _Sink())
    cli_main(flow)


if __name__ == "__main__":
    main()
