"""Conditions: an operator and values of the metric's kind, compared with a whole column of metrics at once."""

from __future__ import annotations

import datetime as dt
import math
import operator
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from relations import Metric

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
# With two values, a list of values, a list of patterns, or none: the outcome if the metric is among them, or null.
RANGES = {"between": True, "not between": False}
LISTS = {"in": True, "not in": False}
PATTERNS = {"like": True, "not like": False}
NULLS = {"is null": True, "is not null": False}
OPERATORS = (*COMPARISONS, *RANGES, *LISTS, *PATTERNS, *NULLS)
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
LEAST, MOST = -(2**63), 2**63 - 1  # of a bigint
MOST_LISTED = 10_000  # values of `in`
EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001  # metrics have no time zone


class ValueKindError(ValueError):
    """The conditionValue does not fit the metric or the operator. The message quotes neither."""


class Condition(NamedTuple):
    """`metric operator value`, on the object that a rule judges."""

    of: str  # what the metric describes
    metric: str
    operator: str  # as written
    value: Any  # of the metric's kind: float | int | str | bool | datetime, a tuple of them, or None
    compared: str  # the operator that gives the same result with `bounds` and `listed`
    bounds: tuple[float | int | str, ...] = ()  # of a comparison or range, in the metric's type in `relations.read`
    listed: tuple[float | int | str, ...] = ()  # values of `in`, likewise; patterns of `like`

    @property
    def shape(self) -> tuple[Any, ...]:
        """Conditions of one shape differ in their bounds only, and are compared together."""
        return self.of, self.metric, self.compared, self.listed

    @property
    def asks_for_null(self) -> bool:
        """Whether it is about metrics that have no value."""
        return self.compared in NULLS


def parse(of: str, name: str, metric: Metric, condition: Any, value: Any) -> Condition:
    """A condition on one metric.

    Args:
        of: what the metric describes.
        name: the metric's.
        metric: its kind and type.
        condition: the operator.
        value: conditionValue, as in the JSON of a rule: one value, two for a range, several for a list, or none.

    Raises:
        ValueKindError: if operator or value do not fit the metric.
    """
    written = " ".join(condition.lower().split()) if isinstance(condition, str) else ""
    if written not in OPERATORS:
        raise ValueKindError(f"condition must be one of {', '.join(OPERATORS)}")
    if written in NULLS:
        if value is not None:
            raise ValueKindError(f"{written} takes no conditionValue")
        return Condition(of, name, written, None, written)
    if written in COMPARISONS:
        parsed = _value(value, metric.kind, written)
        if metric.dtype == pl.Int64 and metric.kind != "date":
            compared, bound = _integral(written, parsed)
            return Condition(of, name, written, parsed, compared, (bound,))
        return Condition(of, name, written, parsed, written, (_stored(parsed, metric),))
    if written in PATTERNS and metric.kind != "text":
        raise ValueKindError(f"{written} needs a metric that is a text")
    values = _values(value, metric.kind, written)
    if written in PATTERNS:
        return Condition(of, name, written, values, written, (), tuple(sorted({*values})))
    if written in LISTS:
        return Condition(of, name, written, values, written, (), _listed(values, metric))
    return Condition(of, name, written, values, written, _range(values, metric))


def holds(
    metrics: pl.Series, compared: str, bounds: Sequence[Any] = (), listed: tuple[float | int | str, ...] = ()
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Whether each metric meets the condition. NaN is different from everything, and neither less nor greater.

    Args:
        metrics: as `relations.read` returns them. The result for a null is meaningless, except if it is asked for.
        compared: the operator.
        bounds: of the condition; each one for all, or one per metric: a numpy array, or a Series of texts.
        listed: of the condition.
    """
    if compared in NULLS:
        return np.asarray(metrics.is_null().to_numpy() == NULLS[compared])
    if compared in LISTS:
        found = metrics.is_in(pl.Series(listed, dtype=metrics.dtype).implode()).fill_null(value=False).to_numpy()
        return np.asarray(found == LISTS[compared])
    if compared in PATTERNS:
        matching = f"(?i){'|'.join(expression(str(one)) for one in listed)}"
        return np.asarray(metrics.str.contains(matching).fill_null(value=False).to_numpy() == PATTERNS[compared])
    if compared in RANGES:
        low, high = bounds
        return np.asarray((_compared(metrics, ">=", low) & _compared(metrics, "<=", high)) == RANGES[compared])
    return _compared(metrics, compared, bounds[0])


def expression(pattern: str) -> str:
    """The regular expression of a pattern, for polars: case sensitive, for the whole text."""
    return rf"(?s:\A{_translated(pattern)}\z)"


def matches(pattern: str, name: str) -> bool:
    """Whether a pattern matches a whole name."""
    return re.fullmatch(_translated(pattern), name, re.DOTALL) is not None


def _translated(pattern: str) -> str:
    parts = {"*": ".*", "?": "."}
    return "".join(parts.get(one) or re.escape(one) for one in pattern)


def column(bounds: Sequence[float | int | str]) -> Any:
    """Bounds of conditions of one shape, for `holds`: a numpy array, or a Series of texts."""
    if isinstance(bounds[0], str):
        return pl.Series(bounds, dtype=pl.String)
    return np.asarray(bounds, dtype=np.float64 if isinstance(bounds[0], float) else np.int64)


def _compared(metrics: pl.Series, compared: str, bound: Any) -> np.ndarray[Any, np.dtype[np.bool_]]:
    compare = COMPARISONS[compared]
    if metrics.dtype == pl.String:
        found: pl.Series = compare(metrics, bound)
        return found.fill_null(value=False).to_numpy()
    return np.asarray(compare(metrics.fill_null(0).to_numpy(), bound))


def _stored(value: Any, metric: Metric) -> float | int | str:
    """A value in the type in which `relations.read` returns the metric."""
    if metric.kind == "date":
        return int((value - EPOCH) // dt.timedelta(microseconds=1))
    return str(value) if metric.kind == "text" else float(value)


def _range(values: tuple[Any, ...], metric: Metric) -> tuple[float | int | str, ...]:
    """Both ends, which belong to it; of whole numbers the least and the greatest."""
    if len(values) != 2:  # noqa: PLR2004  # both ends
        raise ValueKindError("a range has two values: [least, greatest]")
    if values[0] > values[1]:
        raise ValueKindError("the least value of a range must not be greater than the greatest")
    if metric.dtype != pl.Int64 or metric.kind == "date":
        return tuple(_stored(one, metric) for one in values)
    low, high = max(math.ceil(values[0]), LEAST), min(math.floor(values[1]), MOST)
    return (low, high) if low <= high else (1, 0)


def _listed(values: tuple[Any, ...], metric: Metric) -> tuple[float | int | str, ...]:
    """The values that the metric can have, each once, in order."""
    if metric.dtype == pl.Int64 and metric.kind != "date":
        whole = (int(one) for one in values if one == math.floor(one))
        return tuple(sorted({one for one in whole if LEAST <= one <= MOST}))
    if metric.kind == "boolean":
        return tuple(sorted({int(one) for one in values}))
    return tuple(sorted({_stored(one, metric) for one in values}))


def _values(value: Any, kind: str, compared: str) -> tuple[Any, ...]:
    """The conditionValue of a range or list, in the metric's kind."""
    if isinstance(value, str) and compared in PATTERNS:
        value = [value]
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_LISTED:
        raise ValueKindError(f"conditionValue of {compared} must be a list of 1 to {MOST_LISTED} values")
    if kind == "boolean" and compared in RANGES:
        raise ValueKindError("true and false can be compared only with ==, !=, in and not in")
    return tuple(_value(one, kind, "==") for one in value)


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
            raise ValueKindError("true and false can be compared only with ==, !=, in and not in")
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
