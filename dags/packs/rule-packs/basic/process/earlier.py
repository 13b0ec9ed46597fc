"""Earlier dates: what the metrics of an object were on the usable dates before the judged one.

Usable are the dates of `usable_dates`; of partial ones all but what was not measured. Of a date on which a shipped rule
found something at an object's place, the object's metrics are left out, unless it is the third such date in a row: then
what was found has become usual. So it has if somebody accepted it from that date on.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import polars as pl
import relations
import transfer
import usable_dates
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    import psycopg
    from relations import Metric

DATES = 28  # how many usable dates count
IN_A_ROW = 3
DAY = "day_number"  # the column with the date, in days since 1970
EPOCH = usable_dates.EPOCH

PLACES: dict[str, Any] = {"table": pl.String, "column": pl.String, DAY: pl.Int64}

FOUND = """
SELECT a."table", a."column", a."date" - date '1970-01-01' FROM hdm_alerts a
JOIN rule_basic r ON r.id_rule::text = a.rule_id
WHERE a.rule_pack = 'basic' AND a.endpoint = {slug} AND a."date" = ANY({dates}) AND a."table" IS NOT NULL
    AND a.alert_level <> 'Info' AND r.rule_name IN (SELECT rule_name FROM rule_basic WHERE shipped <> '')
    AND r.rule_name <> ALL ({new})
    AND NOT EXISTS (
        SELECT FROM {accepted} b
        WHERE b.id_rule = r.id_rule AND b.endpoint = a.endpoint AND b.from_date = a."date"
            AND b."table" IN ('', a."table") AND b."column" IN ('', coalesce(a."column", '')))"""
# Shipped rules on what is new, or of a new type: its values are sound, and no earlier date compares with them
NEW = ("new table", "new column", "renamed table", "renamed column", "retyped column")


class Earlier:
    """The earlier usable dates of one endpoint.

    Args:
        base: the HDM base.
        slug: the endpoint.
        date: the judged date.
        known: the metrics that exist.
        before: only dates before this one count; None: before `date`.
    """

    def __init__(
        self,
        base: psycopg.Connection[Any],
        slug: str,
        date: dt.date,
        known: Mapping[tuple[str, str], Metric],
        before: dt.date | None = None,
    ) -> None:
        self._base, self._slug, self._known = base, slug, known
        self.date = date
        usable = usable_dates.compared(base, slug, date, DATES + 1, before or date)[:-1]
        self.dates = [one.day for one in usable]
        self.starts = usable_dates.since(base, slug, date)
        self.missing = {one.day.toordinal() - EPOCH: one.missing for one in usable if one.missing}
        self._unusual = self._found()

    @property
    def newest(self) -> dt.date | None:
        """The newest usable date."""
        return self.dates[-1] if self.dates else None

    def apart(self) -> AbstractContextManager[Any]:
        """A part of the transaction: if an error ends it, what else is read and written stays possible."""
        return self._base.transaction()

    def former(
        self, of: str, names: Sequence[str], objects: pl.DataFrame, tables: pl.Series | None = None
    ) -> pl.DataFrame:
        """The metrics of each object on its newest date that counts: its keys, DAY, names. Others are missing.

        Args:
            of: what the objects are.
            names: the metrics.
            objects: the keys.
            tables: those of the objects; None: they are all objects.
        """
        keys = list(relations.SOURCES[of].keys)
        if self.newest is None:
            return self._empty(of, names)
        read = self._read(of, names, [self.newest], None if tables is None else tables.to_frame("table"))
        found = self._counted(read, keys)
        others = objects.select(keys).join(found, on=keys, how="anti")
        if others.is_empty() or len(self.dates) == 1:
            return found
        newest = self.recall(of, [], others).group_by(keys).agg(pl.col(DAY).max())
        parts = [found]
        for (day,), some in newest.sort(DAY).group_by(DAY, maintain_order=True):
            date = dt.date.fromordinal(int(str(day)) + EPOCH)
            parts.append(self._read(of, names, [date], some).join(some, on=[*keys, DAY], how="semi"))
        return pl.concat(parts)

    def recall(self, of: str, names: Sequence[str], objects: pl.DataFrame, *, all_dates: bool = False) -> pl.DataFrame:
        """The metrics of some objects on all dates that count: keys, DAY, names; one row per object and date.

        Args:
            of: what the objects are.
            names: the metrics.
            objects: the keys. Their tables and columns are named in the query: of many objects, ask a slice at a time.
            all_dates: also those on which something was found.
        """
        keys = list(relations.SOURCES[of].keys)
        if not self.dates or objects.is_empty():
            return self._empty(of, names)
        found = self._read(of, names, self.dates, objects).join(objects.select(keys), on=keys, how="semi")
        return self._measured(found, keys) if all_dates else self._counted(found, keys)

    def at(self, of: str, names: Sequence[str], date: dt.date, objects: pl.DataFrame) -> pl.DataFrame:
        """The metrics of a few objects on one date, whatever it is: keys, DAY, names."""
        keys = list(relations.SOURCES[of].keys)
        return self._read(of, names, [date], objects).join(objects.select(keys), on=keys, how="semi")

    def levels_at(self, columns: pl.DataFrame, tables: pl.Series | None = None) -> pl.DataFrame:
        """The levels of columns on one date each: "table", "column", value, frequency.

        Args:
            columns: "table", "column", DAY; null: none.
            tables: those of the columns; None: they are all columns.
        """
        days = columns[DAY].drop_nulls().unique()
        if days.is_empty():
            return pl.DataFrame(schema=dict.fromkeys(("table", "column", "value"), pl.String) | {"frequency": pl.Int64})
        dates = [dt.date.fromordinal(day + EPOCH) for day in days]
        found = self._read("level", ["frequency"], dates, None if tables is None else tables.to_frame("table"))
        return found.join(columns, on=["table", "column", DAY], how="semi").drop(DAY)

    def levels_of(self, columns: pl.DataFrame) -> pl.DataFrame:
        """The levels of some columns on all dates that count: "table", "column", value, DAY, frequency."""
        found = self._read("level", ["frequency"], self.dates, columns)
        return self._counted(found.join(columns, on=["table", "column"], how="semi"), ["table", "column"])

    def days_of(self, columns: pl.DataFrame) -> pl.DataFrame:
        """The rows per day of some event columns on all dates that count: keys, DAY, rows_count."""
        if not self.dates or columns.is_empty():
            return self._empty("day", ["rows_count"])
        found = self._read("day", ["rows_count"], self.dates, columns)
        return self._counted(found.join(columns, on=["table", "column"], how="semi"), ["table"])

    def _read(
        self, of: str, names: Sequence[str], dates: Sequence[dt.date], objects: pl.DataFrame | None = None
    ) -> pl.DataFrame:
        """The metrics of some dates; `objects`: only of the tables, or the tables and columns, that they name."""
        keys = relations.SOURCES[of].keys
        metrics = {name: self._known[of, name] for name in names}
        relation = next((metric.relation for metric in metrics.values()), relations.SOURCES[of].relations[0])
        schema = {**dict.fromkeys(keys, pl.String), DAY: pl.Int64, **{n: m.dtype for n, m in metrics.items()}}
        columns: list[sql.Composable] = [sql.Identifier("m", key) for key in keys]
        columns += [sql.SQL("""m."date" - date '1970-01-01'""")]
        columns += [relations.transferred(sql.Identifier("m", name), metric) for name, metric in metrics.items()]
        wanted: sql.Composable = sql.SQL("")
        if objects is not None:
            named = [name for name in objects.columns if name in keys]
            wanted = sql.SQL(" AND {}").format(transfer.among(sql.Identifier("m"), objects.select(named)))
        query = sql.SQL('SELECT {} FROM {} m WHERE m.endpoint = {} AND m."date" = ANY({}::date[]){}').format(
            sql.SQL(", ").join(columns),
            sql.Identifier(relation),
            sql.Literal(self._slug),
            sql.Literal(list(dates)),
            wanted,
        )
        return transfer.read(self._base, query, schema)

    def _empty(self, of: str, names: Sequence[str]) -> pl.DataFrame:
        keys = dict.fromkeys(relations.SOURCES[of].keys, pl.String)
        return pl.DataFrame(schema={**keys, DAY: pl.Int64, **{name: self._known[of, name].dtype for name in names}})

    def _measured(self, found: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
        """Without what a partial date says of objects that were not measured, or in part."""
        for day, missing in self.missing.items():
            found = found.filter((pl.col(DAY) != day) | ~usable_dates.is_missing(keys, missing))
        return found

    def _found(self) -> pl.DataFrame:
        """The places and days of what was found, that do not count: "table", "column" (null: the whole table), DAY."""
        if not self.dates:
            return pl.DataFrame(schema=PLACES)
        query = sql.SQL(FOUND).format(
            slug=sql.Literal(self._slug),
            dates=sql.Literal(self.dates),
            new=sql.Literal(list(NEW)),
            accepted=usable_dates.accepted(self._base),
        )
        alerts = transfer.read(self._base, query, PLACES).unique()
        order = pl.DataFrame(
            {DAY: [date.toordinal() - EPOCH for date in self.dates], "nth": range(len(self.dates))},
            schema={DAY: pl.Int64, "nth": pl.Int64},
        )
        place = ["table", "column"]
        return (
            alerts.join(order, on=DAY)
            .sort(*place, "nth", nulls_last=True)
            .with_columns((pl.col("nth") - pl.int_range(pl.len()).over(place)).alias("row"))
            .filter(pl.int_range(pl.len()).over(*place, "row") < IN_A_ROW - 1)
            .select(*PLACES)
        )

    def _counted(self, found: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
        """Without the dates on which the object was not measured, or something was found at its place."""
        found = self._measured(found, keys)
        if self._unusual.is_empty() or "table" not in keys:
            return found
        whole = self._unusual.filter(pl.col("column").is_null()).select("table", DAY)
        found = found.join(whole, on=["table", DAY], how="anti")
        if "column" not in keys:
            return found
        return found.join(
            self._unusual.drop_nulls().select("table", "column", DAY), on=["table", "column", DAY], how="anti"
        )
