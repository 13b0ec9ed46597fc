"""One hospital on PostgreSQL, MariaDB and SQLite: the same numbers for the same rows, as Python works them out.

Python's statistics and collections are the oracle; test_metric_basic_pandas.py has another one.
"""

from __future__ import annotations

import datetime as dt
import math
import sqlite3
import statistics
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import shape_oracle
from tests.integration.metric_basic_harness import EXACT, TODAY, moment, sqlite_file
from tests.integration.pack_harness import Row, mariadb_endpoint, sqlite_endpoint
from tests.integration.sql_oracle import assert_same

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.services import MariaDB
    from tests.integration.metric_basic_harness import Ward

# Column name -> kind, and the type on PostgreSQL, MariaDB and SQLite
COLUMNS = {
    "whole": ("integer", "bigint", "bigint", "INTEGER"),
    "share": ("float", "double precision", "double", "REAL"),
    "price": ("float", "numeric(14,3)", "decimal(14,3)", "DECIMAL(14,3)"),
    "word": ("text", "varchar(80)", "varchar(80)", "VARCHAR(80)"),
    "memo": ("text", "text", "text", "TEXT"),
    "born": ("date", "date", "date", "DATE"),
    "seen": ("datetime", "timestamp", "datetime", "DATETIME"),
    "alive": ("boolean", "boolean", "boolean", "BOOLEAN"),
}

LETTERS = st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=("Cs",))
BROKEN = ("Ã©tÃ©", "MÃœLLER", "â€“", "5 Â°C", "\ufffd", "\x92", "\u00a0x", "N/A", "Non Renseigné", "xxx", "-", "ĐÃ")
TEXTS = st.sampled_from(["a", "A", "á", "a ", "", "%s", "'", '"', "\\", "😀", *BROKEN]) | st.text(LETTERS, max_size=12)
VALUES = {
    "whole": st.integers(-3, 3) | st.integers(-(2**63), 2**63 - 1),
    "share": st.sampled_from([0.1, 2.5]) | st.floats(-1e12, 1e12, allow_subnormal=False),
    "price": st.decimals(-(10**9), 10**9, places=3),
    "word": TEXTS,
    "memo": TEXTS,
    "born": st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1)),
    "seen": st.datetimes(moment(1900, 1, 1), moment(2100, 1, 1)).map(lambda d: d.replace(microsecond=0))
    | st.dates(dt.date(1900, 1, 1)).map(lambda day: dt.datetime.combine(day, dt.time())),
    "alive": st.booleans(),
}
TABLES = st.lists(st.fixed_dictionaries({name: st.none() | VALUES[name] for name in COLUMNS}), max_size=25)


def expected(values: list[Any], kind: str, date: dt.date) -> Row:
    """The metrics of one column, by the definitions of the original and nothing of the pack's."""
    present = [value for value in values if value is not None]
    frequencies = [count for _, count in Counter(present).most_common()] + [0, 0, 0]
    levels = len(set(present))
    found: Row = {
        "infered_data_type": kind,
        "value_counts": len(present),
        "na_values": len(values) - len(present),
        "percent_na_values": 100 * (len(values) - len(present)) / len(values) if values else None,
        "levels_count": levels,
        "highest_frequency": frequencies[0],
        "sndHighestFrequency": frequencies[1],
        "thrdHighestFrequency": frequencies[2],
        "ratio_level_frequency": frequencies[0] / levels if levels else None,
        "is_key": False,  # none of the names promises an identifier
        "is_categorical": bool(values) and 0 < levels < 10 and len(present) / len(values) > 0.5,
    }
    is_number = kind in {"integer", "float"}
    numbers = sorted(float(value) for value in present) if is_number else []
    found["min_num_var"] = min(numbers, default=None)
    found["max_num_var"] = max(numbers, default=None)
    found["mean_num_var"] = statistics.fmean(numbers) if numbers else None
    found["median_num_var"] = float(statistics.median(present)) if numbers else None
    found["std_num_var"] = float(statistics.stdev(present)) if len(numbers) > 1 else None
    found["p01_num_var"], found["p99_num_var"] = quantile(numbers, 0.01), quantile(numbers, 0.99)
    found["zero_count"] = present.count(0) if is_number else None
    found["negative_count"] = sum(value < 0 for value in present) if is_number else None
    found["non_finite_count"] = 0 if is_number else None
    lengths = [len(value) for value in present] if kind == "text" else []
    found["min_length"], found["max_length"] = min(lengths, default=None), max(lengths, default=None)
    found["mean_length"] = statistics.fmean(lengths) if lengths else None
    found["empty_count"] = lengths.count(0) if kind == "text" else None
    unlike = dict.fromkeys((*shape_oracle.of_texts([]), *shape_oracle.of_numbers([]), *shape_oracle.of_datetimes([])))
    found |= unlike
    if kind == "text":
        found |= shape_oracle.of_texts(present)
    if kind == "float":
        found |= shape_oracle.of_numbers(present)
    if kind == "datetime":
        found |= shape_oracle.of_datetimes(present)
    is_date = kind in {"date", "datetime"}
    midnight = dt.time()
    days = present if is_date else []
    moments = [day if isinstance(day, dt.datetime) else dt.datetime.combine(day, midnight) for day in days]
    found["min_date_var"] = min(moments, default=None)
    found["max_date_var"] = max(moments, default=None)
    found["future_dates"] = sum(moment.date() > date for moment in moments) if is_date else None
    found["true_count"] = present.count(True) if kind == "boolean" else None
    found["false_count"] = present.count(False) if kind == "boolean" else None
    return found


def quantile(numbers: list[float], share: float) -> float | None:
    """Interpolated linearly between the sorted numbers, as SQL's percentile_cont."""
    if not numbers:
        return None
    place = (len(numbers) - 1) * share
    below = math.floor(place)
    above = min(below + 1, len(numbers) - 1)
    return numbers[below] + (numbers[above] - numbers[below]) * (place - below)


@pytest.fixture
def engines(ward: Ward, mariadb: MariaDB, mariadb_database: str, tmp_path: Path) -> Iterator[Any]:
    """A function that makes one table of rows on the three engines, and the three endpoints."""
    path = tmp_path / "lab.sqlite"
    endpoints = [ward.endpoint, mariadb_endpoint(mariadb, mariadb_database), sqlite_endpoint(path)]
    connections = [ward.database.connect(), mariadb.connect(mariadb_database), sqlite3.connect(path)]
    plain = {bool: int, Decimal: str, dt.date: str, dt.datetime: str}  # what SQLite takes

    def fill(rows: list[Row]) -> list[Row]:
        for number, connection in enumerate(connections, start=1):
            mark = "?" if number == 3 else "%s"
            cursor = connection.cursor()
            cursor.execute("DROP TABLE IF EXISTS made")
            columns = ", ".join(f"{name} {types[number]}" for name, types in COLUMNS.items())
            cursor.execute(f"CREATE TABLE made ({columns})")
            for row in rows:
                values = [row[name] for name in COLUMNS]
                if number == 3:
                    values = [plain[type(value)](value) if type(value) in plain else value for value in values]
                cursor.execute(f"INSERT INTO made VALUES ({', '.join([mark] * len(values))})", values)
            connection.commit()
        return [{**endpoint, "config": EXACT} for endpoint in endpoints]

    yield fill
    for connection in connections:
        connection.close()


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(rows=TABLES)
def test_every_metric_is_the_one_python_works_out_on_all_three_engines(
    ward: Ward, engines: Any, rows: list[Row]
) -> None:
    """Whole numbers, floats, decimals, texts, dates, datetimes and booleans, with nulls, empty tables included."""
    endpoints = engines(rows)
    run = ward.base.measure(TODAY, *endpoints)
    assert run.exit_code == 0, run.output
    for endpoint in endpoints:
        assert run.reports[endpoint["slug"]]["status"] == "ok", run.output
        found = ward.base.metrics(TODAY, endpoint)
        assert {column for _, column in found} == set(COLUMNS)
        for column, (kind, *_) in COLUMNS.items():
            values = [row[column] for row in rows]
            assert_same(found["made", column], expected(values, kind, dt.date(2026, 1, 31)), endpoint["type"])


def test_levels_are_those_of_the_column_on_every_engine(ward: Ward, engines: Any) -> None:
    """Texts that a collation calls equal stay apart; booleans and dates are spelt one way."""
    row = {
        "whole": 7,
        "share": 0.5,
        "price": None,
        "word": "A",
        "memo": "%s",
        "born": dt.date(2020, 2, 29),
        "seen": moment(2020, 2, 29, 8, 30),
        "alive": True,
    }
    endpoints = engines([row] * 6 + [{**row, "word": "a", "alive": False, "share": -2.25}] * 7)
    ward.base.measure(TODAY, *endpoints)
    for endpoint in endpoints:
        rows = ward.base.rows("SELECT * FROM metric_basic_levels WHERE endpoint = %s", endpoint["slug"])
        found = {(r["column"], r["value"]): r["frequency"] for r in rows}
        assert found == {
            ("whole", "7"): 13,
            ("share", "0.5"): 6,
            ("share", "-2.25"): 7,
            ("word", "A"): 6,
            ("word", "a"): 7,
            ("memo", "%s"): 13,
            ("born", "2020-02-29"): 13,
            ("seen", "2020-02-29 08:30:00"): 13,
            ("alive", "true"): 6,
            ("alive", "false"): 7,
        }, endpoint["type"]


def test_constraints_of_one_column_are_told_and_those_of_several_are_not(
    ward: Ward, mariadb: MariaDB, mariadb_database: str, tmp_path: Path
) -> None:
    """The rule pack writes rules about keys from this column, so a part of a key must not look like one."""
    statements = [
        "CREATE TABLE wards (ward int PRIMARY KEY, code varchar(9) UNIQUE, h1 int, h2 int, UNIQUE (h1, h2))",
        """CREATE TABLE stays (stay int, ward int, a int, b int, PRIMARY KEY (stay, ward),
           FOREIGN KEY (ward) REFERENCES wards (ward), FOREIGN KEY (a, b) REFERENCES wards (h1, h2))""",
    ]
    ward.execute(*statements)
    with mariadb.connect(mariadb_database) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    lab = sqlite_file(tmp_path / "lab.sqlite", *statements)
    endpoints = [ward.endpoint, mariadb_endpoint(mariadb, mariadb_database), lab]
    ward.base.measure(TODAY, *endpoints)
    for endpoint in endpoints:
        found = {place: row["key_constraint"] for place, row in ward.base.metrics(TODAY, endpoint).items()}
        named = {place: key for place, key in found.items() if key}
        assert named == {("wards", "ward"): "primary", ("wards", "code"): "unique"}, endpoint["type"]


def test_names_that_need_quoting_are_quoted(
    ward: Ward, mariadb: MariaDB, mariadb_database: str, tmp_path: Path
) -> None:
    """Quotes, percent signs, dots, reserved words and injections are names like any other."""
    names = ['a"b', "100%", "%s", "select", "x.y", "'; DROP TABLE t; --", "?"]
    standard = ", ".join('"' + name.replace('"', '""') + '" int' for name in names)
    ward.execute(f'CREATE TABLE "my table" ({standard})')
    with mariadb.connect(mariadb_database) as connection, connection.cursor() as cursor:
        backticks = ", ".join("`" + name.replace("`", "``") + "` int" for name in [*names, "a`b"])
        cursor.execute(f"CREATE TABLE `my table` ({backticks})")
    lab = sqlite_file(tmp_path / "a b%.sqlite", f'CREATE TABLE "my table" ({standard})')
    endpoints = [ward.endpoint, mariadb_endpoint(mariadb, mariadb_database), lab]
    run = ward.base.measure(TODAY, *endpoints)
    assert {report["status"] for report in run.reports.values()} == {"ok"}, run.output
    for endpoint in endpoints:
        found = set(ward.base.metrics(TODAY, endpoint)) - {("my table", "a`b")}
        assert found == {("my table", name) for name in names}
