"""The metrics of one table's columns: aggregates in one query, frequencies and medians in one per column."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tables import (
    BOOLEAN,
    DATES,
    INTEGER,
    MOST_CODE_CHARACTERS,
    MOST_LEVEL_BLANKS,
    MOST_LEVEL_CHARACTERS,
    NUMBERS,
    OTHER,
    TEXT,
    Column,
    Table,
    is_identifier_like,
)

if TYPE_CHECKING:
    from dialects.dialect import Dialect

# PostgreSQL takes 1,664 expressions in a query; a column needs 6 at most.
COLUMNS_PER_QUERY = 100

Values = dict[str, Any]  # metric name -> value; None = not defined for this column


class TableMetrics:
    """What was measured of one table: per column its metrics, and how its texts look."""

    def __init__(self, table: Table, rows: int) -> None:
        self.table = table
        self.rows = rows
        self.columns: dict[str, Values] = {}  # by column name
        self.free_text: set[str] = set()  # text columns with sentences in them


def measure(dialect: Dialect, table: Table, date: dt.date, *, wide: bool) -> TableMetrics:
    """Measure every column of a table, in the transaction that is open.

    Args:
        dialect: the connection.
        table: the table, its kinds refined by `dialect.kinds`.
        date: the metric date; later dates are future ones.
        wide: compute in a type that cannot overflow, several times slower.

    Raises: OverflowInDatabaseError when the squares of the values are too large (not `wide`), and what the driver
        raises when the table cannot be read.
    """
    found = _Aggregates(dialect, table, date, wide=wide)
    result = TableMetrics(table, found.rows)
    for column in table.columns:
        aggregates = found.of(column)
        values = _counts(column, aggregates["values"], found.rows)
        if column.kind != OTHER:
            values |= _frequencies(dialect, table, column)
        if column.kind in NUMBERS:
            median = _median(dialect, table, column, aggregates["numbers"], wide=wide)
            values |= _number_metrics(aggregates) | {"median_num_var": median}
        if column.kind in DATES:
            values |= {
                "min_date_var": _moment(aggregates["first"]),
                "max_date_var": _moment(aggregates["last"]),
                "future_dates": int(aggregates["future"] or 0),
            }
        if column.kind == BOOLEAN:
            true_count = int(aggregates["true"] or 0)
            values |= {"true_count": true_count, "false_count": aggregates["values"] - true_count}
        values |= _nature(column, values, aggregates, found.rows)
        if column.kind == TEXT and _is_free_text(aggregates):
            result.free_text.add(column.name)
        result.columns[column.name] = values
    return result


class _Aggregates:
    """Everything about a table that one pass answers."""

    def __init__(self, dialect: Dialect, table: Table, date: dt.date, *, wide: bool) -> None:
        self.rows = 0
        self._found: dict[str, Values] = {}
        tomorrow = (date + dt.timedelta(days=1)).isoformat()
        chunks = range(0, len(table.columns), COLUMNS_PER_QUERY) or range(1)
        for start in chunks:
            columns = table.columns[start : start + COLUMNS_PER_QUERY]
            expressions = [
                (c.name, key, sql) for c in columns for key, sql in _expressions(dialect, table, c, wide=wide)
            ]
            futures = [tomorrow] * sum(key == "future" for _, key, _ in expressions)
            selected = ", ".join(["count(*)", *(sql for _, _, sql in expressions)])
            (row,) = dialect.fetch(f"SELECT {selected} FROM {dialect.path(table)}", *futures)
            self.rows = int(row[0])
            for (name, key, _), value in zip(expressions, row[1:], strict=True):
                self._found.setdefault(name, {})[key] = value

    def of(self, column: Column) -> Values:
        return self._found[column.name]


def _expressions(dialect: Dialect, table: Table, column: Column, *, wide: bool) -> list[tuple[str, str]]:
    source = dialect.quote(column.name)
    found = [("values", f"count({source})")]
    if column.kind in NUMBERS:
        number = dialect.number(source, column, wide=wide)
        found += [
            ("numbers", f"count({number})"),
            ("min", f"min({number})"),
            ("max", f"max({number})"),
            ("mean", dialect.mean(number)),
            ("variance", dialect.variance(number, dialect.path(table))),
        ]
    if column.kind == TEXT:
        text = dialect.text(source, column)
        length = dialect.length(text)
        without_blanks = dialect.length(f"replace({text}, ' ', '')")
        found += [("length", f"max({length})"), ("blanks", f"max({length} - {without_blanks})")]
    if column.kind in DATES:
        instant = dialect.instant(source, column)
        future = f"sum(CASE WHEN {dialect.future(source, column)} THEN 1 ELSE 0 END)"
        found += [("first", f"min({instant})"), ("last", f"max({instant})"), ("future", future)]
    if column.kind == BOOLEAN:
        found.append(("true", f"sum(CASE WHEN {dialect.truth(source, column)} THEN 1 ELSE 0 END)"))
    return found


def _counts(column: Column, values: int, rows: int) -> Values:
    return {
        "data_type": column.data_type,
        "infered_data_type": column.kind,
        "key_constraint": column.key_constraint,
        "value_counts": values,
        "na_values": rows - values,
        "percent_na_values": 100 * (rows - values) / rows if rows else None,
    }


def _frequencies(dialect: Dialect, table: Table, column: Column) -> Values:
    source = dialect.quote(column.name)
    rows = dialect.fetch(
        "SELECT count(*) OVER (), frequency FROM ("
        f"SELECT count(*) AS frequency FROM {dialect.path(table)} WHERE {source} IS NOT NULL"
        f" GROUP BY {dialect.group(source, column)}) AS grouped ORDER BY frequency DESC LIMIT 3"
    )
    levels = int(rows[0][0]) if rows else 0
    first, second, third = [*(int(row[1]) for row in rows), 0, 0, 0][:3]
    return {
        "levels_count": levels,
        "highest_frequency": first,
        "sndHighestFrequency": second,
        "thrdHighestFrequency": third,
        "ratio_level_frequency": first / levels if levels else None,
    }


def _median(dialect: Dialect, table: Table, column: Column, numbers: int, *, wide: bool) -> float | None:
    if not numbers:
        return None
    number = dialect.number(dialect.quote(column.name), column, wide=wide)
    count, skipped = (1, numbers // 2) if numbers % 2 else (2, numbers // 2 - 1)
    rows = dialect.fetch(
        f"SELECT {number} AS number FROM {dialect.path(table)} WHERE {number} IS NOT NULL"
        f" ORDER BY 1 LIMIT {count} OFFSET {skipped}"
    )
    middle = [row[0] for row in rows]
    if isinstance(middle[0], float):
        return _finite(math.fsum(value / count for value in middle))  # the sum of two large ones is no double
    return _finite(sum(middle) / count)


def _number_metrics(aggregates: Values) -> Values:
    variance = aggregates["variance"]
    if aggregates["numbers"] < 2 or variance is None:  # noqa: PLR2004 - a sample of one does not vary
        deviation = None
    else:
        deviation = variance.sqrt() if isinstance(variance, Decimal) else math.sqrt(max(variance, 0.0))
    return {
        "min_num_var": _finite(aggregates["min"]),
        "max_num_var": _finite(aggregates["max"]),
        "mean_num_var": _finite(aggregates["mean"]),
        "std_num_var": _finite(deviation),
    }


def _nature(column: Column, values: Values, aggregates: Values, rows: int) -> Values:
    """is_key and is_categorical. Source: HDM; what is called a key is narrower (see Readme)."""
    levels = values.get("levels_count")
    if levels is None:
        return {"is_key": False, "is_categorical": False}
    unique = rows > 0 and values["na_values"] == 0 and values["highest_frequency"] == 1
    declared = column.key_constraint in {"primary", "unique"}
    is_key = unique and (declared or (rows > 1 and is_identifier_like(column) and _is_code(column, aggregates)))
    few = levels < 10 and (values["percent_na_values"] or 0) < 50  # noqa: PLR2004 - HDM's numbers
    crowded = (values["ratio_level_frequency"] or 0) > 100 and levels < 5000  # noqa: PLR2004
    return {"is_key": is_key, "is_categorical": levels > 0 and not is_key and (few or crowded)}


def _is_code(column: Column, aggregates: Values) -> bool:
    """Whether the values look like what people number things with."""
    if column.kind == INTEGER:
        return True
    return column.kind == TEXT and aggregates["blanks"] == 0 and aggregates["length"] <= MOST_CODE_CHARACTERS


def _is_free_text(aggregates: Values) -> bool:
    longest, blanks = aggregates["length"] or 0, aggregates["blanks"] or 0
    return longest > MOST_LEVEL_CHARACTERS or blanks > MOST_LEVEL_BLANKS


def _finite(value: Any) -> float | None:
    if value is None:
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def _moment(value: Any) -> dt.datetime | None:
    """A date or datetime, as the driver gives it, as a datetime; MySQL's impossible dates as None."""
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, dt.datetime):
        return value
    return dt.datetime.combine(value, dt.time()) if value is not None else None
