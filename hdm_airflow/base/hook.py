"""HdmHook: the connection to the HDM base."""

from __future__ import annotations

import json
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

from hdm_airflow.base import libpq, missing_connection, pool
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

#: How long the client waits for a silent server. The server waits for a silent client for a minute before it releases
#: the session's locks (`keep_session` in sql/runs.sql): the client must notice first. No effect on a Unix socket.
_PRESENCE: dict[str, int] = {
    "keepalives": 1,
    "keepalives_idle": 15,  # seconds
    "keepalives_interval": 5,  # seconds
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds without an acknowledgement of what was sent
}
_CONNECT_TIMEOUT = 4  # seconds; libpq waits without limit by default, and a signal handler has less than five
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
            ConfigurationError: if Airflow has no such connection, or it is malformed.
            HdmBaseError: if Airflow's connections cannot be looked up.
        """
        try:
            extra = self.connection.extra  # a property, which looks up the connection once
        except AirflowNotFoundException:
            raise missing_connection.explain(self.conn_id) from None
        try:
            readable = not extra or isinstance(json.loads(extra), dict)
        except ValueError:
            readable = False
        if not readable:
            what = f"the extra of the connection {self.conn_id!r} is not a JSON object"
            raise ConfigurationError(what, "Airflow connections", 'correct it, for example: {"sslmode": "require"}')

    def open(self) -> Any:
        """Open a new psycopg connection whose rows are tuples, with the driver's other defaults.

        Raises:
            ConfigurationError: if Airflow has no such connection, or its extra has an unknown parameter.
            psycopg.Error: if the base cannot be reached.
        """
        return psycopg.connect(**self.arguments())

    def arguments(self) -> dict[str, Any]:
        """The arguments of `psycopg.connect` with which `open` connects.

        Raises:
            ConfigurationError: if Airflow has no such connection, or its extra has an unknown parameter.
        """
        stated = self._parameters()
        timeout = os.environ.get("PGCONNECT_TIMEOUT") or _CONNECT_TIMEOUT
        # A base in another encoding converts texts itself, and its refusal is an error of the base. The driver would
        # take the base's encoding, and raise an error of its own for the first text that it does not have.
        encoding = {"client_encoding": "UTF8"}
        return {"connect_timeout": timeout, **_PRESENCE, **stated, **encoding}

    def get_conn(self) -> Any:
        """Open a new connection, for the methods of PostgresHook."""
        return self.open()

    def _parameters(self) -> dict[str, Any]:
        """The parameters of libpq that the connection states; its extra overrides its fields.

        Raises:
            ConfigurationError: if the extra has a parameter that libpq does not know, or a value that is not text.
        """
        self.load()
        collected: Any = super().get_conn()  # its last step is `_create_connection`
        return libpq.stated(self.conn_id, collected)

    def _create_connection(self, conn_args: dict[str, Any]) -> Any:
        return conn_args

    def _get_cursor_config(self, raw_cursor: str) -> tuple[str, Any]:
        return "cursor", raw_cursor  # not ours: our code chooses how its rows look

    @contextmanager
    def session(self, *, pinned: bool = True, probed: bool = True) -> Iterator[BaseConnection]:
        """Open a connection in autocommit mode whose rows are dicts; close it at the end.

        Args:
            pinned: search names only in the base's schema; False for the work of packs, whose role has a search path.
            probed: refuse a connection pool that does not keep the session; False where a session of the same attempt
                has proved that, and time is short.

        Raises:
            ConfigurationError: if a connection pool does not keep the session.
            HdmBaseError: if the base cannot be reached, is not migrated, or refuses.
        """
        with explained(self):
            connection: BaseConnection = self.open()
            try:
                self.prepare(connection, pinned=pinned, probed=probed)
                connection.row_factory = dict_row
                yield connection
            finally:
                connection.close()

    def prepare(self, connection: Any, *, pinned: bool = True, probed: bool = True) -> None:
        """Switch a new connection to autocommit mode and make it a session, with the arguments of `session`.

        Raises:
            ConfigurationError: if a connection pool does not keep the session.
            psycopg.Error: if the base refuses.
        """
        connection.autocommit = True
        pid = connection.info.backend_pid
        query = queries("search_path")["pin"] if pinned else queries("pool")["pid"]
        found = connection.execute(query, {"pid": pid}).fetchone()[0]
        if found != pid:  # a pool is in between
            connection.prepare_threshold = None  # its other clients may have statements of the same names
            if probed:
                pool.check(connection, found, self.open, self.where)
            connection.execute(query, {"pid": found})

    def variables(self, connection: BaseConnection) -> tuple[dict[str, str], str | None]:
        """Return the environment variables with which a program reaches the same base, and separately the password.

        Args:
            connection: a session of this hook. What is in force there counts, whether it came from the connection's
                fields, its extra, a service or password file, or variables of the worker.

        Raises:
            ConfigurationError: if it depends on a parameter that has no environment variable.
        """
        return libpq.variables(self.conn_id, self._parameters(), connection.pgconn)


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
    except errors.ReadOnlySqlTransaction:
        what = "the HDM base is read-only: the server is a standby, or default_transaction_read_only is set"
        hint = (
            "connect to the primary server; with several hosts, set target_session_attrs to read-write in the extra; "
            "if it is the primary, see: SHOW default_transaction_read_only"
        )
        raise HdmBaseError(what, hook.where, hint) from None
    except errors.DiskFull:
        hint = "free space on the server of the HDM base, then try again"
        raise HdmBaseError("the disk of the HDM base is full", hook.where, hint) from None
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
