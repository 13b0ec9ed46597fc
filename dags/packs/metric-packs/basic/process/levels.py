"""The levels of categorical columns, without those that could point at a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from privacy import is_private
from suppression import Levels, shown_levels
from tables import BOOLEAN, has_excluded_levels

if TYPE_CHECKING:
    from metrics import Frequencies, Values
    from settings import Settings
    from tables import Column, Table

TRUTHS = {"0": "false", "1": "true"}


def of_column(table: Table, column: Column, values: Values, frequencies: Frequencies, settings: Settings) -> Levels:
    """The levels to store: of categorical columns neither private, nor excluded, nor free text.

    Args:
        table: the column's, as stored.
        column: its kind refined.
        values: the column's metrics.
        frequencies: asked for such columns only.
        settings: min_count and exclude_levels.
    """
    if not values["is_categorical"] or is_private(column) or has_excluded_levels(table, column, settings):
        return {}
    found = frequencies()
    if found is None:
        return {}
    frequent: Levels = {}
    for value, frequency in found.items():
        # Not text that PostgreSQL can hold, or not text at all: such a level counts among the hidden ones.
        if frequency >= settings.min_count and "\0" not in value and "\ufffd" not in value:
            frequent[TRUTHS.get(value, value) if column.kind == BOOLEAN else value] = frequency
    return shown_levels(frequent, values["value_counts"], values["levels_count"], settings.min_count)
