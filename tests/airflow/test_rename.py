"""`airflow hdm endpoints rename`: the whole history follows, whatever interrupts it; names of a type are one type."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import psycopg
import pytest
from psycopg import sql

from hdm_airflow.base import rename, runs
from hdm_airflow.base.endpoints import Endpoint
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.errors import PackFailedError
from tests.airflow.cli_harness import Hdm
from tests.airflow.stage import MONDAY, REPORT_ALL, endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.services import Database
    from tests.airflow.stage import Stage

ROOT = Path(__file__).parents[2]
HEART, NEW, OTHER = endpoint("heart"), endpoint("heart", host="new.example"), endpoint("heart", host="other.example")
OLD_FORM = "heart:postgres:127.0.0.1:5432:reader:False"
ROLE = "hdm_test_packs"
ALL_OK = REPORT_ALL.format("ok")
TABLES = "".join(path.read_text() for path in sorted((ROOT / "dags/packs").glob("*/*/create-table/*.sql")))


@pytest.fixture
def hdm(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Hdm:
    monkeypatch.setenv("AIRFLOW_VAR_HDM", "{}")
    return Hdm(capsys)


@pytest.fixture
def filled(stage: Stage) -> Stage:
    """An endpoint with rows in every table of the base and of the reference packs, which the base's owner has made."""
    stage.pack("basic", ALL_OK)
    stage.activate("mp_basic", HEART)
    stage.run("mp_basic")
    stage.configure("mp_basic", {"min_count": 1}, place=HEART)
    with stage.base.connect(autocommit=True) as owner:
        owner.execute("INSERT INTO hdm_core_table_corr_db_rp VALUES ('basic', %s)", [OLD_FORM])
        owner.execute("INSERT INTO hdm_pack_rule_conf VALUES (%s, 'basic', NULL, 'e30=')", [f"basic:{OLD_FORM}"])
        owner.execute("INSERT INTO hdm_pack_rule_conf VALUES (%s, 'basic', NULL, 'e30=')", [f"basic:{HEART.slug}"])
        owner.execute("INSERT INTO hdm_pack_rule_conf VALUES ('basic:1.0.0', 'basic', '1.0.0', 'e30=')")
        owner.execute("INSERT INTO hdm_alerts (rule_pack, rule_id, endpoint) VALUES ('basic', '1', %s)", [HEART.slug])
        owner.execute(
            """INSERT INTO hdm_not_judged (rule_pack, endpoint, "date", kind) VALUES ('basic', %s, %s, 'error')""",
            [HEART.slug, MONDAY],
        )
        owner.execute(
            """INSERT INTO hdm_incident (rule_pack, endpoint, rule_id, "table", "column", state, level, first_on,
                opened_on) VALUES ('basic', %s, '1', '', '', 'open', 'High', %s, %s)""",
            [HEART.slug, MONDAY, MONDAY],
        )
        owner.execute(
            "INSERT INTO hdm_incident_count VALUES ('basic', %s, %s, 'High', 1, 1, 0, 0, 0, 1, 0)", [HEART.slug, MONDAY]
        )
        owner.execute("INSERT INTO hdm_told VALUES ('basic', %s, %s, true)", [HEART.slug, MONDAY])
        owner.execute("INSERT INTO hdm_core_mail_list (mail, db_key) VALUES ('', %s), ('', %s)", [HEART.slug, OLD_FORM])
        owner.execute(TABLES)
        fill(owner)
    return stage


def fill(connection: Any) -> None:
    """One row in every table with a column `endpoint` that has none yet."""
    query = """
        SELECT n.nspname, c.relname, array_agg(a.attname), array_agg(format_type(a.atttypid, a.atttypmod))
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND a.attgenerated = '' AND a.attidentity = ''
        WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname = ANY(current_schemas(false))
            AND c.relname NOT LIKE 'hdm\\_%'
            AND (a.attnotnull OR a.attname = 'endpoint') GROUP BY 1, 2
        HAVING bool_or(a.attname = 'endpoint')"""
    for schema, table, columns, types in connection.execute(query).fetchall():
        values = [
            HEART.slug if column == "endpoint" else _value(type_) for column, type_ in zip(columns, types, strict=True)
        ]
        statement = sql.SQL("INSERT INTO {}.{} ({}) VALUES ({})").format(
            sql.Identifier(schema),
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            sql.SQL(", ").join(map(sql.Literal, values)),
        )
        connection.execute(statement)


def _value(type_: str) -> Any:
    if type_ in {"date", "boolean"} or type_.startswith("timestamp"):
        return True if type_ == "boolean" else "2026-01-05"
    return "x" if type_ in {"text", "character varying"} else "{}" if type_ in {"jsonb", "json"} else "1"


def places(base: Database, slug: str) -> set[str]:
    """Every table of the database, whoever made it, in which a text contains the slug."""
    found = set()
    with base.connect() as connection:
        tables = connection.execute(
            "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')"
        ).fetchall()
        for schema, table in tables:
            query = sql.SQL("SELECT FROM {} AS one WHERE strpos(one::text, %s) > 0 LIMIT 1")
            if connection.execute(query.format(sql.Identifier(schema, table)), [slug]).fetchone() is not None:
                found.add(table)
    return found


def test_no_table_with_the_slug_is_forgotten(filled: Stage, hdm: Hdm) -> None:
    """Of the base and of the reference packs: each one that had the old slug has the new one, and only the new one."""
    before = places(filled.base, HEART.slug)
    made = set(re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)", TABLES))
    assert made - {"rule_basic", "metric_basic_metric"} <= before  # these two know no endpoints
    assert {"hdm_alerts", "hdm_pack_run", "hdm_pack_metric_conf", "hdm_core_table_corr_db_mp"} <= before
    assert {"hdm_not_judged", "hdm_incident", "hdm_incident_count", "hdm_told"} <= before
    done = hdm("endpoints", "rename", "heart", NEW.slug, "--yes")
    assert done.out == f"{NEW.slug}\n"
    assert places(filled.base, HEART.slug) == {"hdm_audit"}
    assert places(filled.base, OLD_FORM) == {"hdm_audit"}
    assert places(filled.base, NEW.slug) >= before
    listed = hdm.json("endpoints", "list")
    assert [(row["endpoint"], row["packs"]) for row in listed] == [(NEW.slug, ["mp_basic", "rp_basic"])]
    with filled.base.connect() as connection:
        actions = connection.execute(
            "SELECT action, old, new FROM hdm_audit WHERE action LIKE 'endpoint rename%'"
        ).fetchall()
        assert connection.execute("SELECT count(*) FROM hdm_pack_rule_conf").fetchone() == (2,)
    slugs = ({"slug": HEART.slug}, {"slug": NEW.slug})
    assert actions == [("endpoint rename", *slugs), ("endpoint renamed", *slugs)]


def test_every_column_of_the_base_that_holds_a_slug_is_renamed() -> None:
    """A new table with such a column must be added to sql/rename.sql."""
    schema = (ROOT / "hdm_airflow/base/schema.sql").read_text()
    statements = (ROOT / "hdm_airflow/base/sql/rename.sql").read_text()
    for table, body in re.findall(r"CREATE TABLE (\w+) \((.*?)^\);", schema, re.MULTILINE | re.DOTALL):
        if re.search(r"\b(endpoint|slug|db_key|id_config)\b", body) and table != "hdm_audit":
            assert re.search(rf"(UPDATE|INSERT INTO) {table}\b", statements), table


@pytest.fixture
def role(filled: Stage, monkeypatch: pytest.MonkeyPatch, hdm: Hdm) -> Iterator[str]:
    """Packs have a role of their own, with the same tables, and some are still the owner's."""
    server = filled.base.server
    dsn = f"postgresql://{ROLE}:secret@{server.host}:{server.port}/{filled.base.name}"
    with filled.base.connect(autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD 'secret'")
        hdm("db", "grant", ROLE)
        monkeypatch.setenv("AIRFLOW_CONN_PACKS", dsn)
        variable = '{"environments": {"prod": {"conn_id": "hdm", "pack_conn_id": "packs"}}}'
        monkeypatch.setenv("AIRFLOW_VAR_HDM", variable)
        with psycopg.connect(dsn, autocommit=True) as packs:
            packs.execute("CREATE TABLE mine (endpoint varchar(200), x int); CREATE TABLE other (place text)")
            packs.execute("CREATE TABLE parted (endpoint text, x int) PARTITION BY LIST (endpoint)")
            packs.execute("CREATE TABLE parted_all PARTITION OF parted DEFAULT")
            packs.execute("CREATE VIEW seen AS SELECT * FROM mine")
            for table in ("mine", "parted"):
                packs.execute(f"INSERT INTO {table} SELECT %s, generate_series(1, 250)", [HEART.slug])
        yield ROLE
        owner.execute(f"DROP OWNED BY {ROLE}")
        owner.execute(f"DROP ROLE {ROLE}")


def test_tables_of_the_packs_role_and_those_left_to_the_owner_follow(
    filled: Stage, role: str, hdm: Hdm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In batches, partitions included."""
    monkeypatch.setattr(rename, "_BATCH", 100)
    done = hdm("endpoints", "rename", HEART.slug, NEW.slug, "--yes")
    assert f"renamed in {role}.mine: 250 rows" in done.err
    assert places(filled.base, HEART.slug) == {"hdm_audit"}


def test_interrupted_rename_stops_the_packs_there_and_continues(
    filled: Stage, role: str, hdm: Hdm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No pack sees half of a history, and the ledger says so under the endpoint."""
    monkeypatch.setattr(rename, "_BATCH", 100)
    move, moved = rename.move_rows, list[str]()

    def interrupt(table: rename.PackTable, *args: Any) -> int:
        if len(moved) == 3:
            raise KeyboardInterrupt
        moved.append(table.name)
        return move(table, *args)

    monkeypatch.setattr(rename, "move_rows", interrupt)
    hdm("endpoints", "rename", HEART.slug, NEW.slug, "--yes", code=130)
    assert "hdm_pack_run" not in places(filled.base, HEART.slug)
    with pytest.raises(PackFailedError, match="the activated slug matches no endpoint"):
        filled.run("mp_basic", day=MONDAY + timedelta(days=1))
    assert "was interrupted" in hdm("endpoints", "rename", NEW.slug, HEART.slug, "--yes", code=2).err
    monkeypatch.setattr(rename, "move_rows", move)
    hdm("endpoints", "rename", HEART.slug, NEW.slug, "--yes")
    assert places(filled.base, HEART.slug) == {"hdm_audit"}
    assert filled.run("mp_basic", day=MONDAY + timedelta(days=2))["success"] == 1
    assert "there is no endpoint" in hdm("endpoints", "rename", HEART.slug, NEW.slug, "--yes", code=2).err


def test_rename_and_runs_exclude_each_other(filled: Stage, hdm: Hdm) -> None:
    """While one of them works on the base, the other waits or says so."""
    with HdmHook().session() as session:
        assert runs.try_lock_endpoints(session)
        assert "packs are running" in hdm("endpoints", "rename", "heart", NEW.slug, "--yes", code=2).err
    with HdmHook().session() as session, rename.without_runs(session):
        with pytest.raises(Exception, match="the rename of an endpoint or a pack did not end in time"):
            filled.run("mp_basic", timeout=1)
        assert (
            "packs are running, or another rename" in hdm("endpoints", "rename", "heart", NEW.slug, "--yes", code=2).err
        )
    assert filled.run("mp_basic")["success"] == 1
    assert places(filled.base, NEW.slug) == set()


def test_interrupted_rename_is_finished_before_the_next_one(
    filled: Stage, hdm: Hdm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise, continued after the next one, it would activate packs for a slug that is no longer registered."""
    with monkeypatch.context() as patch:
        patch.setattr(rename, "finish", Mock(side_effect=KeyboardInterrupt))
        hdm("endpoints", "rename", "heart", NEW.slug, "--yes", code=130)
    refused = hdm("endpoints", "rename", NEW.slug, OTHER.slug, "--yes", code=2)
    assert f"finish it first: airflow hdm endpoints rename {HEART.slug} {NEW.slug}" in refused.err
    hdm("endpoints", "rename", HEART.slug, NEW.slug, "--yes")
    hdm("endpoints", "rename", NEW.slug, OTHER.slug, "--yes")
    assert [(row["endpoint"], row["packs"]) for row in hdm.json("endpoints", "list")] == [
        (OTHER.slug, ["mp_basic", "rp_basic"])
    ]


def test_second_rename_that_waited_for_an_answer_starts_again(
    filled: Stage, hdm: Hdm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it asked about is no longer there: it would take the endpoint away from its history."""

    def agree(_question: str, _slug: str) -> bool:
        return bool(hdm("endpoints", "rename", "heart", NEW.slug, "--yes").out)

    monkeypatch.setattr("hdm_airflow.cli.endpoints.agreed", agree)
    assert "changed in the meantime" in hdm("endpoints", "rename", "heart", OTHER.slug, code=2).err
    assert places(filled.base, OTHER.slug) == set()


def test_tables_that_the_connection_cannot_change_stop_the_rename(
    filled: Stage, role: str, hdm: Hdm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If only the base is named, and not the environment, the history of the packs' role would stay behind."""
    monkeypatch.setenv("AIRFLOW_CONN_SAME", filled.base.dsn)
    refused = hdm("endpoints", "rename", "heart", NEW.slug, "--yes", "--conn-id", "same", code=2)
    assert f"tables of packs would keep the old slug: {role}.mine, {role}.parted\n" in refused.err
    assert places(filled.base, NEW.slug) == set()


def test_rename_into_rows_or_endpoints_that_exist_is_refused(filled: Stage, hdm: Hdm) -> None:
    """Two histories cannot become one; nothing has changed afterwards."""
    lung = endpoint("lung")
    hdm("endpoints", "add", lung.slug)
    assert "already exists" in hdm("endpoints", "rename", "heart", lung.slug, "--yes", code=2).err
    assert "both slugs are the same" in hdm("endpoints", "rename", "heart", HEART.slug, "--yes", code=2).err
    assert "has no type" in hdm("endpoints", "rename", "heart", "heart:::::false", "--yes", code=2).err
    assert "add --yes" in hdm("endpoints", "rename", "heart", NEW.slug, code=2).err
    with filled.base.connect(autocommit=True) as owner:
        owner.execute(
            'INSERT INTO metric_row_count SELECT %s, "table", "date", "rows" FROM metric_row_count', [NEW.slug]
        )
    assert "already has rows: metric_row_count" in hdm("endpoints", "rename", "heart", NEW.slug, "--yes", code=2).err
    assert places(filled.base, NEW.slug) == {"metric_row_count"}


def test_names_of_a_type_are_one_type(filled: Stage, hdm: Hdm) -> None:
    """No second endpoint of one database; the existing one keeps its slug and history, until it is renamed."""
    other = HEART.slug.replace(":postgres:", ":PostgreSQL:")
    done = hdm("endpoints", "add", other)
    assert done.out == f"{HEART.slug}\n"
    assert "postgres and PostgreSQL are one type" in done.err
    assert len(hdm.json("endpoints", "list")) == 1
    assert "was already activated" in hdm("activate", "mp_basic", other, "--packs-dir", filled.folder).err
    hdm("endpoints", "rename", "heart", HEART.slug.replace("postgres", "postgresql"), "--yes")
    assert len(hdm.json("endpoints", "list")) == 1
    mysql, mariadb = (Endpoint(name="a", type=one, host="h") for one in ("mysql", "mariadb"))
    assert not mysql.is_same(mariadb)


def test_base_with_both_names_keeps_both_histories_and_says_so(filled: Stage, hdm: Hdm) -> None:
    """Which of them is to stay, a person decides."""
    other = HEART.slug.replace("postgres", "postgresql")
    with filled.base.connect(autocommit=True) as owner:
        owner.execute(
            "INSERT INTO hdm_core_dblist (db_name, db_type, db_host, db_port, db_user, db_is_ssl) "
            "SELECT db_name, 'postgresql', db_host, db_port, db_user, db_is_ssl FROM hdm_core_dblist"
        )
    done = hdm("endpoints", "list", "--output", "json")
    assert f"{HEART.slug} and {other} are one database" in done.err
    assert "already exists" in hdm("endpoints", "rename", other, HEART.slug, "--yes", code=2).err
    hdm("endpoints", "remove", other, "--yes")
    assert [row["endpoint"] for row in hdm.json("endpoints", "list")] == [HEART.slug]
