"""Usual values: whether the value of a date is what earlier dates let expect.

No state is stored: the earlier dates are judged again, one after the other, so that a date that was unusual stays out
of what later ones are compared with. docs/explanation/usual-values.md has the laws in words, and how often they fail.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from figures import figure
from usual_past import SAME
from usual_replay import FIRST_WEEK, FORECAST, Replay

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]
    Numbers = NDArray[np.int64]

OK, BREACHED, NOT_JUDGED = range(3)
LOW, HIGH, BOTH = "low", "high", "both"
BLOCK = 8192  # objects at a time: 25 MB of state
ALIKE = 16_384  # objects of which those with the same values are judged once
TOO_BIG = 1e150  # no value: differences and ratios of larger ones overflow


@dataclass(frozen=True)
class Law:
    """What is unusual."""

    side: str = BOTH  # which side is a breach; the other one stays out of later baselines all the same
    floor: float = 5.0  # no smaller difference is unusual; in the metric's unit
    percent: float = 5.0  # of the expected value: no smaller difference is unusual
    limit: float = 5.0  # from date 15: so many spreads

    def __post_init__(self) -> None:
        """Refuse what would judge nothing, or everything."""
        if self.side not in {LOW, HIGH, BOTH}:
            raise ValueError(f"side is {self.side!r}: expected low, high or both")
        for name, least in (("floor", 0), ("percent", 0), ("limit", 1)):
            if not least <= getattr(self, name) < TOO_BIG:
                raise ValueError(f"{name} is {getattr(self, name)}: expected a number of at least {least}")


@dataclass(frozen=True)
class Verdicts:
    """The verdicts on one date: one per object in each field."""

    outcome: NDArray[np.int8]  # OK, BREACHED, NOT_JUDGED
    low: Floats  # usual is what is neither below this nor above `high`; NaN if not judged
    high: Floats
    expected: Floats  # the forecast; in the first 14 dates the middle between least and greatest
    former: Floats  # the newest value before that was not unusual
    stage: NDArray[np.int8]  # usual_replay.TOO_FEW, FIRST_WEEK, SECOND_WEEK, FORECAST, FULL_FORECAST
    dates: Numbers  # dates before that had a value
    weekend: Flags  # breached, but it may be a weekend that no earlier date foretells: not more than an Info
    steady: Flags  # no value before was different


FIELDS = tuple(field.name for field in fields(Verdicts))


def judge(values: Floats, dates: Sequence[dt.date], law: Law, since: Numbers | None = None) -> Verdicts:
    """Judge the last date by those before it.

    Args:
        values: objects x dates. NaN, infinite and beyond 1e150: no value that may be used.
        dates: at least one, ascending. They may have gaps: what is compared is the same weekday, not the same position.
        law: what is unusual.
        since: per object the ordinal of the first date that counts; None: all do.

    Raises:
        ValueError: if the shapes do not match, or the dates do not ascend.
    """
    if not len(dates) or values.shape != (len(values), len(dates)):
        raise ValueError(f"{values.shape} values, {len(dates)} dates: expected objects x dates")
    if any(earlier >= later for earlier, later in pairwise(dates)):
        raise ValueError("the dates do not ascend")
    ordinals = np.array([date.toordinal() for date in dates])
    parts = []
    for at in range(0, max(len(values), 1), ALIKE):
        part = slice(at, at + ALIKE)
        has = np.abs(values[part]) < TOO_BIG
        if since is not None:
            has &= ordinals >= since[part, None]
        different, which = _different(np.where(has, values[part], np.nan))
        blocks = [
            _judge_block(different[first : first + BLOCK], dates, law)
            for first in range(0, max(len(different), 1), BLOCK)
        ]
        parts.append(joined(blocks, which))
    return joined(parts)


def joined(parts: Sequence[Verdicts], order: Numbers | slice = slice(None)) -> Verdicts:
    """The verdicts of several parts as those of one, in this order."""
    return Verdicts(**{name: np.concatenate([getattr(part, name) for part in parts])[order] for name in FIELDS})


def words(verdicts: Verdicts, index: int, *, quotable: bool) -> str:
    """What was usual for an object, the value before, and the method, in words.

    Args:
        verdicts: of `judge`.
        index: of the object.
        quotable: whether numbers may be quoted; False if they may be values of patients.
    """
    count, stage = int(verdicts.dates[index]), int(verdicts.stage[index])
    if stage < FIRST_WEEK:
        return f"not judged: two earlier dates are needed, there {'is' if count == 1 else 'are'} {count or 'none'}"
    low, high, former = (figure(getattr(verdicts, name)[index]) for name in ("low", "high", "former"))
    is_forecast = stage >= FORECAST
    if verdicts.steady[index]:
        dates = f"on the {min(count, SAME + 1)} dates before"
        told = f"{dates} always {former}" if quotable else f"it was always the same {dates}"
    elif is_forecast:
        told = f"expected {low} to {high} by weekday and newest week" if quotable else "far from its forecast"
    else:
        told = f"usual is {low} to {high}" if quotable else "far from earlier dates"
    if not verdicts.steady[index]:
        told += f", judged by {count} dates before" + (f"; last {former}" if quotable else "")
    note = "; it may be the weekend, as no earlier one is known" if verdicts.weekend[index] else ""
    return f"{told}{note}"


def _different(values: Floats) -> tuple[Floats, Numbers]:
    """The rows without repetitions, and which of them each row is: columns of one table often have the same counts."""
    numbers: dict[bytes, int] = {}
    which = np.array([numbers.setdefault(row.tobytes(), len(numbers)) for row in values], np.int64)
    _, first = np.unique(which, return_index=True)
    return values[first], which


def _judge_block(values: Floats, dates: Sequence[dt.date], law: Law) -> Verdicts:
    columns = values.T.copy()  # one date after the other is read: let each be contiguous
    have = ~np.isnan(columns)
    replay = Replay(len(values), floor=law.floor, percent=law.percent, limit=law.limit)
    for column, there, date in zip(columns[:-1], have[:-1], dates, strict=False):
        replay.step(column, there, date, exact=False)
    before = replay.past.dates.copy()
    last, x = replay.step(columns[-1], have[-1], dates[-1]), columns[-1]
    with np.errstate(invalid="ignore"):
        on_side = {LOW: x < last.low, HIGH: x > last.high, BOTH: np.ones(len(x), bool)}[law.side]
    breached = last.unusual & on_side
    is_judged = last.has & (last.stage >= FIRST_WEEK)
    return Verdicts(
        outcome=np.where(is_judged, np.where(breached, BREACHED, OK), NOT_JUDGED).astype(np.int8),
        low=last.low,
        high=last.high,
        expected=last.expected,
        former=last.former,
        stage=last.stage,
        dates=before,
        weekend=breached & last.weekend,
        steady=last.steady,
    )
