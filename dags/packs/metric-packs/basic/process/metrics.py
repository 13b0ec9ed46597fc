"""The metrics of one column: from its statistics to the values that may be published."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import rounding
from declared import COLUMN, DOUBLE, EXTREME, METRICS, MIDDLE, TIMESTAMP, Metric
from privacy import is_birth, is_identifier_like, is_personal
from tables import BOOLEAN, DATE, DATES, INTEGER, NUMBERS, OTHER, TEXT, Column

if TYPE_CHECKING:
    from hdm_profile import Stats
    from settings import Settings

Values = dict[str, Any]  # metric name -> value; None: not defined for this column, or not published

OF_COLUMNS = {metric.name: metric for metric in METRICS if metric.describes == COLUMN}
OF_KINDS = {kind: [one for one in OF_COLUMNS.values() if kind in one.kinds] for kind in (*NUMBERS, *DATES, TEXT)}
# Each of these reveals how many ones a column of zeros and ones has.
REVEALING = tuple(
    name
    for name, one in OF_COLUMNS.items()
    if not one.of_rare_flag and (one.kinds & NUMBERS or (one.is_value and one.type != TIMESTAMP))
)
# Values of individual patients if the numbers identify persons: telephone numbers, insurance numbers.
SINGLE_VALUES = tuple(
    name for name, one in OF_COLUMNS.items() if one.reveals in {MIDDLE, EXTREME} and one.type != TIMESTAMP
)

MAX_CODE_CHARACTERS = 64  # longer texts are not codes, even if unique and without blanks
FEW_LEVELS, MAX_LEVELS = 10, 5000  # of a categorical column, as in the original
MANY_PER_LEVEL = 100
MAX_PERCENT_MISSING = 50
MAX_YEARS = 10_000


def refined(column: Column, stats: Stats) -> Column:
    """The column; as an integer if it is declared boolean (tinyint(1), bit(1)) but has values other than 0 and 1."""
    if column.kind != BOOLEAN or stats.minimum is None or stats.maximum is None:
        return column
    return column if stats.minimum >= 0 and stats.maximum <= 1 else replace(column, kind=INTEGER)


def of_column(column: Column, stats: Stats, rows: int, settings: Settings, *, sampled: bool = False) -> Values:
    """The metrics of a column, except those that would reveal how few patients have an attribute.

    Args:
        column: with its kind as returned by `refined`.
        stats: of all values, or of the sample.
        rows: number of rows read.
        settings: min_count, round_numbers, round_dates.
        sampled: not all rows were read, so a value that occurs once may occur again in the others.
    """
    missing = rows - stats.values
    found: Values = {
        "data_type": column.data_type,
        "infered_data_type": column.kind,
        "key_constraint": column.key_constraint,
        "value_counts": stats.values,
        "na_values": missing,
        "percent_na_values": 100 * missing / rows if rows else None,
        "is_key": False,
        "is_categorical": False,
    }
    if column.kind == OTHER:
        return _published(found, column, stats, settings)
    found["levels_count"] = stats.levels
    found["highest_frequency"] = stats.first
    found["sndHighestFrequency"] = stats.second
    found["thrdHighestFrequency"] = stats.third
    found["ratio_level_frequency"] = stats.first / stats.levels if stats.levels else None
    found["is_key"] = _is_key(column, stats, rows, sampled=sampled)
    found["is_categorical"] = not found["is_key"] and _is_categorical(stats, found["percent_na_values"])
    if column.kind in NUMBERS:
        found["non_finite_count"] = stats.values - stats.finite
    elif column.kind == BOOLEAN:
        is_shown = not _is_rare(stats, settings.min_count)
        found["true_count"] = stats.values - stats.zeros if is_shown else None
        found["false_count"] = stats.zeros if is_shown else None
    found.update((metric.name, getattr(stats, metric.stat)) for metric in OF_KINDS.get(column.kind, ()))
    return _published(found, column, stats, settings)


def _published(found: Values, column: Column, stats: Stats, settings: Settings) -> Values:
    """The metrics as their declarations say: rounded, and null if they would reveal too much.

    Raises: KeyError, if a metric is not declared.
    """
    hidden: set[str] = set()
    if is_personal(column) and not (is_birth(column) and _are_years(stats)):
        hidden.update(SINGLE_VALUES)
    is_flag = (stats.levels, stats.minimum, stats.maximum) == (2, 0, 1)
    if is_flag and _is_rare(stats, settings.min_count):
        hidden.update(REVEALING)
    return {
        name: None if name in hidden else _rounded(OF_COLUMNS[name], value, column, settings)
        for name, value in found.items()
    }


def _rounded(metric: Metric, value: Any, column: Column, settings: Settings) -> Any:
    if metric.type == TIMESTAMP:
        unit = "year" if is_personal(column) else settings.round_dates
        return rounding.first_of(rounding.moment(value, days=column.kind == DATE), unit)
    if metric.type == DOUBLE:
        return rounding.significant(value, settings.round_numbers if metric.reveals is EXTREME else None)
    return value


def _are_years(stats: Stats) -> bool:
    """Whether the numbers may be years or birth weights, rather than dates such as 19480312 or seconds since 1970."""
    return (stats.minimum or 0) >= 0 and (stats.maximum or 0) < MAX_YEARS


def _is_rare(stats: Stats, min_count: int) -> bool:
    """Whether only few patients have the flag, or only few lack it."""
    return 0 < stats.zeros < min_count or 0 < stats.values - stats.zeros < min_count


def _is_key(column: Column, stats: Stats, rows: int, *, sampled: bool) -> bool | None:
    """Stricter than in the original (see Readme): names and weights are not keys, even if unique. None: unknown."""
    declared = column.key_constraint in {"primary", "unique"}
    if sampled and not declared:
        return None
    unique = rows > 0 and stats.values == rows and stats.first == 1
    if declared:
        return unique
    return unique and rows > 1 and is_identifier_like(column) and _holds_identifiers(column, stats)


def _holds_identifiers(column: Column, stats: Stats) -> bool:
    """Whether the values look like identifiers: integers, codes, uuids."""
    if column.kind == INTEGER:
        return True
    return column.kind == TEXT and stats.blanks == 0 and stats.trimmed <= MAX_CODE_CHARACTERS


def _is_categorical(stats: Stats, percent_missing: float | None) -> bool:
    """Whether a column that is not a key holds categories. Source: HDM is_categorical."""
    few = stats.levels < FEW_LEVELS and (percent_missing or 0) < MAX_PERCENT_MISSING
    crowded = stats.levels < MAX_LEVELS and stats.first > MANY_PER_LEVEL * stats.levels
    return stats.levels > 0 and (few or crowded)
