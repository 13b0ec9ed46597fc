"""The laws of usual values for one object, date by date, in plain Python: slow, and without a thought of numpy."""

from __future__ import annotations

import datetime as dt
import math
import statistics
from dataclasses import dataclass, field
from typing import NamedTuple

RANGES = {2: 560, 3: 19, 4: 6.2, 5: 3.4, 6: 2.4, 7: 1.9, 8: 1.6, 9: 1.4, 10: 1.2, 11: 1.1, 12: 1.0, 13: 0.9}


class Judged(NamedTuple):
    unusual: bool
    weekend: bool
    low: float
    high: float
    expected: float


@dataclass
class Reference:
    """One object."""

    floor: float
    percent: float
    limit: float
    dates: int = 0
    usual: list[tuple[int, float]] = field(default_factory=list)  # day and value of all dates that count as usual
    week: dict[int, tuple[int, float]] = field(default_factory=dict)  # by weekday
    days: dict[int, int] = field(default_factory=dict)  # the newest usual day of each weekday
    before: dict[int, float] = field(default_factory=dict)
    seen: dict[int, tuple[int, float]] = field(default_factory=dict)  # usual or not
    compared: dict[int, list[tuple[float, float]]] = field(default_factory=dict)  # value and level, by weekday
    weekday_errors: list[tuple[float, float]] = field(default_factory=list)  # as a difference and as a share
    level_errors: list[tuple[float, float]] = field(default_factory=list)
    row: list[int] = field(default_factory=list)  # days
    weekday_rows: dict[int, list[tuple[float, float]]] = field(default_factory=dict)
    newest: int | None = None
    gap: int = 10**9
    former: float = math.nan
    same: int = 0
    old: dict[int, float] = field(default_factory=dict)
    old_until: int = -1

    # What is known

    @property
    def is_ratio(self) -> bool:
        values = [value for _, value in self.usual]
        return all(value >= 0 for value in values) or all(value <= 0 for value in values)

    @property
    def is_steady(self) -> bool:
        return self.dates > 1 and self.same >= min(self.dates - 1, 28)

    def level(self) -> float:
        newest = max((day for day, _ in self.week.values()), default=0)
        fresh = {weekday: value for weekday, (day, value) in self.week.items() if day >= newest - 21}
        if not fresh:
            return math.nan
        level = sum(fresh.values()) / len(fresh)
        known = {weekday for weekday, pairs in self.compared.items() if pairs}
        if known <= fresh.keys() or not known & fresh.keys():
            return level
        ratio = self.is_ratio and level != 0
        centres = {weekday: self.centre(weekday, ratio=ratio) for weekday in known}
        centres = {weekday: centre for weekday, centre in centres.items() if not math.isnan(centre)}
        there = centres.keys() & fresh.keys()
        if not there:
            return level
        whole = statistics.fmean(centres.values())
        part = statistics.fmean(centres[weekday] for weekday in there)
        if not ratio:
            return level + whole - part
        return level * (whole / part) if part and whole / part > 0 else level

    def centre(self, weekday: int, *, ratio: bool) -> float:
        pairs = self.compared.get(weekday, [])
        found = [value / level if ratio else value - level for value, level in pairs if level or not ratio]
        return statistics.median(found) if found else math.nan

    def scale(self, expected: float, level: float) -> float:
        return max(abs(expected), abs(level) / 2, 2 * self.floor)

    # One date

    def step(self, date: dt.date, value: float) -> Judged:
        day, weekday, level = date.toordinal(), date.weekday(), self.level()
        ratio = self.is_ratio and level != 0
        centre = self.centre(weekday, ratio=ratio)
        forecast = level * centre if ratio else level + centre
        judged = None
        if self.dates >= 14:
            judged = self.by_forecast(day, value, level, centre, forecast, ratio=ratio)
        if judged is None and self.dates >= 2:
            judged = self.by_range(weekday, value)
        if judged is None:
            judged = Judged(False, False, math.nan, math.nan, math.nan)
        self.learn(day, weekday, value, level, forecast, judged)
        return judged

    def by_range(self, weekday: int, value: float) -> Judged:
        kinds: tuple[list[float], list[float]] = ([], [])
        for day, one in self.usual:
            kinds[((day - 1) % 7) >= 5].append(one)
        kind = int(weekday >= 5)
        everything = kinds[0] + kinds[1]
        apart = bool(kinds[0] and kinds[1]) and (max(kinds[0]) < min(kinds[1]) or max(kinds[1]) < min(kinds[0]))
        chosen = kinds[kind] if apart and len(kinds[kind]) >= 2 else everything
        low, high = min(chosen), max(chosen)
        ranges = RANGES.get(len(chosen), 0.9 if len(chosen) > 13 else math.inf)
        width = max(ranges * (high - low) if high > low else 0, 5 * self.floor)
        bottom = low - max(width, 0.4 * abs(low))
        least = min(everything)
        if self.floor > 0 and least > 0:
            bottom = max(bottom, min(least / 10, least - self.floor))
        top = high + max(width, 2 / 3 * abs(high))
        is_like = False
        if weekday in self.seen:
            before = self.seen[weekday][1]
            is_like = abs(value - before) <= max(self.floor, 0.2 * abs(before))
        weekend = self.dates < 14 and (kind == 1 or not kinds[0])
        return Judged((value < bottom or value > top) and not is_like, weekend, bottom, top, low / 2 + high / 2)

    def by_forecast(
        self, day: int, value: float, level: float, centre: float, forecast: float, *, ratio: bool
    ) -> Judged | None:
        assert self.newest is not None
        gap = day - self.newest
        longer = 1 + gap / 7 if gap > 14 and gap > 2 * self.gap else 1
        by_level = self.width(level, level, self.level_errors, [], ratio=ratio)
        by_weekday = math.inf
        if not math.isnan(forecast):
            changes = self.changes(ratio=ratio) if len(self.weekday_errors) < 21 else []
            by_weekday = self.width(forecast, level, self.weekday_errors, changes, ratio=ratio)
        if math.isinf(by_weekday) and math.isinf(by_level):
            return None
        expected, width = (forecast, by_weekday) if by_weekday <= by_level else (level, by_level)
        part = abs(expected if ratio else level)
        width = max(width, max(self.floor, self.percent / 100 * part) * longer)
        low, high = expected - width, expected + width
        if self.is_steady:
            high = max(high, expected + abs(expected) / 2)
        unusual = value < low or value > high
        if unusual and self.old_until >= day:
            old = statistics.fmean(self.old.values())
            shape = centre if by_weekday <= by_level else (1 if ratio else 0)
            again = old * shape if ratio else old + shape
            if abs(value - again) <= max(width, self.percent / 100 * abs(again)):
                unusual = False
                self.week = {one: (self.days[one], former) for one, former in self.old.items()}
                self.old_until = -1
        return Judged(unusual, False, low, high, expected)

    def width(
        self,
        expected: float,
        level: float,
        errors: list[tuple[float, float]],
        more: list[float],
        *,
        ratio: bool,
    ) -> float:
        sizes = sorted([share if ratio else size for size, share in errors] + more)
        if len(sizes) < 5:
            return math.inf
        high = sizes[max(math.ceil(0.9 * len(sizes)) - 1, 0)]
        spread = max(1.4826 * statistics.median(sizes), high / 1.645)
        limit = self.limit * (1 + 5 / len(sizes))
        return limit * spread * (self.scale(expected, level) if ratio else 1)

    def changes(self, *, ratio: bool) -> list[float]:
        found = [
            value / self.before[weekday] if ratio else value - self.before[weekday]
            for weekday, (_, value) in self.week.items()
            if weekday in self.before and (self.before[weekday] or not ratio)
        ]
        return [abs(one - statistics.median(found)) for one in found] if len(found) >= 3 else []

    # Learning

    def learn(self, day: int, weekday: int, value: float, level: float, forecast: float, judged: Judged) -> None:
        is_step = self.is_steady and not judged.unusual and self.dates >= 7 and value != self.former
        self.seen[weekday] = (day, value)
        self.dates += 1
        self.gap = day - self.newest if self.newest is not None else 10**9
        self.newest = day
        if is_step:
            self.new_level(day)
            self.week = {one: (when, value) for one, (when, _) in self.week.items()}
            self.before = dict.fromkeys(self.before, value)
        elif not judged.unusual:
            if self.dates > 7:
                scale = self.scale(level, level)
                self.level_errors = [*self.level_errors, (abs(value - level), abs(value - level) / (scale or 1))][-56:]
                if not math.isnan(forecast):
                    off, scale = abs(value - forecast), self.scale(forecast, level)
                    self.weekday_errors = [*self.weekday_errors, (off, off / (scale or 1))][-56:]
            self.accept(day, weekday, value, level)
            self.row = []
            self.weekday_rows[weekday] = []
        elif judged.weekend and not self.row:
            self.accept(day, weekday, value, level)
        else:
            self.row.append(day)
            pairs = self.weekday_rows.setdefault(weekday, [])
            pairs.append((value, level))
            if len(self.row) >= 3:
                self.new_level(self.row[0])
            elif len(pairs) >= 3:
                self.new_weekday(day, weekday, value, level)

    def accept(self, day: int, weekday: int, value: float, level: float) -> None:
        if self.dates > 7:
            self.compared[weekday] = [*self.compared.get(weekday, []), (value, level)][-8:]
        self.before.pop(weekday, None)
        if weekday in self.week:
            self.before[weekday] = self.week[weekday][1]
        self.week[weekday] = (day, value)
        self.days[weekday] = day
        self.same = self.same + 1 if value == self.former else 0
        self.former = value
        self.usual.append((day, value))

    def new_level(self, start: int) -> None:
        new = {weekday: (day, value) for weekday, (day, value) in self.seen.items() if day >= start}
        self.old = {weekday: value for weekday, (_, value) in self.week.items()}
        assert self.newest is not None
        self.old_until = self.newest + 28
        both = [weekday for weekday in new if weekday in self.week]
        if both:
            before = statistics.fmean(self.week[weekday][1] for weekday in both)
            after = statistics.fmean(new[weekday][1] for weekday in both)
        else:
            before = after = math.nan
        ratio = self.is_ratio

        def moved(value: float) -> float:
            if ratio:
                return value * (after / before) if before else math.nan
            return value + (after - before)

        week = {weekday: (day, moved(value)) for weekday, (day, value) in self.week.items()} | new
        self.week = {weekday: pair for weekday, pair in week.items() if not math.isnan(pair[1])}
        self.before = {one: moved(value) for one, value in self.before.items() if not math.isnan(moved(value))}
        self.days |= {weekday: when for weekday, (when, _) in new.items()}
        self.usual += new.values()
        self.former = max(new.values())[1]
        self.row = []
        self.weekday_rows = {}

    def new_weekday(self, day: int, weekday: int, value: float, level: float) -> None:
        self.compared[weekday] = self.weekday_rows[weekday][-3:-1]
        self.accept(day, weekday, value, level)
        after = self.level()
        for one, pairs in self.compared.items():
            if self.is_ratio:
                factor = after / level if level and after / level > 0 else 1
                self.compared[one] = [(was, base * factor) for was, base in pairs]
            else:
                self.compared[one] = [(was, base + after - level) for was, base in pairs]
        self.level_errors = []
        self.row = []
        self.weekday_rows[weekday] = []
