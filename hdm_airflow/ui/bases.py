"""Bases: the HDM bases that pages read, each behind a bounded pool of connections."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
import psycopg_pool
from airflow.models.connection import Connection
from airflow.sdk.exceptions import AirflowNotFoundException
from psycopg.rows import DictRow, dict_row

from hdm_airflow.base import missing_connection, version
from hdm_airflow.base.hook import HdmHook, explained
from hdm_airflow.errors import HdmBaseError, HdmError

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection

_MOST = 8  # connections per base and API server process
_GET = 4.0  # seconds to wait for one
_STEP = 0.2  # seconds after which the wait looks whether an attempt has failed
_STATEMENT = "5s"  # longest statement
_IDLE = 120.0  # seconds until an unused one is closed
_LIFETIME = 300.0  # seconds until a connection is opened anew, which checks the base's version
_REMEMBERED = 30.0  # seconds until Airflow is asked again what a connection is: it may ask a secrets backend
_RETRIES = 1.0  # seconds during which the pool repeats a failed attempt for one who waits


@dataclass
class _Base:
    """One base."""

    hook: HdmHook
    stated: str  # the connection as Airflow knows it
    looked_up: float
    fault: Exception | None = None  # of the last attempt to connect
    failed_at: float = 0.0  # when
    attempts: int = 0  # that are going on
    pool: Any = field(default=None)


_ADDRESS = re.compile(r'server at "[^"]*"(?: \([^)]*\))?, port \d+')
_NAMED = re.compile(r'\b(user|role|database) "[^"]*"')

_bases: dict[str, _Base] = {}
_lock = threading.Lock()


@contextmanager
def session(conn_id: str) -> Iterator[BaseConnection]:
    """A connection in autocommit mode to the base, which is of the version that this release needs.

    Args:
        conn_id: the Airflow connection.

    Raises:
        ConfigurationError: if Airflow has no such connection, or it is malformed.
        HdmBaseError: if the base cannot be reached, is not migrated, has no free connection, or refuses.
    """
    base = _find(conn_id)
    try:
        with explained(base.hook):
            connection = _connection(base)
            try:
                yield connection
            finally:
                base.pool.putconn(connection)
    except HdmBaseError as error:
        raise HdmBaseError(_anonymous(error.what), error.where, error.hint) from None


def _anonymous(text: str) -> str:
    """A message of the driver without the base's address and user: every reader of the Dag sees it."""
    return _NAMED.sub(r"\1 ...", _ADDRESS.sub("server", text))


def _connection(base: _Base) -> BaseConnection:
    """A connection of the pool; an error as soon as an attempt has failed, or if there is none in time."""
    began = time.monotonic()
    while time.monotonic() < began + _GET:
        try:
            return base.pool.getconn(_STEP)  # type: ignore[no-any-return]  # the pool of a class made here
        except psycopg_pool.PoolTimeout:
            if base.fault and base.failed_at > began:
                raise base.fault from None
    raise base.fault or _no_connection(base)


def _no_connection(base: _Base) -> HdmBaseError:
    """Why nobody had to say why there is no connection."""
    if base.attempts:
        what = f"the HDM base does not answer: connecting to it takes longer than {_GET:g} s"
        return HdmBaseError(what, base.hook.where, "check host and port, and that the server is running")
    what = f"all {_MOST} connections of these pages to the HDM base are in use"
    return HdmBaseError(what, base.hook.where, "try again in a few seconds; if it lasts, the base is slow")


def _find(conn_id: str) -> _Base:
    with _lock:
        base = _bases.get(conn_id)
    if base and time.monotonic() < base.looked_up + _REMEMBERED:
        return base
    stated = _look_up(conn_id)
    with _lock:
        base = _bases.get(conn_id)
        if base and base.stated == stated.get_uri():
            base.looked_up = time.monotonic()
            return base
        new = _bases[conn_id] = _pooled(conn_id, stated)
    if base:
        base.pool.close(timeout=0)
    return new


def _look_up(conn_id: str) -> Any:
    """The connection. The SDK's hooks find none in the API server that are in Airflow's own database."""
    try:
        return Connection.get_connection_from_secrets(conn_id)
    except AirflowNotFoundException:
        raise missing_connection.explain(conn_id) from None


def _pooled(conn_id: str, stated: Any) -> _Base:
    hook = HdmHook(conn_id, connection=stated)
    base = _Base(hook=hook, stated=stated.get_uri(), looked_up=time.monotonic())
    base.pool = psycopg_pool.ConnectionPool(
        kwargs=hook.arguments(),
        connection_class=_class(base),
        min_size=0,
        max_size=_MOST,
        timeout=_GET,
        max_idle=_IDLE,
        max_lifetime=_LIFETIME,
        reconnect_timeout=_RETRIES,
        num_workers=2,
        check=psycopg_pool.ConnectionPool.check_connection,
        open=True,
        name=f"hdm {conn_id}",
    )
    return base


def _class(base: _Base) -> type[psycopg.Connection[DictRow]]:
    """Connections of a base, which remembers why the last attempt failed: the pool only logs it."""

    class Session(psycopg.Connection[DictRow]):
        @classmethod
        def connect(cls, conninfo: str = "", **arguments: Any) -> Any:
            connection = None
            with _lock:
                base.attempts += 1
            try:
                connection = super().connect(conninfo, **arguments)
                base.hook.prepare(connection)
                connection.execute("SELECT set_config('statement_timeout', %s, false)", [_STATEMENT])
                connection.row_factory = dict_row
                version.check(connection, base.hook.where)
            except (psycopg.Error, HdmError) as error:
                if connection is not None:
                    connection.close()
                base.fault, base.failed_at = error.with_traceback(None), time.monotonic()
                if isinstance(error, HdmError):  # of the pool's attempts, only the driver's errors are retried
                    raise psycopg.OperationalError(error.what) from error
                raise
            finally:
                with _lock:
                    base.attempts -= 1
            base.fault = None
            return connection

    return Session
