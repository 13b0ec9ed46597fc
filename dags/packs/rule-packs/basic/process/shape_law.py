"""Shape: which tables a database must have, and which columns a table must have, of which types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import conditions
import numpy as np
import polars as pl
import transfer
from asked import ANY, Columns, Tables
from laws import BREACHED, OK, UNKNOWN, Told
from psycopg import sql

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Mapping

    import psycopg
    from checks import Check
    from laws import Numbers

NAMED = 5  # names in a message


class ShapeLaw:
    """Judges what there is on one endpoint and date.

    Args:
        base: the HDM base, in a repeatable transaction.
        slug: the endpoint.
        date: the judged date.
        incomplete: tables, and columns as table.column, that were not measured: they may be there.
    """

    def __init__(self, base: psycopg.Connection[Any], slug: str, date: dt.date, incomplete: Collection[str]) -> None:
        self._base, self._slug, self._date, self._incomplete = base, slug, date, frozenset(incomplete)

    def __call__(self, check: Check, _: Numbers, objects: pl.DataFrame, /) -> Told:
        """Judge databases or tables: see laws.Law."""
        return self._tables(check.law, objects) if isinstance(check.law, Tables) else self._columns(check.law, objects)

    def _tables(self, law: Tables, objects: pl.DataFrame) -> Told:
        there = self._read("metric_basic_table", ["table"], law.names)["table"]
        absent = [name for name in law.names if name not in {*there}]
        missing = [name for name in absent if name not in self._incomplete]
        outcome = BREACHED if missing else UNKNOWN if absent else OK
        words = _missing("table", missing) if missing else ""
        frame = pl.DataFrame({"observed": [str(len(law.names) - len(missing))], "threshold": [str(len(law.names))]})
        told = pl.concat([frame.with_columns(pl.lit(words).alias("detail"))] * objects.height)
        return Told(np.full(objects.height, outcome, np.int8), told)

    def _columns(self, law: Columns, objects: pl.DataFrame) -> Told:
        tables = objects["table"].to_list()
        read = self._read("metric_basic", ["table", "column", "data_type"], tables)
        types: dict[str, dict[str, str]] = {table: {} for table in tables}
        for table, column, kind in read.iter_rows():
            types[table][column] = kind or ""
        found = [self._of_table(law, table, types[table]) for table in tables]
        words = pl.DataFrame({"detail": [detail for _, detail in found]}, schema={"detail": pl.String})
        return Told(np.array([outcome for outcome, _ in found], np.int8), words)

    def _of_table(self, law: Columns, table: str, types: Mapping[str, str]) -> tuple[int, str]:
        """The outcome of a table, and what differs."""
        wanted = dict(law.types)
        absent = [name for name in wanted if name not in types]
        missing = [name for name in absent if f"{table}.{name}" not in self._incomplete]
        others = [] if law.allows_others else sorted(types.keys() - wanted.keys())
        retyped = [
            f"{name} is {types[name]}"
            for name, kind in wanted.items()
            if name in types and kind != ANY and not conditions.matches(kind.lower(), types[name].lower())
        ]
        said = [_missing("column", missing)] if missing else []
        said += [", ".join(_few(retyped))] if retyped else []
        said += [f"not expected: {', '.join(_few(others))}"] if others else []
        if said:
            return BREACHED, "; ".join(said)
        return UNKNOWN if absent else OK, ""

    def _read(self, relation: str, names: list[str], tables: Collection[str]) -> pl.DataFrame:
        query = sql.SQL('SELECT {} FROM {} WHERE endpoint = {} AND "date" = {} AND "table" = ANY({}::text[])').format(
            sql.SQL(", ").join(map(sql.Identifier, names)),
            sql.Identifier(relation),
            *map(sql.Literal, (self._slug, self._date, [*tables])),
        )
        return transfer.read(self._base, query, dict.fromkeys(names, pl.String))


def _missing(what: str, names: list[str]) -> str:
    return f"missing {what}{'' if len(names) == 1 else 's'}: {', '.join(_few(names))}"


def _few(names: list[str]) -> list[str]:
    more = [f"{len(names) - NAMED:,} more"] if len(names) > NAMED else []
    return [*names[:NAMED], *more]
