"""Past: what earlier dates of many objects had, without the dates that were unusual.

Arrays end with one entry per object; those of weekdays begin with seven, from Monday, and those of kinds of days with
two: working days and weekends. A day is a date's `toordinal`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from forecast_errors import Errors, put

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]
    Numbers = NDArray[np.int64]

SATURDAY = 5
KINDS = (slice(0, SATURDAY), slice(SATURDAY, 7))
WEEKS = 8  # same weekdays that a forecast looks at
FRESH = 21  # days: how much older than the newest value that of another weekday may be
FIRST_LEVEL = 7  # dates before there is a level to compare with
IN_A_ROW = 3  # unusual dates that are a new level, or a new pattern of the week
RETURN = 28  # days after a new level was accepted in which the one before is still usual
SAME = 28  # dates with the same value: it does not change
# Errors of forecasts are measured in percent of the forecast, or of this part of the level, or of so many floors
HALF, FLOORS = 0.5, 2
NEVER = -(10**9)
# Exchanges that sort eight rows (Batcher): with rows as long as a block, several times as fast as np.sort
SORTED = (
    *((0, 1), (2, 3), (4, 5), (6, 7), (0, 2), (1, 3), (4, 6), (5, 7), (1, 2), (5, 6)),
    *((0, 4), (1, 5), (2, 6), (3, 7), (2, 4), (3, 5), (1, 2), (3, 4), (5, 6)),
)


class Past:
    """The usual values of a block of objects, and how far off forecasts were.

    Args:
        objects: their number.
        floor: of the Law.
    """

    def __init__(self, objects: int, floor: float) -> None:
        self.floor = floor
        self.dates = np.zeros(objects, np.int64)  # that had a value
        self.former = np.full(objects, np.nan)  # the newest usual value
        self.same = np.zeros(objects, np.int64)  # usual dates in a row that had the value of the one before
        self.gap, self.newest = np.zeros(objects, np.int64), np.full(objects, NEVER)  # days
        self.is_positive, self.is_negative = np.ones(objects, bool), np.ones(objects, bool)  # or 0, on all dates
        # The newest usual value of each weekday, its day, and the one before
        self.week, self.week_day = np.full((7, objects), np.nan), np.full((7, objects), NEVER)
        self.week_before = np.full((7, objects), np.nan)
        # Usual or not
        self.any, self.any_day = np.full((7, objects), np.nan), np.full((7, objects), NEVER)
        # The newest usual values of each weekday, and the level then: rings
        self.ring, self.ring_level = np.full((7, WEEKS, objects), np.nan), np.full((7, WEEKS, objects), np.nan)
        self.ring_count = np.zeros((7, objects), np.int64)
        self.weekday_errors, self.level_errors = Errors(objects), Errors(objects)
        # Number, least and greatest of the usual values
        self.kind_count = np.zeros((2, objects), np.int64)
        self.kind_low, self.kind_high = np.full((2, objects), np.inf), np.full((2, objects), -np.inf)
        # Unusual dates in a row, and the first of them; those of a weekday in a row, and the newest two
        self.row, self.row_start = np.zeros(objects, np.int64), np.zeros(objects, np.int64)
        self.weekday_row = np.zeros((7, objects), np.int64)
        self.pending, self.pending_level = np.full((7, 2, objects), np.nan), np.full((7, 2, objects), np.nan)
        # The week before a new level was accepted, and the last day on which it is still usual
        self.old_week, self.old_until = np.full((7, objects), np.nan), np.full(objects, NEVER)

    # What it says ------------------------------------------------------------------------------------------------

    def is_ratio(self) -> Flags:
        """Whether values are compared in percent: none was below zero, or none above."""
        return self.is_positive | self.is_negative

    def is_steady(self) -> Flags:
        """Whether the value did not change for weeks, except for steps that were not unusual."""
        return (self.same >= np.minimum(self.dates - 1, SAME)) & (self.dates > 1)

    def level(self) -> Floats:
        """The mean of the newest value of each weekday; NaN if there is none.

        If a weekday is known and has no fresh value, the others are taken in proportion.
        """
        there = (self.week_day >= self.week_day.max(axis=0) - FRESH) & ~np.isnan(self.week)
        if there.all():  # quicker
            return np.asarray(self.week.sum(axis=0) / len(self.week))
        with np.errstate(invalid="ignore", divide="ignore"):
            level = np.asarray(np.where(there, self.week, 0.0).sum(axis=0) / there.sum(axis=0))
        known = self.ring_count > 0
        columns = np.flatnonzero((known & ~there).any(axis=0) & (known & there).any(axis=0))
        if columns.size:
            have, present = known[:, columns], known[:, columns] & there[:, columns]
            ratio = self.is_ratio()[columns] & (level[columns] != 0)
            centres = np.array(
                [
                    _median_of_ring(_compared(values[:, columns], levels[:, columns], ratio))
                    for values, levels in zip(self.ring, self.ring_level, strict=True)
                ]
            )
            whole, part = _mean(np.where(have, centres, np.nan)), _mean(np.where(present, centres, np.nan))
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                factor = np.where(ratio & (whole / part > 0), whole / part, 1.0)
            shift = np.where(ratio, 0.0, np.nan_to_num(whole - part))
            level[columns] = level[columns] * np.where(np.isfinite(factor), factor, 1.0) + shift
        return level

    def centre(self, weekday: int, ratio: Flags) -> Floats:
        """How the weekday usually compares with the level: ratio or difference; NaN if that is not known."""
        return _median_of_ring(_compared(self.ring[weekday], self.ring_level[weekday], ratio))

    def scale(self, expected: Floats, level: Floats) -> Floats:
        """What the errors of forecasts are a percentage of."""
        return np.maximum(np.abs(expected), np.maximum(HALF * np.abs(level), FLOORS * self.floor))

    def changes(self, columns: Numbers, ratio: Flags) -> Floats:
        """How much the newest value of each weekday differs from the one before, compared with the other weekdays.

        It tells how far off a forecast by weekday may be before there has been one. One row per object, NaN: not known.
        """
        change = _compared(self.week[:, columns].T, self.week_before[:, columns].T, ratio[:, None])
        enough = (~np.isnan(change)).sum(axis=1, keepdims=True) >= IN_A_ROW
        return np.where(enough, np.abs(change - median(change)[:, None]), np.nan)

    def old_level(self, columns: Numbers) -> Floats:
        """The level before the newest one was accepted."""
        return _mean(self.old_week[:, columns])

    # What it learns ----------------------------------------------------------------------------------------------

    def see(self, has: Numbers | slice, values: Floats, day: int) -> None:
        """Dates that have a value, usual or not: before all else."""
        weekday = (day - 1) % 7
        self.any[weekday, has], self.any_day[weekday, has] = values, day
        self.dates[has] += 1
        self.gap[has] = day - self.newest[has]
        self.newest[has] = day

    def add(
        self, usual: Numbers | slice, values: Floats, level: Floats, day: int, by_weekday: Floats | None = None
    ) -> None:
        """Usual values; with `by_weekday`, their forecasts, also how far off these were."""
        weekday = (day - 1) % 7
        known = self.dates[usual] > FIRST_LEVEL
        if known.all():
            self._compare(usual, values, level, weekday, by_weekday)
        elif known.any():
            rows = np.arange(len(self.dates))[usual][known]
            self._compare(rows, values[known], level[known], weekday, None if by_weekday is None else by_weekday[known])
        self.week_before[weekday, usual] = self.week[weekday, usual]
        self.week[weekday, usual], self.week_day[weekday, usual] = values, day
        self.same[usual] = np.where(values == self.former[usual], self.same[usual] + 1, 0)
        self.former[usual] = values
        self._widen(int(weekday >= SATURDAY), usual, values, values, np.ones(len(values), np.int64))

    def _compare(
        self, columns: Numbers | slice, values: Floats, level: Floats, weekday: int, by_weekday: Floats | None
    ) -> None:
        """Remember values with their level, and how far off both forecasts were."""
        at = self.ring_count[weekday, columns] % WEEKS
        put(self.ring[weekday], at, columns, values)
        put(self.ring_level[weekday], at, columns, level)
        self.ring_count[weekday, columns] += 1
        if by_weekday is None:
            return
        self.level_errors.add(columns, np.abs(values - level), self.scale(level, level))
        made = ~np.isnan(by_weekday)
        size, scale = np.abs(values - by_weekday), self.scale(by_weekday, level)
        if made.all():
            self.weekday_errors.add(columns, size, scale)
        elif made.any():
            self.weekday_errors.add(np.arange(len(self.dates))[columns][made], size[made], scale[made])

    def end_row(self, usual: Numbers | slice, day: int) -> None:
        """A usual date ends rows of unusual ones."""
        self.row[usual] = 0
        self.weekday_row[(day - 1) % 7, usual] = 0

    def add_unusual(self, columns: Numbers, values: Floats, level: Floats, day: int) -> None:
        """Unusual values stay out, until they are the third in a row, by date or by weekday."""
        weekday = (day - 1) % 7
        self.row_start[columns[self.row[columns] == 0]] = day
        self.row[columns] += 1
        self.weekday_row[weekday, columns] += 1
        is_level = self.row[columns] >= IN_A_ROW
        is_weekday = ~is_level & (self.weekday_row[weekday, columns] >= IN_A_ROW)
        if is_level.any():
            self.new_level(columns[is_level], self.row_start[columns[is_level]], day)
        if is_weekday.any():
            self._new_weekday(columns[is_weekday], values[is_weekday], level[is_weekday], day)
        for kept, new in ((self.pending, values), (self.pending_level, level)):
            kept[weekday, 0, columns] = kept[weekday, 1, columns]
            kept[weekday, 1, columns] = new

    def new_level(self, columns: Numbers, start: Numbers, day: int) -> None:
        """The values since `start` are the new level: the week moves there. The one before stays usual a while."""
        old, values, days = self.week[:, columns], self.any[:, columns], self.any_day[:, columns]
        is_new = days >= start
        new = np.where(is_new, values, np.nan)
        self.old_week[:, columns], self.old_until[columns] = old, day + RETURN
        both = is_new & ~np.isnan(old)
        before, after = _mean(np.where(both, old, np.nan)), _mean(np.where(both, new, np.nan))
        ratio = self.is_ratio()[columns]
        for week in (self.week, self.week_before):
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                moved = np.where(ratio, week[:, columns] * (after / before), week[:, columns] + (after - before))
            week[:, columns] = np.where(np.isfinite(moved), moved, np.nan)
        self.week[:, columns] = np.where(is_new, values, self.week[:, columns])
        self.week_day[:, columns] = np.where(is_new, days, self.week_day[:, columns])
        for kind, part in enumerate(KINDS):
            least = np.where(is_new[part], values[part], np.inf).min(axis=0)
            most = np.where(is_new[part], values[part], -np.inf).max(axis=0)
            self._widen(kind, columns, least, most, is_new[part].sum(axis=0))
        self.former[columns] = values[(day - 1) % 7]
        self.row[columns] = 0
        self.weekday_row[:, columns] = 0

    def new_step(self, columns: Numbers, values: Floats, day: int) -> None:
        """What never changed has another value from now on, which is not unusual."""
        self.new_level(columns, np.full(len(columns), day), day)
        for week in (self.week, self.week_before):
            week[:, columns] = np.where(np.isnan(week[:, columns]), np.nan, values)

    def restore(self, columns: Numbers) -> None:
        """The level before was only interrupted."""
        self.week[:, columns] = self.old_week[:, columns]
        self.old_until[columns] = NEVER

    def _new_weekday(self, columns: Numbers, values: Floats, level: Floats, day: int) -> None:
        """The third of the same weekday in a row: a new pattern of the week."""
        weekday = (day - 1) % 7
        for ring, kept in ((self.ring, self.pending), (self.ring_level, self.pending_level)):
            ring[weekday][:, columns] = np.nan
            ring[weekday][:2, columns] = kept[weekday][:, columns]
        self.ring_count[weekday, columns] = 2
        self.add(columns, values, level, day)
        # The level now contains this weekday: so must the levels that earlier values are compared with
        after, ratio = self.level()[columns], self.is_ratio()[columns]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            factor = after / level
        factor = np.where(ratio & np.isfinite(factor) & (factor > 0), factor, 1.0)
        shift = np.where(ratio, 0.0, after - level)
        self.ring_level[:, :, columns] = self.ring_level[:, :, columns] * factor + shift
        self.level_errors.forget(columns)
        self.row[columns] = 0
        self.weekday_row[weekday, columns] = 0

    def _widen(self, kind: int, columns: Numbers | slice, least: Floats, most: Floats, count: Numbers) -> None:
        self.kind_count[kind, columns] += count
        self.kind_low[kind, columns] = np.minimum(self.kind_low[kind, columns], least)
        self.kind_high[kind, columns] = np.maximum(self.kind_high[kind, columns], most)
        some = count > 0
        self.is_positive[columns] &= ~some | (least >= 0)
        self.is_negative[columns] &= ~some | (most <= 0)


def median(values: Floats) -> Floats:
    """The median over the last axis, without NaN; NaN if there is nothing else."""
    ordered = np.sort(values, axis=-1)
    count = (ordered.shape[-1] - np.isnan(ordered).sum(axis=-1))[..., None]
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, values.shape[-1] - 1)
    first, second = (np.take_along_axis(ordered, rank, axis=-1)[..., 0] for rank in (low, high))
    return np.asarray(first / 2 + second / 2)


def _median_of_ring(values: Floats) -> Floats:
    """The median over the first axis, of eight, without NaN; NaN if there is nothing else."""
    missing = np.isnan(values)
    rows = list(np.where(missing, np.inf, values))
    for one, other in SORTED:
        rows[one], rows[other] = np.minimum(rows[one], rows[other]), np.maximum(rows[one], rows[other])
    by_row = [int(np.count_nonzero(row)) for row in missing]
    if all(number in {0, missing.shape[1]} for number in by_row):  # all objects have as many: quicker
        some = by_row.count(0)
        return rows[(some - 1) // 2] / 2 + rows[some // 2] / 2 if some else np.full(missing.shape[1], np.nan)
    count = WEEKS - missing.sum(axis=0)
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, WEEKS - 1)
    first, second = np.choose(low, rows), np.choose(high, rows)
    return np.asarray(np.where(count > 0, first / 2 + second / 2, np.nan))


def _mean(values: Floats) -> Floats:
    """The mean over the first axis, without NaN; NaN if there is nothing else."""
    there = ~np.isnan(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(there, values, 0.0).sum(axis=0) / there.sum(axis=0))


def _compared(values: Floats, base: Floats, ratio: Flags) -> Floats:
    """The ratio to a base where `ratio`, the difference elsewhere; NaN if it is not finite."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        found = values / base if ratio.all() else np.where(ratio, values / base, values - base)
    found[~np.isfinite(found)] = np.nan
    return found
