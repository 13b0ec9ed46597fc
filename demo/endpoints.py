"""The demo's endpoints: the hospital in PostgreSQL, in SQLite and, if its server is installed, in MariaDB."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.services import MariaDB, Postgres
from hdm_airflow.base.endpoints import Endpoint

Connect = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True, kw_only=True)
class Site:
    """One database of the demo."""

    endpoint: Endpoint
    password: str | None
    connect: Connect


def sites(folder: Path, postgres: Postgres, stack: ExitStack) -> list[Site]:
    """Create the demo's empty databases.

    Args:
        folder: the folder of the servers and files.
        postgres: the server that also holds the HDM base.
        stack: stops the servers that are started here.
    """
    found = [_postgres(postgres), _sqlite(folder / "laboratory.sqlite")]
    if MariaDB.available() is None:
        found.append(_mariadb(stack.enter_context(MariaDB(folder / "mariadb"))))
    return found


def _postgres(server: Postgres) -> Site:
    server.drop_database("hospital")
    database = server.create_database("hospital")
    endpoint = Endpoint(
        name="hospital", type="postgres", host=server.host, port=str(server.port), user=server.user, ssl=False
    )
    return Site(endpoint=endpoint, password=server.password, connect=database.connect)


def _sqlite(path: Path) -> Site:
    for file in (path, path.with_suffix(".away")):  # the second one if a demo was killed in its fourth night
        file.unlink(missing_ok=True)
    endpoint = Endpoint(name="laboratory", type="sqlite", host=str(path))
    return Site(endpoint=endpoint, password=None, connect=lambda: contextlib.closing(sqlite3.connect(path)))


def _mariadb(server: MariaDB) -> Site:
    server.drop_database("pharmacy")
    server.create_database("pharmacy")
    endpoint = Endpoint(name="pharmacy", type="mariadb", host=server.host, port=str(server.port), user=server.user)

    @contextmanager
    def connect() -> Iterator[Any]:
        with contextlib.closing(server.connect("pharmacy")) as connection:
            yield connection

    return Site(endpoint=endpoint, password=server.password, connect=connect)
