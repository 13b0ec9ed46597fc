"""`make bench-output`: time and memory of a task for the output of its pack, compared with BashOperator.

Each task is real (see worker.py): a line passes from the program through the operator and, as JSON, through Airflow's
supervisor into the task's log file. The time is that of the operator's `execute`, which cannot be faster than the
supervisor reads the lines. The memory is the highest resident size of the task's process (VmHWM), including shared
libraries and memory inherited by the fork. The result is the difference to a task that runs `true` with BashOperator.
BashOperator is not measured with a line of 1 GB: it keeps several copies of such a line in memory.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.site import OURS, Site, site
from benchmarks.table import Table
from benchmarks.worker import Execution

LINES = 1_000_000
ROUNDS = 3
LINE = "measured column 17 of table patients: 1,000,000 values, 3.2 percent of them empty"
SCRIPTS = {
    "nothing": "true",
    "lines": f"yes '{LINE}' | head -n {LINES}",
    "long": "head -c 1000000000 /dev/zero | tr '\\0' x",
}
_ROW = ("output", "ours", "rival", "theirs", "result", "target")


@dataclass(frozen=True, kw_only=True)
class _Found:
    """Medians of one way to run a script."""

    seconds: float
    peak: float  # MB


def main() -> None:
    """Measure, print the table, and write it to results/."""
    table = Table("output", "Time and memory of a task for the output of its pack", _ROW)
    with site() as place:
        for name, script in SCRIPTS.items():
            place.pack(name, f"#!/bin/bash\n{script}\n")
            place.rival(f"{name}.py", "BashOperator", "bash", f"bash_command={script!r}")
        found = _measure(place)
    ours, theirs = found["ours lines"], found["rival lines"]
    cells = f"{ours.seconds:.0f} s", "BashOperator", f"{theirs.seconds:.0f} s"
    table.add(f"{LINES:,} lines", *cells, f"{ours.seconds / theirs.seconds:.2f} times", "3 times at most")
    idle = found["rival nothing"].peak
    for what, name in (("nothing", "nothing"), (f"{LINES:,} lines", "lines"), ("one line of 1 GB", "long")):
        peak = found[f"ours {name}"].peak
        cells = f"{peak:.1f} MB", "BashOperator, true", f"{idle:.1f} MB"
        table.add(what, *cells, f"+{peak - idle:.1f} MB", "+20 MB at most")
    table.finish(
        f"median of {ROUNDS} interleaved rounds, each task in a new worker process with its own supervisor",
        "time: `execute` of the operator, with the task's log file; both operators wait for Airflow's supervisor, "
        f"which takes {1e6 * theirs.seconds / LINES:.0f} us per line here",
        f"the line of 1 GB takes {found['ours long'].seconds:.1f} s; the log gets its first 32 KiB",
        f"BashOperator's own peak with {LINES:,} lines: {theirs.peak:.1f} MB",
    )


def _measure(place: Site) -> dict[str, _Found]:
    ways: dict[str, Callable[[], Execution]] = {}
    for name in SCRIPTS:
        ways[f"ours {name}"] = lambda name=name: place.worker.run(OURS, f"hdm-prod.mp_{name}")  # type: ignore[misc]  # mypy does not infer the default's type
        if name != "long":
            ways[f"rival {name}"] = lambda name=name: place.worker.run(f"{name}.py", "rival")  # type: ignore[misc]  # mypy does not infer the default's type
    place.worker.run(OURS, "hdm-prod.mp_nothing")  # builds the venv
    found: dict[str, list[Execution]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, run in ways.items():
            one = run()
            one.log.unlink()  # 400 MB
            found[name].append(one)
    return {
        name: _Found(
            seconds=statistics.median(one.seconds for one in runs), peak=statistics.median(one.peak for one in runs)
        )
        for name, runs in found.items()
    }


if __name__ == "__main__":
    main()
