"""A running Airflow: its screens, logs and processes for packs that succeed, fail, leak or are killed."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from demo.browser import Browser
from demo.services import Airflow
from tests.airflow.stage import REPORT_ALL, Stage, endpoint
from tests.stand_ins.keycloak import REALM, Keycloak
from tests.stand_ins.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from demo.services import Postgres

pytestmark = pytest.mark.timeout(600)
ROOT = Path(__file__).parents[2]
SECRET = "canary-7d1f&e/9"
VAULT_SECRET = "canary-kv-8e2/&w"
STORED_SECRET = "canary-db-4c5/&m"
HEART, LUNG, BRAIN, LIVER = endpoint("heart"), endpoint("lung"), endpoint("brain"), endpoint("liver", type="trino")
KIDNEY = endpoint("kidney")
CREDENTIALS = {
    "vault": {"conn_id": "vault", "path": "hdm/{name}", "dynamic_path": "database/creds/{name}"},
    "keycloak": {"conn_id": "keycloak", "realm": REALM, "endpoints": ["*:trino:*"]},
}
ALL_OK = REPORT_ALL.format("ok")
LEAK = """
import base64, hdm, sys, time
run = hdm.load()
time.sleep(3)  # the processes are looked at meanwhile
for e in run.endpoints:
    print("plain", e.password, file=sys.stderr)
    sys.stdout.write("split " + e.password[:7]); sys.stdout.flush(); print(e.password[7:], flush=True)
    print("coded", base64.b64encode(("u:" + e.password).encode()).decode())
    print("url", e.url)
    run.report(e, "ok", message="done with " + e.password)
"""


class Running:
    """A started Airflow with a packs folder, and its API."""

    def __init__(self, airflow: Airflow, stage: Stage) -> None:
        self.airflow, self.stage = airflow, stage

    def run(self, dag_id: str) -> tuple[str, dict[str, str]]:
        """Run a Dag to its end: the run's path in the API, task id -> state."""
        path = self.start(dag_id)
        assert eventually(lambda: self.airflow.call("GET", path)["state"] in {"success", "failed"}, 180)
        return path, self.states(path)

    def start(self, dag_id: str) -> str:
        """Start a run; its path in the API."""
        self.airflow.call("PATCH", f"/dags/{dag_id}", {"is_paused": False})
        conf = {"logical_date": None, "conf": {"metric_date": "2026-01-05"}}
        run_id = self.airflow.call("POST", f"/dags/{dag_id}/dagRuns", conf)["dag_run_id"]
        return f"/dags/{dag_id}/dagRuns/{run_id}"

    def states(self, path: str) -> dict[str, str]:
        """Task id -> state."""
        return {
            one["task_id"]: one["state"] for one in self.airflow.call("GET", f"{path}/taskInstances")["task_instances"]
        }

    def log(self, path: str, task_id: str, attempt: int = 1) -> str:
        """A task's log as the UI shows it."""
        return json.dumps(self.airflow.call("GET", f"{path}/taskInstances/{task_id}/logs/{attempt}"))


def eventually(condition: Callable[[], Any], seconds: float) -> bool:
    """Whether a condition comes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.5)
    return bool(condition())


@pytest.fixture(scope="module")
def running(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Airflow, one HDM base, and Dags that each run one kind of pack."""
    from hdm_airflow.base import migrate
    from hdm_airflow.base.hook import HdmHook

    folder = tmp_path_factory.mktemp("functional")
    database = postgres.create_database("hdm_functional")
    dags = folder / "dags"
    (dags / "packs").mkdir(parents=True)
    shutil.copy(ROOT / "dags" / ".airflowignore", dags)
    stage = Stage(base=database, folder=dags / "packs", store=folder / "store")
    with pytest.MonkeyPatch.context() as patch, Vault() as vault, Keycloak() as keycloak:
        vault.kv2 = {"hdm/lung": {"password": VAULT_SECRET}}
        vault.roles = {"brain": {"seconds": 3600}}
        patch.setenv("AIRFLOW_CONN_HDM", database.dsn)
        migrate.upgrade(HdmHook())
        _write_packs(stage, folder)
        (dags / "hdm.py").write_text(
            "from hdm_airflow import HdmDag\n\n"
            'HdmDag("good", select=["leaky", "judge"])\nHdmDag("broken", select=["mp_broken", "judge"])\n'
            'HdmDag("endless", select=["endless"])\n'
            'HdmDag("long", select=["long"], pack_args={"long": {"retries": 1, "retry_delay": 1}})\n'
        )
        variables = {
            "AIRFLOW_CONN_HDM": database.dsn,
            "AIRFLOW_CONN_HDM_HEART": json.dumps({"conn_type": "generic", "password": SECRET}),
            "AIRFLOW_CONN_VAULT": vault.connection(),
            "AIRFLOW_CONN_KEYCLOAK": keycloak.connection(),
            "AIRFLOW_VAR_HDM": json.dumps(
                {
                    "venvs": {"folder": str(stage.store)},
                    "schedule": None,
                    "credentials": CREDENTIALS,
                    "sandbox": {"write": [str(folder)]},  # where the packs leave traces
                }
            ),
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "10",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
            "TMPDIR": str(folder),
        }
        with Airflow(folder / "airflow", dags=dags, variables=variables) as airflow:
            found = Running(airflow, stage)
            assert eventually(lambda: airflow.call("GET", "/dags")["total_entries"] == 4, 60)
            stored = {"connection_id": "hdm_kidney", "conn_type": "generic", "password": STORED_SECRET}
            airflow.call("POST", "/connections", stored)
            yield found
    postgres.drop_database(database.name)


def _write_packs(stage: Stage, folder: Path) -> None:
    stage.pack("leaky", "python process/main.py\n", files={"process/main.py": LEAK})
    stage.pack("judge", ALL_OK, kind="rule", depends_on=["leaky"])
    stage.pack("broken", ALL_OK, version="")
    pids = folder / "pids"
    stage.pack("long", f"test -e {pids} || {{ echo $$ > {pids}; setsid sleep 600 & sleep 600; }}\n" + ALL_OK)
    stage.pack("endless", f"(trap '' TERM; echo $BASHPID > {folder}/endless; while true; do sleep 0.2; done)\n")
    for task_id in ("mp_leaky", "rp_judge", "mp_long", "mp_endless", "mp_broken"):
        stage.activate(task_id, HEART)
    stage.activate("mp_leaky", LUNG, BRAIN, LIVER, KIDNEY)


def test_password_is_nowhere_in_what_airflow_keeps_or_prints(running: Running) -> None:
    """Task log, XCom, rendered fields, doc_md, ledger, processes and their output, and every file that is left.

    The environment of Airflow's processes holds the password that this test gives to them there, and no other.
    """
    path = running.start("good")
    seen: list[tuple[str, str]] = []  # command lines, environments
    state = ""
    while state not in {"success", "failed"}:
        seen.append(processes())
        state = running.airflow.call("GET", path)["state"]
        time.sleep(0.2)
    assert set(running.states(path).values()) == {"success"}
    assert any("bootstrap-script.sh" in commands for commands, _ in seen), "the pack was looked at while it ran"
    task = "hdm-prod.mp_leaky"
    log = running.log(path, task)
    assert log.count("plain ***") == 5, "each of the passwords was there to be seen"
    assert log.count("split ***") == 5
    with running.stage.base.connect() as connection:
        ledger = repr(connection.execute("SELECT * FROM hdm_pack_run").fetchall())
    api = running.airflow
    places = {
        "task log": log,
        "xcom": json.dumps(api.call("GET", f"{path}/taskInstances/{task}/xcomEntries/summary")),
        "rendered": json.dumps(api.call("GET", f"{path}/taskInstances/{task}")),
        "ledger": ledger,
        "processes": api.log.read_text(),
        "log files": "".join(file.read_text() for file in (api.folder / "logs").rglob("*.log")),
        "dag": json.dumps([api.call("GET", f"/dags/good/{page}") for page in ("details", "tasks")]),
        "command lines": "\n".join(commands for commands, _ in seen),
    }
    fetched = [VAULT_SECRET, STORED_SECRET, "dynamic-brain-1-Zx9/+ä", "eyJ-token-1-Zx9+/=.none"]
    forms = [form for secret in (SECRET, *fetched) for form in coded(secret)]
    places["files"] = "\n".join(
        file.read_bytes().decode("utf-8", "replace")
        for folder in (running.stage.store.parent, Path(os.environ["AIRFLOW_HOME"]))
        for file in folder.rglob("*")
        if file.is_file() and not file.is_symlink()
    )
    assert {place: [form for form in forms if form in text] for place, text in places.items()} == {
        place: [] for place in places
    }
    environments = "\n".join(environment for _, environment in seen)
    assert SECRET in environments, "it is there to be seen, so others would be"
    assert not [secret for secret in fetched if secret in environments]


def test_quarantined_pack_is_a_red_task_whose_log_says_what_to_do(running: Running) -> None:
    """The finding is where the operator of the night looks first."""
    path, states = running.run("broken")
    assert states["hdm-prod.mp_broken"] == "failed"
    assert "properties.json:version: error [version-missing]" in running.log(path, "hdm-prod.mp_broken")
    assert running.airflow.call("GET", path)["state"] == "failed"


def test_dag_keeps_one_version_over_many_parses(running: Running) -> None:
    """A version per parse would fill Airflow's database and hide real changes."""
    before = running.airflow.call("GET", "/dags/good/details")["last_parsed_time"]
    assert eventually(lambda: running.airflow.call("GET", "/dags/good/details")["last_parsed_time"] != before, 60)
    assert running.airflow.call("GET", "/dags/good/dagVersions")["total_entries"] == 1


def test_worker_killed_in_the_middle_leaves_no_process_and_airflows_retry_is_true(running: Running) -> None:
    """SIGKILL of the task's supervisor: the pack dies with it, its ledger row is closed, the retry succeeds."""
    path = running.start("long")
    pids = running.stage.store.parent / "pids"
    assert eventually(lambda: pids.exists() and pids.read_text().strip(), 90)
    pack = int(pids.read_text())
    family = ancestors(pack)
    supervisor = next(pid for pid in family if b"LocalExecutor" in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.kill(supervisor, signal.SIGKILL)
    assert eventually(lambda: not Path(f"/proc/{pack}").exists(), 15)
    assert not subprocess.run(["pgrep", "-f", "sleep 600"], capture_output=True, check=False).stdout
    assert eventually(lambda: running.airflow.call("GET", path)["state"] in {"success", "failed"}, 120)
    assert running.states(path)["hdm-prod.mp_long"] == "success"
    assert running.stage.ledger("mp_long", "reason") == [
        ("heart", "failed", "the worker died or lost the HDM base"),
        ("heart", "success", None),
    ]


def test_task_marked_as_failed_in_the_ui_ends_its_pack_and_says_so_in_the_ledger(running: Running) -> None:
    """Airflow sends SIGTERM to the task process, which calls on_kill, and SIGKILL five seconds later."""
    path = running.start("endless")
    pids = running.stage.store.parent / "endless"
    assert eventually(lambda: pids.exists() and pids.read_text().strip(), 90)
    task = f"{path}/taskInstances/hdm-prod.mp_endless"
    running.airflow.call("PATCH", task, {"new_state": "failed"})
    assert eventually(lambda: not Path(f"/proc/{pids.read_text().strip()}").exists(), 60)
    assert running.stage.ledger("mp_endless", "reason") == [("heart", "failed", "the task was killed")]


def test_ui_shows_the_group_and_its_tasks_in_a_browser(
    running: Running, require: Callable[..., None], tmp_path: Path
) -> None:
    """The Dag's page in Chromium."""
    require("functional", Browser.available())
    with Browser(running.airflow, tmp_path) as browser:
        page = browser.read("/dags/good/tasks", until="mp_leaky")
    assert "rp_judge" in page


def coded(secret: str) -> list[str]:
    """What a reader could make a password of."""
    raw = secret.encode()
    pieces = [base64.b64encode(before + raw).decode()[4:-4] for before in (b"", b"x", b"ab")]
    escaped = json.dumps(secret)[1:-1]  # as it would stand in JSON, Airflow's log files included
    return [secret, escaped, quote(secret), quote(secret, safe=""), *pieces]


def processes() -> tuple[str, str]:
    """The command lines and environments of all processes, as /proc shows them."""
    texts: dict[str, list[str]] = {"cmdline": [], "environ": []}
    for folder in Path("/proc").glob("[0-9]*"):
        for name, found in texts.items():
            try:
                found.append((folder / name).read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
            except OSError:  # it has ended
                continue
    return "\n".join(texts["cmdline"]), "\n".join(texts["environ"])


def ancestors(pid: int) -> list[int]:
    """A process's parents, nearest first."""
    found = []
    while pid > 1:
        found.append(pid)
        pid = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    return found
