"""Values that are missing, or the same everywhere."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.faults.kinds.fault import Plan, Site, changed, fault, update
from benchmarks.faults.schema import CODE, DATE, EVENT, FK, FLAG, NUMBER, TEXT

FEWEST_LEVELS = 4  # of a column that becomes constant: with fewer, it is hardly noticed


@fault
def column_emptied(site: Site) -> Iterator[Plan]:
    """A column is empty."""
    for table, column in site.columns(CODE, NUMBER, DATE, EVENT, TEXT, FLAG, FK):
        yield Plan(table=table.name, column=column.name, about="emptied", statements=(update(table, column, "NULL"),))


@fault
def column_half_emptied(site: Site) -> Iterator[Plan]:
    """Half of a column is empty."""
    for table, column in site.columns(CODE, NUMBER, DATE, EVENT, TEXT, FLAG, FK):
        statement = update(table, column, "NULL", site.some(50))
        yield Plan(table=table.name, column=column.name, about="half emptied", statements=(statement,))


@fault
def column_tenth_emptied(site: Site) -> Iterator[Plan]:
    """A column that was always filled is empty in every tenth row."""
    for table, column in site.columns(CODE, NUMBER, DATE, EVENT, TEXT, FLAG, FK):
        if site.count(table.name, f'"{column.name}" IS NULL') == 0:
            statement = update(table, column, "NULL", site.some(10))
            yield Plan(table=table.name, column=column.name, about="10 % emptied", statements=(statement,))


@fault
def column_emptied_new_rows(site: Site) -> Iterator[Plan]:
    """A column is empty in the night's rows."""
    for table, column in site.columns(CODE, NUMBER, TEXT, FLAG, FK, fed=True):
        if site.count(table.name, f'"{column.name}" IS NULL') * 5 < site.count(table.name):
            change = changed(table, column, lambda _: None)
            yield Plan(table=table.name, column=column.name, about="emptied in the new rows", change=change)


@fault
def column_blanked(site: Site) -> Iterator[Plan]:
    """Half of the texts of a column are without characters."""
    for table, column in site.columns(TEXT, CODE, test=lambda column: column.is_text):
        statement = update(table, column, "''", site.some(50))
        yield Plan(table=table.name, column=column.name, about="half of the texts are ''", statements=(statement,))


@fault
def column_constant(site: Site) -> Iterator[Plan]:
    """A column has the same value everywhere."""
    for table, column in site.columns(CODE, NUMBER, DATE):
        if len(site.levels(table, column)) >= FEWEST_LEVELS:
            value = f'(SELECT min("{column.name}") FROM "{table.name}")'
            statement = update(table, column, value)
            yield Plan(table=table.name, column=column.name, about="the same value everywhere", statements=(statement,))


@fault
def column_constant_new_rows(site: Site) -> Iterator[Plan]:
    """A column has the same value in all of the night's rows."""
    for table, column in site.columns(CODE, NUMBER, FK, fed=True):
        levels = site.levels(table, column)
        if len(levels) >= FEWEST_LEVELS and levels[0][1] * 5 < 4 * site.count(table.name):
            value = levels[1][0]
            change = changed(table, column, lambda _, value=value: value)
            yield Plan(table=table.name, column=column.name, about="the same value in the new rows", change=change)
