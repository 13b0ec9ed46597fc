"""New rows: what the rows that have come since the former date are like, compared with those of earlier nights.

A table that keeps its rows grows by the rows of one night, so the differences of its counts are counts of new rows. A
fault of a load shows in them weeks before it shows in the whole table. What is usual is the range of the nights before:
it takes at least `NIGHTS` of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl
from earlier import DAY
from steps import FIRST, FORMER, KEPT, SEEN, slices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from steps import Recall

FEWEST = 20  # new rows of the judged night
FEW = 8  # of those that are nearly all unlike all others
CLEAR = 0.6  # of the share of so few
FEWEST_BEFORE = 10  # of an earlier one
NIGHTS = 4
TOLERANCE = 0.02  # of a share
SLACK = 1  # rows that may have changed in a night that brought fewer
LEAST = 0.3  # of a share, outside the range of the earlier nights
LEAST_HOURS = 2.0
SPREADS = 5.0  # standard errors
LEAST_ERROR = 0.1  # of one row: shares near 0 and 1 vary, too
DAY_ERROR = 6.5  # hours: the deviation of moments that are spread over the day
NARROW = 2.0  # hours: the moments of a load, which lie together, have nights less apart than this by the root of n

PLACE = ("table", "column")


@dataclass(frozen=True, kw_only=True)
class NewRows:
    """One metric of new rows: the quotient of two sums."""

    name: str
    part: tuple[str, ...]  # metrics whose product is the first sum
    whole: tuple[str, ...]  # metrics whose sum is the second
    without: tuple[str, ...] = ()  # metrics that are subtracted from it
    levels: tuple[str, ...] = ()  # the metric that counts what differs, if values that are alike tell nothing
    about: str
    is_share: bool = True  # else a mean in hours
    is_final: bool = False  # no row is written so and corrected later: the first ones tell from the second night on

    @property
    def needs(self) -> tuple[str, ...]:
        """The metrics from which it follows."""
        return tuple(dict.fromkeys((*self.part, *self.whole, *self.without, *self.levels)))

    @property
    def unit(self) -> str:
        """Of the metric."""
        return "points" if self.is_share else "hours"

    @property
    def least(self) -> float:
        """What it must be outside the range of earlier nights by."""
        return LEAST if self.is_share else LEAST_HOURS

    def sums(self, suffix: str) -> tuple[pl.Expr, pl.Expr]:
        """Both sums, of the columns with a suffix."""
        whole = pl.sum_horizontal([_float(name + suffix) for name in self.whole], ignore_nulls=False)
        for name in self.without:
            whole -= _float(name + suffix)
        part = _float(self.part[0] + suffix)
        return (part, whole) if self.is_share else (part * whole, whole)


def _share(name: str, part: str, whole: tuple[str, ...], about: str, *, is_final: bool = True) -> NewRows:
    text = f"by how many points the share of {about} among the new rows is outside the range of earlier nights"
    return NewRows(name=name, part=(part,), whole=whole, about=text, is_final=is_final)


VALUES = ("value_counts",)
METRICS = (
    _share("new_na", "na_values", ("value_counts", "na_values"), "nulls", is_final=False),
    _share("new_empty", "empty_count", VALUES, "texts without characters"),
    _share("new_placeholder", "placeholder_count", VALUES, "placeholder words"),
    _share("new_zero", "zero_count", VALUES, "zeros", is_final=False),
    _share("new_negative", "negative_count", VALUES, "negative numbers"),
    _share("new_fraction", "fraction_count", VALUES, "numbers with decimals"),
    _share("new_true", "true_count", ("true_count", "false_count"), "true", is_final=False),
    _share("new_midnight", "midnight_count", VALUES, "moments at midnight"),
    _share("new_upper", "upper_count", VALUES, "texts in capitals"),
    _share("new_lower", "lower_count", VALUES, "texts in small letters"),
    _share("new_edge_blank", "edge_blank_count", VALUES, "texts with blanks at an edge"),
    _share("new_mojibake", "mojibake_count", VALUES, "wrongly decoded texts"),
    NewRows(
        name="new_hour",
        part=("hour_mean",),
        whole=VALUES,
        without=("midnight_count",),
        levels=("levels_count",),
        about="by how many hours the mean hour of the new rows is outside the range of earlier nights",
        is_share=False,
    ),
)


def of_columns(metrics: Sequence[NewRows], both: pl.DataFrame, recall: Recall) -> pl.DataFrame:
    """By how much the new rows are outside the range of earlier nights; 0 if within.

    Args:
        metrics: those to compute.
        both: PLACE, the metrics of both dates, those of the former with the suffix FORMER, KEPT.
        recall: reads the earlier usable dates of a few columns.

    Returns: PLACE and a column per metric; null if the table has not kept its rows, or has got few.
    """
    of_kept = both.filter(pl.col(KEPT))
    now = {metric.name: _now(metric, of_kept) for metric in metrics}
    odd = {metric.name: _odd(metric, now[metric.name]) for metric in metrics}
    places = pl.concat([frame.select(PLACE) for frame in odd.values()]).unique()
    found = both.select(*PLACE)
    those = [metric for metric in metrics if not odd[metric.name].is_empty()]
    needs = tuple(dict.fromkeys(name for metric in those for name in metric.needs))
    parts: dict[str, list[pl.DataFrame]] = {metric.name: [] for metric in those}
    for some in slices(places, needs):
        past = recall(needs, some)
        for metric in those:
            parts[metric.name].append(_beyond(odd[metric.name].join(some, on=PLACE, how="semi"), past, metric))
    for metric in metrics:
        steps = now[metric.name].select(*PLACE, pl.lit(0.0).alias(metric.name))
        if metric in those:
            beyond = pl.concat(parts[metric.name])
            value = pl.coalesce("beyond", metric.name).alias(metric.name)
            steps = steps.join(beyond, on=PLACE, how="left").select(*PLACE, value)
        found = found.join(steps, on=PLACE, how="left", maintain_order="left")
    return found


def _now(metric: NewRows, of_kept: pl.DataFrame) -> pl.DataFrame:
    """The quotient of the new rows of columns that have enough: PLACE, value, n, before (that of the whole table)."""
    (a, n), (a0, n0) = metric.sums(""), metric.sums(FORMER)
    value = (a - a0) / (n - n0)
    many = pl.all_horizontal(True, *(_float(name) - _float(name + FORMER) >= FEWEST for name in metric.levels))
    found = of_kept.filter(many).select(
        *PLACE,
        (value.clip(0, 1) if metric.is_share else value).alias("value"),
        (n - n0).alias("n"),
        (a0 / n0).alias("before"),
    )
    return found.filter(pl.col("n") >= (FEW if metric.is_share else FEWEST))


def _odd(metric: NewRows, now: pl.DataFrame) -> pl.DataFrame:
    """Those that are far from the whole table."""
    return now.filter((pl.col("value") - pl.col("before")).abs() >= metric.least)


def of_nights(counts: pl.DataFrame, keys: Sequence[str], *, is_share: bool = True) -> pl.DataFrame:
    """The quotient of the rows that came in each night: keys, value, is_within.

    Not within 0 to 1 is a share if old rows change, too: such an object's differences do not tell of new rows.

    Args:
        counts: keys, DAY, and the sums a and n of several dates.
        keys: what identifies an object.
        is_share: whether the quotient is a share.
    """
    a, n = pl.col("a"), pl.col("n")
    steps = counts.sort(*keys, DAY).select(*keys, a.diff().over(keys).alias("a"), n.diff().over(keys).alias("n"))
    many = n >= FEWEST_BEFORE
    slack = pl.when(many).then(TOLERANCE * n).otherwise(SLACK)
    is_within = a.is_between(-slack, n.clip(0) + slack) if is_share else pl.lit(value=True)
    nights = steps.filter(a.is_not_null() & n.is_not_null()).with_columns(is_within.alias("is_within"))
    return nights.filter(many | ~pl.col("is_within")).select(
        *keys, pl.when(many).then(a / n).alias("value"), "is_within"
    )


def beyond_range(least: float, *, is_share: bool) -> pl.Expr:
    """By how much `value` of `n` rows is outside the range `low` to `high` of `nights`, beyond chance; 0 if within."""
    value, low, high = (pl.col(name).clip(0, 1) if is_share else pl.col(name) for name in ("value", "low", "high"))
    distance = pl.max_horizontal(low - value, value - high, 0.0)
    near = pl.when(value > high).then(high).otherwise(low)
    clear_size = pl.when(pl.col("n") >= FEWEST).then(least).otherwise(max(least, CLEAR))
    deviation = (near * (1 - near)).sqrt().clip(LEAST_ERROR) if is_share else pl.lit(DAY_ERROR)
    clear = (
        (pl.col("nights") >= NIGHTS) & (distance >= clear_size) & (distance > SPREADS * deviation / pl.col("n").sqrt())
    )
    return pl.when(clear).then(distance * (100 if is_share else 1)).otherwise(0.0)


def _beyond(odd: pl.DataFrame, past: pl.DataFrame, metric: NewRows) -> pl.DataFrame:
    a, n = metric.sums("")
    nights = of_nights(past.select(*PLACE, DAY, a.alias("a"), n.alias("n")), PLACE, is_share=metric.is_share)
    ranges = (
        nights.filter(pl.col("is_within").all().over(PLACE))
        .group_by(PLACE)
        .agg(pl.len().alias("nights"), pl.col("value").min().alias("low"), pl.col("value").max().alias("high"))
    )
    beyond = beyond_range(metric.least, is_share=metric.is_share)
    if not metric.is_share:
        # Of a load, as long as it takes, the hour is that of a program
        is_spread = (pl.col("high") - pl.col("low")) * pl.col("n").sqrt() >= NARROW
        beyond = pl.when(is_spread).then(beyond).otherwise(0.0)
        return odd.join(ranges, on=PLACE, how="left").select(*PLACE, beyond.alias("beyond"))
    fewest = 1 if metric.is_final else NIGHTS
    none = past.group_by(PLACE).agg(((a.max() == 0) & (pl.len() >= fewest) & (n.max() >= SEEN)).alias("had_none"))
    # Where there were none among many, on whatever nights they came
    value = pl.col("value")
    are_first = pl.col("had_none").fill_null(value=False) & (value >= CLEAR) & (value * pl.col("n") >= FIRST)
    found = odd.join(ranges, on=PLACE, how="left").join(none, on=PLACE, how="left")
    return found.select(*PLACE, pl.when(are_first).then(100 * value).otherwise(beyond).alias("beyond"))


def _float(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Float64)
