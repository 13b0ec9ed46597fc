"""The Variable `hdm` in Airflow's metadata database, as each kind of Airflow process sees it."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

#: Packs of this environment have fewer rights than the base's owner; its connections do not exist.
VARIABLE = {"environments": {"ward": {"conn_id": "hdm_ward", "pack_conn_id": "ward_packs"}}}
TASKS = {"start", "hdm-ward.mp_basic", "hdm-ward.end", "end"}
#: What a Dag file's process says of its tasks and their rights.
TELL = '\nprint("TASKS", *dag.task_dict, *(getattr(task, "pack_conn_id", "") for task in dag.tasks))\n'
#: A secrets backend that is down.
BACKEND = """
from airflow.secrets import BaseSecretsBackend

class Down(BaseSecretsBackend):
    def get_variable(self, key, **_):
        raise ConnectionError("secret text of the backend")

class Vault(BaseSecretsBackend):
    def get_variable(self, key, **_):
        return '{"environments": {"vault": {}}}'
"""


#: Creates the Variable as soon as it has been found missing.
RACE = """
from airflow.secrets.metastore import MetastoreBackend
find = MetastoreBackend.get_variable

def get_variable(self, key, **arguments):
    found = find(self, key, **arguments)
    if found is None:
        from airflow.models import Variable
        from airflow.utils.session import create_session
        with create_session() as session:
            session.add(Variable(key="hdm", val='{"environments": {"late": {}}}'))
    return found

MetastoreBackend.get_variable = get_variable
"""


class Site:
    """An Airflow home with a migrated metadata database, one Dag file and one pack."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.dags = home / "dags"
        self.database = home / "airflow.db"
        self.variables = {
            **{name: value for name, value in os.environ.items() if name != "AIRFLOW_VAR_HDM"},
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "1",
            "AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode(),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.database}",
            "PYTHONPATH": str(home),
        }
        pack = self.dags / "packs" / "metric-packs" / "basic"
        pack.mkdir(parents=True)
        manifest = {"name": "basic", "version": "1.0.0", "author": "a", "description": "d"}
        (pack / "properties.json").write_text(json.dumps(manifest))
        (pack / "bootstrap-script.sh").write_text("#!/bin/bash\nexit 0\n")
        (pack / "Readme.md").write_text("# Basic\n")
        (self.dags / ".airflowignore").write_text("^packs/\n")
        (self.dags / "hdm.py").write_text(f'from hdm_airflow import HdmDag\n\ndag = HdmDag("hdm_pipeline"){TELL}')
        (home / "site_backends.py").write_text(BACKEND)

    def run(self, *words: str, **variables: str) -> str:
        """Run a program; its output."""
        done = subprocess.run(
            [sys.executable, *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
            cwd=self.home,
            env={**self.variables, **variables},
        )
        return done.stdout + done.stderr

    def airflow(self, *words: str, **variables: str) -> str:
        """Run `airflow`."""
        return self.run("-m", "airflow", *words, **variables)

    def parse(self, *, code: str = "", **variables: str) -> set[str]:
        """The tasks of the Dag file as a plain script sees them, and the packs' connections.

        Args:
            code: runs before.
            variables: of the process.
        """
        dag_file = self.dags / "hdm.py"
        dag_file.write_text(code + dag_file.read_text())
        output = self.run(str(dag_file), **variables)
        return set(output.rpartition("TASKS ")[2].splitlines()[0].split())

    def served(self) -> str:
        """The Dag in the metadata database: what the scheduler and the web pages see."""
        with sqlite3.connect(self.database) as connection:
            rows = connection.execute("SELECT data FROM serialized_dag ORDER BY created_at").fetchall()
        return str(rows[-1][0]) if rows else ""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site whose metadata database holds the Variable."""
    site = Site(tmp_path_factory.mktemp("site"))
    site.airflow("db", "migrate")
    site.airflow("variables", "set", "hdm", json.dumps(VARIABLE))
    return site


@pytest.fixture
def site(template: Site, tmp_path: Path) -> Site:
    """A copy of that site."""
    site = Site(tmp_path)
    shutil.copy(template.database, site.database)
    site.variables["AIRFLOW__CORE__FERNET_KEY"] = template.variables["AIRFLOW__CORE__FERNET_KEY"]
    return site


def test_plain_script_sees_it(site: Site) -> None:
    """So does whatever imports the Dag file outside a server: an editor, pytest with a DagBag."""
    assert site.parse() == TASKS | {"ward_packs"}


def test_dags_test_runs_the_pack_of_its_environment_and_with_its_rights(site: Site) -> None:
    """Before, it ran on the default base, with the rights of its owner."""
    output = site.airflow("dags", "test", "hdm_pipeline", "2026-01-05")
    assert "there is no connection 'hdm_ward'" in output
    assert "hdm-prod" not in output


def test_tasks_test_runs_the_task_of_its_environment(site: Site) -> None:
    """The task exists only in the Variable's environment."""
    output = site.airflow("tasks", "test", "hdm_pipeline", "hdm-ward.mp_basic", "2026-01-05")
    assert "there is no connection 'hdm_ward'" in output


def test_lists_and_reserialize_see_it(site: Site) -> None:
    """Before, `dags reserialize` overwrote the Dag that is served with one of the default environment."""
    assert set(site.airflow("tasks", "list", "hdm_pipeline").split()) >= TASKS - {"start", "end"}
    assert "ward_packs" in site.airflow("dags", "list", "--local")
    site.airflow("dags", "reserialize")
    assert "hdm-ward.mp_basic" in site.served()
    assert "hdm-prod" not in site.served()


def test_dag_processor_sees_it(site: Site) -> None:
    """It asks the API, in a process of its own per file."""
    site.airflow("dag-processor", "--num-runs", "1")
    assert "hdm-ward.mp_basic" in site.served()


def test_variable_that_cannot_be_decrypted_is_not_replaced_by_the_defaults(site: Site) -> None:
    """Airflow reports it as missing, as if the site had no settings."""
    key = {"AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode()}
    assert site.parse(**key) == {"start", "configuration", "end"}
    site.airflow("dag-processor", "--num-runs", "1", **key)
    assert "it exists, but has no text or cannot be decrypted" in site.served()
    assert "mp_basic" not in site.served()


def test_unreadable_metadata_database_is_not_replaced_by_the_defaults(site: Site) -> None:
    """The API reports a failed query as a missing Variable."""
    with sqlite3.connect(site.database) as connection:
        connection.execute("ALTER TABLE variable RENAME TO gone")
    assert site.parse() == {"start", "configuration", "end"}
    site.airflow("dag-processor", "--num-runs", "1")
    assert "the Variable cannot be looked up" in site.served()
    assert "mp_basic" not in site.served()
    missing = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{site.home}/none/airflow.db"}
    assert site.parse(**missing) == {"start", "configuration", "end"}
    assert "hdm-own.mp_basic" in site.parse(AIRFLOW_VAR_HDM='{"environments": {"own": {}}}', **missing)


def test_variable_that_is_created_during_the_look_up_is_read(site: Site) -> None:
    """Between the two questions, whether it has a text and whether it exists."""
    site.airflow("variables", "delete", "hdm")
    (site.home / "race.py").write_text(RACE)
    assert "hdm-late.mp_basic" in site.parse(code="import race\n")


def test_variable_that_is_not_defined_means_the_defaults(site: Site) -> None:
    """A site with one base and one packs folder needs no Variable."""
    site.airflow("variables", "delete", "hdm")
    assert site.parse() == {"start", "hdm-prod.mp_basic", "hdm-prod.end", "end", "None"}
    site.airflow("dag-processor", "--num-runs", "1")
    assert "hdm-prod.mp_basic" in site.served()


def test_environment_variable_and_secrets_backend_come_before_the_database(site: Site) -> None:
    """In Airflow's order; a backend that is down is not replaced by the next one."""
    own = {"AIRFLOW_VAR_HDM": '{"environments": {"own": {}}}'}
    assert "hdm-own.mp_basic" in site.parse(**own)
    backend = {"AIRFLOW__SECRETS__BACKEND": "site_backends.Vault"}
    assert "hdm-vault.mp_basic" in site.parse(**backend, **own)
    down = {"AIRFLOW__SECRETS__BACKEND": "site_backends.Down"}
    assert site.parse(**down, **own) == {"start", "configuration", "end"}
    site.airflow("dag-processor", "--num-runs", "1", **down)
    assert "Down: ConnectionError" in site.served()
    assert "secret text" not in site.served()
