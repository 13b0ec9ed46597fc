"""Conditional rules: parses and validates the rows of rule_basic."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
import math
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
LEVELS = {"high": "High", "warning": "Warning", "info": "Info"}
SCOPES = ("all", "database", "table", "column")
# What a metric may describe, finest first -> the finest scope of an alert on it.
FINEST_SCOPES = {"column": "column", "table": "table", "version": "database", "database": "database"}
TRIGGERS = {"returntrue": True, "returnfalse": False}
TYPES = ("conditionnelle", "conditional")
CLASSES = ("metrique", "metric", "métrique")
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


class RuleError(ValueError):
    """The rule cannot be judged. The message says why and quotes only names."""


class Metric(NamedTuple):
    """A metric that rules may name."""

    kind: str  # number, text, boolean or date
    relation: str  # the table or view that holds it
    is_quotable: bool = False  # known to be no value from the data, so alerts may quote it


@dataclass(frozen=True)
class Rule:
    """A rule that can be judged."""

    id_rule: int
    level: str
    message: str
    alert_scope: str
    condition_scope: str
    table: str  # "" unless condition_scope needs it
    column: str
    of: str  # what the metric describes: column, table, version or database
    metric: str
    relation: str
    is_quotable: bool  # alerts may quote the metric
    condition: str
    value: Any  # of the metric's type
    triggers_on: bool  # the outcome of the condition that raises the alert

    def violated(self, metric: Any) -> bool:
        """Whether a metric raises the alert. It must not be None, and has the type of `value`."""
        return OPERATORS[self.condition](metric, self.value) is self.triggers_on


def parse(row: Mapping[str, Any], metrics: Mapping[tuple[str, str], Metric]) -> Rule:
    """Parse one row of rule_basic.

    Args:
        row: by column name.
        metrics: the metrics that rules may name, by what they describe and name.

    Raises:
        RuleError: if the rule is malformed.
    """
    if _folded(row, "rule_type") not in TYPES:
        raise RuleError(f"rule_type {row['rule_type']!r} is not supported by this version")
    if _folded(row, "alert_class") not in CLASSES:
        raise RuleError(f"alert_class {row['alert_class']!r} is not supported by this version")
    content = _content(row["rule_content"] or "")
    of, metric, condition = *_named(content, metrics), content.get("condition")
    if not isinstance(condition, str) or condition.strip() not in OPERATORS:
        raise RuleError(f"condition must be one of {' '.join(OPERATORS)}")
    condition_scope = _one_of(row, "condition_scope", SCOPES)
    if SCOPES.index(condition_scope) > SCOPES.index(FINEST_SCOPES[of]):
        raise RuleError(f"condition_scope {condition_scope} is too fine for a metric of a {of}")
    for needed in {"table": ("table",), "column": ("table", "column")}.get(condition_scope, ()):
        if not row[needed]:
            raise RuleError(f"condition_scope {condition_scope} needs the name of a {needed}")
    return Rule(
        id_rule=row["id_rule"],
        level=LEVELS[_one_of(row, "alert_level", tuple(LEVELS))],
        message=(row["alert_message"] or row["rule_name"] or "").strip(),
        alert_scope=min(_one_of(row, "alert_scope", SCOPES), FINEST_SCOPES[of], key=SCOPES.index),
        condition_scope=condition_scope,
        table=row["table"],
        column=row["column"],
        of=of,
        metric=metric,
        relation=metrics[of, metric].relation,
        is_quotable=metrics[of, metric].is_quotable,
        condition=condition.strip(),
        value=_value(content.get("conditionValue"), metrics[of, metric].kind, condition.strip()),
        triggers_on=TRIGGERS[_one_of(row, "condition_trigger", tuple(TRIGGERS))],
    )


def _named(content: dict[str, Any], metrics: Mapping[tuple[str, str], Metric]) -> tuple[str, str]:
    """What the metric describes, and its name: `of` decides, otherwise the finest object with such a metric."""
    metric, of = content.get("metric"), content.get("of")
    if of is not None and of not in FINEST_SCOPES:
        raise RuleError(f"of must be one of {', '.join(FINEST_SCOPES)}")
    for one in FINEST_SCOPES if of is None else (of,):
        if isinstance(metric, str) and (one, metric) in metrics:
            return one, metric
    raise RuleError("rule_content names no known metric" + (f" of a {of}" if of else ""))


def _content(text: str) -> dict[str, Any]:
    """The parsed rule_content: JSON, as the generator writes it, or JSON in base64, as the editor does."""
    if not text.lstrip().startswith("{"):
        try:
            text = base64.b64decode("".join(text.split()), validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            raise RuleError("rule_content is neither JSON nor base64") from None
    try:
        content = json.loads(text)
    except ValueError:
        raise RuleError("rule_content is not valid JSON") from None
    if not isinstance(content, dict):
        raise RuleError("rule_content must be a JSON object with metric, condition and conditionValue")
    return content


def _value(value: Any, kind: str, condition: str) -> Any:
    """The conditionValue, in the metric's type."""
    if value is None or isinstance(value, (dict, list)):
        raise RuleError("conditionValue is missing, or is not a single value")
    text = str(value).strip()
    if kind == "number":
        return _number(text, is_boolean=isinstance(value, bool))
    if kind == "boolean":
        if text.lower() not in BOOLEANS:
            raise RuleError("conditionValue must be true or false for this metric")
        if condition not in {"==", "!="}:
            raise RuleError("true and false can be compared only with == and !=")
        return BOOLEANS[text.lower()]
    if kind == "date":
        try:
            return dt.datetime.fromisoformat(text)
        except ValueError:
            raise RuleError("conditionValue must be a date such as 2026-01-31 for this metric") from None
    return text


def _number(text: str, *, is_boolean: bool) -> float | int:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if is_boolean or not math.isfinite(number):
        raise RuleError("conditionValue must be a number for this metric")
    return int(text) if text.lstrip("+-").isdecimal() else number


def _one_of(row: Mapping[str, Any], name: str, allowed: tuple[str, ...]) -> str:
    value = _folded(row, name)
    if value not in allowed:
        raise RuleError(f"{name} must be one of {', '.join(allowed)}")
    return value


def _folded(row: Mapping[str, Any], name: str) -> str:
    return str(row[name] or "").strip().lower()
