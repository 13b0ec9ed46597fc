"""Codes and flags: new, vanished and swapped levels."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.faults.kinds.fault import FEWEST_LOADED, Plan, Site, changed, fault, literal, update
from benchmarks.faults.schema import CODE, FLAG

NEW_CODE, NEW_NUMBER = "XQ", 777
TWO = 2  # levels of a flag


@fault
def level_new(site: Site) -> Iterator[Plan]:
    """Eight rows in a hundred have a code that was never there."""
    for table, column in site.columns(CODE, test=lambda column: column.type != "char(1)"):
        value = literal(NEW_NUMBER if column.is_whole else NEW_CODE)
        statement = update(table, column, value, site.some(8))
        yield Plan(table=table.name, column=column.name, about="a new level in 8 %", statements=(statement,), least=8)


@fault
def level_new_in_new_rows(site: Site) -> Iterator[Plan]:
    """The night's rows have a code that was never there."""
    for table, column in site.columns(CODE, fed=True, test=lambda column: column.type != "char(1)"):
        value = NEW_NUMBER if column.is_whole else NEW_CODE
        change = changed(table, column, lambda _, value=value: value)
        yield Plan(table=table.name, column=column.name, about="a new level in the new rows", change=change)


@fault
def level_vanished(site: Site) -> Iterator[Plan]:
    """A frequent code was replaced by another."""
    for table, column in site.columns(CODE):
        levels = site.levels(table, column)
        if len(levels) > TWO and levels[1][1] >= FEWEST_LOADED:
            name = f'"{column.name}"'
            statement = update(table, column, literal(levels[0][0]), f"{name} = {literal(levels[1][0])}")
            yield Plan(table=table.name, column=column.name, about="a level vanished", statements=(statement,))


@fault
def level_deleted(site: Site) -> Iterator[Plan]:
    """The rows with a certain code are deleted, a fifth of the table or less."""
    for table, column in site.columns(CODE):
        levels = site.levels(table, column)
        rows = site.count(table.name)
        chosen = [value for value, count in levels[1:] if rows / 50 <= count <= rows / 5 and count >= FEWEST_LOADED]
        if chosen:
            statement = f'DELETE FROM "{table.name}" WHERE "{column.name}" = {literal(chosen[0])}'
            yield Plan(
                table=table.name,
                column=column.name,
                also=((table.name, ""),),
                about="the rows of a level deleted",
                statements=(statement,),
            )


@fault
def codes_swapped(site: Site) -> Iterator[Plan]:
    """Two codes of different frequency have changed places."""
    for table, column in site.columns(CODE):
        levels = site.levels(table, column)
        if len(levels) > 1 and levels[0][1] > 1.4 * levels[1][1] and levels[1][1] * 10 > levels[0][1]:
            one, other = literal(levels[0][0]), literal(levels[1][0])
            value = f'CASE "{column.name}" WHEN {one} THEN {other} ELSE {one} END'
            statement = update(table, column, value, f'"{column.name}" IN ({one}, {other})')
            yield Plan(table=table.name, column=column.name, about="two codes swapped", statements=(statement,))


@fault
def code_case(site: Site) -> Iterator[Plan]:
    """Half of the codes are in the other case."""
    for table, column in site.columns(CODE, test=lambda column: column.is_text):
        levels = [value for value, _ in site.levels(table, column)]
        if any(str(value).lower() != str(value).upper() for value in levels[:2]):
            function = "lower" if any(value == str(value).upper() for value in levels[:2]) else "upper"
            statement = update(table, column, f'{function}("{column.name}")', site.some(50))
            yield Plan(table=table.name, column=column.name, about=f"half in {function} case", statements=(statement,))


@fault
def flags_inverted(site: Site) -> Iterator[Plan]:
    """A flag means its opposite."""
    for table, column in site.columns(FLAG):
        levels = site.levels(table, column)
        if len(levels) == TWO and levels[0][1] > 1.3 * levels[1][1]:
            one, other = ((str(v).lower() if isinstance(v, bool) else literal(v)) for v, _ in levels)
            value = f'CASE "{column.name}" WHEN {one} THEN {other} ELSE {one} END'
            statement = update(table, column, value)
            yield Plan(table=table.name, column=column.name, about="the flag inverted", statements=(statement,))


@fault
def flag_always_true(site: Site) -> Iterator[Plan]:
    """A flag is the same in all of the night's rows, although its rarer value was usual."""
    for table, column in site.columns(FLAG, fed=True):
        levels = site.levels(table, column)
        if len(levels) == TWO and site.loaded[table.name] * levels[1][1] > 8 * site.count(table.name):
            change = changed(table, column, lambda _, value=levels[1][0]: value)
            yield Plan(table=table.name, column=column.name, about="the same flag in the new rows", change=change)
