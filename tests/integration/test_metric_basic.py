"""Metric pack basic, run for real on PostgreSQL, MariaDB and SQLite, against numbers worked out in Python."""

from __future__ import annotations

import datetime as dt
import math
import sqlite3
import statistics
import sys
from collections import Counter
from contextlib import closing
from decimal import Decimal
from importlib import import_module
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.pack_harness import PACKS, Base, Row, mariadb_endpoint, postgres_endpoint, sqlite_endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from demo.services import Database, MariaDB, Postgres

TODAY = "2026-01-31"
LATER = "2026-02-03"  # three nights on: two were missed

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


def moment(*parts: int) -> dt.datetime:
    """A datetime as databases without zones have them."""
    return dt.datetime(*parts)  # noqa: DTZ001 # type: ignore[arg-type]


LETTERS = st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=("Cs",))
TEXTS = st.sampled_from(["a", "A", "á", "a ", "", "%s", "'", '"', "\\", "😀"]) | st.text(LETTERS, max_size=12)
VALUES = {
    "whole": st.integers(-3, 3) | st.integers(-(2**63), 2**63 - 1),
    "share": st.sampled_from([0.1, 2.5]) | st.floats(-1e12, 1e12, allow_subnormal=False),
    "price": st.decimals(-(10**9), 10**9, places=3),
    "word": TEXTS,
    "memo": TEXTS,
    "born": st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1)),
    "seen": st.datetimes(moment(1900, 1, 1), moment(2100, 1, 1)).map(lambda d: d.replace(microsecond=0)),
    "alive": st.booleans(),
}
TABLES = st.lists(st.fixed_dictionaries({name: st.none() | VALUES[name] for name in COLUMNS}), max_size=25)

RATIO = 1e-9  # doubles are summed in different orders


@pytest.fixture
def base(database: Database, tmp_path: Path) -> Base:
    """An HDM base, in the database of fixture `database`."""
    return Base(database, tmp_path)


@pytest.fixture
def hospital(postgres: Postgres, database: Database) -> Iterator[Database]:
    """A second database, which is the endpoint."""
    created = postgres.create_database(f"{database.name}_ward")
    yield created
    postgres.drop_database(created.name)


@pytest.fixture
def ward(base: Base, hospital: Database) -> Row:
    """The hospital as the only endpoint of the base's runs."""
    base.endpoints = [postgres_endpoint(hospital)]
    return base.endpoints[0]


def execute(database: Database, *statements: str) -> None:
    with database.connect(autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def sqlite_file(path: Path, *statements: str) -> Row:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    return sqlite_endpoint(path)


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
    numbers = [float(value) for value in present] if kind in {"integer", "float"} else []
    found["min_num_var"] = min(numbers, default=None)
    found["max_num_var"] = max(numbers, default=None)
    found["mean_num_var"] = statistics.fmean(numbers) if numbers else None
    found["median_num_var"] = float(statistics.median(present)) if numbers else None
    found["std_num_var"] = float(statistics.stdev(present)) if len(numbers) > 1 else None
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


def assert_same(found: Row, wanted: Row, scale: float) -> None:
    """The same metrics; doubles as close as sums of numbers of that size can be."""
    for name, value in wanted.items():
        if isinstance(value, float) and found[name] is not None:
            assert math.isclose(found[name], value, rel_tol=RATIO, abs_tol=RATIO * scale), name
        else:
            assert found[name] == value, name


@pytest.fixture
def engines(base: Base, hospital: Database, mariadb: MariaDB, mariadb_database: str, tmp_path: Path) -> Iterator[Any]:
    """A function that makes one table of rows on the three engines, and the three endpoints."""
    path = tmp_path / "lab.sqlite"
    endpoints = [postgres_endpoint(hospital), mariadb_endpoint(mariadb, mariadb_database), sqlite_endpoint(path)]
    connections = [hospital.connect(), mariadb.connect(mariadb_database), sqlite3.connect(path)]
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
        return endpoints

    yield fill
    for connection in connections:
        connection.close()


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(rows=TABLES)
def test_every_metric_is_the_one_python_works_out_on_all_three_engines(
    base: Base, engines: Any, rows: list[Row]
) -> None:
    """Whole numbers, floats, decimals, texts, dates, datetimes and booleans, with nulls, empty tables included."""
    endpoints = engines(rows)
    run = base.measure(TODAY, *endpoints)
    assert run.exit_code == 0, run.output
    for endpoint in endpoints:
        assert run.reports[endpoint["slug"]]["status"] == "ok", run.output
        found = base.metrics(TODAY, endpoint)
        assert {column for _, column in found} == set(COLUMNS)
        for column, (kind, *_) in COLUMNS.items():
            values = [row[column] for row in rows]
            scale = max((abs(float(v)) for v in values if v is not None and kind in {"integer", "float"}), default=0)
            assert_same(found["made", column], expected(values, kind, dt.date(2026, 1, 31)), scale)


def test_the_unmodified_bootstrap_script_runs_the_pack(base: Base, ward: Row, hospital: Database) -> None:
    """The norm's entry point, with what it installs already there."""
    execute(hospital, "CREATE TABLE beds (bed int)")
    run = base.run("metric-packs/basic", "", TODAY, base.endpoints, bootstrap=True)
    assert run.exit_code == 0, run.output
    assert run.only()["status"] == "ok"


# Keys, categories, levels -----------------------------------------------------------------------------------


def test_a_name_or_a_weight_with_unique_values_is_no_key(base: Base, ward: Row, hospital: Database) -> None:
    """Fault 11: whatever happened to be unique was called a key."""
    execute(
        hospital,
        "CREATE TABLE patients (patient_id int, mrn uuid, ward_code text, name text, weight float,"
        " born date, nr int UNIQUE)",
        """INSERT INTO patients SELECT i, ('00000000-0000-0000-0000-' || lpad(i::text, 12, '0'))::uuid, 'w' || i,
           'name ' || i, i + 0.5, date '2000-01-01' + i, i FROM generate_series(1, 20) i""",
    )
    base.measure(TODAY)
    keys = {column: row["is_key"] for (_, column), row in base.metrics(TODAY).items()}
    assert keys == {
        "patient_id": True,
        "mrn": True,
        "ward_code": True,
        "name": False,
        "weight": False,
        "born": False,
        "nr": True,
    }


def test_a_declared_key_is_a_key_only_while_its_values_are_unique(base: Base, ward: Row, hospital: Database) -> None:
    """A unique constraint lets nulls pass; an identifier of one row promises nothing."""
    execute(
        hospital,
        "CREATE TABLE a (nr int UNIQUE)",
        "INSERT INTO a VALUES (1), (NULL)",
        "CREATE TABLE b (id int)",
        "INSERT INTO b VALUES (1)",
        "CREATE TABLE c (c1 int PRIMARY KEY)",
        "INSERT INTO c VALUES (1)",
    )
    base.measure(TODAY)
    assert {table: row["is_key"] for (table, _), row in base.metrics(TODAY).items()} == {
        "a": False,
        "b": False,
        "c": True,
    }


def test_constraints_of_one_column_are_told_and_those_of_several_are_not(
    base: Base, hospital: Database, mariadb: MariaDB, mariadb_database: str, tmp_path: Path
) -> None:
    """The rule pack writes rules about keys from this column, so a part of a key must not look like one."""
    statements = [
        "CREATE TABLE wards (ward int PRIMARY KEY, code varchar(9) UNIQUE, h1 int, h2 int, UNIQUE (h1, h2))",
        """CREATE TABLE stays (stay int, ward int, a int, b int, PRIMARY KEY (stay, ward),
           FOREIGN KEY (ward) REFERENCES wards (ward), FOREIGN KEY (a, b) REFERENCES wards (h1, h2))""",
    ]
    execute(hospital, *statements)
    with mariadb.connect(mariadb_database) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    lab = sqlite_file(tmp_path / "lab.sqlite", *statements)
    endpoints = [postgres_endpoint(hospital), mariadb_endpoint(mariadb, mariadb_database), lab]
    base.measure(TODAY, *endpoints)
    for endpoint in endpoints:
        found = {place: row["key_constraint"] for place, row in base.metrics(TODAY, endpoint).items()}
        named = {place: key for place, key in found.items() if key}
        assert named == {("wards", "ward"): "primary", ("wards", "code"): "unique"}, endpoint["type"]


def test_a_column_that_a_foreign_key_points_at_is_told(base: Base, mariadb: MariaDB, mariadb_database: str) -> None:
    """InnoDB lets foreign keys point at columns that are not unique."""
    with mariadb.connect(mariadb_database) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE wards (nr int, KEY (nr))")
        cursor.execute("CREATE TABLE stays (ward int, FOREIGN KEY (ward) REFERENCES wards (nr))")
    base.measure(TODAY, mariadb_endpoint(mariadb, mariadb_database))
    assert base.metrics(TODAY)["wards", "nr"]["key_constraint"] == "referenced"


def test_rare_levels_are_suppressed_and_cannot_be_computed(base: Base, ward: Row, hospital: Database) -> None:
    """Fault 17: a level of one patient points at that patient, also as the difference to value_counts."""
    execute(
        hospital,
        "CREATE TABLE stays (disease text, mode text, outcome text)",
        "INSERT INTO stays SELECT CASE WHEN i = 1 THEN 'rare' WHEN i < 10 THEN 'seldom' ELSE 'flu' END,"
        " CASE WHEN i < 40 THEN 'in' ELSE 'out' END, CASE WHEN i < 3 THEN 'x' ELSE 'y' END"
        " FROM generate_series(1, 100) i",
    )
    base.measure(TODAY)
    # 'seldom' (8) is frequent enough, but would give 'rare' (1) away.
    assert base.levels(TODAY, "stays", "disease") == {"flu": 91}
    assert base.levels(TODAY, "stays", "mode") == {"in": 39, "out": 61}
    assert base.levels(TODAY, "stays", "outcome") == {}


@pytest.fixture(scope="module")
def suppressed() -> Iterator[Callable[[dict[str, int], int, int, int], dict[str, int]]]:
    """The pack's own function, imported the way the pack imports it; nothing of that stays."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", True)
        patch.syspath_prepend(str(PACKS / "metric-packs" / "basic" / "process"))
        yield import_module("levels").suppressed
        for name in ("levels", "tables"):
            sys.modules.pop(name)


@given(frequencies=st.lists(st.integers(1, 12), max_size=12), min_count=st.integers(1, 10))
def test_what_is_suppressed_is_at_least_two_levels_and_min_count_values(
    suppressed: Callable[[dict[str, int], int, int, int], dict[str, int]], frequencies: list[int], min_count: int
) -> None:
    """The law of suppression, for any frequencies."""
    frequent = {f"level {i}": n for i, n in enumerate(frequencies) if n >= min_count}
    shown = suppressed(frequent, sum(frequencies), len(frequencies), min_count)
    hidden, hidden_values = len(frequencies) - len(shown), sum(frequencies) - sum(shown.values())
    assert all(frequent[level] == frequency for level, frequency in shown.items())
    assert not shown or hidden == 0 or (hidden >= 2 and hidden_values >= min_count)
    if all(n >= min_count for n in frequencies):
        assert shown == frequent


def test_no_levels_of_identifiers_free_text_and_personal_data_are_stored(
    base: Base, ward: Row, hospital: Database
) -> None:
    """Fault 17: they would be patients' numbers, sentences and addresses, however often they appear."""
    execute(
        hospital,
        "CREATE TABLE people (pk int PRIMARY KEY)",
        "INSERT INTO people VALUES (1), (2)",
        "CREATE TABLE stays (patient_id int, person int REFERENCES people, report text, address text, last_name text,"
        " gender_concept_id int, ward_code text)",
        "INSERT INTO stays SELECT i % 2, 1 + i % 2, 'he said that it hurts ' || i % 2, 'x', 'y', 8507, 'w'"
        " FROM generate_series(1, 40) i",
    )
    base.measure(TODAY)
    assert all(base.metrics(TODAY)["stays", column]["is_categorical"] for column in ("patient_id", "report", "address"))
    stored = {row["column"] for row in base.rows('SELECT DISTINCT "column" FROM metric_basic_levels')}
    assert stored == {"gender_concept_id", "ward_code"}


@pytest.mark.parametrize(
    ("stored", "columns"),
    [
        (False, "name patient_full_name person_name fullname FirstName patient_last_name nom nom_usuel Prénom"),
        (False, "adresse_1 telephone_mobile courriel_pro date_naissance birth_date year_of_birth postcode zip_code"),
        (False, "code_postal postal_code ipp patient_ipp iep nir ins nip numero_secu patient_mrn"),
        (True, "drug_name concept_name ward_name nombre service unit inspection insurance tropical_zone sex"),
    ],
)
def test_personal_columns_are_known_by_name_in_english_and_french(
    base: Base, ward: Row, hospital: Database, columns: str, *, stored: bool
) -> None:
    """Fault 17: names and birth dates of patients were stored; names of drugs and wards should be."""
    names = columns.split()
    declared, values = ", ".join(f'"{name}" text' for name in names), ", ".join(["'x' || i % 2"] * len(names))
    execute(
        hospital,
        f"CREATE TABLE stays ({declared})",
        f"INSERT INTO stays SELECT {values} FROM generate_series(1, 40) i",
    )
    base.measure(TODAY)
    found = {row["column"] for row in base.rows('SELECT DISTINCT "column" FROM metric_basic_levels')}
    assert found == (set(names) if stored else set())


def test_configuration_excludes_levels_of_columns(base: Base, ward: Row, hospital: Database) -> None:
    """Of a column everywhere, or of one table's; the metrics are there all the same."""
    execute(
        hospital,
        "CREATE SCHEMA lab",
        *(f'CREATE TABLE {table} ("Owner" text, col7 text, mode text)' for table in ("stays", "lab.results")),
        *(
            f"INSERT INTO {table} SELECT 'x' || i % 2, 'y' || i % 2, 'z' || i % 2 FROM generate_series(1, 40) i"
            for table in ("stays", "lab.results")
        ),
    )
    base.measure(TODAY, {**ward, "config": {"exclude_levels": ["own*", "Lab.Results.col?", "mode.*"]}})
    found = base.rows('SELECT DISTINCT "table", "column" FROM metric_basic_levels ORDER BY 1, 2')
    assert [tuple(row.values()) for row in found] == [("lab.results", "mode"), ("stays", "col7"), ("stays", "mode")]
    assert base.metrics(TODAY)["stays", "Owner"]["levels_count"] == 2
    wrong = base.measure(TODAY, {**ward, "config": {"exclude_levels": 3}})
    assert "exclude_levels must be a list of names" in wrong.only()["message"]


def test_levels_are_those_of_the_column_on_every_engine(base: Base, engines: Any) -> None:
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
    base.measure(TODAY, *endpoints)
    for endpoint in endpoints:
        rows = base.rows("SELECT * FROM metric_basic_levels WHERE endpoint = %s", endpoint["slug"])
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


def test_levels_change_against_the_columns_previous_date(base: Base, ward: Row, hospital: Database) -> None:
    """delta_frequency and evol_frequency; a level that was not stored then has neither."""
    execute(hospital, "CREATE TABLE t (c text)", "INSERT INTO t SELECT 'a' FROM generate_series(1, 10)")
    base.measure(TODAY)
    execute(
        hospital,
        "INSERT INTO t SELECT 'a' FROM generate_series(1, 5)",
        "INSERT INTO t SELECT 'b' FROM generate_series(1, 6)",
    )
    base.measure(LATER)
    rows = base.rows('SELECT * FROM metric_basic_levels WHERE "date" = %s ORDER BY value', LATER)
    assert [(r["value"], r["frequency"], r["delta_frequency"], r["evol_frequency"]) for r in rows] == [
        ("a", 15, 5, 1.5),
        ("b", 6, None, None),
    ]


# Changes ----------------------------------------------------------------------------------------------------


def test_deltas_compare_with_the_last_date_there_is(base: Base, ward: Row, hospital: Database) -> None:
    """Fault 10: one missed night lost all deltas; text metrics never had any."""
    execute(hospital, "CREATE TABLE t (n int, d date, flag boolean)", "INSERT INTO t VALUES (1, '2020-01-01', true)")
    base.measure(TODAY)
    first = base.metrics(TODAY)["t", "n"]
    assert (first["previous_date"], first["delta_value_counts"], first["schema_change"]) == (None, None, "")
    execute(hospital, "INSERT INTO t VALUES (3, '2020-01-11', NULL), (NULL, NULL, true)")
    base.measure(LATER)
    n, d, flag = (base.metrics(LATER)["t", column] for column in ("n", "d", "flag"))
    assert n["previous_date"] == dt.date(2026, 1, 31)
    assert (n["delta_value_counts"], n["evol_value_counts"]) == (1, 2.0)
    assert (n["delta_na_values"], n["evol_na_values"]) == (1, None)
    assert (n["delta_max_num_var"], n["evol_max_num_var"], n["delta_std_num_var"]) == (2, 3.0, None)
    assert (n["delta_data_type"], n["delta_infered_data_type"], n["delta_is_key"]) == (0, 0, 0)
    assert (d["delta_max_date_var"], d["delta_min_date_var"], d["delta_future_dates"]) == (10, 0, 0)
    assert (flag["delta_true_count"], flag["evol_true_count"]) == (1, 2.0)


def test_what_came_went_or_changed_its_type_is_noted_once(base: Base, ward: Row, hospital: Database) -> None:
    """Fault 10: a dropped column or table, or another type, raised nothing."""
    execute(
        hospital, "CREATE TABLE t (a int, b int, c int)", "CREATE TABLE u (x int)", "INSERT INTO t VALUES (1, 1, 1)"
    )
    base.measure(TODAY)
    execute(hospital, "ALTER TABLE t DROP a, ADD d int, ALTER b TYPE text", "DROP TABLE u")
    for _ in range(2):  # a second run on the same date says the same
        run = base.measure(LATER)
        found = {place: row["schema_change"] for place, row in base.metrics(LATER).items()}
        assert found == {
            ("t", "a"): "dropped",
            ("u", "x"): "dropped",
            ("t", "b"): "retyped",
            ("t", "c"): "",
            ("t", "d"): "new",
        }
        assert run.only()["metrics"] == 5
    gone, retyped = base.metrics(LATER)["t", "a"], base.metrics(LATER)["t", "b"]
    assert (gone["value_counts"], gone["previous_date"]) == (None, dt.date(2026, 1, 31))
    assert (retyped["delta_data_type"], retyped["delta_infered_data_type"], retyped["delta_levels_count"]) == (1, 1, 0)
    base.measure("2026-02-04")
    assert {row["schema_change"] for row in base.metrics("2026-02-04").values()} == {""}
    execute(hospital, "ALTER TABLE t ADD a int")
    base.measure("2026-02-05")
    back = base.metrics("2026-02-05")["t", "a"]
    assert (back["schema_change"], back["previous_date"]) == ("new", dt.date(2026, 1, 31))


def test_a_table_that_failed_or_is_left_out_is_not_called_dropped(base: Base, ward: Row, hospital: Database) -> None:
    """Not seen is not gone."""
    execute(
        hospital,
        "CREATE TABLE t (a int)",
        "CREATE TABLE u (x int)",
        "CREATE VIEW v AS SELECT 1 / (SELECT count(*) FROM t) AS one",
    )
    execute(hospital, "INSERT INTO t VALUES (1)")
    base.measure(TODAY)
    execute(hospital, "DELETE FROM t")
    run = base.measure(LATER, {**ward, "config": {"exclude_tables": ["u"]}})
    assert run.only()["incomplete"] == ["v"]
    assert set(base.metrics(LATER)) == {("t", "a")}


# Running twice, failing, failing in part --------------------------------------------------------------------


def test_running_twice_on_one_date_leaves_one_set_of_rows(base: Base, ward: Row, hospital: Database) -> None:
    """Fault 13. A dbversion that changed in between leaves no rows behind either."""
    execute(
        hospital, "CREATE TABLE version (version text)", "INSERT INTO version VALUES ('0.9')", "CREATE TABLE t (a text)"
    )
    execute(hospital, "INSERT INTO t SELECT 'x' FROM generate_series(1, 9)")
    base.measure(TODAY)
    execute(hospital, "INSERT INTO version VALUES ('0.10')")
    run = base.measure(TODAY)
    assert run.only()["version"] == "0.10"
    rows = base.rows("SELECT * FROM metric_basic")
    assert sorted((r["table"], r["column"], r["dbversion"]) for r in rows) == [
        ("t", "a", "0.10"),
        ("version", "version", "0.10"),
    ]
    assert base.levels(TODAY, "t", "a") == {"x": 9}


def test_a_failure_in_the_middle_of_storing_leaves_the_former_rows(base: Base, ward: Row, hospital: Database) -> None:
    """Fault 12: the original emptied the table first."""
    execute(hospital, "CREATE TABLE t (a text)", "INSERT INTO t SELECT 'Dupont' FROM generate_series(1, 9)")
    base.measure(TODAY)
    execute(hospital, "INSERT INTO t SELECT 'Dupont' FROM generate_series(1, 9)")
    base.execute("ALTER TABLE metric_basic_levels ADD CONSTRAINT broken CHECK (false) NOT VALID")
    run = base.measure(TODAY)
    assert run.exit_code == 1
    assert run.only()["status"] == "failed"
    assert "CheckViolation (23514)" in run.only()["message"]
    assert "Dupont" not in run.text
    assert base.metrics(TODAY)["t", "a"]["value_counts"] == 9
    assert base.levels(TODAY, "t", "a") == {"Dupont": 9}


@pytest.mark.parametrize("variable", ["HDM_CONTEXT", "HDM_REPORT"])
def test_a_missing_environment_never_ends_with_exit_0(base: Base, ward: Row, variable: str) -> None:
    """Fault 14, also through the bootstrap script, whose last command it is."""
    run = base.run("metric-packs/basic", "", TODAY, base.endpoints, bootstrap=True, variables={variable: None})
    assert run.exit_code == 1
    assert f"{variable} is not set" in run.output


def test_an_unreachable_base_never_ends_with_exit_0(base: Base, ward: Row) -> None:
    """Fault 14, the other half."""
    run = base.measure(TODAY, variables={"PGPORT": "1"})
    assert run.exit_code == 1
    assert "the HDM base cannot be used" in run.output


def test_a_run_without_endpoints_says_so(base: Base) -> None:
    """Fault 1: zero databases matched, exit 0, success."""
    run = base.run("metric-packs/basic", "metric_basic.py", TODAY, [])
    assert run.exit_code == 99
    assert "no endpoints" in run.output


def test_one_failed_endpoint_does_not_stop_the_others(
    base: Base, ward: Row, hospital: Database, tmp_path: Path
) -> None:
    """Fault 20, for all that can be wrong with an endpoint. What was not failed stays partial: the exit code is 0."""
    execute(hospital, "CREATE TABLE t (a int)", "CREATE VIEW v AS SELECT 1 / 0 AS one")
    broken = {
        "cannot connect": {**ward, "slug": "away", "port": 1},
        "min_count must be": {**ward, "slug": "wrong", "config": {"min_count": "few", "schemas": 3}},
        "type 'oracle' is none of": {**ward, "slug": "oracle", "type": "oracle"},
        "unable to open": sqlite_endpoint(tmp_path / "nowhere.sqlite"),
    }
    run = base.measure(TODAY, *broken.values(), ward)
    for reason, endpoint in broken.items():
        report = run.reports[endpoint["slug"]]
        assert report["status"] == "failed"
        assert reason in report["message"]
    assert "schemas must be" in run.reports["wrong"]["message"]
    assert run.reports[ward["slug"]]["status"] == "partial"
    assert run.exit_code == 0
    assert ward["password"] not in run.text


def test_the_exit_code_is_1_when_every_endpoint_failed(base: Base, ward: Row) -> None:
    """Also for somebody who runs the pack by hand."""
    assert base.measure(TODAY, {**ward, "port": 1}).exit_code == 1


def test_one_failed_table_does_not_stop_the_others_and_no_value_is_told(
    base: Base, ward: Row, hospital: Database
) -> None:
    """A database's error text quotes the row that caused it."""
    execute(
        hospital,
        "CREATE TABLE people (name text)",
        "INSERT INTO people VALUES ('Dupont')",
        "CREATE VIEW ages AS SELECT name::int AS age FROM people",
    )
    run = base.measure(TODAY)
    report = run.only()
    assert (report["status"], report["incomplete"], run.exit_code) == ("partial", ["ages"], 0)
    assert "table ages not measured: InvalidTextRepresentation (22P02)" in run.output
    assert "Dupont" not in run.text
    assert set(base.metrics(TODAY)) == {("people", "name")}


def test_tables_that_the_account_may_not_read_are_incomplete_on_postgresql(
    base: Base, ward: Row, hospital: Database
) -> None:
    """They are there, so they are named; a run in which nothing can be read replaces nothing."""
    role = f"reader_{hospital.name}"
    execute(hospital, "CREATE TABLE t (a int)", "CREATE TABLE u (a int)")
    base.measure(TODAY)
    execute(hospital, f"CREATE ROLE {role} LOGIN PASSWORD 'reader'", f"GRANT SELECT ON t TO {role}")
    try:
        as_reader = {**ward, "user": role, "password": "reader"}
        run = base.measure(LATER, as_reader)
        assert (run.only()["status"], run.only()["incomplete"]) == ("partial", ["u"])
        assert "InsufficientPrivilege (42501)" in run.output
        execute(hospital, f"REVOKE SELECT ON t FROM {role}")
        run = base.measure(LATER, as_reader)
        assert (run.only()["status"], run.exit_code) == ("failed", 1)
        assert set(base.metrics(LATER)) == {("t", "a")}
    finally:
        execute(hospital, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_an_endpoint_without_tables_is_ok_and_says_so(base: Base, ward: Row) -> None:
    """Nothing to measure is no failure, and no silent success."""
    report = base.measure(TODAY).only()
    assert (report["status"], report["metrics"], report["version"]) == ("ok", 0, "0.0")
    assert "no tables" in report["message"]


def test_the_endpoints_database_is_not_written_to(base: Base, ward: Row, hospital: Database) -> None:
    """A view that writes meets a read-only transaction."""
    execute(
        hospital,
        "CREATE TABLE t (a int)",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (1) RETURNING 1'",
        "CREATE VIEW v AS SELECT f() AS a",
    )
    run = base.measure(TODAY)
    assert run.only()["incomplete"] == ["v"]
    assert "(25006)" in run.output


# Configuration ----------------------------------------------------------------------------------------------


def test_configuration_chooses_schemas_tables_and_min_count(base: Base, ward: Row, hospital: Database) -> None:
    """min_count, schemas, exclude_tables: of the endpoint's merged configuration."""
    execute(
        hospital,
        "CREATE SCHEMA lab",
        "CREATE SCHEMA other",
        "CREATE TABLE lab.results (c text)",
        "INSERT INTO lab.results SELECT 'x' FROM generate_series(1, 3)",
        "CREATE TABLE lab.tmp_1 (c text)",
        "CREATE TABLE other.t (c text)",
        "CREATE TABLE t (c text)",
    )
    config = {"min_count": 3, "schemas": ["lab", "public"], "exclude_tables": ["*.tmp_*"], "esHost": "http://es"}
    run = base.measure(TODAY, {**ward, "config": config})
    assert set(base.metrics(TODAY)) == {("lab.results", "c"), ("t", "c")}
    assert base.levels(TODAY, "lab.results", "c") == {"x": 3}
    assert run.only()["message"] == "2 of 2 tables measured, 2 left out by configuration"


def test_limit_enabled_is_answered_and_not_ignored(base: Base, ward: Row, hospital: Database) -> None:
    """The original read the first n rows; who set that must learn that all are read."""
    execute(hospital, "CREATE TABLE t (a int)")
    run = base.measure(TODAY, {**ward, "config": {"limit_enabled": "true", "search_results_limit": 10}})
    assert "all rows are read" in run.output
    assert "all rows are read" in run.only()["message"]


def test_configuration_that_is_no_json_is_ignored_with_a_warning(base: Base, ward: Row, hospital: Database) -> None:
    """Old configurations are sometimes just a word."""
    execute(hospital, "CREATE TABLE t (a int)")
    run = base.measure(TODAY, {**ward, "config": "dev"})
    assert run.only()["status"] == "ok"
    assert "plain text, not JSON: ignored" in run.output


# Engines ----------------------------------------------------------------------------------------------------


def test_nan_and_infinity_count_as_values_and_break_nothing(base: Base, ward: Row, hospital: Database) -> None:
    """They are no part of minimum, maximum, mean, median and deviation."""
    execute(
        hospital,
        "CREATE TABLE t (f float8, n numeric, d date, huge float8, tiny numeric)",
        """INSERT INTO t VALUES ('NaN', 'NaN', 'infinity', 1.7e308, 1e-400),
           ('Infinity', 'Infinity', '-infinity', 1.7e308, 1e400),
           ('-Infinity', 1, '2020-01-01', -1e200, 0), (1, 3, '0044-03-15 BC', 5, 0), (2, NULL, NULL, 5, 0)""",
    )
    run = base.measure(TODAY)
    assert run.only()["status"] == "ok", run.output
    found = {column: row for (_, column), row in base.metrics(TODAY).items()}
    f, n = found["f"], found["n"]
    assert (f["value_counts"], f["levels_count"], f["min_num_var"], f["max_num_var"]) == (5, 5, 1, 2)
    assert (f["mean_num_var"], f["median_num_var"], f["std_num_var"]) == (1.5, 1.5, pytest.approx(0.5**0.5))
    assert (n["value_counts"], n["min_num_var"], n["mean_num_var"], n["max_num_var"]) == (4, 1, 2, 3)
    assert (found["d"]["max_date_var"], found["d"]["future_dates"]) == (moment(2020, 1, 1), 1)
    assert (found["huge"]["median_num_var"], found["huge"]["mean_num_var"]) == (5, pytest.approx(6.8e307))
    assert (found["tiny"]["median_num_var"], found["tiny"]["max_num_var"]) == (0, 0)


def test_types_of_postgresql_are_told_as_declared_and_grouped_by_what_they_mean(
    base: Base, ward: Row, hospital: Database
) -> None:
    """Domains, enums, uuids, arrays and the rest; types without equality have no levels."""
    execute(
        hospital,
        "CREATE TYPE mood AS ENUM ('sad', 'ok')",
        "CREATE DOMAIN grade AS smallint CHECK (value > 0)",
        "CREATE TABLE t (a numeric(10,2), b numeric(10), c grade, d mood, e uuid, f json, g text[], h timestamptz,"
        " i time, j char(3), k bytea, l real, m interval)",
        "INSERT INTO t VALUES (1.5, 2, 3, 'ok', gen_random_uuid(), '{}', '{a}',"
        " '2020-01-01 01:00+02', '24:00', 'x', '', 0.1, '1 day')",
    )
    run = base.measure(TODAY)
    assert run.only()["status"] == "ok", run.output
    found = {column: row for (_, column), row in base.metrics(TODAY).items()}
    assert {column: (row["data_type"], row["infered_data_type"]) for column, row in found.items()} == {
        "a": ("numeric(10,2)", "float"),
        "b": ("numeric(10,0)", "integer"),
        "c": ("grade", "integer"),
        "d": ("mood", "text"),
        "e": ("uuid", "text"),
        "f": ("json", "other"),
        "g": ("text[]", "other"),
        "h": ("timestamp with time zone", "datetime"),
        "i": ("time without time zone", "time"),
        "j": ("character(3)", "text"),
        "k": ("bytea", "other"),
        "l": ("real", "float"),
        "m": ("interval", "other"),
    }
    assert (found["f"]["value_counts"], found["f"]["levels_count"], found["f"]["is_key"]) == (1, None, False)
    assert found["h"]["max_date_var"] == moment(2019, 12, 31, 23)


def test_names_that_need_quoting_are_quoted(
    base: Base, hospital: Database, mariadb: MariaDB, mariadb_database: str, tmp_path: Path
) -> None:
    """Quotes, percent signs, dots, reserved words and injections are names like any other."""
    names = ['a"b', "100%", "%s", "select", "x.y", "'; DROP TABLE t; --", "?"]
    standard = ", ".join('"' + name.replace('"', '""') + '" int' for name in names)
    execute(hospital, f'CREATE TABLE "my table" ({standard})')
    with mariadb.connect(mariadb_database) as connection, connection.cursor() as cursor:
        backticks = ", ".join("`" + name.replace("`", "``") + "` int" for name in [*names, "a`b"])
        cursor.execute(f"CREATE TABLE `my table` ({backticks})")
    lab = sqlite_file(tmp_path / "a b%.sqlite", f'CREATE TABLE "my table" ({standard})')
    endpoints = [postgres_endpoint(hospital), mariadb_endpoint(mariadb, mariadb_database), lab]
    run = base.measure(TODAY, *endpoints)
    assert {report["status"] for report in run.reports.values()} == {"ok"}, run.output
    for endpoint in endpoints:
        found = set(base.metrics(TODAY, endpoint)) - {("my table", "a`b")}
        assert found == {("my table", name) for name in names}


def test_databases_of_one_name_stay_apart(base: Base, tmp_path: Path) -> None:
    """The slug is in the key: two hosts may have a database of one name."""
    (tmp_path / "other").mkdir()
    first = sqlite_file(tmp_path / "lab.sqlite", "CREATE TABLE t (a INTEGER)")
    second = sqlite_file(tmp_path / "other" / "lab.sqlite", "CREATE TABLE t (a TEXT)")
    base.measure(TODAY, first, second)
    assert base.metrics(TODAY, first)["t", "a"]["infered_data_type"] == "integer"
    assert base.metrics(TODAY, second)["t", "a"]["infered_data_type"] == "text"


def test_a_column_of_sqlite_is_what_it_holds(base: Base, tmp_path: Path) -> None:
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
    run = base.measure(TODAY, lab)
    assert run.only()["incomplete"] == ["v"]
    found = {column: row for (_, column), row in base.metrics(TODAY).items()}
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


def test_types_of_mariadb_are_handled(base: Base, mariadb: MariaDB, mariadb_database: str) -> None:
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
    run = base.measure(TODAY, mariadb_endpoint(mariadb, mariadb_database))
    assert run.only()["incomplete"] == ["v"], run.output
    found = {column: row for (_, column), row in base.metrics(TODAY).items()}
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


def test_an_endpoint_with_ssl_is_never_read_in_plain_text(
    base: Base, ward: Row, mariadb: MariaDB, mariadb_database: str
) -> None:
    """Fault 17: servers without SSL, or with a certificate that nobody vouches for, are refused."""
    lab = {**mariadb_endpoint(mariadb, mariadb_database), "ssl": "true"}
    run = base.measure(TODAY, {**ward, "ssl": "true"}, {**lab, "config": {"ssl_verify": False}})
    for report in run.reports.values():
        assert report["status"] == "failed"
        assert "SSL" in report["message"]


def test_a_table_wider_than_one_query_is_measured(base: Base, ward: Row, hospital: Database) -> None:
    """PostgreSQL takes 1,664 expressions in a query; a table may have 1,600 columns."""
    execute(
        hospital,
        f"CREATE TABLE t ({', '.join(f'c{i} int' for i in range(350))})",
        "INSERT INTO t (c0, c349) VALUES (1, 2)",
    )
    base.measure(TODAY)
    found = base.metrics(TODAY)
    assert len(found) == 350
    assert [found["t", f"c{i}"]["value_counts"] for i in (0, 1, 349)] == [1, 0, 1]


def test_progress_is_told_per_table(base: Base, ward: Row, hospital: Database) -> None:
    """A long night can be followed in the log."""
    execute(hospital, "CREATE TABLE t (a int)", "CREATE TABLE u (a int)")
    run = base.measure(TODAY)
    assert [(line["progress"], line["message"].split(": ")[1]) for line in run.lines if "progress" in line] == [
        (0.0, "t (1 of 2)"),
        (0.5, "u (2 of 2)"),
    ]


def test_identifiers_are_uuids_too(base: Base, ward: Row, hospital: Database) -> None:
    """A uuid column is text to the metrics, and a key where its name says so."""
    execute(hospital, "CREATE TABLE t (event_uuid uuid)")
    with hospital.connect() as connection:
        for i in range(3):
            connection.execute(b"INSERT INTO t VALUES (%s)", [UUID(int=i)])
    base.measure(TODAY)
    assert base.metrics(TODAY)["t", "event_uuid"]["is_key"] is True
