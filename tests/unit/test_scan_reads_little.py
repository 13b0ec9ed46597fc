"""What a parse costs: every worker parses the Dag file again for each task."""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.packs.zoo import HERE

#: Reads the options of credentials, scans, then does what the first lines of a Dag file do, and tells what was opened
#: and imported on the way.
PROBE = """
import json, sys

opened, others = [], []

def watch(event, arguments):
    if event == "open":
        opened.append(str(arguments[0]))
    elif event.startswith(("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn")):
        others.append(event)

import hdm_airflow.credentials.options

options = sorted(sys.modules)

from hdm_airflow import Catalog

sys.addaudithook(watch)
for folder in sys.argv[1:]:
    Catalog.scan(folder)
scanned = {"opened": opened[:], "others": others[:], "modules": sorted(sys.modules)}

import hdm_airflow
from hdm_airflow import HdmDag

print(json.dumps({"options": options, "scanned": scanned, "modules": sorted(sys.modules)}))
"""
READ = {"properties.json", "bootstrap-script.sh", "Readme.md"}
#: Drivers as such: SQLAlchemy's own modules of the same names, which Airflow imports, load none of them.
DRIVERS = {"psycopg", "psycopg2", "asyncpg", "pymysql", "MySQLdb", "mysql", "oracledb", "pyodbc"}
HEAVY = DRIVERS | {"pandas", "numpy", "hvac", "pyarrow", "alembic"}


#: A process of its own, since this one has long imported everything. Started when tests are collected, to be ready
#: when it is asked: it imports Airflow, which takes seconds.
PROCESS = subprocess.Popen(
    [sys.executable, "-W", "ignore", "-c", PROBE, str(HERE)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
)
atexit.register(PROCESS.communicate)


@pytest.fixture(scope="module")
def probe() -> dict[str, Any]:
    """What that process has seen."""
    output, errors = PROCESS.communicate(timeout=120)
    assert PROCESS.returncode == 0, errors
    return json.loads(output.splitlines()[-1])


def loaded(modules: list[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def test_scan_opens_manifest_script_and_readme_alone(probe) -> None:
    """A dashboard of 80 MB is not read before `packs check`."""
    assert (HERE / "good-measure/kibana-dashboard/export.ndjson").is_file()
    assert (HERE / "good-measure/process/conf.json").is_file()
    opened = {Path(name).relative_to(HERE) for name in probe["scanned"]["opened"] if name.startswith(f"{HERE}/")}
    assert {path.name for path in opened} == READ
    assert {len(path.parts) for path in opened} == {2}


def test_scan_reaches_for_nothing_else(probe) -> None:
    """No database, no network, no program: a parse must not wait for any of them."""
    assert probe["scanned"]["others"] == []


def test_scan_knows_neither_airflow_nor_a_database(probe) -> None:
    """The command line also uses the catalog, for authors of packs without a running Airflow."""
    assert not loaded(probe["scanned"]["modules"]) & (HEAVY | {"airflow", "sqlalchemy", "hypothesis", "pytest"})


def test_options_are_light_enough_for_each_parse(probe) -> None:
    """Every worker parses the Dag file for every task: no Airflow, no client of Vault, no driver."""
    assert "hdm_airflow.credentials.options" in probe["options"]
    assert not loaded(probe["options"]) & {"hvac", "requests", "psycopg", "airflow"}


def test_dag_file_loads_no_driver_and_no_data_frames(probe) -> None:
    """It takes half a second and 100 MB in each of a hundred task processes, even if the task does not use it."""
    assert "airflow" in loaded(probe["modules"])
    assert not loaded(probe["modules"]) & HEAVY
