"""The demo's results: metrics and alerts of the two nights, and whether every planted fault was found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from demo.endpoints import Site
from demo.hospital import PLANTED_FAULTS, PlantedFault
from demo.hospital.hospital import FaultKind

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection

#: The shipped rules that find each kind of fault.
_RULES: dict[FaultKind, set[str]] = {
    "duplicate_key": {"duplicates in key column"},
    "empty_column": {"empty column"},
    "vanished_table": {"dropped table"},
    "changed_type": {"retyped column"},
    "null_jump": {"more nulls"},
    "date_in_future": {"dates in the future", "dates far ahead"},
    "date_in_past": {"dates far back"},
}


@dataclass(frozen=True, kw_only=True)
class Check:
    """Whether an alert of the second night reports one planted fault of one endpoint."""

    endpoint: str
    fault: PlantedFault
    found: bool


def check(base: BaseConnection, sites: Iterable[Site], second: date) -> list[Check]:
    """Search for each planted fault of each endpoint: an alert of the right rule on the right column."""
    alerts = _loud(base, second)
    return [
        Check(
            endpoint=site.endpoint.name,
            fault=fault,
            found=any(_is_about(alert, site.endpoint.slug, fault) for alert in alerts),
        )
        for site in sites
        for fault in PLANTED_FAULTS
    ]


def false_alerts(base: BaseConnection, first: date) -> int:
    """The number of High and Warning alerts of the first night, which are all false: its data is sound."""
    return len(_loud(base, first))


def unexplained_alerts(base: BaseConnection, sites: Iterable[Site], second: date) -> int:
    """The number of High and Warning alerts of the second night beyond one per planted fault."""
    faults = [(site.endpoint.slug, fault) for site in sites for fault in PLANTED_FAULTS]
    alerts = _loud(base, second)
    explained = {
        next((number for number, alert in enumerate(alerts) if _is_about(alert, slug, fault)), None)
        for slug, fault in faults
    }
    return len(alerts) - len(explained - {None})


def show(console: Console, base: BaseConnection, checks: list[Check], second: date) -> None:
    """Print metrics, alerts and planted faults."""
    console.print(_metrics(base))
    console.print(_alerts(base, second))
    console.print(_faults(checks))


def _is_about(alert: dict[str, Any], slug: str, fault: PlantedFault) -> bool:
    return (
        alert["endpoint"] == slug
        and alert["table"] == fault.table
        and fault.column in {None, alert["column"]}
        and alert["rule_name"] in _RULES[fault.kind]
    )


def _loud(base: BaseConnection, night: date) -> list[dict[str, Any]]:
    """The alerts of a night that somebody has to look at: High and Warning."""
    rows = base.execute(
        """SELECT a.endpoint, a."table", a."column", r.rule_name FROM hdm_alerts a
        JOIN rule_basic r ON r.id_rule::text = a.rule_id
        WHERE a."date" = %s AND a.rule_pack = 'basic' AND a.alert_level <> 'Info' ORDER BY a.endpoint, r.id_rule""",
        [night],
    )
    return list(rows.fetchall())


def _metrics(base: BaseConnection) -> Table:
    table = Table("endpoint", "metric date", "tables", "columns", "values", "alerts", title="Metrics")
    rows = base.execute(
        """SELECT m.endpoint, m."date", count(DISTINCT m."table") AS tables, count(*) AS columns,
            sum(m.value_counts) AS values,
            (SELECT count(*) FROM hdm_alerts a WHERE (a.endpoint, a."date") = (m.endpoint, m."date")) AS alerts
        FROM metric_basic m WHERE m.data_type IS NOT NULL GROUP BY m.endpoint, m."date" ORDER BY 1, 2"""
    )
    for row in rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int) else str(value) for value in row.values()))
    return table


def _alerts(base: BaseConnection, second: date) -> Table:
    table = Table("endpoint", "level", "table", "column", "message", title=f"Alerts of {second}")
    rows = base.execute(
        """SELECT "database", alert_level, "table", coalesce("column", '') AS "column", alert_message
        FROM hdm_alerts WHERE "date" = %s ORDER BY 1, 2, 3, 4""",
        [second],
    )
    for row in rows:
        table.add_row(*map(str, row.values()))
    return table


def _faults(checks: list[Check]) -> Table:
    table = Table("endpoint", "planted fault", "where", "found", title="Planted faults")
    for one in checks:
        where = f"{one.fault.table}.{one.fault.column}" if one.fault.column else one.fault.table
        mark = "[green]yes[/]" if one.found else "[red]no[/]"
        table.add_row(one.endpoint, one.fault.kind.replace("_", " "), where, mark)
    return table
