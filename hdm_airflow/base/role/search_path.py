"""The base's schema: its name, its owner, and the search path of the owner's sessions."""

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
class BaseSchema:
    """The schema that holds the base's tables."""

    name: str
    database: str
    owner: str  # the role that owns the tables
    user: str  # the role of this session
    searched: tuple[str, ...]  # the owner's default search path; our own sessions search `name` alone

    @property
    def guarded(self) -> list[str]:
        """The schemas in which only the owner may create anything."""
        return sorted({self.name, *self.searched})


@contextmanager
def unambiguous_names(base: BaseConnection) -> Iterator[BaseSchema]:
    """Open a transaction in which names mean PostgreSQL's own: a statement runs no code that others have left.

    Args:
        base: a connection of the base's owner.

    Raises:
        HdmBaseError: if the base has no tables yet.
    """
    with base.transaction():
        base.execute(queries("search_path")["use_default"])
        row = base.execute(queries("search_path")["base_schema"]).fetchone()
        if row is None:
            raise HdmBaseError("the HDM base has no tables yet", "HDM base", "run: airflow hdm db upgrade")
        base.execute(queries("search_path")["use_pg_catalog"])
        yield BaseSchema(**{**row, "searched": tuple(row["searched"])})
