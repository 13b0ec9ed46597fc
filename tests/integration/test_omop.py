"""The reference packs on a real OMOP CDM 5.4 database, where its CSV files lie beside the repository."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.pack_harness import Base, postgres_endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.services import Database, Postgres

ARCHIVE = Path(__file__).parents[3] / "shared" / "data" / "omop-cdm-5.4-synthea27nj.zip"
DATE = "2026-01-31"


@pytest.fixture
def omop(postgres: Postgres, database: Database) -> Iterator[Database]:
    """Every table of the archive as text columns; empty fields are null."""
    if not ARCHIVE.exists():
        pytest.skip(f"the OMOP archive is not beside the repository: {ARCHIVE}")
    created = postgres.create_database(f"{database.name}_omop")
    with created.connect(autocommit=True) as connection, zipfile.ZipFile(ARCHIVE) as archive:
        for name in archive.namelist():
            if not name.startswith("__MACOSX"):
                _load(connection, Path(name).stem, archive.read(name))
    yield created
    postgres.drop_database(created.name)


def _load(connection: object, table: str, content: bytes) -> None:
    from psycopg import sql

    header = next(csv.reader(io.StringIO(content[:20_000].decode("utf-8-sig"))))
    columns = sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(column)) for column in header)
    connection.execute(sql.SQL("CREATE TABLE {} ({})").format(sql.Identifier(table), columns))
    copy = sql.SQL("COPY {} FROM STDIN WITH (FORMAT csv, HEADER)").format(sql.Identifier(table))
    with connection.cursor().copy(copy) as stream:
        stream.write(content)


def test_every_table_of_an_omop_database_is_measured_and_judged(
    database: Database, omop: Database, tmp_path: Path
) -> None:
    """Thirty-nine tables, half of them empty, upper-case names, a quarter of a million rows in the largest."""
    base = Base(database, tmp_path, [postgres_endpoint(omop)])
    run = base.measure(DATE)
    assert (run.exit_code, run.only()["status"]) == (0, "ok"), run.output
    metrics = base.metrics(DATE)
    with omop.connect() as connection:
        tables = {
            row[0]
            for row in connection.execute(
                "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
            )
        }
        largest = connection.execute(
            'SELECT count(*), count(DISTINCT "concept_id_1") FROM "CONCEPT_RELATIONSHIP"'
        ).fetchone()
    assert {table for table, _ in metrics} == tables
    relationship = metrics["CONCEPT_RELATIONSHIP", "concept_id_1"]
    assert (relationship["value_counts"], relationship["levels_count"]) == largest
    verdict = base.judge(DATE)
    assert (verdict.exit_code, verdict.only()["status"]) == (0, "ok"), verdict.output
    empty = {(table, column) for (table, column), row in metrics.items() if row["percent_na_values"] == 100}
    assert {(alert["table"], alert["column"]) for alert in base.alerts(DATE)} == empty
