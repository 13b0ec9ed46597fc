"""`make bench-parse`: parsing a packs folder, compared with a hand-written Dag with the same tasks and dependencies.

Each measurement runs in its own process, in the state of the Dag processor's children: Airflow is imported, and its
objects are hidden from the garbage collector. It times the Dag file and, separately, the import of hdm_airflow. The
rival is the same Dag written by hand: one BashOperator per pack, the same groups and dependencies, a Readme as
documentation, an asset as outlet.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.table import Table

SIZES = (10, 100, 1000)
ROUNDS = 7
_README = "# Pack {name}\n\n" + "Measures what it measures, and says how. " * 20 + "\n"
_HAND_HEADER = """from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, TaskGroup

with DAG("bench", schedule="0 2 * * *", catchup=False, max_active_runs=1, tags={"hdm"}) as dag:
    start = EmptyOperator(task_id="start")
    end = EmptyOperator(task_id="end", trigger_rule="none_failed")
    with TaskGroup("hdm-prod") as group:
        done = EmptyOperator(task_id="end", trigger_rule="none_failed")
"""
_HAND_TASK = """        {id} = BashOperator(
            task_id="{id}",
            bash_command="cd /opt/packs/{id} && bash bootstrap-script.sh ",
            trigger_rule="{rule}",
            doc_md={doc!r},
            outlets=[Asset(name="bench.{id}", uri="bench://prod/{id}")],
        )
        {upstream}{id} >> done
"""
_HAND_FOOTER = "    start >> group >> end\n"
_PROBE = """
import gc, json, resource, runpy, sys, time
import airflow.dag_processing.processor  # what a child of the Dag processor has imported
import airflow.providers.standard.operators.bash, airflow.providers.standard.operators.empty
from airflow.sdk import BaseOperator, DAG, TaskGroup, Asset, Param, Variable
BaseOperator(task_id="warm"); DAG("warm"); Asset("warm"); Variable.get("hdm", default=None)
gc.collect(); gc.freeze()  # as the Dag processor does before it forks
def size():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
began = time.perf_counter()
if sys.argv[1].endswith("hdm.py"):
    import hdm_airflow.dag
imported = time.perf_counter() - began
before = size()
began = time.perf_counter()
found = runpy.run_path(sys.argv[1])
seconds = time.perf_counter() - began
dag = next(value for value in found.values() if isinstance(value, DAG) and value.dag_id == "bench")
edges = sum(len(task.downstream_task_ids) for task in dag.tasks)
print(json.dumps([seconds, size() - before, imported, len(dag.task_dict), edges]))
"""


def main() -> None:
    """Measure, print the table, and write it to results/."""
    table = Table(
        "parse",
        "Parsing a packs folder: HdmDag compared with a hand-written Dag with the same tasks and dependencies",
        ["packs", "HdmDag, ms", "by hand, ms", "ratio", "more MB than by hand", "us per pack", "import, ms"],
    )
    with tempfile.TemporaryDirectory(prefix="hdm-bench-") as name:
        folder = Path(name)
        for packs in SIZES:
            ours, hand = _write(folder / str(packs), packs)
            rounds = [(_probe(ours, folder), _probe(hand, folder)) for _ in range(ROUNDS)]
            assert rounds[0][0][3:] == rounds[0][1][3:], "both Dags have the same tasks and dependencies"
            (our_s, our_b, our_i), (hand_s, hand_b, _) = (
                [statistics.median(one[side][column] for one in rounds) for column in (0, 1, 2)] for side in (0, 1)
            )
            table.add(
                f"{packs:,}",
                f"{our_s * 1e3:.1f}",
                f"{hand_s * 1e3:.1f}",
                f"{our_s / hand_s:.2f}",
                f"{(our_b - hand_b) / 1e6:.1f}",
                f"{our_s * 1e6 / packs:.0f}",
                f"{our_i * 1e3:.0f}",
            )
    table.finish(
        f"median of {ROUNDS} interleaved rounds, each in its own process",
        "time: running the Dag file; importing hdm_airflow is additional, once per process, in the last column",
    )


def _write(folder: Path, packs: int) -> tuple[Path, Path]:
    """Write packs and the same as a Dag file: four metric packs per rule pack, two dependencies per rule pack."""
    metric = [f"metric_{number:04}" for number in range(packs * 4 // 5)]
    rule = [f"rule_{number:04}" for number in range(packs - len(metric))]
    lines = [_HAND_HEADER]
    for name in metric:
        _pack(folder / "packs" / "metric-packs" / name, name)
        lines.append(_HAND_TASK.format(id=f"mp_{name}", rule="all_success", doc=_README.format(name=name), upstream=""))
    for number, name in enumerate(rule):
        needed = [metric[(number * 4) % len(metric)], metric[(number * 4 + 1) % len(metric)]]
        _pack(folder / "packs" / "rule-packs" / name, name, depends_on=[f"{one}>=1.0" for one in needed])
        upstream = "[" + ", ".join(f"mp_{one}" for one in needed) + "] >> "
        lines.append(
            _HAND_TASK.format(id=f"rp_{name}", rule="all_done", doc=_README.format(name=name), upstream=upstream)
        )
    ours, hand = folder / "hdm.py", folder / "hand.py"
    ours.write_text('from hdm_airflow import HdmDag\n\ndag = HdmDag("bench")\n')
    hand.write_text("".join([*lines, _HAND_FOOTER]))
    return ours, hand


def _pack(folder: Path, name: str, **keys: object) -> None:
    (folder / "process").mkdir(parents=True)
    (folder / "create-table").mkdir()
    manifest = {"name": name, "version": "1.0.0", "author": "bench", "description": "a pack", "mainscript": "main.py"}
    (folder / "properties.json").write_text(json.dumps({**manifest, **keys}))
    script = "#!/bin/bash\npip install -r requirements.txt\ncd process\npython main.py\n"
    (folder / "bootstrap-script.sh").write_text(script)
    (folder / "Readme.md").write_text(_README.format(name=name))
    (folder / "requirements.txt").write_text("pandas\n")
    (folder / "process" / "main.py").write_text("print('measuring')\n")
    (folder / "process" / "conf.json").write_text("{}")
    (folder / "create-table" / "create.sql").write_text("SELECT 1;")


def _probe(dag_file: Path, home: Path) -> list[float]:
    """Seconds, bytes of memory, tasks and dependencies of one parse; the Variable `hdm` is an environment variable."""
    variables = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_VAR_HDM": "{}",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    command = [sys.executable, "-c", _PROBE, str(dag_file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=variables)
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
