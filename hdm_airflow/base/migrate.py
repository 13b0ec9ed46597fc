"""Migrations: Alembic creates and upgrades the HDM base's tables, with a version table of our own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hdm_airflow.base import take_over, version
from hdm_airflow.base.hook import HdmHook, explained
from hdm_airflow.base.queries import queries

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

VERSION_TABLE = "hdm_alembic_version"
_FOLDER = Path(__file__).with_name("migrations")
#: If a table is still in use after this time, the upgrade fails: a session that waits for an exclusive lock blocks
#: every reader behind it.
LOCK_TIMEOUT = "4s"
_STATEMENT_TIMEOUT = "10min"
_LOCK = "SELECT pg_advisory_lock(hashtextextended('hdm:migration', 0))"


def upgrade(hook: HdmHook) -> tuple[str | None, str]:
    """Bring the base to the newest version, in one transaction.

    Returns:
        The versions before and after.

    Raises:
        ConfigurationError: if the base has no version, but tables that are neither the original's nor ours.
        HdmBaseError: if the base cannot be reached, its version is unknown to this release, or a migration fails; then
            all of them are rolled back.
    """
    from alembic import command

    with _connection(hook) as connection:
        # Without limit: the key of many alerts takes its time, and the lock of another upgrade blocks no reader.
        connection.exec_driver_sql("SET statement_timeout = 0")
        connection.exec_driver_sql(_LOCK)
        connection.exec_driver_sql(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
        before = _current(connection, hook.where)
        if before is None:
            rows = connection.exec_driver_sql(queries("version")["relations"]).mappings()
            take_over.check([take_over.Relation(**row) for row in rows], hook.where)
        connection.commit()
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
        return before, version.needed()


def check(hook: HdmHook) -> tuple[str | None, str]:
    """Return the base's version, and the version that this release needs.

    Raises:
        HdmBaseError: if the base cannot be reached, or its version is unknown to this release.
    """
    with _connection(hook) as connection:
        return _current(connection, hook.where), version.needed()


def require_current(hook: HdmHook) -> None:
    """Check that the base has the version that this release needs.

    Raises:
        HdmBaseError: if it has another version or cannot be reached.
    """
    current, _ = check(hook)
    version.require([current] if current else [], hook.where)


def run_sql(file: str) -> None:
    """Run the SQL file of a migration inside Alembic's transaction."""
    from alembic import op

    # On the driver's own connection: SQLAlchemy sends parameters, and PostgreSQL then refuses a file of several
    # statements.
    driver = op.get_bind().connection.driver_connection
    assert driver is not None  # noqa: S101  # SQLAlchemy hands out a checked-out connection
    driver.execute((_FOLDER / "versions" / file).read_text("utf-8"))


@contextmanager
def _connection(hook: HdmHook) -> Iterator[Connection]:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import NullPool

    def connect() -> Any:
        connection = hook.open()
        try:
            hook.prepare(connection)  # in autocommit mode, or the first rollback would undo the pin
        except BaseException:
            connection.close()
            raise
        connection.autocommit = False
        return connection

    # creator: the hook's own SQLAlchemy engine drops connection arguments such as ?host= for a socket.
    engine = create_engine("postgresql+psycopg://", creator=connect, poolclass=NullPool)
    try:
        with explained(hook), engine.connect() as connection:
            connection.exec_driver_sql(f"SET statement_timeout = '{_STATEMENT_TIMEOUT}'")
            yield connection
    except DBAPIError as error:
        with explained(hook):
            raise error.orig or error from None
    finally:
        engine.dispose()


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    return config


def _current(connection: Connection, where: str) -> str | None:
    if not connection.exec_driver_sql(queries("version")["table"]).scalar():
        return None
    return version.only(connection.exec_driver_sql(queries("version")["read"]).scalars().all(), where)
