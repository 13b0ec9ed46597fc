"""The HDM base: what it knows about foreign keys of one endpoint, and their counts of one metric date.

All keys of a date are replaced in the last transaction of the run, together with what concerns all tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import statements
from foreign_keys import Fact, Facts, KeyCounts
from statements import KEY_STAGE

if TYPE_CHECKING:
    import psycopg
    from foreign_keys import ForeignKey, KeyPlace


class KeyStore:
    """Reads and writes foreign keys over the connection of a Store, which it shares.

    Raises: psycopg.Error, in every method.
    """

    def __init__(self, base: psycopg.Connection[Any], values: dict[str, Any]) -> None:
        self._base, self._values = base, values
        self._sql = statements.read("foreign_keys")
        self._base.execute(self._sql["stage"])
        self._counted: list[tuple[ForeignKey, KeyCounts]] = []

    def facts(self) -> Facts:
        """The columns of this date whose values may be keys or refer to keys."""
        found: Facts = {}
        for table, column, *fact in self._base.execute(self._sql["facts"], self._values).fetchall():
            found.setdefault(table, {})[column] = Fact._make(fact)
        return found

    def inferred(self) -> list[KeyPlace]:
        """The keys that were inferred on earlier dates: table, column, parent, its column."""
        return self._base.execute(self._sql["inferred"], self._values).fetchall()

    def pass_seconds(self) -> float:
        """The time that this run has taken to read the tables, over all its attempts."""
        row = self._base.execute(self._sql["pass_seconds"], self._values).fetchone()
        return float(row[0]) if row else 0.0

    def add(self, key: ForeignKey, counts: KeyCounts) -> None:
        """Add what was counted of a key."""
        self._counted.append((key, counts))

    def write(self) -> None:
        """Replace the date's keys, in the transaction of the caller."""
        self._base.execute(self._sql["clear"], self._values)
        with self._base.cursor() as cursor, cursor.copy(statements.copy("staged_key", KEY_STAGE)) as copy:
            for key, (values, orphans, parents, covered) in self._counted:
                copy.write_row((*key.place, key.declared, values, orphans, parents, covered))
        self._base.execute(self._sql["insert"], self._values)
