"""What a pack's process is given, what is hidden of it, and that nothing of it outlives its run."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from hdm_airflow.errors import BaseError, EnvironmentBuildError, PackFailedError
from tests.airflow.stage import MONDAY, REPORT_ALL, endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.airflow.stage import Stage

ROOT = Path(__file__).parents[2]
HEART = endpoint("heart")
ALL_OK = REPORT_ALL.format("ok")
SECRET = "p/ss:w rd+ü"
#: A pack with a child that ignores SIGTERM and a daemon in a session of its own; their pids are written to $PIDS.
STUBBORN = """
echo $$ >> {pids}
(trap '' TERM; echo $BASHPID >> {pids}; while true; do sleep 0.1; done) &
setsid bash -c 'echo $$ >> {pids}; trap "" TERM HUP; while true; do sleep 0.1; done' &
while [ $(wc -l < {pids}) -lt 3 ]; do sleep 0.05; done
echo all are running
"""


@pytest.fixture
def pids(tmp_path: Path) -> Path:
    """Where stubborn packs write their process ids."""
    return tmp_path / "pids"


def alive(pids: Path) -> list[int]:
    """Which of the processes are still there, zombies not counted."""
    found = []
    for line in pids.read_text().split():
        stat = Path(f"/proc/{line}/stat")
        if stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z":
            found.append(int(line))
    return found


def eventually(condition: Callable[[], bool], seconds: float = 15.0) -> bool:
    """Whether a condition comes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


def left_behind(tmp_path: Path) -> list[Path]:
    """What runs have left in their TMPDIR."""
    return list((tmp_path / "tmp").iterdir())


def test_child_gets_the_contract_and_nothing_of_the_workers_environment(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No AIRFLOW__*, no connection, no secret of the worker; what the manifest names, and proxies, pass."""
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "fernet")
    monkeypatch.setenv("CLOUD_TOKEN", "cloud")
    monkeypatch.setenv("ES_HOST", "elastic")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:1")
    stage.pack("basic", f"env -0 > {stage.folder}/env\n" + ALL_OK, environment=["ES_HOST", "NOT_SET"])
    stage.activate("mp_basic", HEART)
    stage.run("mp_basic", environment="dev")
    pairs = (stage.folder / "env").read_bytes().decode().split("\0")
    seen = dict(pair.split("=", 1) for pair in pairs if pair)
    assert {key: seen[key] for key in ("ENV", "HDM_ENVIRONMENT", "HDM_DATE", "HDM_PACK", "HDM_PACK_VERSION")} == {
        "ENV": "dev",
        "HDM_ENVIRONMENT": "dev",
        "HDM_DATE": MONDAY.isoformat(),
        "HDM_PACK": "basic",
        "HDM_PACK_VERSION": "1.0.0",
    }
    assert seen["ES_HOST"] == "elastic"
    assert seen["HTTPS_PROXY"] == "http://proxy:1"
    assert not [key for key in seen if key.startswith("AIRFLOW") or "TOKEN" in key or key == "PGPASSWORD"]
    assert seen["HOME"] != os.environ.get("HOME")
    assert Path(seen["TMPDIR"]).parent == Path(seen["HOME"]).parent


def test_context_file_is_private_and_psql_needs_no_argument(stage: Stage, tmp_path: Path) -> None:
    """Mode 0600 in a folder of mode 0700, removed afterwards; the base's password is in a pgpass file."""
    script = """
    stat -c 'mode %a' "$HDM_CONTEXT" "$HDM_REPORT" "$PGPASSFILE" "$(dirname "$HDM_CONTEXT")"
    {psql} -Atc "select 'activated ' || count(*) from hdm_activation"
    PGDATABASE=postgres {psql} -w -Atc "select 'another'" || echo no password for another database
    cp "$HDM_CONTEXT" {copy}
    """
    copy = tmp_path / "context.json"
    psql = stage.base.server.bin_dir / "psql"
    stage.pack("basic", script.format(psql=psql, copy=copy) + ALL_OK)
    stage.activate("mp_basic", HEART)
    stage.run("mp_basic")
    assert [line for line in stage.lines if line.startswith("mode")] == ["mode 600"] * 3 + ["mode 700"]
    assert "activated 1" in stage.lines
    assert "no password for another database" in stage.lines
    context = json.loads(copy.read_text())
    assert context["contract"] == 1
    assert context["pack"] == {"kind": "metric", "name": "basic", "version": "1.0.0"}
    assert context["base"]["database"] == stage.base.name
    assert context["endpoints"][0]["slug"] == HEART.slug
    assert not left_behind(tmp_path)


def test_password_is_in_no_log_line_no_xcom_and_no_ledger_row(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the pack prints it: plain, in base64 inside a longer text, URL-quoted, in two writes of one line."""
    monkeypatch.setenv("AIRFLOW_CONN_HDM_HEART", json.dumps({"conn_type": "generic", "password": SECRET}))
    program = """
import base64, hdm, sys
from urllib.parse import quote, quote_plus
run = hdm.load()
for e in run.endpoints:
    p = e.password
    print("plain", p, flush=True)
    sys.stdout.write("split " + p[:4]); sys.stdout.flush(); sys.stdout.write(p[4:] + chr(10)); sys.stdout.flush()
    for before in ("", "x", "ab"):
        print("b64", base64.b64encode((before + p + "tail").encode()).decode())
    print("url", e.url, quote(p), quote_plus(p), quote(p, safe=""))
    print("x" * (1 << 20) + p)
    run.report(e, "failed", message="login failed for " + p, incomplete=["table " + p])
"""
    stage.pack("basic", "python process/main.py\n", files={"process/main.py": program})
    stage.activate("mp_basic", HEART)
    with pytest.raises(PackFailedError) as caught:
        stage.run("mp_basic")
    places = [
        stage.log,
        str(caught.value),
        json.dumps(stage.summary),
        repr(stage.ledger("mp_basic", "reason", "incomplete")),
    ]
    raw = SECRET.encode()
    forms = [SECRET, quote(SECRET), quote(SECRET, safe=""), base64.b64encode(raw).decode()[2:-4], raw.decode()[:6]]
    for place in places:
        assert not [form for form in forms if form in place]
    assert "plain ***" in stage.lines
    assert "split ***" in stage.lines


def test_secret_is_masked_before_a_report_is_cut_or_folded(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A piece of a password, or one with other blanks, is the password to whoever reads it."""
    secret = "two  blanks\tand a tab"
    monkeypatch.setenv("AIRFLOW_CONN_HDM_HEART", json.dumps({"conn_type": "generic", "password": secret}))
    program = """
import hdm
run = hdm.load()
for e in run.endpoints:
    run.report(e, "failed", message="x" * 990 + e.password, version=e.password, incomplete=["t" * 995 + e.password])
"""
    stage.pack("basic", "python process/main.py\n", files={"process/main.py": program})
    stage.activate("mp_basic", HEART)
    with pytest.raises(PackFailedError):
        stage.run("mp_basic")
    ledger = repr(stage.ledger("mp_basic", "reason", "dbversion", "incomplete"))
    assert not [
        piece for piece in ("two", "blanks", "a tab") if piece in stage.log + ledger + json.dumps(stage.summary)
    ]


def test_passwords_of_proxies_and_of_variables_that_sound_secret_are_masked(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pack needs them; nobody else does."""
    monkeypatch.setenv("HTTPS_PROXY", "http://joe:proxy-pw-1@proxy:3128")
    monkeypatch.setenv("ES_TOKEN", "es-token-1")
    stage.pack("basic", "set -x\nenv\n" + ALL_OK, environment=["ES_TOKEN"])
    stage.activate("mp_basic", HEART)
    stage.run("mp_basic")
    assert "HTTPS_PROXY=http://joe:***@proxy:3128" in stage.lines
    assert "ES_TOKEN=***" in stage.lines


def test_timeout_holds_against_a_pack_that_reports_without_end(stage: Stage, tmp_path: Path) -> None:
    """Whoever writes faster than we read must not stop the clock."""
    stage.pack("basic", 'yes "a line that is no report" >> "$HDM_REPORT"\n', timeout=2)
    stage.activate("mp_basic", HEART)
    began = time.monotonic()
    with pytest.raises(PackFailedError, match="ended after its timeout"):
        stage.run("mp_basic")
    assert time.monotonic() - began < 30
    assert not left_behind(tmp_path)


def test_build_of_the_environment_is_under_the_timeout_and_the_guard(stage: Stage, tmp_path: Path, pids: Path) -> None:
    """A package that builds for ever is ended like a pack that runs for ever; SIGKILL leaves nothing of it."""
    package = tmp_path / "slow"
    package.mkdir()
    (package / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "slow"\nversion = "1"\n'
    )
    (package / "backend.py").write_text(
        f"import os, time\ndef build_wheel(*_):\n    open({str(pids)!r}, 'w').write(str(os.getpid()))\n"
        "    time.sleep(120)\n"
    )
    stage.pack("basic", ALL_OK, files={"requirements.txt": f"slow @ {package.as_uri()}\n"}, timeout=4)
    stage.activate("mp_basic", HEART)
    stage.store = tmp_path / "own store"
    with pytest.raises(PackFailedError, match="ended after its timeout"):
        stage.run("mp_basic")
    assert pids.exists()
    assert alive(pids) == []
    pids.unlink()
    command = [sys.executable, "-c", RUN_IN_CHILD, str(stage.folder), str(stage.store), "task"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)
    assert eventually(lambda: pids.exists() and pids.read_text() != "", 30)
    process.kill()
    process.wait()
    assert eventually(lambda: alive(pids) == [])
    assert eventually(lambda: not left_behind(tmp_path))
    assert eventually(lambda: not list(stage.store.glob(".building-*")))


def test_lost_lock_ends_the_pack(stage: Stage, pids: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the session that holds it, another attempt may begin: two would write at once."""
    monkeypatch.setattr("hdm_airflow.operators.lock._HEARTBEAT", 0.2)
    stage.pack("basic", STUBBORN.format(pids=pids) + "wait\n")
    stage.activate("mp_basic", HEART)

    def cut() -> None:
        eventually(lambda: pids.exists() and len(pids.read_text().split()) == 3)
        with stage.base.connect(autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
                "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )

    cutter = threading.Thread(target=cut)
    cutter.start()
    with pytest.raises(BaseError, match="the lock of the pack was lost"):
        stage.run("mp_basic")
    cutter.join()
    assert alive(pids) == []
    assert stage.ledger("mp_basic")[0] == ("heart", "failed")


def test_on_kill_while_waiting_for_the_lock_starts_nothing(stage: Stage) -> None:
    """The pack would begin, and be killed in the middle five seconds later."""
    stage.pack("basic", f"touch {stage.folder}/ran\n" + ALL_OK)
    stage.activate("mp_basic", HEART)
    operator = stage.operator("mp_basic")
    with stage.base.connect(autocommit=True) as holder:
        holder.execute(f"SELECT pg_advisory_lock(hashtextextended('hdm:metric:basic:{MONDAY}', 0))")
        killer = threading.Timer(1, operator.on_kill)
        killer.start()
        with pytest.raises(PackFailedError, match="the task was killed"):
            stage.execute(operator)
    assert not (stage.folder / "ran").exists()
    assert stage.ledger("mp_basic") == []


def test_pack_that_kills_its_guard_leaves_no_daemon_behind(stage: Stage, pids: Path, tmp_path: Path) -> None:
    """The last resort: whatever has this run's context in its environment is ended."""
    stage.pack("basic", STUBBORN.format(pids=pids) + "kill -9 $PPID; sleep 60\n")
    stage.activate("mp_basic", HEART)
    with pytest.raises(PackFailedError):
        stage.run("mp_basic")
    assert eventually(lambda: alive(pids) == [])
    assert not left_behind(tmp_path)


def test_run_folder_of_a_worker_that_lost_power_is_swept_by_the_next_run(stage: Stage, tmp_path: Path) -> None:
    """It holds passwords; a folder in use, or kept on purpose, stays."""
    dead, kept = tmp_path / "tmp" / "hdm-run-dead", tmp_path / "tmp" / "hdm-run-kept"
    for folder in (dead, kept):
        folder.mkdir()
        (folder / "context.json").write_text("{}")
    (dead / ".lock").touch()
    stage.pack("basic", ALL_OK)
    stage.activate("mp_basic", HEART)
    stage.run("mp_basic")
    assert left_behind(tmp_path) == [kept]


def test_timeout_ends_the_whole_process_tree_and_says_so(stage: Stage, pids: Path, tmp_path: Path) -> None:
    """A child that ignores SIGTERM and a daemon in another session included."""
    stage.pack("basic", STUBBORN.format(pids=pids) + "wait\n", timeout=2)
    stage.activate("mp_basic", HEART)
    with pytest.raises(PackFailedError, match="ended after its timeout of 2 s"):
        stage.run("mp_basic")
    assert len(pids.read_text().split()) == 3
    assert alive(pids) == []
    assert not left_behind(tmp_path)
    assert stage.ledger("mp_basic", "reason") == [("heart", "failed", "ended after its timeout of 2 s")]


def test_our_timeout_comes_before_airflows(stage: Stage) -> None:
    """Airflow's would end the task before the ledger is written."""
    from datetime import timedelta

    stage.pack("basic", ALL_OK, timeout=500)
    assert stage.operator("mp_basic").limit == 500
    assert stage.operator("mp_basic", execution_timeout=timedelta(seconds=100)).limit == 90
    assert stage.operator("mp_basic", execution_timeout=timedelta(seconds=8)).limit == 4


def test_what_a_pack_leaves_running_is_ended_when_it_ends(stage: Stage, pids: Path) -> None:
    """A pack is over when its script is; the log says what was ended."""
    stage.pack("basic", STUBBORN.format(pids=pids) + ALL_OK + "disown -a\nexit 0\n")
    stage.activate("mp_basic", HEART)
    assert stage.run("mp_basic")["success"] == 1
    assert alive(pids) == []
    assert any("left behind were ended" in line for line in stage.lines)


def test_on_kill_writes_the_ledger_and_ends_the_tree(stage: Stage, pids: Path, tmp_path: Path) -> None:
    """on_kill does not stop `execute`, and SIGKILL comes five seconds later: both must be done by then."""
    stage.pack("basic", STUBBORN.format(pids=pids) + "wait\n")
    stage.activate("mp_basic", HEART)
    operator = stage.operator("mp_basic")
    took: list[float] = []

    def kill() -> None:
        eventually(lambda: pids.exists() and len(pids.read_text().split()) == 3)
        began = time.monotonic()
        operator.on_kill()
        took.append(time.monotonic() - began)

    killer = threading.Thread(target=kill)
    killer.start()
    began = time.monotonic()
    with pytest.raises(PackFailedError, match="the task was killed"):
        stage.execute(operator)
    killer.join()
    assert time.monotonic() - began < 5 + 5  # five to start, five until Airflow's SIGKILL
    assert took[0] < 2
    assert alive(pids) == []
    assert not left_behind(tmp_path)
    assert stage.ledger("mp_basic", "reason") == [("heart", "failed", "the task was killed")]


class Alarm(BaseException):
    """What Airflow raises inside `execute` when its own timeout is over: no Exception."""


def test_airflows_own_timeout_leaves_no_process_and_no_running_row(stage: Stage, pids: Path, tmp_path: Path) -> None:
    """It is raised by a signal, wherever the task happens to be."""

    def ring(*_: object) -> None:
        raise Alarm

    stage.pack("basic", STUBBORN.format(pids=pids) + "wait\n")
    stage.activate("mp_basic", HEART)
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 3)
    try:
        with pytest.raises(Alarm):
            stage.run("mp_basic")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert alive(pids) == []
    assert not left_behind(tmp_path)
    assert stage.ledger("mp_basic", "reason") == [("heart", "failed", "ended by Alarm")]


RUN_IN_CHILD = """
import os, sys
from pathlib import Path
from types import SimpleNamespace
from tests.airflow.stage import Stage, MONDAY
base = SimpleNamespace(name="")
stage = Stage(base=base, folder=Path(sys.argv[1]), store=Path(sys.argv[2]))
if sys.argv[3] == "supervised":
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        os.waitpid(pid, 0)
        sys.exit()
stage.run("mp_basic")
"""


@pytest.mark.parametrize("victim", ["task", "supervised"])
def test_sigkill_of_task_or_supervisor_leaves_no_process_and_the_stale_row_is_closed(
    stage: Stage, pids: Path, tmp_path: Path, victim: str
) -> None:
    """Bash's grandchildren do not die with it: the guard sees its pipe close and ends them all."""
    stage.pack("basic", STUBBORN.format(pids=pids) + "wait\n")
    stage.activate("mp_basic", HEART)
    command = [sys.executable, "-c", RUN_IN_CHILD, str(stage.folder), str(stage.store), victim]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=Path(__file__).parents[2])
    try:
        assert eventually(lambda: pids.exists() and len(pids.read_text().split()) == 3, 30)
        assert len(alive(pids)) == 3
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert eventually(lambda: alive(pids) == [])
    assert eventually(lambda: not left_behind(tmp_path))
    assert stage.ledger("mp_basic") == [("heart", "running")]
    stage.pack("basic", ALL_OK)
    assert stage.run("mp_basic")["success"] == 1
    assert stage.ledger("mp_basic", "reason") == [("heart", "failed", "the worker died"), ("heart", "success", None)]


def test_second_run_of_a_metric_date_waits_for_the_first(stage: Stage) -> None:
    """Two Dag runs of one date would write the same rows."""
    stage.pack("basic", f"date +%s%N >> {stage.folder}/times; sleep 1; date +%s%N >> {stage.folder}/times\n" + ALL_OK)
    stage.activate("mp_basic", HEART)
    command = [sys.executable, "-c", RUN_IN_CHILD, str(stage.folder), str(stage.store), "task"]
    both = [subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    times = [int(line) for line in (stage.folder / "times").read_text().split()]
    assert times == sorted(times)
    assert stage.ledger("mp_basic") == [("heart", "success"), ("heart", "success")]


def test_report_file_full_of_rubbish_is_survived_and_named(stage: Stage) -> None:
    """Garbage, half lines, binary, one line of 50 MB: the good lines count, the log says what did not."""
    line = json.dumps({"endpoint": HEART.slug, "status": "ok"})
    script = f"""
    echo 'no json' >> $HDM_REPORT
    head -c 1000 /dev/urandom >> $HDM_REPORT; echo >> $HDM_REPORT
    head -c 50000000 /dev/zero | tr '\\0' 'x' >> $HDM_REPORT; echo >> $HDM_REPORT
    echo '[1, 2]' >> $HDM_REPORT
    echo '{line}' >> $HDM_REPORT
    printf '{{"endpoint": "half' >> $HDM_REPORT
    """
    stage.pack("basic", script)
    stage.activate("mp_basic", HEART)
    assert stage.run("mp_basic")["success"] == 1
    assert "report line 1: the line is not JSON" in stage.log
    assert "longer than 1,048,576 bytes" in stage.log


def test_output_of_one_endless_line_and_of_bytes_that_are_no_text_is_bounded(stage: Stage) -> None:
    """The operator's memory does not grow with what a pack prints."""
    script = (
        "head -c 30000000 /dev/zero | tr '\\0' 'x'; echo; printf '\\xff\\xfe\\n'; echo last; exec >&- 2>&-; sleep 0.5\n"
    )
    stage.pack("basic", script)
    stage.activate("mp_basic", HEART)
    assert stage.run("mp_basic")["success"] == 1
    longest = max(stage.lines, key=len)
    assert len(longest) < 1_100_000
    assert "bytes of this line left out" in longest
    assert "last" in stage.lines


def test_progress_is_shown_while_the_pack_runs(stage: Stage) -> None:
    """Whoever watches the log at 2 a.m. sees how far it is."""
    stage.pack("basic", 'python -c "import hdm; hdm.load().progress(0.4, \\"table 4 of 10\\")"\nsleep 0.5\n' + ALL_OK)
    stage.activate("mp_basic", HEART)
    stage.run("mp_basic")
    assert "progress 40% table 4 of 10" in stage.lines


def test_unmodified_bootstrap_script_of_the_original_runs_offline_and_installs_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`pip` and `python -m pip` find everything in place (fault 15: pip at every run, in the worker's environment)."""
    wheel = build_wheel(tmp_path / "wheels", "hdmdummy", "1.0")
    script = """pip install --upgrade pip
python -m pip install --upgrade pip
pip install -r requirements.txt
cd process
python metric_basic.py
"""
    program = """
import hdm, hdmdummy
print("dummy", hdmdummy.VERSION)
run = hdm.load()
[run.report(e, "ok") for e in run.endpoints]
"""
    files = {"requirements.txt": f"hdmdummy @ {wheel.as_uri()}\n", "process/metric_basic.py": program}
    stage.pack("basic", script, files=files)
    stage.activate("mp_basic", HEART)
    stage.store = tmp_path / "own store"
    assert stage.run("mp_basic")["success"] == 1
    wheel.unlink()
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert stage.run("mp_basic")["success"] == 1
    assert stage.lines.count("dummy 1.0") == 2
    assert len([line for line in stage.lines if line.startswith("building environment")]) == 1
    assert "hdmdummy" not in sys.modules


def test_what_a_script_installs_on_top_stays_in_a_layer_of_that_run(stage: Stage, tmp_path: Path) -> None:
    """The store is shared by other packs and other runs: no run changes it."""
    wheel = build_wheel(tmp_path / "wheels", "hdmextra", "2.0")
    stage.pack(
        "basic", f"pip install --no-index {wheel}\npython -c 'import hdmextra; print(hdmextra.VERSION)'\n" + ALL_OK
    )
    stage.pack("other", "python -c 'import hdmextra' || echo not here\n" + ALL_OK)
    for task_id in ("mp_basic", "mp_other"):
        stage.activate(task_id, HEART)
    stage.run("mp_basic")
    assert "2.0" in stage.lines
    stage.run("mp_other")
    assert "not here" in stage.lines


def test_environment_that_cannot_be_built_fails_with_the_resolvers_message(stage: Stage, tmp_path: Path) -> None:
    """And leaves no half of it in the store."""
    stage.pack("basic", ALL_OK, files={"requirements.txt": "/no/such/wheel-1.0-py3-none-any.whl\n"})
    stage.activate("mp_basic", HEART)
    stage.store = tmp_path / "own store"
    with pytest.raises(EnvironmentBuildError, match=r"wheel-1\.0"):
        stage.run("mp_basic")
    assert [path.suffix for path in stage.store.iterdir()] == [".lock"]
    assert stage.ledger("mp_basic")[0][:2] == ("heart", "failed")


def test_manifest_chooses_the_python_that_runs_the_pack(stage: Stage) -> None:
    """By its version, among those on the worker; none is ever downloaded."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    stage.pack("basic", "python --version\n" + ALL_OK, python=version)
    stage.pack("future", ALL_OK, python="3.99")
    for task_id in ("mp_basic", "mp_future"):
        stage.activate(task_id, HEART)
    stage.run("mp_basic")
    assert any(line.startswith(f"Python {version}.") for line in stage.lines)
    with pytest.raises(EnvironmentBuildError, match=r"there is no Python '3\.99' here"):
        stage.run("mp_future")
    assert stage.ledger("mp_future", "reason") == [("heart", "failed", "there is no Python '3.99' here")]


def build_wheel(folder: Path, name: str, version: str) -> Path:
    """A wheel with one module that knows its version."""
    import zipfile

    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", f"VERSION = {version!r}\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return path
