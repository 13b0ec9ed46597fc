"""Steps of the levels of code columns: one that appears, one that vanishes, one whose share moves.

Levels that are rare are not stored, nor are some others that would reveal them. So a level that is not stored may have
any frequency up to that of all hidden ones, and is taken for the one that makes the step smallest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import new_rows
import polars as pl
from earlier import DAY
from steps import FEW, FEWEST, FORMER, KEPT, NIGHTS, ODDS, SPREADS, SPREADS_OF_KEPT

if TYPE_CHECKING:
    from collections.abc import Callable

    # (columns) -> "table", "column", DAY, value, frequency, value_counts of their levels on earlier usable dates
    RecallLevels = Callable[[pl.DataFrame], pl.DataFrame]

ABOUT = {
    "step_level_new": "the share of a level that was rare or missing, of the most frequent one",
    "step_level_lost": "the share of a level that has become rare or missing, of the most frequent one",
    "step_level_share": "by how much the share of a level has changed, of the one that has changed most",
    "new_level_share": "by how much the share of a level among the new rows is outside the range of earlier nights",
}
METRICS = tuple(ABOUT)
NEEDS = ("value_counts",)
KIND = "infered_data_type"
DATES = ("date", "datetime", "time")  # their levels come and go
PLACE = ("table", "column")
LEAST = 10  # values
WEEK, FRIDAY = 7, 5
RECALLED = 1_000  # columns whose earlier levels are read at a time
PERIOD = (
    r"^(19|20)\d\d([-/. ]?([QTSW]?\d\d?|[A-Za-zÀ-ÿ.]{3,9}))?([-/. ]?\d\d)?$"  # 2026, 2026-01, 2026Q1, 202601, 20260131
)


def of_columns(columns: pl.DataFrame, levels: pl.DataFrame, former: pl.DataFrame, recall: RecallLevels) -> pl.DataFrame:
    """The steps of each column's levels, in points; null if the column has no levels on either date.

    Args:
        columns: PLACE, value_counts of both dates, KEPT, and KIND.
        levels: PLACE, value, frequency of the judged date.
        former: the same of the former date.
        recall: reads the levels of a few columns on earlier usable dates.

    Returns: PLACE and METRICS: the largest step of a level that is new, that is gone, that is on both dates.
    """
    both = levels.join(former, on=[*PLACE, "value"], how="full", suffix=FORMER, coalesce=True)
    stay = pl.col("frequency").is_not_null() & pl.col(f"frequency{FORMER}").is_not_null()
    shown = both.group_by(PLACE).agg(
        pl.col("frequency").sum().alias("shown"),
        pl.col(f"frequency{FORMER}").sum().alias(f"shown{FORMER}"),
        stay.any().alias("some_stay"),
        pl.col("value").str.contains(PERIOD).all().alias("are_periods"),
    )
    # A new month is no news. In a table that is filled anew, a column of which no level stays dates the loads
    is_code = ~pl.col(KIND).is_in(DATES) & ~pl.col("are_periods") & (pl.col(KEPT) | pl.col("some_stay"))
    has_levels = (pl.col("shown") > 0) & (pl.col(f"shown{FORMER}") > 0)
    known = (
        columns.join(shown, on=PLACE)
        .filter(is_code & has_levels)
        .with_columns(
            *(
                (pl.col(f"value_counts{suffix}") - pl.col(f"shown{suffix}"))
                .clip(0)
                .cast(pl.Float64)
                .alias(f"hidden{suffix}")
                for suffix in ("", FORMER)
            )
        )
    )
    found = both.join(known, on=PLACE).with_columns(_kind().alias("kind")).with_columns(_points().alias("points"))
    found = found.with_columns(_points_if_still().alias("still"))
    moved, odd = found.filter((pl.col("points") > 0) | (pl.col("still") > 0)), _odd_in_new_rows(found)
    parts = [pl.DataFrame(schema={**dict.fromkeys((*PLACE, "kind"), pl.String), "points": pl.Float64})]
    for places in pl.concat([moved.select(PLACE), odd.select(PLACE)]).unique().iter_slices(RECALLED):
        past = recall(places)
        of_these, odd_of_these = (one.join(places, on=PLACE, how="semi") for one in (moved, odd))
        parts += [_unseen(_with_still(of_these, past), past), _beyond_nights(odd_of_these, past)]
    moved = pl.concat(parts, how="diagonal")
    steps = known.select(PLACE)
    for name, kind in zip(METRICS, ("new", "lost", "share", "new rows"), strict=True):
        most = moved.filter(pl.col("kind") == kind).group_by(PLACE).agg(pl.col("points").max().alias(name))
        steps = steps.join(most, on=PLACE, how="left").with_columns(pl.col(name).fill_null(0.0))
    return columns.select(PLACE).join(steps, on=PLACE, how="left")


def _odd_in_new_rows(found: pl.DataFrame) -> pl.DataFrame:
    """Levels whose share among the new rows is far from that in the table.

    Returns: PLACE, "level", value (the share), n (the new rows), is_new: whether it was rare or missing.
    """
    a = pl.col("frequency").cast(pl.Float64).fill_null(0)
    # A level that was hidden may have had all hidden values
    a0 = pl.coalesce(pl.col(f"frequency{FORMER}").cast(pl.Float64), pl.min_horizontal(a, f"hidden{FORMER}"))
    n, n0 = (pl.col(f"value_counts{suffix}").cast(pl.Float64) for suffix in ("", FORMER))
    share = (a - a0) / (n - n0)
    # If a level has lost rows, or got more than have come, old rows have changed
    changed = pl.col("kind") == "share", ~share.is_between(-new_rows.TOLERANCE, 1 + new_rows.TOLERANCE)
    new = found.filter(pl.col(KEPT) & (n - n0 >= new_rows.FEWEST)).filter(~pl.all_horizontal(changed).any().over(PLACE))
    share = share.clip(0, 1)
    new = new.filter(pl.col("kind") != "lost")
    is_new = (pl.col("kind") == "new").fill_null(value=False)
    return new.filter((share - a0 / n0).abs() >= new_rows.LEAST).select(
        *PLACE, pl.col("value").alias("level"), share.alias("value"), (n - n0).alias("n"), is_new.alias("is_new")
    )


def _beyond_nights(odd: pl.DataFrame, past: pl.DataFrame) -> pl.DataFrame:
    """PLACE, kind, points of levels outside the range of earlier nights, or never there and now most of the rows."""
    place = [*PLACE, "level"]
    counts = past.select(
        *PLACE,
        DAY,
        pl.col("value").alias("level"),
        pl.col("frequency").cast(pl.Float64).alias("a"),
        pl.col("value_counts").cast(pl.Float64).alias("n"),
    )
    number = past.group_by(PLACE).agg((pl.col(DAY).n_unique() - 1).alias("nights"))
    nights = new_rows.of_nights(counts, place)
    changing = nights.filter(~pl.col("is_within")).select(PLACE).unique()
    ranges = nights.group_by(place).agg(pl.col("value").min().alias("low"), pl.col("value").max().alias("high"))
    found = (
        odd.join(changing, on=PLACE, how="anti").join(number, on=PLACE, how="left").join(ranges, on=place, how="left")
    )
    found = found.with_columns(pl.col("low").fill_null(0.0), pl.col("high").fill_null(0.0))
    seen = past.select(*PLACE, pl.col("value").alias("level"), seen=True).unique()
    found = found.join(seen, on=place, how="left").join(_of_work(past), on=PLACE, how="left")
    is_unseen = pl.col("is_new") & pl.col("seen").is_null() & pl.col("of_work").fill_null(value=False)
    are_first = is_unseen & (pl.col("value") >= new_rows.CLEAR)
    beyond = new_rows.beyond_range(new_rows.LEAST, is_share=True)
    points = pl.when(are_first).then(100 * pl.col("value")).otherwise(beyond).alias("points")
    return found.select(*PLACE, pl.lit("new rows").alias("kind"), points).filter(pl.col("points") > 0)


def _kind() -> pl.Expr:
    return (
        pl.when(pl.col(f"frequency{FORMER}").is_null()).then(pl.lit("new"))
        .when(pl.col("frequency").is_null()).then(pl.lit("lost"))
        .otherwise(pl.lit("share"))
    )  # fmt: skip


def _points() -> pl.Expr:
    """By how many points the level's share has moved; 0 if by chance."""
    a, a0 = (
        pl.col(f"frequency{suffix}").cast(pl.Float64).fill_null(pl.col(f"hidden{suffix}")) for suffix in ("", FORMER)
    )
    n, n0 = (pl.col(f"value_counts{suffix}").cast(pl.Float64) for suffix in ("", FORMER))
    pooled = (a + a0 + 1) / (n + n0 + 2)
    error = (pooled * (1 - pooled) * (1 / n + 1 / n0)).sqrt()
    odds = ((a + 0.5) / (n - a + 0.5)) / ((a0 + 0.5) / (n0 - a0 + 0.5))
    difference = a / n - a0 / n0
    of_kind = pl.when(pl.col("kind") == "new").then(difference).when(pl.col("kind") == "lost").then(-difference)
    size = of_kind.otherwise(difference.abs())
    spreads = pl.when(pl.col(KEPT)).then(SPREADS_OF_KEPT).otherwise(SPREADS)
    clear = (
        (n >= FEWEST) & (n0 >= FEWEST) & (size > spreads * error) & ((odds >= ODDS) | (odds <= 1 / ODDS))
        & ((a - a0).abs() >= LEAST)
    )  # fmt: skip
    return pl.when(clear).then(100 * size).otherwise(0.0)


def _points_if_still() -> pl.Expr:
    """By how many points the level's share has moved in a table that has got no values."""
    a, a0 = (
        pl.col(f"frequency{suffix}").cast(pl.Float64).fill_null(pl.col(f"hidden{suffix}")) for suffix in ("", FORMER)
    )
    n, n0 = (pl.col(f"value_counts{suffix}").cast(pl.Float64) for suffix in ("", FORMER))
    clear = pl.col(KEPT) & (n == n0) & (n >= 2 * FEW) & ((a - a0).abs() >= FEW)
    is_right = pl.when(pl.col("kind") == "new").then(a > a0).when(pl.col("kind") == "lost").then(a < a0).otherwise(True)
    return pl.when(clear & is_right).then(100 * (a - a0).abs() / n).otherwise(0.0)


def _with_still(moved: pl.DataFrame, past: pl.DataFrame) -> pl.DataFrame:
    """Where no level has changed on any earlier date, the points of a table in which nothing moves by chance."""
    same = (pl.col("frequency").n_unique() == 1) & (pl.col("value_counts").n_unique() == 1)
    dates = past.group_by(PLACE).agg(pl.col(DAY).n_unique().alias("dates"))
    still = (
        past.group_by(*PLACE, "value")
        .agg(same.alias("same"), pl.len().alias("times"))
        .join(dates, on=PLACE)
        .group_by(PLACE)
        .agg(
            (pl.col("same") & (pl.col("times") == pl.col("dates")) & (pl.col("dates") >= NIGHTS))
            .all()
            .alias("is_still")
        )
    )
    points = pl.when(pl.col("is_still").fill_null(value=False)).then(pl.max_horizontal("points", "still"))
    found = moved.join(still, on=PLACE, how="left", maintain_order="left")
    return found.with_columns(points.otherwise("points").alias("points")).filter(pl.col("points") > 0).drop("is_still")


def _of_work(past: pl.DataFrame) -> pl.DataFrame:
    """PLACE, of_work: whether a date stores the rows of a working day, which were then in their first stage."""
    weekday = (pl.col(DAY) - 1 + 3) % WEEK + 1
    return past.group_by(PLACE).agg((weekday <= FRIDAY).any().alias("of_work"))


def _unseen(moved: pl.DataFrame, past: pl.DataFrame) -> pl.DataFrame:
    """Without levels that have come or gone before, and shares that have been as high or low before.

    Nor with levels that only the rows that came may have, if no date stores the rows of a working day: a first stage.
    """
    of_date = past.with_columns((pl.col("frequency") / pl.col("frequency").sum().over(*PLACE, DAY)).alias("part"))
    dates = past.group_by(PLACE).agg(pl.col(DAY).n_unique().alias("dates"))
    ranges = of_date.group_by(*PLACE, "value").agg(
        pl.len().alias("times"), pl.col("part").min().alias("low"), pl.col("part").max().alias("high")
    )
    part = pl.col("frequency") / pl.col("shown")
    is_known = (
        pl.when(pl.col("kind") == "new").then(pl.col("times") > 0)
        .when(pl.col("kind") == "lost").then(pl.col("times") < pl.col("dates"))
        .otherwise(part.is_between(pl.col("low"), pl.col("high")))
    )  # fmt: skip
    came = pl.col("value_counts").cast(pl.Float64) - pl.col(f"value_counts{FORMER}")
    of_new_rows = (pl.col("kind") == "new") & pl.col(KEPT) & (pl.col("frequency") <= came)
    found = moved.join(dates, on=PLACE, how="left").join(ranges, on=[*PLACE, "value"], how="left")
    found = found.join(_of_work(past), on=PLACE, how="left")
    is_stage = of_new_rows & ~pl.col("of_work").fill_null(value=False)
    return found.filter(~(is_known | is_stage).fill_null(value=False)).select(moved.columns)
