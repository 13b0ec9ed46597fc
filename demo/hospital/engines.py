"""How rows get into each engine fast, and how SQL files are run there."""

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


ROWS_PER_STATEMENT = 5_000  # about half a megabyte; MariaDB takes 16


class Engine:
    """One open connection; `commit` makes lasting what it was given (MariaDB commits DDL by itself)."""

    name: str

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.cursor = connection.cursor()
        self.begin()

    def begin(self) -> None:
        """Open a transaction where the driver does not do so by itself."""

    def run(self, statement: str) -> None:
        """Run one statement of a SQL file."""
        self.cursor.execute(statement)

    def insert(self, table: str, rows: Iterable[Row]) -> None:
        """Add rows that fill every column of the table."""
        raise NotImplementedError

    def commit(self) -> None:
        """Make it last."""
        self.connection.commit()


class PostgresEngine(Engine):
    """PostgreSQL by psycopg 3: COPY."""

    name = "postgres"

    def begin(self) -> None:
        """Skip the foreign keys' check per row, which doubles the time of a load; only a superuser may."""
        if self.connection.info.parameter_status("is_superuser") == "on" and not self.connection.autocommit:
            self.cursor.execute("SET LOCAL session_replication_role = replica")

    def insert(self, table: str, rows: Iterable[Row]) -> None:
        """Add rows by COPY."""
        with self.cursor.copy(f"COPY {table} FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


class MariaDBEngine(Engine):
    """MariaDB by PyMySQL: statements of many rows."""

    name = "mariadb"

    def begin(self) -> None:
        """PyMySQL writes timestamps without their zone; ours are UTC."""
        self.cursor.execute("SET time_zone = '+00:00'")

    def run(self, statement: str) -> None:
        """Run one statement; what PostgreSQL calls `timestamp with time zone` is `timestamp` in MariaDB."""
        self.cursor.execute(statement.replace("timestamp with time zone", "timestamp"))

    def insert(self, table: str, rows: Iterable[Row]) -> None:
        """Add rows, thousands in one statement.

        The literals are written here, for values that this package made up: PyMySQL's `executemany` does the
        same in three times the time.
        """
        literal = LITERALS
        batches = iter(rows)
        while batch := list(islice(batches, ROWS_PER_STATEMENT)):
            values = ",".join(["(" + ",".join([literal[type(v)](v) for v in row]) + ")" for row in batch])
            self.cursor.execute(f"INSERT INTO {table} VALUES {values}")  # noqa: S608 - see above


class SQLiteEngine(Engine):
    """SQLite by the standard library; dates and timestamps are ISO 8601 text."""

    name = "sqlite"

    def begin(self) -> None:
        """The module opens no transaction before DDL; and nobody waits for the disk."""
        self.cursor.execute("PRAGMA synchronous = off")
        self.cursor.execute("BEGIN")

    def insert(self, table: str, rows: Iterable[Row]) -> None:
        """Add rows."""
        plain = PLAIN
        iterator = ([plain[type(v)](v) if type(v) in plain else v for v in row] for row in rows)
        first = next(iterator)
        insert = f"INSERT INTO {table} VALUES ({', '.join('?' * len(first))})"  # noqa: S608 - our own table names
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
# What SQLite has no type for. Said here, because the module's own adapters are deprecated, and adding to them
# would change them for the whole process.
PLAIN: dict[type, Callable[[Any], str]] = {
    datetime: lambda moment: moment.isoformat(sep=" "),
    date: date.isoformat,
    Decimal: str,
}
ENGINES = {"psycopg": PostgresEngine, "pymysql": MariaDBEngine, "sqlite3": SQLiteEngine}


def engine_of(connection: Connection) -> Engine:
    """The engine behind a driver's connection.

    Raises:
        TypeError: it is none of the three drivers'.
    """
    for kind in type(connection).__mro__:
        engine = ENGINES.get(kind.__module__.partition(".")[0])
        if engine:
            return engine(connection)
    raise TypeError(f"a psycopg, PyMySQL or sqlite3 connection is needed, not {type(connection).__name__}")


def statements(file: str) -> dict[str, list[str]]:
    """The statements of one of this folder's SQL files by the name of their block, without comments."""
    blocks: dict[str, list[str]] = {}
    for block in files(__package__).joinpath(file).read_text(encoding="utf-8").split("-- name: ")[1:]:
        name, *lines = block.splitlines()
        body = "\n".join(line for line in lines if not line.startswith("--"))
        blocks[name.strip()] = [part.strip() for part in body.split(";") if part.strip()]
    return blocks
