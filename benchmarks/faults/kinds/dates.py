"""Dates that are impossible, shifted, coarser, or in the wrong order."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

from benchmarks.faults.kinds.fault import Plan, Site, changed, fault, update
from benchmarks.faults.schema import DATE, EVENT, Column

FEWEST_PAIRS = 40  # rows whose begin is before their end


def _shifted(site: Site, column: Column, step: str) -> str:
    """The column's value some time later; the step as in '100 years'."""
    name = f'"{column.name}"'
    if site.is_sqlite:
        function = "datetime" if column.is_moment else "date"
        return f"{function}({name}, '{step}')"
    return f"({name} + interval '{step}')::{column.type}"


def _sane(column: Column) -> str:
    """The condition that a date is an event's, not the end of a validity."""
    return f"\"{column.name}\" < '2090-01-01'"


@fault
def dates_in_100_years(site: Site) -> Iterator[Plan]:
    """One date in twenty is a hundred years later."""
    for table, column in site.columns(DATE, EVENT):
        statement = update(table, column, _shifted(site, column, "100 years"), _sane(column), site.some(5))
        yield Plan(
            table=table.name, column=column.name, about="5 % are 100 years later", statements=(statement,), least=5
        )


@fault
def dates_next_year_new_rows(site: Site) -> Iterator[Plan]:
    """The dates of the night's rows are a year too late."""
    for table, column in site.columns(EVENT, fed=True):
        change = changed(table, column, lambda value: value + dt.timedelta(days=365))
        yield Plan(table=table.name, column=column.name, about="a year later in the new rows", change=change)


@fault
def dates_1900(site: Site) -> Iterator[Plan]:
    """One date in ten is 1900-01-01."""
    for table, column in site.columns(DATE, EVENT):
        statement = update(table, column, "'1900-01-01'", site.some(10))
        yield Plan(table=table.name, column=column.name, about="10 % are 1900-01-01", statements=(statement,))


@fault
def dates_1970_new_rows(site: Site) -> Iterator[Plan]:
    """The dates of the night's rows are 1970-01-01."""
    epoch = dt.datetime(1970, 1, 1)  # noqa: DTZ001  # as the columns are

    def value(old: Any) -> Any:
        return epoch if isinstance(old, dt.datetime) and old.tzinfo is None else dt.date(1970, 1, 1)

    for table, column in site.columns(DATE, EVENT, fed=True):
        yield Plan(
            table=table.name,
            column=column.name,
            about="1970-01-01 in the new rows",
            change=changed(table, column, value),
        )


@fault
def day_and_month_swapped(site: Site) -> Iterator[Plan]:
    """Day and month are swapped where the day is at most 12."""
    for table, column in site.columns(EVENT):
        name = f'"{column.name}"'
        if site.is_sqlite:
            value = f"substr({name}, 1, 5) || substr({name}, 9, 2) || '-' || substr({name}, 6, 2) || substr({name}, 11)"
            condition = f"substr({name}, 9, 2) <= '12'"
        else:
            part = f"extract(%s FROM {name})::int"
            moved = f"make_date({part % 'year'}, {part % 'day'}, {part % 'month'})"
            value = f"({moved} + {name}::time)::{column.type}" if column.is_moment else moved
            condition = f"extract(day FROM {name}) <= 12"
        statement = update(table, column, value, condition)
        yield Plan(table=table.name, column=column.name, about="day and month swapped", statements=(statement,))


@fault
def time_of_day_lost(site: Site) -> Iterator[Plan]:
    """All moments are at midnight."""
    for table, column in site.columns(EVENT, DATE, test=lambda column: column.is_moment):
        name = f'"{column.name}"'
        moved = f"datetime({name}, 'start of day')" if site.is_sqlite else f"date_trunc('day', {name})"
        yield Plan(
            table=table.name, column=column.name, about="no time of day", statements=(update(table, column, moved),)
        )


@fault
def time_zone_shifted(site: Site) -> Iterator[Plan]:
    """All moments are five hours later."""
    for table, column in site.columns(EVENT, DATE, test=lambda column: column.is_moment):
        statement = update(table, column, _shifted(site, column, "5 hours"))
        yield Plan(table=table.name, column=column.name, about="all five hours later", statements=(statement,))


@fault
def time_zone_shifted_new_rows(site: Site) -> Iterator[Plan]:
    """The moments of the night's rows are five hours later."""
    for table, column in site.columns(EVENT, fed=True, test=lambda column: column.is_moment):
        change = changed(table, column, lambda value: value + dt.timedelta(hours=5))
        yield Plan(table=table.name, column=column.name, about="five hours later in the new rows", change=change)


@fault
def start_after_end(site: Site) -> Iterator[Plan]:
    """In a quarter of the rows, begin and end have changed places."""
    for table, one in site.columns(EVENT, DATE):
        for other in table.of(EVENT, DATE):
            ordered = f'"{one.name}" < "{other.name}"'
            both = site.count(table.name, f'"{one.name}" IS NOT NULL AND "{other.name}" IS NOT NULL')
            if (
                one.type == other.type
                and one != other
                and site.count(table.name, ordered) > FEWEST_PAIRS
                and site.count(table.name, f'"{one.name}" > "{other.name}"') * 50 < both
            ):
                statement = (
                    f'UPDATE "{table.name}" SET "{one.name}" = "{other.name}", "{other.name}" = "{one.name}"'
                    f" WHERE {ordered} AND {site.some(25)}"
                )
                yield Plan(
                    table=table.name,
                    column=one.name,
                    also=((table.name, other.name),),
                    about=f"{one.name} and {other.name} swapped in 25 %",
                    statements=(statement,),
                    least=8,
                )
