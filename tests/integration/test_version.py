"""A base that this release must not use: another version, other tables, no rights."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from demo.services import Database
from hdm_airflow.base import catalogue, migrate, version
from hdm_airflow.base.hook import BaseConnection, HdmHook
from hdm_airflow.errors import ConfigurationError, HdmBaseError


@pytest.fixture
def session(base: Database) -> Iterator[BaseConnection]:
    with HdmHook().session() as opened:
        yield opened


def run(database: Database, statement: str) -> None:
    with database.connect(autocommit=True) as connection:
        connection.execute(statement)


def test_needed_version_is_the_head_of_the_migrations() -> None:
    """It is read from file names, because Alembic takes a tenth of a second to import."""
    from alembic.script import ScriptDirectory

    assert ScriptDirectory.from_config(migrate._config()).get_current_head() == version.needed()


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        (["0099"], r"the HDM base \(version 0099\) is newer than this version of hdm_airflow: upgrade the package"),
        (["0001", "0002"], "the HDM base has several versions: 0001, 0002"),
        (["0001", "0001"], "the HDM base has several versions: 0001, 0001"),
        (["a' b%s"], 'a version that this release does not know: "a\' b%s"'),
        (["*"], "a version that this release does not know"),
        ([""], "a version that this release does not know"),
        (["/x"], "a version that this release does not know"),
        (["**"], "a version that this release does not know"),
    ],
)
@pytest.mark.parametrize("use", [migrate.upgrade, migrate.check, migrate.require_current])
def test_version_that_this_release_does_not_know_is_an_error(
    base: Database, use: Any, rows: list[str], what: str
) -> None:
    """And nothing is changed."""
    run(base, "ALTER TABLE hdm_alembic_version DROP CONSTRAINT IF EXISTS hdm_alembic_version_pkc")
    run(base, "TRUNCATE hdm_alembic_version")
    with base.connect() as connection, connection.cursor() as cursor:
        cursor.executemany("INSERT INTO hdm_alembic_version VALUES (%s)", [[row] for row in rows])
    with pytest.raises(HdmBaseError, match=what):
        use(HdmHook())
    with base.connect() as connection:
        assert connection.execute("SELECT version_num FROM hdm_alembic_version").fetchall() == [(row,) for row in rows]


@pytest.mark.parametrize("damage", ["TRUNCATE hdm_alembic_version", "DROP TABLE hdm_alembic_version"])
def test_tables_without_a_version_are_an_error(base: Database, damage: str) -> None:
    """The first migration would stop at a table that exists."""
    run(base, damage)
    with pytest.raises(ConfigurationError, match="has no version, but tables or views of hdm_airflow: hdm_activation"):
        migrate.upgrade(HdmHook())
    assert migrate.check(HdmHook()) == (None, version.needed())


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE hdm_core_dblist (patient text, birth date)",
        "CREATE TABLE hdm_core_dblist (id integer, name text)",
        "CREATE TABLE hdm_core_dblist (db_name text, a text, b text)",
        "CREATE VIEW hdm_core_dblist AS SELECT 'x' AS db_name, 'y' AS db_type",
        "CREATE TABLE hdm_core_dblist (db_name text, db_type text) PARTITION BY LIST (db_name)",
        "CREATE TABLE hdm_alerts (id integer, message text)",
        "CREATE TABLE hdm_pack_rule_conf (pack_name text)",
        "CREATE TABLE hdm_audit (x integer)",
        "CREATE SEQUENCE hdm_pack_run",
    ],
)
def test_foreign_table_with_one_of_our_names_is_not_taken_over(
    database: Database, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    """It may hold someone's data."""
    monkeypatch.setenv("AIRFLOW_CONN_HDM", database.dsn)
    run(database, statement)
    with pytest.raises(ConfigurationError, match=r"are not the original's|tables or views of hdm_airflow"):
        migrate.upgrade(HdmHook())
    with database.connect() as connection:
        assert connection.execute("SELECT to_regclass('hdm_alembic_version')").fetchone() == (None,)


def test_new_base_differs_in_nothing_and_takes_every_write(base: Database, session: BaseConnection) -> None:
    """What the trial writes is rolled back."""
    assert catalogue.differences(session) == []
    catalogue.try_writing(session)
    with base.connect() as connection:
        for table in ("hdm_audit", "hdm_pack_run", "hdm_core_dblist", "hdm_alerts", "hdm_pack", "hdm_pack_schema"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM pg_class WHERE relpersistence = 't'").fetchone() == (0,)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        ("DROP TABLE hdm_alerts", ["there is no table hdm_alerts"]),
        ("DROP VIEW hdm_activation", ["there is no view hdm_activation"]),
        ("ALTER TABLE hdm_pack_run DROP COLUMN alerts", ["hdm_pack_run lacks the column alerts"]),
        ("ALTER TABLE hdm_pack_run ALTER metrics TYPE integer", ["metrics of hdm_pack_run is integer, not bigint"]),
        ("ALTER TABLE hdm_audit ALTER COLUMN actor DROP NOT NULL", ["actor of hdm_audit is text, not text NOT NULL"]),
        ("ALTER TABLE hdm_pack_run ALTER id DROP IDENTITY", ["not bigint NOT NULL GENERATED ALWAYS AS IDENTITY"]),
        ("ALTER TABLE hdm_pack_run ALTER COLUMN reported DROP DEFAULT", ["not boolean NOT NULL DEFAULT false"]),
        ("DROP INDEX hdm_alerts_key", ["hdm_alerts lacks the unique index btree (date, endpoint, rule_pack"]),
        ("DROP INDEX hdm_pack_run_newest", ["hdm_pack_run lacks the index btree (kind, pack, metric_date"]),
        ("ALTER TABLE hdm_pack_schema DROP CONSTRAINT hdm_pack_schema_pkey", ["unique index btree (kind, pack"]),
        ("ALTER TABLE hdm_pack_run DROP CONSTRAINT hdm_pack_run_kind_check", ["lacks the constraint CHECK"]),
        (
            "CREATE OR REPLACE VIEW hdm_activation AS SELECT '' AS kind, '' AS pack, endpoint AS slug FROM hdm_alerts",
            ["the view hdm_activation has another definition"],
        ),
        (
            "DROP VIEW hdm_whole; CREATE VIEW hdm_whole AS SELECT kind, pack, endpoint, metric_date FROM hdm_pack_run",
            ["hdm_whole lacks the column date", "lacks the column incomplete", "lacks the column state", "definition"],
        ),
        ("ALTER TABLE hdm_alerts SET UNLOGGED", ["hdm_alerts is unlogged"]),
        ("DROP TABLE hdm_pack_run CASCADE", ["there is no table hdm_pack_run", "there is no view hdm_whole"]),
        ("ALTER TABLE hdm_alerts RENAME TO x; CREATE VIEW hdm_alerts AS SELECT * FROM x", ["hdm_alerts is not"]),
    ],
)  # fmt: skip
def test_each_kind_of_difference_is_named(base: Database, damage: str, expected: list[str]) -> None:
    """With the version as it should be."""
    run(base, damage)
    with HdmHook().session() as session:
        found = catalogue.differences(session)
    assert len(found) == len(expected)
    for fault, text in zip(found, expected, strict=True):
        assert text in fault


def test_base_that_was_taken_over_from_the_original_does_not_differ(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have further indexes, and keys of other names."""
    from tests.integration.test_original_base import DUMPED

    monkeypatch.setenv("AIRFLOW_CONN_HDM", database.dsn)
    run(database, DUMPED)
    migrate.upgrade(HdmHook())
    with HdmHook().session() as session:
        assert catalogue.differences(session) == []
        catalogue.try_writing(session)


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        ("ALTER DATABASE {} SET default_transaction_read_only = on", "the HDM base is read-only"),
        ("ALTER TABLE hdm_alerts ADD COLUMN strange integer NOT NULL", "NotNullViolation"),
    ],
)
def test_base_that_takes_no_writes_is_an_error(base: Database, damage: str, what: str) -> None:
    """A trial shows it before a night does."""
    run(base, damage.format(f'"{base.name}"'))
    with pytest.raises(HdmBaseError, match=what), HdmHook().session() as session:
        catalogue.try_writing(session)


def test_trial_writes_to_every_table(base: Database) -> None:
    """Also to those of later migrations."""
    schema = Path(catalogue.__file__).with_name("schema.sql").read_text("utf-8")
    for table in re.findall(r"CREATE TABLE (\w+)", schema):
        run(base, f"ALTER TABLE {table} ADD COLUMN strange integer NOT NULL")
        with pytest.raises(HdmBaseError, match=f"NotNullViolation.*{table}"), HdmHook().session() as session:
            catalogue.try_writing(session)
        run(base, f"ALTER TABLE {table} DROP COLUMN strange")


def test_user_without_rights_is_an_error(base: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is named."""
    run(base, "DROP ROLE IF EXISTS hdm_test_reader; CREATE ROLE hdm_test_reader LOGIN PASSWORD 'x'")
    run(base, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO hdm_test_reader")
    try:
        dsn = base.dsn.replace(
            f"{base.server.user}:{psycopg.conninfo.conninfo_to_dict(base.dsn)['password']}", "hdm_test_reader:x"
        )
        monkeypatch.setenv("AIRFLOW_CONN_HDM", dsn)
        with (
            pytest.raises(HdmBaseError, match="permission denied for table hdm_core_dblist"),
            HdmHook().session() as one,
        ):
            catalogue.try_writing(one)
    finally:
        run(base, "DROP OWNED BY hdm_test_reader; DROP ROLE hdm_test_reader")
