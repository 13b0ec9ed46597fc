"""Pool: a connection pool between us and the HDM base, which must keep one server session per connection.

Locks and settings belong to the server's session. A pool in transaction or statement mode, such as PgBouncer's, sends
each transaction or statement to any of its sessions: two attempts would run at once.

A new connection gets the process id of its server session, with which clients cancel a query. A pool invents that
number, because the session changes: if the server reports another one, a pool is in between.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from psycopg import Error

from hdm_airflow.base.background_query import BackgroundQuery
from hdm_airflow.base.queries import queries
from hdm_airflow.errors import ConfigurationError

log = logging.getLogger(__name__)

_ROUNDS = 3  # other connections, each of which the pool could give our session
_ANSWER = 2.0  # seconds to wait until the pool gives another connection a session
_RESET = 3.0  # seconds until a pool has cleaned up the session of a connection that has ended
_PAUSE = 0.05  # seconds between two looks
_KEY = 1_215_195_472  # of the lock that shows whether sessions are cleaned up
_KEEPING_HINT = "connect to the PostgreSQL server itself, or to a pool in session mode (PgBouncer: pool_mode = session)"
_CLEANING_HINT = "connect to the PostgreSQL server itself, or have the pool do it (PgBouncer: server_reset_query)"

Connect = Callable[[], Any]


def check(connection: Any, pid: int, connect: Connect, where: str) -> None:
    """Refuse a pool that does not keep the session, or that passes it on with its locks.

    A pool may give a connection the same session again by chance. So other connections begin transactions in between:
    a pool that hands out sessions in the order in which they came back, or in the reverse order, then gives one of them
    our session, or gives us another one.

    Args:
        connection: a connection in autocommit mode, on which no transaction is open.
        pid: of its server session.
        connect: opens another connection.
        where: names the base.

    Raises:
        ConfigurationError: if the pool does one of the two.
        psycopg.Error: if the base cannot be reached.
    """
    mark = secrets.token_hex(8)
    connection.execute(queries("pool")["mark"], {"mark": mark})
    with ExitStack() as stack:
        for _ in range(_ROUNDS):
            other = connect()
            stack.callback(other.close)
            other.autocommit = True
            found = _other_pid(other, where)
            if found is None:  # no session was free: either the pool keeps ours for us, or others have it, too
                if not _answers(connection, pid, mark):
                    raise _refusal(where)
                log.warning("the connection pool of the HDM base has no free session (%s): enlarge it", where)
                return
            if found == pid or connection.execute(queries("pool")["look"]).fetchone() != (pid, mark):
                raise _refusal(where)
    _check_cleaning(connection, connect, where)


def _other_pid(other: Any, where: str) -> int | None:
    """Begin a transaction, and return the process id of its session; None if the pool gives none in time."""
    found: list[int] = []

    def begin() -> None:
        other.execute(queries("pool")["begin"])
        found.append(other.execute(queries("pool")["pid"]).fetchone()[0])

    query = BackgroundQuery(other, begin)
    query.start()
    try:
        return found[0] if query.is_done(_ANSWER) else None
    except Error:  # in statement mode, the pool refuses transactions
        raise _refusal(where) from None
    finally:
        query.abandon()


def _answers(connection: Any, pid: int, mark: str) -> bool:
    """Whether our session answers at once."""
    found: list[tuple[int, str]] = []
    query = BackgroundQuery(connection, lambda: found.append(connection.execute(queries("pool")["look"]).fetchone()))
    query.start()
    try:
        return query.is_done(_ANSWER) and found == [(pid, mark)]
    finally:
        query.abandon()


def _check_cleaning(connection: Any, connect: Connect, where: str) -> None:
    """Refuse a pool that passes on a session with the locks and settings of a connection that has ended."""
    other = connect()
    try:
        other.autocommit = True
        pid = other.execute(queries("pool")["lock"], {"key": _KEY}).fetchone()[1]
    finally:
        other.close()
    deadline = time.monotonic() + _RESET
    while connection.execute(queries("pool")["is_locked"], {"pid": pid, "key": _KEY}).fetchone()[0]:
        if time.monotonic() > deadline:
            what = (
                "the connection pool of the HDM base passes on sessions with the locks of connections that have ended"
            )
            raise ConfigurationError(what, where, _CLEANING_HINT)
        time.sleep(_PAUSE)


def _refusal(where: str) -> ConfigurationError:
    what = (
        "the HDM base is behind a connection pool in transaction or statement mode, which does not keep the session: "
        "locks and settings have no effect, so two attempts could run at once"
    )
    return ConfigurationError(what, where, _KEEPING_HINT)
