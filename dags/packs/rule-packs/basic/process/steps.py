"""Steps: how far a metric has moved in one night, beyond what chance, new rows and the object's own past explain.

A step compares the judged date with the newest usable date before it, so it works from the second night on. Rules name
steps like the metrics of metric pack basic. A step is 0 if the metric has not moved, or by no more than

- chance: `SPREADS` standard errors of two independent samples, which is what a table holds that is emptied and filled
  every night; `SPREADS_OF_KEPT` if the table has kept its rows, as most do;
- what the object has shown before: a value within the range of its earlier usable dates is no step.

Nothing moves by chance where nothing has moved for nights. So what has hardly moved on all usable dates, at least
`NIGHTS` of them, needs no errors to have moved (`Step.still`).

It is null if either date has no value, or fewer than `FEWEST`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    # Reads earlier usable dates of the rows of a frame: (keys and metrics wanted, frame) -> one row per object and date
    Recall = Callable[[Sequence[str], pl.DataFrame], pl.DataFrame]

# What steps are of
COLUMN, TABLE, PAIR, BY_LEVEL, FOREIGN_KEY = "column", "table", "pair", "number_by_level", "foreign_key"
VALUES, ROWS = ("value_counts",), ("value_counts", "na_values")  # the metrics whose sum is everything in a column

FORMER = "_former"  # suffix of the former date's columns
DAYS = "day_number"  # the column with the date, in days since 1970
FORMER_DAY = f"{DAYS}{FORMER}"
KEPT = "kept"  # the column that says whether the object's table has kept its rows

FEWEST = 20  # values, on either date
FEW, MANY = 5, 100  # values that are more than an accident; that tell of a table that has not kept its rows
SPREADS, SPREADS_OF_KEPT = 5.0, 4.0  # standard errors
ODDS = 2.0  # a share has moved only if its odds have at least doubled or halved
LEAST_CHANGE = 0.25  # of the former mean
LEAST_RATIO = 1.2
NIGHTS = 4  # usable dates on which nothing has moved
SEEN = 200  # values among which there was none
FIRST = 8  # first ones that are more than an accident
RARE = 3.0  # how many there may have been, at most, to find none in a sample (95 %)
BEYOND = 10  # times what can be expected
HIDDEN = 2  # what a count from 1 to min_count - 1 is taken for
MOST_LOST, MOST_GROWN, MOST_NEW = 0.01, 0.10, 0.20  # of the rows of a table that has kept its rows
RECALLED = 60_000  # objects x metrics whose earlier dates are read at a time: 20 MB
METRICS_AS_KEYS = 6  # so many metrics take as much memory as an object's keys


@dataclass(frozen=True, kw_only=True)
class Step:
    """One metric that compares two dates.

    `moved` and `quantity` are expressions on a frame with the columns of both dates, those of the former with the
    suffix FORMER, and KEPT.
    """

    name: str
    of: str  # what it describes: column, table, pair, number_by_level, foreign_key
    needs: tuple[str, ...]  # the metrics from which it follows
    moved: pl.Expr  # the step: 0 if none, null if it cannot be told
    quantity: Callable[[str], pl.Expr]  # what has moved, of the columns with this suffix
    shows: str  # the metric that alerts quote as observed and former value; "": none
    unit: str
    about: str
    also: tuple[str, ...] = ()  # metrics that `moved` reads, too, and that alerts must not quote
    # The step if the quantity was about the same on all earlier dates, whatever rows came then
    still: pl.Expr | None = None
    whole: tuple[str, ...] = ()  # the metrics whose sum counts those rows
    margin: float = 0.0  # widths of the range of earlier dates outside which it is a step


def kept(tables: pl.DataFrame) -> pl.DataFrame:
    """Whether each table has kept its rows, so that what it held before is still in it.

    Args:
        tables: by "table", with rows_count of both dates, and newest_rows if it is measured.

    Returns: "table" and KEPT; false if it cannot be told.
    """
    rows, former = pl.col("rows_count"), pl.col(f"rows_count{FORMER}")
    newest = pl.col("newest_rows").fill_null(0) if "newest_rows" in tables.columns else pl.lit(0)
    is_kept = (rows >= former * (1 - MOST_LOST)) & (rows <= former * (1 + MOST_GROWN)) & (newest <= MOST_NEW * rows)
    return tables.select("table", is_kept.fill_null(False).alias(KEPT))


def slices(objects: pl.DataFrame, metrics: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Objects in slices of which so many metrics of all earlier dates take little memory."""
    return objects.iter_slices(max(1, RECALLED // (len(metrics) + METRICS_AS_KEYS)))


def share(
    name: str,
    of: str,
    part: str,
    whole: tuple[str, ...],
    about: str,
    *,
    side: str = "up",
    least: int = 1,
    first: bool = False,
) -> Step:
    """A step of a share, in points of a hundred.

    Args:
        name: the step's.
        of: what it describes.
        part: the metric that counts it.
        whole: the metrics whose sum is everything.
        about: one line for the documentation.
        side: up, down or both.
        least: by how many the part must have changed.
        first: whether a few are a step where there were none among many.
    """
    a, a0 = of_both(total_of(part))
    n, n0 = of_both(total_of(*whole))
    moved = points(a, n, a0, n0, side, least)
    size = 100 * _difference(a, n, a0, n0, side)
    is_still = pl.col(KEPT) & (n == n0) & (n >= 2 * FEW) & _is_odd(a, n, a0, n0) & ((a - a0).abs() >= max(least, FEW))
    return Step(
        name=name,
        of=of,
        needs=tuple(dict.fromkeys((part, *whole))),
        moved=pl.when(first & are_first(a, n, a0, n0)).then(100 * a / n).otherwise(moved),
        still=pl.when(is_still & (size > 0)).then(size).otherwise(0.0),
        whole=whole,
        quantity=lambda suffix: 100 * total_of(part)(suffix) / total_of(*whole)(suffix),
        shows=part,
        unit="points",
        about=about,
    )


def hidden_share(name: str, of: str, part: str, whole: str, about: str, least: int) -> Step:
    """A step of a share whose part is null if it, or what is not part of it, is small: the smaller of both steps."""
    (a, a0), (n, n0) = of_both(total_of(part)), of_both(total_of(whole))
    moved = [
        points(a.fill_null(low), n, a0.fill_null(low0), n0, "both", least)
        for low in (pl.lit(HIDDEN), n - HIDDEN)
        for low0 in (pl.lit(HIDDEN), n0 - HIDDEN)
    ]
    return Step(
        name=name,
        of=of,
        needs=(part, whole),
        moved=pl.min_horizontal(moved),
        quantity=lambda suffix: 100 * total_of(part)(suffix) / total_of(whole)(suffix),
        shows=part,
        unit="points",
        about=about,
    )


def points(a: pl.Expr, n: pl.Expr, a0: pl.Expr, n0: pl.Expr, side: str, least: int) -> pl.Expr:
    """By how many points a of n differ from a0 of n0, beyond chance; null if n or n0 is too small."""
    pooled = (a + a0 + 1) / (n + n0 + 2)
    error = (pooled * (1 - pooled) * (1 / n + 1 / n0)).sqrt()
    size = _difference(a, n, a0, n0, side)
    clear = (size > spreads() * error) & _is_odd(a, n, a0, n0) & ((a - a0).abs() >= least)
    return pl.when((n < FEWEST) | (n0 < FEWEST)).then(None).when(clear).then(100 * size).otherwise(0.0)


def are_first(a: pl.Expr, n: pl.Expr, a0: pl.Expr, n0: pl.Expr) -> pl.Expr:
    """Whether there are far more than the rows that have come can bring, as there were none among many."""
    expected = RARE * (n - n0).clip(0) / n0
    return pl.col(KEPT) & (a0 == 0) & (n0 >= SEEN) & (a >= FIRST) & (a >= BEYOND * expected)


def _difference(a: pl.Expr, n: pl.Expr, a0: pl.Expr, n0: pl.Expr, side: str) -> pl.Expr:
    difference = a / n - a0 / n0
    return {"up": difference, "down": -difference, "both": difference.abs()}[side]


def _is_odd(a: pl.Expr, n: pl.Expr, a0: pl.Expr, n0: pl.Expr) -> pl.Expr:
    odds = ((a + 0.5) / (n - a + 0.5)) / ((a0 + 0.5) / (n0 - a0 + 0.5))
    return (odds >= ODDS) | (odds <= 1 / ODDS)


def mean(name: str, of: str, metric: str, deviation: str, count: str, about: str, *, margin: float = 0.0) -> Step:
    """A step of a mean, in standard deviations of the former date; also at least LEAST_CHANGE of the former mean."""
    m, m0 = of_both(total_of(metric))
    s, s0 = of_both(total_of(deviation))
    n, n0 = of_both(total_of(count))
    error = (s * s / n + s0 * s0 / n0).sqrt()
    difference = (m - m0).abs()
    clear = (difference > spreads() * error) & (difference >= LEAST_CHANGE * m0.abs())
    return Step(
        name=name,
        of=of,
        needs=(metric, deviation, count),
        moved=pl.when((n < FEWEST) | (n0 < FEWEST)).then(None).when(clear).then(difference / s0).otherwise(0.0),
        quantity=total_of(metric),
        shows="",
        unit="standard deviations",
        about=about,
        margin=margin,
    )


def ratio(name: str, of: str, metric: str, count: str, about: str, *, fewest: int = FEWEST, side: str = "both") -> Step:
    """By how many times a positive metric has grown or fallen; 0 if by less than LEAST_RATIO."""
    q, q0 = of_both(total_of(metric))
    n, n0 = of_both(total_of(count))
    up, down = q / q0, q0 / q
    size = {"up": up, "down": down, "both": pl.max_horizontal(up, down)}[side]
    is_known = (q > 0) & (q0 > 0) & (n >= fewest) & (n0 >= fewest)
    return Step(
        name=name,
        of=of,
        needs=(metric, count),
        moved=pl.when(is_known).then(pl.when(size >= LEAST_RATIO).then(size).otherwise(0.0)).otherwise(None),
        quantity=total_of(metric),
        shows="" if metric == "mean_num" else metric,
        unit="times",
        about=about,
    )


def of_both(expression: Callable[[str], pl.Expr]) -> tuple[pl.Expr, pl.Expr]:
    return expression(""), expression(FORMER)


def total_of(*names: str) -> Callable[[str], pl.Expr]:
    """Of metrics, as a float; null if one is."""

    def total(suffix: str) -> pl.Expr:
        return pl.sum_horizontal([pl.col(name + suffix).cast(pl.Float64) for name in names], ignore_nulls=False)

    return total


def spreads() -> pl.Expr:
    """How many standard errors are beyond chance."""
    return pl.when(pl.col(KEPT)).then(SPREADS_OF_KEPT).otherwise(SPREADS)
