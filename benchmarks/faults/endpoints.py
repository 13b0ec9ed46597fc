"""The endpoint of a data set: a PostgreSQL database or a SQLite file, which can be branched."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.services import Postgres


@dataclass(frozen=True)
class Endpoint:
    """A database of a data set."""

    server: Postgres
    folder: Path  # of SQLite files
    dataset: str
    name: str  # of this branch
    is_sqlite: bool

    @property
    def path(self) -> Path:
        """Its SQLite file."""
        return self.folder / f"{self.name}.sqlite"

    def create(self) -> None:
        """Create it, empty."""
        if not self.is_sqlite:
            self.server.create_database(self.name)

    def branch(self, name: str) -> Endpoint:
        """A copy of it as it is now."""
        copy = Endpoint(self.server, self.folder, self.dataset, name, self.is_sqlite)
        if self.is_sqlite:
            shutil.copyfile(self.path, copy.path)
        else:
            self.server.create_database(name, template=self.name)
        return copy

    def drop(self) -> None:
        """Remove it."""
        if self.is_sqlite:
            self.path.unlink(missing_ok=True)
        else:
            self.server.drop_database(self.name)

    @contextmanager
    def connect(self) -> Iterator[Any]:
        """A connection of psycopg or sqlite3; the transaction is committed at the end."""
        if self.is_sqlite:
            with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
                yield connection
                if connection.in_transaction:
                    connection.commit()
        else:
            from demo.services import Database

            with Database(self.server, self.name).connect() as connection:
                yield connection

    @property
    def slug(self) -> str:
        """The same for all branches of a data set: the packs take them for one endpoint."""
        return f"{self.dataset}:{'sqlite3' if self.is_sqlite else 'postgres'}:host::hdm:false"

    def context(self) -> dict[str, Any]:
        """The endpoint in the context file."""
        place: dict[str, Any] = {
            "database": self.name,
            "type": "postgres",
            "host": self.server.host,
            "port": str(self.server.port),
            "user": self.server.user,
            "password": self.server.password,
        }
        if self.is_sqlite:
            place |= {"type": "sqlite3", "host": str(self.path), "port": "", "user": "", "password": None}
        fixed = {"ssl": False, "url": "", "version": "0.0", "config": {}, "config_sources": [], "incomplete": []}
        return {"slug": self.slug, **fixed, **place}
