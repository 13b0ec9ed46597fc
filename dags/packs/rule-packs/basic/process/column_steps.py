"""All steps, and those of columns of any kind: nulls, distinct values."""

from __future__ import annotations

from dataclasses import replace

import date_steps
import key_steps
import number_steps
import polars as pl
import row_steps
import text_steps
from steps import (
    COLUMN,
    FEW,
    FEWEST,
    FIRST,
    FORMER,
    KEPT,
    LEAST_RATIO,
    MANY,
    ROWS,
    SEEN,
    VALUES,
    Step,
    of_both,
    share,
    total_of,
)

FEW_LEVELS = 3  # more distinct values than before
MOST_LEVELS = 0.2  # distinct values of a code, per value


def _emptied() -> Step:
    values, former = of_both(total_of("value_counts"))
    rows, former_rows = of_both(total_of(*ROWS))
    left = former * (rows / former_rows).clip(upper_bound=1.0)  # of a table that has lost rows
    is_empty = (values == 0) & (rows > 0) & (left >= FEW)
    return Step(
        name="step_emptied",
        of=COLUMN,
        needs=(*ROWS, "percent_na_values"),
        moved=pl.when(is_empty).then(100 * former / former_rows).otherwise(0.0),
        quantity=total_of("percent_na_values"),
        shows="percent_na_values",
        unit="points",
        about="values lost by a column that has become empty, if at least five were to be expected",
    )


def _distinct_lost() -> Step:
    """Fewer distinct values among as many values: codes cut off, or one value written over others."""
    levels, former = of_both(total_of("levels_count"))
    n, n0 = of_both(total_of("value_counts"))
    size = former / pl.max_horizontal(levels, 1)
    is_known = (former >= FEW) & (levels > 0) & (n0 >= FEWEST) & (n >= 0.9 * n0)
    return Step(
        name="step_levels_lost",
        of=COLUMN,
        needs=("levels_count", "value_counts"),
        moved=pl.when(is_known & pl.col(KEPT) & (size >= LEAST_RATIO)).then(size).otherwise(0.0),
        quantity=total_of("levels_count"),
        shows="levels_count",
        unit="times",
        about="the distinct values have become so many times fewer, in a table that has kept its rows",
    )


def _distinct_gained() -> Step:
    """More distinct values than before among old rows: the same codes written in another way."""
    levels, former = of_both(total_of("levels_count"))
    n, n0 = of_both(total_of("value_counts"))
    size = levels / former
    is_known = (
        (former > 1) & (n0 >= MANY) & (former <= MOST_LEVELS * n0) & (levels - former >= FEW_LEVELS) & pl.col(KEPT)
    )
    came = pl.max_horizontal(n - n0, 0.0)
    new = levels - former > came  # more than new rows can bring
    # Many rows have come without a new value
    is_code = (former > 1) & (n0 >= SEEN) & (former <= MOST_LEVELS * n0) & pl.col(KEPT)
    bring = is_code & (levels - former >= FEW_LEVELS) & (size >= LEAST_RATIO)
    return Step(
        name="step_levels_gained",
        of=COLUMN,
        needs=("levels_count", "value_counts"),
        moved=pl.when(is_known & new & (size >= LEAST_RATIO)).then(size).otherwise(0.0),
        still=pl.when(bring & (came > 0)).then(size).otherwise(0.0),
        whole=VALUES,
        quantity=total_of("levels_count"),
        shows="levels_count",
        unit="times",
        about="the distinct values have become so many times more, by more than the rows that have come",
    )


def _newest_nulls() -> Step:
    """Nulls on the newest day; in a column that never had any, half of a few rows are enough."""
    step = share(
        "step_newest_na",
        COLUMN,
        "newest_na_values",
        ("newest_values", "newest_na_values"),
        "the share of nulls among the rows of the newest day has grown",
        least=FEW,
    )
    missing, rows = total_of("newest_na_values")(""), total_of("newest_values", "newest_na_values")("")
    had, values = (total_of(name)(FORMER) for name in ("na_values", "value_counts"))
    never = (had == 0) & (values >= SEEN) & (total_of("newest_values")(FORMER) >= FEW)
    are_first = never & (missing >= FIRST) & (missing >= 0.5 * rows)
    return replace(
        step,
        needs=(*step.needs, "na_values", "value_counts"),
        moved=pl.when(are_first).then(100 * missing / rows).otherwise(step.moved),
    )


STEPS: tuple[Step, ...] = (
    _emptied(),
    share("step_na", COLUMN, "na_values", ROWS, "the share of nulls has grown", least=FEW),
    _newest_nulls(),
    _distinct_lost(),
    _distinct_gained(),
    share("step_top", COLUMN, "highest_frequency", VALUES, "the share of the most frequent value has grown", least=FEW),
    share(
        "step_true",
        COLUMN,
        "true_count",
        ("true_count", "false_count"),
        "the share of true has changed",
        side="both",
        least=FEW,
    ),
    *date_steps.STEPS,
    *key_steps.STEPS,
    *row_steps.STEPS,
    *number_steps.STEPS,
    *text_steps.STEPS,
)
