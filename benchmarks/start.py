"""`make bench-start`: time until a pack's program runs, compared with the ways without hdm_airflow.

The pack has the script of the original, with its two pip lines, and needs pandas, sqlalchemy and psycopg. Each task is
real (see worker.py) and runs in a new worker process. The time is that of the operator's `execute`, including its
imports, but not the start of the worker and the parsing of the Dag file (`make bench-parse`). The rivals:

- the bare script, without its pip lines: no Airflow, just `bash` in a venv with all packages;
- the original: a BashOperator that runs the whole script, in its own venv that has all packages after the first night
  or, if each night has a new container, only pip;
- PythonVirtualenvOperator with its cache; its function runs the pack's script unchanged, or does the work of its
  program without bash, script and pip lines;
- `uv venv && uv pip install` by hand, with the same cache of uv, which a first untimed install has filled.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from benchmarks.site import OURS, Site, site
from benchmarks.table import Table

ROUNDS = 5
COLD_ROUNDS = 3
AT_ONCE = 8
REQUIREMENTS = "pandas\nsqlalchemy\npsycopg[binary]\n"
PIP_LINES = "pip install --upgrade pip\npip install -r requirements.txt\n"
SCRIPT = "#!/bin/bash\n{}cd process\npython metric.py\n"
_STARTED = "the program started at "
PROGRAM = f"""import time
print("{_STARTED}", time.time())
import pandas
import psycopg
import sqlalchemy

print(pandas.DataFrame({{"weight": [61.2, 70.5, None]}}).describe(), sqlalchemy.__version__, psycopg.__version__)
"""
#: Two functions for PythonVirtualenvOperator: what the program does, without a script, and the script as it is.
_PROGRAM_FUNCTION = """
def measure():
    import pandas
    import psycopg
    import sqlalchemy

    print(pandas.DataFrame({{"weight": [61.2, 70.5, None]}}).describe(), sqlalchemy.__version__, psycopg.__version__)
"""
_SCRIPT_FUNCTION = """
def measure():
    import os, subprocess, sys

    path = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]
    subprocess.run(["bash", "bootstrap-script.sh"], cwd={pack!r}, env={{**os.environ, "PATH": path}}, check=True)
"""
_TASK = "hdm-prod.mp_start"
_ROW = ("what", "ours", "rival", "theirs", "result", "target")


def main() -> None:
    """Measure, print the table, and write it to results/."""
    table = Table("start", "Until a pack's program runs: warm, cold, and eight tasks at once", _ROW)
    with site() as place:
        _prepare(place)
        bare = _venv(place, "bare", REQUIREMENTS.split())
        _warm(place, bare, table)
        _cold(place, table)
        _at_once(place, table)
    table.finish(
        f"warm: median of {ROUNDS} interleaved rounds; cold and new container: of {COLD_ROUNDS}",
        "time: `execute` of the operator in a task's process, under Airflow's supervisor, with the task's log file; "
        "for `uv` and the bare script, the command",
        "cold: the venv store is empty, but uv's cache is not. Three times: building the venv; the time until the "
        "program starts, in excess of warm; the whole run, which compiles all packages (by hand: what is imported)",
        "cold, by hand: uv links files to its cache; ours copies them, so that changing one changes no other",
    )


def _prepare(place: Site) -> None:
    files = {"requirements.txt": REQUIREMENTS, "process/metric.py": PROGRAM}
    pack = place.pack("start", SCRIPT.format(PIP_LINES), files)
    for number in range(1, AT_ONCE + 1):
        place.pack(f"at_once_{number}", SCRIPT.format(PIP_LINES), files)
    (place.folder / "bare.sh").write_text(SCRIPT.format("").replace("cd process", f"cd {pack}/process"))
    for name in ("original", "container"):  # each has its own venv, never this checkout's
        subprocess.run([sys.executable, "-m", "venv", str(place.folder / name)], check=True)
        path = f"{place.folder}/{name}/bin{os.pathsep}{os.environ['PATH']}"
        command = f"cd {pack} && bash bootstrap-script.sh "
        arguments = f"bash_command={command!r}, env={{'PATH': {path!r}}}, append_env=True"
        place.rival(f"{name}.py", "BashOperator", "bash", arguments)
    for name, function, packages in (
        ("function", _PROGRAM_FUNCTION, REQUIREMENTS.split()),
        ("script", _SCRIPT_FUNCTION, ["pip", *REQUIREMENTS.split()]),
    ):
        cache = str(place.folder / f"cache-{name}")
        arguments = f"python_callable=measure, requirements={packages!r}, venv_cache_path={cache!r}"
        file = place.rival(f"{name}.py", "PythonVirtualenvOperator", "python", arguments)
        file.write_text(file.read_text().replace("\nwith DAG", f"{function.format(pack=str(pack))}\n\nwith DAG"))


def _warm(place: Site, bare: Mapping[str, str], table: Table) -> None:
    """Add the rows of a night without new requirements."""
    ways: dict[str, Callable[[], float]] = {
        "bare": lambda: _timed(["bash", str(place.folder / "bare.sh")], bare),
        "ours": lambda: place.worker.run(OURS, _TASK).seconds,
        "original": lambda: place.worker.run("original.py", "rival").seconds,
        "function": lambda: place.worker.run("function.py", "rival").seconds,
        "script": lambda: place.worker.run("script.py", "rival").seconds,
    }
    for run in ways.values():  # builds the venvs and caches
        run()
    rounds = [{name: run() for name, run in ways.items()} for _ in range(ROUNDS)]
    found = {name: statistics.median(one[name] for one in rounds) for name in ways}
    fresh = statistics.median(_in_new_container(place) for _ in range(COLD_ROUNDS))
    ours, script = found["ours"], found["bare"]
    added = statistics.median(one["ours"] - one["bare"] for one in rounds)
    table.add("warm", f"{ours:.2f} s", "bare script", f"{script:.2f} s", f"+{added:.2f} s", "+0.25 s at most")
    for name, seconds in (("original, nothing new", found["original"]), ("original, new container", fresh)):
        cell = f"{seconds - script:.2f} s"
        factor = f"{(seconds - script) / added:.1f} times faster"
        table.add("warm, around the script", f"{added:.2f} s", name, cell, factor, "20 times faster")
    for name in ("script", "function"):
        rival, cell = f"PythonVirtualenvOperator, cache, {name}", f"{found[name]:.2f} s"
        table.add("warm", f"{ours:.2f} s", rival, cell, _times(ours, found[name]), "ahead: below 1")


def _in_new_container(place: Site) -> float:
    shutil.rmtree(place.folder / "container")
    subprocess.run([sys.executable, "-m", "venv", str(place.folder / "container")], check=True)
    return place.worker.run("container.py", "rival").seconds


def _cold(place: Site, table: Table) -> None:
    """Add the rows of a first night."""
    bare = ["bash", str(place.folder / "bare.sh")]
    ours, theirs = [], []
    for number in range(COLD_ROUNDS):
        place.use_store(f"cold-{number}")
        cold, warm = (place.worker.run(OURS, _TASK) for _ in range(2))
        until_start = (_started(cold.lines) - cold.began) - (_started(warm.lines) - warm.began)
        ours.append((_built(place, f"alone-{number}"), until_start, cold.seconds))
        began = time.perf_counter()
        variables = _venv(place, f"hand-{number}", REQUIREMENTS.split())
        made = time.perf_counter() - began
        theirs.append((made, made, made + _timed(bare, variables)))
    by_hand, target = "uv venv && uv pip install", "1.3 times at most"
    rows = (("cold, the venv", by_hand), ("cold, program starts", by_hand), ("cold, end", f"{by_hand}, script"))
    for index, (what, rival) in enumerate(rows):
        mine, hand = (statistics.median(one[index] for one in side) for side in (ours, theirs))
        sign = "+" if index == 1 else ""
        table.add(what, f"{sign}{mine:.2f} s", rival, f"{hand:.2f} s", _times(mine, hand), "" if index else target)


def _built(place: Site, store: str) -> float:
    """Seconds that the store takes to build a venv."""
    from hdm_airflow.runner.processes import sandbox
    from hdm_airflow.runner.processes.run_folder import run_folder
    from hdm_airflow.runner.processes.supervision import Supervision
    from hdm_airflow.runner.venvs.options import VenvOptions
    from hdm_airflow.runner.venvs.store import VenvStore

    pack = place.worker.home / "dags" / "packs" / "metric-packs" / "start"
    sandbox_in_force = sandbox.in_force(sandbox.Sandbox(), hide=[place.folder / store])
    options = VenvOptions(folder=str(place.folder / store))
    with run_folder() as folder:
        supervision = Supervision(None, folder, lambda: None, sandbox_in_force)
        began = time.perf_counter()
        with VenvStore(options).use(pack, "start", None, supervision=supervision, log=lambda _: None):
            return time.perf_counter() - began


def _started(lines: Iterable[str]) -> float:
    """When the program started, from its own first line."""
    (line,) = [line for line in lines if line.startswith(_STARTED)]
    return float(line.removeprefix(_STARTED))


def _at_once(place: Site, table: Table) -> None:
    """Add the row of several tasks that all need the same new venv."""
    place.use_store("at-once")
    began = time.perf_counter()
    running = [place.worker.start(OURS, f"hdm-prod.mp_at_once_{number}") for number in range(1, AT_ONCE + 1)]
    ended = [place.worker.result(one) for one in running]
    seconds = time.perf_counter() - began
    builds = sum(line.startswith("building venv") for one in ended for line in one.lines)
    table.add(f"{AT_ONCE} at once", f"{seconds:.1f} s", "-", "-", f"{builds} build(s)", "1 build")


def _venv(place: Site, name: str, packages: list[str]) -> dict[str, str]:
    """Create a venv by hand. Return the variables with which its programs are found."""
    folder = place.folder / name
    uv, variables = str(Path(sys.executable).with_name("uv")), place.worker.variables
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], env=variables, check=True)
    install = [uv, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), *packages]
    subprocess.run(install, env=variables, check=True)
    return {**variables, "PATH": f"{folder}/bin{os.pathsep}{variables['PATH']}"}


def _timed(command: list[str], variables: Mapping[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, env=dict(variables), check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return time.perf_counter() - began


def _times(ours: float, theirs: float) -> str:
    return f"{ours / theirs:.2f} times"


if __name__ == "__main__":
    main()
