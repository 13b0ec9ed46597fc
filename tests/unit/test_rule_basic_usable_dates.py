"""Usable dates: which objects of a date were not measured."""

from __future__ import annotations

import polars as pl
import pytest

from tests.unit.rule_basic_harness import pack

KEYS = ("table", "column", "parent_table", "parent_column")
OBJECTS = pl.DataFrame(
    [
        ("stays", "ward_id", "wards", "id"),
        ("stays", "patient, visit", "visits", "patient, nr"),
        ("beds", "a", "b", "c"),
    ],
    schema=KEYS,
    orient="row",
)


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        ([], [False, False, False]),
        (["stays"], [True, True, False]),
        (["wards"], [True, False, False]),
        (["stays.ward_id"], [True, False, False]),
        (["stays.visit"], [False, True, False]),
        (["visits.nr"], [False, True, False]),
        (["stays.nr"], [False, False, False]),
        (["other", "*"], [True, True, True]),
    ],
)
def test_a_key_is_missing_with_its_table_its_parent_or_any_of_their_columns(
    names: list[str], missing: list[bool]
) -> None:
    """`*` is all, since the pack did not say which."""
    found = OBJECTS.select(pack.usable_dates.is_missing(KEYS, names))
    assert found.to_series().to_list() == missing


@pytest.mark.parametrize(("names", "missing"), [(["stays"], True), (["*"], True)])
def test_an_object_without_a_table_may_be_about_any(names: list[str], missing: bool) -> None:
    """Such as the database."""
    found = pl.DataFrame({"version": ["1"]}).select(pack.usable_dates.is_missing(("version",), names))
    assert found.to_series().to_list() == [missing]
