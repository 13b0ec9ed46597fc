"""Measuring: metric pack basic on the sound and faulty nights of a data set that are not in the cache."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg

from benchmarks.faults import hdm_base
from benchmarks.faults.cache import Cache, packed, unpacked
from benchmarks.faults.data.dataset import Change, DataSet, Load, Row, event_day, metric_date
from benchmarks.faults.endpoints import Endpoint
from benchmarks.faults.kinds import Fault, Plan, Site

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.faults.pack_host import PackHost
    from demo.services import Database, Postgres

TRIES = 8  # places that are tried for one fault
INERT = (psycopg.Error, sqlite3.Error)  # the place does not take the fault: a constraint, a length


class NoEffectError(Exception):
    """The fault changes too few rows at this place."""


@dataclass
class Measuring:
    """One data set, its endpoint and base."""

    dataset: DataSet
    cache: Cache
    server: Postgres
    folder: Path  # of SQLite files
    pack: PackHost  # metric pack basic
    _counts: dict[int, dict[str, int]] = field(default_factory=dict)
    _answers: dict[int, dict[str, list[Any]]] = field(default_factory=dict)

    def ensure(self, nights: int, faults: dict[int, list[Fault]]) -> None:
        """Measure what the cache lacks.

        Args:
            nights: sound nights from the first.
            faults: by the number of sound nights before them.
        """
        wanted = {k: [one for one in chosen if self.cache.get(key(one, k)) is None] for k, chosen in faults.items()}
        lacking = [night for night in range(1, nights + 1) if self.cache.get(f"night-{night}") is None]
        last = max([*lacking, *(k for k, chosen in wanted.items() if chosen)], default=0)
        if not last:
            return
        name = self.dataset.name
        endpoint = Endpoint(self.server, self.folder, name, f"ds_{name}", self.dataset.is_sqlite)
        endpoint.create()
        base = self.server.create_database(f"measured_{name}", template=hdm_base.TEMPLATE)
        with endpoint.connect() as connection:
            self.dataset.create(Load(connection, None))
        for night in range(1, nights + 1):
            with endpoint.connect() as connection:
                load = Load(connection, None)
                self.dataset.night(load, event_day(night))
            known = self.cache.get(f"night-{night}")
            if known:
                hdm_base.import_metrics(base, unpacked(known["metrics"]))
            else:
                content = {"loaded": load.counts, "metrics": packed(self._measured(base, endpoint, night))}
                self.cache.put(f"night-{night}", content)
            if wanted.get(night):
                checkpoint = hdm_base.Checkpoint(base, metric_date(night), is_measured=True)
            for fault in wanted.get(night, []):
                self._fault(fault, night, base, endpoint)
                checkpoint.restore()
            if night >= last:
                break
        endpoint.drop()
        self.server.drop_database(base.name)

    def _measured(self, base: Database, endpoint: Endpoint, night: int) -> hdm_base.Snapshot:
        date = metric_date(night)
        self.pack.run(base, date, endpoint.context())
        return hdm_base.export_metrics(base, date, self.dataset.name)

    def _fault(self, fault: Fault, k: int, base: Database, endpoint: Endpoint) -> None:
        """Plant and measure one fault after k sound nights; what is kept says if it does not apply."""
        content: dict[str, Any] = {"applies": False}
        for plan in self._plans(fault, k, endpoint):
            branch = endpoint.branch(f"{endpoint.name}_fault")
            try:
                self._plant(plan, branch, k + 1)
                measured = [packed(self._measured(base, branch, k + 1))]
                for night in range(k + 2, k + 1 + fault.nights):
                    with branch.connect() as connection:
                        self.dataset.night(Load(connection, _change(plan, [])), event_day(night))
                    measured.append(packed(self._measured(base, branch, night)))
            except (*INERT, NoEffectError):
                continue
            finally:
                branch.drop()
            content = {
                "applies": True,
                "table": plan.table,
                "column": plan.column,
                "also": plan.also,
                "about": plan.about,
                "metrics": measured,
            }
            break
        self.cache.put(key(fault, k), content)

    def _plans(self, fault: Fault, k: int, endpoint: Endpoint) -> list[Plan]:
        with endpoint.connect() as connection:
            random = self.dataset.random("fault", fault.name, k)
            site = Site(
                self.dataset, random, connection, self._loaded(k + 1, endpoint), self._answers.setdefault(k, {})
            )
            found = [plan for plan, _ in zip(fault.planner(site), range(TRIES), strict=False)]
            connection.rollback()
        return found

    def _loaded(self, night: int, endpoint: Endpoint) -> dict[str, int]:
        """The rows that a night loads: it follows from the calendar from which tables rows can go missing."""
        if night not in self._counts:
            with endpoint.connect() as connection:
                load = Load(connection, None)
                self.dataset.night(load, event_day(night))
                connection.rollback()
            self._counts[night] = load.counts
        return self._counts[night]

    def _plant(self, plan: Plan, branch: Endpoint, night: int) -> None:
        with branch.connect() as connection:
            altered: list[int] = []
            load = Load(connection, _change(plan, altered))
            self.dataset.night(load, event_day(night))
            if plan.change and sum(altered) < plan.least // 2:  # a part of the rows, or their columns, may stay
                connection.rollback()
                raise NoEffectError
            for statement in plan.statements:
                load.engine.run(statement)
                if plan.least and load.engine.cursor.rowcount < plan.least:
                    connection.rollback()
                    raise NoEffectError


def _change(plan: Plan, altered: list[int]) -> Change | None:
    """What the plan does to rows on their way; `altered` receives the numbers of rows that it alters."""
    if plan.change is None:
        return None
    own = plan.change

    def change(table: str, rows: list[Row]) -> list[Row]:
        if table != plan.table:
            return rows
        found = own(rows)
        altered.append(abs(len(found) - len(rows)) + sum(a != b for a, b in zip(rows, found, strict=False)))
        return found

    return change


def key(fault: Fault, k: int) -> str:
    """The cache's name for a fault after k sound nights."""
    return f"fault-{fault.name}-{fault.digest}-{k}"
