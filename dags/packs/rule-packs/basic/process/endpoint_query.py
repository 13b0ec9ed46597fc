"""Queries on an endpoint: one statement each, in a read-only transaction, with a time limit and a limit of rows."""

from __future__ import annotations

import decimal
import os
import sqlite3
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from rule_error import RuleError

if TYPE_CHECKING:
    from typing import Self

    import hdm

CONNECT_SECONDS = 10
LOCK_SECONDS = 5
TRANSACTION_SECONDS = 1.0  # after which a transaction is not used for another query: its locks would stay
STEPS = 10_000  # of SQLite's virtual machine between two looks at the time
CLEAR_TEXT_PLUGINS = ("mysql_clear_password", "dialog")
NO_PLUGIN = 2059  # CR_AUTH_PLUGIN_CANNOT_LOAD


class Limits(NamedTuple):
    """What queries may use."""

    seconds: float = 60.0  # of one query
    rows: int = 1000  # of one query; more are not read
    connections: int = 2  # at a time
    verify: bool = True  # the server's certificate, if the endpoint wants SSL


class Answer(NamedTuple):
    """What a query has returned."""

    rows: int  # at most Limits.rows
    has_more: bool
    is_number: bool  # the first value of the first row is a number, or null; or there is no row
    number: float | None


class ConnectError(Exception):
    """The endpoint cannot be reached. The message contains no secret."""


class Engine(Protocol):
    """A connection to an endpoint."""

    is_usable: bool  # False: another query needs another connection

    def rows(self, query: str, most: int) -> list[tuple[Any, ...]]:
        """At most so many rows of a query, in a read-only transaction."""

    def close(self) -> None:
        """Close the connection."""


class Asker:
    """Asks an endpoint one query after the other, over one connection.

    Raises:
        ConnectError: if the endpoint cannot be reached.
    """

    def __init__(self, endpoint: hdm.Endpoint, limits: Limits) -> None:
        self._endpoint, self._limits = endpoint, limits
        self._engine: Engine | None = _connected(endpoint, limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._engine is not None:
            self._engine.close()

    def ask(self, query: str) -> Answer:
        """The answer to a query.

        Raises:
            RuleError: if it fails, in words that quote no row.
            ConnectError: if the connection was lost, and there is no other.
        """
        if self._engine is None:
            self._engine = _connected(self._endpoint, self._limits)
        most = self._limits.rows
        try:
            rows = self._engine.rows(query, most + 1)
        except Exception as error:  # noqa: BLE001  # of any driver
            self._engine.close()  # whatever its state is
            self._engine = None
            raise RuleError(_why(error, self._limits)) from None
        if not self._engine.is_usable:
            self._engine.close()
            self._engine = None
        first = rows[0][0] if rows and rows[0] else None
        is_number = not rows or first is None or isinstance(first, (bool, int, float, decimal.Decimal))
        number = float(first) if rows and is_number and first is not None else None
        return Answer(min(len(rows), most), len(rows) > most, is_number, number)


def _connected(endpoint: hdm.Endpoint, limits: Limits) -> Engine:
    engine = ENGINES.get(endpoint.type.strip().lower())
    if engine is None:
        raise ConnectError(f"sql rules need an endpoint of type {', '.join(ENGINES)}, not {endpoint.type!r}")
    try:
        return engine(endpoint, limits)
    except Exception as error:  # noqa: BLE001  # nothing has been read yet, so its text cannot quote a row
        text = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if endpoint.password:
            text = text.replace(endpoint.password, "***")
        raise ConnectError(f"the endpoint cannot be reached: {text}") from None


class _Postgres:
    is_usable = True

    def __init__(self, endpoint: hdm.Endpoint, limits: Limits) -> None:
        import psycopg

        # The libpq variables of this process are for the HDM base: each one is overridden.
        options: dict[str, Any] = {**_defaults(), "sslmode": "prefer"}
        if endpoint.ssl:
            ca = ssl.get_default_verify_paths().cafile or "system"
            options |= {"sslmode": "verify-full", "sslrootcert": ca} if limits.verify else {"sslmode": "require"}
        options |= {
            "host": endpoint.host or "localhost",
            "port": endpoint.port or "5432",
            "dbname": endpoint.database,
            "user": endpoint.user,
            "password": endpoint.password or None,
            "connect_timeout": CONNECT_SECONDS,
            "application_name": "hdm rules",
            "client_encoding": "UTF8",
        }
        self._connection = psycopg.connect(**options, autocommit=True)
        self._limit = f"{round(limits.seconds * 1000)}ms"
        self._end = 0.0

    def rows(self, query: str, most: int) -> list[tuple[Any, ...]]:
        if time.monotonic() > self._end:
            self._begin()
        found: list[tuple[Any, ...]] = []
        with self._connection.cursor() as cursor:
            for row in cursor.stream(query.encode()):  # by the protocol that takes one statement only
                found.append(row)
                if len(found) == most:  # the query is cancelled, and with it the transaction
                    self._end = 0.0
                    break
        return found

    def _begin(self) -> None:
        """A new transaction; whatever a query has set in the former one is undone with it."""
        settings: tuple[str, ...] = (
            f"SET LOCAL statement_timeout = '{self._limit}'",
            f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'",
        )
        settings += ("SET LOCAL row_security = off", "SET LOCAL TimeZone = 'UTC'")
        commands = ("ROLLBACK", "BEGIN READ ONLY", *settings)
        self._connection.execute("; ".join(commands).encode())
        self._end = time.monotonic() + TRANSACTION_SECONDS

    def close(self) -> None:
        self._connection.close()


class _MySQL:
    def __init__(self, endpoint: hdm.Endpoint, limits: Limits) -> None:
        self.is_usable = True
        import pymysql

        def refuse(_: Any) -> Any:
            raise pymysql.OperationalError(NO_PLUGIN, "the server asks for the password in clear text, without SSL")

        context = ssl.create_default_context() if endpoint.ssl else None
        if context is not None and not limits.verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._connection = pymysql.connect(
            host=endpoint.host or "localhost",
            port=int(endpoint.port or 3306),
            user=endpoint.user,
            password=(endpoint.password or "").encode(),  # text would be sent as Latin-1
            database=endpoint.database,
            charset="utf8mb4",
            connect_timeout=CONNECT_SECONDS,
            read_timeout=limits.seconds + CONNECT_SECONDS,
            ssl=context,
            auth_plugin_map={} if endpoint.ssl else dict.fromkeys(CLEAR_TEXT_PLUGINS, refuse),
            autocommit=True,
        )
        version: Any = self._connection.get_server_info  # it has no types
        is_mariadb = "mariadb" in str(version()).lower()
        seconds, name = limits.seconds, "max_statement_time"
        if not is_mariadb:
            seconds, name = max(1, round(limits.seconds * 1000)), "max_execution_time"
        self._settings = (
            "SET SESSION TRANSACTION READ ONLY",
            f"SET SESSION {name} = {seconds}, lock_wait_timeout = {LOCK_SECONDS}, time_zone = '+00:00'",
            f"SET SESSION sql_select_limit = {limits.rows + 1}",
        )
        self._end = 0.0

    def rows(self, query: str, most: int) -> list[tuple[Any, ...]]:
        from pymysql.cursors import SSCursor

        if time.monotonic() > self._end:
            self._begin()
        cursor = self._connection.cursor(SSCursor)
        cursor.execute(query)
        if cursor.description is None:
            raise RuleError("its query must return rows")
        found = list(cursor.fetchmany(most))
        if len(found) < most:
            cursor.close()
        else:  # closing would read the rest
            self.is_usable = False
        return found

    def _begin(self) -> None:
        with self._connection.cursor() as cursor:
            for command in ("ROLLBACK", *self._settings, "START TRANSACTION READ ONLY"):
                cursor.execute(command)
        self._end = time.monotonic() + TRANSACTION_SECONDS

    def close(self) -> None:
        if self.is_usable:
            self._connection.close()
        else:  # without a word to the server, which would answer with the rows that are left
            connection: Any = self._connection  # whose types leave this out
            connection._force_close()  # noqa: SLF001  # there is no public way


class _SQLite:
    is_usable = True

    def __init__(self, endpoint: hdm.Endpoint, limits: Limits) -> None:
        path = Path(endpoint.host).absolute()
        if not path.is_file():
            raise OSError(f"unable to open {path}: it is no file, or the sandbox of packs hides it")
        self._connection = sqlite3.connect(
            f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=LOCK_SECONDS, check_same_thread=False
        )
        self._seconds, self._end = limits.seconds, 0.0
        self._connection.execute("PRAGMA query_only = on")
        self._connection.execute("SELECT count(*) FROM sqlite_master")
        self._connection.set_progress_handler(lambda: time.monotonic() > self._end, STEPS)

    def rows(self, query: str, most: int) -> list[tuple[Any, ...]]:
        self._end = time.monotonic() + self._seconds
        cursor = self._connection.execute(query)
        try:
            return cursor.fetchmany(most)
        finally:
            cursor.close()

    def close(self) -> None:
        self._connection.close()


ENGINES: dict[str, type[_Postgres | _MySQL | _SQLite]] = {
    **dict.fromkeys(("postgres", "postgresql"), _Postgres),
    **dict.fromkeys(("mysql", "mariadb"), _MySQL),
    **dict.fromkeys(("sqlite", "sqlite3"), _SQLite),
}
#: What an SQLSTATE, or an error number of MySQL, means to the author of a rule. Texts of errors may quote a row.
MEANINGS = {
    "42601": "a syntax error, or more than one statement",
    "42P01": "a table does not exist",
    "42703": "a column does not exist",
    "42883": "a function does not exist, or takes other types",
    "42501": "the account may not read it",
    "25006": "it would write: queries are read-only",
    "57014": "it took too long",
    "55P03": "timed out waiting for a lock",
    "22012": "a division by zero",
    "1064": "a syntax error, or more than one statement",
    "1146": "a table does not exist",
    "1054": "a column does not exist",
    "1305": "a function does not exist",
    "1142": "the account may not read it",
    "1044": "the account may not read it",
    "1792": "it would write: queries are read-only",
    "1969": "it took too long",
    "3024": "it took too long",
    "1205": "timed out waiting for a lock",
    "1365": "a division by zero",
}
SQLITE_MEANINGS = (
    ("no such table", "a table does not exist"),
    ("no such column", "a column does not exist"),
    ("no such function", "a function does not exist"),
    ("syntax error", "a syntax error"),
    ("one statement at a time", "more than one statement"),
    ("readonly database", "it would write: queries are read-only"),
    ("interrupted", "it took too long"),
    ("locked", "timed out waiting for a lock"),
)


def _why(error: Exception, limits: Limits) -> str:
    """Why a query failed."""
    if isinstance(error, RuleError):
        return str(error)
    first = error.args[0] if error.args else ""
    code = str(first) if isinstance(first, int) else getattr(error, "sqlstate", None) or ""
    meaning = MEANINGS.get(code, "")
    if isinstance(error, (sqlite3.Error, sqlite3.Warning)):
        code, text = type(error).__name__, str(error)
        meaning = next((one for words, one in SQLITE_MEANINGS if words in text), "")
    if "too long" in meaning:
        meaning += f": more than {limits.seconds:g} s"
    if not meaning:
        meaning = f"{type(error).__name__} {code}".strip() if len(code) <= 5 else type(error).__name__  # noqa: PLR2004  # an SQLSTATE
    return f"its query failed: {meaning}"


def _defaults() -> dict[str, str]:
    """What libpq would use without the variables of this process."""
    import psycopg

    return {
        option.keyword.decode(): (option.compiled or b"").decode()
        for option in psycopg.pq.Conninfo.get_defaults()
        if option.envvar and option.envvar.decode() in os.environ
    }
