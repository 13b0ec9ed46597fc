"""The steps of texts: their length, case, blanks and letters."""

from __future__ import annotations

import polars as pl
from number_steps import FEW_NEW, OTHER_NIGHTS
from steps import (
    COLUMN,
    FEW,
    FEWEST,
    FORMER,
    KEPT,
    MANY,
    SPREADS,
    VALUES,
    Step,
    of_both,
    ratio,
    share,
    total_of,
)

CLEAR_RATIO = 2.0  # of lengths in a table that has not kept its rows, and of those of one night


def _length() -> Step:
    """Texts cut off or padded: only new texts can change the mean length of a table that has kept its rows."""
    step = ratio(
        "step_length", COLUMN, "mean_length", "value_counts", "the mean length has grown or fallen so many times"
    )
    n, n0 = of_both(total_of("value_counts"))
    enough = pl.col(KEPT) | ((n >= MANY) & (n0 >= MANY) & (step.moved >= CLEAR_RATIO))
    return Step(
        name=step.name,
        of=COLUMN,
        needs=step.needs,
        moved=pl.when(enough).then(step.moved).otherwise(0.0),
        quantity=step.quantity,
        shows=step.shows,
        unit=step.unit,
        about=step.about,
    )


def _fixed_length() -> Step:
    """Codes that were all of one length, such as postcodes, and no longer are: leading zeros lost."""
    shortest, longest = (pl.col(f"{name}_length{FORMER}") for name in ("min", "max"))
    n, n0 = of_both(total_of("value_counts"))
    distance = (pl.col("mean_length") - longest).abs()
    is_fixed = (shortest == longest) & (n0 >= FEWEST) & (n >= FEWEST)
    return Step(
        name="step_fixed_length",
        of=COLUMN,
        needs=("min_length", "max_length", "mean_length", "value_counts"),
        moved=pl.when(is_fixed).then(100 * distance).otherwise(0.0),
        quantity=total_of("mean_length"),
        shows="mean_length",
        unit="hundredths of a character",
        about="how far the mean length is from the one length that all texts had",
    )


def _texts_changed() -> Step:
    """The total length of old texts has changed: new rows add at most the longest text each, and take away nothing."""
    n, n0 = of_both(total_of("value_counts"))
    total, former = n * total_of("mean_length")(""), n0 * total_of("mean_length")(FORMER)
    most = (n - n0) * total_of("max_length")("")
    size = pl.max_horizontal(total - former - most, former - total)
    is_known = pl.col(KEPT) & (n >= n0) & (n0 >= FEWEST) & (former > 0)
    return Step(
        name="step_texts_changed",
        of=COLUMN,
        needs=("mean_length", "max_length", "value_counts"),
        moved=pl.when(is_known & (size > 0)).then(100 * size / former).otherwise(0.0),
        quantity=total_of("mean_length"),
        shows="mean_length",
        unit="percent",
        about="by how much the total length of old texts has changed, in a table that has kept its rows",
    )


def _newest_length() -> Step:
    """The newest texts are far longer or shorter than those before, and than the whole column."""
    m, m0 = of_both(total_of("newest_mean"))
    s, s0 = of_both(total_of("newest_deviation"))
    n, n0 = of_both(total_of("newest_values"))
    whole = total_of("mean_length")(FORMER)
    size = pl.max_horizontal(pl.min_horizontal(m / m0, m / whole), pl.min_horizontal(m0 / m, whole / m))
    error = (s * s / n + s0 * s0 / n0).sqrt()
    positive = pl.all_horizontal(one > 0 for one in (m, m0, whole))
    clear = positive & (n >= FEW_NEW) & (n0 >= FEW_NEW) & (size >= CLEAR_RATIO) & ((m - m0).abs() > SPREADS * error)
    return Step(
        name="step_newest_length",
        of=COLUMN,
        needs=("newest_mean", "newest_deviation", "newest_values", "mean_length"),
        moved=pl.when(clear).then(size).otherwise(0.0),
        quantity=lambda suffix: total_of("newest_mean")(suffix).log(),
        shows="",
        unit="times",
        about="the mean length of the newest texts has grown or fallen so many times",
        margin=OTHER_NIGHTS,
    )


STEPS: tuple[Step, ...] = (
    _length(),
    _newest_length(),
    _fixed_length(),
    _texts_changed(),
    share("step_empty", COLUMN, "empty_count", VALUES, "the share of texts without characters has grown", least=FEW),
    share(
        "step_placeholder", COLUMN, "placeholder_count", VALUES, "the share of placeholder words has grown", least=FEW
    ),
    share(
        "step_edge_blank",
        COLUMN,
        "edge_blank_count",
        VALUES,
        "the share of texts with blanks at an edge has grown",
        least=FEW,
    ),
    share("step_mojibake", COLUMN, "mojibake_count", VALUES, "the share of wrongly decoded texts has grown", least=FEW),
    share(
        "step_upper",
        COLUMN,
        "upper_count",
        VALUES,
        "the share of texts in capitals has changed",
        side="both",
        least=FEW,
    ),
    share(
        "step_lower",
        COLUMN,
        "lower_count",
        VALUES,
        "the share of texts in small letters has changed",
        side="both",
        least=FEW,
    ),
)
