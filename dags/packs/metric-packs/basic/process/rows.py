"""What is published of a table's rows: days, pairs, numbers by level; without counts of few patients."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import hdm_profile
import rounding
from levels import are_enough, shown_levels
from plans import is_measure
from privacy import is_private
from tables import has_excluded_levels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from across import Across
    from hdm_profile import Cell, Pair
    from settings import Settings
    from tables import Table

    Frequencies = Callable[[str], Mapping[str, int] | None]  # of a column's levels, as text

NO_CODE = "\0"  # stands for the rows without a code; never shown
MIN_HIDDEN = 2  # numbers of rows whose sum is known


class ColumnFacts(NamedTuple):
    """What is published of one column anyway."""

    values: int  # that are not null
    missing: int  # nulls
    levels: Mapping[str, int]  # level -> frequency, as stored


@dataclass(frozen=True, kw_only=True)
class TableRows:
    """What is stored of one table's rows; every tuple is a row of its table, without the keys of the endpoint."""

    event_column: str = ""
    newest_day: dt.date | None = None
    newest_rows: int | None = None
    duplicate_rows: int | None = None
    first_day: dt.date | None = None
    days: tuple[int | None, ...] = ()  # rows of each day, from first_day on; None: hidden
    pairs: tuple[tuple[Any, ...], ...] = ()  # column, other_column, both_count, greater_count, equal_count
    numbers: tuple[tuple[Any, ...], ...] = ()  # column, level_column, value, values_count, mean_num


def of_table(
    table: Table,
    across: Across,
    date: dt.date,
    settings: Settings,
    frequencies: Frequencies,
    binary: frozenset[str],
    facts: Mapping[str, ColumnFacts],
) -> TableRows:
    """What may be stored.

    Args:
        table: with the kinds of its columns.
        across: what has been counted.
        date: the metric date.
        settings: min_count, exclude_levels, round_dates.
        frequencies: of a column's levels.
        binary: numeric columns of two levels: their means are counts.
        facts: of every column that has been read.
    """
    return TableRows(
        **_days(table, across, date, settings, facts),
        duplicate_rows=across.repeats,
        pairs=tuple(
            (*names, *_compared(pair, settings.min_count, _has_few_halves(pair, names, facts, settings.min_count)))
            for names, pair in across.pairs.items()
        ),
        numbers=tuple(_numbers(table, across, settings, frequencies, binary, facts)),
    )


# -- Days -------------------------------------------------------------------------------------------------------------


def _days(
    table: Table, across: Across, date: dt.date, settings: Settings, facts: Mapping[str, ColumnFacts]
) -> dict[str, Any]:
    """The fields of TableRows about the event column; none if its levels are excluded, for days are levels, too."""
    if not across.event or (settings.exclude_levels and _is_excluded(table, across.event, settings)):
        return {}
    first = date - dt.timedelta(days=hdm_profile.DAYS)
    shown = _shown_days(across.days, first, facts[across.event], settings.min_count)
    if settings.round_dates and None in shown:  # which day has few rows is the date of few
        shown = [count or None for count in shown]
    newest = across.newest_day
    rows = shown[newest] if newest is not None else None
    is_told = newest is not None and (rows is not None or not settings.round_dates)
    return {
        "event_column": across.event,
        "newest_day": first + dt.timedelta(days=newest) if newest is not None and is_told else None,
        "newest_rows": rows,
        "first_day": first,
        "days": tuple(shown),
    }


def _is_excluded(table: Table, name: str, settings: Settings) -> bool:
    return any(has_excluded_levels(table, one, settings) for one in table.columns if one.name == name)


def _shown_days(counts: Sequence[int], first: dt.date, dates: ColumnFacts, min_count: int) -> list[int | None]:
    """The rows of each day; None if they are few, or if few would follow from them.

    The total of all dates is published. So a day of a column whose levels are stored is shown if all of its levels are.
    Otherwise, the rows of all other days count as hidden, too: their number is unknown unless all days are shown.
    """
    if dates.levels:
        by_day: Counter[str] = Counter()
        for level, frequency in dates.levels.items():
            by_day[level[:10]] += frequency
        days = (str(first + dt.timedelta(days=i)) for i in range(len(counts)))
        return [n if by_day[day] == n else None for day, n in zip(days, counts, strict=True)]
    others = dates.values - sum(counts)
    low = [n for n in counts if 0 < n < min_count]
    if min_count == 1 or not (low or 0 < others < min_count):
        return list(counts)
    for least in sorted({n for n in counts if n >= min_count}):
        hidden = [n for n in counts if 0 < n < least] + [others] * (others > 0)
        if are_enough(hidden, MIN_HIDDEN, min_count):
            return [n if n >= least or not n else None for n in counts]
    return [None if n else 0 for n in counts]


# -- Pairs ------------------------------------------------------------------------------------------------------------


def _compared(pair: Pair, min_count: int, hides_both: bool = False) -> tuple[int | None, int | None, int | None]:
    """Both, greater, equal. Of greater, equal and less, no low count may follow from what is shown."""
    both, greater, equal = pair
    less = both - greater - equal
    shown = None if hides_both else both

    def is_low(count: int) -> bool:
        return 0 < count < min_count

    if not any(map(is_low, (greater, equal, less))):
        return shown, greater, equal
    if not is_low(greater) and not is_low(equal + less):
        return shown, greater, None
    if not is_low(equal) and not is_low(greater + less):
        return shown, None, equal
    return shown, None, None


def _has_few_halves(pair: Pair, names: tuple[str, str], facts: Mapping[str, ColumnFacts], min_count: int) -> bool:
    """Whether few rows have both values, one of them, or neither; False if the columns' own counts tell as much."""
    one, other = (facts[name] for name in names)
    if not one.missing or not other.missing:
        return False
    counts = (pair.both, one.values - pair.both, other.values - pair.both, one.missing - other.values + pair.both)
    return any(0 < count < min_count for count in counts)


# -- Numbers by level -------------------------------------------------------------------------------------------------


def _numbers(
    table: Table,
    across: Across,
    settings: Settings,
    frequencies: Frequencies,
    binary: frozenset[str],
    facts: Mapping[str, ColumnFacts],
) -> Iterator[tuple[Any, ...]]:
    columns = {column.name: column for column in table.columns} if across.codes else {}
    for code in across.codes:
        hidden = settings.exclude_levels and has_excluded_levels(table, columns[code], settings)
        if hidden or is_private(columns[code]):
            continue
        levels = frozenset(shown_levels(frequencies(code) or {}, settings.min_count))
        for number, cells in across.cells(code).items() if levels else ():
            if number in binary or not is_measure(columns[number]):
                continue
            for value in sorted(_shown_cells(cells, facts[code], settings.min_count) & levels):
                mean = rounding.finite(cells[value].mean)
                if mean is not None:
                    yield number, code, value, cells[value].values, mean


def _shown_cells(cells: Mapping[str | None, Cell], code: ColumnFacts, min_count: int) -> frozenset[str]:
    """The levels whose number of values may be shown.

    No few values may follow from the others and their total, nor few nulls from the level's frequency.
    """
    counts = {value: cell.values for value, cell in cells.items() if value is not None and cell.values}
    hidden = {value for value, n in counts.items() if 0 < code.levels.get(value, n) - n < min_count}
    without = cells[None].values if None in cells else 0
    if 0 < without < min_count or 0 < code.missing - without < min_count:
        counts[NO_CODE] = without
    return frozenset(shown_levels(counts, min_count, hidden))
