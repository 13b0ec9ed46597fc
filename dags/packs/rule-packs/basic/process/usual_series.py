"""Series: the values of metrics on all usable dates, by object, for usual values.

All metrics of a relation that rules with `"usual"` name are read together, by one COPY. A date is sent as a few strings
of bytes: the identities of its objects, and one number of each per metric. Many objects have the same series, since
most metrics never change: each is kept once.

Metrics of a sample are compared only with those of samples, as the views of trends do.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import transfer
import usable_dates
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    import psycopg
    from numpy.typing import NDArray
    from usable_dates import Date

    Floats = NDArray[np.float64]
    Numbers = NDArray[np.int64]

TABLES = "metric_basic_table"  # says of each table whether a sample was read
DATES = 84  # with the judged one: 56 errors of forecasts, each of which needs a week, and three weeks for interruptions
BLOCK_CELLS = 6_000_000  # objects x dates x metrics that are read at a time: 48 MB
KEPT_CELLS = 12_000_000  # of different series that are kept for the next metric: 96 MB
FEW = 10  # if a metric is judged of so few percent of a relation's objects, only these are read
SEEDS = 8  # of identities: 64 bits are the same for two of a million objects once in 30,000,000 times


@dataclass(frozen=True)
class Block:
    """The series of one metric, of some of the objects."""

    objects: Numbers  # their rows in the frame of objects
    different: Floats  # the different series, in rows, by date; NaN: no value that may be used
    which: Numbers  # of each object, its row in `different`

    @property
    def values(self) -> Floats:
        """The series of each object."""
        return self.different[self.which]


@dataclass(frozen=True)
class _Kept:
    """All objects of a relation."""

    keys: pl.DataFrame  # their keys, and `at`: the index of each
    metrics: dict[str, tuple[Floats, Numbers]]  # different series, the last of which has no value; which is whose


class Series:
    """The series of one endpoint.

    Args:
        base: the HDM base, in a transaction: a repeatable one, if other reads are to match.
        slug: the endpoint.
        dates: ascending; the last one is judged.
        metrics: by table or view, such as metric_basic: the numbers that are going to be asked for.
        sampled: the tables and views that have sample_rows. Of others, the object's table tells.
    """

    def __init__(
        self,
        base: psycopg.Connection[Any],
        slug: str,
        dates: Sequence[Date],
        metrics: Mapping[str, Sequence[str]],
        sampled: Collection[str],
    ) -> None:
        self._base, self._slug, self._dates = base, slug, tuple(dates)
        self._metrics, self._sampled = metrics, sampled
        self._readers: dict[str, _Reader] = {}
        self._kept: dict[str, _Kept] = {}
        self._parts: dict[str, list[list[str]]] = {}  # tables of relations of which too much would have to be kept
        self._free = KEPT_CELLS

    def blocks(self, relation: str, metric: str, objects: pl.DataFrame) -> Iterator[Block]:
        """The series of some objects; together the blocks have each object once.

        Args:
            relation: the table or view.
            metric: one of its metrics.
            objects: one row per object, and one column per key of the relation besides endpoint and date; no columns:
                the one object of an endpoint's date, such as its database.
        """
        if objects.columns and objects.is_empty():
            yield Block(np.empty(0, np.int64), np.full((1, len(self._dates)), np.nan), np.empty(0, np.int64))
            return
        reader = self._reader(relation, tuple(objects.columns))
        if relation not in self._kept and relation not in self._parts:
            if objects.columns and objects.height * 100 < FEW * reader.objects.height:
                yield _block(reader.read([metric], places=objects), metric, objects)
                return
            self._read_all(reader, self._metrics[relation])
        if relation in self._kept:
            yield _block(self._kept[relation], metric, objects)
            return
        numbered = objects.with_row_index("row")
        for tables in self._parts[relation]:
            some = numbered.filter(pl.col("table").is_in(tables))
            if some.height:
                yield _block(reader.read([metric], tables=tables), metric, some.drop("row"), some["row"])

    def _reader(self, relation: str, keys: tuple[str, ...]) -> _Reader:
        if relation not in self._readers:
            has_samples = relation in self._sampled
            self._readers[relation] = _Reader(self._base, self._slug, self._dates, relation, keys, has_samples)
        return self._readers[relation]

    def _read_all(self, reader: _Reader, metrics: Sequence[str]) -> None:
        """Keep the series of all objects of a relation, unless they are too many that differ."""
        parts = reader.parts(len(metrics))
        if len(parts) == 1:
            self._kept[reader.relation] = reader.read(metrics)
            self._free -= _cells(self._kept[reader.relation])
            return
        found: list[_Kept] = []
        for tables in parts:
            found.append(reader.read(metrics, tables=tables))
            self._free -= _cells(found[-1])
            if self._free < 0:
                self._parts[reader.relation] = parts
                self._free += sum(map(_cells, found))
                return
        self._kept[reader.relation] = _together(found)


class _Reader:
    """Reads one relation."""

    def __init__(
        self,
        base: psycopg.Connection[Any],
        slug: str,
        dates: tuple[Date, ...],
        relation: str,
        keys: tuple[str, ...],
        has_samples: bool,  # a column of the relation
    ) -> None:
        self._base, self._slug, self._dates = base, slug, dates
        self.relation, self._keys, self._has_samples = relation, keys, has_samples
        self._seed = 0

    @functools.cached_property
    def objects(self) -> pl.DataFrame:
        """The judged date's objects: their keys, and identity."""
        for seed in range(SEEDS):
            self._seed = seed
            found = self._found()
            if not found["identity"].is_duplicated().any():
                return found
        raise ValueError(f"{self.relation} has objects that cannot be told apart")

    def parts(self, metrics: int) -> list[list[str]]:
        """The tables, in parts of which so many metrics of all dates can be read at a time; [[]]: all of them."""
        size = max(1, BLOCK_CELLS // (len(self._dates) * metrics))
        if "table" not in self._keys or self.objects.height <= size:
            return [[]]
        counts = self.objects.group_by("table").len("count").sort("table")
        numbered = counts.with_columns(((pl.col("count").cum_sum() - 1) // size).alias("part"))
        return [some["table"].to_list() for _, some in numbered.group_by("part", maintain_order=True)]

    def read(self, metrics: Sequence[str], *, tables: Sequence[str] = (), places: pl.DataFrame | None = None) -> _Kept:
        """The series of the judged date's objects, by one COPY.

        Args:
            metrics: columns of the relation.
            tables: only of these; none: of all.
            places: only at these tables, or tables and columns.
        """
        keys = self.objects
        conditions: list[sql.Composable] = [sql.SQL("m.endpoint = {}").format(sql.Literal(self._slug))]
        if tables:
            keys = keys.filter(pl.col("table").is_in(tables))
            conditions.append(sql.SQL('m."table" = ANY({}::text[])').format(sql.Literal(list(tables))))
        if places is not None:
            keys = keys.join(places, on=places.columns, how="semi")
            conditions.append(transfer.among(sql.Identifier("m"), places))
        found = {metric: np.full((len(self._dates), keys.height), np.nan) for metric in metrics}
        before, objects, rows = b"", np.empty(0, np.int64), np.empty(0, np.int64)
        for nth, identities, *numbers in transfer.packed(self._base, self._query(metrics, conditions)):
            if identities is None or nth is None:
                continue  # nothing was measured on this date
            if identities != before:
                before = identities
                objects, rows = _matched(np.frombuffer(before, ">i8"), keys["identity"])
            day = int.from_bytes(nth, "big") - 1
            for metric, values in zip(metrics, numbers, strict=True):
                found[metric][day, objects] = np.frombuffer(values or b"", ">f8")[rows]
        for day, date in enumerate(self._dates):
            if date.missing:
                gone = keys.select(usable_dates.is_missing(self._keys, date.missing)).to_series().to_numpy()
                for matrix in found.values():
                    matrix[day, gone] = np.nan
        numbered = keys.drop("identity").with_row_index("at")
        return _Kept(numbered, {metric: _different(values) for metric, values in found.items()})

    def _found(self) -> pl.DataFrame:
        query = sql.SQL('SELECT {} FROM {} m {} WHERE m.endpoint = {} AND m."date" = {}').format(
            sql.SQL(", ").join(
                [*(sql.SQL("{}::text").format(sql.Identifier("m", key)) for key in self._keys), self._identity()]
            ),
            sql.Identifier(self.relation),
            self._join(),
            sql.Literal(self._slug),
            sql.Literal(self._dates[-1].day),
        )
        found = transfer.read(self._base, query, {**dict.fromkeys(self._keys, pl.String), "identity": pl.Int64})
        return found if self._keys else found.head(1)

    def _query(self, metrics: Sequence[str], conditions: Sequence[sql.Composable]) -> sql.Composable:
        """A row per date: its number from 1 on, the identities of its objects, and the values of each metric."""
        number = sql.SQL("float8send(coalesce({}::float8, 'NaN'))")
        fields = [
            sql.SQL("int8send({})").format(self._identity()),
            *(number.format(sql.Identifier("m", metric)) for metric in metrics),
        ]
        names = [sql.Identifier(f"f{at}") for at in range(len(fields))]
        return sql.SQL(
            """SELECT d.nth, {names} FROM unnest({days}::date[]) WITH ORDINALITY AS d (day, nth)
               CROSS JOIN LATERAL (SELECT {fields} FROM {relation} m {join} WHERE {where} AND m."date" = d.day) s"""
        ).format(
            names=sql.SQL(", ").join(sql.SQL("s.{}").format(name) for name in names),
            days=sql.Literal([date.day for date in self._dates]),
            fields=sql.SQL(", ").join(
                sql.SQL("string_agg({}, '') AS {}").format(field, name)
                for field, name in zip(fields, names, strict=True)
            ),
            relation=sql.Identifier(self.relation),
            join=self._join(),
            where=sql.SQL(" AND ").join(conditions),
        )

    def _identity(self) -> sql.Composable:
        """A number that tells an object from others, and from itself as a sample."""
        found = sql.SQL("({}::int + {})::bigint").format(self._is_sample(), sql.Literal(2 * self._seed))
        for key in self._keys:
            found = sql.SQL("hashtextextended({}::text, {})").format(sql.Identifier("m", key), found)
        return found

    def _is_sample(self) -> sql.SQL:
        if self._has_samples:
            return sql.SQL("(m.sample_rows IS NOT NULL)")
        return sql.SQL("(t.sample_rows IS NOT NULL)" if "table" in self._keys else "false")

    def _join(self) -> sql.Composable:
        """The object's table, if only that tells whether a sample was read."""
        if self._has_samples or "table" not in self._keys:
            return sql.SQL("")
        return sql.SQL(
            'LEFT JOIN {} t ON t.endpoint = m.endpoint AND t."table" = m."table" AND t."date" = m."date"'
        ).format(sql.Identifier(TABLES))


def _cells(kept: _Kept) -> int:
    return sum(different.size for different, _ in kept.metrics.values())


def _matched(identities: Numbers, known: pl.Series) -> tuple[Numbers, Numbers]:
    """Which known objects a date has, and at which places."""
    found = pl.DataFrame({"identity": identities.astype(np.int64)}).with_row_index("row")
    objects = known.to_frame().with_row_index("at")
    both = found.join(objects, on="identity", how="inner", maintain_order="left")
    return both["at"].to_numpy().astype(np.int64), both["row"].to_numpy().astype(np.int64)


def _different(values: Floats) -> tuple[Floats, Numbers]:
    """The different series among dates x objects, the last of them without any value, and which is whose."""
    bits = values.view(np.uint64)
    mixed = np.zeros(values.shape[1], np.uint64)
    for row in bits:
        mixed = (mixed ^ row) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    _, first, which = np.unique(mixed, return_index=True, return_inverse=True)
    which = which.astype(np.int64)
    others = np.flatnonzero((bits != bits[:, first[which]]).any(axis=0))  # of the same number, but another series
    which[others] = len(first) + np.arange(len(others))
    chosen = values[:, np.concatenate([first, others])].T
    return np.concatenate([chosen, np.full((1, len(values)), np.nan)]), which


def _together(parts: list[_Kept]) -> _Kept:
    """The objects of several parts as those of one."""
    keys = pl.concat([part.keys.drop("at") for part in parts]).with_row_index("at")
    metrics = {}
    for metric in parts[0].metrics:
        series = [part.metrics[metric][0][:-1] for part in parts]
        starts = np.cumsum([0, *map(len, series)])
        which = [part.metrics[metric][1] + start for part, start in zip(parts, starts[:-1], strict=True)]
        nothing = parts[0].metrics[metric][0][-1:]
        metrics[metric] = np.concatenate([*series, nothing]), np.concatenate(which)
    return _Kept(keys, metrics)


def _block(kept: _Kept, metric: str, objects: pl.DataFrame, rows: pl.Series | None = None) -> Block:
    """The series of some objects.

    Args:
        kept: those of all objects.
        metric: the metric.
        objects: their keys. What is not on the judged date has no values.
        rows: their numbers; None: their places.
    """
    different, which = kept.metrics[metric]
    names = objects.columns
    if names:
        at = objects.join(kept.keys, on=names, how="left", maintain_order="left")["at"]
    else:
        at = kept.keys["at"].head(1)
    found = np.append(which, len(different) - 1)[at.fill_null(len(which)).to_numpy()]
    numbers = np.arange(len(found)) if rows is None else rows.to_numpy().astype(np.int64)
    return Block(numbers, different, found)
