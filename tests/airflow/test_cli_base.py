"""`airflow hdm endpoints`, `activate`, `config` and `runs`, on a real HDM base."""

from __future__ import annotations

import getpass
import io
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tests.airflow.cli_harness import Hdm

if TYPE_CHECKING:
    from pathlib import Path

    from demo.services import Database, MariaDB

HEART = "heart:postgres:db.example:5432:reader:true"
LUNG = "lung:postgres:db.example:5432:reader:true"
OTHER_LUNG = "lung:mysql:other.example:3306:reader:false"


@pytest.fixture
def hdm(capsys: pytest.CaptureFixture[str], base: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hdm:
    """Commands in this process, with a base and a packs folder (pulse of both kinds, beat of one)."""
    dags = tmp_path / "dags"
    monkeypatch.setenv("AIRFLOW_VAR_HDM", "{}")
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(dags))
    hdm = Hdm(capsys)
    for words in (["pulse"], ["pulse", "--kind", "rule"], ["beat"]):
        hdm("packs", "new", *words, dags / "packs")
    for schema in (dags / "packs").rglob("config.schema.json"):
        schema.unlink()  # a pack without one accepts anything
    for slug in (HEART, LUNG, OTHER_LUNG):
        hdm("endpoints", "add", slug)
    return hdm


def audit(base: Database) -> list[tuple[Any, ...]]:
    """The audit trail, without the rows of the fixture."""
    with base.connect() as connection:
        query = "SELECT actor, action, object, old, new FROM hdm_audit ORDER BY id OFFSET 3"
        return connection.execute(query).fetchall()


def activated(hdm: Hdm) -> dict[str, list[str]]:
    """Database name -> packs; an endpoint without any is left out."""
    rows = hdm.json("endpoints", "list")
    return {row["endpoint"].split(":")[0]: row["packs"] for row in rows if row["packs"]}


def test_endpoint_is_added_by_slug_or_by_parts(hdm: Hdm) -> None:
    """Both ways end in the same slug, which alone goes to stdout."""
    parts = ("--type", "postgres", "--host", "db.example", "--port", "5432", "--user", "reader", "--ssl")
    done = hdm("endpoints", "add", "heart", *parts)
    assert done.out == f"{HEART}\n"
    assert "the endpoint already exists, unchanged" in done.err
    assert hdm("endpoints", "add", "--name", "a:b", "--type", "mysql").out == "a%3Ab:mysql::::false\n"
    assert len(hdm.json("endpoints", "list")) == 4


def test_endpoint_keeps_its_connection_until_another_is_given(hdm: Hdm) -> None:
    """To add an endpoint twice must not cut it off from its password."""
    hdm("endpoints", "add", HEART, "--conn-id", "my_heart")
    hdm("endpoints", "add", HEART)
    assert hdm.json("endpoints", "list")[0]["conn_id"] == "my_heart"
    hdm("endpoints", "add", HEART, "--conn-id", "")
    assert hdm.json("endpoints", "list")[0]["conn_id"] is None


def test_endpoint_that_cannot_be_is_refused(hdm: Hdm) -> None:
    """And nothing is stored."""
    cases: list[tuple[list[str], str]] = [
        ([], "has no name"),
        (["heart"], "has no type"),
        (["heart:postgres"], "it has 2 parts, not 6"),
        ([HEART, "--user", "root"], "a slug cannot be combined with --user"),
        ([HEART, "--ssl"], "a slug cannot be combined with --ssl"),
        (["heart", "--name", "heart", "--type", "mysql"], "the name is given twice"),
        (["heart", "--type", "sqlite"], "has no host"),
        (["heart", "--type", "mysql", "--port", "99999"], "is not a port"),
        (["he\nart", "--type", "mysql"], "unprintable character"),
    ]
    for words, what in cases:
        assert what in hdm("endpoints", "add", *words, code=2).err
    assert len(hdm.json("endpoints", "list")) == 3


def test_endpoint_is_removed_only_with_consent(hdm: Hdm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal to ask, the command does not assume consent."""
    hdm("activate", "pulse", "heart")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert "do: add --yes" in hdm("endpoints", "remove", "heart", code=2).err
    terminal = io.StringIO("n\ny\n")
    terminal.isatty = lambda: True  # type: ignore[method-assign]  # a stand-in
    monkeypatch.setattr("sys.stdin", terminal)
    assert "nothing was removed" in hdm("endpoints", "remove", "heart", code=1).err
    assert "with 2 activation(s)" in hdm("endpoints", "remove", "heart").err
    assert "there is no endpoint" in hdm("endpoints", "remove", "heart", "--yes", code=2).err
    assert "names 2 endpoints" in hdm("endpoints", "remove", "lung", "--yes", code=2).err
    hdm("endpoints", "remove", LUNG, "--yes")
    assert [row["endpoint"] for row in hdm.json("endpoints", "list")] == [OTHER_LUNG]


def test_endpoints_are_tested_with_the_password_that_packs_get(
    hdm: Hdm, database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, metadata: None
) -> None:
    """Reached, not reached and not there: each says so, and none says a password."""
    for slug in (HEART, LUNG, OTHER_LUNG):
        hdm("endpoints", "remove", slug, "--yes")
    server, file = database.server, tmp_path / "file.db"
    slugs = {
        "good": f"{database.name}:postgres:{server.host}:{server.port}:{server.user}:false",
        "wrong": f"wrong:postgresql:{server.host}:{server.port}:{server.user}:false",
        "closed": "closed:postgres:127.0.0.1:1:reader:false",
        "file": f"file:sqlite:{file}:::false",
        "missing": f"missing:sqlite:{file}.not:::false",
        "garbage": f"garbage:sqlite:{tmp_path / 'garbage'}:::false",
        "strange": "strange:oracle:db:1521:me:false",
        "host": "host:mysql:db.example:3306:me:false",
    }
    (tmp_path / "garbage").write_text("no database " * 100)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE t (x)")
    for slug in slugs.values():
        hdm("endpoints", "add", slug)
    connection_of = json.dumps({"conn_type": "generic", "password": server.password})
    monkeypatch.setenv(f"AIRFLOW_CONN_HDM_{database.name.upper()}", connection_of)
    monkeypatch.setenv("AIRFLOW_CONN_HDM_WRONG", '{"conn_type": "generic", "password": "wr0ng-w0rd"}')
    monkeypatch.setenv("AIRFLOW_CONN_HDM_HOST", '{"conn_type": "generic", "host": "elsewhere", "password": "x"}')
    done = hdm("endpoints", "test", "--output", "json", code=1)
    found = {name: next(row for row in done.data if row["endpoint"] == slug) for name, slug in slugs.items()}
    assert {name for name, row in found.items() if row["reachable"]} == {"good", "file"}
    assert found["good"]["version"].startswith("PostgreSQL ")
    assert found["good"]["password_from"] == f"Airflow connection hdm_{database.name}"
    assert "password authentication failed" in found["wrong"]["message"]
    assert "refused" in found["closed"]["message"]
    assert found["closed"]["password_from"] == "none"
    assert found["file"]["version"].startswith("SQLite ")
    assert "there is no file" in found["missing"]["message"]
    assert "not a database" in found["garbage"]["message"]
    assert "cannot be tested here" in found["strange"]["message"]
    assert "is for a host other than the endpoint's" in found["host"]["message"]
    assert not (tmp_path / "file.db.not").exists()
    assert server.password not in done.out + done.err
    assert "wr0ng-w0rd" not in done.out + done.err
    assert hdm.json("endpoints", "test", database.name)[0]["reachable"]


@pytest.mark.parametrize(("password", "warned"), [("a", True), ("s3v3n77", True), ("ei8ht-88", False)])
def test_short_password_is_warned_about_and_changes_no_exit_code(
    hdm: Hdm, monkeypatch: pytest.MonkeyPatch, password: str, warned: bool
) -> None:
    """Masking `a` turns every line of a log into stars."""
    hdm("endpoints", "add", "short:postgres:127.0.0.1:1:me:false")
    monkeypatch.setenv("AIRFLOW_CONN_HDM_SHORT", json.dumps({"conn_type": "generic", "password": password}))
    done = hdm("endpoints", "test", "short", "--output", "json", code=1)
    assert (
        "warning: short:postgres:127.0.0.1:1:me:false: the password has fewer than 8 characters" in done.err
    ) is warned
    assert done.data[0]["password_from"] == "Airflow connection hdm_short"


def test_mysql_endpoint_is_tested_where_its_driver_is_installed(
    hdm: Hdm, mariadb: MariaDB, mariadb_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the driver the message says what to install."""
    slug = f"{mariadb_database}:mysql:{mariadb.host}:{mariadb.port}:{mariadb.user}:false"
    hdm("endpoints", "add", slug)
    connection = json.dumps({"conn_type": "generic", "password": mariadb.password})
    monkeypatch.setenv(f"AIRFLOW_CONN_HDM_{mariadb_database.upper()}", connection)
    assert "MariaDB" in hdm.json("endpoints", "test", slug)[0]["version"]
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert "pip install PyMySQL" in hdm.json("endpoints", "test", slug, code=1)[0]["message"]


def test_bare_name_of_both_kinds_activates_both_and_says_so(hdm: Hdm, base: Database) -> None:
    """Each change leaves one row in the audit trail, under the name of whoever made it."""
    done = hdm("activate", "pulse", "heart", LUNG)
    assert "'pulse' means both mp_pulse and rp_pulse" in done.err
    assert activated(hdm) == {"heart": ["mp_pulse", "rp_pulse"], "lung": ["mp_pulse", "rp_pulse"]}
    assert "was already activated" in hdm("activate", "mp_pulse", "heart").err
    hdm("deactivate", "rp_pulse", "heart")
    assert activated(hdm)["heart"] == ["mp_pulse"]
    trail = audit(base)
    assert [row[1] for row in trail] == ["activate"] * 4 + ["deactivate"]
    assert trail[-1][2] == f"rule pack pulse {HEART}"
    assert {row[0] for row in trail} == {getpass.getuser()}


def test_pack_is_activated_on_all_endpoints_and_deactivated_everywhere(hdm: Hdm) -> None:
    """`--all` or names: both, or neither, is wrong usage."""
    hdm("activate", "beat", "--all")
    assert sum("mp_beat" in row["packs"] for row in hdm.json("endpoints", "list")) == 3
    hdm("deactivate", "beat", "--all")
    assert activated(hdm) == {}
    assert "no endpoint is named" in hdm("activate", "beat", code=2).err
    assert "endpoints are named together with --all" in hdm("activate", "beat", "heart", "--all", code=2).err


def test_pack_that_the_folder_does_not_have_needs_its_kind(hdm: Hdm) -> None:
    """The pack may be added later, but a typing error must not pass without a warning."""
    assert "there is no pack 'pusle'" in hdm("activate", "pusle", "heart", code=2).err
    assert "warning: there is no mp_pusle in " in hdm("activate", "mp_pusle", "heart").err
    assert "warning: there is no rp_later in " in hdm("activate", "later", "heart", "--kind", "rule").err
    assert activated(hdm) == {"heart": ["mp_pusle", "rp_later"]}


def test_misspelt_endpoint_changes_nothing(hdm: Hdm) -> None:
    """All names are looked up before the first change."""
    assert "there is no endpoint 'haert'" in hdm("activate", "beat", "heart", "haert", code=2).err
    assert activated(hdm) == {}


def test_activation_of_an_endpoint_that_is_gone_is_shown_and_can_be_taken_away(hdm: Hdm, base: Database) -> None:
    """Its runs fail until that is done."""
    with base.connect() as connection:
        connection.execute("INSERT INTO hdm_core_table_corr_db_mp VALUES ('beat', 'gone:mysql:h:1:u:false')")
    assert "mp_beat activated on gone:mysql:h:1:u:false, which is not registered" in hdm("endpoints", "list").err
    hdm("deactivate", "beat", "gone:mysql:h:1:u:false")
    assert "gone" not in hdm("endpoints", "list").err


@pytest.mark.parametrize("where", [["garbage"], ["--all"]], ids=["by its text", "with all"])
def test_activation_whose_slug_cannot_be_read_can_be_taken_away(hdm: Hdm, base: Database, where: list[str]) -> None:
    """A row that other hands wrote must not stay for ever, nor keep the others from going."""
    with base.connect() as connection:
        connection.execute("INSERT INTO hdm_core_table_corr_db_mp VALUES ('beat', 'garbage')")
    hdm("activate", "beat", "heart")
    assert "mp_beat is no longer activated on garbage" in hdm("deactivate", "beat", *where).err
    assert "garbage" not in hdm("endpoints", "list").err
    assert activated(hdm) == ({} if where == ["--all"] else {"heart": ["mp_beat"]})


def test_configuration_is_stored_printed_and_audited(hdm: Hdm, base: Database) -> None:
    """What is set comes back; external for the pack's own version unless another is named."""
    hdm("config", "set", "beat", '{"a": 1, "b": [1]}')
    hdm("config", "set", "beat", '{"b": 2}', "--endpoint", "heart")
    assert hdm("config", "get", "beat").data == {"a": 1, "b": [1]}
    assert hdm("config", "get", "beat", "--endpoint", HEART).data == {"b": 2}
    effective = hdm("config", "get", "beat", "--endpoint", "heart", "--effective")
    assert effective.data == {"a": 1, "b": 2}
    assert effective.err == f"from: hdm_pack_metric_conf beat:0.1.0, hdm_pack_metric_conf beat:{HEART}\n"
    rows = hdm.json("config", "list")
    assert [(row["pack"], row["version"], row["endpoint"], row["value"]) for row in rows] == [
        ("mp_beat", "0.1.0", None, {"a": 1, "b": [1]}),
        ("mp_beat", None, HEART, {"b": 2}),
    ]
    assert [row[1:3] for row in audit(base)] == [
        ("config set", "hdm_pack_metric_conf beat:0.1.0"),
        ("config set", f"hdm_pack_metric_conf beat:{HEART}"),
    ]


def test_effective_configuration_of_a_new_version_is_the_last_one_with_a_warning(hdm: Hdm) -> None:
    """The configuration as the pack gets it; without the option, `get` shows only that of exactly this version."""
    hdm("config", "set", "beat", '{"a": 1}', "--version", "0.0.9")
    assert "mp_beat has no configuration for version 0.1.0" in hdm("config", "get", "beat", code=1).err
    done = hdm("config", "get", "beat", "--effective")
    assert done.data == {"a": 1}
    assert "warning: version 0.1.0 has no external configuration: that of 0.0.9 is used" in done.err
    assert hdm("config", "get", "rp_pulse", "--effective").data == {}


def test_configuration_that_no_pack_could_read_is_refused(hdm: Hdm) -> None:
    """A comma too many must be found now, not at night."""
    cases: list[tuple[list[str], str]] = [
        (['{"a": 1,}'], "is not JSON"),
        (["plain"], "store plain text with --text"),
        ([], "exactly one value is required"),
        (["{}", "--file", "x"], "exactly one value is required"),
        (["--file", "/nowhere"], "there is no such file"),
        (["{}", "--version", "1", "--endpoint", "heart"], "cannot be used together"),
        (["{}", "--version", "a b"], "is not a version"),
    ]
    for words, what in cases:
        assert what in hdm("config", "set", "beat", *words, code=2).err
    assert hdm.json("config", "list") == []


def test_configuration_comes_from_file_stdin_or_is_text(
    hdm: Hdm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `get` prints, `set` reads again."""
    file = tmp_path / "conf.json"
    file.write_text('\ufeff{"name": "žluť"}', "utf-8")
    hdm("config", "set", "beat", "--file", file)
    printed = hdm("config", "get", "beat").out
    assert json.loads(printed) == {"name": "žluť"}
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(printed.encode())))
    hdm("config", "set", "rp_pulse", "-", "--endpoint", "heart")
    assert hdm("config", "get", "rp_pulse", "--endpoint", "heart").data == {"name": "žluť"}
    hdm("config", "set", "beat", "{plain: text", "--text")
    assert hdm("config", "get", "beat").out == "{plain: text\n"
    assert "warning: the value is a list" in hdm("config", "set", "beat", "[1]").err
    assert "write mp_pulse or rp_pulse" in hdm("config", "set", "pulse", "{}", code=2).err
    assert "give --version" in hdm("config", "set", "mp_later", "{}", code=2).err


SCHEMA = {"type": "object", "properties": {"identifying": {"type": "array"}}, "additionalProperties": False}


def test_mistyped_key_is_refused_with_the_one_that_was_meant(hdm: Hdm, base: Database, tmp_path: Path) -> None:
    """Accepted, it would protect nothing: the columns would be measured."""
    schema = tmp_path / "dags/packs/metric-packs/beat/config.schema.json"
    schema.write_text(json.dumps(SCHEMA))
    for where in ([], ["--endpoint", "heart"], ["--version", "0.0.1"]):
        done = hdm("config", "set", "beat", '{"identifing": ["name"]}', *where, code=2)
        assert "identifing is unknown: did you mean identifying?" in done.err
        assert str(schema) in done.err
        assert "the configuration must be an object" in hdm("config", "set", "beat", "x", "--text", *where, code=2).err
    assert hdm.json("config", "list") == []
    assert audit(base) == []
    hdm("config", "set", "beat", '{"identifying": ["name"]}')
    schema.write_text('{"additionalPropertes": false}')
    assert "did you mean additionalProperties?" in hdm("config", "set", "beat", '{"identifying": []}', code=2).err
    schema.write_text("{'type': 1}")
    assert "it has single quotes" in hdm("config", "set", "beat", "{}", code=2).err


def test_key_that_is_missing_is_a_warning_until_the_other_part_has_it(hdm: Hdm, tmp_path: Path) -> None:
    """External and endpoint configuration are stored one after the other."""
    schema = tmp_path / "dags/packs/metric-packs/beat/config.schema.json"
    schema.write_text(json.dumps({**SCHEMA, "required": ["identifying"]}))
    missing = "warning: the pack will not accept the configuration as a whole: the configuration lacks identifying"
    assert missing in hdm("config", "set", "beat", "{}", "--endpoint", "heart").err
    assert hdm("config", "set", "beat", '{"identifying": []}').err == "mp_beat is configured for version 0.1.0\n"
    assert "warning" not in hdm("config", "set", "beat", "{}", "--endpoint", "heart").err


def test_external_configuration_that_cannot_be_read_is_a_warning_for_an_endpoint(hdm: Hdm, base: Database) -> None:
    """One bad row must not keep others from being written."""
    hdm("config", "set", "beat", "{}")
    with base.connect(autocommit=True) as connection:
        connection.execute("UPDATE hdm_pack_metric_conf SET pack_config = '***'")
    done = hdm("config", "set", "beat", "{}", "--endpoint", "heart")
    assert "the pack will run on no endpoint: the configuration is not base64 of UTF-8 text" in done.err
    assert [row["value"] for row in hdm.json("config", "list")] == [None, {}]


def test_schema_of_the_last_attempt_counts_where_the_packs_folder_has_no_pack(
    hdm: Hdm, base: Database, tmp_path: Path
) -> None:
    """On a machine without the packs folder, a mistyped key is refused too."""
    assert "the configuration is not checked" in hdm("config", "set", "mp_far", "{}", "--version", "1.0").err
    insert = """INSERT INTO hdm_pack (kind, name, version, sha256, config_schema, recorded_at)
        VALUES ('metric', 'far', %s, 'x', %s, now() + %s * interval '1 s')"""
    with base.connect() as connection:
        connection.execute(insert, ["1.0", json.dumps(SCHEMA), 0])
        connection.execute(insert, ["0.9", "{}", 1])
    done = hdm("config", "set", "mp_far", '{"identifing": []}', "--version", "1.0", code=2)
    assert "did you mean identifying?\nin: hdm_pack mp_far 1.0\n" in done.err
    hdm("config", "set", "mp_far", '{"identifing": []}', "--version", "0.9")
    hdm("config", "set", "mp_far", '{"identifing": []}', "--endpoint", "heart")


def test_list_says_what_is_not_accepted_and_what_is_not_used(hdm: Hdm, base: Database) -> None:
    """By the pack as it ran last: a step back from 1.1 to 1.0 leaves 1.1's options behind."""
    for version in ("0.9", "1.1"):
        hdm("config", "set", "mp_beat", '{"identifing": []}', "--version", version)
    hdm("config", "set", "mp_beat", '{"identifying": []}', "--endpoint", "heart")
    with base.connect() as connection:
        connection.execute(
            "INSERT INTO hdm_pack (kind, name, version, sha256, config_schema)"
            " VALUES ('metric', 'beat', '1.0', '', %s)",
            [json.dumps(SCHEMA)],
        )
    unknown = "identifing is unknown: did you mean identifying?"
    faults = {row["version"]: row["fault"] for row in hdm.json("config", "list")}
    assert faults == {"0.9": unknown, "1.1": f"not used: the pack ran last as version 1.0; {unknown}", None: ""}


def test_configuration_of_a_version_that_the_pack_has_passed_is_stored_with_a_warning(hdm: Hdm) -> None:
    """It may be meant for the next upgrade."""
    done = hdm("config", "set", "beat", "{}", "--version", "9.0")
    assert "mp_beat has version 0.1.0, which does not use the configuration of version 9.0" in done.err


def test_configuration_that_does_not_decode_is_listed_with_its_fault(hdm: Hdm, base: Database) -> None:
    """One bad row, written by other hands, hides no other."""
    hdm("config", "set", "beat", "{}")
    with base.connect() as connection:
        connection.execute("INSERT INTO hdm_pack_metric_conf VALUES ('beat:9', 'beat', '9', '%%%')")
    assert [row["fault"] for row in hdm.json("config", "list")] == ["", "the configuration is not base64 of UTF-8 text"]
    assert "hdm_pack_metric_conf beat:9" in hdm("config", "get", "beat", "--version", "9", code=2).err


def test_runs_are_listed_newest_first_in_every_format(hdm: Hdm, base: Database) -> None:
    """By pack, endpoint, status and date; an endpoint that is gone keeps its rows."""
    insert = """
        INSERT INTO hdm_pack_run (kind, pack, pack_version, endpoint, metric_date, environment, dag_id, run_id, task_id,
            try_number, status, reason, finished_at)
        SELECT 'metric', 'beat', '1', %s, date '2026-01-01' + n, 'prod', 'd', 'r', 't', 1,
            CASE n WHEN 2 THEN 'failed' ELSE 'success' END, 'said [red]no', clock_timestamp()
        FROM generate_series(1, 3) AS n"""
    with base.connect() as connection:
        for slug in (HEART, "gone:mysql:h:1:u:false"):
            connection.execute(insert, [slug])
    for output in ("table", "plain", "yaml", "json"):
        done = hdm("runs", "list", "--endpoint", "heart", "--output", output)
        assert "said [red]no" in done.out
        assert done.out.index("2026-01-04") < done.out.index("2026-01-02")
    listed = hdm.json("runs", "list", "--endpoint", "gone:mysql:h:1:u:false", "--status", "failed", "--pack", "mp_beat")
    assert [row["metric_date"] for row in listed] == ["2026-01-03"]
    assert len(hdm.json("runs", "list", "--limit", "2")) == 2
    assert hdm.json("runs", "list", "--date", "2030-01-01") == []
    hdm("runs", "list", "--limit", "0", code=2)
    for text in ("yesterday", "20260105", "2026-W01-1", "2026-1-5", "2026-01-0\u0665"):
        hdm("runs", "list", "--date", text, code=2)


def test_missing_password_is_named_with_its_connection(hdm: Hdm, database: Database, metadata: None) -> None:
    """Libpq's own lines about a password file are not shown."""
    server = database.server
    slug = f"{database.name}:postgres:{server.host}:{server.port}:{server.user}:false"
    hdm("endpoints", "add", slug)
    words = ("-m", "airflow", "hdm", "endpoints", "test", slug, "--output", "json")
    ran = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    expected = f"no password was found: add it to the Airflow connection 'hdm_{database.name}'"
    assert expected in json.loads(ran.stdout)[0]["message"]
    assert "/dev/null" not in ran.stderr


def test_check_names_a_base_that_is_newer_different_or_read_only(hdm: Hdm, base: Database) -> None:
    """The exit code says it too; a command that writes refuses a base of another version."""
    assert "is current: version 0006" in hdm("db", "check").err
    with base.connect(autocommit=True) as owner:
        owner.execute("DROP INDEX hdm_alerts_key; ALTER TABLE hdm_pack_run DROP COLUMN alerts")
        done = hdm("db", "check", code=1)
        assert "hdm_pack_run lacks the column alerts; hdm_alerts lacks the unique index" in done.err
        owner.execute("UPDATE hdm_alembic_version SET version_num = '0099'")
        for words in (("db", "check"), ("db", "upgrade"), ("endpoints", "list"), ("activate", "beat", "heart")):
            newer = "is newer than this version of hdm_airflow: upgrade the package"
            assert newer in hdm(*words, code=2).err
    with base.connect(autocommit=True) as owner:
        owner.execute(f'ALTER DATABASE "{base.name}" SET default_transaction_read_only = on')
        owner.execute("SET default_transaction_read_only = off; UPDATE hdm_alembic_version SET version_num = '0006'")
    assert "the HDM base is read-only" in hdm("db", "check", code=2).err


def test_state_that_is_not_what_the_ledger_says_is_found_and_built_again(hdm: Hdm, base: Database) -> None:
    """The check says what to do; the upgrade does it, and says so; the next check is content."""
    with base.connect(autocommit=True) as owner:
        owner.execute("INSERT INTO hdm_pack_state VALUES ('rule', 'p', 'z', '2024-05-01', 9, 'success')")
    wrong = "hdm_pack_state is not what the ledger says, 1 times: airflow hdm db upgrade builds it again"
    assert wrong in hdm("db", "check", code=1).err
    assert "hdm_pack_state was not what the ledger says, 1 times: it was built again" in hdm("db", "upgrade").err
    assert "is current: version 0006" in hdm("db", "check").err
