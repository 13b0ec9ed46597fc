"""The steps of numbers."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
from steps import (
    BY_LEVEL,
    COLUMN,
    FEW,
    FEWEST,
    FORMER,
    KEPT,
    LEAST_RATIO,
    MANY,
    SPREADS,
    VALUES,
    Step,
    mean,
    of_both,
    ratio,
    share,
    spreads,
    total_of,
)

MOST_POWERS = 300.0
FEW_NEW = 12  # values of the newest day that tell something if they are far from all others
LEAST_SCALE = 3.0  # times
OTHER_NIGHTS = 0.5  # widths of the range of earlier nights: the rows of one night are of few patients and devices


def _scale() -> Step:
    """Median and 99th percentile have moved by about the same factor: another unit, a lost decimal separator."""
    median, former_median = of_both(total_of("median_num_var"))
    tail, former_tail = of_both(total_of("p99_num_var"))
    n, n0 = of_both(total_of("value_counts"))
    up = pl.min_horizontal(median / former_median, tail / former_tail)
    down = pl.min_horizontal(former_median / median, former_tail / tail)
    positive = (median > 0) & (former_median > 0) & (tail > 0) & (former_tail > 0)
    is_known = positive & (pl.min_horizontal(n, n0) >= pl.when(pl.col(KEPT)).then(FEWEST).otherwise(MANY))
    size = pl.max_horizontal(up, down)
    return Step(
        name="step_scale",
        of=COLUMN,
        needs=("median_num_var", "p99_num_var", "value_counts"),
        moved=pl.when(is_known).then(pl.when(size >= LEAST_RATIO).then(size).otherwise(0.0)).otherwise(None),
        quantity=total_of("median_num_var"),
        shows="",
        unit="times",
        about="median and 99th percentile have both grown, or both fallen, at least so many times",
    )


def _extreme() -> Step:
    """One end of the numbers lies far outside all former ones: a code for "missing" such as 9999, a typing error."""
    (low, low0), (high, high0) = (of_both(total_of(name)) for name in ("min_num_var", "max_num_var"))
    n = pl.min_horizontal(*of_both(total_of("value_counts")))
    width = high0 - low0
    beyond = pl.max_horizontal(high - high0, low0 - low) / width
    is_known = (n >= MANY) & (width > 0) & (pl.col(f"levels_count{FORMER}") >= FEW)
    return Step(
        name="step_extreme",
        of=COLUMN,
        needs=("min_num_var", "max_num_var", "levels_count", "value_counts"),
        moved=pl.when(is_known & (beyond >= 1)).then(beyond).otherwise(0.0),
        quantity=lambda suffix: pl.max_horizontal(pl.col(f"max_num_var{suffix}"), -pl.col(f"min_num_var{suffix}")),
        shows="",
        unit="widths",
        about="minimum or maximum lies so many times the former width outside all former values",
    )


def _same() -> Step:
    """All values of the newest day are the same, or as long, although they were not, and hardly ever would be.

    A number has one value with a chance of at most the share of the most frequent one. A text has one length with a
    chance p that follows from the former variance: with p, lengths within a width vary by at most
    (1 - p) * width ** 2; and p is at most variance / (variance + distance ** 2), as far as that length is from the mean
    (Cantelli).
    """
    deviation, former = of_both(total_of("newest_deviation"))
    n, n0 = of_both(total_of("newest_values"))
    top = total_of("highest_frequency")(FORMER) / total_of("value_counts")(FORMER)
    width = total_of("max_length")(FORMER) - total_of("min_length")(FORMER)
    distance = total_of("newest_mean")("") - total_of("newest_mean")(FORMER)
    as_long = pl.min_horizontal(1 - (former / width) ** 2, former**2 / (former**2 + distance**2))
    alike = pl.when(pl.col("infered_data_type") == "text").then(as_long).otherwise(top)
    # The rows of a day may be of one patient, whom whole numbers identify
    is_no_patient = (pl.col("infered_data_type") != "integer") | ((2 * n >= n0) & ~pl.col("is_foreign"))
    is_same = (deviation == 0) & (former > 0) & (n >= FEW_NEW) & (n0 >= FEW) & is_no_patient
    return Step(
        name="step_newest_same",
        of=COLUMN,
        needs=(
            *("newest_mean", "newest_deviation", "newest_values", "highest_frequency", "value_counts"),
            *("min_length", "max_length", "infered_data_type"),
        ),
        moved=pl.when(is_same).then((-n * alike.log(10)).clip(0, MOST_POWERS)).otherwise(0.0),
        quantity=total_of("newest_deviation"),
        shows="",
        unit="powers of ten",
        about="how unlikely it is that all values of the newest day are the same, as they are",
    )


def _newest_scale() -> Step:
    """Mean and deviation of the newest rows are both far from those of the rows before, and of the whole column."""
    (m, m0), (s, s0) = of_both(total_of("newest_mean")), of_both(total_of("newest_deviation"))
    n, n0 = of_both(total_of("newest_values"))
    whole, spread = (total_of(name)(FORMER) for name in ("mean_num_var", "std_num_var"))
    up = pl.min_horizontal(m / m0, s / s0, m / whole, s / spread)
    down = pl.min_horizontal(m0 / m, s0 / s, whole / m, spread / s)
    positive = pl.all_horizontal(one > 0 for one in (m, m0, s, s0, whole, spread))
    size = pl.max_horizontal(up, down)
    error = pl.max_horizontal(s, spread) / n.sqrt()
    clear = positive & (n >= FEW_NEW) & (n0 >= FEW) & (size >= LEAST_SCALE) & ((m - whole).abs() > SPREADS * error)
    return Step(
        name="step_newest_scale",
        of=COLUMN,
        needs=("newest_mean", "newest_deviation", "newest_values", "mean_num_var", "std_num_var"),
        moved=pl.when(clear).then(size).otherwise(0.0),
        quantity=lambda suffix: total_of("newest_mean")(suffix).log(),
        shows="",
        unit="times",
        about="mean and deviation of the newest rows have both grown, or both fallen, at least so many times",
        margin=OTHER_NIGHTS,
    )


def _still_mean() -> Step:
    """The mean of numbers of any kind has moved, in a table in which nothing has for nights."""
    (m, m0), s0 = of_both(total_of("mean_num_var")), total_of("std_num_var")(FORMER)
    n, n0 = of_both(total_of("value_counts"))
    is_known = pl.col(KEPT) & (n == n0) & (n >= 2 * FEW) & (s0 > 0)
    return Step(
        name="step_still_mean",
        of=COLUMN,
        needs=("mean_num_var", "std_num_var", "value_counts"),
        moved=pl.when(m.is_not_null()).then(0.0).otherwise(None),
        still=pl.when(is_known).then((m - m0).abs() / s0).otherwise(0.0),
        whole=VALUES,
        quantity=total_of("mean_num_var"),
        shows="",
        unit="standard deviations",
        about="the mean has changed, in a table that gets no rows and in which it never has",
    )


def _level_mean() -> Step:
    """The mean of one level of a number that is no reference.

    Its deviation is not measured, and is taken to be as large as the mean.
    """
    step = ratio(
        "step_level_mean",
        BY_LEVEL,
        "mean_num",
        "values_count",
        "the mean of one level has grown or fallen so many times",
        fewest=FEWEST,
    )
    n, n0 = of_both(total_of("values_count"))
    clear = step.moved.log() > spreads() * (1 / n + 1 / n0).sqrt()
    return replace(
        step,
        moved=pl.when((clear & ~pl.col("is_foreign")) | (step.moved == 0)).then(step.moved).otherwise(step.moved * 0),
    )


STEPS: tuple[Step, ...] = (
    _scale(),
    _extreme(),
    _same(),
    _newest_scale(),
    _still_mean(),
    mean("step_mean", COLUMN, "mean_num_var", "std_num_var", "value_counts", "the mean has changed"),
    mean(
        "step_newest_mean",
        COLUMN,
        "newest_mean",
        "newest_deviation",
        "newest_values",
        "the mean of the rows of the newest day has changed; of texts, their mean length",
        margin=OTHER_NIGHTS,
    ),
    share("step_zero", COLUMN, "zero_count", VALUES, "the share of zeros has grown", least=FEW),
    share(
        "step_negative",
        COLUMN,
        "negative_count",
        VALUES,
        "the share of negative numbers has grown",
        least=FEW,
        first=True,
    ),
    share(
        "step_non_finite", COLUMN, "non_finite_count", VALUES, "the share of non-finite numbers has grown", least=FEW
    ),
    share(
        "step_fraction",
        COLUMN,
        "fraction_count",
        VALUES,
        "the share of numbers with decimals has changed",
        side="both",
        least=FEW,
    ),
    _level_mean(),
)
