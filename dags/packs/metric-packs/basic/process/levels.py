"""The levels of categorical columns, without those that could point at a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tables import BOOLEAN, has_excluded_levels, is_private

if TYPE_CHECKING:
    from dialects.dialect import Dialect
    from metrics import TableMetrics
    from settings import Settings
    from tables import Column, Table

Levels = dict[str, int]  # value as text -> frequency


def of_table(dialect: Dialect, measured: TableMetrics, configured: Settings) -> dict[str, Levels]:
    """The levels to store, by column name: of categorical columns neither private, nor excluded, nor free text."""
    min_count = configured.min_count
    found = {}
    for column in measured.table.columns:
        values = measured.columns[column.name]
        if not values["is_categorical"] or is_private(column) or column.name in measured.free_text:
            continue
        if has_excluded_levels(measured.table, column, configured.exclude_levels):
            continue
        frequent = _frequent(dialect, measured.table, column, min_count)
        levels = suppressed(frequent, values["value_counts"], values["levels_count"], min_count)
        if levels:
            found[column.name] = levels
    return found


def suppressed(frequent: Levels, value_counts: int, levels_count: int, min_count: int) -> Levels:
    """The levels that may be shown: what is held back cannot be computed from what is shown.

    `value_counts` and `levels_count` are published, so one hidden level is their difference to the shown ones. So
    where anything is hidden, at least two levels and `min_count` values are: the smallest shown ones follow it.

    Args:
        frequent: the levels with a frequency of at least `min_count`.
        value_counts: values of the column that are not null.
        levels_count: its distinct values, >= len(frequent).
        min_count: the lowest frequency to show.
    """
    shown = sorted(frequent.items(), key=lambda item: (-item[1], item[0]))
    hidden, hidden_values = levels_count - len(shown), value_counts - sum(frequent.values())
    if hidden:
        while shown and (hidden < 2 or hidden_values < min_count):  # noqa: PLR2004 - one could be computed
            _, frequency = shown.pop()
            hidden, hidden_values = hidden + 1, hidden_values + frequency
    return dict(shown)


def _frequent(dialect: Dialect, table: Table, column: Column, min_count: int) -> Levels:
    """The levels that are frequent enough; rare values never leave the database."""
    source = dialect.quote(column.name)
    rows = dialect.fetch(
        f"SELECT {dialect.shown(source, column)} AS level, count(*) AS frequency FROM {dialect.path(table)}"
        f" WHERE {source} IS NOT NULL GROUP BY {dialect.group(source, column)}"
        f" HAVING count(*) >= {dialect.placeholder}",
        min_count,
    )
    found: Levels = {}
    for value, frequency in rows:
        text = ("true" if value else "false") if column.kind == BOOLEAN else str(value)
        # Not text that PostgreSQL can hold, or not text at all: such a level counts among the hidden ones.
        if "\0" not in text and "\ufffd" not in text:
            found[text] = found.get(text, 0) + int(frequency)
    return found
