"""The metrics of one column: from what was counted to what may be published."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import rounding
import suppression
from privacy import is_birth, is_code, is_identifier_like, is_personal
from tables import BOOLEAN, DATE, DATES, INTEGER, NUMBERS, OTHER, TEXT, Column

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hdm_profile import Stats
    from settings import Settings

    Frequencies = Callable[[], Mapping[str, int] | None]  # every level as text; None = too many, or free text

Values = dict[str, Any]  # metric name -> value; None = not defined for this column, or not published

HIGHEST = ("highest_frequency", "sndHighestFrequency", "thrdHighestFrequency")
# Of a column of few levels these tell how often each level is there.
SUMS = ("mean_num_var", "median_num_var", "std_num_var", "p01_num_var", "p99_num_var", "mean_length")
# Values of single patients, where a number is a person's own: of a telephone, of an insurance.
SINGLE_VALUES = ("min_num_var", "max_num_var", "median_num_var", "p01_num_var", "p99_num_var")

MOST_CODE_CHARACTERS = 64  # longer texts are no codes, even when unique and without blanks
MOST_LEVELS = 5000  # of a categorical column, by the original
MANY_PER_LEVEL = 100
MOST_PERCENT_MISSING = 50


def refined(column: Column, stats: Stats) -> Column:
    """The column, as an integer where it was declared a boolean (tinyint(1), bit(1)) and holds more than 0 and 1."""
    if column.kind != BOOLEAN or stats.minimum is None or stats.maximum is None:
        return column
    return column if stats.minimum >= 0 and stats.maximum <= 1 else replace(column, kind=INTEGER)


def of_column(
    column: Column, stats: Stats, rows: int, frequencies: Frequencies, settings: Settings, *, sampled: bool = False
) -> Values:
    """The metrics of a column, without those that would give small counts away.

    Args:
        column: its kind refined by `refined`.
        stats: of all its values, or of the sample's.
        rows: that were read.
        frequencies: asked for columns of few levels only.
        settings: min_count, round_numbers, round_dates.
        sampled: not all rows were read, so that a value that is there once may be there again.
    """
    found: Values = {
        "data_type": column.data_type,
        "infered_data_type": column.kind,
        "key_constraint": column.key_constraint,
        "value_counts": stats.values,
        "na_values": rows - stats.values,
        "percent_na_values": 100 * (rows - stats.values) / rows if rows else None,
    }
    if column.kind == OTHER:
        return found | {"is_key": False, "is_categorical": False}
    is_key = _is_key(column, stats, rows, sampled=sampled)
    is_categorical = not is_key and _is_categorical(stats, found["percent_na_values"])
    found |= {"levels_count": stats.levels, "is_key": is_key, "is_categorical": is_categorical}
    min_count = settings.min_count
    coded = 0 < stats.levels < suppression.FEW or 0 < stats.values < min_count
    found |= _frequencies(column, stats, min_count, public=not coded and not is_categorical)
    found |= _of_kind(column, stats, settings)
    counts, unpublished = _counts(column, stats)
    if coded and _has_rare_levels(stats, frequencies, min_count):
        found |= dict.fromkeys(SUMS & found.keys())
        shown = set() if column.kind == BOOLEAN else {name for name, count in counts.items() if not count}
    else:
        shown = suppression.shown_cells(counts, unpublished, min_count)
    return found | {name: count if name in shown else None for name, count in counts.items()}


def _frequencies(column: Column, stats: Stats, min_count: int, *, public: bool) -> Values:
    """The three highest frequencies. They name no level, but in a column of two levels one gives both."""
    top = (stats.first, stats.second, stats.third)
    shown = 3 if public else suppression.shown_frequencies(top, stats.values, stats.levels, min_count)
    found: Values = {
        name: count if place < shown or place >= stats.levels else None
        for place, (name, count) in enumerate(zip(HIGHEST, top, strict=True))
    }
    # Rules look for duplicates in keys.
    if column.key_constraint or (is_identifier_like(column) and (not is_code(column) or stats.first < min_count)):
        found[HIGHEST[0]] = stats.first
    highest = found[HIGHEST[0]]
    ratio = highest / stats.levels if stats.levels and highest is not None else None
    return found | {"ratio_level_frequency": ratio}


def _of_kind(column: Column, stats: Stats, settings: Settings) -> Values:
    """What only numbers, texts or dates have, but for counts."""
    found: Values = {}
    if column.kind in NUMBERS:
        digits = settings.round_numbers
        found = {
            "min_num_var": rounding.significant(stats.minimum, digits),
            "max_num_var": rounding.significant(stats.maximum, digits),
            "mean_num_var": rounding.finite(stats.mean),
            "median_num_var": rounding.finite(stats.median),
            "std_num_var": rounding.finite(stats.deviation),
            "p01_num_var": rounding.significant(stats.p01, digits),
            "p99_num_var": rounding.significant(stats.p99, digits),
        }
        if is_personal(column) and not is_birth(column):
            found |= dict.fromkeys(SINGLE_VALUES)
    if column.kind == TEXT:
        found = {"min_length": stats.shortest, "max_length": stats.longest, "mean_length": stats.mean_length}
    if column.kind in DATES:
        unit = "year" if is_personal(column) else settings.round_dates
        earliest, latest = (
            rounding.moment(count, days=column.kind == DATE) for count in (stats.earliest, stats.latest)
        )
        found = {"min_date_var": rounding.first_of(earliest, unit), "max_date_var": rounding.first_of(latest, unit)}
    return found


def _counts(column: Column, stats: Stats) -> tuple[dict[str, int], int]:
    """How many values have a property, by metric, and how many have none of them."""
    found: dict[str, int] = {}
    if column.kind in NUMBERS:
        non_finite = stats.values - stats.finite
        found = {"zero_count": stats.zeros, "negative_count": stats.negatives, "non_finite_count": non_finite}
    elif column.kind == TEXT:
        found = {"empty_count": stats.empty}
    elif column.kind in DATES:
        found = {"future_dates": stats.future}
    elif column.kind == BOOLEAN:
        found = {"true_count": stats.values - stats.zeros, "false_count": stats.zeros}
    return found, max(0, stats.values - sum(found.values()))


def _has_rare_levels(stats: Stats, frequencies: Frequencies, min_count: int) -> bool:
    """Whether a value is there less than `min_count` times; True where that is not known."""
    if stats.values < stats.levels * min_count:
        return True
    if min_count == 1 or stats.first == stats.values:
        return False
    found = frequencies()
    return found is None or any(suppression.is_small(count, min_count) for count in found.values())


def _is_key(column: Column, stats: Stats, rows: int, *, sampled: bool) -> bool | None:
    """Narrower than the original's (see Readme): a name or a weight is none, however unique. None = not known."""
    declared = column.key_constraint in {"primary", "unique"}
    if sampled and not declared:
        return None
    unique = rows > 0 and stats.values == rows and stats.first == 1
    if declared:
        return unique
    return unique and rows > 1 and is_identifier_like(column) and _numbers_things(column, stats)


def _numbers_things(column: Column, stats: Stats) -> bool:
    """Whether the values look like what people number things with: integers, codes, uuids."""
    if column.kind == INTEGER:
        return True
    return column.kind == TEXT and stats.blanks == 0 and (stats.longest or 0) <= MOST_CODE_CHARACTERS


def _is_categorical(stats: Stats, percent_missing: float | None) -> bool:
    """Whether the values are categories, of a column that is no key. Source: HDM is_categorical."""
    few = stats.levels < suppression.FEW and (percent_missing or 0) < MOST_PERCENT_MISSING
    crowded = stats.levels < MOST_LEVELS and stats.first > MANY_PER_LEVEL * stats.levels
    return stats.levels > 0 and (few or crowded)
