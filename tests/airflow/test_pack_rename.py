"""`airflow hdm packs rename`: the whole history follows the new name; lists mark names that no pack has."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hdm_airflow.base import rename, runs
from hdm_airflow.base.hook import HdmHook
from tests.airflow.cli_harness import Hdm
from tests.airflow.stage import MONDAY, REPORT_ALL, endpoint

if TYPE_CHECKING:
    from tests.airflow.stage import Stage

ROOT = Path(__file__).parents[2]
HEART = endpoint("heart")
ALL_OK = REPORT_ALL.format("ok")
#: Tables of the base with a column for a pack's name, and the column.
COLUMNS = {
    "hdm_core_table_corr_db_mp": "mp_key",
    "hdm_core_table_corr_db_rp": "rp_key",
    "hdm_pack_metric_conf": "pack_name",
    "hdm_pack_rule_conf": "pack_name",
    "hdm_alerts": "rule_pack",
    "hdm_not_judged": "rule_pack",
    "hdm_incident": "rule_pack",
    "hdm_incident_count": "rule_pack",
    "hdm_told": "rule_pack",
    "hdm_pack_run": "pack",
    "hdm_pack_state": "pack",
    "hdm_pack": "name",
    "hdm_pack_schema": "pack",
}


@pytest.fixture
def hdm(capsys: pytest.CaptureFixture[str], stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Hdm:
    """Commands in this process, whose packs folder is the stage's."""
    monkeypatch.setenv("AIRFLOW_VAR_HDM", json.dumps({"packs_dir": str(stage.folder)}))
    return Hdm(capsys)


@pytest.fixture
def filled(stage: Stage) -> Stage:
    """A metric pack and a rule pack of one name, with rows in every table of the base."""
    script = {"create-table/a.sql": "CREATE TABLE IF NOT EXISTS own (x int);"}
    for kind, task_id in (("metric", "mp_pulse"), ("rule", "rp_pulse")):
        stage.pack("pulse", ALL_OK, kind=kind, files=script)
        stage.activate(task_id, HEART)
        stage.run(task_id)
        stage.configure(task_id, {"a": 1}, version="1.0.0")
        stage.configure(task_id, {"b": 2}, place=HEART)
    with stage.base.connect(autocommit=True) as owner:
        owner.execute("INSERT INTO hdm_alerts (rule_pack, rule_id, endpoint) VALUES ('pulse', '1', %s)", [HEART.slug])
        owner.execute(
            """INSERT INTO hdm_not_judged (rule_pack, endpoint, "date", kind) VALUES ('pulse', %s, %s, 'error')""",
            [HEART.slug, MONDAY],
        )
        owner.execute(
            """INSERT INTO hdm_incident (rule_pack, endpoint, rule_id, "table", "column", state, level, first_on,
                opened_on) VALUES ('pulse', %s, '1', '', '', 'open', 'High', %s, %s)""",
            [HEART.slug, MONDAY, MONDAY],
        )
        owner.execute("INSERT INTO hdm_told VALUES ('pulse', %s, %s, true)", [HEART.slug, MONDAY])
        owner.execute("INSERT INTO hdm_core_mail_list (mail, key) VALUES ('a@b.example', 'pulse'), ('', 'rp_pulse')")
    return stage


def edit(stage: Stage, folder: str, **changes: object) -> None:
    """Change keys of a manifest."""
    file = stage.folder / folder / "properties.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def counts(stage: Stage, name: str) -> dict[str, int]:
    """Rows of each table under a pack's name."""
    with stage.base.connect() as connection:
        found = {
            table: connection.execute(f"SELECT count(*) FROM {table} WHERE {column} = %s", [name]).fetchone()
            for table, column in COLUMNS.items()
        }
    return {table: row[0] for table, row in found.items() if row and row[0]}


def test_every_column_of_the_base_that_holds_the_name_of_a_pack_is_renamed() -> None:
    """A new table with such a column must be added to sql/pack_rename.sql and to COLUMNS."""
    schema = (ROOT / "hdm_airflow/base/schema.sql").read_text()
    statements = (ROOT / "hdm_airflow/base/sql/pack_rename.sql").read_text()
    lock = re.search(r"LOCK TABLE (.*?) IN ", statements, re.DOTALL)
    assert lock
    assert set(re.findall(r"\w+", lock[1])) == set(COLUMNS)
    found = {}
    for table, body in re.findall(r"CREATE TABLE (\w+) \((.*?)^\);", schema, re.MULTILINE | re.DOTALL):
        for column in re.findall(r"^    \"?(\w+)\"? ", body, re.MULTILINE):
            own = column == "name" and table.startswith("hdm_pack")
            if own or re.fullmatch(r"(\w+_)?pack(_name)?|pack_?key|pack_id|[mr]p(_\w+)?", column):
                found[table] = column
                assert re.search(rf"UPDATE {table}\b.*?SET {column} = ", statements), table
    assert found == COLUMNS


def test_whole_history_of_a_pack_follows_and_its_namesake_stays(filled: Stage, hdm: Hdm) -> None:
    """Everything has the new name, the pack finds it, and the rule pack of the old name is unchanged."""
    before = counts(filled, "pulse")
    assert set(before) == set(COLUMNS)
    edit(filled, "metric-packs/pulse", name="heart-rate")
    done = hdm("packs", "rename", "mp_pulse", "heart-rate")
    assert done.out == "mp_heart-rate\n"
    moved = "1 activations, 2 configurations, 1 runs, 1 versions, 1 create-table scripts"
    assert f"mp_pulse is now mp_heart-rate: {moved}\n" in done.err
    assert "still in the packs folder" not in done.err
    after, stayed = counts(filled, "heart-rate"), counts(filled, "pulse")
    assert {table: after.get(table, 0) + stayed.get(table, 0) for table in COLUMNS} == before
    assert set(after) == {
        "hdm_core_table_corr_db_mp",
        "hdm_pack_metric_conf",
        "hdm_pack_run",
        "hdm_pack_state",
        "hdm_pack",
        "hdm_pack_schema",
    }
    assert set(stayed) == set(COLUMNS) - {"hdm_core_table_corr_db_mp", "hdm_pack_metric_conf"}
    listed = {(row["pack"], row["version"] or row["endpoint"]) for row in hdm.json("config", "list")}
    assert listed == {(pack, place) for pack in ("mp_heart-rate", "rp_pulse") for place in ("1.0.0", HEART.slug)}
    assert hdm("config", "get", "mp_heart-rate", "--endpoint", "heart", "--effective").data == {"a": 1, "b": 2}
    assert filled.run("mp_heart-rate", day=MONDAY + timedelta(days=1))["success"] == 1
    with filled.base.connect() as connection:
        audit = connection.execute("SELECT object, old, new FROM hdm_audit WHERE action = 'pack rename'").fetchall()
        ids = connection.execute("SELECT id_config FROM hdm_pack_metric_conf ORDER BY 1").fetchall()
    assert audit == [("metric pack pulse", {"name": "pulse"}, {"name": "heart-rate"})]
    assert ids == [("heart-rate:1.0.0",), (f"heart-rate:{HEART.slug}",)]


def test_alerts_follow_a_rule_pack(filled: Stage, hdm: Hdm) -> None:
    """Alerts belong to rule packs only; the metric pack of the same name keeps its rows."""
    hdm("packs", "rename", "pulse", "rp_judge", "--kind", "rule")
    assert set(counts(filled, "judge")) == set(COLUMNS) - {"hdm_core_table_corr_db_mp", "hdm_pack_metric_conf"}
    with filled.base.connect() as connection:
        subscribed = connection.execute("SELECT key FROM hdm_core_mail_list ORDER BY id").fetchall()
    assert subscribed == [("judge",), ("rp_judge",)]
    assert "hdm_alerts" not in counts(filled, "pulse")


def test_versions_and_scripts_that_the_new_name_has_already_do_not_hinder(filled: Stage, hdm: Hdm) -> None:
    """The pack ran under its new name before anybody renamed it in the base, but was activated nowhere."""
    with filled.base.connect(autocommit=True) as owner:
        for table, column in (("hdm_pack", "name"), ("hdm_pack_schema", "pack")):
            rest = [
                row[0]
                for row in owner.execute(
                    "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND attname <> %s",
                    [table, column],
                ).fetchall()
            ]
            names = ", ".join(rest)
            owner.execute(
                f"INSERT INTO {table} ({column}, {names}) SELECT 'new', {names} FROM {table} WHERE kind = 'metric'"
            )
    hdm("packs", "rename", "mp_pulse", "new")
    with filled.base.connect() as connection:
        for table, column in (("hdm_pack", "name"), ("hdm_pack_schema", "pack")):
            rows = connection.execute(f"SELECT {column} FROM {table} WHERE kind = 'metric'").fetchall()
            assert rows == [("new",)]


@pytest.mark.parametrize(
    ("statement", "table"),
    [
        ("INSERT INTO hdm_core_table_corr_db_mp VALUES ('new', 'x')", "hdm_activation"),
        ("INSERT INTO hdm_pack_metric_conf VALUES ('new:1', 'new', '1', '')", "hdm_configuration"),
        ("INSERT INTO hdm_pack_metric_conf VALUES ('new:1', 'other', '1', '')", "hdm_configuration"),
        ("UPDATE hdm_pack_run SET pack = 'new' WHERE kind = 'metric'", "hdm_pack_run"),
    ],
)
def test_name_with_rows_is_refused(filled: Stage, hdm: Hdm, statement: str, table: str) -> None:
    """Two histories cannot become one; nothing has changed afterwards."""
    with filled.base.connect(autocommit=True) as owner:
        owner.execute(statement)
    before = counts(filled, "pulse"), counts(filled, "new")
    assert f"the metric pack new already has rows: {table}" in hdm("packs", "rename", "mp_pulse", "new", code=2).err
    assert (counts(filled, "pulse"), counts(filled, "new")) == before
    if table == "hdm_activation":  # rows of the other kind do not count
        hdm("packs", "rename", "rp_pulse", "new")


def test_names_that_mean_nothing_or_too_much_are_refused(filled: Stage, hdm: Hdm) -> None:
    """The kind is never guessed from a folder in which one of two packs may have its new name already."""
    edit(filled, "metric-packs/pulse", name="heart-rate")
    for words, error in (
        (("pulse", "new"), "the kind of 'pulse' is not clear"),
        (("mp_pulse", "rp_new"), "'rp_new' is of the other kind"),
        (("mp_pulse", "mp_pulse"), "both names are the same"),
        (("mp_pulse", "a:b"), "cannot be a pack's name"),
        (("mp_pulse", ""), "cannot be a pack's name"),
        (("mp_puls", "new"), "the metric pack puls has no rows to rename"),
    ):
        assert error in hdm("packs", "rename", *words, code=2).err
    assert counts(filled, "pulse").keys() == COLUMNS.keys()


def test_rename_and_runs_exclude_each_other(filled: Stage, hdm: Hdm) -> None:
    """No run writes under a name that is being changed."""
    with HdmHook().session() as session:
        assert runs.try_lock_endpoints(session)
        assert "packs are running" in hdm("packs", "rename", "mp_pulse", "new", code=2).err
    error = "the rename of an endpoint or a pack did not end in time"
    with HdmHook().session() as session, rename.without_runs(session), pytest.raises(Exception, match=error):
        filled.run("mp_pulse", timeout=1)
    assert counts(filled, "new") == {}


def test_command_names_what_else_to_change_in_the_packs_folder(filled: Stage, hdm: Hdm) -> None:
    """Packs that depend on the old name, and rule packs that waited for the metric pack of their name."""
    filled.pack("judge", ALL_OK, kind="rule", depends_on=["pulse>=1"])
    filled.pack("other", ALL_OK, kind="rule", depends_on=[])
    done = hdm("packs", "rename", "mp_pulse", "new")
    assert "mp_pulse is still in the packs folder" in done.err
    assert "rp_judge depends on 'pulse'" in done.err
    assert "rp_pulse no longer has the name of mp_pulse" in done.err
    assert 'add "depends_on": ["new"]' in done.err
    assert "rp_other" not in done.err
    edit(filled, "metric-packs/pulse", name="last")
    edit(filled, "rule-packs/judge", depends_on=["last"])
    edit(filled, "rule-packs/pulse", depends_on=["last"])
    assert "warning" not in hdm("packs", "rename", "mp_new", "last").err
    assert "the packs folder cannot be read" in hdm("packs", "rename", "mp_last", "x", "--packs-dir", "/nowhere").err


def test_rule_pack_that_leaves_its_metric_pack_is_named(filled: Stage, hdm: Hdm) -> None:
    """Without depends_on it would wait for every metric pack from then on."""
    edit(filled, "rule-packs/pulse", name="judge")
    done = hdm("packs", "rename", "rp_pulse", "judge")
    assert (
        'rp_judge no longer has the name of mp_pulse, for which it waited by default\ndo: add "depends_on": ["pulse"]'
        in done.err
    )


def test_lists_mark_names_that_no_pack_has(filled: Stage, hdm: Hdm, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a rename in the folder only, and after a removal."""
    assert "warning" not in hdm("packs", "list").err
    assert {row["fault"] for row in hdm.json("config", "list")} == {""}
    edit(filled, "metric-packs/pulse", name="new")
    listed = hdm("packs", "list")
    assert "mp_pulse is activated and configured in the HDM base" in listed.err
    assert "airflow hdm packs rename mp_pulse NEW" in listed.err
    assert "rp_pulse is" not in listed.err
    assert "mp_pulse" not in hdm("packs", "list", "--packs-dir", filled.folder).err
    assert "mp_pulse is activated" in hdm("packs", "list", "--packs-dir", filled.folder, "--conn-id", "hdm").err
    faults = {(row["pack"], row["fault"]) for row in hdm.json("config", "list")}
    assert faults == {("mp_pulse", "no pack of this name in the packs folder"), ("rp_pulse", "")}
    assert {row["fault"] for row in hdm.json("config", "list", "--packs-dir", "/nowhere")} == {""}
    monkeypatch.setenv("AIRFLOW_CONN_HDM", "postgresql://nobody:nothing@127.0.0.1:1/hdm")
    assert "not compared with the HDM base of " in hdm("packs", "list").err


def test_page_removes_every_row_of_a_pack(filled: Stage, hdm: Hdm) -> None:
    """Its commands and statements, in their order, leave the pack of the other kind as it is."""
    page = (ROOT / "docs/how-to/rename-or-remove-a-pack.md").read_text()
    blocks = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    hdm("deactivate", "mp_pulse", "--all")
    with filled.base.connect(autocommit=True) as owner:
        for block in blocks:
            owner.execute(block)
    of_rule_packs = {"hdm_alerts", "hdm_not_judged", "hdm_incident", "hdm_incident_count", "hdm_told"}
    others = set(COLUMNS) - {"hdm_core_table_corr_db_mp", "hdm_pack_metric_conf", *of_rule_packs}
    assert counts(filled, "pulse") == {table: 2 if table == "hdm_pack_rule_conf" else 1 for table in others}


def test_page_removes_the_role_of_packs_and_its_schema(filled: Stage, hdm: Hdm) -> None:
    """The ledger stays."""
    page = (ROOT / "docs/how-to/add-to-an-existing-airflow.md").read_text()
    (block,) = re.findall(r"```sql\n(DROP SCHEMA .*?)```", page, re.DOTALL)
    role = "hdm_test_left"
    with filled.base.connect(autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {role} LOGIN")
        hdm("db", "grant", role)
        owner.execute(f"SET ROLE {role}; CREATE TABLE {role}.own (x int); RESET ROLE")
        owner.execute(block.replace("hdm_packs", role))
        assert owner.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).fetchone() is None
        assert owner.execute("SELECT FROM pg_namespace WHERE nspname = %s", [role]).fetchone() is None
    assert counts(filled, "pulse")["hdm_pack_run"] == 2
