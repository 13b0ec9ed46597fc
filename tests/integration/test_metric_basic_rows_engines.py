"""Metrics across the columns of a row on PostgreSQL, MariaDB and SQLite: the same numbers, as Python works them out."""

from __future__ import annotations

import datetime as dt
import sqlite3
import statistics
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.integration.metric_basic_harness import EXACT, TODAY, moment
from tests.integration.pack_harness import Row, mariadb_endpoint, sqlite_endpoint
from tests.integration.rows_oracle import is_close

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.services import MariaDB
    from tests.integration.metric_basic_harness import Ward

DATE = dt.date.fromisoformat(TODAY)
FIRST = DATE - dt.timedelta(days=14)
# Column name -> the type on PostgreSQL, MariaDB and SQLite, values
COLUMNS: dict[str, tuple[str, str, str, st.SearchStrategy[Any]]] = {
    "dose": ("numeric(14,3)", "decimal(14,3)", "DECIMAL(14,3)", st.decimals(-100, 100, places=3)),
    "ratio": (
        "double precision",
        "double",
        "REAL",
        st.sampled_from([0.5, -2.25]) | st.floats(-1e6, 1e6, allow_subnormal=False),
    ),
    "unit_code": ("varchar(9)", "varchar(9)", "VARCHAR(9)", st.sampled_from(["mg", "MG", "g", "µg", ""])),
    "test_concept_id": ("int", "int", "INTEGER", st.integers(1, 3)),
    "note": ("text", "text", "TEXT", st.text("aé😀", max_size=5)),
    "created_at": (
        "timestamp",
        "datetime",
        "DATETIME",
        st.datetimes(moment(2026, 1, 15), moment(2026, 2, 2)).map(lambda d: d.replace(microsecond=0)),
    ),
    "start_date": ("date", "date", "DATE", st.dates(dt.date(2026, 1, 15), dt.date(2026, 1, 18))),
    "end_date": ("date", "date", "DATE", st.dates(dt.date(2026, 1, 15), dt.date(2026, 1, 18))),
    "min_level": ("int", "int", "INTEGER", st.integers(-2, 2)),
    "max_level": ("int", "int", "INTEGER", st.integers(-2, 2)),
}
ROWS = st.lists(
    st.fixed_dictionaries({name: st.none() | values for name, (*_, values) in COLUMNS.items()}), max_size=12
)
# Rows of which some are drawn twice
TABLES = ROWS.flatmap(lambda rows: st.lists(st.sampled_from(rows), max_size=30) if rows else st.just([]))


def day(value: Any) -> dt.date:
    return value.date() if isinstance(value, dt.datetime) else value


def expected_days(rows: list[Row]) -> dict[dt.date, int]:
    found = Counter(day(row["created_at"]) for row in rows if row["created_at"] is not None)
    return {one: found[one] for one in (FIRST + dt.timedelta(days=i) for i in range(14))}


def expected_newest(rows: list[Row], newest: dt.date | None, column: str) -> Row:
    names = ("newest_values", "newest_na_values", "newest_mean", "newest_deviation")
    if newest is None:
        return dict.fromkeys(names)
    values = [row[column] for row in rows if row["created_at"] is not None and day(row["created_at"]) == newest]
    present = [value for value in values if value is not None]
    numbers = [
        float(len(value) if isinstance(value, str) else value) for value in present if not hasattr(value, "year")
    ]
    mean = statistics.fmean(numbers) if numbers else None
    deviation = statistics.stdev(numbers) if len(numbers) > 1 else None
    return dict(zip(names, (len(present), len(values) - len(present), mean, deviation), strict=True))


def expected_pair(rows: list[Row], one: str, other: str) -> tuple[int, int, int]:
    values = [(row[one], row[other]) for row in rows if row[one] is not None and row[other] is not None]
    if len({type(value) for pair in values for value in pair}) > 1:  # a date and a datetime
        values = [(day(a), day(b)) for a, b in values]
    return len(values), sum(a > b for a, b in values), sum(a == b for a, b in values)


def expected_numbers(rows: list[Row], number: str, code: str) -> dict[str, tuple[int, float]]:
    found: dict[str, list[float]] = {}
    for row in rows:
        if row[number] is not None and row[code] is not None:
            found.setdefault(str(row[code]), []).append(float(row[number]))
    return {level: (len(values), statistics.fmean(values)) for level, values in found.items()}


@pytest.fixture
def engines(ward: Ward, mariadb: MariaDB, mariadb_database: str, tmp_path: Path) -> Iterator[Any]:
    """A function that makes one table of rows on the three engines, and the three endpoints."""
    path = tmp_path / "lab.sqlite"
    endpoints = [ward.endpoint, mariadb_endpoint(mariadb, mariadb_database), sqlite_endpoint(path)]
    connections = [ward.database.connect(), mariadb.connect(mariadb_database), sqlite3.connect(path)]
    plain = {Decimal: float, dt.date: str, dt.datetime: str}  # what SQLite takes

    def fill(rows: list[Row], types: dict[str, str] | None = None) -> list[Row]:
        for number, connection in enumerate(connections):
            mark = "?" if number == 2 else "%s"
            cursor = connection.cursor()
            cursor.execute("DROP TABLE IF EXISTS made")
            declared = {name: column[number] for name, column in COLUMNS.items()}
            declared |= (types or {}) if number == 2 else {}
            cursor.execute(f"CREATE TABLE made ({', '.join(f'{name} {one}' for name, one in declared.items())})")
            for row in rows:
                values = [row[name] for name in COLUMNS]
                if number == 2:
                    values = [plain[type(value)](value) if type(value) in plain else value for value in values]
                cursor.execute(f"INSERT INTO made VALUES ({', '.join([mark] * len(values))})", values)
            connection.commit()
        return [{**endpoint, "config": EXACT} for endpoint in endpoints]

    yield fill
    for connection in connections:
        connection.close()


def assert_as_expected(ward: Ward, endpoint: Row, rows: list[Row]) -> None:
    """Every number of one endpoint."""

    def stored(table: str) -> list[Row]:
        return ward.base.rows(f'SELECT * FROM {table} WHERE "date" = %s AND endpoint = %s', TODAY, endpoint["slug"])

    days = expected_days(rows)
    assert {row["day"]: row["rows_count"] for row in stored("metric_basic_day")} == days, endpoint["type"]
    newest = max((one for one, count in days.items() if count), default=None)
    (table,) = stored("metric_basic_table")
    assert table["event_column"] == "created_at"
    assert (table["newest_day"], table["newest_rows"]) == (newest, days[newest] if newest else None)
    distinct = {tuple(row[name] for name in COLUMNS) for row in rows}
    assert table["duplicate_rows"] == len(rows) - len(distinct), endpoint["type"]
    for (_, column), row in ward.base.metrics(TODAY, endpoint).items():
        for name, value in expected_newest(rows, newest, column).items():
            assert is_close(row[name], value, 1e6 if "ratio" in column else 100), (endpoint["type"], column, name)
    pairs = {(row["column"], row["other_column"]): row for row in stored("metric_basic_pair")}
    assert set(pairs) == {
        *(("start_date", "end_date"), ("min_level", "max_level")),
        *(("created_at", "start_date"), ("created_at", "end_date")),
    }
    for place, row in pairs.items():
        counts = row["both_count"], row["greater_count"], row["equal_count"]
        assert counts == expected_pair(rows, *place), (endpoint["type"], place)
    found: dict[tuple[str, str], dict[str, tuple[int, float]]] = {}
    for row in stored("metric_basic_number_by_level"):
        cells = found.setdefault((row["column"], row["level_column"]), {})
        cells[row["value"]] = row["values_count"], row["mean_num"]
    for number in ("dose", "ratio", "min_level", "max_level"):
        for code in ("unit_code", "test_concept_id"):
            wanted = expected_numbers(rows, number, code)
            cells = found.pop((number, code), {})
            assert {level: count for level, (count, _) in cells.items()} == {k: v[0] for k, v in wanted.items()}
            assert all(is_close(mean, wanted[level][1], 1e6) for level, (_, mean) in cells.items()), (number, code)
    assert not found


@settings(
    max_examples=12,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rows=TABLES)
def test_three_engines_count_across_columns_as_python_does(ward: Ward, engines: Any, rows: list[Row]) -> None:
    """With nulls, rows that repeat, and none at all."""
    endpoints = engines(rows)
    run = ward.base.measure(TODAY, *endpoints)
    assert run.exit_code == 0, run.output
    for endpoint in endpoints:
        assert_as_expected(ward, endpoint, rows)


def sound_row(number: int) -> Row:
    """One row without nulls; 40 of them cover six days."""
    start = dt.date(2026, 1, 20) + dt.timedelta(days=number % 3)
    return {
        "dose": Decimal(number) / 8,
        "ratio": number * 1.5,
        "unit_code": ("mg", "g")[number % 2],
        "test_concept_id": number % 3,
        "note": "x" * (number % 4),
        "created_at": moment(2026, 1, 20 + number % 6, number % 24),
        "start_date": start,
        "end_date": start + dt.timedelta(days=number % 5 - 1),
        "min_level": number % 7,
        "max_level": number % 5,
    }


@pytest.mark.parametrize(
    "types",
    [
        {"dose": "", "note": "INTEGER"},  # numbers without a type, texts in a column of numbers
        {"created_at": "DATE"},  # with a time of day, so that it is a datetime
        {"ratio": "INTEGER"},
        dict.fromkeys(("dose", "ratio", "test_concept_id", "min_level", "max_level"), ""),
    ],
    ids=["untyped", "datetimes in a DATE", "reals in INTEGER", "mostly untyped"],
)
def test_values_that_contradict_their_type_in_sqlite_are_counted_alike(
    ward: Ward, engines: Any, types: dict[str, str]
) -> None:
    """The table is read again, by what its values are."""
    rows = [sound_row(number % 40) for number in range(45)]
    endpoints = engines(rows, types)
    run = ward.base.measure(TODAY, endpoints[2])
    assert run.exit_code == 0, run.output
    assert_as_expected(ward, endpoints[2], rows)


def test_an_event_column_of_another_type_than_declared_tells_the_newest_rows_of_all_columns(
    ward: Ward, tmp_path: Path
) -> None:
    """SQLite: a DATE with times of day is read again as a datetime, and with it the newest day of every column."""
    path = tmp_path / "visits.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE visit (id INTEGER PRIMARY KEY, created_at DATE, note TEXT, weight REAL)")
        rows = [(f"2026-01-20 {'10:00:00' * (i % 2)}", "old", 1.5) for i in range(30)]
        rows += [("2026-01-29 08:00:00", "newest", None if i % 3 else 80.0) for i in range(30)]
        connection.executemany("INSERT INTO visit (created_at, note, weight) VALUES (?, ?, ?)", rows)
    connection.close()
    run = ward.base.measure(TODAY, {**sqlite_endpoint(path), "config": EXACT})
    assert run.exit_code == 0, run.output
    found = {column: row for (_, column), row in ward.base.metrics(TODAY, sqlite_endpoint(path)).items()}
    assert found["created_at"]["infered_data_type"] == "datetime"
    assert {name: (row["newest_values"], row["newest_na_values"]) for name, row in found.items()} == {
        **dict.fromkeys(("id", "created_at", "note"), (30, 0)),
        "weight": (10, 20),
    }
    assert (found["note"]["newest_mean"], found["weight"]["newest_mean"]) == (6, 80)


KEYED = {
    "primary_pair": ("a int NOT NULL, b int NOT NULL, PRIMARY KEY (a, b)", None),
    "unique_pair": ("a int NOT NULL, b int NOT NULL, UNIQUE (b, a)", None),
    "unique_nullable": ("a int NOT NULL, b int, UNIQUE (b, a)", 1),
    "whole_key": ("a INTEGER PRIMARY KEY, b int", None),
    "indexed": ("a int, b int", 1),
}


def test_keys_without_nulls_rule_repeated_rows_out(
    ward: Ward, mariadb: MariaDB, mariadb_database: str, tmp_path: Path
) -> None:
    """Of several columns, too; a unique constraint lets rows with nulls repeat."""
    path = tmp_path / "keys.sqlite"
    endpoints = [ward.endpoint, mariadb_endpoint(mariadb, mariadb_database), sqlite_endpoint(path)]
    for connection in (ward.database.connect(), mariadb.connect(mariadb_database), sqlite3.connect(path)):
        cursor = connection.cursor()
        for name, (columns, repeats) in KEYED.items():
            cursor.execute(f"CREATE TABLE {name} ({columns})")
            cursor.execute(f"INSERT INTO {name} VALUES (1, {'NULL' if repeats else 1})")
            cursor.execute(f"INSERT INTO {name} VALUES ({1 if repeats else 2}, {'NULL' if repeats else 1})")
        connection.commit()
        connection.close()
    run = ward.base.measure(TODAY, *({**endpoint, "config": EXACT} for endpoint in endpoints))
    assert run.exit_code == 0, run.output
    for endpoint in endpoints:
        rows = ward.base.rows("SELECT * FROM metric_basic_table WHERE endpoint = %s", endpoint["slug"])
        found = {row["table"]: row["duplicate_rows"] for row in rows}
        assert found == {name: repeats for name, (_, repeats) in KEYED.items()}, endpoint["type"]


def test_zones_and_dates_that_are_none_fall_on_the_same_days(
    ward: Ward, mariadb: MariaDB, mariadb_database: str, tmp_path: Path
) -> None:
    """Days are those of UTC; a date that the calendar does not have is on no day, and is not compared."""
    path = tmp_path / "zones.sqlite"
    endpoints = [ward.endpoint, mariadb_endpoint(mariadb, mariadb_database), sqlite_endpoint(path)]
    statements: list[tuple[Any, list[str]]] = [
        (
            ward.database.connect(),
            [
                "CREATE TABLE z (loaded_at timestamptz, end_date date)",
                (
                    "INSERT INTO z VALUES ('2026-01-30 23:30-01', '2026-01-30'), ('2026-01-30 00:30+01', '2026-01-31'),"
                    " ('2026-01-29 12:00+00', NULL), ('infinity', '2026-01-31'), ('0044-03-15 BC', '2026-01-31')"
                ),
            ],
        ),
        (
            mariadb.connect(mariadb_database),
            [
                "SET SESSION sql_mode = ''",
                "SET SESSION time_zone = '+01:00'",
                "CREATE TABLE z (loaded_at timestamp NULL, end_date date)",
                (
                    "INSERT INTO z VALUES ('2026-01-31 01:30:00', '2026-01-30'), ('2026-01-30 00:30:00', '2026-01-31'),"
                    " ('2026-01-29 13:00:00', '0000-00-00'), ('0000-00-00 00:00:00', '2026-01-31'),"
                    " (NULL, '2026-01-31')"
                ),
            ],
        ),
        (
            sqlite3.connect(path),
            [
                "CREATE TABLE z (loaded_at TIMESTAMP, end_date DATE)",
                (
                    "INSERT INTO z VALUES ('2026-01-30T23:30:00-01:00', '2026-01-30'), ('2026-01-30 00:30:00+01:00',"
                    " '2026-01-31'), ('2026-01-29 12:00', '2026-02-30'), ('0000-00-00 00:00', '2026-01-31'),"
                    " (NULL, '2026-01-31')"
                ),
            ],
        ),
    ]
    for connection, texts in statements:
        cursor = connection.cursor()
        for text in texts:
            cursor.execute(text)
        connection.commit()
        connection.close()
    run = ward.base.measure(TODAY, *({**endpoint, "config": EXACT} for endpoint in endpoints))
    assert run.exit_code == 0, run.output
    for endpoint in endpoints:
        found = ward.base.rows("SELECT * FROM metric_basic_day WHERE endpoint = %s", endpoint["slug"])
        days = {row["day"].day: row["rows_count"] for row in found if row["rows_count"]}
        assert days == {29: 2}, (endpoint["type"], days)  # the first is on the metric date itself
        (pair,) = ward.base.rows("SELECT * FROM metric_basic_pair WHERE endpoint = %s", endpoint["slug"])
        counts = pair["both_count"], pair["greater_count"], pair["equal_count"]
        assert counts == (2, 1, 0), endpoint["type"]
