"""`make bench-usual`: false alarms and missed faults of the laws of usual values, on made-up series.

Each law of chance gives series of 119 dates. Each of their values is judged by those before it, once as it is and once
halved, quartered or doubled, as if that date alone were so. The rivals judge the same values: a z-score and MAD.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.table import Table

PROCESS = Path(__file__).parents[1] / "dags/packs/rule-packs/basic/process"
SERIES = 10_000
DATES = 119
FIRST = dt.date(2024, 1, 1)  # a Monday
BLOCK = 1000  # series at a time
STAGES = (("3-7", 2, 7), ("8-14", 7, 14), ("15-62", 14, 62), ("from 63", 62, DATES))  # dates, and positions
FACTORS = (0.5, 0.25, 2.0)
RIVAL_FLOOR, RIVAL_SHARE = 5, 0.05

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Law = Callable[[np.random.Generator, int], tuple[Floats, Flags]]  # the values, and which of them are odd

DAYS = [FIRST + dt.timedelta(number) for number in range(DATES)]
AGE = np.arange(DATES)
SATURDAY = 5
RARE = 0.05
WEEK = np.where(AGE % 7 >= SATURDAY, 0.4, 1.0)
MONTH_END = np.array([(day + dt.timedelta(1)).day == 1 for day in DAYS])
SEASON = 1 + 0.1 * np.sin(AGE / 365 * 2 * np.pi + 1)


def noisy(level: Floats | float, noise: float, odd: Floats | float = 1.0) -> Law:
    """A level with normal noise, 0.02 = 2 % of it; `odd` is a factor of dates that are not ordinary."""
    return lambda draw, size: (
        1000 * level * odd * (1 + noise * draw.standard_normal((size, DATES))),
        np.broadcast_to(odd != 1.0, (size, DATES)),
    )


def plain(make: Callable[[np.random.Generator, int], Floats]) -> Law:
    """A law without odd dates."""
    return lambda draw, size: (make(draw, size), np.zeros((size, DATES), bool))


def holidays(draw: np.random.Generator, size: int) -> tuple[Floats, Flags]:
    """Ten days a year, at any time, are like weekends."""
    odd = draw.random((size, DATES)) < 10 / 365
    values, _ = noisy(1.0, 0.02)(draw, size)
    return values * np.where(odd, 0.4, WEEK), odd & (WEEK == 1)


def alike(draw: np.random.Generator, size: int) -> Floats:
    """Each date's deviation is 0.8 of the one before, and noise."""
    noise = 0.02 * draw.standard_normal((size, DATES))
    noise[:, 0] /= 0.6
    for number in range(1, DATES):
        noise[:, number] += 0.8 * noise[:, number - 1]
    return 1000 * (1 + noise)


LAWS: dict[str, Law] = {
    "normal, 2 %": noisy(1.0, 0.02),
    "normal, 4 %": noisy(1.0, 0.04),
    "normal, 5 %": noisy(1.0, 0.05),
    "Poisson 3": plain(lambda draw, size: draw.poisson(3, (size, DATES)).astype(float)),
    "Poisson 30": plain(lambda draw, size: draw.poisson(30, (size, DATES)).astype(float)),
    "Poisson 300": plain(lambda draw, size: draw.poisson(300, (size, DATES)).astype(float)),
    "weekend at 40 %, 2 %": noisy(WEEK, 0.02),
    "growth 1 % a day, 2 %": noisy(1.01**AGE, 0.02),
    "growth, season, weekend": noisy(1.01**AGE * SEASON * WEEK, 0.02),
    "holidays, weekend": holidays,
    "month ends doubled, weekend": noisy(WEEK, 0.02, np.where(MONTH_END, 2.0, 1.0)),
    "t, 3 degrees, 2 %": plain(lambda draw, size: 1000 * (1 + 0.02 * draw.standard_t(3, (size, DATES)))),
    "0, rarely 1": plain(lambda draw, size: (draw.random((size, DATES)) < RARE).astype(float)),
    "autocorrelated 0.8, 2 %": plain(alike),
    "cumulative, weekend": plain(
        lambda draw, size: 10_000 + np.cumsum(draw.poisson(100, (size, DATES)) * WEEK, axis=1)
    ),
}


def main() -> None:
    """Simulate all laws, print the table, and write it to results/."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=SERIES, help="per law; default: %(default)s; fewer are not kept")
    size = parser.parse_args().series
    table = Table(
        "usual",
        "Usual values: false alarms per 1,000 judged values / % of halved, quartered, doubled values found",
        ["series", "judged by", *(f"dates {name}" for name, _, _ in STAGES), "odd dates found"],
    )
    for number, (name, law) in enumerate(LAWS.items()):
        found = _simulate(np.random.default_rng(number), law, size)
        for judge, (cells, odd) in found.items():
            table.add(name, judge, *cells, odd)
    table.finish(
        f"{size:,} series per law, {DATES} dates from a Monday; limit 5 spreads, floor 5 and 5 %",
        "false alarms are of ordinary dates; drops on a weekend in the first 14 dates are an Info and not counted",
        "z: beyond 3 standard deviations of 14 dates; MAD: beyond 5 x 1.4826 MAD of 28 dates, floor 5 and 5 %",
        keep=size == SERIES,
    )


def _simulate(draw: np.random.Generator, law: Law, size: int) -> dict[str, tuple[list[str], str]]:
    """Per judge: one cell per stage, and the share of odd dates that were found."""
    sums: dict[str, Any] = {}
    for at in range(0, size, BLOCK):
        values, odd = law(draw, min(BLOCK, size - at))
        for judge, intervals in (("usual", _usual), ("z", _z_score), ("MAD", _mad)):
            low, high, alarm = intervals(values)
            hits = [alarm, *((values * factor < low) | (values * factor > high) for factor in FACTORS)]
            parts = sums.setdefault(judge, np.zeros((len(STAGES) + 1, len(hits) + 1)))
            for row, (_, first, end) in enumerate(STAGES):
                ordinary = ~odd[:, first:end]
                parts[row] += [ordinary.sum(), *((hit[:, first:end] & ordinary).sum() for hit in hits)]
            late = odd[:, STAGES[2][1] :]
            parts[-1, :2] += [late.sum(), (alarm[:, STAGES[2][1] :] & late).sum()]
    return {judge: _cells(parts) for judge, parts in sums.items()}


def _cells(parts: Floats) -> tuple[list[str], str]:
    cells = []
    for judged, alarms, *found in parts[:-1]:
        shares = " ".join(f"{100 * one / judged:.1f}" for one in found)
        cells.append(f"{1000 * alarms / judged:.2f} / {shares}")
    odd, seen = parts[-1, :2]
    return cells, f"{100 * seen / odd:.0f} %" if odd else "-"


def _usual(values: Floats) -> tuple[Floats, Floats, Flags]:
    """What is usual on each date, from and to, and which values are unusual."""
    replay, usual = _pack()
    law = usual.Law()
    state = replay.Replay(len(values), floor=law.floor, percent=law.percent, limit=law.limit)
    judged = [state.step(values[:, at].copy(), np.ones(len(values), bool), day) for at, day in enumerate(DAYS)]
    low, high = (np.stack([getattr(one, name) for one in judged], axis=1) for name in ("low", "high"))
    return low, high, np.stack([one.unusual & ~one.weekend for one in judged], axis=1)


def _z_score(values: Floats) -> tuple[Floats, Floats, Flags]:
    """The same of a z-score: no floor, from the third date on."""
    return _windows(values, 14, lambda window: (window.mean(axis=1), 3 * window.std(axis=1, ddof=1)))


def _mad(values: Floats) -> tuple[Floats, Floats, Flags]:
    def of(window: Floats) -> tuple[Floats, Floats]:
        middle = np.median(window, axis=1)
        spread = 5 * 1.4826 * np.median(np.abs(window - middle[:, None]), axis=1)
        return middle, np.maximum(spread, np.maximum(RIVAL_FLOOR, RIVAL_SHARE * np.abs(middle)))

    return _windows(values, 28, of)


def _windows(
    values: Floats, dates: int, interval: Callable[[Floats], tuple[Floats, Floats]]
) -> tuple[Floats, Floats, Flags]:
    low, high = np.full(values.shape, -np.inf), np.full(values.shape, np.inf)
    for at in range(2, DATES):
        middle, width = interval(values[:, max(0, at - dates) : at])
        low[:, at], high[:, at] = middle - width, middle + width
    return low, high, (values < low) | (values > high)


def _pack() -> tuple[Any, Any]:
    if str(PROCESS) not in sys.path:
        sys.path.insert(0, str(PROCESS))
        sys.dont_write_bytecode = True
    import usual
    import usual_replay

    return usual_replay, usual


if __name__ == "__main__":
    main()
