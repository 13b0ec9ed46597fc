"""What the tests of incidents share: nights written as packs and attempts leave them, and the incidents as stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from hdm_airflow.base import incident_actions, incidents, runs
from hdm_airflow.base.hook import BaseConnection
from tests.integration.incident_model import Act, Event, Key, Night, State
from tests.integration.test_whole import SLUGS, attempt, write

FIRST = date(2024, 5, 1)
HEART = SLUGS[0]
DELETE = 'DELETE FROM {} WHERE rule_pack = %s AND endpoint = %s AND "date" = %s'
ALERT = """INSERT INTO hdm_alerts (rule_pack, endpoint, "date", rule_id, "table", "column", alert_level, alert_message)
VALUES (%s, %s, %s, nullif(%s, ''), nullif(%s, ''), nullif(%s, ''), %s, 'message')"""
NOT_JUDGED = """INSERT INTO hdm_not_judged (rule_pack, endpoint, "date", rule_id, "table", "column", kind, reason)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"""
TABLES = ("hdm_incident", "hdm_incident_event", "hdm_incident_count")


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


@dataclass
class Pack:
    """A rule pack in a base."""

    base: BaseConnection
    name: str = "basic"
    reopen_days: int = 7

    def activate(self, *slugs: str) -> None:
        for slug in slugs:
            self.base.execute("INSERT INTO hdm_core_table_corr_db_rp VALUES (%s, %s)", [self.name, slug])

    def judge(self, when: date, night: Night, slug: str = HEART) -> None:
        """Write a night: what the pack writes, if it ran, in one transaction, then the row of the ledger."""
        if night.status != "skipped":
            self.write(when, night, slug)
        write(self.base, attempt(self.name, when, "rule"), slug, night.status, night.incomplete)  # type: ignore[arg-type]  # as the ledger has it

    def write(self, when: date, night: Night, slug: str = HEART) -> None:
        """Write what the pack writes."""
        with self.base.transaction(), self.base.cursor() as cursor:
            for table in ("hdm_alerts", "hdm_not_judged"):
                cursor.execute(DELETE.format(table).encode(), [self.name, slug, when])
            cursor.executemany(ALERT, [[self.name, slug, when, *key, level] for key, level in night.alerts.items()])
            cursor.executemany(
                NOT_JUDGED, [[self.name, slug, when, *key, *why] for key, why in night.not_judged.items()]
            )

    def start(self, when: date, slug: str) -> dict[str, int]:
        """An attempt begins; `close` ends it."""
        ids = runs.reserve(self.base, [slug])
        runs.start(self.base, attempt(self.name, when, "rule"), ids)
        return ids

    def close(self, ids: Mapping[str, int], when: date, night: Night) -> None:
        outcomes = [
            runs.Outcome(endpoint=slug, status=night.status, incomplete=night.incomplete)  # type: ignore[arg-type]  # as the ledger has it
            for slug in ids
        ]
        runs.close(self.base, attempt(self.name, when, "rule"), ids, outcomes)

    def derive(self) -> incidents.Derived:
        return incidents.derive(self.base, self.name, reopen_days=self.reopen_days)

    def states(self, slug: str = HEART) -> dict[Key, State]:
        rows = self.base.execute(
            """SELECT rule_id, "table", "column", state, closed_as, level, first_on, opened_on, ended_on,
            not_judged_since, last_on FROM hdm_incident WHERE rule_pack = %s AND endpoint = %s""",
            [self.name, slug],
        )
        cells = (list(row.values()) for row in rows)
        return {(rule, table, column): State(*more) for rule, table, column, *more in cells}

    def events(self, slug: str = HEART) -> dict[Key, list[Event]]:
        """Derived events per incident, in their order, without those that were withdrawn."""
        history = self.history(slug)
        return {key: found for key in history if (found := [one for one in history[key] if not one.withdrawn])}

    def history(self, slug: str = HEART) -> dict[Key, list[Event]]:
        """Derived events per incident, in their order."""
        rows = self.base.execute(
            """SELECT rule_id, "table", "column", event."date", kind, event.state, event.closed_as, event.level,
                event.opened_on, event.not_judged_since, event.last_on, detail, silent, withdrawn
            FROM hdm_incident JOIN hdm_incident_event AS event ON event.incident = hdm_incident.id
            WHERE rule_pack = %s AND endpoint = %s AND actor IS NULL
            ORDER BY event."date", array_position(
                ARRAY['opened', 'reopened', 'level', 'judged', 'not judged', 'resolved', 'closed'], kind
            )""",
            [self.name, slug],
        )
        found: dict[Key, list[Event]] = {}
        for rule, table, column, *more in (row.values() for row in rows):
            found.setdefault((rule, table, column), []).append(Event(*more))
        return found

    def acts(self, slug: str = HEART) -> dict[Key, list[Act]]:
        """Who closed or accepted an incident, in the order in which they did."""
        rows = self.base.execute(
            """SELECT rule_id, "table", "column", event."date", event.closed_as, event.level, event.opened_on,
                event.last_on, withdrawn
            FROM hdm_incident JOIN hdm_incident_event AS event ON event.incident = hdm_incident.id
            WHERE rule_pack = %s AND endpoint = %s AND actor IS NOT NULL AND kind IN ('closed', 'accepted')
            ORDER BY event.id""",
            [self.name, slug],
        )
        found: dict[Key, list[Act]] = {}
        for rule, table, column, *more in (row.values() for row in rows):
            found.setdefault((rule, table, column), []).append(Act(*more))
        return found

    def counts(self, slug: str = HEART) -> dict[date, dict[str, dict[str, int]]]:
        """Per date and level."""
        found: dict[date, dict[str, dict[str, int]]] = {}
        query = "SELECT * FROM hdm_incident_count WHERE rule_pack = %s AND endpoint = %s"
        for row in self.base.execute(query, [self.name, slug]):
            values = {name: row[name] for name in list(row)[4:]}
            found.setdefault(row["date"], {})[row["level"]] = values
        return found

    def people(self, slug: str, key: Key, kind: str, closed_as: str, when: date) -> None:
        """Somebody closes or accepts an open incident, with this metric date at hand."""
        query = """SELECT id FROM hdm_incident
            WHERE rule_pack = %s AND endpoint = %s AND (rule_id, "table", "column") = (%s, %s, %s)"""
        ids = [row["id"] for row in self.base.execute(query, [self.name, slug, *key])]
        act = incident_actions.accept if kind == "accepted" else incident_actions.close
        assert act(self.base, ids, actor="ada") == 1
        state = self.states(slug)[key]
        assert (state.closed_as, state.ended_on) == (closed_as, when)


def versions(base: BaseConnection) -> list[Any]:
    """The transaction and place of every row of incidents, per table: the same if nothing was written."""
    query = "SELECT string_agg(xmin || ' ' || ctid, ',' ORDER BY ctid) AS rows FROM {}"
    found = [base.execute(query.format(table).encode()).fetchone() for table in (*TABLES, "hdm_pack_run")]
    return [row and row["rows"] for row in found]
