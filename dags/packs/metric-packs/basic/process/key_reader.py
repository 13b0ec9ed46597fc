"""Counts the orphans of foreign keys, asking the endpoint only for what the values that the pass has kept do not tell.

The questions take a share of the time that the pass has taken, over one connection. Half of it is for small tables, the
other half for the others in turns: each night another one comes first, so that one key that takes too long does not
cost the others theirs. Candidates for inferred keys come last.
"""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

import inferred_keys
from engines import ConnectError
from engines.engine import describe
from foreign_keys import Declared, KeyCounts, inferred
from tables import INTEGER

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterable

    from connections import Connection
    from engines.engine import Engine
    from foreign_keys import ForeignKey, Pair, Reference
    from key_store import KeyStore
    from key_values import KeyValues
    from tables import Column, Table

SHARE = 0.1  # of the time that reading the tables has taken
MIN_SECONDS = 30.0  # which a pass of less than five minutes may always take
ROWS_PER_SECOND = 1_000_000  # a cautious guess: whether a key can be counted in the time that is left
GRACE_SECONDS = 3.0  # seconds after the time limit, the connection is closed if the server has not answered
MAX_LINES = 20  # failures in the log


class Catalogue(NamedTuple):
    """What an endpoint's database says of its foreign keys before the pass."""

    references: list[Reference]  # that it declares
    paired: Callable[[Column, Column, str], Pair | None]  # how it compares columns: Engine.paired


def in_turns(keys: list[ForeignKey], date: dt.date) -> list[ForeignKey]:
    """The keys, another one first on each date: after as many nights as there are keys, each has been the first."""
    turn = date.toordinal() % max(1, len(keys))
    return keys[turn:] + keys[:turn]


class KeyReader:
    """Counts the keys of one endpoint.

    Args:
        connection: to the endpoint; opened if it is needed, and closed afterwards.
        store: takes the counts.
        values: kept by the pass.
        log: for what was not counted.
        on_wait: called between two questions.
    """

    def __init__(
        self,
        connection: Connection,
        store: KeyStore,
        values: KeyValues,
        log: Callable[[str], None],
        on_wait: Callable[[], None],
    ) -> None:
        self._connection, self._store, self._values = connection, store, values
        self._log, self._on_wait = log, on_wait
        self._engine: Engine | None = None
        self._parents: dict[tuple[str, str], int] = {}  # of a table and the columns of its key
        self._failures: list[str] = []
        self._end = 0.0

    def measure(self, catalogue: Catalogue, tables: list[Table], date: dt.date, seconds: float) -> None:
        """Count the keys between these tables, which have been measured.

        Args:
            catalogue: read before the pass.
            tables: with the selected columns.
            date: the metric date.
            seconds: that the endpoint has left; may be infinite.

        Raises: psycopg.Error, if the HDM base fails. Whatever fails at the endpoint is logged.
        """
        facts, earlier = self._store.facts(), self._store.inferred()
        declared = Declared(catalogue.references, tables, facts)
        known = inferred(earlier, tables, facts, declared, catalogue.paired)
        candidates = inferred_keys.candidates(tables, facts, declared, known, catalogue.paired)
        certain = sorted([*declared.keys, *known], key=lambda key: (key.rows, key.place))
        certain, candidates = self._without_answers(certain), self._without_answers(candidates)
        if certain or candidates:
            budget = max(0.0, min(max(MIN_SECONDS, SHARE * self._store.pass_seconds()), seconds))
            self._ask(certain, candidates, date, budget)
        for line in self._failures[:MAX_LINES]:
            self._log(line)
        if len(self._failures) > MAX_LINES:
            self._log(f"{len(self._failures) - MAX_LINES} more foreign keys not measured")

    def _without_answers(self, keys: Iterable[ForeignKey]) -> list[ForeignKey]:
        """Store the keys that need no question. Return the others."""
        left = []
        for key in keys:
            counts = self._compared(key)
            if counts is None:
                left.append(key)
            else:
                self._take(key, counts)
        return left

    def _take(self, key: ForeignKey, counts: KeyCounts) -> None:
        if not key.is_candidate or (counts.orphans == 0 and counts.covered >= inferred_keys.MIN_COVERED):
            self._store.add(key, counts)

    def _ask(self, certain: list[ForeignKey], candidates: list[ForeignKey], date: dt.date, budget: float) -> None:
        self._end = time.monotonic() + budget
        clock = threading.Timer(budget + GRACE_SECONDS, self._interrupt)
        clock.daemon = True
        clock.start()
        try:
            with self._connection:
                left = self._count_all(certain, candidates, date, self._end - budget / 2)
        except ConnectError as error:
            self._failures.append(f"foreign keys not measured: {error}")
        else:
            if left:
                self._failures.append(f"{left} foreign keys not measured: their {budget:.0f} seconds are over")
        finally:
            clock.cancel()

    def _count_all(self, certain: list[ForeignKey], candidates: list[ForeignKey], date: dt.date, half: float) -> int:
        """Count as many keys as the time permits. Return the number of the others."""
        todo = list(certain)
        while todo and time.monotonic() + todo[0].rows / ROWS_PER_SECOND < half:
            self._count(todo.pop(0))
        todo = [*in_turns(todo, date), *candidates]
        while todo and time.monotonic() < self._end:
            self._count(todo.pop(0))
        return len(todo)

    def _count(self, key: ForeignKey) -> None:
        self._on_wait()
        try:
            counts = self._answer(key)
        except ConnectError:
            raise
        except Exception as error:  # noqa: BLE001  # of any driver; the next key is still counted
            self._failures.append(f"foreign key {key} not measured: {describe(error)}")
        else:
            self._take(key, counts)

    def _answer(self, key: ForeignKey) -> KeyCounts:
        """The counts of a key from the database."""
        self._engine = self._connection.open(lambda: time.monotonic() < self._end)
        if self._engine is None:
            raise ConnectError("no connection to the host was free in time")
        self._engine.limit_statements(max(1, math.ceil(self._end - time.monotonic())))  # each change is a statement
        few = self._values.missing_numbers((key.table.label, key.column), (key.parent.label, key.parent_column))
        if few and key.fact is not None and key.parents is not None:
            # Looking for a few values takes a tenth of the time that grouping all of them takes.
            orphans = self._engine.count_orphans(key, few)
            return KeyCounts(key.fact.values, orphans, key.parents, key.fact.levels - len(few))
        values, orphans, covered = self._engine.count_values(key)
        place = key.parent.label, key.parent_column
        parents = key.parents if key.parents is not None else self._parents.get(place)
        if parents is None:
            parents = self._parents[place] = self._engine.count_parents(key)
        return KeyCounts(values, orphans, max(parents, covered), covered)  # some may have been added since the pass

    def _compared(self, key: ForeignKey) -> KeyCounts | None:
        """The counts from the values that the pass has kept; None if they do not tell.

        Only counts without orphans are taken from there: a row and its parent may both have been deleted between the
        reading of their tables, and a collation may equate values that differ.
        """
        fact, parents = key.fact, key.parents
        if fact is None or parents is None or not (key.is_parent_unique or fact.kind == INTEGER):
            return None
        missing = self._values.missing((key.table.label, key.column), (key.parent.label, key.parent_column))
        if missing is None or (missing and not key.is_candidate):
            return None
        return KeyCounts(fact.values, missing, parents, fact.levels)

    def _interrupt(self) -> None:
        if self._engine is not None:
            self._engine.interrupt()
