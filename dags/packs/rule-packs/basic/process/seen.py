"""Seen: steps without what the object has shown before, on its earlier usable dates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
from steps import DAYS, FORMER, FORMER_DAY, NIGHTS, slices, total_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from steps import Recall, Step

    # What of an object's earlier dates counts for a step of this name: a frame with keys, DAYS, then
    Counted = Callable[[str, pl.DataFrame], pl.DataFrame]

AS_MANY = 4  # times the rows that have come must have come before without effect
SAME = 0.1  # of the step: how wide the range of a quantity that does not move may be


def of_night(
    steps: Iterable[Step],
    keys: Sequence[str],
    both: pl.DataFrame,
    recall: Recall,
    counted: Counted = lambda _, past: past,
) -> pl.DataFrame:
    """The steps of the objects of one relation.

    Args:
        steps: of this relation.
        keys: the columns that identify an object.
        both: the metrics that the steps need, of both dates, FORMER_DAY (null: there is no former date), and KEPT.
        recall: reads the earlier usable dates of a few objects.
        counted: without dates that do not count for a step.

    Returns: the keys, and a column per step.
    """
    steps = tuple(steps)
    has_former = pl.when(pl.col(FORMER_DAY).is_not_null())
    found = both.select(
        *keys,
        *(has_former.then(step.moved.fill_nan(None)).alias(step.name) for step in steps),
        *(
            has_former.then(step.still.fill_nan(None)).alias(f"{step.name}_still")
            for step in steps
            if step.still is not None
        ),
    )
    moved = found.filter(pl.any_horizontal(pl.exclude(keys) > 0)).select(keys)
    if moved.is_empty():
        return found.select(*keys, *(step.name for step in steps))
    those = [step for step in steps if _has_moved(found, step)]
    needs = tuple(dict.fromkeys(name for step in those for name in step.needs))
    parts = []
    for places in slices(moved, needs):
        now, past = both.join(places, on=keys, how="semi"), recall(needs, places)
        part = now.select(keys)
        for step in those:
            part = part.join(_known(step, keys, now, past, counted), on=keys, how="left")
        parts.append(part)
    known = pl.concat(parts)
    found = found.join(known, on=keys, how="left", suffix="_known", maintain_order="left")
    return found.select(
        *keys, *((_seen(step) if step in those else pl.col(step.name)).alias(step.name) for step in steps)
    )


def _has_moved(found: pl.DataFrame, step: Step) -> bool:
    sizes = [step.name] if step.still is None else [step.name, f"{step.name}_still"]
    return any((found[name] > 0).any() for name in sizes)


def _seen(step: Step) -> pl.Expr:
    """The step, without what the object has shown before."""
    size = pl.col(step.name)
    if step.still is not None:
        is_still = pl.col(f"{step.name}_is_still").fill_null(value=False)
        size = (
            pl.when(is_still & (pl.col(f"{step.name}_still") > 0))
            .then(pl.max_horizontal(size, f"{step.name}_still"))
            .otherwise(size)
        )
    is_known = pl.col(f"{step.name}_known").fill_null(value=False)
    return pl.when(is_known & (size > 0)).then(0.0).otherwise(size)


def _known(step: Step, keys: Sequence[str], now: pl.DataFrame, past: pl.DataFrame, counted: Counted) -> pl.DataFrame:
    """Whether the quantity is within the range of the earlier usable dates, and whether that range is narrow.

    Returns: keys, a column of the step's name, another with the suffix _is_still.
    """
    count = total_of(*step.whole) if step.whole else _none
    then = past.select(*keys, DAYS, step.quantity("").alias("then"), count("").alias("count"))
    ranges = (
        counted(step.name, then)
        .filter(pl.col("then").is_finite())
        .group_by(keys)
        .agg(
            pl.col("then").min().alias("low"),
            pl.col("then").max().alias("high"),
            pl.len().alias("dates"),
            pl.col("count").min().alias("least"),
        )
    )
    width = pl.col("high") - pl.col("low")
    margin = step.margin * width
    within = step.quantity("").is_between(pl.col("low") - margin, pl.col("high") + margin)
    came, came_before = count("") - count(FORMER), count(FORMER) - pl.col("least")
    is_still = (
        (pl.col("dates") >= NIGHTS)
        & (width <= SAME * (step.quantity("") - step.quantity(FORMER)).abs())
        & (came_before >= AS_MANY * came)
    )
    return now.join(ranges, on=keys).select(*keys, within.alias(step.name), is_still.alias(f"{step.name}_is_still"))


def _none(_suffix: str) -> pl.Expr:
    return pl.lit(0.0)
