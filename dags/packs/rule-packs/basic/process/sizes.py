"""Sizes: whether a table has lost rows that it held for longer, or has got more than its newest days bring.

A weekend can take away no more rows than the busiest day had. A table that holds older rows too loses more only if they
are deleted: it has fewer rows than on any date before, or has only grown so far, or rows of the newest days are gone
that the former night saw.
One that has lost rows before, or holds a plan, must lose clearly more than then, and than chance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from earlier import DAY
from steps import FORMER

if TYPE_CHECKING:
    from collections.abc import Sequence

HIDDEN = 2  # what a count that is not shown is taken for: from 1 to min_count - 1
WEEK, FRIDAY = 7, 5  # days; the ISO weekday
FEWEST_ROWS = 20  # of a table, or of the most rows of a day
CLEARLY = 1.5  # times as many
SPREADS = 3.5  # of a count, below what is expected
FEWEST_RISES, FEW_RISES = 7, 4  # nights on which a table has got rows, if it has never lost any: it only grows
FALL = 2.0  # times the most that has come in a night, lost by a table with few rises
RECENT = 50  # percent of its rows that the busiest day of a table holds that has little else
FALLEN = 1  # percent of its rows that a table has lost in a night that does not keep them
MICROSECONDS = 86_400_000_000
OLDEST = "min_date_var"  # the metric of columns that tells of plans
LOST_OF_DAYS: dict[str, Any] = {"table": pl.String, "lost_days": pl.Float64, "lost_days_before": pl.Float64}


def of_tables(tables: pl.DataFrame, days: pl.DataFrame, history: pl.DataFrame) -> pl.DataFrame:
    """What the numbers of rows say of each table: rows_lost, recent_lost, rows_grown, rows_record.

    Args:
        tables: "table", rows_count, newest_rows and DAY of both dates, LOST_OF_DAYS, is_plan.
        days: rows per day of the last 14 days: "table", of, rows.
        history: rows_count and DAY of earlier usable dates.
    """
    nightly = history.sort("table", DAY).with_columns(
        pl.col("rows_count").cast(pl.Float64).alias("then"),
        pl.col("rows_count").cast(pl.Float64).shift(1).over("table").alias("before"),
    )
    by_table: Sequence[pl.DataFrame] = (
        days.group_by("table").agg(pl.col("rows").max().alias("busiest")),
        days.join(tables.select("table", f"{DAY}{FORMER}"), on="table")
        .filter(pl.col("of") >= pl.col(f"{DAY}{FORMER}") - WEEK)
        .group_by("table")
        .agg(pl.col("rows").sum().alias("since")),
        nightly.group_by("table").agg(
            pl.col("rows_count").min().alias("fewest"),
            pl.col("rows_count").max().alias("most"),
            (100 * (1 - pl.col("then") / pl.col("before"))).fill_nan(None).max().alias("fallen"),
            (pl.col("then") - pl.col("before")).tail(WEEK).max().alias("risen"),
            (pl.col("then") > pl.col("before")).sum().alias("rises"),
            (iso_weekday(pl.col(DAY) - 1) <= FRIDAY).any().alias("knows_work"),
        ),
    )
    found = tables
    for one in by_table:
        found = found.join(one, on="table", how="left", maintain_order="left")
    rows, before = pl.col("rows_count").cast(pl.Float64), pl.col(f"rows_count{FORMER}").cast(pl.Float64)
    busiest = pl.max_horizontal(pl.col("busiest").fill_null(0), pl.col(f"newest_rows{FORMER}").fill_null(0))
    lost, busy = 100 * (before - rows) / before, 100 * busiest / before
    # The newest days are gone, of a table that has grown by more than that since its oldest date
    of_days = (pl.col("lost_days") >= (before - rows) / 2) & (
        pl.col("lost_days") > CLEARLY * pl.col("lost_days_before")
    )
    of_days = of_days.fill_null(value=False) & ~(pl.col("risen") >= before - rows).fill_null(value=False)
    fallen = pl.col("fallen").fill_null(0)
    by_chance = (before - rows) <= SPREADS * (before + rows).sqrt()
    is_new = (lost > CLEARLY * fallen) & ~((pl.col("is_plan") | (fallen >= FALLEN)) & by_chance)
    is_clear = (pl.col("rises") >= FEW_RISES) & (before - rows >= FALL * pl.col("risen"))
    only_grows = ((pl.col("rises") >= FEWEST_RISES) | is_clear) & (pl.col("fallen") <= 0)
    is_fewer = (rows < pl.col("fewest")) | of_days | only_grows.fill_null(value=False)
    fewer = is_fewer & (rows < before) & (before >= FEWEST_ROWS) & is_new
    # A table that is emptied and filled may hold far less on all nights of a weekend
    knows_work = pl.col("knows_work").fill_null(value=False)
    more = (rows > pl.col("most")) & (before >= FEWEST_ROWS) & knows_work
    return found.with_columns(
        pl.when(fewer & (busy < RECENT)).then(pl.max_horizontal(lost - busy, 0.0)).otherwise(0.0).alias("rows_lost"),
        pl.when(fewer & (busy >= RECENT)).then(lost).otherwise(0.0).alias("recent_lost"),
        pl.when(more).then((rows - pl.col("since").fill_null(0)) / before).otherwise(1.0).alias("rows_grown"),
        pl.when(knows_work & (pl.col("most") > 0)).then(rows / pl.col("most")).otherwise(1.0).alias("rows_record"),
    )


def iso_weekday(day: pl.Expr) -> pl.Expr:
    """The ISO weekday, 1 to 7: the first of January 1970 was a Thursday."""
    return (day + 3) % WEEK + 1


def lost_of_days(views: pl.DataFrame, former: pl.DataFrame, day: int) -> pl.DataFrame:
    """How many rows each table has lost of the days that the former night saw, and the most on an earlier night.

    Days that leave at the old end of a window are not lost: only those count that are newer than the oldest that is
    left, or all if none is.

    Args:
        views: rows per day as the judged night sees them: "table", "column", day (text), rows_count; null: hidden.
        former: the same of earlier usable dates, with DAY.
        day: the judged date.

    Returns: LOST_OF_DAYS, of tables that were seen before.
    """
    seen = pl.concat(
        [
            views.select("table", pl.lit(day, pl.Int64).alias("night"), *counts()),
            former.select("table", pl.col(DAY).alias("night"), *counts()),
        ]
    )
    nights = seen.select("table", "night").unique().sort("table", "night")
    nights = nights.with_columns(pl.col("night").shift(1).over("table").alias("night_before")).drop_nulls()
    oldest = seen.filter(pl.col("rows") > 0).group_by("table", "night").agg(pl.col("of").min().alias("oldest"))
    both = (
        seen.join(nights, on=["table", "night"])
        .join(seen, left_on=["table", "night_before", "of"], right_on=["table", "night", "of"], suffix="_before")
        .join(oldest, on=["table", "night"], how="left")
        .filter(pl.col("oldest").is_null() | (pl.col("of") > pl.col("oldest")))
    )
    lost = (pl.col("rows_before") - pl.col("rows")).clip(lower_bound=0).sum()
    by_night = both.group_by("table", "night").agg(lost.alias("lost"))
    is_now = pl.col("night") == day
    return by_night.group_by("table").agg(
        pl.col("lost").filter(is_now).sum().alias("lost_days"),
        pl.col("lost").filter(~is_now).max().fill_null(0.0).alias("lost_days_before"),
    )


def plans(columns: pl.DataFrame, day: int) -> list[str]:
    """The tables with a column whose dates all lie ahead.

    Args:
        columns: "table" and OLDEST, in microseconds since 1970.
        day: the judged date.
    """
    ahead = pl.col(OLDEST).cast(pl.Int64) >= (day - 1) * MICROSECONDS
    return columns.filter(ahead)["table"].unique().to_list()


def counts() -> tuple[pl.Expr, pl.Expr]:
    """of: the day since 1970; rows."""
    return (
        pl.col("day").str.to_date().to_physical().cast(pl.Int64).alias("of"),
        pl.col("rows_count").cast(pl.Float64).fill_null(HIDDEN).alias("rows"),
    )
