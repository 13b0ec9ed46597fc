"""Metrics across the columns of a row, against plain SQL: days, newest rows, pairs, numbers by level, whole rows."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from tests.integration.metric_basic_harness import EXACT, TODAY, made_ward
from tests.integration.rows_oracle import RowOracle, is_close

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.services import Database, Postgres
    from tests.integration.metric_basic_harness import Ward
    from tests.integration.pack_harness import Row

ROWS = 20_000
DATE = dt.date.fromisoformat(TODAY)
NUMBER, LENGTH = "{c}", "length({c}::text)"
RATIO = "CASE i % 40 WHEN 0 THEN 'NaN' WHEN 1 THEN 'Infinity' ELSE random() + 1e9 END::float8"
ENDED = (
    "CASE i % 60 WHEN 0 THEN 'infinity' WHEN 1 THEN '0044-03-15 BC' WHEN 2 THEN '5874897-12-31'"
    " ELSE (date '2026-01-20' - (random() * 9)::int)::text END::date"
)
SEEN = (
    "CASE i % 60 WHEN 0 THEN 'infinity' WHEN 1 THEN '-infinity' WHEN 2 THEN '0044-03-15 BC'"
    " ELSE (timestamp '2026-01-20' - trunc(random() * 900) * interval '1 hour')::text END::timestamp"
)
# Column -> type, expression of row i, how the newest rows' mean is computed ('': there is none)
LABS: dict[str, tuple[str, str, str]] = {
    "note": ("text", "repeat('é', (random() * 30)::int)", LENGTH),
    "value": ("numeric(12,3)", "(random() * 1000 - 100)::numeric(12,3)", NUMBER),
    "exact": ("numeric", "CASE WHEN i % 50 = 0 THEN 'NaN' ELSE (random() * 1e6)::numeric * 1e12 + i END", NUMBER),
    "ratio": ("double precision", RATIO, NUMBER),
    "single": ("real", "(random() * 10)::real", NUMBER),
    "amount": ("bigint", "(random() * 1e15)::bigint", NUMBER),
    "unit_code": ("text", "(ARRAY['mg', 'g', 'µg', 'mmol', 'kg/m²'])[1 + (random() * 4.9)::int % 5]", LENGTH),
    "test_concept_id": ("integer", "3000000 + (random() * 40)::int", NUMBER),
    "kind_code": ("smallint", "(random() * 3)::int", NUMBER),
    "flag": ("boolean", "random() < 0.4", ""),
    "loaded_at": ("timestamptz", "timestamptz '2026-02-02 12:00+03' - random() * interval '22 days'", ""),
    "start_date": ("date", "date '2026-01-20' - (random() * 9)::int", ""),
    "end_date": ("date", ENDED, ""),
    "seen_at": ("timestamp", SEEN, ""),
    "low_limit": ("integer", "(random() * 9)::int", NUMBER),
    "high_limit": ("integer", "(random() * 9)::int", NUMBER),
    "range_min": ("integer", "(random() * 9)::int", NUMBER),
    "range_max": ("double precision", "CASE i % 70 WHEN 0 THEN float8 'NaN' ELSE (random() * 9)::int END", NUMBER),
    "birth_date": ("date", "date '1940-01-01' + (random() * 20000)::int", ""),
}  # fmt: skip
PAIRS = {
    ("start_date", "end_date"): "date",
    ("low_limit", "high_limit"): "integer",
    ("range_min", "range_max"): "float8",
    ("loaded_at", "seen_at"): "timestamp",
    ("end_date", "birth_date"): "date",
    ("seen_at", "birth_date"): "date",
    ("loaded_at", "start_date"): "date",
}


@pytest.fixture(scope="module")
def labs(postgres: Postgres, pack_base: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """A table without a key, some of whose rows occur twice, measured without suppression and, later, with it."""
    with made_ward(postgres, pack_base, tmp_path_factory.mktemp("labs")) as ward:
        columns = ", ".join(f"{name} {declared}" for name, (declared, *_) in LABS.items())
        drawn = ", ".join(f"CASE WHEN random() < 0.93 THEN {expression} END" for _, expression, _ in LABS.values())
        ward.execute(
            f"CREATE TABLE lab ({columns})",
            f"INSERT INTO lab SELECT {drawn} FROM generate_series(1, {ROWS}) i",
            "INSERT INTO lab SELECT * FROM lab LIMIT 700",
            "INSERT INTO lab SELECT * FROM lab LIMIT 100",
            "DELETE FROM lab WHERE loaded_at >= '2026-01-25' AND loaded_at < '2026-01-26'",
            "CREATE TABLE keyed (a int, b int NOT NULL, c date, UNIQUE (b, a), UNIQUE (b))",
            "CREATE TABLE loose (a int, b int, c date, UNIQUE (b, a))",
            "INSERT INTO loose VALUES (NULL, 1, '2026-01-30'), (NULL, 1, '2026-01-30'), (1, 1, NULL), (1, 2, NULL)",
            "CREATE TABLE half (a int, b json)",
            "CREATE TABLE none (started date, note text)",
            "CREATE VIEW shown AS SELECT note, loaded_at FROM lab",
        )
        run = ward.measure(TODAY, config=EXACT)
        assert (run.exit_code, run.only()["status"]) == (0, "ok"), run.output
        yield ward


@pytest.fixture
def oracle(labs: Ward) -> RowOracle:
    """Of the table of results."""
    return RowOracle(labs.rows, "lab", DATE)


def stored(ward: Ward, table: str, of_table: str = "lab", date: str = TODAY) -> list[Row]:
    """The rows of one of the pack's tables."""
    return ward.base.rows(f'SELECT * FROM {table} WHERE "date" = %s AND "table" = %s', date, of_table)


def test_days_are_those_of_the_event_column(labs: Ward, oracle: RowOracle) -> None:
    """The day in UTC; a day without rows is a zero; the metric date and the future are none of them."""
    found = stored(labs, "metric_basic_day")
    assert {row["column"] for row in found} == {"loaded_at"}
    wanted = oracle.days("loaded_at")
    assert {row["day"]: row["rows_count"] for row in found} == wanted
    assert len(wanted) == 14
    assert wanted[dt.date(2026, 1, 25)] == 0
    assert min(wanted) == dt.date(2026, 1, 17)


@pytest.mark.parametrize("column", LABS)
def test_newest_rows_are_measured_alone(labs: Ward, oracle: RowOracle, column: str) -> None:
    """Those of the newest day that has any."""
    table = labs.tables()["lab"]
    assert (table["event_column"], table["newest_day"], table["newest_rows"]) == (
        "loaded_at",
        *oracle.newest("loaded_at"),
    )
    found = labs.columns(table="lab")[column]
    wanted = oracle.of_newest("loaded_at", column, LABS[column][2])
    assert (found["newest_values"], found["newest_na_values"]) == (wanted["newest_values"], wanted["newest_na_values"])
    scale = abs(wanted["newest_mean"] or 0)
    assert is_close(found["newest_mean"], wanted["newest_mean"])
    if scale < 1e9:  # stddev_samp of doubles loses digits beyond
        assert is_close(found["newest_deviation"], wanted["newest_deviation"], scale)


def test_pairs_are_those_of_sql(labs: Ward, oracle: RowOracle) -> None:
    """Moments with moments, days with moments by the day, whole numbers exactly, others as doubles."""
    found = {(row["column"], row["other_column"]): row for row in stored(labs, "metric_basic_pair")}
    assert set(PAIRS) <= set(found)
    assert len(found) == 2 + 10  # of 5 columns with dates
    for (one, other), cast in PAIRS.items():
        row = found[one, other]
        assert (row["both_count"], row["greater_count"], row["equal_count"]) == oracle.pair(one, other, cast), (
            one,
            other,
        )
        assert row["greater_count"] > 0


def test_numbers_are_those_of_each_level(labs: Ward, oracle: RowOracle) -> None:
    """A code of units and the main code; never one of the codes."""
    found: dict[tuple[str, str], dict[str, tuple[int, float]]] = {}
    for row in stored(labs, "metric_basic_number_by_level"):
        cells = found.setdefault((row["column"], row["level_column"]), {})
        cells[row["value"]] = row["values_count"], row["mean_num"]
    assert {code for _, code in found} == {"unit_code", "test_concept_id"}
    assert {number for number, _ in found} == {
        *("value", "ratio", "single", "range_max", "exact", "amount", "low_limit", "high_limit"),
    }
    for (number, code), cells in found.items():
        wanted = oracle.by_level(number, code)
        assert {level: count for level, (count, _) in cells.items()} == {k: v[0] for k, v in wanted.items()}
        for level, (_, mean) in cells.items():
            assert is_close(mean, wanted[level][1]), (number, code, level)


def test_rows_that_repeat_another_are_counted(labs: Ward, oracle: RowOracle) -> None:
    """Unless a key without nulls rules it out, or a column cannot be compared."""
    tables = labs.tables()
    assert tables["lab"]["duplicate_rows"] == oracle.duplicates() > 700
    assert tables["shown"]["duplicate_rows"] == RowOracle(labs.rows, "shown", DATE).duplicates() > 700
    assert tables["keyed"]["duplicate_rows"] is None
    assert tables["loose"]["duplicate_rows"] == 1
    assert tables["half"]["duplicate_rows"] is None
    assert tables["none"]["duplicate_rows"] == 0


def test_a_table_without_rows_has_days_without_rows(labs: Ward) -> None:
    """And a column of codes without levels has none."""
    assert [row["rows_count"] for row in stored(labs, "metric_basic_day", "none")] == [0] * 14
    row = labs.tables()["none"]
    assert (row["event_column"], row["newest_day"], row["newest_rows"]) == ("started", None, None)
    assert labs.tables()["half"]["event_column"] == ""


def test_an_excluded_column_or_a_sample_leaves_no_whole_rows(labs: Ward) -> None:
    """Days and pairs are those of the sample."""
    labs.measure("2026-03-01", config={**EXACT, "exclude_columns": ["lab.note"], "tables": ["lab"]})
    assert labs.tables("2026-03-01")["lab"]["duplicate_rows"] is None
    config = {**EXACT, "limit_enabled": True, "search_results_limit": 2000, "tables": ["lab"]}
    run = labs.measure("2026-01-30", config=config)
    row = labs.tables("2026-01-30")["lab"]
    assert row["duplicate_rows"] is None, run.output
    assert row["event_column"] == "loaded_at"
    days = [one["rows_count"] for one in stored(labs, "metric_basic_day", date="2026-01-30")]
    assert 0 < sum(days) <= row["sample_rows"] < 4000
    pairs = stored(labs, "metric_basic_pair", date="2026-01-30")
    assert 0 < max(pair["both_count"] for pair in pairs) <= row["sample_rows"]


def test_a_wide_table_is_read_in_parts_and_compared_as_one(ward: Ward) -> None:
    """1,600 columns: the event column is in each part, what is compared in the first; whole rows are not known."""
    columns = ", ".join(f"c{i} smallint" for i in range(1594))
    ward.execute(
        f"CREATE TABLE wide (start_date date, {columns}, unit_code char(1), weight_value real, low_x smallint,"
        " high_x smallint, end_date date)",
        "INSERT INTO wide (start_date, c0, c900, c1593, unit_code, weight_value, low_x, high_x, end_date)"
        " SELECT date '2026-01-31' - i % 9, i, i, i, chr(97 + i % 3), i, i % 5, i % 4, date '2026-01-31' - i % 7"
        " FROM generate_series(1, 90) i",
    )
    run = ward.measure(TODAY, config=EXACT)
    assert (run.exit_code, run.only()["status"], run.only()["metrics"]) == (0, "ok", 1600), run.output
    oracle = RowOracle(ward.rows, "wide", DATE)
    table = ward.tables()["wide"]
    assert (table["event_column"], table["newest_day"], table["newest_rows"]) == (
        "start_date",
        dt.date(2026, 1, 30),
        10,
    )
    assert table["duplicate_rows"] is None
    found = ward.columns(table="wide")
    assert {row["newest_values"] + row["newest_na_values"] for row in found.values()} == {10}
    for column in ("c0", "c1", "c900", "c1593", "weight_value"):
        wanted = oracle.of_newest("start_date", column, NUMBER)
        assert {name: found[column][name] for name in wanted} == pytest.approx(wanted)
    days = {row["day"]: row["rows_count"] for row in stored(ward, "metric_basic_day", "wide")}
    assert days == oracle.days("start_date")
    pairs = {(row["column"], row["other_column"]): row for row in stored(ward, "metric_basic_pair", "wide")}
    assert set(pairs) == {("low_x", "high_x"), ("start_date", "end_date")}
    for place, row in pairs.items():
        assert (row["both_count"], row["greater_count"], row["equal_count"]) == oracle.pair(
            *place, "date" if "date" in place[0] else "integer"
        )
    cells = {row["value"]: row for row in stored(ward, "metric_basic_number_by_level", "wide")
             if row["column"] == "weight_value"}  # fmt: skip
    wanted_cells = oracle.by_level("weight_value", "unit_code")
    assert {level: (row["values_count"], row["mean_num"]) for level, row in cells.items()} == wanted_cells


def test_a_repeated_run_replaces_the_rows_of_its_date_and_those_of_dropped_tables_go(ward: Ward) -> None:
    """Each date has rows of its own; nothing of a table that is excluded or gone stays on the date."""
    kept = ("metric_basic_day", "metric_basic_pair", "metric_basic_number_by_level")
    for name in ("a", "b", "c"):
        ward.execute(
            f"CREATE TABLE {name} (start_date date, end_date date, unit_code text, weight real)",
            f"INSERT INTO {name} SELECT date '2026-01-30' - i % 3, date '2026-01-30', 'kg', i"
            " FROM generate_series(1, 60) i",
        )
    counts = 'SELECT "table", count(*) AS n FROM {} WHERE "date" = %s GROUP BY 1'

    def stored_tables(date: str) -> dict[str, dict[str, int]]:
        return {name: {row["table"]: row["n"] for row in ward.base.rows(counts.format(name), date)} for name in kept}

    ward.measure("2026-01-30")
    ward.measure(TODAY)
    before = stored_tables(TODAY)
    assert before == {
        "metric_basic_day": dict.fromkeys("abc", 14),
        "metric_basic_pair": dict.fromkeys("abc", 1),
        "metric_basic_number_by_level": dict.fromkeys("abc", 1),
    }
    ward.measure(TODAY)
    assert stored_tables(TODAY) == before
    ward.execute("DROP TABLE b", "ALTER TABLE c DROP COLUMN start_date", "ALTER TABLE c DROP COLUMN end_date")
    ward.measure(TODAY)
    assert stored_tables(TODAY)["metric_basic_day"] == {"a": 14}
    assert stored_tables(TODAY)["metric_basic_number_by_level"] == {"a": 1, "c": 1}
    ward.measure(TODAY, config={"exclude_tables": ["a"]})
    assert stored_tables(TODAY)["metric_basic_day"] == {}
    assert stored_tables("2026-01-30") == before


def test_low_counts_are_suppressed_by_default(ward: Ward) -> None:
    """Days, pairs, newest rows, and numbers of rare levels."""
    ward.execute(
        "CREATE TABLE visit (start_date date, end_date date, unit_code text, weight real)",
        "INSERT INTO visit SELECT date '2026-01-20', date '2026-01-20' + CASE WHEN i <= 3 THEN -1 ELSE i % 2 END,"
        " CASE WHEN i <= 2 THEN 'rare' WHEN i <= 20 THEN 'some' ELSE 'kg' END, i FROM generate_series(1, 60) i",
        "INSERT INTO visit VALUES ('2026-01-29', '2026-01-29', 'kg', 7), ('2026-01-29', '2026-01-29', 'kg', 8)",
        "CREATE TABLE stay AS SELECT * FROM visit",
        "INSERT INTO visit SELECT date '2025-01-01' + i, NULL, 'kg', i FROM generate_series(1, 20) i",
    )
    ward.measure(TODAY)
    followed = {row["day"].day: row["rows_count"] for row in stored(ward, "metric_basic_day", "stay")}
    assert (followed[20], followed[29], followed[28]) == (None, None, 0)  # 62 dates: 60 would tell that 2 are hidden
    days = {row["day"].day: row["rows_count"] for row in stored(ward, "metric_basic_day", "visit")}
    assert (days[20], days[29], days[28]) == (60, None, 0)
    table = ward.tables()["visit"]
    assert (table["newest_day"], table["newest_rows"]) == (dt.date(2026, 1, 29), None)
    (pair,) = stored(ward, "metric_basic_pair", "visit")
    assert (pair["both_count"], pair["greater_count"]) == (62, None)
    assert {row["value"] for row in stored(ward, "metric_basic_number_by_level", "visit")} == {"kg"}
    newest = {name: value for row in ward.columns(table="visit").values() for name, value in row.items()
              if name.startswith("newest_")}  # fmt: skip
    assert set(newest.values()) == {None}
