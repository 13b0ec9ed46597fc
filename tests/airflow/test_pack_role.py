"""The reference packs with a role of their own, from `db grant` to the second night."""

from __future__ import annotations

import json
import os
import re
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from psycopg import sql

from demo.services import Database
from hdm_airflow.errors import HdmBaseError, PackFailedError
from tests.airflow.cli_harness import Hdm
from tests.airflow.processes import ROOT
from tests.airflow.stage import MONDAY, REPORT_ALL, endpoint
from tests.airflow.ward import COLUMNS, Ward

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.services import Postgres
    from tests.airflow.stage import Stage

HEART = endpoint("heart")
ALL_OK = REPORT_ALL.format("ok")
HOW_TO = ROOT / "docs" / "how-to" / "give-packs-a-role-of-their-own.md"


@pytest.fixture
def hdm(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Hdm:
    """Commands in this process, with a connection to the heart: they search the metadata database for others."""
    monkeypatch.setenv("AIRFLOW_CONN_HDM_HEART", "generic://:secret@127.0.0.1")
    monkeypatch.setenv("AIRFLOW_VAR_HDM", '{"environments": {"prod": {"conn_id": "hdm", "pack_conn_id": "packs"}}}')
    return Hdm(capsys)


@pytest.fixture
def role(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A role as an administrator creates it, with the Airflow connection `packs`."""
    server, name = stage.base.server, f"packs_{uuid4().hex[:8]}"
    with Database(server, "postgres").connect(autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'secret'").format(sql.Identifier(name)))
        address = f"{server.host}:{server.port}/{stage.base.name}"
        monkeypatch.setenv("AIRFLOW_CONN_PACKS", f"postgres://{name}:secret@{address}")
        yield name
        server.drop_database(stage.base.name)
        admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@pytest.fixture
def ward(stage: Stage, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ward]:
    """Two endpoints with the metric pack and the rule pack basic."""
    databases = {name: postgres.create_database(f"{name}_{stage.base.name}") for name in ("heart", "lung")}
    ward = Ward(stage=stage, databases=databases, tally=tmp_path / "tally")
    for name, value in ward.connections.items():
        monkeypatch.setenv(name, value)
    ward.prepare()
    yield ward
    for database in databases.values():
        postgres.drop_database(database.name)


def tables_of(stage: Stage, role: str) -> set[str]:
    """Return the tables in the role's schema that belong to the role."""
    with stage.base.connect() as connection:
        query = "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tableowner = %s"
        return {name for (name,) in connection.execute(query, [role, role])}


def test_reference_packs_run_unchanged_under_a_role_of_their_own(ward: Ward, role: str, hdm: Hdm) -> None:
    """Create-table scripts, metrics, rules, alerts: twice for one date, and once for the next, which has no news."""
    hdm("db", "grant", role)
    stage = ward.stage
    for day, alerts in ((MONDAY, 2), (MONDAY, 2), (MONDAY + timedelta(days=1), 0)):
        assert stage.run("mp_basic", day=day, pack_conn_id="packs")["success"] == 2
        assert stage.run("rp_basic", day=day, pack_conn_id="packs")["alerts"] == alerts
    ward.check_ledger()
    with stage.base.connect() as connection:
        connection.execute(sql.SQL("SET search_path = {}").format(sql.Identifier(role)))
        counts = connection.execute('SELECT "date", count(*) FROM metric_basic GROUP BY 1 ORDER BY 1').fetchall()
    assert [number for _, number in counts] == [2 * COLUMNS, 2 * COLUMNS]
    assert len(ward.rows("SELECT FROM hdm_alerts")) == 2
    more = (
        "levels",
        "table",
        "version",
        "database",
        "known",
        "metric",
        "day",
        "pair",
        "number_by_level",
        "foreign_key",
    )
    levels = {f"metric_basic_{level}" for level in more}
    rules = {"rule_basic", *(f"rule_basic_{one}" for one in ("member", "result", "baseline"))}
    assert tables_of(stage, role) == {"metric_basic", *levels, *rules}
    assert "rights of the HDM base's owner" not in stage.log


def test_command_uses_the_role_too(stage: Stage, role: str, hdm: Hdm, monkeypatch: pytest.MonkeyPatch) -> None:
    """It creates the pack's tables as the role, and reaches the base as the role."""
    hdm("db", "grant", role)
    settings = json.loads(os.environ["AIRFLOW_VAR_HDM"])
    monkeypatch.setenv("AIRFLOW_VAR_HDM", json.dumps({**settings, "sandbox": {"read": [str(ROOT)]}}))
    monkeypatch.setenv("PATH", f"{stage.base.server.bin_dir}:{os.environ['PATH']}")  # psql
    script = """psql -qAtX -c "SELECT to_json(tableowner) FROM pg_tables WHERE tablename = 'pulse'" > "$HDM_ANSWER"\n"""
    stage.pack(
        "limits", script, kind="rule", commands=["ask"], files={"create-table/a.sql": "CREATE TABLE pulse (a int)"}
    )
    done = hdm("packs", "command", "rp_limits", "ask", "--packs-dir", stage.folder)
    assert done.data == role
    assert "create-table/a.sql was applied to the HDM base" in done.err


def test_packs_that_ran_as_the_owner_go_on_under_the_role_with_their_metrics(ward: Ward, role: str, hdm: Hdm) -> None:
    """--move hands their tables over and the command lists the rest; a changed script can still alter the table."""
    stage = ward.stage
    stage.run("mp_basic")
    stage.run("rp_basic")
    assert "with the rights of the HDM base's owner" in stage.log
    more = (
        "levels",
        "table",
        "version",
        "database",
        "known",
        "metric",
        "quotable",
        "trend",
        "table_trend",
        "day",
        "pair",
        "number_by_level",
        "foreign_key",
    )
    output = hdm("db", "grant", role, "--move", "metric_basic", *(f"metric_basic_{one}" for one in more)).err
    assert "metric_basic was handed over to the role, with its rows" in output
    rules = ("rule_basic", "rule_basic_baseline", "rule_basic_member", "rule_basic_result")
    assert f"were not handed over: {', '.join(rules)}" in output
    hdm("db", "grant", role, "--move", *rules)
    script = stage.folder / "metric-packs" / "basic" / "create-table" / "create.sql"
    script.write_text(script.read_text() + "ALTER TABLE metric_basic ADD IF NOT EXISTS more text;\n")
    for task_id in ("mp_basic", "rp_basic"):
        assert stage.run(task_id, day=MONDAY + timedelta(days=1), pack_conn_id="packs")["success"] == 2
    with stage.base.connect() as connection:
        connection.execute(sql.SQL("SET search_path = {}").format(sql.Identifier(role)))
        previous = connection.execute("SELECT count(previous_date), count(more) FROM metric_basic").fetchone()
    assert previous == (2 * COLUMNS, 0)
    ward.check_ledger()


def test_script_that_reaches_for_the_ledger_fails_the_run_and_changes_nothing(
    stage: Stage, role: str, hdm: Hdm
) -> None:
    """What a pack must not do, it cannot: neither by its script nor by a table in the base's schema."""
    hdm("db", "grant", role)
    for number, statement in enumerate(("DELETE FROM hdm_pack_run", "CREATE TABLE public.mine ()")):
        stage.pack("basic", ALL_OK, files={"create-table/create.sql": f"{statement};"})
        if not number:
            stage.activate("mp_basic", HEART)
        with pytest.raises(HdmBaseError, match="permission denied"):
            stage.run("mp_basic", pack_conn_id="packs")
    assert [status for _, status in stage.ledger("mp_basic")] == ["failed", "failed"]


def test_check_reports_the_rights_of_packs(stage: Stage, role: str, hdm: Hdm, monkeypatch: pytest.MonkeyPatch) -> None:
    """It warns unless all is well; the exit code depends only on the version of the base."""
    with stage.base.connect(autocommit=True) as connection:  # PostgreSQL 13 and 14 grant it to everybody
        connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    assert f"do: run: airflow hdm db grant {role}" in hdm("db", "check").err
    assert f"the role {role} now has the rights that packs need" in hdm("db", "grant", role).err
    assert f"the role {role} already had the rights that packs need" in hdm("db", "grant", role).err
    output = hdm("db", "check").err
    assert f"packs have a role of their own ({role})" in output
    assert "warning" not in output
    with stage.base.connect(autocommit=True) as connection:
        connection.execute(sql.SQL("GRANT UPDATE ON hdm_pack_run TO {}").format(sql.Identifier(role)))
    assert f"the packs' role {role} is too powerful: it has UPDATE on hdm_pack_run" in hdm("db", "check").err
    monkeypatch.setenv("AIRFLOW_CONN_PACKS", stage.base.dsn)
    assert "is too powerful: it is a superuser" in hdm("db", "check").err
    monkeypatch.setenv("AIRFLOW_CONN_PACKS", stage.base.server.dsn("postgres"))
    assert "is for the database postgres" in hdm("db", "check").err
    monkeypatch.delenv("AIRFLOW_CONN_PACKS")
    assert "warning: the rights of packs were not checked: there is no connection 'packs'" in hdm("db", "check").err
    monkeypatch.setenv("AIRFLOW_VAR_HDM", "{}")
    assert "warning: packs use this base with its owner's rights" in hdm("db", "check").err


def test_check_names_settings_of_the_role_that_may_disturb_packs(stage: Stage, role: str, hdm: Hdm) -> None:
    """The rights are complete, but every pack fails, because its sessions are read-only. The grant sets search_path."""
    hdm("db", "grant", role)
    with stage.base.connect(autocommit=True) as connection:
        name, base = sql.Identifier(role), sql.Identifier(stage.base.name)
        connection.execute(sql.SQL("ALTER ROLE {} SET default_transaction_read_only = on").format(name))
        connection.execute(sql.SQL("ALTER ROLE {} IN DATABASE {} SET work_mem = '64kB'").format(name, base))
        connection.execute(sql.SQL("ALTER ROLE {} IN DATABASE postgres SET lock_timeout = 1").format(name))
    output = hdm("db", "check").err
    assert f"warning: the packs' role {role} has its own settings: default_transaction_read_only, work_mem" in output
    assert "lock_timeout" not in output
    assert "packs have a role of their own" not in output
    with stage.base.connect(autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER ROLE {} RESET ALL").format(name))
        connection.execute(sql.SQL("ALTER ROLE {} IN DATABASE {} RESET work_mem").format(name, base))
    assert f"packs have a role of their own ({role})" in hdm("db", "check").err


def test_code_that_others_have_left_stops_check_and_grant(stage: Stage, role: str, hdm: Hdm) -> None:
    """Both run as the owner, whose next statement might run it. The error has the statement that removes it."""
    with stage.base.connect(autocommit=True) as connection:
        connection.execute("CREATE FUNCTION lower(varchar) RETURNS text LANGUAGE sql AS $$SELECT 'mine'$$")
        connection.execute(sql.SQL("ALTER FUNCTION public.lower(varchar) OWNER TO {}").format(sql.Identifier(role)))
    for words in (["check"], ["grant", role]):
        output = hdm("db", *words, code=2).err
        assert "other roles have left code in the base that its owner might run: " in output
        assert f"function public.lower(character varying) (owned by {role})" in output
        assert "have an administrator run: DROP ROUTINE public.lower(character varying)" in output


def test_code_that_packs_may_have_left_as_the_owner_is_reported(stage: Stage, role: str, hdm: Hdm) -> None:
    """It may be the owner's own work, so the commands only warn."""
    with stage.base.connect(autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION door() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'DELETE FROM hdm_audit'"
        )
    for words in (["grant", role], ["check"]):
        output = hdm("db", *words).err
        what = "SECURITY DEFINER function public.door() (owned by "
        assert f"this code runs with the rights of the base's owner: {what}" in output
        assert "remove it: DROP ROUTINE public.door()" in output


def test_check_reports_that_packs_do_not_find_the_base(stage: Stage, role: str, hdm: Hdm) -> None:
    """A pack can change the search path of all packs: the rights are complete, but every run fails."""
    hdm("db", "grant", role)
    with stage.base.connect(autocommit=True) as connection:
        names = sql.Identifier(role), sql.Identifier(stage.base.name)
        connection.execute(sql.SQL("ALTER ROLE {0} IN DATABASE {1} SET search_path = {0}").format(*names))
    output = hdm("db", "check").err
    assert f"packs do not find the base in the schema public: their search path is {role}" in output
    assert f"do: run: airflow hdm db grant {role}" in output
    assert "packs have a role of their own" not in output
    hdm("db", "grant", role)
    assert f"packs have a role of their own ({role})" in hdm("db", "check").err


def test_back_to_the_owner_with_the_tables_handed_back(ward: Ward, role: str, hdm: Hdm) -> None:
    """As the how-to describes, including the failure if a table is not handed back."""
    stage, days = ward.stage, [MONDAY + timedelta(days=n) for n in range(3)]
    hdm("db", "grant", role)
    for task_id in ("mp_basic", "rp_basic"):
        stage.run(task_id, day=days[0], pack_conn_id="packs")
    with pytest.raises(PackFailedError):
        stage.run("mp_basic", day=days[1])
    with stage.base.connect(autocommit=True) as connection:
        (statement,) = re.findall(r"^DO .+?;\n```", HOW_TO.read_text(), re.MULTILINE | re.DOTALL)
        connection.execute(statement.removesuffix("```").replace("hdm_packs", role))
        assert connection.execute("SELECT FROM pg_tables WHERE schemaname = %s", [role]).fetchall() == []
    for task_id in ("mp_basic", "rp_basic"):
        assert stage.run(task_id, day=days[2])["success"] == 2
    with stage.base.connect() as connection:
        assert connection.execute("SELECT count(DISTINCT date) FROM metric_basic").fetchone() == (2,)


def test_grant_to_a_missing_role_says_how_to_create_it(stage: Stage, hdm: Hdm) -> None:
    """On a migrated base; an unmigrated one needs the upgrade first."""
    assert 'CREATE ROLE "nobody" LOGIN' in hdm("db", "grant", "nobody", code=2).err
    assert "too powerful" in hdm("db", "grant", stage.base.server.user, code=2).err


def test_upgrade_repeats_the_rights_of_roles_that_have_had_them(stage: Stage, role: str, hdm: Hdm) -> None:
    """A migration may add tables: a forgotten `db grant` must not turn every pack red."""
    hdm("db", "grant", role)
    with stage.base.connect(autocommit=True) as owner:
        owner.execute(f"REVOKE SELECT ON hdm_pack_run FROM {role}")
        owner.execute(f"CREATE ROLE {role}_reader; GRANT SELECT ON hdm_alerts TO {role}_reader")
    try:
        done = hdm("db", "upgrade")
        assert f"the role {role} now has the rights that packs need" in done.err
        assert f"{role}_reader" not in done.err
        assert "now has" not in hdm("db", "upgrade").err
        with stage.base.connect(autocommit=True) as owner:
            owner.execute(f"ALTER ROLE {role} CREATEROLE")
        assert f"the rights of the role {role} were not repeated" in hdm("db", "upgrade", code=1).err
        with stage.base.connect() as owner:
            query = "SELECT has_table_privilege(%s, 'hdm_pack_run', 'SELECT')"
            assert owner.execute(query, [role]).fetchone() == (True,)
            assert owner.execute(query, [f"{role}_reader"]).fetchone() == (False,)
    finally:
        with stage.base.connect(autocommit=True) as owner:
            owner.execute(f"ALTER ROLE {role} NOCREATEROLE; DROP OWNED BY {role}_reader; DROP ROLE {role}_reader")


#: A rule pack in bash that knows nothing of incidents: it replaces its alerts, and tries to write what it must not.
SHELL_RULES = r"""
set -euo pipefail
export PGOPTIONS=--client-min-messages=warning
sql() { psql --quiet --no-psqlrc -v ON_ERROR_STOP=1 -v date="$HDM_DATE" -v slug="@slug@"; }
sql <<'SQL'
BEGIN;
DELETE FROM hdm_alerts WHERE rule_pack = 'night' AND endpoint = :'slug' AND "date" = :'date';
INSERT INTO hdm_alerts (rule_pack, endpoint, "date", rule_id, "table", alert_level)
SELECT 'night', :'slug', :'date', 'late', 'visits', 'High' WHERE :'date' IN ('2026-01-05', '2026-01-06');
COMMIT;
SQL
for statement in "DELETE FROM hdm_incident_event" "DELETE FROM hdm_incident_count" \
    "UPDATE hdm_pack_run SET derived = true" "UPDATE hdm_incident SET state = 'resolved', ended_on = opened_on"
do
    if sql <<< "$statement;" 2> refusal; then echo "$statement was possible"; exit 1; fi
    grep -q "permission denied" refusal
done
echo "open: $(sql <<< "SELECT count(*) FROM hdm_incident WHERE state = 'open'" | tr -dc '0-9 (')"
"""


def test_shell_rule_pack_that_writes_alerts_only_gets_incidents_and_cannot_write_them(
    stage: Stage, role: str, hdm: Hdm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened, still there, gone; it may read them, its log shows."""
    monkeypatch.setenv("PATH", f"{stage.base.server.bin_dir}:{os.environ['PATH']}")  # psql
    hdm("db", "grant", role)
    stage.pack("night", SHELL_RULES.replace("@slug@", HEART.slug), kind="rule")
    stage.activate("rp_night", HEART)
    query = "SELECT state, level, opened_on, ended_on FROM hdm_incident"
    states = []
    for number in range(3):
        assert stage.run("rp_night", day=MONDAY + timedelta(days=number), pack_conn_id="packs")["success"] == 1
        with stage.base.connect() as connection:
            states += connection.execute(query).fetchall()
    open_ = ("open", "High", MONDAY, None)
    assert states == [open_, open_, ("resolved", "High", MONDAY, MONDAY + timedelta(days=2))]
    assert "incidents: 1 opened" in stage.log
    assert "incidents: 1 resolved" in stage.log
