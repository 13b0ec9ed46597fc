"""`make bench-faults`: what rule pack basic says of planted faults, and on sound nights, in eight data sets."""

from __future__ import annotations

import argparse
import fnmatch
import sys
import time
from pathlib import Path

from benchmarks.faults import report
from benchmarks.faults.bench import CACHE, Bench
from benchmarks.faults.data import DATASETS
from benchmarks.faults.kinds import FAULTS
from benchmarks.table import Table

NIGHTS = 24  # sound ones: three weekends, a holiday, the end of a month
KS = [1, 5, 20]


def main() -> None:
    """Print the table; write it to results/ if everything was run."""
    options = _options()
    began = time.monotonic()
    made = [DATASETS[name](options.seed) for name in DATASETS if not options.data or name in options.data]
    left_out = {dataset.name: dataset.missing() for dataset in made if dataset.missing()}
    bench = Bench(
        datasets=[dataset for dataset in made if not dataset.missing()],
        faults=[fault for name, fault in FAULTS.items() if _matches(name, fault.group, options.fault)],
        ks=options.nights,
        nights=NIGHTS if not options.data and not options.fault else max(options.nights) + 1,
        workers=options.workers,
        cache=options.cache,
    )
    judged = bench.run(lambda text: _say(began, text))
    outcomes = [outcome for one in judged for outcome in one.outcomes]
    table: Table = report.summary(judged, options.nights, {one.name: one.about for one in made})
    if options.keep_as_former:
        report.keep_as_former(table)
    else:
        report.add_former(table)
    is_whole = not options.data and not options.fault and options.nights == KS and not left_out
    table.finish(
        f"{len({outcome.fault.name for outcome in outcomes})} kinds of faults, each in one place chosen at random per"
        " data set and history; found: a new High or Warning alert, which the twin lacks, names its table and column",
        "alerts per fault: new High and Warning alerts per fault that raised any; exactly one: share of all faults"
        " that raised one alert, in the right place",
        "sound nights: without the one after a holiday on a Monday, which no history foretells",
        *(f"left out: {name}: {reason}" for name, reason in left_out.items()),
        keep=is_whole,
    )
    if is_whole:
        report.append_kinds(outcomes)
    else:
        print(report.by_kind(outcomes))
    if options.details:
        report.details(options.details, judged)
        print(f"details: {options.details}/faults.md, faults.csv")
    _say(began, "done")


def _say(began: float, text: str) -> None:
    print(f"{time.monotonic() - began:5.0f} s: {text}", file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--data", nargs="+", choices=list(DATASETS), help="only these data sets")
    parser.add_argument("--fault", nargs="+", default=[], help="only faults of a group, or whose names begin like this")
    parser.add_argument("--nights", nargs="+", type=int, default=KS, help="sound nights before the fault")
    parser.add_argument("--details", type=Path, help="write each fault's alerts into this folder")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of measured nights; default: %(default)s")
    parser.add_argument("--workers", type=int, default=2, help="data sets at once; default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="other data, and faults in other places")
    parser.add_argument("--keep-as-former", action="store_true", help="later tables compare with this run's last row")
    return parser.parse_args()


def _matches(name: str, group: str, patterns: list[str]) -> bool:
    return not patterns or any(fnmatch.fnmatchcase(name, f"{pattern}*") or group == pattern for pattern in patterns)


if __name__ == "__main__":
    main()
