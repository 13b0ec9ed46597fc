"""hdm_profile: what it computes across the columns of a row is what Python computes, however the bytes arrive."""

from __future__ import annotations

import random
import statistics
import struct
import tempfile
from itertools import pairwise
from typing import Any

import hdm_profile as hp
import pytest
from hdm_profile import Plan, Profile, ProfileError, Spec
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.hdm_profile_harness import PLENTY, copied

DAY = 86_400_000_000
FOLDER = tempfile.gettempdir()
SPECS = [
    *(Spec(hp.DATE, hp.PG_DATE), Spec(hp.DATETIME, hp.PG_TIMESTAMP), Spec(hp.INTEGER, hp.PG_INT4)),
    *(Spec(hp.FLOAT, hp.PG_FLOAT8), Spec(hp.TEXT, hp.PG_TEXT)),
]
PACKERS = [">i", ">q", ">i", ">d"]
PLAN = Plan(first_day=100, event=0, pairs=((0, 1), (2, 3), (3, 3)), codes=(4, 2), numbers=(3, 2), whole=True)
VALUES = (
    st.none() | st.integers(98, 116) | st.sampled_from([2**31 - 1, -(2**31)]),
    st.none() | st.integers(99 * DAY, 103 * DAY) | st.sampled_from([2**63 - 1, -(2**63)]),
    st.none() | st.integers(-2, 2),
    st.none() | st.sampled_from([-2.0, 0.5, 1.0, -0.0, 0.0]) | st.floats(-1e6, 1e6, allow_subnormal=False)
    | st.sampled_from([float("inf"), float("-inf"), float("nan")]),
    st.none() | st.sampled_from(["", "a", "é"]),
)  # fmt: skip
Row = tuple[Any, ...]
ROWS = st.lists(st.tuples(*VALUES), max_size=8).flatmap(
    lambda rows: st.lists(st.sampled_from(rows), max_size=20) if rows else st.just([])
)


def packed(rows: list[Row]) -> bytes:
    """As COPY sends them."""
    return copied(
        [
            [None if value is None else struct.pack(code, value) for code, value in zip(PACKERS, row, strict=False)]
            + [None if row[4] is None else row[4].encode()]
            for row in rows
        ]
    )


def counted(rows: list[Row], cuts: list[int], memory: int = PLENTY) -> Profile:
    """A profile of the rows."""
    one = Profile(SPECS, memory=memory, folder=FOLDER, plan=PLAN)
    stream = packed(rows)
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    for start, end in pairwise(places):
        one.feed_copy(stream[start:end])
    one.finish()
    return one


def is_finite(value: float | None) -> bool:
    return value is not None and abs(value) < float("inf")


@given(rows=ROWS, cuts=st.lists(st.integers(0, 10_000), max_size=4))
def test_python_counts_the_same(rows: list[Row], cuts: list[int]) -> None:
    """Days, the newest rows, pairs, numbers by level, rows that repeat."""
    one = counted(rows, cuts)
    days, newest, columns = one.days()
    of_day = [[row for row in rows if row[0] == 100 + i] for i in range(hp.DAYS)]
    assert days == list(map(len, of_day))
    assert newest == max((i for i in range(hp.DAYS) if days[i]), default=None)
    assert len(columns) == (len(SPECS) if newest is not None else 0)
    for i, found in enumerate(columns):
        values = [row[i] for row in of_day[newest or 0] if row[i] is not None]
        assert found.values == len(values)
        numbers = list(map(len, values)) if i == 4 else list(filter(is_finite, values)) if i in {2, 3} else []
        assert found.finite == len(numbers)
        assert found.mean == (pytest.approx(statistics.fmean(numbers), rel=1e-12, abs=1e-6) if numbers else None)
        wanted = pytest.approx(statistics.stdev(numbers), rel=1e-9, abs=1e-6) if len(numbers) > 1 else None
        assert found.deviation == wanted
    sound = [
        (row[0], row[1] // DAY) for row in rows if row[0] and row[1] and 90 < row[0] < 120 and 0 < row[1] < 999 * DAY
    ]
    numbers = [(float(row[2]), row[3]) for row in rows if row[2] is not None and is_finite(row[3])]
    selves = [(row[3], row[3]) for row in rows if is_finite(row[3])]
    for found_pair, values in zip(one.pairs(), (sound, numbers, selves), strict=True):
        assert found_pair == (len(values), sum(a > b for a, b in values), sum(a == b for a, b in values))
    for place, column in enumerate(PLAN.codes):
        cells = one.cells(place)
        assert cells is not None
        levels = {None if row[column] is None else str(row[column]) for row in rows} | {None}
        assert set(cells) == levels
        for level, row_of_cells in cells.items():
            for number, cell in zip(PLAN.numbers, row_of_cells, strict=True):
                of_level = [row[number] for row in rows if level == (None if row[column] is None else str(row[column]))]
                finite = list(filter(is_finite, of_level))
                assert cell.values == len(finite)
                assert cell.mean == (pytest.approx(statistics.fmean(finite), abs=1e-6) if finite else None)
    assert one.repeats == len(rows) - len({tuple(map(comparable, row)) for row in rows})


def comparable(value: Any) -> Any:
    """Equal for equal values: NaN is one, and 0.0 is -0.0."""
    return "NaN" if value != value else value  # noqa: PLR0124  # only NaN is not itself


@pytest.mark.parametrize("memory", [1, 1 << 20, 1 << 30])
def test_repeats_are_counted_beyond_memory(memory: int) -> None:
    """Hashes of rows go to disk as those of texts; a column of different values needs none of that."""
    chance = random.Random(5)  # noqa: S311  # not a secret
    different = [struct.pack(">Q", chance.getrandbits(40)) for _ in range(60_000)]
    rows = [*different, *different[:7_000], *different[:3_000], *different[:1]]
    for values, wanted in ((rows, len(rows) - len(set(rows))), (sorted(set(rows)), 0)):
        one = Profile(
            [Spec(hp.INTEGER, hp.PG_INT8), Spec(hp.INTEGER, hp.PG_INT8)],
            memory=memory, folder=FOLDER, plan=Plan(whole=True),
        )  # fmt: skip
        one.feed_copy(copied([[value, struct.pack(">q", 3)] for value in values]))
        one.finish()
        assert one.repeats == wanted


def test_nulls_and_places_tell_rows_apart() -> None:
    """A null is no value; the same value in another column makes another row."""
    eight = struct.pack(">q", 8)
    one = Profile([Spec(hp.INTEGER, hp.PG_INT8)] * 2, memory=PLENTY, folder=FOLDER, plan=Plan(whole=True))
    one.feed_copy(copied([[eight, None], [None, eight], [eight, eight], [None, None], [None, None]]))
    one.finish()
    assert one.repeats == 1


def test_a_code_of_too_many_levels_has_no_cells() -> None:
    """256 are the most."""
    for levels in (hp.MOST_CELLS, hp.MOST_CELLS + 1):
        one = Profile(
            [Spec(hp.INTEGER, hp.PG_INT8)] * 2, memory=PLENTY, folder=FOLDER, plan=Plan(codes=(0,), numbers=(1,))
        )  # fmt: skip
        one.feed_copy(copied([[struct.pack(">q", i), struct.pack(">q", 2 * i)] for i in range(levels)]))
        one.finish()
        cells = one.cells(0)
        assert (cells is None) is (levels > hp.MOST_CELLS)
        if cells is not None:
            assert cells["7"] == ((1, 14.0),)


def test_nothing_is_answered_without_a_plan_or_too_early() -> None:
    """An error, not a crash."""
    plain = Profile(SPECS, memory=PLENTY, folder=FOLDER)
    planned = Profile(SPECS, memory=PLENTY, folder=FOLDER, plan=PLAN)
    plain.finish()
    assert not plain.has_plan
    for one in (plain, planned):
        with pytest.raises(ValueError, match="plan"):
            one.days()
    planned.close()
    with pytest.raises((ValueError, ProfileError)):
        planned.finish()
