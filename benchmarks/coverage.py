"""`make coverage`: which statements and branches the tests run, over all tiers, also in the processes that they start.

Every Python of .venv measures itself from its start on, by a .pth file that is there for as long as this runs: packs
and Airflow's services are given an environment of their own, in which variables of ours would be lost. The tests'
conftest sees to the guard, which starts without .pth files.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections import Counter, defaultdict
from pathlib import Path

import coverage

from benchmarks.table import Table

ROOT = Path(__file__).parents[1]
SETTINGS = ROOT / "pyproject.toml"
FOLDER = ROOT / ".venv" / "coverage"
DATA = FOLDER / "data"
MEASURED = ("hdm_airflow", "demo", "dags")
_COUNTS = ("num_statements", "missing_lines", "num_branches", "missing_branches")
_START = (
    "import os; os.environ.update(COVERAGE_PROCESS_START={settings!r}, COVERAGE_FILE={data!r});"
    " import coverage; coverage.process_startup();"
    " del os.environ['COVERAGE_PROCESS_START'], os.environ['COVERAGE_FILE']\n"
)


def main(arguments: list[str]) -> int:
    """Run the tests, print the table, and write it to results/; the exit code is that of the tests.

    Args:
        arguments: for pytest. With any of them it is a part that is measured: the table is printed only.
    """
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    began = time.monotonic()
    code = _measure(arguments)
    minutes = (time.monotonic() - began) / 60
    found = coverage.Coverage(config_file=str(SETTINGS), data_file=str(DATA))
    found.combine([str(FOLDER)])
    found.save()
    shown = [f"{ROOT / name}/*" for name in MEASURED]
    found.report(include=shown, skip_covered=True, show_missing=True)
    found.json_report(include=shown, outfile=str(FOLDER / "report.json"))
    table = Table(
        "coverage",
        "What the tests run of the code, all tiers together",
        ["room", "statements", "not run", "branches", "not taken", "covered, %"],
    )
    for room, counts in _rooms(json.loads((FOLDER / "report.json").read_text())["files"]):
        total, missed, branches, untaken = (counts[name] for name in _COUNTS)
        share = 100 * (total - missed + branches - untaken) / (total + branches)
        table.add(room, f"{total:,}", f"{missed:,}", f"{branches:,}", f"{untaken:,}", f"{share:.1f}")
    table.finish(
        f"coverage.py {coverage.__version__}; the tests took {minutes:.0f} minutes and ended with exit code {code}",
        "not measured: what runs under another Python than .venv's (packs in their environments), what is killed, C",
        keep=not arguments,
    )
    return code


def _measure(arguments: list[str]) -> int:
    """Run the tests; then count what no process has imported, with no statement of it run."""
    start = Path(sysconfig.get_path("purelib")) / "a0_hdm_coverage.pth"  # before coverage.py's own
    start.write_text(_START.format(settings=str(SETTINGS), data=str(DATA)))
    try:
        tests = [sys.executable, "-m", "pytest", "--numprocesses", "2", "--dist", "loadfile", *arguments]
        code = subprocess.run(tests, cwd=ROOT, env={**os.environ, "HDM_TEST_COVERAGE": "1"}, check=False).returncode
    finally:
        start.unlink()
    rest = [sys.executable, "-m", "coverage", "run", f"--data-file={DATA}", f"--source={','.join(MEASURED)}"]
    subprocess.run([*rest, "-m", "compileall", "-q", "demo/__init__.py"], cwd=ROOT, check=True)
    return code


def _rooms(files: dict[str, dict[str, dict[str, int]]]) -> list[tuple[str, Counter[str]]]:
    """The sums of each room, and of all."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for name, file in files.items():
        path = (ROOT / name).relative_to(ROOT)
        parts = {"hdm_airflow": 2, "dags": 4, "demo": 1}[path.parts[0]]
        room = "/".join(path.parts[: min(parts, len(path.parts) - 1)])
        for one in (room, "all"):
            found[one].update({name: file["summary"][name] for name in _COUNTS})
    return sorted(found.items(), key=lambda pair: (pair[0] == "all", pair[0]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
