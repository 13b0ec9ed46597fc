"""HdmHook: the connection to the HDM base."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from airflow.sdk.exceptions import AirflowNotFoundException
from psycopg import errors
from psycopg.rows import DictRow, dict_row

from hdm_airflow.base.queries import queries
from hdm_airflow.errors import ConfigurationError, HdmBaseError, HdmError


@contextmanager
def _absent(name: str) -> Iterator[None]:
    """Have an import of a module fail that nobody has imported yet."""
    hides = name not in sys.modules
    if hides:
        sys.modules[name] = None  # type: ignore[assignment]  # the documented way
    try:
        yield
    finally:
        if hides:
            del sys.modules[name]


with _absent("psycopg2"):  # optional beside psycopg 3, and never used then; 4.5 MB of memory in each task
    from airflow.providers.postgres.hooks.postgres import PostgresHook

BaseConnection = psycopg.Connection[DictRow]

#: libpq's connection parameters -> the variables by which `psql` and every driver take them without an argument.
_LIBPQ_VARIABLES = {
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "options": "PGOPTIONS",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
}
#: How long a session may be without a sign of the server. The server waits for ours for a minute before it frees the
#: locks of the session (`keep_session` in sql/runs.sql): we must know before. Without effect on a Unix socket.
_PRESENCE: dict[str, int] = {
    "keepalives": 1,
    "keepalives_idle": 15,  # seconds
    "keepalives_interval": 5,  # seconds
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds that what was sent may stay without an acknowledgement
}
#: The name of a host in a message: of a connection that is not quoted as it must be, it is a piece of the password.
_HOST = re.compile(r"host (?:name )?[\"'].*?[\"']")
#: From the first quotation mark of a message to the last, in whatever language the server speaks.
_QUOTED = re.compile(r"[\"«»„“”].*[\"«»„“”]", re.DOTALL)
#: How the SQLSTATE of a lost or refused connection begins: broken, not authorized, too many, server shut down.
_UNREACHABLE = ("08", "28", "53300", "57P")


class HdmHook(PostgresHook):
    """A PostgresHook on the HDM base.

    Args:
        conn_id: an Airflow connection of type `postgres`.
    """

    def __init__(self, conn_id: str = "hdm", **kwargs: Any) -> None:
        super().__init__(postgres_conn_id=conn_id, **kwargs)
        self.conn_id = conn_id

    @property
    def where(self) -> str:
        """How error messages name this base."""
        return f"connection {self.conn_id}"

    def load(self) -> None:
        """Look the connection up now and keep it: a signal handler must not ask Airflow for it.

        Raises:
            ConfigurationError: Airflow has no such connection.
        """
        try:
            _ = self.connection  # a property, which looks it up once
        except AirflowNotFoundException:
            hint = f"add a connection of type postgres with the id {self.conn_id}, or name another in the Variable hdm"
            raise ConfigurationError(f"there is no connection {self.conn_id!r}", "Airflow connections", hint) from None

    def open(self) -> Any:
        """A new psycopg connection as the driver makes it. Raises psycopg errors."""
        self.load()
        # libpq's default is to wait for ever; a signal handler has less than five seconds to write the ledger
        os.environ.setdefault("PGCONNECT_TIMEOUT", "4")
        return self.get_conn()

    def _create_connection(self, conn_args: dict[str, Any]) -> Any:
        return super()._create_connection({**_PRESENCE, **conn_args})  # the connection's own extras count more

    @contextmanager
    def session(self, *, pinned: bool = True) -> Iterator[BaseConnection]:
        """A connection in autocommit mode whose rows are dicts; closed at the end.

        Args:
            pinned: look for names in the base's schema alone; False for what packs do: they have one of their own.

        Raises:
            HdmBaseError: the base cannot be reached, is not migrated, or refuses.
        """
        with explained(self):
            connection: BaseConnection = self.open()
            try:
                connection.autocommit = True
                connection.row_factory = dict_row
                if pinned:
                    connection.execute(queries("search_path")["pin"])
                yield connection
            finally:
                connection.close()

    def libpq(self) -> tuple[dict[str, str], str | None]:
        """How a program reaches this base: environment variables without the password, and the password."""
        self.load()
        connection = self.connection
        extra = connection.extra_dejson
        variables = {
            "PGHOST": extra.get("host") or connection.host or "",
            "PGPORT": str(connection.port or 5432),
            "PGUSER": connection.login or "",
            "PGDATABASE": self.database or connection.schema or connection.login or "",
        }
        variables.update({name: str(extra[key]) for key, name in _LIBPQ_VARIABLES.items() if extra.get(key)})
        return {name: value for name, value in variables.items() if value}, connection.password or None


@contextmanager
def explained(hook: HdmHook) -> Iterator[None]:
    """Turn the driver's errors into one that says what to do. No row value is repeated."""
    try:
        yield
    except HdmError:
        raise
    except (errors.UndefinedTable, errors.UndefinedColumn) as error:
        what = f"the HDM base lacks a table or column: {error.diag.message_primary}"
        raise HdmBaseError(what, hook.where, "run: airflow hdm db upgrade") from None
    except errors.InsufficientPrivilege as error:
        what = f"the HDM base refuses access: {error.diag.message_primary}"
        hint = "grant the connection's user that right, or use the owner's connection"
        raise HdmBaseError(what, hook.where, hint) from None
    except errors.LockNotAvailable:
        what = "the HDM base is in use: timed out waiting for a lock"
        raise HdmBaseError(what, hook.where, "try again after the running Dag has ended") from None
    except errors.QueryCanceled:
        what = "the HDM base took too long: a statement reached its time limit"
        raise HdmBaseError(what, hook.where, "see what the server is doing: SELECT * FROM pg_stat_activity") from None
    except psycopg.Error as error:
        if isinstance(error, psycopg.OperationalError) and (error.sqlstate or "08").startswith(_UNREACHABLE):
            what = f"the HDM base cannot be reached: {_first_line(error)}"
            hint = "check host, port, user and password, and that the server is running"
            raise HdmBaseError(what, hook.where, hint) from None
        raise HdmBaseError(f"the HDM base reports {told(error)}", hook.where, "see the server's log") from None


def told(error: psycopg.Error) -> str:
    """What the server said. Its complaints about data quote the value: that is left out."""
    name = f"{type(error).__name__} ({error.sqlstate})" if error.sqlstate else type(error).__name__
    message = error.diag.message_primary or _first_line(error)
    return f"{name}: {_QUOTED.sub('...', message) if isinstance(error, psycopg.DataError) else message}"


def _first_line(error: Exception) -> str:
    """What the driver says, without a host's name."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return _HOST.sub("host ...", line)
