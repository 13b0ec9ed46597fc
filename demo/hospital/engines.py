"""Engines: how to insert rows fast and run SQL files on PostgreSQL, MariaDB and SQLite."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from importlib.resources import files
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable

    import psycopg
    import pymysql.connections

    from demo.hospital.records import Row

    Connection: TypeAlias = psycopg.Connection[Any] | pymysql.connections.Connection[Any] | sqlite3.Connection


ROWS_PER_STATEMENT = 5_000  # about half a megabyte; MariaDB accepts up to 16


class Engine:
    """One open connection; changes last after `commit` (MariaDB commits DDL at once)."""

    name: str

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.cursor = connection.cursor()
        self.begin()

    def begin(self) -> None:
        """Prepare the session; open a transaction if the driver does not do so itself."""

    def run(self, statement: str) -> None:
        """Run one statement of a SQL file."""
        self.cursor.execute(statement)

    def insert(self, table: str, rows: Iterable[Row]) -> None:
        """Insert rows that have a value for every column of the table."""
        raise NotImplementedError

    def commit(self) -> None:
        """Commit the transaction."""
        self.connection.commit()


class PostgresEngine(Engine):
    """PostgreSQL with psycopg 3."""

    name = "postgres"

    def begin(self) -> None:
        """Skip the check of foreign keys per row, which doubles the time of a load; only a superuser can."""
        if self.connection.info.parameter_status("is_superuser") == "on" and not self.connection.autocommit:
            self.cursor.execute("SET LOCAL session_replication_role = replica")

    def insert(self, table: str, rows: Iterable[Row]) -> None:
        """Insert rows with COPY."""
        with self.cursor.copy(f"COPY {table} FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


class MariaDBEngine(Engine):
    """MariaDB with PyMySQL."""

    name = "mariadb"

    def begin(self) -> None:
        """Set the time zone: PyMySQL writes timestamps without a zone, and ours are in UTC."""
        self.cursor.execute("SET time_zone = '+00:00'")

    def run(self, statement: str) -> None:
        """Run one statement; PostgreSQL's `timestamp with time zone` is `timestamp` in MariaDB."""
        self.cursor.execute(statement.replace("timestamp with time zone", "timestamp"))

    def insert(self, table: str, rows: Iterable[Row]) -> None:
        """Insert rows, thousands per statement.

        It writes the literals itself, which is safe because this package generates the values. PyMySQL's `executemany`
        takes three times as long.
        """
        literal = LITERALS
        batches = iter(rows)
        while batch := list(islice(batches, ROWS_PER_STATEMENT)):
            values = ",".join(["(" + ",".join([literal[type(v)](v) for v in row]) + ")" for row in batch])
            self.cursor.execute(f"INSERT INTO {table} VALUES {values}")  # noqa: S608  # see above


class SQLiteEngine(Engine):
    """SQLite with the standard library; dates and timestamps are ISO 8601 text."""

    name = "sqlite"

    def begin(self) -> None:
        """Open a transaction, because the module does not open one before DDL. Do not wait for the disk."""
        self.cursor.execute("PRAGMA synchronous = off")
        self.cursor.execute("BEGIN")

    def insert(self, table: str, rows: Iterable[Row]) -> None:
        """Insert rows."""
        plain = PLAIN
        iterator = ([plain[type(v)](v) if type(v) in plain else v for v in row] for row in rows)
        first = next(iterator)
        insert = f"INSERT INTO {table} VALUES ({', '.join('?' * len(first))})"  # noqa: S608  # our own table names
        self.cursor.executemany(insert, chain([first], iterator))


LITERALS: dict[type, Callable[[Any], str]] = {
    type(None): lambda _: "NULL",
    str: lambda text: "'" + text.replace("\\", "\\\\").replace("'", "''") + "'",
    int: str,
    bool: str,
    float: repr,
    Decimal: str,
    date: lambda day: f"'{day}'",
    datetime: lambda moment: f"'{moment.replace(tzinfo=None)}'",
}
# Types that SQLite does not have. The sqlite3 module's own adapters are deprecated, and registering new ones would
# change them for the whole process.
PLAIN: dict[type, Callable[[Any], str]] = {
    datetime: lambda moment: moment.isoformat(sep=" "),
    date: date.isoformat,
    Decimal: str,
}
ENGINES = {"psycopg": PostgresEngine, "pymysql": MariaDBEngine, "sqlite3": SQLiteEngine}


def engine_of(connection: Connection) -> Engine:
    """The engine of a driver's connection.

    Raises:
        TypeError: if the connection belongs to none of the three drivers.
    """
    for kind in type(connection).__mro__:
        engine = ENGINES.get(kind.__module__.partition(".")[0])
        if engine:
            return engine(connection)
    raise TypeError(f"a psycopg, PyMySQL or sqlite3 connection is needed, not {type(connection).__name__}")


def statements(file: str) -> dict[str, list[str]]:
    """The statements of a SQL file in this folder, without comments, by the name of their block."""
    blocks: dict[str, list[str]] = {}
    for block in files(__package__).joinpath(file).read_text(encoding="utf-8").split("-- name: ")[1:]:
        name, *lines = block.splitlines()
        body = "\n".join(line for line in lines if not line.startswith("--"))
        blocks[name.strip()] = [part.strip() for part in body.split(";") if part.strip()]
    return blocks
