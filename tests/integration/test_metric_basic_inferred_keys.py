"""Foreign keys that nobody declared: inferred from names and values, then measured night after night."""

from __future__ import annotations

import csv
import io
import random
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.metric_basic_harness import LATER, TODAY
from tests.integration.pack_harness import ROOT, mariadb_endpoint, sqlite_endpoint
from tests.integration.test_metric_basic_foreign_keys import orphans, stored

if TYPE_CHECKING:
    from demo.services import MariaDB
    from tests.integration.metric_basic_harness import Ward
    from tests.integration.pack_harness import Row

OMOP = ROOT.parent / "shared" / "data" / "omop-cdm-5.4-synthea27nj.zip"
#: Each column that refers to a key in the OMOP tables, and to which; those with fewer than five values are left out.
CDM_KEYS = {
    "person_id": "person",
    "provider_id": "provider",
    "visit_occurrence_id": "visit_occurrence",
    "preceding_visit_occurrence_id": "visit_occurrence",
    "visit_detail_id": "visit_detail",
    "preceding_visit_detail_id": "visit_detail",
    "condition_concept_id": "concept",
    "condition_source_concept_id": "concept",
    "drug_concept_id": "concept",
    "drug_source_concept_id": "concept",
    "measurement_concept_id": "concept",
    "measurement_source_concept_id": "concept",
    "observation_concept_id": "concept",
    "observation_source_concept_id": "concept",
    "procedure_concept_id": "concept",
    "procedure_source_concept_id": "concept",
}

WARDS = (
    "CREATE TABLE wards (ward_id int PRIMARY KEY, code varchar(9) UNIQUE)",
    "INSERT INTO wards SELECT i, 'c' || i FROM generate_series(1, 9) i",
)


def test_once_inferred_a_key_is_measured_also_when_it_breaks(ward: Ward) -> None:
    """That is the point of inferring it on a sound night."""
    ward.execute(
        *WARDS,
        "CREATE TABLE stays (stay_id int, ward_id bigint, ward_code text)",
        "INSERT INTO stays SELECT i, i % 9 + 1, 'c' || i % 9 + 1 FROM generate_series(1, 90) i",
    )
    ward.measure(TODAY)
    sound = {"stays (ward_id) -> wards (ward_id)": 0, "stays (ward_code) -> wards (code)": 0}
    assert orphans(ward) == sound
    assert not any(row["declared"] for row in stored(ward).values())
    ward.execute("UPDATE stays SET ward_id = 99 WHERE stay_id <= 20")
    ward.execute("UPDATE stays SET ward_code = 'C1' WHERE stay_id = 1")
    ward.measure(LATER)
    row = stored(ward, LATER)["stays (ward_id) -> wards (ward_id)"]
    assert (row["declared"], row["values_count"], row["orphans"], row["parents"]) == (False, 90, 20, 9)
    assert row["percent_orphans"] == pytest.approx(100 * 20 / 90)
    assert orphans(ward, LATER) == {"stays (ward_id) -> wards (ward_id)": 20, "stays (ward_code) -> wards (code)": 1}
    ward.execute("INSERT INTO wards VALUES (99, 'C1')", "ALTER TABLE wards DROP CONSTRAINT wards_pkey")
    ward.execute("INSERT INTO wards VALUES (1, 'doubled')")
    ward.measure(LATER)
    assert orphans(ward, LATER) == sound
    assert stored(ward, LATER)["stays (ward_id) -> wards (ward_id)"]["parents"] == 10  # two rows are one parent


def test_what_is_no_key_on_its_first_night_is_not_stored(ward: Ward) -> None:
    """Values without a parent, too few values, two likely parents, another kind, a view, a declared key."""
    ward.execute(
        *WARDS,
        *("CREATE TABLE dim_unit (unit_id int PRIMARY KEY)", "CREATE TABLE units (unit_id int PRIMARY KEY)"),
        *("INSERT INTO dim_unit SELECT generate_series(1, 9)", "INSERT INTO units SELECT generate_series(1, 9)"),
        "CREATE TABLE few (ward_id int)",
        "INSERT INTO few SELECT i % 4 + 1 FROM generate_series(1, 90) i",
        "CREATE TABLE broken (ward_id int)",
        "INSERT INTO broken SELECT i FROM generate_series(1, 10) i",
        "CREATE TABLE doubtful (unit_id int)",
        "INSERT INTO doubtful SELECT generate_series(1, 9)",
        "CREATE TABLE other (ward_id text)",
        "INSERT INTO other SELECT generate_series(1, 9)",
        "CREATE VIEW shown AS SELECT ward_id FROM wards",
        "CREATE TABLE empty (ward_id int)",
        "CREATE TABLE bound (ward_id int REFERENCES units)",
        "INSERT INTO bound SELECT generate_series(1, 9)",
    )
    run = ward.measure(TODAY)
    assert run.only()["status"] == "ok", run.output
    assert orphans(ward) == {"bound (ward_id) -> units (unit_id)": 0}
    ward.execute("DELETE FROM broken WHERE ward_id = 10")
    ward.measure(LATER)
    assert orphans(ward, LATER) == {"bound (ward_id) -> units (unit_id)": 0, "broken (ward_id) -> wards (ward_id)": 0}


def test_a_table_of_the_same_schema_is_the_likelier_parent(ward: Ward) -> None:
    """Copies of a model in several schemas refer to themselves."""
    for schema in ("a", "b"):
        ward.execute(
            f"CREATE SCHEMA {schema}",
            f"CREATE TABLE {schema}.wards (id int PRIMARY KEY)",
            f"CREATE TABLE {schema}.stays (first_ward_id int)",
            f"INSERT INTO {schema}.wards SELECT generate_series(1, 9)",
            f"INSERT INTO {schema}.stays SELECT generate_series(1, 9)",
        )
    ward.execute("CREATE TABLE stays (ward_id int)", "INSERT INTO stays SELECT generate_series(1, 9)")
    ward.measure(TODAY)
    assert set(orphans(ward)) == {
        "a.stays (first_ward_id) -> a.wards (id)",
        "b.stays (first_ward_id) -> b.wards (id)",
    }


def test_keys_are_inferred_on_every_engine(ward: Ward, mariadb: MariaDB, mariadb_database: str, tmp_path: Path) -> None:
    """Numbers and texts, with names of any case; once inferred, MariaDB's and SQLite's stay measured, too."""
    statements = [
        "CREATE TABLE Patient (PatientId int PRIMARY KEY, mrn varchar(20) UNIQUE)",
        "CREATE TABLE visits (visit_id int PRIMARY KEY, PatientId int, mrn varchar(20), previous_visit_id int)",
        *(f"INSERT INTO Patient VALUES ({i}, 'm{i}')" for i in range(10)),
        *(f"INSERT INTO visits VALUES ({i}, {i % 10}, 'm{i % 10}', {max(0, i - 1)})" for i in range(20)),
    ]
    path = tmp_path / "lab.sqlite"
    endpoints = [mariadb_endpoint(mariadb, mariadb_database), sqlite_endpoint(path)]

    def execute(*some: str) -> None:
        with mariadb.connect(mariadb_database) as connection, connection.cursor() as cursor:
            for statement in some:
                cursor.execute(statement)
            connection.commit()
        with closing(sqlite3.connect(path)) as lab:
            for statement in some:
                lab.execute(statement)
            lab.commit()

    execute(*statements)
    ward.base.measure(TODAY, *endpoints)
    keys = {
        "visits (PatientId) -> Patient (PatientId)": 0,
        "visits (mrn) -> Patient (mrn)": 0,
        "visits (previous_visit_id) -> visits (visit_id)": 0,
    }
    for endpoint in endpoints:
        assert {key: row["orphans"] for key, row in stored(ward, TODAY, endpoint).items()} == keys, endpoint["type"]
    execute("UPDATE visits SET PatientId = 77, mrn = 'gone', previous_visit_id = 77 WHERE visit_id < 3")
    ward.base.measure(LATER, *endpoints)
    for endpoint in endpoints:
        found = {key: row["orphans"] for key, row in stored(ward, LATER, endpoint).items()}
        assert found == dict.fromkeys(keys, 3), endpoint["type"]


def test_a_key_that_cannot_be_compared_is_named_in_the_log(ward: Ward) -> None:
    """Its columns have different collations, and no constraint says which one applies. The values stay untold."""
    ward.execute(
        'CREATE TABLE wards (code text COLLATE "C" PRIMARY KEY)',
        'CREATE TABLE stays (ward_code text COLLATE "POSIX")',
        "INSERT INTO wards SELECT 'secret' || i FROM generate_series(1, 9) i",
        "INSERT INTO stays SELECT 'secret' || i FROM generate_series(1, 9) i",
    )
    ward.measure(TODAY)
    assert orphans(ward) == {"stays (ward_code) -> wards (code)": 0}  # the pass has seen all of them
    ward.execute("INSERT INTO stays VALUES ('secret')")
    run = ward.measure(LATER)
    assert run.only()["status"] == "ok"
    assert "foreign key stays (ward_code) -> wards (code) not measured: IndeterminateCollation (42P22)" in run.output
    assert "secret" not in run.text


def test_a_sample_infers_no_key_from_values_that_are_unique_in_it(ward: Ward) -> None:
    """Declared keys are parents all the same, and the counts are those of whole tables."""
    ward.execute(
        *WARDS,
        "CREATE TABLE beds (bed_id int)",
        "INSERT INTO beds SELECT generate_series(1, 500)",
        "CREATE TABLE stays (ward_id int, bed_id int)",
        "INSERT INTO stays SELECT i % 9 + 1, i FROM generate_series(1, 500) i",
    )
    ward.measure(TODAY, config={"limit_enabled": True, "search_results_limit": 200})
    found = stored(ward)
    assert set(found) == {"stays (ward_id) -> wards (ward_id)"}
    assert found["stays (ward_id) -> wards (ward_id)"]["values_count"] == 500


@pytest.fixture(scope="module")
def cdm() -> dict[str, list[list[str]]]:
    """OMOP tables, header first: real ones if they are here, otherwise some of their form."""
    if not OMOP.is_file():
        return made_cdm()
    with zipfile.ZipFile(OMOP) as archive:
        names = [name for name in archive.namelist() if name.endswith(".csv") and "/" not in name]
        return {
            name[:-4].lower(): list(csv.reader(io.TextIOWrapper(archive.open(name), "utf-8-sig")))
            for name in names
            if name != "CONCEPT_RELATIONSHIP.csv"  # large, and with fewer names of its own
        }


def made_cdm() -> dict[str, list[list[str]]]:
    """Tables of the CDM with the columns of CDM_KEYS."""
    chance = random.Random(20260131)  # noqa: S311  # not a secret
    events = {"condition_occurrence": "condition", "drug_exposure": "drug", "measurement": "measurement"}
    tables = {
        table: [[f"{table}_id"], *([str(i)] for i in range(10, 60))]
        for table in ("person", "provider", "concept", "visit_occurrence", "visit_detail")
    }
    for table, noun in events.items():
        columns = ["person_id", "provider_id", "visit_occurrence_id", f"{noun}_concept_id", f"{noun}_source_concept_id"]
        rows = [[str(i), *(str(chance.randint(10, 59)) for _ in columns)] for i in range(300)]
        tables[table] = [[f"{table}_id", *columns], *rows]
    return tables


def test_the_keys_of_omop_are_inferred_and_no_others(ward: Ward, cdm: dict[str, list[list[str]]]) -> None:
    """The tables of the CDM as they are often loaded: without any constraint."""
    with ward.database.connect(autocommit=True) as connection:
        for table, (head, *rows) in cdm.items():
            numbers = {i for i, name in enumerate(head) if all(row[i].isdecimal() for row in rows if row[i])}
            types = ["bigint" if i in numbers else "text" for i in range(len(head))]
            columns = ", ".join(f'"{name.lower()}" {kind}' for name, kind in zip(head, types, strict=True))
            connection.execute(f"CREATE TABLE {table} ({columns})".encode())
            with connection.cursor().copy(f"COPY {table} FROM STDIN".encode()) as copy:
                for row in rows:
                    copy.write_row([value or None for value in row])
    run = ward.measure(TODAY)
    assert run.only()["status"] == "ok", run.output
    found: list[Row] = ward.base.rows("SELECT * FROM metric_basic_foreign_key")
    assert len(found) >= 15
    assert {row["orphans"] for row in found} == {0}
    for row in found:
        assert row["parent_table"] == CDM_KEYS[row["column"]], row
        assert row["parent_column"] == f"{row['parent_table']}_id", row
    values = ward.ask("SELECT count(condition_concept_id) FROM condition_occurrence")
    ward.execute("UPDATE condition_occurrence SET condition_concept_id = -1 WHERE ctid::text LIKE '%1)'")
    broken = ward.ask("SELECT count(*) FROM condition_occurrence WHERE condition_concept_id = -1")
    ward.measure(LATER)
    row = stored(ward, LATER)["condition_occurrence (condition_concept_id) -> concept (concept_id)"]
    assert (row["values_count"], row["orphans"]) == (values, broken)
    assert sum(row["orphans"] for row in stored(ward, LATER).values()) == broken > 0
