"""The distinct values of columns that may be keys or refer to them, kept while the pass runs.

Whether a column has orphans is then known without asking the database again, unless it has some. The values stay in the
memory of this process: differences of numbers, and hashes of texts. Only numbers without a parent are sent, and only to
the database that has them.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import privacy
from tables import INTEGER, TEXT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foreign_keys import Place
    from hdm_profile import Kept, Profile
    from tables import Column, Table

MOST_MISSING = 900  # numbers in one query: older releases of SQLite accept 999 parameters
MOST_BYTES = 16 << 20  # of a column: millions of whole numbers, a million texts


def keep(columns: Sequence[Column], profile: Profile) -> None:
    """Have a profile keep the values of these columns, if they may be keys or refer to them."""
    for i, column in enumerate(columns):
        if column.kind in {INTEGER, TEXT} and _is_key_like(column):
            profile.keep(i, MOST_BYTES)


class KeyValues:
    """The values of one endpoint's columns; threads may share it.

    Args:
        memory: bytes. Columns that no longer fit are not kept.
    """

    def __init__(self, memory: int) -> None:
        self._held: dict[Place, Kept] = {}
        self._left = memory
        self._lock = threading.Lock()

    def take(self, table: Table, column: Column, profile: Profile, index: int) -> None:
        """Take over the values that the profile of a whole table has kept of a column."""
        kept = profile.kept(index)
        if kept is None:
            return
        with self._lock:
            if len(kept.keys) > self._left:
                return
            self._left -= len(kept.keys)
            self._held[table.label, column.name] = kept

    def missing(self, child: Place, parent: Place) -> int | None:
        """How many values of the child the parent does not have, compared byte by byte; None: unknown."""
        mine, theirs = self._held.get(child), self._held.get(parent)
        return mine.missing_from(theirs) if mine is not None and theirs is not None else None

    def missing_numbers(self, child: Place, parent: Place) -> list[int] | None:
        """The numbers of the child that the parent does not have; None: unknown, texts, or more than a few hundred."""
        mine, theirs = self._held.get(child), self._held.get(parent)
        return mine.numbers_missing_from(theirs, MOST_MISSING) if mine is not None and theirs is not None else None


def _is_key_like(column: Column) -> bool:
    return bool(column.key_constraint) or column.foreign or privacy.is_identifier_like(column)
