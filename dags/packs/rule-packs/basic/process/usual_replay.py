"""Replay: judges the dates of many objects, one after the other, each by what was usual before it.

The laws are in docs/explanation/usual-values.md in words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from usual_past import FIRST_LEVEL, SATURDAY, Past

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import NDArray
    from usual_past import Flags, Floats, Numbers

# Stages, by the number of dates with a value before the judged one.
TOO_FEW, FIRST_WEEK, SECOND_WEEK, FORECAST, FULL_FORECAST = range(5)
STARTS = (0, 2, 7, 14, 62)
# Dates 3 to 14. How many ranges of n earlier values a normally distributed value is below the least once in 2,000
# times, by n (2,000,000 drawn); from 13 on, the last. So far above the greatest likewise.
RANGES = np.array([np.inf, np.inf, 560, 19, 6.2, 3.4, 2.4, 1.9, 1.6, 1.4, 1.2, 1.1, 1.0, 0.9])
RANGE_FLOORS = 5  # no less than this many floors
DROP, RISE = 0.4, 2 / 3  # no smaller share is unusual: to less than 60 %, to more than 1 / 60 %
TENTH = 0.1  # of the least: a drop below it is unusual after two values already
LIKE = 0.2  # a value that differs from the week before by less than this share is like it
# From date 15.
ENOUGH = 5  # errors of forecasts; with fewer of them, dates are judged as before
FEW = 21  # with fewer forecasts by weekday, changes of the newest week count as errors of them, too
UNSURE = 5  # n errors of forecasts let the limit be 1 + UNSURE / n as wide
STEADY_RISE = 0.5  # what never changed may grow by this share
LONG_GAP = 14  # days without a value, after which forecasts are less sure


@dataclass
class Judged:
    """One date of a block of objects."""

    has: Flags  # a value that counts
    stage: NDArray[np.int8]
    unusual: Flags
    weekend: Flags  # if unusual: a weekend that no earlier date foretells may be why
    steady: Flags  # the value never changed
    expected: Floats
    low: Floats
    high: Floats
    former: Floats  # the newest value that was not unusual


class Replay:
    """The replay of a block of objects.

    Args:
        objects: their number.
        floor, percent, limit: of the Law.
    """

    def __init__(self, objects: int, *, floor: float, percent: float, limit: float) -> None:
        self.floor, self.share, self.limit = floor, percent / 100, limit
        self.past = Past(objects, floor)

    def step(self, values: Floats, has: Flags, date: dt.date, *, exact: bool = True) -> Judged:
        """Judge a date by the earlier ones, then add it to them.

        Args:
            values: one per object.
            has: whether it is to be judged: finite, and of a usable date.
            date: later than those before.
            exact: False: `low` and `high` of values that are not unusual may be nearer to `expected` than they are.
        """
        past, size = self.past, len(values)
        day, level = date.toordinal(), past.level()
        judged = Judged(
            has=has,
            stage=(np.searchsorted(STARTS, past.dates, side="right") - 1).astype(np.int8),
            unusual=np.zeros(size, bool),
            weekend=np.zeros(size, bool),
            steady=past.is_steady(),
            expected=np.full(size, np.nan),
            low=np.full(size, np.nan),
            high=np.full(size, np.nan),
            former=past.former.copy(),
        )
        with np.errstate(invalid="ignore", over="ignore"):
            by_weekday = self._judge_by_forecast(judged, values, level, day, exact=exact)
            early = np.flatnonzero(has & np.isnan(judged.expected) & (judged.stage >= FIRST_WEEK))
            if early.size:
                self._judge_by_range(judged, values, early, day)
            self._learn(judged, values, level, by_weekday, day)
        return judged

    def _judge_by_range(self, judged: Judged, values: Floats, rows: Numbers, day: int) -> None:
        """Far outside what earlier working days had, or earlier weekends; outside of both if they are alike."""
        past, x, weekday = self.past, values[rows], (day - 1) % 7
        kind = int(weekday >= SATURDAY)
        count, low, high = past.kind_count[:, rows], past.kind_low[:, rows], past.kind_high[:, rows]
        least, greatest = low.min(axis=0), high.max(axis=0)
        apart = (low.max(axis=0) > high.min(axis=0)) & (count.min(axis=0) > 0)
        alone = apart & (count[kind] >= STARTS[FIRST_WEEK])
        number = np.where(alone, count[kind], count.sum(axis=0))
        low, high = np.where(alone, low[kind], least), np.where(alone, high[kind], greatest)
        ranges = RANGES[np.minimum(number, len(RANGES) - 1)]
        width = np.maximum(np.where(high > low, ranges * (high - low), 0.0), RANGE_FLOORS * self.floor)
        bottom = low - np.maximum(width, DROP * np.abs(low))
        if self.floor > 0:  # of a mean, nobody knows where its zero is
            tenth = np.minimum(TENTH * least, least - self.floor)
            bottom = np.where(least > 0, np.maximum(bottom, tenth), bottom)
        top = high + np.maximum(width, RISE * np.abs(high))
        before = past.any[weekday, rows]
        is_like = np.abs(x - before) <= np.maximum(self.floor, LIKE * np.abs(before))
        judged.unusual[rows] = ((x < bottom) | (x > top)) & ~is_like
        is_first = count[0] == 0 if kind == 0 else True
        judged.weekend[rows] = (judged.stage[rows] <= SECOND_WEEK) & is_first
        judged.expected[rows], judged.low[rows], judged.high[rows] = low / 2 + high / 2, bottom, top

    def _judge_by_forecast(self, judged: Judged, x: Floats, level: Floats, day: int, *, exact: bool) -> Floats:
        """Too far from the forecast, compared with the errors of earlier ones.

        Two forecasts are made: by weekday, and by the level alone. The one whose errors were smaller counts.

        Returns:
            The forecasts by weekday, also those that did not count; NaN where there is none.
        """
        past = self.past
        if not (past.dates >= FIRST_LEVEL).any():
            return np.full(len(x), np.nan)
        ratio = past.is_ratio() & (level != 0)
        centre = past.centre((day - 1) % 7, ratio)
        forecast = np.where(ratio, level * centre, level + centre)
        late = judged.has & (judged.stage >= FORECAST) & ~np.isnan(level)
        if not late.any():
            return forecast
        gap = day - past.newest
        longer = np.where((gap > LONG_GAP) & (gap > 2 * past.gap), 1 + gap / 7, 1.0)
        floor = np.maximum(self.floor, self.share * np.abs(level)) * longer
        weekday_floor = np.where(ratio, np.maximum(self.floor, self.share * np.abs(forecast)) * longer, floor)
        scale = np.where(ratio, past.scale(level, level), 1.0)
        weekday_scale = np.where(ratio, past.scale(forecast, level), 1.0)
        # Most values are near both forecasts, and need no look at the errors
        few = past.weekday_errors.count < FEW
        near = np.abs(x - level) <= np.maximum(floor, self.limit * past.level_errors.at_least(ratio) * scale)
        least = np.where(few, 0.0, past.weekday_errors.at_least(ratio))
        near &= np.abs(x - forecast) <= np.maximum(weekday_floor, self.limit * least * weekday_scale)
        near &= late
        rows = np.flatnonzero(late if exact else late & ~near)
        judged.expected[near], judged.low[near], judged.high[near] = forecast[near], -np.inf, np.inf
        if not rows.size:
            return forecast
        spread, count = past.level_errors.spread(rows, ratio[rows])
        wide = np.where(count >= ENOUGH, self._limit(count) * spread * scale[rows], np.inf)
        spread, count = self._weekday_spread(rows, ratio[rows], few[rows])
        narrow = np.where(count >= ENOUGH, self._limit(count) * spread * weekday_scale[rows], np.inf)
        narrow[np.isnan(forecast[rows])] = np.inf
        by_weekday = narrow <= wide
        narrow, wide = np.maximum(narrow, weekday_floor[rows]), np.maximum(wide, floor[rows])
        width, expected = np.where(by_weekday, narrow, wide), np.where(by_weekday, forecast[rows], level[rows])
        low, high = expected - width, expected + width
        high = np.where(judged.steady[rows], np.maximum(high, expected + STEADY_RISE * np.abs(expected)), high)
        unusual = (x[rows] < low) | (x[rows] > high)
        back = np.flatnonzero(unusual & (past.old_until[rows] >= day))
        if back.size:
            neutral = np.where(ratio, 1.0, 0.0)[rows[back]]
            shape = np.where(by_weekday[back], centre[rows[back]], neutral)
            unusual[back] = ~self._is_back(rows[back], x[rows[back]], ratio[rows[back]], shape, width[back])
        sure = np.isfinite(width)
        judged.unusual[rows[sure]], judged.expected[rows[sure]] = unusual[sure], expected[sure]
        judged.low[rows[sure]], judged.high[rows[sure]] = low[sure], high[sure]
        judged.expected[rows[~sure]] = np.nan
        return forecast

    def _is_back(self, rows: Numbers, x: Floats, ratio: Flags, centre: Floats, width: Floats) -> Flags:
        """A value of the level before the newest one is usual for a while, and ends the newest one."""
        old = self.past.old_level(rows)
        expected = np.where(ratio, old * centre, old + centre)
        is_back = np.abs(x - expected) <= np.maximum(width, self.share * np.abs(expected))
        self.past.restore(rows[is_back])
        return is_back

    def _limit(self, count: Numbers) -> Floats:
        """The limit in spreads, for spreads of so many errors."""
        return np.asarray(self.limit * (1 + UNSURE / np.maximum(count, 1)))

    def _weekday_spread(self, rows: Numbers, ratio: Flags, few: Flags) -> tuple[Floats, Numbers]:
        past, spread, count = self.past, np.empty(len(rows)), np.empty(len(rows), np.int64)
        many, some = np.flatnonzero(~few), np.flatnonzero(few)
        spread[many], count[many] = past.weekday_errors.spread(rows[many], ratio[many])
        changes = past.changes(rows[some], ratio[some])
        spread[some], count[some] = past.weekday_errors.spread(rows[some], ratio[some], changes)
        return spread, count

    def _learn(self, judged: Judged, values: Floats, level: Floats, by_weekday: Floats, day: int) -> None:
        past = self.past
        has = _rows(judged.has)
        past.see(has, values[has], day)
        is_excused = judged.unusual & judged.weekend & (past.row == 0)
        is_step = judged.steady & ~judged.unusual & (past.dates > STARTS[SECOND_WEEK]) & (values != judged.former)
        is_step &= judged.has
        if is_step.any():
            steps = np.flatnonzero(is_step)
            past.new_step(steps, values[steps], day)
        usual = _rows(judged.has & ~judged.unusual & ~is_step)
        past.add(usual, values[usual], level[usual], day, by_weekday[usual])
        past.end_row(usual, day)
        if not judged.unusual.any():
            return
        excused = np.flatnonzero(judged.has & is_excused)
        past.add(excused, values[excused], level[excused], day)
        unusual = np.flatnonzero(judged.has & judged.unusual & ~is_excused)
        past.add_unusual(unusual, values[unusual], level[unusual], day)


def _rows(which: Flags) -> Numbers | slice:
    """The numbers of some rows; a slice, which is quicker, if they are all."""
    return slice(None) if which.all() else np.flatnonzero(which)
