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
    """Make the import of a module fail, unless it is imported already."""
    hides = name not in sys.modules
    if hides:
        sys.modules[name] = None  # type: ignore[assignment]  # the documented way
    try:
        yield
    finally:
        if hides:
            del sys.modules[name]


with _absent("psycopg2"):  # optional, and unused with psycopg 3; without it each task needs 4.5 MB less memory
    from airflow.providers.postgres.hooks.postgres import PostgresHook

BaseConnection = psycopg.Connection[DictRow]

#: libpq's connection parameters -> the environment variables from which `psql` and all drivers read them.
_LIBPQ_VARIABLES = {
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "options": "PGOPTIONS",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
}
#: How long the client waits for a silent server. The server waits for a silent client for a minute before it releases
#: the session's locks (`keep_session` in sql/runs.sql): the client must notice first. No effect on a Unix socket.
_PRESENCE: dict[str, int] = {
    "keepalives": 1,
    "keepalives_idle": 15,  # seconds
    "keepalives_interval": 5,  # seconds
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds without an acknowledgement of what was sent
}
#: A host name in a message. If the URI of a connection is not quoted properly, this is a part of the password.
_HOST = re.compile(r"host (?:name )?[\"'].*?[\"']")
#: From the first quotation mark of a message to the last, in any language of the server.
_QUOTED = re.compile(r"[\"«»„“”].*[\"«»„“”]", re.DOTALL)
#: Prefixes of the SQLSTATE of a lost or refused connection: broken, not authorized, too many, server shut down.
_UNREACHABLE = ("08", "28", "53300", "57P")


class HdmHook(PostgresHook):
    """A PostgresHook for the HDM base.

    Args:
        conn_id: an Airflow connection of type `postgres`.
    """

    def __init__(self, conn_id: str = "hdm", **kwargs: Any) -> None:
        super().__init__(postgres_conn_id=conn_id, **kwargs)
        self.conn_id = conn_id

    @property
    def where(self) -> str:
        """The base's name in error messages."""
        return f"connection {self.conn_id}"

    def load(self) -> None:
        """Look up the connection and keep it, because a signal handler must not ask Airflow for it.

        Raises:
            ConfigurationError: if Airflow has no such connection.
        """
        try:
            _ = self.connection  # a property, which looks up the connection once
        except AirflowNotFoundException:
            hint = f"add a connection of type postgres with the id {self.conn_id}, or name another in the Variable hdm"
            raise ConfigurationError(f"there is no connection {self.conn_id!r}", "Airflow connections", hint) from None

    def open(self) -> Any:
        """Open a new psycopg connection, with the driver's defaults.

        Raises:
            ConfigurationError: if Airflow has no such connection.
            psycopg.Error: if the base cannot be reached.
        """
        self.load()
        # libpq waits without limit by default; a signal handler has less than five seconds to write the ledger
        os.environ.setdefault("PGCONNECT_TIMEOUT", "4")
        return self.get_conn()

    def _create_connection(self, conn_args: dict[str, Any]) -> Any:
        return super()._create_connection({**_PRESENCE, **conn_args})  # the connection's extras override ours

    @contextmanager
    def session(self, *, pinned: bool = True) -> Iterator[BaseConnection]:
        """Open a connection in autocommit mode whose rows are dicts; close it at the end.

        Args:
            pinned: search names only in the base's schema; False for the work of packs, whose role has a search path.

        Raises:
            HdmBaseError: if the base cannot be reached, is not migrated, or refuses.
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
        """Return the environment variables with which a program reaches this base, and apart from them the password."""
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
    """Turn the driver's errors into errors that say what to do. They repeat no row value.

    Raises:
        HdmBaseError: if the driver raises an error.
    """
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
        raise HdmBaseError(
            f"the HDM base reports {server_message(error)}", hook.where, "see the server's log"
        ) from None


def server_message(error: psycopg.Error) -> str:
    """Return the server's message. Messages about data quote the value: quotations in them are left out."""
    name = f"{type(error).__name__} ({error.sqlstate})" if error.sqlstate else type(error).__name__
    message = error.diag.message_primary or _first_line(error)
    return f"{name}: {_QUOTED.sub('...', message) if isinstance(error, psycopg.DataError) else message}"


def _first_line(error: Exception) -> str:
    """Return the first line of the driver's message, without the host's name."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return _HOST.sub("host ...", line)
