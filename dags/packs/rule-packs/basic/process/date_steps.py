"""The steps of dates and moments."""

from __future__ import annotations

import polars as pl
from steps import (
    COLUMN,
    DAYS,
    FEW,
    FEWEST,
    FORMER,
    KEPT,
    MANY,
    VALUES,
    Step,
    of_both,
    share,
    total_of,
)

SAME = 0.1  # relative difference of two movements that are one
LEAST_DAYS = 28  # by which all dates must have moved
FAR_YEARS = 20.0
LIFE_YEARS = 80.0  # no plan is for later: where dates have been in the future before
LEAST_HOURS = 0.75
DAY = 86_400_000_000.0  # dates are microseconds since 1970
YEAR = 365.25 * DAY


def _date_step(
    name: str, of: str, *also: str, clear: pl.Expr, size: pl.Expr, unit: str, about: str, shows: str = ""
) -> Step:
    """A step of one metric of a column: `size` if it is clear, else 0. `also` are the other metrics that it needs."""
    moved = pl.when(clear).then(size).otherwise(0.0)
    needs = (of, *also, "value_counts")
    return Step(
        name=name, of=COLUMN, needs=needs, moved=moved, quantity=total_of(of), shows=shows, unit=unit, about=about
    )


def _fewest() -> pl.Expr:
    """The values on that of both dates which has fewer."""
    return pl.min_horizontal(*of_both(total_of("value_counts")))


def _dates_moved() -> Step:
    """The earliest and the latest date have moved together, by more days than have passed."""
    first, first0 = of_both(total_of("min_date_var"))
    last, last0 = of_both(total_of("max_date_var"))
    start, end = (first - first0) / DAY, (last - last0) / DAY
    passed = pl.col(DAYS) - pl.col(f"{DAYS}{FORMER}")
    together = (start * end > 0) & ((start - end).abs() <= pl.max_horizontal(2.0, SAME * start.abs()))
    size = pl.min_horizontal(start.abs(), end.abs()) - passed
    return _date_step(
        *("step_dates_moved", "max_date_var", "min_date_var"),
        clear=(_fewest() >= FEWEST) & together & (size >= LEAST_DAYS),
        size=size,
        unit="days",
        about="all dates have moved by more days than have passed",
    )


def _earliest() -> Step:
    """The earliest date has fallen far below what the column held: a default such as 1900-01-01."""
    first, first0 = of_both(total_of("min_date_var"))
    last0 = total_of("max_date_var")(FORMER)
    fall, span = (first0 - first) / YEAR, (last0 - first0) / YEAR
    return _date_step(
        *("step_earliest", "min_date_var", "max_date_var"),
        clear=(_fewest() >= FEWEST) & (fall >= pl.max_horizontal(pl.lit(FAR_YEARS), span / 2)),
        size=fall,
        unit="years",
        about="the earliest date lies many years before all earlier ones, by at least half their span",
    )


def _latest() -> Step:
    """The latest date has risen to decades after the metric date."""
    last, last0 = of_both(total_of("max_date_var"))
    rise, ahead = (last - last0) / YEAR, last / YEAR - pl.col(DAYS) * DAY / YEAR
    far = pl.when(total_of("future_dates")(FORMER) > 0).then(LIFE_YEARS).otherwise(FAR_YEARS)
    return _date_step(
        *("step_latest", "max_date_var", "future_dates"),
        clear=(_fewest() >= FEWEST) & (rise >= far) & (ahead >= far),
        size=rise,
        unit="years",
        about="the latest date has moved to at least 20 years ahead, or 80 if there were future dates before",
    )


def _first_future() -> Step:
    """Future dates in a column that had none: of validity and planning columns, those that had some are not judged."""
    future, former = of_both(total_of("future_dates"))
    n, n0 = of_both(total_of("value_counts"))
    return _date_step(
        *("step_first_future", "future_dates"),
        clear=(former == 0) & (future >= FEW) & (n0 >= FEWEST),
        size=100 * future / n,
        unit="points",
        shows="future_dates",
        about="the share of future dates in a column that had none",
    )


def _hour() -> Step:
    """The mean hour of the day has moved: another time zone."""
    hour, former = of_both(total_of("hour_mean"))
    (n, n0), (midnight, midnight0) = of_both(total_of("value_counts")), of_both(total_of("midnight_count"))
    timed, timed0 = n - midnight, n0 - midnight0
    difference = (hour - former).abs()
    size = pl.min_horizontal(difference, 24 - difference)
    error = 7 * (1 / timed + 1 / timed0).sqrt()  # seven hours: the deviation of moments spread over the whole day
    spreads = pl.when(pl.col(KEPT)).then(1.0).otherwise(4.0)
    clear = (pl.min_horizontal(timed, timed0) >= MANY) & (size >= LEAST_HOURS) & (size > spreads * error)
    return _date_step(
        *("step_hour", "hour_mean", "midnight_count"),
        clear=clear,
        size=size,
        unit="hours",
        about="the mean hour of the day has moved",
    )


STEPS: tuple[Step, ...] = (
    _dates_moved(),
    _earliest(),
    _latest(),
    _first_future(),
    _hour(),
    share("step_future", COLUMN, "future_dates", VALUES, "the share of future dates has grown", least=FEW),
    share(
        "step_midnight",
        COLUMN,
        "midnight_count",
        VALUES,
        "the share of moments at midnight has changed",
        side="both",
        least=FEW,
    ),
)
