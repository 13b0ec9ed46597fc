"""What breaches say: the object, the observed and the former value, the threshold, and what was found, in words."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import derived
import phrases
import polars as pl
from conditions import EPOCH, RANGES
from figures import figure, plain
from relations import SOURCES
from steps import FORMER

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from conditions import Condition
    from rules import Check

KEYS = frozenset(key for source in SOURCES.values() for key in source.keys)
MAX_LISTED = 10  # values of a list that a limit names
# Operators of a condition that holds, or does not, only for the values that it states
SAME, DIFFERENT = ("==", "in", "like"), ("!=", "not in", "not like")
FOREVER = 2**63 - 1  # microseconds: an infinite date


def placed(of: str, objects: pl.DataFrame, rules: np.ndarray[Any, np.dtype[np.int32]]) -> pl.DataFrame:
    """The rule and the place of each object: rule, dbversion, table, column, other_table, other_column."""
    source = SOURCES[of]
    named = {
        "table": "table",
        "column": "column",
        "other_table": source.other_table,
        "other_column": source.other_column,
    }
    places = {
        name: objects[key] if key in source.keys else pl.repeat(None, objects.height, dtype=pl.String, eager=True)
        for name, key in named.items()
    }
    if "renamed_from" in objects.columns:  # the old name is a place of the breach, too
        other = "other_table" if of == "table" else "other_column"
        places[other] = objects["renamed_from"].replace("", None)
    return pl.DataFrame({"rule": rules, "dbversion": objects["dbversion"], **places})


def described(of: str, check: Check, objects: pl.DataFrame, limits: pl.Series) -> pl.DataFrame:
    """observed, former, threshold and detail of objects that do not meet a condition.

    Values are left out unless the metric is known to be none from the data. The detail says in words what the rule's
    own text does not; it may be empty.
    """
    words = _of_derived if (of, check.metric) in derived.METRICS else _of_stored
    observed, former, detail = words(of, check, objects)
    return pl.DataFrame(
        {"observed": observed, "former": former, "threshold": limits, "detail": _with_place(of, objects, detail)}
    )


def _of_stored(of: str, check: Check, objects: pl.DataFrame) -> tuple[pl.Series, pl.Series, pl.Series]:
    """observed, former and detail of a stored metric: its own value, on both dates if another metric compares them."""
    nothing = pl.repeat(None, objects.height, dtype=pl.String, eager=True)
    phrase = phrases.STORED.get((of, check.metric))
    if not check.is_quotable:
        return nothing, nothing, pl.repeat(phrase or check.metric, objects.height, dtype=pl.String, eager=True)
    values, former = objects[check.metric], nothing
    if check.delta:
        former = shown(values - objects[check.delta], "number")
    phrase = f"{check.metric} = {{now}}" if phrase is None else phrase
    said = phrases.filled(phrase, {"now": shown(values, check.kind, figure)})
    return shown(values, check.kind), former, objects.with_columns(said=said.fill_null(check.metric))["said"]


def _of_derived(of: str, check: Check, objects: pl.DataFrame) -> tuple[pl.Series, pl.Series, pl.Series]:
    """observed, former and detail of a derived metric: the stored metric that it is about, on both dates, and its size.

    It is quoted only if all metrics that it follows from may be.
    """
    about = derived.METRICS[of, check.metric]
    nothing = pl.repeat(None, objects.height, dtype=pl.String, eager=True)
    if not check.is_quotable:
        return nothing, nothing, pl.repeat(phrases.NOT_SHOWN, objects.height, dtype=pl.String, eager=True)
    number = shown(objects[check.metric].cast(pl.Float64).round_sig_figs(3), "number", figure)
    size = phrases.with_unit(number, about.unit)
    values: dict[str, pl.Expr | pl.Series] = {"number": number, "size": size}
    observed, former = nothing, nothing
    if about.shows:
        both = objects[about.shows], objects[f"{about.shows}{FORMER}"]
        observed, former = (shown(one, "number") for one in both)
        values |= {name: shown(one, "number", figure) for name, one in zip(("now", "then"), both, strict=True)}
    said = phrases.filled(phrases.of_derived(check.metric, about.unit, shows=bool(about.shows)), values)
    return observed, former, objects.with_columns(said=said, size=size).select(pl.coalesce("said", "size"))["said"]


def limit(check: Check, condition: Condition) -> str:
    """The limit of a condition, such as `> 100`; "" if it would tell a value of a patient."""
    if _tells(check, condition):
        return ""
    is_not = "" if check.triggers_on else "not "
    if condition.value is None:
        return f"{is_not}{condition.operator}"
    values = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    more = f" and {len(values) - MAX_LISTED} more" if len(values) > MAX_LISTED else ""
    joined = (" and " if condition.compared in RANGES else ", ").join(map(_text, values[:MAX_LISTED]))
    return f"{is_not}{condition.operator} {joined}{more}"


def _tells(check: Check, condition: Condition) -> bool:
    """Whether a breach means that the metric, which may not be quoted, is the limit, or one of a list."""
    is_same = SAME if check.triggers_on else DIFFERENT
    is_one = condition.operator in RANGES and condition.value[0] == condition.value[1]
    return not check.is_quotable and (is_one or condition.operator in is_same)


def shown(values: pl.Series, kind: str, number: Callable[[float], str] = plain) -> pl.Series:
    """Metrics as texts; numbers as `number` writes them."""
    if kind == "text":
        return values
    if kind == "boolean":
        return values.replace_strict([0, 1], ["false", "true"], return_dtype=pl.String)
    if kind == "number" and values.dtype == pl.Int64 and number is plain:
        return values.cast(pl.String)
    unique = values.unique().drop_nulls()
    texts = [_moment(one) if kind == "date" else number(one) for one in unique]
    return values.replace_strict(unique, pl.Series(texts, dtype=pl.String), default=None, return_dtype=pl.String)


def _with_place(of: str, objects: pl.DataFrame, detail: pl.Series) -> pl.Series:
    """With what else than table and column identifies the object, unless it is a value from the data."""
    if of == "day":
        return detail + " on " + objects["day"]
    if of == "number_by_level":
        return "by " + objects["level_column"] + "; " + detail
    if of == "foreign_key":
        return detail + "; they refer to " + objects["parent_table"] + "." + objects["parent_column"]
    return detail


def _text(value: Any) -> str:
    if isinstance(value, dt.datetime):
        return value.isoformat(" ")
    if isinstance(value, bool):
        return str(value).lower()
    return plain(value) if isinstance(value, float) else str(value)


def _moment(microseconds: int) -> str:
    if abs(microseconds) >= FOREVER:
        return "infinity" if microseconds > 0 else "-infinity"
    try:
        return str(EPOCH + dt.timedelta(microseconds=microseconds))
    except OverflowError:
        return "a date outside of the years 1 to 9999"
