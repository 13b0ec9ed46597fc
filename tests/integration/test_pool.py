"""A connection pool in front of the HDM base: real PgBouncers, in each mode."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
import pytest

from demo.services import Database, PgBouncer
from hdm_airflow.base import endpoints, migrate, runs, version
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.errors import ConfigurationError, HdmBaseError
from hdm_airflow.operators import lock
from tests.integration.test_ledger import FIRST

Pooled = Callable[..., Any]


@pytest.fixture
def pooled(require: Any, base: Database, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pooled]:
    """Put a pool with the given settings between the connection `hdm` and the base; returns the pool."""
    require("integration", PgBouncer.available())
    with ExitStack() as stack:

        def start(**settings: Any) -> PgBouncer:
            pool = stack.enter_context(PgBouncer(tmp_path / f"pool {len(settings)}", base.server, **settings))
            monkeypatch.setenv("AIRFLOW_CONN_HDM", pool.dsn(base.name))
            return pool

        yield start


@contextmanager
def busy(pool: PgBouncer, base: Database) -> Iterator[None]:
    """Other clients of the pool, which run short statements all the time."""
    over = threading.Event()

    def work() -> None:
        with psycopg.connect(pool.dsn(base.name), autocommit=True, prepare_threshold=None) as connection:
            while not over.is_set():
                connection.execute("SELECT 1")

    clients = [threading.Thread(target=work) for _ in range(3)]
    for client in clients:
        client.start()
    try:
        yield
    finally:
        over.set()
        for client in clients:
            client.join()


LOSING = [
    {"pool_mode": "transaction"},
    {"pool_mode": "transaction", "default_pool_size": 1},
    {"pool_mode": "transaction", "server_round_robin": 1, "min_pool_size": 4},
    {"pool_mode": "transaction", "server_reset_query_always": 1},
    {"pool_mode": "statement"},
]


@pytest.mark.parametrize("settings", LOSING, ids=str)
def test_pool_that_does_not_keep_the_session_is_refused_each_time(pooled: Pooled, settings: dict[str, Any]) -> None:
    """However it chooses sessions: chance must not decide."""
    pooled(**settings)
    for _ in range(5):
        with (
            pytest.raises(ConfigurationError, match="pool in transaction or statement mode") as caught,
            HdmHook().session(),
        ):
            pass
        assert caught.value.where == "connection hdm"
        assert "pool_mode = session" in caught.value.hint
        assert "connect to the PostgreSQL server itself" in caught.value.hint


def test_pool_under_load_is_refused(pooled: Pooled, base: Database) -> None:
    """Other clients take and return sessions meanwhile; which of the pool's two faults shows first depends on them."""
    fault = "pool in transaction|passes on sessions with the locks of connections that have ended"
    with busy(pooled(pool_mode="transaction"), base):
        for _ in range(5):
            with pytest.raises(ConfigurationError, match=fault), HdmHook().session():
                pass


def test_pool_whose_sessions_are_all_taken_meanwhile_is_refused(
    pooled: Pooled, base: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks as full as one in session mode, but our session is among those that it has given to others."""
    pool, opened, calls = pooled(pool_mode="transaction", default_pool_size=1), HdmHook.open, list[HdmHook]()
    with psycopg.connect(pool.dsn(base.name), autocommit=True) as other:

        def take(hook: HdmHook) -> Any:
            connection = opened(hook)
            calls.append(hook)
            if len(calls) == 2:
                other.execute("BEGIN")
            return connection

        monkeypatch.setattr(HdmHook, "open", take)
        end = threading.Timer(8, lambda: other.execute("ROLLBACK"))
        end.start()
        with pytest.raises(ConfigurationError, match="pool in transaction or statement mode"), HdmHook().session():
            pass
        end.join()


@pytest.mark.parametrize("use", [migrate.upgrade, migrate.check, migrate.require_current])
def test_upgrade_and_check_refuse_it_too(pooled: Pooled, use: Callable[[HdmHook], Any]) -> None:
    """Their lock would have no effect either."""
    pooled(pool_mode="transaction")
    with pytest.raises(ConfigurationError, match="pool in transaction"):
        use(HdmHook())


def test_session_of_packs_refuses_it_too(pooled: Pooled) -> None:
    """The time limits of their scripts would reach other clients."""
    pooled(pool_mode="transaction")
    with pytest.raises(ConfigurationError, match="pool in transaction"), HdmHook().session(pinned=False):
        pass


def test_refused_pool_keeps_no_search_path_of_ours(pooled: Pooled, base: Database) -> None:
    """Another client gets the same server session next."""
    pool = pooled(pool_mode="transaction", default_pool_size=1)
    with pytest.raises(ConfigurationError), HdmHook().session():
        pass
    with psycopg.connect(pool.dsn(base.name)) as client:
        assert client.execute("SHOW search_path").fetchone() == ('"$user", public',)


def test_pool_in_session_mode_works(pooled: Pooled, base: Database) -> None:
    """Locks exclude each other and end with their session, and statements are repeated without a clash."""
    pooled(pool_mode="session")
    with HdmHook().session() as one, HdmHook().session() as two:
        for session in (one, two):
            for _ in range(8):  # the driver prepares what is repeated
                assert endpoints.registered(session) == []
            assert session.execute("SHOW search_path").fetchone() == {"search_path": "public"}
        assert runs.try_lock(one, FIRST)
        assert runs.has_lock(one, FIRST)
        assert not runs.try_lock(two, FIRST)
        assert not runs.has_lock(two, FIRST)
    with HdmHook().session() as three:
        assert runs.try_lock(three, FIRST)
    assert migrate.upgrade(HdmHook()) == (version.needed(), version.needed())


def test_statements_of_clients_before_do_not_clash(pooled: Pooled) -> None:
    """A pool that releases locks but keeps prepared statements."""
    pooled(pool_mode="session", server_reset_query="SELECT pg_advisory_unlock_all()", default_pool_size=5)
    for _ in range(6):
        with HdmHook().session() as session:
            for _ in range(8):
                endpoints.registered(session)


def test_pool_that_passes_locks_on_is_refused(pooled: Pooled) -> None:
    """Without its reset query, a lock would outlive the worker that held it."""
    pooled(pool_mode="session", server_reset_query="")
    with pytest.raises(ConfigurationError, match="passes on sessions with the locks") as caught, HdmHook().session():
        pass
    assert "server_reset_query" in caught.value.hint


def test_full_pool_in_session_mode_is_no_reason_to_refuse(pooled: Pooled, caplog: pytest.LogCaptureFixture) -> None:
    """It has no session for a second connection: so it keeps the first one's."""
    pooled(pool_mode="session", default_pool_size=1)
    with HdmHook().session() as session:
        assert endpoints.registered(session) == []
    assert "has no free session (connection hdm): enlarge it" in caplog.text


def test_session_that_has_lost_the_lock_ends_the_pack(base: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever took it away: the keeper asks the server for the lock itself."""
    monkeypatch.setattr(lock, "_LIVENESS", 0.0)
    with HdmHook().session() as session:
        assert runs.try_lock(session, FIRST)
        keeper = lock.LockKeeper(session, {}, check=lambda base: runs.has_lock(base, FIRST))
        for _ in range(3):
            keeper()
        keeper.abandon()
        session.execute("SELECT pg_advisory_unlock_all()")
        with pytest.raises(HdmBaseError, match="no longer has it"):  # noqa: PT012  # asked, then answered
            for _ in range(100):
                keeper()
                time.sleep(0.02)
