"""Texts that are padded, cut, escaped, or in another case or encoding."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

from benchmarks.faults.kinds.fault import Plan, Site, changed, fault, update
from benchmarks.faults.schema import CODE, TEXT, Column, Table

SHORT = 10
FEWEST_CASED = 50  # texts that upper case changes
FEWEST_GARBLED = 8  # rows of a night with accented letters
ACCENTED = "éèêëàâçîïôöûüÉ"
ENTITIES = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("''", "&#39;"))


def _texts(site: Site, *roles: str) -> list[tuple[Table, Column]]:
    return site.columns(*roles, least=50, test=lambda column: column.is_text)


def _replaced(name: str, pairs: tuple[tuple[str, str], ...]) -> str:
    return reduce(lambda text, pair: f"replace({text}, '{pair[0]}', '{pair[1]}')", pairs, f'"{name}"')


@fault
def padded(site: Site) -> Iterator[Plan]:
    """A third of the texts end in blanks."""
    for table, column in _texts(site, TEXT, CODE):
        if not column.type.startswith("char("):
            statement = update(table, column, f"\"{column.name}\" || '  '", site.some(33))
            yield Plan(table=table.name, column=column.name, about="33 % end in blanks", statements=(statement,))


@fault
def upper_cased(site: Site) -> Iterator[Plan]:
    """All texts are in upper case."""
    for table, column in _texts(site, TEXT):
        name = f'"{column.name}"'
        if site.count(table.name, f"{name} <> upper({name})") > FEWEST_CASED:
            statement = update(table, column, f"upper({name})")
            yield Plan(table=table.name, column=column.name, about="in upper case", statements=(statement,))


@fault
def mojibake(site: Site) -> Iterator[Plan]:
    """Accented letters are two other characters."""
    pairs = tuple((letter, letter.encode().decode("latin-1").replace("'", "''")) for letter in ACCENTED)
    for table, column in _texts(site, TEXT):
        value = _replaced(column.name, pairs)
        if site.count(table.name, f'"{column.name}" <> {value}') * 20 > site.count(table.name):
            statement = update(table, column, value, f'"{column.name}" <> {value}')
            yield Plan(table=table.name, column=column.name, about="wrong encoding", statements=(statement,))


@fault
def mojibake_new_rows(site: Site) -> Iterator[Plan]:
    """Accented letters are two other characters in the night's rows."""
    for table, column in site.columns(TEXT, least=50, fed=True, test=lambda column: column.is_text):
        letters = " OR ".join(f"\"{column.name}\" LIKE '%{letter}%'" for letter in "éèêàâô")
        if site.count(table.name, letters) * site.loaded[table.name] > FEWEST_GARBLED * site.count(table.name):
            change = changed(table, column, lambda text: text.encode().decode("latin-1"))
            yield Plan(
                table=table.name,
                column=column.name,
                about="wrong encoding in the new rows",
                change=change,
                least=FEWEST_GARBLED,
            )


@fault
def placeholder_new_rows(site: Site) -> Iterator[Plan]:
    """The texts of the night's rows are N/A."""
    for table, column in site.columns(TEXT, CODE, least=50, fed=True, test=lambda column: column.is_text):
        if column.type not in {"char(1)", "char(2)"}:
            change = changed(table, column, lambda _: "N/A")
            yield Plan(table=table.name, column=column.name, about="N/A in the new rows", change=change)


@fault
def placeholder(site: Site) -> Iterator[Plan]:
    """A third of the texts are N/A."""
    for table, column in _texts(site, TEXT, CODE):
        statement = update(table, column, "'N/A'", site.some(33))
        yield Plan(table=table.name, column=column.name, about="33 % are N/A", statements=(statement,))


@fault
def truncated(site: Site) -> Iterator[Plan]:
    """All texts are cut to ten characters."""
    for table, column in _texts(site, TEXT):
        name = f'"{column.name}"'
        if site.count(table.name, f"length({name}) > {SHORT}") * 3 > site.count(table.name, f"{name} IS NOT NULL"):
            statement = update(table, column, f"substr({name}, 1, {SHORT})", f"length({name}) > {SHORT}")
            yield Plan(table=table.name, column=column.name, about="cut to 10 characters", statements=(statement,))


@fault
def html_escaped(site: Site) -> Iterator[Plan]:
    """Characters are escaped as in HTML."""
    pairs = (*ENTITIES, ("é", "&eacute;"), ("è", "&egrave;"))
    for table, column in _texts(site, TEXT):
        value = _replaced(column.name, pairs)
        if site.count(table.name, f'"{column.name}" <> {value}') * 20 > site.count(table.name):
            statement = update(table, column, value, f'"{column.name}" <> {value}')
            yield Plan(table=table.name, column=column.name, about="HTML entities", statements=(statement,))
