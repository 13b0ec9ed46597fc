"""A hospital's PostgreSQL database as the endpoint of metric pack basic, and the HDM base that takes its metrics."""

from __future__ import annotations

import datetime as dt
import sqlite3
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tests.integration.pack_harness import Base, PackRun, Row, StartedPack, postgres_endpoint, sqlite_endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from demo.services import Database, Postgres

TODAY = "2026-01-31"
LATER = "2026-02-03"  # three nights on: two were missed
EXACT = {"min_count": 1}  # nothing is held back
SECONDS = 30.0  # that anything may take to come about


@dataclass
class Ward:
    """An HDM base, and a hospital's database as the only endpoint of its runs."""

    base: Base
    database: Database
    endpoint: Row

    def execute(self, *statements: str) -> None:
        """Run statements in the hospital's database."""
        execute(self.database, *statements)

    def rows(self, query: Any) -> list[tuple[Any, ...]]:
        """The rows of a query on the hospital's database."""
        with self.database.connect(options="-c timezone=UTC") as connection:
            found: list[tuple[Any, ...]] = connection.execute(query).fetchall()
        return found

    def ask(self, query: Any) -> Any:
        """The one value that a query on the hospital's database answers; None where it answers nothing."""
        rows = self.rows(query)
        return rows[0][0] if rows else None

    @contextmanager
    def asking(self) -> Iterator[Callable[[Any], Any]]:
        """`ask` over one connection, for many questions."""
        with self.database.connect(autocommit=True, options="-c timezone=UTC") as connection:
            yield lambda query: (connection.execute(query).fetchone() or [None])[0]

    def measure(self, date: str = TODAY, *, config: Any = None, as_user: Row | None = None, **options: Any) -> PackRun:
        """Run the pack to its end."""
        return self.start(date, config=config, as_user=as_user, **options).finish()

    def start(
        self, date: str = TODAY, *, config: Any = None, as_user: Row | None = None, **options: Any
    ) -> StartedPack:
        """Start the pack."""
        endpoint = {**self.endpoint, **(as_user or {}), "config": {} if config is None else config}
        return self.base.start("metric-packs/basic", "metric_basic.py", date, [endpoint], **options)

    def columns(self, date: str = TODAY, table: str | None = None) -> dict[str, Row]:
        """The metrics of one date by column, of the only table or of this one."""
        found = self.base.metrics(date)
        tables = {place[0] for place in found} if table is None else {table}
        assert len(tables) == 1, tables
        return {column: row for (label, column), row in found.items() if label in tables}

    def tables(self, date: str = TODAY) -> dict[str, Row]:
        """The rows of metric_basic_table of one date."""
        return {row["table"]: row for row in self.base.rows('SELECT * FROM metric_basic_table WHERE "date" = %s', date)}

    @contextmanager
    def reader(self, *grants: str) -> Iterator[Row]:
        """An account that may do only what is granted, for `as_user`; {} stands for its name."""
        role = f"reader_{uuid4().hex}"
        self.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'reader'", *(grant.format(role) for grant in grants))
        try:
            yield {"user": role, "password": "reader"}
        finally:
            self.execute(f"DROP OWNED BY {role}", f"DROP ROLE {role}")

    @contextmanager
    def held(self, statement: str) -> Iterator[None]:
        """What the statement locks is locked meanwhile."""
        with self.database.connect() as connection:
            connection.execute(statement.encode())
            yield
            connection.rollback()

    @contextmanager
    def gate(self, name: str = "gate") -> Iterator[Callable[[], None]]:
        """A view that cannot be read to its end for now; the function waits until somebody tries to.

        Views are read after all tables, in the order of their names.
        """
        self.execute(
            "CREATE OR REPLACE FUNCTION wait() RETURNS int LANGUAGE plpgsql AS $$"
            " BEGIN PERFORM pg_advisory_lock_shared(77); PERFORM pg_advisory_unlock_shared(77); RETURN 1; END $$",
            f'CREATE OR REPLACE VIEW "{name}" AS SELECT wait() AS one',
        )
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        with self.held("SELECT pg_advisory_lock(77)"):
            yield lambda: wait_until(lambda: self.ask(waiting) > 0)


@contextmanager
def made_ward(postgres: Postgres, template: Database, folder: Path) -> Iterator[Ward]:
    """An empty hospital, and a base of its own; `template` is a base that has its tables."""
    name = f"test_{uuid4().hex}"
    base = postgres.create_database(name, template=template.name)
    hospital = postgres.create_database(f"{name}_ward")
    endpoint = postgres_endpoint(hospital)
    ward = Ward(Base(base, folder, [endpoint], is_made=True), hospital, endpoint)
    try:
        yield ward
    finally:
        ward.base.close()
    for database in (base, hospital):
        postgres.drop_database(database.name)


def execute(database: Database, *statements: str) -> None:
    """Run statements, each in a transaction of its own."""
    with database.connect(autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def sqlite_file(path: Path, *statements: str) -> Row:
    """A SQLite database made by these statements, as an endpoint."""
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    return sqlite_endpoint(path)


def wait_until(is_true: Callable[[], Any], seconds: float = SECONDS) -> None:
    """Look again and again, until it is true."""
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def moment(*parts: int) -> dt.datetime:
    """A datetime as databases without zones have them."""
    return dt.datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001  # the metrics hold UTC without a zone


def comparable(rows: list[Row]) -> list[Row]:
    """Rows of the pack's tables in a fixed order, without what differs from run to run."""
    told = {"seconds", "measured_at", "run_id"}
    plain = [{name: value for name, value in row.items() if name not in told} for row in rows]
    return sorted(plain, key=lambda row: [str(row.get(name)) for name in ("endpoint", "table", "column", "value")])
