"""FastStream subscribers that take batches of a group, with a pipeline out and one transaction to the store.

Run by the suite: faststream_batch.py SOCKET SHRINK_URL STORE.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent))

import common
import orjson
from faststream import AckPolicy, FastStream
from faststream.redis import RedisBroker, StreamSub
from faststream.redis.annotations import RedisStreamMessage
from redis.asyncio import Redis

GROUP = "faststream"


async def _raw(message: Any) -> Any:  # noqa: ANN401 - the library's message
    """Leave the body as it is: the handler decodes it."""
    return message.raw_message


async def main() -> None:
    """Serve until killed."""
    url = f"unix://{sys.argv[1]}"
    shrink, store = common.Shrink(sys.argv[2]), common.Store(sys.argv[3])
    client = Redis.from_url(url, protocol=2)
    broker = RedisBroker(url, logger=None)

    def subscribe(stream: str) -> None:
        sub = StreamSub(stream, group=GROUP, consumer="1", batch=True, max_records=common.BATCH, last_id=">")

        @broker.subscriber(stream=sub, ack_policy=AckPolicy.MANUAL, decoder=_raw)
        async def handle(message: RedisStreamMessage) -> None:
            raw: Any = message.raw_message
            metrics = shrink.metrics
            events = [common.fused(fields[b"event"], stream, metrics) for fields in raw["data"]]
            store.add(events)
            async with client.pipeline(transaction=True) as pipe:
                for event in events:
                    pipe.xadd("SOC_EVENTS", {"event": orjson.dumps(event)})
                pipe.xack(stream, GROUP, *raw["message_ids"])
                await pipe.execute()

    for stream in common.STREAMS:
        await client.xgroup_create(stream, GROUP, id="0", mkstream=True)
        subscribe(stream)
    await FastStream(broker).run()


if __name__ == "__main__":
    asyncio.run(main())
