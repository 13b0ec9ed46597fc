"""Levels: which levels a column may have, must have, or has for the first time.

Levels that metric pack basic suppresses are unknown: neither there nor missing. All levels of a column are known if it
stores as many as the column has.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import transfer
import usable_dates
from figures import counted
from laws import BREACHED, NOT_JUDGED, OK, UNKNOWN, Told
from psycopg import sql

if TYPE_CHECKING:
    import datetime as dt

    import psycopg
    from asked import Levels
    from checks import Check
    from laws import Numbers

KEYS = ["table", "column"]
STORED: dict[str, Any] = {**dict.fromkeys((*KEYS, "value"), pl.String), "frequency": pl.Int64}
COUNTED: dict[str, Any] = {**dict.fromkeys(KEYS, pl.String), "levels_count": pl.Int64}


class LevelLaw:
    """Judges levels on one endpoint and date.

    Args:
        base: the HDM base, in a repeatable transaction.
        slug: the endpoint.
        date: the judged date.
    """

    def __init__(self, base: psycopg.Connection[Any], slug: str, date: dt.date) -> None:
        self._base, self._slug, self._date = base, slug, date

    def __call__(self, check: Check, _: Numbers, objects: pl.DataFrame, /) -> Told:
        """Judge columns: see laws.Law. The metric is levels_count."""
        law: Levels = check.law
        columns = objects.select(*KEYS, pl.col("levels_count").alias("count"))
        stored = self._stored(self._date, columns)
        is_whole = _is_whole(columns, stored)
        if law.ask == "new":
            return self._new(columns, stored)
        listed = pl.col("value").is_in(pl.Series(law.values, dtype=pl.String).implode())
        if law.ask == "required":
            found = _per_column(columns, stored.filter(listed))
            absent = len(law.values) - found["levels"].to_numpy()
            outcome = np.where(absent == 0, OK, np.where(is_whole, BREACHED, UNKNOWN)).astype(np.int8)
            words = [f"{counted(int(one), 'level is', 'levels are')} missing" for one in absent]
            observed = [str(int(one)) for one in found["levels"]]
            threshold = str(len(law.values))
            return Told(outcome, pl.DataFrame({"observed": observed, "threshold": threshold, "detail": words}))
        found = _per_column(columns, stored.filter(listed if law.ask == "forbidden" else ~listed))
        return _told(found, np.where(is_whole, OK, UNKNOWN))

    def _new(self, columns: pl.DataFrame, stored: pl.DataFrame) -> Told:
        """Levels that the former usable date did not have, if it knew all of its own."""
        if self._former is None:
            nothing = np.full(columns.height, NOT_JUDGED, np.int8)
            return Told(nothing, pl.DataFrame({"detail": [""] * columns.height}))
        before = self._stored(self._former, columns)
        former = self._counts(self._former, columns)
        counts = columns.select(KEYS).join(former, on=KEYS, how="left", maintain_order="left")
        was_whole = _is_whole(counts.rename({"levels_count": "count"}), before)
        found = _per_column(columns, stored.join(before, on=[*KEYS, "value"], how="anti"))
        told = _told(found, np.full(columns.height, OK))
        unknown = np.where(counts["levels_count"].is_null().to_numpy(), NOT_JUDGED, UNKNOWN)
        outcome = np.where((told.outcome == BREACHED) & ~was_whole, unknown, told.outcome)
        return told._replace(outcome=outcome.astype(np.int8))

    @cached_property
    def _former(self) -> dt.date | None:
        former = [one.day for one in usable_dates.dates(self._base, self._slug, self._date, 2) if one.day < self._date]
        return former[-1] if former else None

    def _stored(self, date: dt.date, columns: pl.DataFrame) -> pl.DataFrame:
        """The stored levels of columns."""
        return self._read("metric_basic_levels", STORED, date, columns)

    def _counts(self, date: dt.date, columns: pl.DataFrame) -> pl.DataFrame:
        """How many levels columns had."""
        return self._read("metric_basic", COUNTED, date, columns)

    def _read(self, relation: str, schema: dict[str, Any], date: dt.date, columns: pl.DataFrame) -> pl.DataFrame:
        query = sql.SQL('SELECT {} FROM {} WHERE endpoint = {} AND "date" = {} AND "table" = ANY({}::text[])').format(
            sql.SQL(", ").join(map(sql.Identifier, schema)),
            sql.Identifier(relation),
            *map(sql.Literal, (self._slug, date, columns["table"].unique().to_list())),
        )
        return transfer.read(self._base, query, schema).join(columns, on=KEYS, how="semi")


def _is_whole(columns: pl.DataFrame, stored: pl.DataFrame) -> Any:
    """Whether all levels of each column are stored."""
    numbers = _per_column(columns, stored)["levels"]
    return (numbers == columns["count"]).fill_null(value=False).to_numpy()


def _per_column(columns: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """How many levels and rows each column has of some levels."""
    totals = stored.group_by(KEYS).agg(pl.len().cast(pl.Int64).alias("levels"), pl.col("frequency").sum().alias("rows"))
    return columns.select(KEYS).join(totals, on=KEYS, how="left", maintain_order="left").fill_null(0)


def _told(found: pl.DataFrame, otherwise: Any) -> Told:
    """A breach where levels were found."""
    outcome = np.where(found["levels"].to_numpy() > 0, BREACHED, otherwise).astype(np.int8)
    words = [
        f"{counted(levels, 'level', 'levels')} in {counted(rows, 'row')}; codes are not shown"
        for levels, rows in found.select("levels", "rows").iter_rows()
    ]
    return Told(outcome, pl.DataFrame({"observed": found["rows"].cast(pl.String), "detail": words}))
