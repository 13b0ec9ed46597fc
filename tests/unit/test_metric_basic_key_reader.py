"""In which order foreign keys are counted that do not all fit into the time."""

from __future__ import annotations

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from tests.pack_modules import load

NAMES = ("patterns", "privacy", "tables", "foreign_keys", "inferred_keys", "key_values")
pack = load((*NAMES, "engines", "engines.key_query", "engines.engine", "key_reader"))


@given(st.integers(0, 30), st.dates(dt.date(2020, 1, 1), dt.date(2090, 1, 1)))
def test_each_key_is_the_first_after_as_many_nights(count: int, date: dt.date) -> None:
    """None is left out, and the same date has the same order."""
    keys = list(range(count))
    nights = [pack.key_reader.in_turns(keys, date + dt.timedelta(days=i)) for i in range(count)]
    assert {night[0] for night in nights} == set(keys)
    assert all(sorted(night) == keys for night in nights)
    assert pack.key_reader.in_turns(keys, date) == pack.key_reader.in_turns(keys, date)
