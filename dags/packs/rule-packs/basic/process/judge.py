"""From rules and the metrics of one date to alerts."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rules import Rule

# Metrics that are, or may be, values out of the data: an alert does not repeat them.
VALUES = ("min_num_var", "max_num_var", "mean_num_var", "median_num_var", "std_num_var", "min_date_var", "max_date_var")
MOST_NAMED = 5  # objects that one message names

Row = dict[str, Any]  # one row of metric_basic, or of hdm_alerts


@dataclass
class Verdict:
    """What the rules say about one endpoint's metrics of one date."""

    judged: int = 0  # rules that could be judged
    not_evaluated: int = 0  # metric values that were null
    without_metrics: int = 0  # rules whose table or column has no metrics on this date
    alerts: list[Row] = field(default_factory=list)
    errors: dict[int, str] = field(default_factory=dict)  # id_rule -> why it could not be judged


def judge(rows: Iterable[Row], kinds: Mapping[str, str], metrics: list[Row]) -> Verdict:
    """Judge every rule on its own: what one of them raises is its error, and changes nothing for the others.

    Args:
        rows: the rows of rule_basic that apply to the endpoint.
        kinds: the metrics that may be judged, name -> number, text, boolean or date.
        metrics: the rows of metric_basic of the endpoint and date.
    """
    by_table, by_column = defaultdict(list), defaultdict(list)
    for row in metrics:
        by_table[row["table"]].append(row)
        by_column[row["table"], row["column"]].append(row)
    verdict = Verdict()
    for row in rows:
        try:
            rule = rules.parse(row, kinds)
            judged = {"table": by_table[rule.table], "column": by_column[rule.table, rule.column]}
            alerts, nulls = _alerts(rule, judged.get(rule.condition_scope, metrics))
        except rules.RuleError as error:
            verdict.errors[row["id_rule"]] = str(error)
        except Exception as error:  # noqa: BLE001 - one bad rule never affects another
            verdict.errors[row["id_rule"]] = f"it could not be judged: {type(error).__name__}"
        else:
            verdict.judged += 1
            verdict.not_evaluated += nulls
            verdict.without_metrics += not judged.get(rule.condition_scope, metrics)
            verdict.alerts += alerts
    return verdict


def _alerts(rule: Rule, metrics: list[Row]) -> tuple[list[Row], int]:
    """The alerts of one rule, and how many metric values were null."""
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
        "alert_message": f"{rule.message} ({_detail(rule, table, column, rows)})",
        "alert_class": "METRIQUE",
        "alert_scope": rule.alert_scope,
        "rule_id": str(rule.id_rule),
    }


def _detail(rule: Rule, table: str | None, column: str | None, rows: list[Row]) -> str:
    """What was found: the metric of the column, or the names of the first few columns."""
    if column is not None:
        return rule.metric if rule.metric.endswith(VALUES) else f"{rule.metric} = {_shown(rows[0][rule.metric])}"
    names = [row["column"] if table is not None else f"{row['table']}.{row['column']}" for row in rows]
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{rule.metric} of {', '.join(names[:MOST_NAMED])}{more}"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)
