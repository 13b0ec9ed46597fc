"""The base's place: in which schema its tables are, and where the sessions of its owner look for names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hdm_airflow.base.queries import queries
from hdm_airflow.errors import HdmBaseError

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the base's tables are."""

    database: str
    schema: str
    me: str  # who asks
    owner: str  # of the tables
    searched: tuple[str, ...]  # schemas in which the owner's sessions look by default; ours look in `schema` alone

    @property
    def schemas(self) -> list[str]:
        """The schemas in which nobody else may create anything."""
        return sorted({self.schema, *self.searched})


@contextmanager
def looking(base: BaseConnection) -> Iterator[Place]:
    """A transaction in which nothing is run that somebody has planted: names mean PostgreSQL's own.

    Raises:
        HdmBaseError: there are no tables yet.
    """
    with base.transaction():
        base.execute(queries("search_path")["usual_path"])
        row = base.execute(queries("search_path")["place"]).fetchone()
        if row is None:
            raise HdmBaseError("the HDM base has no tables yet", "HDM base", "run: airflow hdm db upgrade")
        base.execute(queries("search_path")["own_names"])
        yield Place(**{**row, "searched": tuple(row["searched"])})
