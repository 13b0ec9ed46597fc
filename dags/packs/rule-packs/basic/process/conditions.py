"""Conditions: an operator and a value of the metric's kind, compared with a whole column of metrics at once."""

from __future__ import annotations

import datetime as dt
import math
import operator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from relations import Metric

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
LEAST, MOST = -(2**63), 2**63 - 1  # of a bigint
EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001  # metrics have no time zone


class ValueKindError(ValueError):
    """The conditionValue does not fit the metric or the operator. The message quotes neither."""


class Condition(NamedTuple):
    """`metric operator value`, on the object that a rule judges."""

    of: str  # what the metric describes
    metric: str
    operator: str  # as written
    value: float | int | str | bool | dt.datetime  # of the metric's kind
    compared: str  # the operator that gives the same result with `threshold`
    threshold: float | int | str  # `value` in the type in which `relations.read` returns the metric

    @property
    def shape(self) -> tuple[str, str, str]:
        """Conditions of one shape differ in their threshold only, and are compared together."""
        return self.of, self.metric, self.compared


def parse(of: str, name: str, metric: Metric, condition: Any, value: Any) -> Condition:
    """A condition on one metric.

    Args:
        of: what the metric describes.
        name: the metric's.
        metric: its kind and type.
        condition: the operator.
        value: conditionValue, as in the JSON of a rule.

    Raises:
        ValueKindError: if operator or value do not fit the metric.
    """
    if not isinstance(condition, str) or condition.strip() not in OPERATORS:
        raise ValueKindError(f"condition must be one of {' '.join(OPERATORS)}")
    compared = condition.strip()
    parsed = _value(value, metric.kind, compared)
    threshold: float | int | str
    if metric.kind == "date":
        threshold = (parsed - EPOCH) // dt.timedelta(microseconds=1)
    elif metric.dtype == pl.Int64:
        compared, threshold = _integral(compared, parsed)
    else:
        threshold = parsed if metric.kind == "text" else float(parsed)
    return Condition(of, name, condition.strip(), parsed, compared, threshold)


def holds(metrics: pl.Series, compared: str, thresholds: Any) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Whether each metric meets the condition. NaN is different from everything, and neither less nor greater.

    Args:
        metrics: as `relations.read` returns them. The result for a null is meaningless.
        compared: the operator.
        thresholds: one for all, or one per metric: a numpy array, or a Series of texts.
    """
    compare = OPERATORS[compared]
    if metrics.dtype == pl.String:
        found: pl.Series = compare(metrics, thresholds)
        return found.fill_null(value=False).to_numpy()
    return np.asarray(compare(metrics.fill_null(0).to_numpy(), thresholds))


def column(thresholds: Sequence[float | int | str]) -> Any:
    """Thresholds of conditions of one shape, for `holds`: a numpy array, or a Series of texts."""
    if isinstance(thresholds[0], str):
        return pl.Series(thresholds, dtype=pl.String)
    return np.asarray(thresholds, dtype=np.float64 if isinstance(thresholds[0], float) else np.int64)


def _integral(compared: str, value: float) -> tuple[str, int]:
    """An operator and a bigint that give the same result for every bigint as the operator and any finite number."""
    low, high = math.floor(value), math.ceil(value)
    never, always = ("<", LEAST), (">=", LEAST)
    if compared in {"==", "!="}:
        if low == high and LEAST <= low <= MOST:
            return compared, low
        return never if compared == "==" else always
    bound = high if compared in {"<", ">="} else low
    if bound > MOST:
        return always if compared in {"<", "<="} else never
    if bound < LEAST:
        return never if compared in {"<", "<="} else always
    return compared, bound


def _value(value: Any, kind: str, compared: str) -> Any:
    """The conditionValue, in the metric's kind."""
    if value is None or isinstance(value, (dict, list)):
        raise ValueKindError("conditionValue is missing, or is not a single value")
    text = str(value).strip()
    if kind == "number":
        return _number(text, is_boolean=isinstance(value, bool))
    if kind == "boolean":
        if text.lower() not in BOOLEANS:
            raise ValueKindError("conditionValue must be true or false for this metric")
        if compared not in {"==", "!="}:
            raise ValueKindError("true and false can be compared only with == and !=")
        return BOOLEANS[text.lower()]
    if kind == "date":
        return _date(text)
    return text


def _number(text: str, *, is_boolean: bool) -> float | int:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if is_boolean or not math.isfinite(number):
        raise ValueKindError("conditionValue must be a number for this metric")
    return int(text) if text.lstrip("+-").isdecimal() else number


def _date(text: str) -> dt.datetime:
    try:
        date = dt.datetime.fromisoformat(text)
    except ValueError:
        date = None
    if date is None or date.tzinfo is not None:
        raise ValueKindError("conditionValue must be a date such as 2026-01-31 for this metric")
    return date
