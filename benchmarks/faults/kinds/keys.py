"""Keys and foreign keys that are broken."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.faults.kinds.fault import Plan, Site, changed, fault, update
from benchmarks.faults.schema import CODE, FK, KEY

BEYOND = 900_000_000  # no id is as large
FEWEST_PARENTS = 100


@fault
def key_duplicated(site: Site) -> Iterator[Plan]:
    """Every twentieth row has the key of another one."""
    for table, column in site.columns(KEY, test=lambda column: column.is_whole):
        if not table.is_declared and len(table.of(KEY)) == 1:
            statement = update(table, column, f'"{column.name}" - 1', site.some(5))
            yield Plan(table=table.name, column=column.name, about="5 % of the keys doubled", statements=(statement,))


@fault
def key_null(site: Site) -> Iterator[Plan]:
    """Three keys in a hundred are null."""
    for table, column in site.columns(KEY):
        if not table.is_declared:
            statement = update(table, column, "NULL", site.some(3))
            yield Plan(
                table=table.name, column=column.name, about="3 % of the keys null", statements=(statement,), least=5
            )


@fault
def fk_broken(site: Site) -> Iterator[Plan]:
    """A third of the foreign keys has no parent."""
    for table, column in site.columns(FK):
        value = f'"{column.name}" + {BEYOND}' if column.is_whole else "'?' || substr(\"" + column.name + '", 2)'
        statement = update(table, column, value, site.some(30))
        assert column.parent
        yield Plan(
            table=table.name,
            column=column.name,
            also=(column.parent,),
            about="30 % without a parent",
            statements=(statement,),
        )


@fault
def fk_broken_new_rows(site: Site) -> Iterator[Plan]:
    """The foreign keys of the night's rows have no parent."""
    for table, column in site.columns(FK, fed=True, test=lambda column: column.is_whole):
        change = changed(table, column, lambda value: value + BEYOND)
        assert column.parent
        yield Plan(
            table=table.name,
            column=column.name,
            also=(column.parent,),
            about="the new rows without a parent",
            change=change,
        )


@fault
def parents_deleted(site: Site) -> Iterator[Plan]:
    """A tenth of the parents are deleted."""
    for table, column in site.columns(FK):
        assert column.parent
        parent, key = column.parent
        if parent != table.name and site.count(parent) >= FEWEST_PARENTS:
            used = f'SELECT "{column.name}" FROM "{table.name}"'
            statement = f'DELETE FROM "{parent}" WHERE "{key}" IN ({used}) AND {site.some(10)}'
            yield Plan(
                table=table.name,
                column=column.name,
                also=((parent, ""), (parent, key)),
                about=f"10 % of {parent} deleted",
                statements=(statement,),
                least=5,
            )


@fault
def codes_zero(site: Site) -> Iterator[Plan]:
    """Half of the codes of a column are 0."""
    for table, column in site.columns(CODE, FK):
        levels = dict(site.levels(table, column))
        if levels.get(0, 0) * 5 < site.count(table.name):
            statement = update(table, column, "0" if column.is_whole else "'0'", site.some(50))
            yield Plan(table=table.name, column=column.name, about="half of the codes are 0", statements=(statement,))


@fault
def codes_zero_new_rows(site: Site) -> Iterator[Plan]:
    """The codes of the night's rows are 0."""
    for table, column in site.columns(CODE, FK, fed=True):
        levels = dict(site.levels(table, column))
        if levels.get(0, 0) * 5 < site.count(table.name):
            change = changed(table, column, lambda value: 0 if isinstance(value, int) else "0")
            yield Plan(table=table.name, column=column.name, about="the new codes are 0", change=change)
