"""Which columns metric pack basic calls keys, and what constraints it tells."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from tests.integration.metric_basic_harness import TODAY
from tests.integration.pack_harness import mariadb_endpoint

if TYPE_CHECKING:
    from demo.services import MariaDB
    from tests.integration.metric_basic_harness import Ward


def test_a_name_or_a_weight_with_unique_values_is_no_key(ward: Ward) -> None:
    """Whatever happened to be unique was called a key."""
    ward.execute(
        "CREATE TABLE patients (patient_id int, mrn uuid, ward_code text, name text, weight float,"
        " born date, nr int UNIQUE)",
        """INSERT INTO patients SELECT i, ('00000000-0000-0000-0000-' || lpad(i::text, 12, '0'))::uuid, 'w' || i,
           'name ' || i, i + 0.5, date '2000-01-01' + i, i FROM generate_series(1, 20) i""",
    )
    ward.measure(TODAY)
    keys = {column: row["is_key"] for (_, column), row in ward.base.metrics(TODAY).items()}
    assert keys == {
        "patient_id": True,
        "mrn": True,
        "ward_code": True,
        "name": False,
        "weight": False,
        "born": False,
        "nr": True,
    }


def test_a_declared_key_is_a_key_only_while_its_values_are_unique(ward: Ward) -> None:
    """A unique constraint lets nulls pass; an identifier of one row promises nothing."""
    ward.execute(
        "CREATE TABLE a (nr int UNIQUE)",
        "INSERT INTO a VALUES (1), (NULL)",
        "CREATE TABLE b (id int)",
        "INSERT INTO b VALUES (1)",
        "CREATE TABLE c (c1 int PRIMARY KEY)",
        "INSERT INTO c VALUES (1)",
    )
    ward.measure(TODAY)
    assert {table: row["is_key"] for (table, _), row in ward.base.metrics(TODAY).items()} == {
        "a": False,
        "b": False,
        "c": True,
    }


def test_identifiers_are_uuids_too(ward: Ward) -> None:
    """A uuid column is text to the metrics, and a key where its name says so."""
    ward.execute("CREATE TABLE t (event_uuid uuid)")
    ward.execute(*(f"INSERT INTO t VALUES ('{UUID(int=i)}')" for i in range(3)))
    ward.measure(TODAY)
    assert ward.base.metrics(TODAY)["t", "event_uuid"]["is_key"] is True


def test_a_column_that_a_foreign_key_points_at_is_told(ward: Ward, mariadb: MariaDB, mariadb_database: str) -> None:
    """InnoDB lets foreign keys point at columns that are not unique."""
    with mariadb.connect(mariadb_database) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE wards (nr int, KEY (nr))")
        cursor.execute("CREATE TABLE stays (ward int, FOREIGN KEY (ward) REFERENCES wards (nr))")
    ward.base.measure(TODAY, mariadb_endpoint(mariadb, mariadb_database))
    assert ward.base.metrics(TODAY)["wards", "nr"]["key_constraint"] == "referenced"
