"""The made-up hospital on three real engines: the same rows, sound on the first night, faulty on the second."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

import pytest

from demo.hospital import PLANTED_FAULTS, Hospital

TABLES = ("version", "wards", "patients", "stays", "lab_results", "prescriptions", "allergies")
SMALL = Hospital(seed=7, rows=1_000)

PATIENT_THREE = (
    3,
    "2106361009",
    "Guérin",
    "Aïcha",
    "F",
    "1981-12-19",
    None,
    "01100",
    "Oyonnax",
    "O+",
    None,
    None,
    "2023-02-13 02:21:13+00:00",
)
LAST_RESULT = (1000, 86, "718-7", "Hémoglobine", 15.134, "g/dL", 16.5, 0, None, "2023-11-20 21:26:29+00:00")

# Per kind of fault, a query with the fault's table and column; it answers whether the fault is there.
VISIBLE = {
    "duplicate_key": "SELECT count(*) > count(DISTINCT {column}) FROM {table}",
    "empty_column": "SELECT count(*) > 0 AND count({column}) = 0 FROM {table}",
    "null_jump": "SELECT count({column}) < 0.7 * count(*) FROM {table}",
    "date_in_future": "SELECT count(*) > 0 FROM {table} WHERE {column} > '2100-01-01'",
    "date_in_past": "SELECT count(*) > 0 FROM {table} WHERE {column} < '1850-01-01'",
    "changed_type": "SELECT min({column}) LIKE 'S%' FROM {table}",
}


@dataclass
class Target:
    """An empty database of one engine."""

    engine: str
    connection: Any

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query, in a transaction of its own."""
        cursor = self.connection.cursor()
        cursor.execute(query)
        found = list(cursor.fetchall())
        self.connection.rollback()
        return found

    def tables(self) -> set[str]:
        schema = {"postgres": "'public'", "mariadb": "database()"}.get(self.engine)
        if schema is None:
            return {name for (name,) in self.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
        query = f"SELECT table_name FROM information_schema.tables WHERE table_schema = {schema}"
        return {name for (name,) in self.rows(query)}

    def type_of(self, table: str, column: str) -> str:
        if self.engine == "sqlite":
            return {row[1]: row[2] for row in self.rows(f"PRAGMA table_info({table})")}[column]
        schema = {"postgres": "'public'", "mariadb": "database()"}[self.engine]
        ((name,),) = self.rows(
            "SELECT data_type FROM information_schema.columns "
            f"WHERE table_schema = {schema} AND table_name = '{table}' AND column_name = '{column}'"
        )
        return name

    def has(self, fault) -> bool:
        """Whether one of the planted faults is there, in plain SQL."""
        if fault.kind == "vanished_table":
            return fault.table not in self.tables()
        query = VISIBLE[fault.kind].format(table=fault.table, column=fault.column)
        if fault.kind == "changed_type" and "char" not in self.type_of(fault.table, fault.column):
            return False
        return bool(self.rows(query)[0][0])


@pytest.fixture(params=["postgres", "mariadb", "sqlite"])
def target(request, tmp_path):
    if request.param == "postgres":
        connection = request.getfixturevalue("database").connect()
    elif request.param == "mariadb":
        name = request.getfixturevalue("mariadb_database")
        connection = request.getfixturevalue("mariadb").connect(name)
    else:
        connection = sqlite3.connect(tmp_path / "hospital.db")
    with closing(connection):
        yield Target(request.param, connection)


def _plain(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row in a form common to all engines: times as UTC text, numbers and booleans as numbers."""

    def one(value: Any) -> Any:
        if isinstance(value, datetime):
            return value.replace(tzinfo=value.tzinfo or timezone.utc).astimezone(timezone.utc).isoformat(sep=" ")
        if isinstance(value, date):
            return value.isoformat()
        if isinstance(value, (bool, int, float, Decimal)):
            return round(float(value), 6)
        return value

    return tuple(one(value) for value in row)


def _contents(target: Target, tables=TABLES) -> dict[str, Counter]:
    columns = {"stays": "stay_id, patient_id, ward_id, admitted_at, discharged_at, severity, drg, diagnosis, cost"}
    return {
        table: Counter(map(_plain, target.rows(f"SELECT {columns.get(table, '*')} FROM {table}"))) for table in tables
    }


def test_every_engine_gets_the_same_rows_on_both_nights(target, tmp_path):
    """Names, times and numbers are those of SQLite, whatever the engine, session zone and driver."""
    with closing(sqlite3.connect(tmp_path / "reference.db")) as connection:
        reference = Target("sqlite", connection)
        SMALL.first_night(connection)
        SMALL.first_night(target.connection)
        assert _contents(target) == _contents(reference)
        SMALL.second_night(connection)
        SMALL.second_night(target.connection)
        left = [table for table in TABLES if table != "allergies"]
        assert _contents(target, left) == _contents(reference, left)


def test_the_same_seed_gives_the_same_rows_and_another_gives_others(tmp_path):
    """The seed determines the hospital: a test finds the same rows today and tomorrow."""

    def contents(seed: int) -> dict[str, Counter]:
        with closing(sqlite3.connect(":memory:")) as connection:
            Hospital(seed=seed, rows=1_000).first_night(connection)
            return _contents(Target("sqlite", connection))

    assert contents(1) == contents(1)
    assert contents(1)["patients"] != contents(2)["patients"]


def test_the_rows_are_those_that_were_drawn_when_this_was_written():
    """Neither another Python nor an accidental change draws other patients: documented results remain true."""
    with closing(sqlite3.connect(":memory:")) as connection:
        Hospital(seed=1, rows=1_000).first_night(connection)
        target = Target("sqlite", connection)
        assert target.rows("SELECT * FROM patients WHERE patient_id = 3") == [PATIENT_THREE]
        assert target.rows("SELECT * FROM lab_results WHERE result_id = 1000") == [LAST_RESULT]


def test_no_planted_fault_is_there_on_the_first_night(target):
    """The packs have nothing to find before the second night."""
    SMALL.first_night(target.connection)
    assert [fault.kind for fault in PLANTED_FAULTS if target.has(fault)] == []


def test_every_planted_fault_is_there_on_the_second_night(target):
    """Plain SQL finds every fault of PLANTED_FAULTS, and second_night returns them."""
    SMALL.first_night(target.connection)
    assert SMALL.second_night(target.connection) == PLANTED_FAULTS
    assert [fault for fault in PLANTED_FAULTS if not target.has(fault)] == []


@pytest.mark.parametrize("seed", range(20))
def test_the_first_night_is_sound_whatever_the_seed(seed):
    """Keys are unique, no column is empty, no date is impossible, no patient is treated before birth or after death."""
    with closing(sqlite3.connect(":memory:")) as connection:
        target = Target("sqlite", connection)
        Hospital(seed=seed, rows=1_000).first_night(connection)
        connection.execute("PRAGMA foreign_keys = ON")
        assert target.rows("PRAGMA foreign_key_check") == []
        for table in TABLES:
            columns = target.rows(f"PRAGMA table_info({table})")
            for _, column, kind, *_ in columns:
                filled, low, high = target.rows(f"SELECT count({column}), min({column}), max({column}) FROM {table}")[0]
                assert filled > 0, f"{table}.{column} is empty"
                if kind.startswith(("date", "timestamp")):
                    assert "1900" < low <= high < "2026-03", f"{table}.{column} from {low} to {high}"
        keys = {"prescriptions": "prescription_id", "patients": "hospital_number", "lab_results": "result_id"}
        for table, key in keys.items():
            assert target.rows(f"SELECT count(*) = count(DISTINCT {key}) FROM {table}") == [(1,)]
        outside_life = """
            SELECT count(*) FROM stays JOIN patients USING (patient_id)
            WHERE date(admitted_at) < birth_date OR date(discharged_at) > death_date
                OR (death_date IS NOT NULL AND discharged_at IS NULL)"""
        assert target.rows(outside_life) == [(0,)]
        outside_stay = """
            SELECT count(*) FROM lab_results JOIN stays USING (stay_id)
            WHERE taken_at < admitted_at OR taken_at > discharged_at"""
        assert target.rows(outside_stay) == [(0,)]


def test_the_second_night_grows_by_a_day(target):
    """Old rows remain, the day's stays and results are added, and the version does not change."""
    SMALL.first_night(target.connection)
    before = _contents(target, ("lab_results", "wards", "version"))
    SMALL.second_night(target.connection)
    after = _contents(target, ("lab_results", "wards", "version"))
    assert after["version"] == before["version"] == Counter([("5.4",)])
    assert after["wards"] == before["wards"]
    assert before["lab_results"] <= after["lab_results"]
    new = after["lab_results"] - before["lab_results"]
    assert new.total() == 20
    assert {row[-1][:10] for row in new} == {"2026-01-05"}


def test_the_number_of_rows_is_that_of_the_lab_results(target):
    """`rows` is the size of a hospital; with fewer than a thousand, not every fault could be planted."""
    Hospital(rows=2_345).first_night(target.connection)
    assert target.rows("SELECT count(*) FROM lab_results") == [(2_345,)]
    with pytest.raises(ValueError, match="at least 1000"):
        Hospital(rows=999)


def test_the_columns_keep_their_kinds(target):
    """Numbers with a scale, times with a zone, booleans and accents keep their types and values."""
    SMALL.first_night(target.connection)
    kinds = {
        "postgres": ("numeric", "timestamp with time zone", "boolean", "double precision"),
        "mariadb": ("decimal", "timestamp", "tinyint", "double"),
        "sqlite": ("numeric(10, 2)", "timestamp with time zone", "boolean", "double precision"),
    }[target.engine]
    columns = (("stays", "cost"), ("stays", "admitted_at"), ("stays", "emergency"), ("lab_results", "result"))
    found = tuple(target.type_of(*column).lower().replace("(10,2)", "(10, 2)") for column in columns)
    assert found == kinds
    assert target.rows("SELECT name FROM wards WHERE ward_id = 9") == [("Service d'accueil des urgences",)]
    comments = {text for (text,) in target.rows("SELECT DISTINCT comment FROM lab_results")}
    assert 'Result "confirmed" on a second sample (±5%).' in comments
    assert {None, ""} < comments
    assert any("\n" in text for text in comments if text)


def test_a_first_night_leaves_tables_alone_that_are_there_already(target):
    """A wrong address does not cost anyone a table `patients`: the second load fails, and the rows remain."""
    SMALL.first_night(target.connection)
    before = _contents(target)
    with pytest.raises(Exception, match="already exists"):
        Hospital(seed=2, rows=1_000).first_night(target.connection)
    target.connection.rollback()
    assert _contents(target) == before


def test_foreign_keys_hold_where_they_are_checked_afterwards(database):
    """The superuser's load skips PostgreSQL's check per row; an ordinary user's does not, and loads the same."""
    with closing(database.connect(autocommit=True)) as connection:
        connection.execute("CREATE ROLE ward_clerk; GRANT ALL ON SCHEMA public TO ward_clerk")
        try:
            with closing(database.connect()) as clerk:
                clerk.execute("SET SESSION AUTHORIZATION ward_clerk")
                clerk.commit()
                SMALL.first_night(clerk)
                SMALL.second_night(clerk)
            assert connection.execute("SELECT count(*) FROM lab_results").fetchone() == (1_020,)
        finally:
            connection.execute("DROP OWNED BY ward_clerk; DROP ROLE ward_clerk")


def test_another_kind_of_connection_is_refused():
    """The error names the supported drivers."""
    with pytest.raises(TypeError, match="psycopg, PyMySQL or sqlite3 connection is needed, not object"):
        SMALL.first_night(object())


def test_a_hundred_thousand_results_load_in_seconds(target):
    """Benchmarks need large hospitals; the limit is ten times the measured duration."""
    began = time.monotonic()
    Hospital(rows=100_000).first_night(target.connection)
    assert time.monotonic() - began < 30
