"""The metrics of one column: from its statistics to the values that may be published."""

from __future__ import annotations

import math
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import rounding
from declared import COLUMN, DOUBLE, EXTREME, METRICS, MIDDLE, TIMESTAMP
from privacy import concerns_births, is_birth, is_identifier_like, is_personal
from tables import BOOLEAN, DATE, DATES, INTEGER, NUMBERS, OTHER, TEXT, TIME, Column

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hdm_profile import Newest, Stats
    from settings import Settings

Values = dict[str, Any]  # metric name -> value; None: not defined for this column, or not published

OF_COLUMNS = {metric.name: metric for metric in METRICS if metric.describes == COLUMN}


class _Kind(NamedTuple):
    """The metrics of a kind of columns. With many small tables, most of the time is spent on single metrics."""

    names: tuple[str, ...]  # that are statistics
    stats: Callable[[Stats], tuple[Any, ...]]  # their values
    extremes: tuple[str, ...]  # of these: the numbers that are rounded on request
    moments: tuple[str, ...]

    @classmethod
    def of(cls, kind: str) -> _Kind:
        own = [one for one in OF_COLUMNS.values() if kind in one.kinds]
        return cls(
            names=tuple(one.name for one in own),
            stats=attrgetter(*(one.stat for one in own)) if own else lambda _: (),
            extremes=tuple(one.name for one in own if one.type == DOUBLE and one.reveals is EXTREME),
            moments=tuple(one.name for one in own if one.type == TIMESTAMP),
        )


OF_KINDS = {kind: _Kind.of(kind) for kind in (*NUMBERS, *DATES, TEXT, TIME, BOOLEAN, OTHER)}
# Each of these reveals how many ones a column of zeros and ones has.
REVEALING = tuple(
    name
    for name, one in OF_COLUMNS.items()
    if not one.of_rare_flag and (one.kinds & NUMBERS or (one.is_value and not one.kinds))
)
# Values of individual patients if the numbers identify persons: telephone numbers, insurance numbers.
SINGLE_VALUES = tuple(
    name for name, one in OF_COLUMNS.items() if one.reveals in {MIDDLE, EXTREME} and one.type != TIMESTAMP
)

NEWEST = tuple(name for name in OF_COLUMNS if name.startswith("newest_"))
MAX_CODE_CHARACTERS = 64  # longer texts are not codes, even if unique and without blanks
FEW_LEVELS, MAX_LEVELS = 10, 5000  # of a categorical column, as in the original
MANY_PER_LEVEL = 100
MAX_PERCENT_MISSING = 50
MAX_YEARS = 10_000


def refined(column: Column, stats: Stats) -> Column:
    """The column, as its values show it.

    Returns: an integer if it is declared boolean (tinyint(1), bit(1)) but has values other than 0 and 1. Numbers of
        births may be dates if they are neither years nor weights: 19480312, or seconds since 1970.
    """
    if column.kind in NUMBERS and concerns_births(column) and not _are_years(stats):
        return replace(column, may_be_births=True)
    if column.kind != BOOLEAN or stats.minimum is None or stats.maximum is None:
        return column
    return column if stats.minimum >= 0 and stats.maximum <= 1 else replace(column, kind=INTEGER)


def is_flag(stats: Stats) -> bool:
    """Whether 0 and 1 are its only levels."""
    return (stats.levels, stats.minimum, stats.maximum) == (2, 0, 1)


class NewestRows(NamedTuple):
    """The rows of the newest event day, as one column sees them."""

    rows: int
    column: Newest


def of_column(
    column: Column,
    stats: Stats,
    rows: int,
    settings: Settings,
    *,
    sampled: bool = False,
    newest: NewestRows | None = None,
) -> Values:
    """The metrics of a column, except those that would reveal how few patients have an attribute.

    Args:
        column: with its kind as returned by `refined`.
        stats: of all values, or of the sample.
        rows: number of rows read.
        settings: min_count, round_numbers, round_dates.
        sampled: not all rows were read, so a value that occurs once may occur again in the others.
        newest: of the newest event day, if the table has one.
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
    if newest is not None:
        found.update(_newest(column, stats, newest, settings.min_count))
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
    kind = OF_KINDS[column.kind]
    values = kind.stats(stats)
    if not math.isfinite(sum(filter(None, values))):  # a deviation may leave the range of doubles
        values = tuple(value if value is None or math.isfinite(value) else None for value in values)
    found.update(zip(kind.names, values, strict=True))
    return _published(found, column, stats, settings)


def _newest(column: Column, stats: Stats, newest: NewestRows, min_count: int) -> Values:
    """The metrics of the newest rows alone, unless these are too few."""
    if newest.rows < min_count:
        return {}
    values, count, mean, deviation = newest.column
    found: Values = {"newest_values": values, "newest_na_values": newest.rows - values}
    is_number = column.kind in NUMBERS and not is_personal(column)
    if count < min_count or not (is_number or column.kind == TEXT):
        return found
    others = (stats.finite if is_number else stats.values) - count
    # Together with the mean of all values, this one tells that of the others.
    if 0 < others < min_count or _is_told_by_mean(stats, is_number, mean or 0, count, min_count):
        return found
    return found | {"newest_mean": rounding.finite(mean), "newest_deviation": rounding.finite(deviation)}


def hide_newest(columns: Iterable[Values]) -> None:
    """Remove the metrics of the newest rows: how many these are must not be told."""
    for values in columns:
        for name in NEWEST:
            values.pop(name, None)


def is_binary(stats: Stats) -> bool:
    """Whether there are two levels: their mean tells how often each of them occurs."""
    return stats.levels == 2  # noqa: PLR2004  # as it says


def _is_told_by_mean(stats: Stats, is_number: bool, mean: float, count: int, min_count: int) -> bool:
    """Whether so many values, all of two levels, have few of one of them, as their mean (of texts: length) tells."""
    low, high = (stats.minimum, stats.maximum) if is_number else (stats.shortest, stats.longest)
    if not is_binary(stats) or low is None or high is None or low == high:
        return False
    highs = round((mean - low) / (high - low) * count)
    return 0 < highs < min_count or 0 < count - highs < min_count


def _published(found: Values, column: Column, stats: Stats, settings: Settings) -> Values:
    """The metrics as their declarations say: rounded, and null if they would reveal too much.

    Raises: KeyError, if a metric is not declared.
    """
    if not found.keys() <= OF_COLUMNS.keys():
        raise KeyError(*(found.keys() - OF_COLUMNS.keys()))
    kind, hidden = OF_KINDS[column.kind], set(_single_values(column, stats))
    if is_flag(stats) and _is_rare(stats, settings.min_count):
        hidden.update(REVEALING)
    if stats.clocks < settings.min_count:
        hidden.add("hour_mean")
    if settings.round_numbers:
        for name in kind.extremes:
            found[name] = rounding.significant(found[name], settings.round_numbers)
    for name in kind.moments:
        unit = "year" if is_personal(column) else settings.round_dates
        found[name] = rounding.first_of(rounding.moment(found[name], days=column.kind == DATE), unit)
    found.update((name, None) for name in hidden if name in found)
    return found


def _single_values(column: Column, stats: Stats) -> tuple[str, ...]:
    """The metrics that are values of persons, if the column's numbers identify them; a year of birth does not."""
    if concerns_births(column):
        is_hidden = not _are_years(stats) or (is_personal(column) and not is_birth(column))
    else:
        is_hidden = is_personal(column)
    return SINGLE_VALUES if is_hidden else ()


def _are_years(stats: Stats) -> bool:
    """Whether the numbers may be years or weights in grams, rather than dates such as 19480312."""
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
