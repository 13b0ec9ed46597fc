"""Metric pack row-count: shell and psql, run through its bootstrap script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.pack_harness import Base, PackRun, Row, postgres_endpoint, sqlite_endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.services import Database, Postgres

TODAY = "2026-01-31"


@pytest.fixture
def base(database: Database, tmp_path: Path) -> Base:
    """An HDM base; psql is the embedded server's."""
    return Base(database, tmp_path)


@pytest.fixture
def hospital(postgres: Postgres, database: Database) -> Iterator[Database]:
    """A second database, which is the endpoint."""
    created = postgres.create_database(f"{database.name}_ward")
    with created.connect() as connection:
        connection.execute(b"CREATE TABLE patients AS SELECT generate_series(1, 7) AS id")
        connection.execute(b"CREATE SCHEMA lab")
        connection.execute(b'CREATE TABLE lab."odd, ""name" ()')
    yield created
    postgres.drop_database(created.name)


def count(base: Base, *endpoints: Row, **options: Any) -> PackRun:
    return base.run("metric-packs/row-count", "", TODAY, endpoints, bootstrap=True, **options)


def test_rows_of_every_table_are_counted_and_a_second_run_replaces_them(base: Base, hospital: Database) -> None:
    """Idempotent by date; names that need quoting are quoted."""
    ward = postgres_endpoint(hospital)
    first = count(base, ward)
    assert (first.exit_code, first.only()) == (0, {"endpoint": ward["slug"], "status": "ok", "metrics": 2}), (
        first.output
    )
    with hospital.connect() as connection:
        connection.execute(b"INSERT INTO patients VALUES (8)")
    count(base, ward)
    rows = base.rows('SELECT endpoint, "table", "date"::text, rows FROM metric_row_count ORDER BY "table"')
    assert [tuple(row.values()) for row in rows] == [
        (ward["slug"], 'lab.odd, "name', TODAY, 0),
        (ward["slug"], "public.patients", TODAY, 8),
    ]


def test_endpoints_of_other_types_are_skipped_and_failed_ones_do_not_stop_the_rest(
    base: Base, hospital: Database, tmp_path: Path
) -> None:
    """Fault 20, in shell."""
    ward = postgres_endpoint(hospital)
    away = {**ward, "slug": 'a "quoted" slug', "port": 1}
    lab = sqlite_endpoint(tmp_path / "lab.sqlite")
    run = count(base, away, lab, ward)
    assert {slug: report["status"] for slug, report in run.reports.items()} == {
        away["slug"]: "failed",
        lab["slug"]: "skipped",
        ward["slug"]: "ok",
    }
    assert run.exit_code == 0
    assert ward["password"] not in run.text


def test_a_failure_at_the_base_leaves_the_former_rows(base: Base, hospital: Database) -> None:
    """One transaction replaces the date."""
    count(base, postgres_endpoint(hospital))
    base.execute("ALTER TABLE metric_row_count ADD CONSTRAINT broken CHECK (false) NOT VALID")
    run = count(base, postgres_endpoint(hospital))
    assert (run.exit_code, run.only()["status"]) == (1, "failed")
    assert len(base.rows("SELECT * FROM metric_row_count")) == 2


def test_a_missing_environment_never_ends_with_exit_0(base: Base, hospital: Database) -> None:
    """Fault 14; and a run without endpoints is skipped, not green."""
    assert count(base, postgres_endpoint(hospital), variables={"HDM_CONTEXT": None}).exit_code == 1
    assert count(base, postgres_endpoint(hospital), variables={"HDM_REPORT": None}).exit_code == 1
    assert count(base).exit_code == 99


def spied(base: Base, hospital: Database, tmp_path: Path, noted: str, ward: Row) -> tuple[PackRun, str]:
    """A run, and what each psql was given: `noted` as the shell expands it."""
    real = hospital.server.bin_dir / "psql"
    (tmp_path / "bin").mkdir()
    spy = tmp_path / "bin" / "psql"
    spy.write_text(f'#!/bin/bash\necho "{noted}" >> {tmp_path / "seen"}\nexec {real} "$@"\n')
    spy.chmod(0o755)
    run = count(base, ward, variables={"PATH": f"{spy.parent}:/usr/local/bin:/usr/bin:/bin"})
    return run, (tmp_path / "seen").read_text()


@pytest.mark.parametrize("encrypted", [False, True])
def test_the_endpoint_is_not_offered_the_base_s_passwords_and_must_prove_who_it_is(
    base: Base, hospital: Database, tmp_path: Path, *, encrypted: bool
) -> None:
    """The password file is for the HDM base; a server without TLS is refused where the endpoint asks for it."""
    ward = {**postgres_endpoint(hospital), "ssl": encrypted}
    run, seen = spied(base, hospital, tmp_path, "$PGPASSFILE $PGSSLMODE [$PGSSLROOTCERT]", ward)
    at_endpoint, *at_base = seen.splitlines()
    if encrypted:
        assert at_endpoint.startswith("/dev/null verify-full [/")
        assert (run.only()["status"], at_base) == ("failed", [])
    else:
        assert at_endpoint == "/dev/null prefer []"
        assert run.only()["status"] == "ok", run.output
        assert at_base[0].endswith("pgpass  []")


def test_the_password_is_on_no_command_line(base: Base, hospital: Database, tmp_path: Path) -> None:
    """Every user of a machine can read every command line."""
    ward = postgres_endpoint(hospital)
    run, seen = spied(base, hospital, tmp_path, "$*", ward)
    assert run.only()["status"] == "ok", run.output
    assert "--file=count.sql" in seen
    assert ward["password"] not in seen
