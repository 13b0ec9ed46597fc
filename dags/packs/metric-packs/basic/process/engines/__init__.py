"""The database engines that the pack supports: one module each, with their common base class in `engine`.

An engine connects, lists the tables, and feeds a table's rows to a profile, which counts them. It does not interpret
the counts.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import hdm
    from settings import Settings

    from engines.engine import Engine

ENGINES = {
    "postgres": "postgres.Postgres",
    "postgresql": "postgres.Postgres",
    "mysql": "mysql.MySQL",
    "mariadb": "mysql.MySQL",
    "sqlite": "sqlite.SQLite",
    "sqlite3": "sqlite.SQLite",
}


class ConnectError(Exception):
    """The endpoint cannot be reached, or its type is not supported. The message contains no secret."""


def connect(endpoint: hdm.Endpoint, settings: Settings) -> Engine:
    """Open a read-only connection to the endpoint. Only the driver that it needs is imported.

    Raises:
        ConnectError: if the connection fails.
    """
    found = ENGINES.get(endpoint.type.strip().lower())
    if found is None:
        raise ConnectError(f"type {endpoint.type!r} is not supported, only {', '.join(ENGINES)}")
    module, name = found.split(".")
    engine: Callable[..., Engine] = getattr(import_module(f"engines.{module}"), name)
    try:
        return engine(endpoint, settings)
    except Exception as error:  # noqa: BLE001  # of any driver
        # Nothing has been read yet, so the driver's text cannot quote a row.
        text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if endpoint.password:
            text = text.replace(endpoint.password, "***")
        raise ConnectError(f"cannot connect: {text}") from None
