"""Numbers in another unit, scale or sign, defaults and outliers."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.faults.kinds.fault import FEWEST_LOADED, Plan, Site, changed, fault, literal, update
from benchmarks.faults.schema import CODE, FK, HIGH, LOW, NUMBER, Column, Table

THOUSAND, POUNDS = 1_000, 2.2046
DEFAULT = 999
NUMERIC = (NUMBER, LOW, HIGH)


def _has_fractions(site: Site, table: Table, column: Column) -> bool:
    name = f'"{column.name}"'
    return site.count(table.name, f"{name} <> round({name})") * 4 > site.count(table.name, f"{name} IS NOT NULL")


@fault
def unit_changed(site: Site) -> Iterator[Plan]:
    """All numbers are a thousand times larger."""
    for table, column in site.columns(*NUMERIC):
        statement = update(table, column, f'"{column.name}" * {THOUSAND}', f'"{column.name}" <> 0')
        yield Plan(table=table.name, column=column.name, about="all times 1000", statements=(statement,))


@fault
def unit_pounds(site: Site) -> Iterator[Plan]:
    """All numbers are in pounds instead of kilograms."""
    for table, column in site.columns(*NUMERIC, test=lambda column: not column.is_whole):
        statement = update(table, column, f'"{column.name}" * {POUNDS}', f'"{column.name}" <> 0')
        yield Plan(table=table.name, column=column.name, about="all times 2.2", statements=(statement,))


@fault
def unit_changed_one_code(site: Site) -> Iterator[Plan]:
    """The numbers of one code, of the code column with the most levels, are a thousand times larger."""
    for table, column in site.columns(NUMBER):
        codes = [(code, site.levels(table, code)) for code in table.of(CODE, FK)]
        for code, levels in sorted(codes, key=lambda item: -len(item[1])):
            rows = site.count(table.name)
            chosen = [value for value, count in levels if rows / 50 < count < rows / 3 and count >= FEWEST_LOADED]
            if chosen and not code.name.endswith("person_id"):
                value = site.random.choice(chosen)
                statement = update(
                    table,
                    column,
                    f'"{column.name}" * {THOUSAND}',
                    f'"{code.name}" = {literal(value)}',
                    f'"{column.name}" <> 0',
                )
                yield Plan(
                    table=table.name,
                    column=column.name,
                    about=f"times 1000 for one {code.name}",
                    statements=(statement,),
                )


@fault
def unit_changed_new_rows(site: Site) -> Iterator[Plan]:
    """The numbers of the night's rows are a thousand times larger."""
    for table, column in site.columns(NUMBER, fed=True):
        change = changed(table, column, lambda value: value * THOUSAND)
        yield Plan(table=table.name, column=column.name, about="times 1000 in the new rows", change=change)


@fault
def sign_flipped(site: Site) -> Iterator[Plan]:
    """A third of the numbers have the wrong sign."""
    for table, column in site.columns(*NUMERIC):
        if site.count(table.name, f'"{column.name}" < 0') == 0:
            statement = update(table, column, f'-"{column.name}"', f'"{column.name}" > 0', site.some(33))
            yield Plan(table=table.name, column=column.name, about="33 % negative", statements=(statement,))


@fault
def decimal_point_lost(site: Site) -> Iterator[Plan]:
    """Numbers with decimals have lost their point: 7.4 is 74."""
    for table, column in site.columns(*NUMERIC, test=lambda column: not column.is_whole):
        name = f'"{column.name}"'
        if _has_fractions(site, table, column):
            statement = update(table, column, f"{name} * 10", f"{name} <> round({name})")
            yield Plan(table=table.name, column=column.name, about="decimal point lost", statements=(statement,))


@fault
def rounded(site: Site) -> Iterator[Plan]:
    """All numbers are rounded to integers."""
    for table, column in site.columns(*NUMERIC, test=lambda column: not column.is_whole):
        if _has_fractions(site, table, column):
            statement = update(table, column, f'round("{column.name}")')
            yield Plan(table=table.name, column=column.name, about="rounded to integers", statements=(statement,))


@fault
def outliers(site: Site) -> Iterator[Plan]:
    """One number in a hundred is ten thousand times too large."""
    for table, column in site.columns(*NUMERIC):
        statement = update(table, column, f'"{column.name}" * 10000', f'"{column.name}" <> 0', site.some(1))
        yield Plan(table=table.name, column=column.name, about="1 % times 10000", statements=(statement,), least=5)


@fault
def default_value(site: Site) -> Iterator[Plan]:
    """One number in five is 999."""
    for table, column in site.columns(*NUMERIC):
        statement = update(table, column, str(DEFAULT), site.some(20))
        yield Plan(table=table.name, column=column.name, about="20 % are 999", statements=(statement,))


@fault
def half_zero(site: Site) -> Iterator[Plan]:
    """Half of the numbers are 0."""
    for table, column in site.columns(*NUMERIC):
        if site.count(table.name, f'"{column.name}" = 0') * 10 < site.count(table.name):
            statement = update(table, column, "0", site.some(50), f'"{column.name}" <> 0')
            yield Plan(table=table.name, column=column.name, about="half are 0", statements=(statement,))


@fault
def low_and_high_swapped(site: Site) -> Iterator[Plan]:
    """In a fifth of the rows, the lower limit is above the upper one."""
    for table, low in site.columns(LOW, least=10):
        for high in table.of(HIGH):
            statement = (
                f'UPDATE "{table.name}" SET "{low.name}" = "{high.name}", "{high.name}" = "{low.name}"'
                f' WHERE "{low.name}" < "{high.name}" AND {site.some(20)}'
            )
            yield Plan(
                table=table.name,
                column=low.name,
                also=((table.name, high.name),),
                about=f"{low.name} and {high.name} swapped in 20 %",
                statements=(statement,),
            )
