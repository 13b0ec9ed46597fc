"""The series that usual values are judged by, read from what metric pack basic stores, and the dates that count."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from psycopg import sql

from tests.integration.pack_harness import Base
from tests.integration.store_harness import SLUG, Nights, column, measured, nights
from tests.pack_modules import load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.services import Database

pack = load(("transfer", "usable_dates", "usual_series"), "rule-packs/basic")
dates_of, series = pack.usable_dates.dates, pack.usual_series
NAN = float("nan")
SAMPLED = ("metric_basic", "metric_basic_table")
FIRST = dt.date(2026, 3, 2)

PLAIN = """SELECT m.{} FROM generate_series(%s::date, %s::date, '1 day') d LEFT JOIN metric_basic m
    ON m."date" = d AND m."table" = %s AND m."column" = %s AND (m.sample_rows IS NULL) = (
        SELECT sample_rows IS NULL FROM metric_basic n
        WHERE n."table" = m."table" AND n."column" = m."column" AND n."date" = %s)
    ORDER BY d"""


@pytest.fixture
def base(database: Database, tmp_path: Path) -> Base:
    """An HDM base, in the database of fixture `database`."""
    return Base(database, tmp_path)


@pytest.fixture
def written(base: Base) -> Iterator[Nights]:
    """Nights of a ward."""
    with nights(base) as made:
        yield made


def day(number: int) -> dt.date:
    return FIRST + dt.timedelta(number)


def ends(base: Base, number: int, status: str = "success", missing: tuple[str, ...] = ()) -> None:
    """A run of metric pack basic for this date is in the ledger."""
    base.execute(
        """INSERT INTO hdm_pack_run (kind, pack, pack_version, endpoint, metric_date, environment, dag_id, run_id,
               task_id, try_number, status, reported, finished_at, incomplete)
           VALUES ('metric', 'basic', '1.0', %s, %s, 'test', 'dag', 'run', 'task', 1, %s, true, now(), %s)""",
        *(SLUG, day(number), status, json.dumps(missing)),
    )


def night(written: Nights, number: int, empty: int | None, status: str = "success", **more: Any) -> None:
    """Two columns of a table: `weight` with so many nulls, and `height` with 7."""
    columns = {"weight": column(na_values=empty), "height": column(na_values=7)}
    written.write(str(day(number)), [measured("stays", columns, **more)])
    if status:
        ends(written.base, number, status)


COLUMNS = pl.DataFrame({"table": ["stays", "stays"], "column": ["weight", "height"]})


def read(
    base: Base,
    number: int,
    metric: str = "na_values",
    objects: pl.DataFrame = COLUMNS,
    relation: str = "metric_basic",
) -> tuple[list[dt.date], list[list[float]]]:
    """The dates, and the values of the objects."""
    with base.database.connect() as connection:
        known = dates_of(connection, SLUG, day(number), series.DATES)
        (block,) = series.Series(connection, SLUG, known, {relation: [metric]}, SAMPLED).blocks(
            relation, metric, objects
        )
    assert block.objects.tolist() == list(range(objects.height or 1))
    return [date.day for date in known], block.values.tolist()


def has(values: list[list[float]]) -> list[list[bool]]:
    """Where there is a value."""
    return (~np.isnan(np.array(values))).tolist()


def test_metrics_are_read_by_object_and_date(written: Nights) -> None:
    for number in range(4):
        night(written, number, 10 + number)
    found, values = read(written.base, 3)
    assert found == [day(number) for number in range(4)]
    assert values == [[10, 11, 12, 13], [7, 7, 7, 7]]
    assert not np.any(has(read(written.base, 3, "percent_na_values")[1]))


def test_all_metrics_of_a_relation_are_read_by_one_copy(written: Nights) -> None:
    """Of all objects, whichever are asked for first."""
    for number in range(3):
        night(written, number, 10 + number)
    with written.base.database.connect() as connection:
        known = dates_of(connection, SLUG, day(2), series.DATES)
        announced = {"metric_basic": ["na_values", "value_counts"]}
        found = series.Series(connection, SLUG, known, announced, SAMPLED)
        (first,) = found.blocks("metric_basic", "na_values", COLUMNS)
        connection.execute("DELETE FROM metric_basic")
        (second,) = found.blocks("metric_basic", "value_counts", COLUMNS[::-1])
        (one,) = found.blocks("metric_basic", "na_values", COLUMNS[1:])
        connection.rollback()
    assert first.values.tolist() == [[10, 11, 12], [7, 7, 7]]
    assert second.values.tolist() == [[10, 10, 10]] * 2
    assert one.values.tolist() == [[7, 7, 7]]


def test_of_few_objects_only_their_rows_are_read(written: Nights) -> None:
    """And what has the same name in another table is not one of them."""
    wards = {f"ward{number}": {"weight": column(na_values=number)} for number in range(20)}
    for number in range(2):
        written.write(str(day(number)), wards)
        ends(written.base, number)
    some = pl.DataFrame({"table": ["ward7"], "column": ["weight"]})
    assert read(written.base, 1, objects=some)[1] == [[7, 7]]
    with written.base.database.connect() as connection:
        found = series.Series(
            connection, SLUG, dates_of(connection, SLUG, day(1), 84), {"metric_basic": ["na_values"]}, SAMPLED
        )
        list(found.blocks("metric_basic", "na_values", some))
        assert not found._kept
    gone = pl.DataFrame({"table": ["ward7", "ward1"], "column": ["weight", "height"]})
    assert read(written.base, 1, objects=gone)[1][0] == [7, 7]
    assert has(read(written.base, 1, objects=gone)[1])[1] == [False, False]


def test_only_dates_with_whole_metrics_count(written: Nights) -> None:
    """A failed run, a run that is not in the ledger, one that was repeated, and later dates."""
    for number, status in enumerate(("success", "failed", "", "success", "success", "success")):
        night(written, number, number, status)
    ends(written.base, 3, "failed")
    ends(written.base, 0, "failed")
    ends(written.base, 0, "success")
    found, values = read(written.base, 4)
    assert found == [day(0), day(4)]
    assert values[0] == [0, 4]


def test_a_partial_date_counts_for_what_was_measured(written: Nights) -> None:
    night(written, 0, 1, "")
    ends(written.base, 0, "partial", ("stays.weight",))
    night(written, 1, 2, "")
    ends(written.base, 1, "partial", ("stays",))
    night(written, 2, 3, "")
    ends(written.base, 2, "partial", ("patients", "stays.name"))
    night(written, 3, 4)
    found, values = read(written.base, 3)
    assert len(found) == 4
    assert has(values) == [[False, False, True, True], [True, False, True, True]]
    values = read(written.base, 3, "columns_count", pl.DataFrame({"table": ["stays"]}), "metric_basic_table")[1]
    assert has(values) == [[True, False, True, True]]


def test_a_partial_date_that_names_nothing_counts_for_nothing(written: Nights) -> None:
    """But it is judged, if it is the last: the gate decides about that."""
    night(written, 0, 1)
    night(written, 1, 2, "partial")
    night(written, 2, 3)
    found, values = read(written.base, 2)
    assert found == [day(0), day(2)]
    assert np.all(has(values))
    assert read(written.base, 1)[0] == [day(0), day(1)]


def test_totals_of_a_partial_date_do_not_count(written: Nights) -> None:
    """The rows of a database without one of its tables are no baseline for it."""
    night(written, 0, 1, "")
    ends(written.base, 0, "partial", ("patients",))
    night(written, 1, 2)
    night(written, 2, 3)
    values = read(written.base, 2, "columns_count", pl.DataFrame(), "metric_basic_version")[1]
    assert values[0][1:] == [2, 2]
    assert has(values) == [[False, True, True]]


def test_a_date_that_is_measured_again_late_or_backfilled_counts_as_it_is(written: Nights) -> None:
    night(written, 0, 10)
    night(written, 2, 12)
    night(written, 3, 13)
    assert read(written.base, 3)[1][0] == [10, 12, 13]
    night(written, 0, 20)
    night(written, 1, 21)
    assert read(written.base, 3)[1][0] == [20, 21, 12, 13]


def test_samples_are_compared_with_samples(written: Nights) -> None:
    """Of tables, columns, and what is of columns."""
    night(written, 0, 1, sample_rows=5)
    night(written, 1, 2)
    night(written, 2, 3, sample_rows=5)
    written.base.execute('UPDATE metric_basic SET sample_rows = 5 WHERE "date" <> %s', day(1))
    assert has(read(written.base, 2)[1])[0] == [True, False, True]
    written.base.execute(
        """INSERT INTO metric_basic_levels
               (endpoint, "database", dbversion, "table", "column", "date", value, frequency)
           SELECT endpoint, "database", dbversion, "table", "column", "date", 'x', 9 FROM metric_basic"""
    )
    levels = COLUMNS.with_columns(value=pl.lit("x"))
    assert has(read(written.base, 2, "frequency", levels, "metric_basic_levels")[1])[0] == [True, False, True]


def test_views_are_read_like_tables(written: Nights) -> None:
    """They have no sample_rows of their own."""
    for number in range(4):
        night(written, number, 10 + number)
    with written.base.database.connect() as connection:
        query = """SELECT evol_mean28_na_values FROM metric_basic_trend WHERE "column" = 'weight' ORDER BY "date\""""
        expected = [NAN if one is None else one for (one,) in connection.execute(query.encode()).fetchall()]
    assert len(expected) == 4
    assert has([expected]) == [[False, True, True, True]]
    found = read(written.base, 3, "evol_mean28_na_values", relation="metric_basic_trend")[1]
    np.testing.assert_array_equal(found[0], expected)
    written.base.execute('UPDATE metric_basic_table SET sample_rows = 5 WHERE "date" = %s', day(2))
    found = read(written.base, 3, "evol_mean28_na_values", relation="metric_basic_trend")[1]
    assert has(found)[0] == [False, True, False, True]


def test_an_object_that_was_not_there_or_was_dropped_has_no_history(written: Nights) -> None:
    written.write(str(day(0)), {"stays": {"height": column(na_values=7)}})
    ends(written.base, 0)
    night(written, 1, 1)
    written.write(str(day(2)), {"stays": {"height": column(na_values=7)}})  # weight is dropped
    ends(written.base, 2)
    night(written, 3, 4)
    found, values = read(written.base, 3)
    assert len(found) == 4
    assert has(values) == [[False, True, False, True], [True] * 4]


@pytest.mark.parametrize("kept", [1_000, 5], ids=["kept", "read again"])
def test_objects_of_many_tables_are_read_in_blocks(written: Nights, monkeypatch: pytest.MonkeyPatch, kept: int) -> None:
    """Names with characters that COPY escapes; each object once, whether all series are kept or are too many."""
    tables = {
        f"t{number}\\n\t'": {f"c{one}": column(na_values=10 * number + one) for one in range(3)} for number in range(5)
    }
    for number in range(2):
        written.write(str(day(number)), tables)
        ends(written.base, number)
    places = [(table, name) for table, columns in tables.items() for name in columns]
    objects = pl.DataFrame(places, schema=["table", "column"], orient="row").sample(fraction=1, shuffle=True, seed=3)
    monkeypatch.setattr(series, "BLOCK_CELLS", 2 * 2 * 7)  # seven objects
    monkeypatch.setattr(series, "KEPT_CELLS", kept)
    with written.base.database.connect() as connection:
        known = dates_of(connection, SLUG, day(1), series.DATES)
        reader = series.Series(connection, SLUG, known, {"metric_basic": ["na_values", "value_counts"]}, SAMPLED)
        found = list(reader.blocks("metric_basic", "na_values", objects))
        others = list(reader.blocks("metric_basic", "na_values", objects[2:4]))
        (nothing,) = reader.blocks("metric_basic", "na_values", objects[:0])
    assert [len(block.objects) for block in found] == ([15] if kept > 5 else [6, 6, 3])
    assert sum(len(block.objects) for block in others) == 2
    assert nothing.values.shape == (0, 2)
    assert sorted(np.concatenate([block.objects for block in found]).tolist()) == list(range(15))
    for some, block in [(objects, one) for one in found] + [(objects[2:4], one) for one in others]:
        for row, values in zip(block.objects.tolist(), block.values, strict=True):
            table, name = some.row(row)
            assert values.tolist() == [tables[table][name]["na_values"]] * 2


@pytest.mark.parametrize("cells", [6_000_000, 40])
def test_series_are_what_plain_queries_find(written: Nights, monkeypatch: pytest.MonkeyPatch, cells: int) -> None:
    """One object and date at a time: with nulls, gaps, columns that come and go, and dates that were sampled."""
    draw = np.random.default_rng(5)
    for number in range(6):
        tables = {
            f"t{table}": {
                f"c{one}": column(na_values=int(draw.integers(3)) or None) for one in range(4) if draw.random() < 0.8
            }
            for table in range(5)
        }
        written.write(str(day(number)), {table: columns for table, columns in tables.items() if columns})
        ends(written.base, number)
    written.base.execute('UPDATE metric_basic SET sample_rows = 5 WHERE hashtext("column" || "date") & 3 = 0')
    monkeypatch.setattr(series, "BLOCK_CELLS", cells)
    monkeypatch.setattr(series, "FEW", 0)
    with written.base.database.connect() as connection:
        rows = connection.execute(
            """SELECT "table", "column" FROM metric_basic
               WHERE "date" = %s AND schema_change IS DISTINCT FROM 'dropped'""",
            [day(5)],
        ).fetchall()
        objects = pl.DataFrame(rows, schema=["table", "column"], orient="row")
        reader = series.Series(
            connection,
            SLUG,
            dates_of(connection, SLUG, day(5), series.DATES),
            {"metric_basic": ["na_values", "value_counts"]},
            SAMPLED,
        )
        for metric in ("value_counts", "na_values"):
            found = {}
            for block in reader.blocks("metric_basic", metric, objects):
                found.update(zip(block.objects.tolist(), block.values.tolist(), strict=True))
            for row, place in enumerate(rows):
                expected = connection.execute(
                    sql.SQL(PLAIN).format(sql.Identifier(metric)), [day(0), day(5), *place, day(5)]
                ).fetchall()
                np.testing.assert_array_equal(found[row], [NAN if one is None else one for (one,) in expected])


def test_the_same_series_is_kept_once() -> None:
    """Bit for bit: an object without any value has one of its own."""
    values = np.array([[1, 2, 1, NAN, 0.0], [3, 3, 3, NAN, 5], [NAN, 4, NAN, NAN, -0.0]])
    different, which = series._different(values)
    np.testing.assert_array_equal(different[which], values.T)
    assert which[0] == which[2]
    assert len(different) == 5
    assert np.isnan(different[-1]).all()


def test_series_whose_digests_are_the_same_stay_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    unique = np.unique

    def worst(numbers: Any, **more: Any) -> Any:
        return unique(np.zeros_like(numbers), **more)

    monkeypatch.setattr(series.np, "unique", worst)
    values = np.array([[1.0, 2.0, 1.0], [3.0, 3.0, 3.0]])
    different, which = series._different(values)
    np.testing.assert_array_equal(different[which], values.T)


def test_objects_that_look_alike_are_told_apart_by_another_seed(
    written: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first seeds give all objects of a table one identity."""
    night(written, 0, 1)
    identity = series._Reader._identity

    def alike(reader: Any) -> Any:
        return identity(reader) if reader._seed == 2 else sql.SQL("1::bigint")

    monkeypatch.setattr(series._Reader, "_identity", alike)
    assert read(written.base, 0)[1] == [[1], [7]]
    monkeypatch.setattr(series, "SEEDS", 2)
    with pytest.raises(ValueError, match="metric_basic has objects that cannot be told apart"):
        read(written.base, 0)


def test_no_more_dates_are_read_than_needed(written: Nights) -> None:
    for number in range(5):
        night(written, number, number)
    with written.base.database.connect() as connection:
        found = dates_of(connection, SLUG, day(4), 3)
    assert [date.day for date in found] == [day(2), day(3), day(4)]


def test_baselines_start_anew_per_rule_and_object(base: Base) -> None:
    for values in (
        *((1, "", "", 3), (1, "stays", "", 5), (1, "stays", "weight", 4), (2, "stays", "height", 9)),
        *((3, "", "weight", 7), (3, "ward", "", 8), (3, "ward", "height", 9)),
    ):
        *place, number = values
        base.execute(
            "INSERT INTO rule_basic_baseline VALUES (%s, %s, %s, %s, %s)", place[0], SLUG, *place[1:], day(number)
        )
    with base.database.connect() as connection:
        starts = pack.usable_dates.since(connection, SLUG, day(9))
        assert pack.usable_dates.since(connection, "another", day(9)).is_empty()
        assert 2 not in pack.usable_dates.since(connection, SLUG, day(8))["id_rule"]  # not before its date
    objects = pl.DataFrame({"table": ["stays", "stays", "ward"], "column": ["weight", "height", "weight"]})

    def of(rule: int) -> list[int] | None:
        found = pack.usable_dates.since_of(starts, np.full(3, rule), objects)
        return None if found is None else [max(one - FIRST.toordinal(), -1) for one in found.tolist()]

    assert of(1) == [5, 5, 3]
    assert of(2) == [-1, 9, -1]
    assert of(3) == [7, -1, 8]
    assert of(4) is None
    found = pack.usable_dates.since_of(starts, np.array([1, 2, 3]), pl.DataFrame({"table": ["ward"] * 3}))
    assert [max(one - FIRST.toordinal(), -1) for one in found.tolist()] == [3, -1, 8]


def test_without_a_ledger_all_measured_dates_count(written: Nights) -> None:
    """Packs that run without hdm_airflow: until the first run that it records."""
    for number in range(3):
        night(written, number, number, "")
    assert read(written.base, 2)[0] == [day(0), day(1), day(2)]
    ends(written.base, 2)
    assert read(written.base, 2)[0] == [day(2)]
