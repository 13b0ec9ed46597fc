"""Grantee: the role that packs use, as the base's owner sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hdm_airflow.base.queries import queries

if TYPE_CHECKING:
    from psycopg.sql import Composed
    from typing_extensions import LiteralString

    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.base.role.search_path import BaseSchema


@dataclass(frozen=True, kw_only=True)
class Grantee:
    """A role, and the base on which it has or gets rights. Use it within `unambiguous_names`.

    Usually the packs' role; the base's owner while that role is unknown.
    """

    base: BaseConnection  # of the base's owner
    schema: BaseSchema
    role: str

    def run(self, statement: LiteralString, *names: str) -> None:
        """Run a statement, with an identifier for each `{}`."""
        self.base.execute(_composed(statement, names))

    def text(self, statement: LiteralString, *names: str) -> str:
        """Return the statement as text, for an administrator to run."""
        return _composed(statement, names).as_string(self.base)

    def rows(self, noun: str, name: str, **values: Any) -> list[dict[str, Any]]:
        """Return the rows of a query of sql/<noun>.sql.

        Args:
            noun: the file.
            name: of the query.
            values: its parameters, other than `role`, `schema` (the base's) and `schemas` (those that are guarded).
        """
        known = {"role": self.role, "schema": self.schema.name, "schemas": self.schema.guarded}
        return self.base.execute(queries(noun)[name], {**known, **values}).fetchall()

    def column(self, noun: str, name: str, **values: Any) -> list[str]:
        """Return the only column of a query, with the arguments of `rows`."""
        return [value for row in self.rows(noun, name, **values) for value in row.values()]


def _composed(statement: LiteralString, names: tuple[str, ...]) -> Composed:
    from psycopg.sql import SQL, Identifier

    return SQL(statement).format(*map(Identifier, names))
