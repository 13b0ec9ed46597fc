"""`make bench-mutation`: which faults in the gate, the verdict, the selection and the plan no test would notice.

mutmut puts one fault at a time into these modules and runs the tests that reach it; a fault that they do not notice
survives. It changes what stands in functions, not constants and properties. The two queries that the gate rests on are
changed by mutation_sql.py. Each survivor needs its reason in ACCEPTED: one without fails the run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.mutation_sql import QUERIES, mutants_of_queries
from benchmarks.mutation_survivors import ACCEPTED, End, Mutant
from benchmarks.table import Table

MODULES = ("base/gate.py", "operators/verdict.py", "packs/selection.py", "operators/plan.py")
TESTS = (
    "tests/unit/test_gate.py",
    "tests/unit/test_verdict.py",
    "tests/unit/test_selection.py",
    "tests/unit/test_plan.py",
    "tests/integration/test_plan_of_a_base.py",
)
WORKERS = 2
_ENDS: dict[str, End] = {"killed": "killed", "timeout": "timed out"}  # mutmut's words; any other has survived
_ROOT = Path(__file__).parents[1]
_COPIED = ("hdm_airflow", "demo", "benchmarks", "tests", "pyproject.toml")
# (its tests' duration + constant) * 15 seconds: most of it is for the start of PostgreSQL on a busy machine.
_SETTINGS = """\
[mutmut]
source_paths=hdm_airflow
only_mutate={modules}
also_copy={copied}
pytest_add_cli_args_test_selection={tests}
timeout_constant=4
"""


def main() -> None:
    """Make and run the mutants, print the table with the survivors, and write it to results/."""
    began = time.monotonic()
    os.environ["HDM_TEST_REQUIRE"] = "all"  # a skipped test notices nothing
    with tempfile.TemporaryDirectory(prefix="hdm-bench-") as name:
        os.environ["TMPDIR"] = name  # where pytest keeps its folders
        folder = Path(name, "repository")
        for part in _COPIED:
            _copy(_ROOT / part, folder / part)
        mutants = [*_mutants_of_code(folder), *mutants_of_queries(folder, WORKERS)]
    _report(mutants, time.monotonic() - began)


def _report(mutants: Sequence[Mutant], seconds: float) -> None:
    ends: tuple[End, ...] = ("killed", "timed out", "survived")
    table = Table("mutation", "Faults that the tests notice, and those that they do not", ["code", "mutants", *ends])
    for code in (*MODULES, *QUERIES):
        counts = Counter(one.end for one in mutants if one.code == code)
        table.add(code, str(counts.total()), *(str(counts[end]) for end in ends))
    survivors = [one for one in mutants if one.end == "survived"]
    table.finish(
        f"mutmut {version('mutmut')} for Python, a list of changes for SQL; {WORKERS} mutants at a time, each with a "
        f"time limit; {seconds / 60:.0f} minutes in all, {sum(os.times()[:4]) / 60:.0f} minutes of processor time",
        *(f"survived, {one}: {ACCEPTED.get(one.change, 'NOT EXPLAINED')}" for one in survivors),
    )
    unknown = [f"survived without a reason: {one}" for one in survivors if one.change not in ACCEPTED]
    gone = [f"does not survive: {change}" for change in ACCEPTED.keys() - {one.change for one in survivors}]
    if unknown or gone:
        advice = "kill it with a test, or give its reason in ACCEPTED of benchmarks/mutation_survivors.py"
        sys.exit("\n".join([*unknown, *gone, advice]))


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    else:
        shutil.copy(source, target)


def _mutants_of_code(folder: Path) -> Iterable[Mutant]:
    settings = {"modules": [f"hdm_airflow/{name}" for name in MODULES], "copied": _COPIED, "tests": TESTS}
    lists = {name: "".join(f"\n    {one}" for one in parts) for name, parts in settings.items()}
    (folder / "setup.cfg").write_text(_SETTINGS.format(**lists), "utf-8")
    _mutmut(folder, "run", "--max-children", str(WORKERS))
    for name, status in re.findall(r"^ +(\S+): (.+)$", _mutmut(folder, "results", "--all", "true"), re.MULTILINE):
        module = name.rpartition(".")[0].removeprefix("hdm_airflow.").replace(".", "/") + ".py"
        end = _ENDS.get(status, "survived")
        yield Mutant(code=module, change=_change(folder, name) if end == "survived" else ("", ""), end=end)


def _change(folder: Path, name: str) -> tuple[str, str]:
    """The line as it was, and as the mutant has it."""
    shown = _mutmut(folder, "show", name).split("\n")
    was, now = (
        " ".join(line[1:].strip() for line in shown if line.startswith(sign) and not line.startswith(3 * sign))
        for sign in "-+"
    )
    return was, now


def _mutmut(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "mutmut", *arguments]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"mutmut {' '.join(arguments)} failed:\n{done.stdout[-5000:]}{done.stderr[-5000:]}")
    return done.stdout


if __name__ == "__main__":
    main()
