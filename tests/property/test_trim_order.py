"""The janitor's function compares entry ids as Python does, whatever their size."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dsmil.config import Settings
from dsmil.events.streams import StreamName
from dsmil.infrastructure.connection import connect
from dsmil.infrastructure.entries import id_order
from dsmil.infrastructure.trimming import ALL, SAVED_KEY, Trimmer, saved_field

_MOST = 2**64 - 1
#: Close neighbours around the limits of a Lua number, and anything else.
_PARTS = st.one_of(
    st.sampled_from([0, 1, 9, 10, 99, 2**53 - 1, 2**53, 2**53 + 1, _MOST - 1, _MOST]), st.integers(0, _MOST)
)
_IDS = st.builds("{}-{}".format, _PARTS, _PARTS)


@pytest.fixture(scope="module")
def trimmer(broker: object) -> Trimmer:
    client = connect(broker.url, Settings())  # type: ignore[attr-defined]
    client.flushall()
    # One entry, above every id that is compared: nothing is ever removed.
    client.xadd(StreamName.SOC_EVENTS, {"event": "last"}, id=f"{_MOST}-{_MOST}")
    made = Trimmer(client)
    made.prepare()
    return made


@given(ids=st.lists(_IDS, min_size=1, max_size=6), oldest=_IDS)
@example(ids=["9-0", "10-0"], oldest="100-0")
@example(ids=[f"5-{2**53}", f"5-{2**53 + 1}"], oldest=f"5-{2**53 + 2}")
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_least_of_all_ids_counts(trimmer: Trimmer, ids: list[str], oldest: str) -> None:
    client = trimmer._client
    client.delete(SAVED_KEY)
    stream = StreamName.SOC_EVENTS
    for number, entry_id in enumerate(ids):
        client.hset(SAVED_KEY, saved_field(f"store-{number}", stream), entry_id)
    client.hset(SAVED_KEY, saved_field("other", "L3_IN"), "0-1")  # of another stream: no say here
    least = min(ids, key=id_order)
    safe = trimmer.trim(stream, [], oldest=ALL, copied=True)
    assert safe.bound == least
    aged = trimmer.trim(stream, [], oldest=oldest, copied=True)
    assert aged.bound == min((least, oldest), key=id_order)
    assert (aged.holder == "") == (id_order(oldest) < id_order(least))
