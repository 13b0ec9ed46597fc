"""Types that metric pack basic reads in a way of its own: what is no number, MariaDB's booleans, anything on SQLite."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.integration.metric_basic_harness import EXACT, TODAY, moment, sqlite_file
from tests.integration.pack_harness import mariadb_endpoint

if TYPE_CHECKING:
    from pathlib import Path

    from demo.services import MariaDB
    from tests.integration.metric_basic_harness import Ward


def test_nan_and_infinity_count_as_values_and_break_nothing(ward: Ward) -> None:
    """They are no part of minimum, maximum, mean, median and deviation."""
    infinite = "Infinity" if ward.database.server.version >= 14 else "NaN"  # of numeric, which had none before
    ward.execute(
        "CREATE TABLE t (f float8, n numeric, d date, huge float8, tiny numeric)",
        f"""INSERT INTO t VALUES ('NaN', 'NaN', 'infinity', 1.7e308, 1e-400),
           ('Infinity', '{infinite}', '-infinity', 1.7e308, 1e400),
           ('-Infinity', 1, '2020-01-01', -1e200, 0), (1, 3, '0044-03-15 BC', 5, 0), (2, NULL, NULL, 5, 0)""",
    )
    run = ward.measure(TODAY)
    assert run.only()["status"] == "ok", run.output
    found = {column: row for (_, column), row in ward.base.metrics(TODAY).items()}
    f, n = found["f"], found["n"]
    assert (f["value_counts"], f["levels_count"], f["min_num_var"], f["max_num_var"]) == (5, 5, 1, 2)
    assert (f["mean_num_var"], f["median_num_var"], f["std_num_var"]) == (1.5, 1.5, pytest.approx(0.5**0.5))
    assert (n["value_counts"], n["min_num_var"], n["mean_num_var"], n["max_num_var"]) == (4, 1, 2, 3)
    assert (found["d"]["max_date_var"], found["d"]["future_dates"]) == (moment(2020, 1, 1), 1)
    assert (found["huge"]["median_num_var"], found["huge"]["mean_num_var"]) == (5, pytest.approx(6.8e307))
    assert (found["tiny"]["median_num_var"], found["tiny"]["max_num_var"]) == (0, 0)


def test_a_column_of_sqlite_is_what_it_holds(ward: Ward, tmp_path: Path) -> None:
    """Declarations are wishes there: the declared type is stored, the inferred one comes from the values."""
    lab = sqlite_file(
        tmp_path / "lab.sqlite",
        "CREATE TABLE t (mixed INTEGER, flag BOOLEAN, flags BOOLEAN, born DATE, odd DATE, at TIMESTAMP, clock TIME,"
        " blob BLOB, bare, half INTEGER, code TEXT COLLATE NOCASE, wide REAL)",
        "INSERT INTO t VALUES (1, 1, 2, '2020-02-29', '29.02.2020',"
        " '2020-01-01T10:00:00Z', '10:30', x'00', 5, 1.5, 'a', 9e999)",
        "INSERT INTO t VALUES ('x', 0, 1, '2020-03-01', '2020-02-30',"
        " '2020-01-01 11:00', '11:30:05', x'01', 6, 2, 'A', 1)",
        "CREATE VIEW v AS SELECT * FROM nowhere",
    )
    run = ward.base.measure(TODAY, {**lab, "config": EXACT})
    assert run.only()["incomplete"] == ["v"]
    found = {column: row for (_, column), row in ward.base.metrics(TODAY).items()}
    assert {column: row["infered_data_type"] for column, row in found.items()} == {
        "mixed": "text",
        "flag": "boolean",
        "flags": "integer",
        "born": "date",
        "odd": "text",
        "at": "datetime",
        "clock": "time",
        "blob": "other",
        "bare": "integer",
        "half": "float",
        "code": "text",
        "wide": "float",
    }
    assert (found["flag"]["true_count"], found["flag"]["data_type"]) == (1, "BOOLEAN")
    assert found["at"]["max_date_var"] == moment(2020, 1, 1, 11)
    assert found["code"]["levels_count"] == 2
    assert (found["wide"]["value_counts"], found["wide"]["max_num_var"], found["wide"]["std_num_var"]) == (2, 1, None)


def test_types_of_mariadb_are_handled(ward: Ward, mariadb: MariaDB, mariadb_database: str) -> None:
    """tinyint(1) is a boolean while it holds 0 and 1; means keep their digits; broken views are incomplete."""
    with mariadb.connect(mariadb_database, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("SET sql_mode = ''")
        cursor.execute(
            "CREATE TABLE t (flag boolean, many tinyint(1), bits bit(1), third int, part decimal(5,1), single float,"
            " mood enum('sad', 'ok'), born date, raw blob, big bigint unsigned, memo longtext)"
        )
        for i in (1, 2, 2):
            cursor.execute(
                "INSERT INTO t VALUES (%s, %s, %s, %s, %s, 0.1, 'ok', '0000-00-00', 'x', 18446744073709551615, %s)",
                (i - 1, i, i - 1, i, i, "x" * 5000 + str(i)),
            )
        cursor.execute("CREATE TABLE gone (a int)")
        cursor.execute("CREATE VIEW v AS SELECT a FROM gone")
        cursor.execute("DROP TABLE gone")
    run = ward.base.measure(TODAY, mariadb_endpoint(mariadb, mariadb_database, config=EXACT))
    assert run.only()["incomplete"] == ["v"], run.output
    found = {column: row for (_, column), row in ward.base.metrics(TODAY).items()}
    assert {column: row["infered_data_type"] for column, row in found.items()} == {
        "flag": "boolean",
        "many": "integer",
        "bits": "boolean",
        "third": "integer",
        "part": "float",
        "single": "float",
        "mood": "text",
        "born": "date",
        "raw": "other",
        "big": "integer",
        "memo": "text",
    }
    assert (found["flag"]["true_count"], found["bits"]["true_count"], found["flag"]["data_type"]) == (
        2,
        2,
        "tinyint(1)",
    )
    assert found["third"]["mean_num_var"] == found["part"]["mean_num_var"] == pytest.approx(5 / 3, rel=1e-12)
    assert (found["born"]["value_counts"], found["born"]["min_date_var"]) == (3, None)
    assert (found["memo"]["levels_count"], found["memo"]["highest_frequency"]) == (2, 2)
    assert found["single"]["min_num_var"] == pytest.approx(0.1)


def test_sample_of_sqlite_ends_whatever_its_rare_texts(ward: Ward, tmp_path: Path) -> None:
    """Each look draws other rows: what is a text in one sample is a number in the next."""
    rows = [[number] * 20 for number in range(2000)]
    for place in range(20):
        rows[place * 97][place] = "N/A"  # type: ignore[call-overload]  # a row of mixed types
    path = tmp_path / "lab.sqlite"
    lab = sqlite_file(path, f"CREATE TABLE t ({', '.join(f'c{i} INTEGER' for i in range(20))})")
    with closing(sqlite3.connect(path)) as connection:
        connection.executemany(f"INSERT INTO t VALUES ({', '.join('?' * 20)})", rows)
        connection.commit()
    limited = {"limit_enabled": True, "search_results_limit": 1000, "table_seconds": 10}
    run = ward.base.measure(TODAY, {**lab, "config": limited})
    assert run.only()["status"] == "ok", run.output
    found = ward.columns()
    assert {row["infered_data_type"] for row in found.values()} <= {"integer", "text"}
    assert len({(row["sample_rows"], row["value_counts"]) for row in found.values()}) == 1  # one sample of all


def test_whole_numbers_of_sqlite_beyond_a_double_stay_apart(ward: Ward, tmp_path: Path) -> None:
    """Ten numbers are ten, also in columns that are no integers: a key without duplicates."""
    numbers = ", ".join(f"({2**53 + i}, {2**53 + i}, {2**53 + i} / (1 + {i} % 2.0))" for i in range(10))
    lab = sqlite_file(
        tmp_path / "lab.sqlite",
        "CREATE TABLE t (id NUMERIC, code DECIMAL(18,2) UNIQUE, other REAL)",
        f"INSERT INTO t VALUES {numbers}",
    )
    run = ward.base.measure(TODAY, lab)
    assert run.only()["status"] == "ok", run.output
    found = ward.columns()
    for name in ("id", "code"):
        assert (found[name]["levels_count"], found[name]["highest_frequency"]) == (10, 1)
    assert found["code"]["is_key"] is True


def test_dates_of_sqlite_may_have_a_clock(ward: Ward, tmp_path: Path) -> None:
    """What ORMs and exports write; what is no date at all stays a text."""
    lab = sqlite_file(
        tmp_path / "lab.sqlite",
        "CREATE TABLE t (at DATE, odd DATE, born DATE)",
        "INSERT INTO t VALUES ('2020-01-01 00:00:00', '2020-01-01 00:00:00', '2020-01-01')",
        "INSERT INTO t VALUES ('2027-05-05 12:30:00', 'soon', '2021-05-05')",
    )
    ward.base.measure(TODAY, lab)
    found = ward.columns()
    assert {name: row["infered_data_type"] for name, row in found.items()} == {
        "at": "datetime",
        "odd": "text",
        "born": "date",
    }
    assert (found["at"]["max_date_var"], found["at"]["future_dates"]) == (moment(2027, 5, 5, 12, 30), 1)


def test_json_and_floats_of_mariadb_are_those_of_others(ward: Ward, mariadb: MariaDB, mariadb_database: str) -> None:
    """JSON is a text with a constraint there: no value of it is sent; a float has as few digits as tell it."""
    with mariadb.connect(mariadb_database, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE t (doc json, plain longtext, f float)")
        for _ in range(9):
            cursor.execute("""INSERT INTO t VALUES ('{"sex":"F"}', '{"sex":"F"}', 0.1)""")
    run = ward.base.measure(TODAY, mariadb_endpoint(mariadb, mariadb_database))
    assert run.only()["status"] == "ok", run.output
    found = ward.columns()
    assert {name: row["infered_data_type"] for name, row in found.items()} == {
        "doc": "other",
        "plain": "text",
        "f": "float",
    }
    assert (found["doc"]["value_counts"], found["doc"]["levels_count"]) == (9, None)
    assert ward.base.levels(TODAY, "t", "doc") == {}
    assert ward.base.levels(TODAY, "t", "f") == {"0.1": 9}


# Unusual moments, and how each engine takes them: PostgreSQL refuses dates that no calendar has, MariaDB second 60.
MOMENTS = (
    *("2016-12-31T23:59:60Z", "2020-02-29 24:00:00", "2020-02-29 10:30:15.123456789", "2020-02-29 23:59:59.9999999"),
    *("2020-02-29 10:30:00+0530", "2020-02-29 10:30:00+05", "2020-02-29 10:30:00.5 UTC", "2020-02-29t10:30:00-00:30"),
    *("2026-01-31 23:59:60", "2026-01-31 23:59:59", "0001-01-01 00:00", "9999-12-31 24:00"),
)
TIMES = ("24:00:00", "23:59:60", "10:30", "10:30:00.123456789", "00:00")
COMPARED = (
    *("infered_data_type", "value_counts", "na_values", "levels_count", "highest_frequency", "is_categorical"),
    *("min_date_var", "max_date_var", "future_dates"),
)


def test_unusual_moments_of_sqlite_are_those_of_postgresql(ward: Ward, tmp_path: Path) -> None:
    """A leap second, midnight as 24:00, nanoseconds, offsets: one of them must not turn a column into texts."""
    ward.execute("CREATE TABLE t (at timestamptz, clock time)")
    lab = sqlite_file(tmp_path / "lab.sqlite", "CREATE TABLE t (at TIMESTAMP, clock TIME)")
    with ward.database.connect(options="-c timezone=UTC") as base, closing(sqlite3.connect(lab["host"])) as file:
        for table, rows in (("at", MOMENTS), ("clock", TIMES)):
            for text in rows * 2:
                base.execute(f"INSERT INTO t ({table}) VALUES ('{text}')".encode())
                file.execute(f"INSERT INTO t ({table}) VALUES ('{text}')")
        base.commit()
        file.commit()
    endpoints = [{**ward.endpoint, "config": EXACT}, {**lab, "config": EXACT}]
    run = ward.base.measure(TODAY, *endpoints)
    assert {report["status"] for report in run.reports.values()} == {"ok"}, run.output
    postgres, sqlite = (ward.base.metrics(TODAY, endpoint) for endpoint in endpoints)
    assert {column: row["infered_data_type"] for (_, column), row in sqlite.items()} == {
        "at": "datetime",
        "clock": "time",
    }
    for place, row in postgres.items():
        assert {name: row[name] for name in COMPARED} == {name: sqlite[place][name] for name in COMPARED}, place
    levels = [
        ward.base.rows(
            'SELECT "column", value, frequency FROM metric_basic_levels WHERE endpoint = %s ORDER BY 1, 2', one["slug"]
        )
        for one in endpoints
    ]
    assert levels[0] == levels[1]


def test_dates_that_no_calendar_has_are_those_of_mariadb(
    ward: Ward, mariadb: MariaDB, mariadb_database: str, tmp_path: Path
) -> None:
    """0000-00-00 is a level, but neither the earliest date nor a reason to take the others for texts."""
    days = ("0000-00-00", "2020-02-30", "2020-00-10", "2020-02-29", "2026-02-01")
    lab = sqlite_file(tmp_path / "lab.sqlite", "CREATE TABLE t (day DATE, at DATETIME)")
    with (
        mariadb.connect(mariadb_database) as connection,
        connection.cursor() as cursor,
        closing(sqlite3.connect(lab["host"])) as file,
    ):
        cursor.execute("SET sql_mode = 'ALLOW_INVALID_DATES'")
        cursor.execute("CREATE TABLE t (day date, at datetime)")
        for day in days * 2:
            for execute, mark in ((cursor.execute, "%s"), (file.execute, "?")):
                execute(f"INSERT INTO t VALUES ({mark}, {mark})", (day, f"{day} 10:30:00"))
        connection.commit()
        file.commit()
    endpoints = [mariadb_endpoint(mariadb, mariadb_database, config=EXACT), {**lab, "config": EXACT}]
    run = ward.base.measure(TODAY, *endpoints)
    assert {report["status"] for report in run.reports.values()} == {"ok"}, run.output
    found, sqlite = (ward.base.metrics(TODAY, endpoint) for endpoint in endpoints)
    assert sqlite["t", "day"]["min_date_var"] == moment(2020, 2, 29)
    for place, row in found.items():
        assert {name: row[name] for name in COMPARED} == {name: sqlite[place][name] for name in COMPARED}, place
    for column in ("day", "at"):
        levels = [
            ward.base.rows(
                'SELECT value, frequency FROM metric_basic_levels WHERE endpoint = %s AND "column" = %s ORDER BY 1',
                one["slug"],
                column,
            )
            for one in endpoints
        ]
        assert levels[0] == levels[1]
        assert len(levels[0]) == len(days)


def test_decimals_are_those_that_each_type_shows(
    ward: Ward, mariadb: MariaDB, mariadb_database: str, tmp_path: Path
) -> None:
    """Floats of 32 bits have few, decimals drop their zeros; SQLite may mix whole numbers and reals."""
    ward.execute(
        "CREATE TABLE t (single real, price numeric(10,4), free numeric, long numeric(40,20))",
        "INSERT INTO t VALUES (0.1, 1.2500, 1.50, 2.00000000000000000001), (99.95, 3, 2.000, 4), (7, 5.5, 'NaN', NULL)",
    )
    with mariadb.connect(mariadb_database, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE t (single float, price decimal(10,4), free double, `long` decimal(40,20))")
        cursor.execute("INSERT INTO t VALUES (0.1, 1.25, 1.5, 2.00000000000000000001), (99.95, 3, 2, 4)")
        cursor.execute("INSERT INTO t VALUES (7, 5.5, NULL, NULL)")
    lab = sqlite_file(
        tmp_path / "lab.sqlite",
        "CREATE TABLE t (single REAL, price DECIMAL(10,4), free NUMERIC, code TEXT)",
        "INSERT INTO t VALUES (0.1, 1.25, 1.5, 'N/A'), (99.95, 3, 2, 7), (7, 5.5, 9007199254740993, 1.5)",
    )
    endpoints = [ward.endpoint, mariadb_endpoint(mariadb, mariadb_database), lab]
    run = ward.base.measure(TODAY, *endpoints)
    assert {report["status"] for report in run.reports.values()} == {"ok"}, run.output
    for endpoint in endpoints:
        rows = ward.base.metrics(TODAY, endpoint)
        found = {column: (row["fraction_count"], row["decimals_max"]) for (_, column), row in rows.items()}
        wanted = {"single": (2, 2), "price": (2, 2), "free": (1, 1)}
        wanted |= {"code": (None, None)} if endpoint is lab else {"long": (1, 20)}
        assert found == wanted, endpoint["type"]
        if endpoint is lab:
            assert (rows["t", "code"]["placeholder_count"], rows["t", "code"]["levels_count"]) == (1, 3)


def test_padded_codes_have_levels_on_every_engine(
    ward: Ward, mariadb: MariaDB, mariadb_database: str, tmp_path: Path
) -> None:
    """What was CHAR(20) somewhere is a code all the same; with a column of CHAR, and without one."""
    create = "CREATE TABLE t (fixed char(20), padded varchar(20), free varchar(80))"
    values = [("A01", "A01".ljust(20), "he said that it hurts a lot"), ("K35.8", "K35.8".ljust(20), "b")] * 9
    lab = sqlite_file(tmp_path / "lab.sqlite", create)
    ward.execute(create)
    with (
        mariadb.connect(mariadb_database) as connection,
        connection.cursor() as cursor,
        ward.database.connect() as database,
        closing(sqlite3.connect(lab["host"])) as file,
    ):
        cursor.execute(create)
        for row in values:
            cursor.execute("INSERT INTO t VALUES (%s, %s, %s)", row)
            database.execute(b"INSERT INTO t VALUES (%s, %s, %s)", row)
            file.execute("INSERT INTO t VALUES (?, ?, ?)", row)
        for one in (connection, database, file):
            one.commit()
    endpoints = [ward.endpoint, mariadb_endpoint(mariadb, mariadb_database), lab]
    ward.base.measure(TODAY, *endpoints)
    for endpoint in endpoints:
        rows = ward.base.rows("SELECT * FROM metric_basic_levels WHERE endpoint = %s", endpoint["slug"])
        assert {(row["column"], row["value"]): row["frequency"] for row in rows} == {
            ("fixed", "A01"): 9,
            ("fixed", "K35.8"): 9,
            ("padded", "A01".ljust(20)): 9,
            ("padded", "K35.8".ljust(20)): 9,
        }, endpoint["type"]
