"""Turns rules and the metrics of one date into alerts."""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import rules
from rules import FINEST_SCOPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rules import Metric, Rule

MAX_NAMED = 5  # objects listed in one message

Row = dict[str, Any]  # one row of metrics, or of hdm_alerts


@dataclass
class Verdict:
    """The result of judging one endpoint's metrics of one date."""

    judged: int = 0  # number of rules judged
    not_evaluated: int = 0  # metric values that were null
    without_metrics: int = 0  # rules about objects without metrics on this date
    alerts: list[Row] = field(default_factory=list)
    errors: dict[int, str] = field(default_factory=dict)  # id_rule -> why it could not be judged


def read(rows: Iterable[Row], known: Mapping[tuple[str, str], Metric]) -> tuple[list[Rule], Verdict]:
    """Parse each rule separately. Return the valid rules, and a verdict with the errors of the others.

    Args:
        rows: the rows of rule_basic that apply to the endpoint.
        known: the metrics that rules may name, by what they describe and name.
    """
    verdict, found = Verdict(), []
    for row in rows:
        with _own_error(verdict, row["id_rule"]):
            found.append(rules.parse(row, known))
    return found, verdict


def judge(found: Iterable[Rule], metrics: Mapping[str, list[Row]], verdict: Verdict) -> None:
    """Judge each rule separately: an exception becomes the error of that rule and does not affect the others.

    Args:
        found: the rules.
        metrics: the endpoint's rows of the date, by what they describe, with the metrics that the rules name.
        verdict: receives the results.
    """
    by_place: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for of, rows in metrics.items():
        for row in rows:
            by_place[of, row.get("table", "")].append(row)
            by_place[of, row.get("table", ""), row.get("column", "")].append(row)
    for rule in found:
        places = {"table": (rule.of, rule.table), "column": (rule.of, rule.table, rule.column)}
        place = places.get(rule.condition_scope)
        judged = metrics.get(rule.of, []) if place is None else by_place[place]
        with _own_error(verdict, rule.id_rule):
            alerts, nulls = _alerts(rule, judged)
            verdict.judged += 1
            verdict.not_evaluated += nulls
            verdict.without_metrics += not judged
            verdict.alerts += alerts


@contextmanager
def _own_error(verdict: Verdict, id_rule: int) -> Iterator[None]:
    """Record an exception as the error of this rule only."""
    try:
        yield
    except rules.RuleError as error:
        verdict.errors[id_rule] = str(error)
    except Exception as error:  # noqa: BLE001  # one bad rule never affects another
        verdict.errors[id_rule] = f"unexpected error: {type(error).__name__}"


def _alerts(rule: Rule, metrics: list[Row]) -> tuple[list[Row], int]:
    """The alerts of one rule, and the number of metric values that were null."""
    violating = [row for row in metrics if row[rule.metric] is not None and rule.violated(row[rule.metric])]
    nulls = sum(row[rule.metric] is None for row in metrics)
    groups: dict[tuple[str | None, str | None], list[Row]] = defaultdict(list)
    for row in violating:
        table = row["table"] if rule.alert_scope in {"table", "column"} else None
        column = row["column"] if rule.alert_scope == "column" else None
        groups[table, column].append(row)
    return [_alert(rule, table, column, rows) for (table, column), rows in groups.items()], nulls


def _alert(rule: Rule, table: str | None, column: str | None, rows: list[Row]) -> Row:
    return {
        "dbversion": rows[0]["dbversion"],
        "table": table,
        "column": column,
        "alert_level": rule.level,
        "alert_message": f"{rule.message} ({_detail(rule, table, rows)})",
        "alert_class": "METRIQUE",
        "alert_scope": rule.alert_scope,
        "rule_id": str(rule.id_rule),
    }


def _detail(rule: Rule, table: str | None, rows: list[Row]) -> str:
    """The metric with its value if the alert is about one object, otherwise with the names of the first few objects.

    The value is left out unless the metric is known to be none from the data.
    """
    if rule.alert_scope == FINEST_SCOPES[rule.of] or "table" not in rows[0]:
        return f"{rule.metric} = {_shown(rows[0][rule.metric])}" if rule.is_quotable else rule.metric
    kept = ("column",) if table is not None else ("table", "column")
    names = [".".join(row[key] for key in kept if key in row) for row in rows]
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return f"{rule.metric} of {', '.join(names[:MAX_NAMED])}{more}"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)
