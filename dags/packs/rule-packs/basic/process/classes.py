"""Classes of rules: what rule_content of DATA, SCHEMA, METRICCOMPARE and FRESHNESS means.

Each becomes a condition on a metric, or a law that decides about the objects of a metric.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from asked import ANY, Columns, Compare, Levels, Other, Tables
from rule_error import RuleError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

METRIC, DATA, SCHEMA, COMPARE, FRESHNESS = "METRIQUE", "DATA", "SCHEMA", "METRICCOMPARE", "FRESHNESS"
CLASSES = (METRIC, DATA, SCHEMA, COMPARE, FRESHNESS)
NAMES = {
    **dict.fromkeys(("metrique", "metric", "métrique"), METRIC),
    **{one.lower(): one for one in CLASSES},
}
#: Keys that choose objects, in every class.
CHOOSING = frozenset({"where", "except", "data_type", "key_columns"})
CHANGES = ("new", "dropped", "retyped", "renamed")
MOST_NAMES = 10_000
COMPARISONS = ("==", "<=", ">=")
OTHER = ("endpoint", "date", "version", "table", "column")
LONGEST = 100_000  # days


def read(name: str, content: dict[str, Any], date: dt.date | None) -> tuple[dict[str, Any], Any]:
    """The condition on a metric that a rule_content means, and its law; None: the condition decides.

    Args:
        name: alert_class, one of NAMES' values.
        content: rule_content.
        date: the metric date; None: any.

    Raises:
        RuleError: if it means nothing.
    """
    if name == METRIC:
        return content, None
    reader, keys = _READERS[name]
    unknown = {*content} - CHOOSING - keys
    if unknown or not keys & {*content}:
        raise RuleError(f"rule_content of class {name} may have only {', '.join(sorted(keys | CHOOSING))}")
    meant, law = reader(content, date or dt.date.max)
    return meant | {key: content[key] for key in CHOOSING & {*content}}, law


def _data(content: Mapping[str, Any], _: dt.date) -> tuple[dict[str, Any], Levels]:
    ask = _one_key(content, ("forbidden", "allowed", "required", "new"))
    if ask == "new":
        if content["new"] is not True:
            raise RuleError("new must be true")
        values: tuple[str, ...] = ()
    else:
        values = _texts(content, ask)
    return {"metric": "levels_count", "of": "column"}, Levels(ask, values)


def _schema(content: Mapping[str, Any], _: dt.date) -> tuple[dict[str, Any], Tables | Columns | None]:
    ask = _one_key(content, ("change", "type", "exists", "tables", "columns"))
    if ask != "columns" and "others" in content:
        raise RuleError("others belongs to columns")
    if ask == "tables":
        return {"metric": "tables_count", "of": "version"}, Tables(_texts(content, ask))
    if ask == "columns":
        others = content.get("others", True)
        if not isinstance(others, bool):
            raise RuleError("others must be true or false")
        return {"metric": "columns_count", "of": "table"}, Columns(_columns(content[ask]), allows_others=others)
    of = content.get("of", "column")
    if of not in {"column", "table"} or (ask == "type" and of == "table"):
        raise RuleError("of must be column or table; a type is that of a column")
    if ask == "change":
        changes = _texts(content, ask)
        if {*changes} - {*CHANGES}:
            raise RuleError(f"change must be one of {', '.join(CHANGES)}, or a list of them")
        return {"metric": "schema_change", "of": of, "condition": "in", "conditionValue": [*changes]}, None
    if ask == "type":
        types = [*_texts(content, ask)]
        return {"metric": "data_type", "of": of, "condition": "not like", "conditionValue": types}, None
    if content["exists"] is not False:
        raise RuleError("exists must be false; to ask for tables or columns, name them in tables or columns")
    metric = "table_type" if of == "table" else "data_type"
    return {"metric": metric, "of": of, "condition": "is not null"}, None


def _freshness(content: Mapping[str, Any], date: dt.date) -> tuple[dict[str, Any], None]:
    unit = _one_key(content, ("days", "hours"))
    count = content[unit]
    if isinstance(count, bool) or not isinstance(count, (int, float)) or not 0 <= count <= LONGEST:
        raise RuleError(f"{unit} must be a number from 0 to {LONGEST}")
    try:
        oldest = dt.datetime.combine(date, dt.time.min) - dt.timedelta(**{unit: count})
    except OverflowError:
        raise RuleError(f"{unit} lead to a date before the year 1") from None
    return {"metric": "max_date_var", "of": "column", "condition": "<", "conditionValue": oldest.isoformat(" ")}, None


def _compare(content: Mapping[str, Any], _: dt.date) -> tuple[dict[str, Any], Compare]:
    condition = content.get("condition", "==")
    if condition not in COMPARISONS:
        raise RuleError(f"condition must be one of {', '.join(COMPARISONS)}")
    limits = [content.get(name, 0) for name in ("tolerance", "percent")]
    for one in limits:
        if isinstance(one, bool) or not isinstance(one, (int, float)) or not 0 <= one < float("inf"):
            raise RuleError("tolerance and percent must be numbers from 0 on")
    meant = {name: content[name] for name in ("metric", "of") if name in content}
    return meant, Compare(_other(content.get("with")), condition, *map(float, limits))


def _other(stated: Any) -> Other:
    """The other side of a comparison."""
    if not isinstance(stated, dict) or not stated or {*stated} - {*OTHER}:
        raise RuleError(f"with must be an object with some of {', '.join(OTHER)}")
    texts = {name: stated[name] for name in ("endpoint", "version", "table", "column") if name in stated}
    if not all(isinstance(one, str) and one for one in texts.values()):
        raise RuleError("endpoint, version, table and column of with must be texts")
    if "date" not in stated:
        return Other(**texts)
    if "version" in stated:
        raise RuleError("with has both date and version")
    when = stated["date"]
    if isinstance(when, int) and not isinstance(when, bool) and -LONGEST <= when < 0:
        return Other(**texts, days=when)
    try:
        return Other(**texts, date=dt.date.fromisoformat(when))
    except (TypeError, ValueError):
        raise RuleError("date of with must be a number of days such as -7, or a date such as 2026-01-31") from None


def _one_key(content: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """The only one of these keys."""
    found = [name for name in names if name in content]
    if len(found) != 1:
        raise RuleError(f"rule_content must have exactly one of {', '.join(names)}")
    return found[0]


def _texts(content: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A text, or a list of them, each once."""
    stated = content[name]
    texts = [stated] if isinstance(stated, str) else stated
    if not isinstance(texts, list) or not 1 <= len(texts) <= MOST_NAMES:
        raise RuleError(f"{name} must be a text, or a list of 1 to {MOST_NAMES} texts")
    if any(isinstance(one, (dict, list, bool)) or one is None for one in texts):
        raise RuleError(f"{name} must be a text, or a list of texts")
    return tuple(dict.fromkeys(map(str, texts)))


def _columns(stated: Any) -> tuple[tuple[str, str], ...]:
    """Names of columns, with a pattern for their type; ANY: of any type."""
    is_list = isinstance(stated, list) and all(isinstance(name, str) for name in stated)
    named = dict.fromkeys(stated, ANY) if is_list else stated
    if not isinstance(named, dict) or not 1 <= len(named) <= MOST_NAMES:
        raise RuleError('columns must be a list of names, or an object with a type for each: {"id": "integer"}')
    if not all(name and isinstance(kind, str) and kind for name, kind in named.items()):
        raise RuleError("the type of a column must be a text, a name or a pattern")
    return tuple(named.items())


_READERS: dict[str, tuple[Callable[[Mapping[str, Any], dt.date], tuple[dict[str, Any], Any]], frozenset[str]]] = {
    DATA: (_data, frozenset({"forbidden", "allowed", "required", "new"})),
    SCHEMA: (_schema, frozenset({"change", "type", "exists", "tables", "columns", "of", "others"})),
    COMPARE: (_compare, frozenset({"metric", "of", "with", "condition", "tolerance", "percent"})),
    FRESHNESS: (_freshness, frozenset({"days", "hours"})),
}
