"""The reference packs on a real OMOP CDM 5.4 database, where its CSV files lie beside the repository."""

from __future__ import annotations

import csv
import datetime as dt
import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.metric_basic_harness import EXACT, TODAY, made_ward, moment
from tests.integration.sql_oracle import Oracle, assert_same

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.services import Database, Postgres
    from tests.integration.metric_basic_harness import Ward

ARCHIVE = Path(__file__).parents[3] / "shared" / "data" / "omop-cdm-5.4-synthea27nj.zip"
# The columns whose names end like this, as the CDM declares them
DECLARED = {
    "_datetime": "timestamp",
    "_date": "date",
    "_as_number": "numeric",
    "_id": "integer",
    "_concept_id": "integer",
}
KINDS = {
    "text": "text",
    "timestamp without time zone": "datetime",
    "date": "date",
    "numeric": "float",
    "integer": "integer",
}
LARGE = 100_000  # rows from which on three columns are compared


@pytest.fixture(scope="module")
def ward(postgres: Postgres, pack_base: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """Every table of the archive, empty fields null; measured."""
    if not ARCHIVE.exists():
        pytest.skip(f"the OMOP archive is not beside the repository: {ARCHIVE}")
    with made_ward(postgres, pack_base, tmp_path_factory.mktemp("omop")) as made:
        load(made)
        run = made.measure(TODAY, config=EXACT)
        assert (run.exit_code, run.only()["status"]) == (0, "ok"), run.output
        yield made


def load(ward: Ward) -> None:
    """Create every table of the archive."""
    with ward.database.connect(autocommit=True) as connection, zipfile.ZipFile(ARCHIVE) as archive:
        for name in archive.namelist():
            if not name.startswith("__MACOSX"):
                _load(connection, Path(name).stem, archive.read(name))


def _load(connection: Any, table: str, content: bytes) -> None:
    from psycopg import sql

    header = next(csv.reader(io.StringIO(content[:20_000].decode("utf-8-sig"))))
    columns = sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(column)) for column in header)
    connection.execute(sql.SQL("CREATE TABLE {} ({})").format(sql.Identifier(table), columns))
    copy = sql.SQL("COPY {} FROM STDIN WITH (FORMAT csv, HEADER)").format(sql.Identifier(table))
    with connection.cursor().copy(copy) as stream:
        stream.write(content)
    for column in header:
        declared = _declared(column)
        if declared != "text":
            alter = "ALTER TABLE {t} ALTER {c} TYPE {d} USING {c}::{d}"
            parts = {"t": sql.Identifier(table), "c": sql.Identifier(column), "d": sql.SQL(declared)}
            _try(connection, sql.SQL(alter).format(**parts))


def _try(connection: Any, statement: Any) -> None:
    """Files do not keep to the CDM everywhere: such a column stays text."""
    from contextlib import suppress

    import psycopg

    with suppress(psycopg.Error):
        connection.execute(statement)


def _declared(column: str) -> str:
    return next((of_type for end, of_type in DECLARED.items() if column.lower().endswith(end)), "text")


def test_every_metric_of_every_column_is_what_sql_says(ward: Ward) -> None:
    """Thirty-nine tables, half of them empty, upper-case names, a quarter of a million rows in the largest."""
    declared = {
        (table, column): of_type
        for table, column, of_type in ward.rows(
            "SELECT relname, attname, format_type(atttypid, NULL) FROM pg_attribute JOIN pg_class c ON c.oid = attrelid"
            " WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0"
        )
    }
    found = ward.base.metrics(TODAY)
    assert set(found) == set(declared)
    rows = {table: row["rows_count"] for table, row in ward.tables().items()}
    assert len(rows) == 39
    compared: dict[str, int] = {}
    with ward.asking() as ask:
        for (table, column), of_type in declared.items():
            compared[table] = compared.get(table, 0) + 1
            if rows[table] > LARGE and compared[table] > 3:
                continue
            wanted = Oracle(ask, table, column, KINDS[of_type], of_type, dt.date.fromisoformat(TODAY)).metrics()
            if column == "birth_datetime":  # told by the year
                wanted |= {name: moment(wanted[name].year, 1, 1) for name in ("min_date_var", "max_date_var")}
            assert_same(found[table, column], wanted, f"{table}.{column}")


def test_every_table_is_judged(ward: Ward) -> None:
    """On the first night, one Info sums up the columns that are empty."""
    verdict = ward.base.judge(TODAY)
    assert (verdict.exit_code, verdict.only()["status"]) == (0, "ok"), verdict.output
    empty = {place for place, row in ward.base.metrics(TODAY).items() if row["percent_na_values"] == 100}
    alerts = ward.base.alerts(TODAY)
    assert {(alert["alert_level"], alert["table"], alert["column"]) for alert in alerts} == {("Info", None, None)}
    said = f"All values are null (since the first date, {len(empty)} columns): "
    assert any(alert["alert_message"].startswith(said) for alert in alerts)
