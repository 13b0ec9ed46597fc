"""The levels of categorical columns that may be stored: none that could identify a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from privacy import is_private
from tables import BOOLEAN, has_excluded_levels

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from metrics import Values
    from settings import Settings
    from tables import Column, Table

    Frequencies = Callable[[], Mapping[str, int] | None]  # every level as text; None: too many, or free text

Levels = dict[str, int]  # value as text -> frequency

BOOLEANS = {"0": "false", "1": "true"}

MIN_HIDDEN = 2  # a single one would be the total minus the shown ones
# Mean and deviation are sums over all levels: a few hidden frequencies could be computed from them.
MANY_LEVELS, MIN_HIDDEN_OF_MANY = 10, 5


def of_column(table: Table, column: Column, values: Values, frequencies: Frequencies, settings: Settings) -> Levels:
    """The levels to store. Empty unless the column is categorical, and neither private, excluded nor free text.

    Args:
        table: the table of the column.
        column: with its kind as returned by `metrics.refined`.
        values: the column's metrics.
        frequencies: called only for columns whose levels may be stored.
        settings: min_count and exclude_levels.
    """
    if not values["is_categorical"] or is_private(column):
        return {}
    if settings.exclude_levels and has_excluded_levels(table, column, settings):
        return {}
    shown = shown_levels(frequencies() or {}, settings.min_count)
    if column.kind == BOOLEAN:
        return {BOOLEANS.get(value, value): frequency for value, frequency in shown.items()}
    return shown


def shown_levels(frequencies: Mapping[str, int], min_count: int, hidden: Collection[str] = ()) -> Levels:
    """The levels that may be shown. If any are hidden, the smallest others are hidden too, until enough are.

    Levels of equal frequency are hidden together: a choice by name would reveal which of them is rarer.

    Args:
        frequencies: of all levels.
        min_count: the lowest frequency to show.
        hidden: levels that are hidden, however frequent.
    """
    frequent = {
        value: n for value, n in frequencies.items() if n >= min_count and value not in hidden and _is_storable(value)
    }
    if len(frequent) == len(frequencies) or min_count == 1:
        return frequent
    needed = MIN_HIDDEN if len(frequencies) < MANY_LEVELS else MIN_HIDDEN_OF_MANY
    for lowest in sorted(set(frequent.values())):
        shown = {value: n for value, n in frequent.items() if n >= lowest}
        if are_enough([n for value, n in frequencies.items() if value not in shown], needed, min_count):
            return shown
    return {}


def are_enough(hidden: Sequence[int], needed: int, min_count: int) -> bool:
    """Whether so many hidden counts, of which the sum is known, tell nothing of each other.

    The highest frequencies are published. If the hidden ones were equal, each hidden level's would be known.
    """
    return len(hidden) >= needed and sum(hidden) >= min_count and min(hidden) < max(hidden)


def _is_storable(value: str) -> bool:
    """Whether PostgreSQL can store the value, and it was valid text."""
    return "\0" not in value and "\ufffd" not in value
