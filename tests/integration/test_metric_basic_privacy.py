"""What metric pack basic keeps to itself: rare levels, personal columns, and every value in what it says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.integration.metric_basic_harness import TODAY, moment, sqlite_file
from tests.integration.pack_harness import mariadb_endpoint

if TYPE_CHECKING:
    from pathlib import Path

    from demo.services import MariaDB
    from tests.integration.metric_basic_harness import Ward


def test_rare_levels_are_suppressed_and_cannot_be_computed(ward: Ward) -> None:
    """A level of one patient points at that patient, also as the difference to value_counts."""
    ward.execute(
        "CREATE TABLE stays (disease text, mode text, outcome text)",
        "INSERT INTO stays SELECT CASE WHEN i = 1 THEN 'rare' WHEN i < 10 THEN 'seldom' ELSE 'flu' END,"
        " CASE WHEN i < 40 THEN 'in' ELSE 'out' END, CASE WHEN i < 3 THEN 'x' ELSE 'y' END"
        " FROM generate_series(1, 100) i",
    )
    ward.measure(TODAY)
    # 'seldom' (8) is frequent enough, but would give 'rare' (1) away.
    assert ward.base.levels(TODAY, "stays", "disease") == {"flu": 91}
    assert ward.base.levels(TODAY, "stays", "mode") == {"in": 39, "out": 61}
    assert ward.base.levels(TODAY, "stays", "outcome") == {}


def test_no_levels_of_identifiers_free_text_and_personal_data_are_stored(ward: Ward) -> None:
    """They would be patients' numbers, sentences and addresses, however often they appear."""
    ward.execute(
        "CREATE TABLE people (pk int PRIMARY KEY)",
        "INSERT INTO people VALUES (1), (2)",
        "CREATE TABLE stays (patient_id int, person int REFERENCES people, report text, address text, last_name text,"
        " gender_concept_id int, ward_code text)",
        "INSERT INTO stays SELECT i % 2, 1 + i % 2, 'he said that it hurts ' || i % 2, 'x', 'y', 8507, 'w'"
        " FROM generate_series(1, 40) i",
    )
    ward.measure(TODAY)
    assert all(
        ward.base.metrics(TODAY)["stays", column]["is_categorical"] for column in ("patient_id", "report", "address")
    )
    stored = {row["column"] for row in ward.base.rows('SELECT DISTINCT "column" FROM metric_basic_levels')}
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
def test_personal_columns_are_known_by_name_in_english_and_french(ward: Ward, columns: str, *, stored: bool) -> None:
    """Names and birth dates of patients were stored; names of drugs and wards should be."""
    names = columns.split()
    declared, values = ", ".join(f'"{name}" text' for name in names), ", ".join(["'x' || i % 2"] * len(names))
    ward.execute(
        f"CREATE TABLE stays ({declared})",
        f"INSERT INTO stays SELECT {values} FROM generate_series(1, 40) i",
    )
    ward.measure(TODAY)
    found = {row["column"] for row in ward.base.rows('SELECT DISTINCT "column" FROM metric_basic_levels')}
    assert found == (set(names) if stored else set())


def test_dates_of_births_stored_as_numbers_are_hidden_as_dates_are(ward: Ward) -> None:
    """The name of `stillbirth` suggests a count: that is stored. 19800517 is a day, and no mean by code may tell it."""
    ward.execute(
        "CREATE TABLE stays (unit_code text, birth_date int, year_of_birth int, stillbirth int, livebirth float8,"
        " births int, birth_weight float8, day date)",
        "INSERT INTO stays SELECT 'u' || i % 2, 19800517 + i % 2, 1980 + i % 2, 20240131 + i % 2, 20240131 + i % 2,"
        " 1 + i % 3, 3 + i % 4, date '2026-01-01' FROM generate_series(1, 240) i",
    )
    ward.measure(TODAY, config={"exclude_levels": ["day"]})
    stored = {row["column"] for row in ward.base.rows('SELECT DISTINCT "column" FROM metric_basic_levels')}
    assert stored == {"unit_code", "births", "birth_weight"}
    by_level = {row["column"] for row in ward.base.rows('SELECT "column" FROM metric_basic_number_by_level')}
    assert by_level == {"births", "birth_weight"}
    found = ward.base.metrics(TODAY)
    lowest = {name: found["stays", name]["min_num_var"] for name in ("birth_date", "stillbirth", "livebirth")}
    assert lowest == {"birth_date": None, "stillbirth": None, "livebirth": None}
    assert found["stays", "year_of_birth"]["min_num_var"] == 1980


def test_configuration_excludes_levels_of_columns(ward: Ward) -> None:
    """Of a column everywhere, or of one table's; the metrics are there all the same."""
    ward.execute(
        "CREATE SCHEMA lab",
        *(f'CREATE TABLE {table} ("Owner" text, col7 text, mode text)' for table in ("stays", "lab.results")),
        *(
            f"INSERT INTO {table} SELECT 'x' || i % 2, 'y' || i % 2, 'z' || i % 2 FROM generate_series(1, 40) i"
            for table in ("stays", "lab.results")
        ),
    )
    ward.measure(TODAY, config={"exclude_levels": ["own*", "Lab.Results.col?", "mode.*"]})
    found = ward.base.rows('SELECT DISTINCT "table", "column" FROM metric_basic_levels ORDER BY 1, 2')
    assert [tuple(row.values()) for row in found] == [("lab.results", "mode"), ("stays", "col7"), ("stays", "mode")]
    assert ward.base.metrics(TODAY)["stays", "Owner"]["levels_count"] == 2
    wrong = ward.measure(TODAY, config={"exclude_levels": 3})
    assert "exclude_levels must be a list of patterns" in wrong.only()["message"]


CANARY = "Dupont-20.02.1961"


def test_no_error_tells_a_value(ward: Ward) -> None:
    """Casts, messages of functions, notices, keys: databases quote the row that made the trouble."""
    raising = {
        "exception": f"BEGIN RAISE EXCEPTION 'patient {CANARY}' USING DETAIL = '{CANARY}', HINT = '{CANARY}'; END",
        "coded": f"BEGIN RAISE EXCEPTION '{CANARY}' USING ERRCODE = 'P0099'; END",
        "notice": f"BEGIN RAISE WARNING '{CANARY}'; RAISE NOTICE '{CANARY}'; RAISE INFO '{CANARY}'; RETURN 1; END",
        "doubled": f"BEGIN CREATE TEMP TABLE seen AS SELECT '{CANARY}'; RETURN 1; END",
    }
    ward.execute(
        "CREATE TABLE people (nothing int, c text)",
        f"INSERT INTO people SELECT NULL, '{CANARY}' FROM generate_series(1, 12000)",
        *(f"CREATE FUNCTION {name}() RETURNS int LANGUAGE plpgsql AS $${body}$$" for name, body in raising.items()),
        *(f"CREATE VIEW v_{name} AS SELECT {name}() AS a FROM people" for name in raising),
        "CREATE VIEW v_number AS SELECT c::int AS a FROM people",
        "CREATE VIEW v_date AS SELECT c::date AS a FROM people",
        "CREATE VIEW v_json AS SELECT c::json ->> 'a' AS a FROM people",
        "CREATE VIEW v_xpath AS SELECT c ~ ('(' || c) AS a FROM people",
        "CREATE VIEW v_late AS SELECT CASE WHEN n > 11000 THEN c::int END AS a"
        " FROM (SELECT c, row_number() OVER () AS n FROM people) AS numbered",
        "CREATE VIEW version AS SELECT c::int AS version FROM people",
    )
    for config in ({}, {"limit_enabled": True, "search_results_limit": 9000}, {"parallel_tables": 3}):
        run = ward.measure(config={**config, "exclude_levels": ["c"]})
        assert run.only()["status"] == "partial"
        failed = {"v_exception", "v_coded", "v_doubled", "v_number", "v_date", "v_json", "v_xpath", "version"}
        assert failed <= set(run.only()["incomplete"]) <= failed | {"v_late"}, run.output
        assert "Dupont" not in run.text
        assert "1961" not in run.text
    assert not ward.base.rows("SELECT FROM metric_basic m WHERE m::text LIKE '%Dupont%'")


def test_no_error_of_mariadb_tells_a_value(ward: Ward, mariadb: MariaDB, mariadb_database: str) -> None:
    """Nor one of a session that somebody ends: the other tables are read over a new connection."""
    signal = f"SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{CANARY}'"
    with mariadb.connect(mariadb_database, autocommit=True) as connection, connection.cursor() as cursor:
        for statement in (
            "CREATE TABLE people (c varchar(80))",
            f"INSERT INTO people VALUES ('{CANARY}')",
            f"CREATE FUNCTION f() RETURNS int BEGIN {signal}; RETURN 1; END",
            "CREATE VIEW v_signal AS SELECT f() AS a FROM people",
            "CREATE VIEW v_range AS SELECT 18446744073709551615 + length(c) AS a FROM people",
            "CREATE FUNCTION g() RETURNS int BEGIN KILL CONNECTION_ID(); RETURN sleep(1); END",
            "CREATE VIEW v_killed AS SELECT g() AS a FROM people",
            "CREATE VIEW z AS SELECT count(*) AS a FROM people",
        ):
            cursor.execute(statement)
    run = ward.base.measure(TODAY, mariadb_endpoint(mariadb, mariadb_database))
    assert run.only()["incomplete"] == ["v_killed", "v_range", "v_signal"], run.output
    for view, code in (("v_killed", 1927), ("v_range", 1690), ("v_signal", 1644)):
        assert re.search(rf"table {view} not measured: .*{code}", run.output), run.output
    assert "Dupont" not in run.text
    assert set(ward.tables()) == {"people", "z"}


def test_no_error_of_sqlite_tells_a_value(ward: Ward, tmp_path: Path) -> None:
    """Its functions quote what they were given."""
    lab = sqlite_file(
        tmp_path / "lab.sqlite",
        "CREATE TABLE people (c TEXT)",
        f"INSERT INTO people VALUES ('{CANARY}')",
        "CREATE VIEW v_json AS SELECT json_extract(c, '$.a') AS a FROM people",
        "CREATE VIEW v_path AS SELECT json_extract('{}', c) AS a FROM people",
    )
    run = ward.base.measure(TODAY, lab)
    assert run.only()["incomplete"] == ["v_json", "v_path"]
    assert "Dupont" not in run.text


def test_columns_tagged_as_identifying_are_not_read(ward: Ward, mariadb: MariaDB, mariadb_database: str) -> None:
    """By their comment in the database, or by the configuration."""
    ward.execute(
        "CREATE TABLE t (a int, secret text, tagged text, kept text)",
        "COMMENT ON COLUMN t.tagged IS 'the name; hdm:identifying'",
        "COMMENT ON COLUMN t.kept IS 'not identifying'",
    )
    with mariadb.connect(mariadb_database, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE t (a int, secret text, tagged text COMMENT 'hdm:identifying', kept text)")
    lab = mariadb_endpoint(mariadb, mariadb_database, config={"identifying": ["SECRET"]})
    ward.measure(TODAY, config={"identifying": ["SECRET"]})
    ward.base.measure(TODAY, lab)
    for endpoint in (ward.endpoint, lab):
        assert set(ward.base.metrics(TODAY, endpoint)) == {("t", "a"), ("t", "kept")}


def test_tagged_columns_are_not_read_in_views_either(ward: Ward, mariadb: MariaDB, mariadb_database: str) -> None:
    """They show the column under its name, without its comment."""
    ward.execute(
        "CREATE TABLE people (nr int, kind text, sex text)",
        "COMMENT ON COLUMN people.nr IS 'hdm:identifying'",
        "COMMENT ON COLUMN people.kind IS 'hdm:identifying'",
        "INSERT INTO people SELECT 4711 + i, 'k' || i % 2, 'f' FROM generate_series(1, 20) i",
        "CREATE VIEW v AS SELECT * FROM people",
        "CREATE MATERIALIZED VIEW mv AS SELECT * FROM people",
    )
    with mariadb.connect(mariadb_database, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE people (nr int COMMENT 'hdm:identifying', sex text)")
        cursor.execute("CREATE VIEW v AS SELECT * FROM people")
    lab = mariadb_endpoint(mariadb, mariadb_database)
    ward.base.measure(TODAY, ward.endpoint, lab)
    assert set(ward.base.metrics(TODAY, ward.endpoint)) == {("people", "sex"), ("v", "sex"), ("mv", "sex")}
    assert set(ward.base.metrics(TODAY, lab)) == {("people", "sex"), ("v", "sex")}
    assert not ward.base.rows("SELECT FROM metric_basic_levels WHERE \"column\" = 'kind'")


def test_minimum_and_maximum_are_rounded_where_configured(ward: Ward) -> None:
    """They are values of single patients."""
    ward.execute("CREATE TABLE t AS SELECT i * 1.2345 AS n, date '2020-03-17' + i AS d FROM generate_series(1, 50) i")
    ward.measure(TODAY, config={"round_numbers": 2, "round_dates": "month"})
    n, d = ward.columns()["n"], ward.columns()["d"]
    assert (n["min_num_var"], n["max_num_var"], n["p99_num_var"]) == (1.2, 62, 61)
    assert (d["min_date_var"], d["max_date_var"]) == (moment(2020, 3, 1), moment(2020, 5, 1))
