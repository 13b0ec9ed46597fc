"""An endpoint's tables and columns, as the engines describe them, and which of them are selected."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import privacy
from patterns import Choice, Patterns, plain_name, plain_patterns

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

    from settings import Settings

# The kinds of columns: the values of infered_data_type.
INTEGER, FLOAT, TEXT = "integer", "float", "text"
DATE, DATETIME, TIME, BOOLEAN, OTHER = "date", "datetime", "time", "boolean", "other"
NUMBERS = frozenset({INTEGER, FLOAT})
DATES = frozenset({DATE, DATETIME})

DERIVED = frozenset({"view", "materialized view", "foreign table"})  # they show columns of other tables

MAX_NAME_BYTES = 500  # of a column: SQLite names some by expressions of any length, which may not fit into an index
MAX_NAMED = 5  # patterns or columns listed in one warning

# The configuration keys that hold patterns, by what the patterns match.
SCHEMA_KEYS = ("schemas", "exclude_schemas")
TABLE_KEYS = ("tables", "exclude_tables")
COLUMN_KEYS = ("columns", "exclude_columns", "identifying", "not_identifying", "exclude_levels")


@dataclass(frozen=True)
class Column:
    """One column, as declared."""

    name: str
    data_type: str  # the database's own spelling, e.g. numeric(10,2)
    kind: str
    base: str  # the engine's underlying type, without length and domain, e.g. numeric
    key_constraint: str = ""  # primary, unique or referenced, if a constraint on this column alone says so
    foreign: bool = False  # references another table
    identifying: bool = False  # its comment in the database contains hdm:identifying: never read
    not_identifying: bool = False  # the configuration says so: what the name suggests does not apply
    readable: bool = True  # False: the account may not read it
    required: bool = False  # declared not null
    may_be_births: bool = False  # its numbers are neither years nor weights, and its name suggests births

    @property
    def has_dates(self) -> bool:
        """Whether it holds dates or datetimes."""
        return self.kind in DATES

    @property
    def has_short_name(self) -> bool:
        """Whether the name fits into an index of the HDM base."""
        return len(self.name) <= MAX_NAME_BYTES and (self.name.isascii() or len(self.name.encode()) <= MAX_NAME_BYTES)


@dataclass(frozen=True)
class Table:
    """One table or view."""

    schema: str  # "" where the engine has none
    name: str
    label: str  # as stored: the plain name in the default schema, otherwise schema.table
    columns: tuple[Column, ...]
    type: str = "table"  # or view, materialized view, foreign table, partitioned table
    bytes: int | None = None  # on disk, if the database reports it
    last_change: dt.datetime | None = None  # UTC, naive
    has_key: bool = False  # a primary key or unique constraint without nulls: no row repeats another
    is_whole: bool = True  # False: some of its columns are not read

    @property
    def names(self) -> tuple[str, ...]:
        """The names that patterns of tables match: the label and schema.table."""
        return tuple(dict.fromkeys((self.label, f"{self.schema}.{self.name}" if self.schema else self.name)))


@dataclass(frozen=True)
class Scope:
    """The part of an endpoint to measure."""

    tables: tuple[Table, ...]  # with the selected columns; a table without any still has its rows counted
    unreadable: tuple[str, ...]  # `table.column`: selected but not readable, reported as incomplete
    warnings: tuple[str, ...]  # patterns that match nothing


def chosen(tables: Iterable[Table], settings: Settings) -> Scope:
    """The tables and columns that the configuration selects.

    Exclusion takes precedence over inclusion. Patterns of schemas do not apply to tables without a schema. Columns of
    views have no tags of their own, so every name that is tagged anywhere is excluded from views.

    Of `identifying` and `not_identifying`, the more specific pattern applies; `identifying` if they are equal. Nothing
    overrides a tag.
    """
    everything = list(tables)
    schemas = Choice(settings.schemas, settings.exclude_schemas)
    names = Choice(settings.tables, settings.exclude_tables)
    columns = Choice(settings.columns, settings.exclude_columns, plain=True)
    tagged = {plain_name(column.name) for table in everything for column in table.columns if column.identifying}
    found, unreadable, overruled = [], [], []
    for table in everything:
        if (table.schema and not schemas.includes(table.schema)) or not names.includes(*table.names):
            continue
        hidden = tagged if table.type in DERIVED else set()
        selected = table.columns
        if columns:
            selected = tuple(c for c in selected if columns.includes(*column_names(table, c)))
        judged = [_judged(table, c, settings, is_tagged=plain_name(c.name) in hidden) for c in selected]
        if settings.not_identifying:
            overruled += [f"{table.label}.{c.name}" for c in judged if _is_overruled(table, c, settings)]
        wanted = [c for c in judged if not c.identifying]
        can = [c for c in wanted if _can_read(c)]
        found.append(replace(table, columns=tuple(can), is_whole=len(can) == len(table.columns)))
        if len(can) < len(wanted):
            unreadable += [f"{table.label}.{c.name}"[:MAX_NAME_BYTES] for c in wanted if not _can_read(c)]
    warnings = _unmatched(everything, settings)
    if overruled:
        warnings += (f"not_identifying: a tag or a pattern at least as specific overrules it: {_listed(overruled)}",)
    return Scope(tuple(found), tuple(unreadable), warnings)


def _can_read(column: Column) -> bool:
    return column.readable and column.has_short_name


def column_names(table: Table, column: Column) -> tuple[str, ...]:
    """The names that patterns of columns match, in lower case without accents: column and table.column."""
    name = plain_name(column.name)
    return (name, *(f"{plain_name(of_table)}.{name}" for of_table in table.names))


def has_excluded_levels(table: Table, column: Column, settings: Settings) -> bool:
    """Whether the configuration excludes the column's levels."""
    return plain_patterns(settings.exclude_levels).match(*column_names(table, column))


def _judged(table: Table, column: Column, settings: Settings, *, is_tagged: bool) -> Column:
    """The column, as its tag, its name and the configuration say whether it identifies persons."""
    if column.identifying or is_tagged:
        return replace(column, identifying=True)
    if not settings.identifying and not settings.not_identifying:
        return column
    place = column_names(table, column)
    listed = plain_patterns(settings.identifying).specificity(*place)
    denied = plain_patterns(settings.not_identifying).specificity(*place)
    if listed and not (denied and denied > listed):
        return replace(column, identifying=True)
    return replace(column, not_identifying=True) if denied and privacy.yields_to(denied, column) else column


def _is_overruled(table: Table, column: Column, settings: Settings) -> bool:
    return not column.not_identifying and plain_patterns(settings.not_identifying).match(*column_names(table, column))


def _listed(names: list[str]) -> str:
    """The first few names."""
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more


def _unmatched(tables: list[Table], settings: Settings) -> tuple[str, ...]:
    """A warning for each key with patterns that match nothing: a spelling mistake, or a name that no longer exists."""
    schemas: list[tuple[str, ...]] = [(schema,) for schema in {table.schema for table in tables} if schema]
    columns: list[tuple[str, ...]] = []
    if any(getattr(settings, key) for key in COLUMN_KEYS):
        columns = [column_names(table, column) for table in tables for column in table.columns]
    named_by = {
        **dict.fromkeys(SCHEMA_KEYS, schemas),
        **{key: [table.names for table in tables] for key in TABLE_KEYS},
        **dict.fromkeys(COLUMN_KEYS, columns),
    }
    warnings = []
    for key, named in named_by.items():
        if key in SCHEMA_KEYS and not named:
            continue  # the engine has no schemas: the patterns are meant for other endpoints
        given = [(pattern, Patterns((pattern,), plain=key in COLUMN_KEYS)) for pattern in getattr(settings, key)]
        unmatched = [repr(pattern) for pattern, one in given if not any(one.match(*names) for names in named)]
        if unmatched:
            warnings.append(f"{key}: nothing matches {_listed(unmatched)}")
    return tuple(warnings)
