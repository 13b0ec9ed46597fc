"""Asked: what laws other than `usual` ask, as rule_content states it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import datetime as dt

ANY = "*"
FORMER = "former"


class Levels(NamedTuple):
    """`"forbidden"`, `"allowed"`, `"required"` or `"new"`: which levels a column may have."""

    ask: str
    values: tuple[str, ...]  # () of new


class Tables(NamedTuple):
    """`"tables"`: which tables a database must have."""

    names: tuple[str, ...]


class Columns(NamedTuple):
    """`"columns"`: which columns a table must have."""

    types: tuple[tuple[str, str], ...]  # name and a pattern for the type; ANY: of any type
    allows_others: bool


class Other(NamedTuple):
    """The other side of a comparison: what is left out is as on this side."""

    endpoint: str = ""  # slug
    days: int = 0  # before the judged date, negative
    date: dt.date | None = None
    version: str = ""  # of the database: the newest date that has it; FORMER: the one before
    table: str = ""
    column: str = ""


class Compare(NamedTuple):
    """`"with"`: the metric of another side."""

    other: Other
    condition: str  # ==, <=, >=: what holds if all is well
    tolerance: float  # in the metric's unit
    percent: float  # of the other side, 0-


class Sql(NamedTuple):
    """A query of a rule of type sql."""

    query: str
    wants_none: bool  # a row is a breach; False: no row is, or the levels decide
    levels: tuple[Any, ...]  # conditions on the number that it returns, the gravest first; (): its rows count
    triggers_on: bool  # the outcome of a condition that is a breach
    shows: bool  # alerts may show the number
