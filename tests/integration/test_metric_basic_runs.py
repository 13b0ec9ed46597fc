"""Runs of metric pack basic: exit codes, endpoints that fail, a second run on the same date, progress."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.metric_basic_harness import TODAY, sqlite_file
from tests.integration.pack_harness import mariadb_endpoint, sqlite_endpoint

if TYPE_CHECKING:
    from demo.services import MariaDB
    from tests.integration.metric_basic_harness import Ward


@pytest.fixture
def without_pip(tmp_path: Path) -> dict[str, str | None]:
    """Variables for a bootstrap script that finds what it needs installed, as in an environment of the store."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "pip").write_text("#!/bin/sh\n")
    (folder / "pip").chmod(0o755)
    return {"PATH": os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])}


def test_the_unmodified_bootstrap_script_runs_the_pack(ward: Ward, without_pip: dict[str, str | None]) -> None:
    """The norm's entry point, with what it installs already there."""
    ward.execute("CREATE TABLE beds (bed int)")
    run = ward.base.run("metric-packs/basic", "", TODAY, ward.base.endpoints, bootstrap=True, variables=without_pip)
    assert run.exit_code == 0, run.output
    assert run.only()["status"] == "ok"


def test_running_twice_on_one_date_leaves_one_set_of_rows(ward: Ward) -> None:
    """A dbversion that changed in between leaves no rows behind either."""
    ward.execute("CREATE TABLE version (version text)", "INSERT INTO version VALUES ('0.9')", "CREATE TABLE t (a text)")
    ward.execute("INSERT INTO t SELECT 'x' FROM generate_series(1, 9)")
    ward.measure(TODAY)
    ward.execute("INSERT INTO version VALUES ('0.10')")
    run = ward.measure(TODAY)
    assert run.only()["version"] == "0.10"
    rows = ward.base.rows("SELECT * FROM metric_basic")
    assert sorted((r["table"], r["column"], r["dbversion"]) for r in rows) == [
        ("t", "a", "0.10"),
        ("version", "version", "0.10"),
    ]
    assert ward.base.levels(TODAY, "t", "a") == {"x": 9}


def test_a_failure_in_the_middle_of_storing_leaves_the_former_rows(ward: Ward) -> None:
    """The original emptied the table first."""
    ward.execute("CREATE TABLE t (a text)", "INSERT INTO t SELECT 'Dupont' FROM generate_series(1, 9)")
    ward.measure(TODAY)
    ward.execute("INSERT INTO t SELECT 'Dupont' FROM generate_series(1, 9)")
    ward.base.execute("ALTER TABLE metric_basic_levels ADD CONSTRAINT broken CHECK (false) NOT VALID")
    run = ward.measure(TODAY)
    assert run.exit_code == 1
    assert run.only()["status"] == "failed"
    assert "CheckViolation (23514)" in run.only()["message"]
    assert "Dupont" not in run.text
    assert ward.base.metrics(TODAY)["t", "a"]["value_counts"] == 9
    assert ward.base.levels(TODAY, "t", "a") == {"Dupont": 9}


@pytest.mark.parametrize("variable", ["HDM_CONTEXT", "HDM_REPORT"])
def test_a_missing_environment_never_ends_with_exit_0(
    ward: Ward, without_pip: dict[str, str | None], variable: str
) -> None:
    """Also through the bootstrap script, whose last command it is."""
    run = ward.base.run(
        "metric-packs/basic", "", TODAY, ward.base.endpoints, bootstrap=True, variables={**without_pip, variable: None}
    )
    assert run.exit_code == 1
    assert f"{variable} is not set" in run.output


def test_an_unreachable_base_never_ends_with_exit_0(ward: Ward) -> None:
    """Nothing could be stored."""
    run = ward.measure(TODAY, variables={"PGPORT": "1"})
    assert run.exit_code == 1
    assert "cannot use the HDM base" in run.output


def test_a_run_without_endpoints_says_so(ward: Ward) -> None:
    """Zero databases matched, exit 0, success."""
    run = ward.base.run("metric-packs/basic", "metric_basic.py", TODAY, [])
    assert run.exit_code == 99
    assert "no endpoints" in run.output


def test_one_failed_endpoint_does_not_stop_the_others(ward: Ward, tmp_path: Path) -> None:
    """What was not failed stays partial: the exit code is 0."""
    ward.execute("CREATE TABLE t (a int)", "CREATE VIEW v AS SELECT 1 / 0 AS one")
    broken = {
        "cannot connect": {**ward.endpoint, "slug": "away", "port": 1},
        "min_count must be": {**ward.endpoint, "slug": "wrong", "config": {"min_count": "few", "schemas": 3}},
        "type 'oracle' is not supported": {**ward.endpoint, "slug": "oracle", "type": "oracle"},
        "unable to open": sqlite_endpoint(tmp_path / "nowhere.sqlite"),
    }
    run = ward.base.measure(TODAY, *broken.values(), ward.endpoint)
    for reason, endpoint in broken.items():
        report = run.reports[endpoint["slug"]]
        assert report["status"] == "failed"
        assert reason in report["message"]
    assert "schemas must be" in run.reports["wrong"]["message"]
    assert run.reports[ward.endpoint["slug"]]["status"] == "partial"
    assert run.exit_code == 0
    assert ward.endpoint["password"] not in run.text


def test_the_exit_code_is_1_when_every_endpoint_failed(ward: Ward) -> None:
    """Also for somebody who runs the pack by hand."""
    assert ward.measure(as_user={"port": 1}).exit_code == 1


def test_an_endpoint_without_tables_fails_and_says_so(
    ward: Ward, mariadb: MariaDB, mariadb_database: str, tmp_path: Path
) -> None:
    """Also on its first night: the account has no rights yet, or the file is the wrong one."""
    role = f"blind_{mariadb_database[-12:]}"
    with mariadb.connect(mariadb_database, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE t (a int)")
        cursor.execute(f"CREATE USER {role} IDENTIFIED BY 'blind'")
        cursor.execute(f"GRANT CREATE TEMPORARY TABLES ON {mariadb_database}.* TO {role}")
        blind = {**mariadb_endpoint(mariadb, mariadb_database), "user": role, "password": "blind"}
        emptied = sqlite_file(tmp_path / "emptied.sqlite", "CREATE TABLE t (a INTEGER)", "DROP TABLE t")
        run = ward.base.measure(TODAY, ward.endpoint, blind, emptied)
        cursor.execute(f"DROP USER {role}")
    assert len(run.reports) == 3
    for report in run.reports.values():
        assert report["status"] == "failed", run.output
        assert "sees no tables: it lacks rights" in report["message"]
    assert run.exit_code == 1
    assert not ward.base.rows("SELECT FROM metric_basic_version")


def test_what_is_no_sqlite_database_fails_with_the_reason(ward: Ward, tmp_path: Path) -> None:
    """SQLite itself takes an empty file for an empty database, and waits at a pipe until the run is killed."""
    (tmp_path / "empty.sqlite").touch()
    (tmp_path / "folder.sqlite").mkdir()
    (tmp_path / "text.sqlite").write_text("patient;birth\n" * 99)
    (tmp_path / "dangling.sqlite").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "pipe.sqlite")
    (tmp_path / "cut.sqlite").write_bytes(b"SQLite format 3\0" + b"\x10" * 99)
    reasons = {
        "missing": "it does not exist",
        "empty": "it has 0 bytes",
        "folder": "it is a folder",
        "text": "it is not a SQLite database",
        "dangling": "a link to a file that does not exist",
        "pipe": "it is not a regular file",
        "cut": "file is not a database",
    }
    endpoints = {name: sqlite_endpoint(tmp_path / f"{name}.sqlite") for name in reasons}
    run = ward.base.measure(TODAY, *endpoints.values())
    for name, reason in reasons.items():
        report = run.reports[endpoints[name]["slug"]]
        assert report["status"] == "failed", name
        assert report["message"].startswith("cannot connect: ")
        assert reason in report["message"]
    assert run.exit_code == 1
    assert "patient" not in run.text


def test_configuration_that_is_no_json_is_ignored_with_a_warning(ward: Ward) -> None:
    """Old configurations are sometimes just a word."""
    ward.execute("CREATE TABLE t (a int)")
    run = ward.measure(TODAY, config="dev")
    assert run.only()["status"] == "ok"
    assert "ignoring the configuration: it is plain text, not JSON" in run.output


def test_databases_of_one_name_stay_apart(ward: Ward, tmp_path: Path) -> None:
    """The slug is in the key: two hosts may have a database of one name."""
    (tmp_path / "other").mkdir()
    first = sqlite_file(tmp_path / "lab.sqlite", "CREATE TABLE t (a INTEGER)")
    second = sqlite_file(tmp_path / "other" / "lab.sqlite", "CREATE TABLE t (a TEXT)")
    ward.base.measure(TODAY, first, second)
    assert ward.base.metrics(TODAY, first)["t", "a"]["infered_data_type"] == "integer"
    assert ward.base.metrics(TODAY, second)["t", "a"]["infered_data_type"] == "text"


def test_an_endpoint_with_ssl_is_never_read_in_plain_text(ward: Ward, mariadb: MariaDB, mariadb_database: str) -> None:
    """Servers without SSL, or with a certificate that nobody vouches for, are refused."""
    lab = {**mariadb_endpoint(mariadb, mariadb_database), "ssl": "true"}
    run = ward.base.measure(TODAY, {**ward.endpoint, "ssl": "true"}, {**lab, "config": {"ssl_verify": False}})
    for report in run.reports.values():
        assert report["status"] == "failed"
        assert "SSL" in report["message"]


def test_progress_is_told_while_a_table_is_read(ward: Ward) -> None:
    """At most once a second: tables, rows, speed, and the time that is left once that can be guessed."""
    ward.execute(
        "CREATE TABLE t AS SELECT i FROM generate_series(1, 200000) i",
        "CREATE VIEW tables_come_first AS SELECT i, pg_sleep(0.0001)::text FROM generate_series(1, 2500) i",
    )
    run = ward.measure()
    told = [line for line in run.lines if "progress" in line]
    assert 1 <= len(told) <= 10
    tables, rows, speed, *left = told[-1]["message"].split(", ")
    assert tables == "1 of 2 tables"
    assert 200_000 <= int(rows.removesuffix(" rows").replace(",", "")) <= 202_500
    assert float(speed.removesuffix(" MB/s")) > 0
    assert left[0].startswith("about ")
    assert 0 < told[-1]["progress"] < 1


def test_short_run_tells_no_progress(ward: Ward) -> None:
    """What is over within a second needs none."""
    ward.execute("CREATE TABLE t (a int)")
    assert not [line for line in ward.measure().lines if "progress" in line]
