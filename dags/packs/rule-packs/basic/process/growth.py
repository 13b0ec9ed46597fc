"""Growth: the rows by which a table has grown each night, where its dates do not tell what the night has loaded.

That is so of tables without an event column, and of those whose event column says when a row was loaded: the night's
rows are of the metric date itself, and those of the newest day before it came the night before.

A table that has never lost rows keeps what it gets, so what came in a night is the difference of two counts. It is
taken for the rows of the day before. A table that is emptied and filled loses rows sooner or later, and tells nothing.
"""

from __future__ import annotations

import polars as pl
from earlier import DAY
from sizes import MICROSECONDS

VIEW = 14  # days
FEWEST_LATE = 2  # nights on which the rows of the newest day were those that had come the night before


def of_tables(tables: pl.DataFrame, history: pl.DataFrame, day: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What the days would be, of tables whose dates do not tell.

    Args:
        tables: "table", rows_count, newest_rows and newest_day of the judged date.
        history: the same and DAY of earlier usable dates.
        day: the judged date, in days since 1970.

    Returns: "table", of, rows of the last VIEW days; and the history, with newest_day and newest_rows of these tables.
    """
    names = ["table", DAY, "rows_count", "newest_day", "newest_rows"]
    now = tables.with_columns(pl.lit(day, pl.Int64).alias(DAY)).select(names)
    nights = (
        pl.concat([history.select(names), now])
        .sort("table", DAY)
        .with_columns(
            pl.col("rows_count").cast(pl.Float64).diff().over("table").alias("came"),
            (pl.col(DAY).diff().over("table") == 1).alias("is_next"),
        )
        .filter((pl.col("came") >= 0).fill_null(value=True).all().over("table"))
        .filter(pl.col("is_next") & (pl.col("newest_day").is_null().all() | _is_late()).over("table"))
        .with_columns((pl.col(DAY) - 1).alias("of"))
    )
    days = nights.filter(pl.col("of") >= day - VIEW).select("table", "of", pl.col("came").alias("rows"))
    has_come = pl.when(pl.col("came") > 0)
    told = nights.select(
        *("table", DAY),
        has_come.then(pl.col("of") * MICROSECONDS).forward_fill().over("table").alias("grown_day"),
        has_come.then(pl.col("came").cast(pl.Int64)).forward_fill().over("table").alias("grown_rows"),
    )
    is_told = pl.col("table").is_in(nights["table"].unique().implode())
    filled = history.join(told, on=["table", DAY], how="left", maintain_order="left").with_columns(
        pl.when(is_told).then("grown_day").otherwise("newest_day").alias("newest_day"),
        pl.when(is_told).then("grown_rows").otherwise("newest_rows").alias("newest_rows"),
    )
    return days, filled.drop("grown_day", "grown_rows")


def _is_late() -> pl.Expr:
    """Whether the rows of the newest day are those that had come the night before, and not those of the night."""
    before = pl.col("came").shift(1)
    is_known = pl.col("is_next") & pl.col("is_next").shift(1) & (before > 0)
    is_late = (pl.col("newest_rows") == before) & (pl.col("newest_day") == (pl.col(DAY) - 1) * MICROSECONDS)
    is_other = (pl.col("newest_rows") != pl.col("came")) & is_known
    return (is_known.sum() >= FEWEST_LATE) & is_late.filter(is_known).all() & is_other.any()
