"""What a pack can see and use of the machine, and the log lines if it tries more."""

from __future__ import annotations

import errno
import os
import pwd
import sqlite3
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from airflow.sdk.exceptions import AirflowFailException

from hdm_airflow.errors import PackFailedError, VenvBuildError
from hdm_airflow.runner.processes import cgroup_tree, confine, sandbox_support
from tests.airflow.processes import alive, left_behind
from tests.airflow.stage import REPORT_ALL, endpoint

if TYPE_CHECKING:
    from tests.airflow.stage import Stage

HEART = endpoint("heart")
ALL_OK = REPORT_ALL.format("ok")
SECRET = "text-of-another"


@pytest.fixture(autouse=True)
def _landlock(require: object) -> None:
    """Skip the tests if this kernel has no Landlock."""
    require("airflow", None if sandbox_support.available() else "this kernel does not support Landlock")  # type: ignore[operator]  # a fixture, typed as an object


def test_pack_sees_no_file_of_other_runs_of_airflow_or_of_the_workers_home(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All packs of a worker have one user id, so file modes do not protect them from each other."""
    home, airflow = tmp_path / "home", tmp_path / "airflow"
    other = tmp_path / "tmp" / "hdm-kept-other"  # hdm-run-..., not in use, would be swept
    for place in (home, airflow, other):
        place.mkdir()
        (place / "secret").write_text(SECRET)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AIRFLOW_HOME", str(airflow))
    probe = "".join(f"cat {place}/secret; echo x > {place}/mine; " for place in (home, airflow, other))
    stage.pack("basic", f"{probe}\nls {other.parent}\necho own > $TMPDIR/own && cat $TMPDIR/own\n" + ALL_OK)
    stage.activate("mp_basic", HEART)
    stage.run("mp_basic", sandbox={"mode": "required", "write": [str(stage.folder)]})
    assert "own" in stage.lines
    assert SECRET not in stage.lines
    assert [line for line in stage.lines if "Permission denied" in line] == [
        line for line in stage.lines if "denied" in line
    ]
    assert stage.log.count("Permission denied") == 7
    assert not [place for place in (home, airflow, other) if (place / "mine").exists()]


def test_pack_can_neither_look_into_its_worker_nor_signal_it(stage: Stage) -> None:
    """The variables of Airflow's processes contain its keys; /proc shows them to every process of the same user."""
    worker = os.getpid()
    script = f"""
    cat /proc/{worker}/environ > /dev/null || echo environ is closed
    cat /proc/{worker}/mem > /dev/null || echo memory is closed
    ls /proc/{worker}/root/ > /dev/null || echo root is closed
    kill -0 {worker} || echo signals are closed
    kill -0 $PPID || echo the guard too
    grep -E '^(CapEff|NoNewPrivs)' /proc/self/status
    """
    stage.pack("basic", script + ALL_OK)
    stage.activate("mp_basic", HEART)
    stage.run("mp_basic")
    wanted = {"environ is closed", "memory is closed", "root is closed", "signals are closed", "the guard too"}
    assert wanted <= set(stage.lines)
    assert "CapEff:\t0000000000000000" in stage.lines
    assert "NoNewPrivs:\t1" in stage.lines


def test_venv_of_the_store_cannot_be_changed_by_a_run(stage: Stage) -> None:
    """Later runs use it too; what a run installs is put into its own layer."""
    script = """
    store=$(python -c 'import site, sys; print([p for p in sys.path if "/store" in p][0])')
    touch "$store/planted.py" || echo the store is closed
    """
    stage.pack("basic", script + ALL_OK, files={"requirements.txt": "# nothing\n"})
    stage.activate("mp_basic", HEART)
    stage.run("mp_basic", sandbox={"mode": "required"})
    assert "the store is closed" in stage.lines
    assert not list(stage.store.rglob("planted.py"))


def test_building_a_venv_is_not_a_way_out_of_the_sandbox(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package in the pack's own folder is built by a program of the pack's choice."""
    home, other = tmp_path / "home", tmp_path / "tmp" / "hdm-run-other"
    for place in (home, other):
        place.mkdir()
        (place / "secret").write_text(SECRET)
    venv = stage.store / "neighbour"
    venv.mkdir(parents=True, exist_ok=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    places = [str(home), str(other), str(venv), str(stage.folder)]
    stage.pack("basic", ALL_OK, files={"requirements.txt": "./evil\n", **_package("evil", _ESCAPE.format(places))})
    stage.activate("mp_basic", HEART)
    with pytest.raises(VenvBuildError) as caught:
        stage.run("mp_basic", sandbox={"mode": "required"})
    said = str(caught.value)
    assert said.count("it is closed") == 8
    assert "it is open" not in said
    assert SECRET not in said
    assert "sandbox.read" in caught.value.hint
    assert not [place for place in places if Path(place, "planted").exists()]


def test_package_in_the_packs_own_folder_is_built_in_the_sandbox(stage: Stage) -> None:
    """A build can write temporary files, the folder of the sources and the cache."""
    body = """
    import tempfile
    with tempfile.NamedTemporaryFile() as file, open("built-here", "w") as other:
        file.write(b"1"), other.write("1")
    return wheel(folder)
    """
    stage.pack(
        "basic",
        "pip install -r requirements.txt\npython -c 'import honest; print(honest.VERSION)'\n" + ALL_OK,
        files={"requirements.txt": "./honest\n", **_package("honest", body)},
    )
    stage.activate("mp_basic", HEART)
    stage.run("mp_basic", sandbox={"mode": "required"})
    assert "1.0" in stage.lines


_ESCAPE = """
    for place in {}:
        for name, mode in (("secret", "r"), ("planted", "w")):
            try:
                with open(place + "/" + name, mode) as file:
                    print("it is open", file.read() if mode == "r" else "to write", flush=True)
            except PermissionError:
                print("it is closed", flush=True)
            except FileNotFoundError:
                print("it is closed", "since it is not there", flush=True)
    raise SystemExit("Permission denied: that was it")
"""
_BACKEND = """
import zipfile
def wheel(folder):
    info = "{0}-1.0.dist-info"
    with zipfile.ZipFile(folder + "/{0}-1.0-py3-none-any.whl", "w") as file:
        file.writestr("{0}.py", "VERSION = '1.0'")
        file.writestr(info + "/METADATA", "Metadata-Version: 2.1\\nName: {0}\\nVersion: 1.0\\n")
        file.writestr(info + "/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        file.writestr(info + "/RECORD", "")
    return "{0}-1.0-py3-none-any.whl"
def build_wheel(folder, *_):
{1}
"""


def _package(name: str, body: str) -> dict[str, str]:
    """The files of a package whose build runs this function body."""
    project = f'[project]\nname = "{name}"\nversion = "1.0"\n'
    system = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    return {f"{name}/pyproject.toml": system + project, f"{name}/backend.py": _BACKEND.format(name, body)}


def test_pack_inherits_three_descriptors(stage: Stage) -> None:
    """With a connection of the worker to Airflow or to a database, it could act as the worker."""
    with Path("/etc/hosts").open() as opened:
        os.set_inheritable(opened.fileno(), True)
        stage.pack("basic", "ls /proc/$$/fd > fds\necho $(< fds)\n" + ALL_OK)  # a pipe would be one more
        stage.activate("mp_basic", HEART)
        stage.run("mp_basic")
    assert "0 1 2 255" in stage.lines  # 255 is bash's own, on its script


def test_programs_of_several_languages_work_in_the_sandbox(stage: Stage, require: object) -> None:
    """Locks in shared memory, links and renames across folders, named pipes: what ordinary programs do."""
    import shutil

    missing = [name for name in ("java", "node") if shutil.which(name) is None]
    require("airflow", f"{' and '.join(missing)} is not here" if missing else None)  # type: ignore[operator]  # a fixture, typed as an object
    program = """
import multiprocessing, os, subprocess, tempfile
if __name__ == "__main__":
    with multiprocessing.Pool(2) as pool:
        print("pool", sum(pool.map(abs, range(-3, 3))))
    folder = tempfile.mkdtemp()
    os.mkdir(folder + "/a"); open(folder + "/file", "w").close()
    os.rename(folder + "/file", folder + "/a/file"); os.link(folder + "/a/file", folder + "/hard")
    print("renamed", os.listdir(folder + "/a"))
    subprocess.run(["bash", "-c", "cat <(echo pipe)"], check=True)
    os.listdir("/etc"); open("/dev/null", "w").write("x"); print("random", len(open("/dev/urandom", "rb").read(4)))
"""
    java = 'class Main { public static void main(String[] a) { System.out.println("java " + (6 * 7)); } }'
    script = """
    python process/main.py
    node -e 'console.log("node", 6 * 7)'
    (cd process && java Main.java)
    echo error > /dev/stderr
    """
    stage.pack("basic", script + ALL_OK, files={"process/main.py": program, "process/Main.java": java})
    stage.activate("mp_basic", HEART)
    stage.run("mp_basic")
    wanted = {"pool 9", "renamed ['file']", "pipe", "random 4", "node 42", "java 42", "error"}
    assert wanted <= set(stage.lines), stage.log


def test_sqlite_endpoint_with_a_journal_is_readable_in_the_sandbox(stage: Stage, tmp_path: Path) -> None:
    """Reading a file in WAL mode creates two more next to it."""
    (tmp_path / "data").mkdir()
    place = endpoint("heart", type="sqlite", host=str(tmp_path / "data" / "heart.db"), port="", user="")
    with sqlite3.connect(place.host) as connection:
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("CREATE TABLE stay AS SELECT 1 AS id")
    connection.close()
    program = """
import hdm, sqlite3
for one in hdm.load().endpoints:
    print("rows", sqlite3.connect(one.host).execute("SELECT count(*) FROM stay").fetchone()[0])
"""
    stage.pack("basic", "python process/main.py\n" + ALL_OK, files={"process/main.py": program})
    stage.activate("mp_basic", place)
    stage.run("mp_basic", sandbox={"mode": "required", "hide": ["/srv"]})
    assert "rows 1" in stage.lines


def test_sandbox_that_is_required_and_missing_runs_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `required`, no metrics are better than an open worker."""
    monkeypatch.setattr(confine, "landlock_abi", lambda: -errno.ENOSYS)
    monkeypatch.setattr(sandbox_support, "_is_filtered", lambda: False)
    stage.pack("basic", f"touch {stage.folder}/ran\n" + ALL_OK)
    stage.activate("mp_basic", HEART)
    with pytest.raises(AirflowFailException, match="a sandbox, but this kernel does not support Landlock"):
        stage.run("mp_basic", sandbox={"mode": "required"})
    assert not (stage.folder / "ran").exists()
    assert stage.run("mp_basic", sandbox={"mode": "auto"})["success"] == 1
    assert "packs can see each other's files: this kernel does not support Landlock" in stage.log


#: Runs the pack mp_basic of a stage in a process with a seccomp profile, such as a container's.
UNDER_PROFILE = """
import ctypes, struct, sys
from pathlib import Path
from types import SimpleNamespace
from tests.airflow.stage import Stage
code = bytes.fromhex(sys.argv[3])
buffer = ctypes.create_string_buffer(code, len(code))
library = ctypes.CDLL(None)
library.prctl(38, 1, 0, 0, 0)
assert library.prctl(22, 2, struct.pack("HP", len(code) // 8, ctypes.addressof(buffer)), 0, 0) == 0
stage = Stage(base=SimpleNamespace(name=""), folder=Path(sys.argv[1]), store=Path(sys.argv[2]))
for mode in ("auto", "required"):
    try:
        stage.run("mp_basic", sandbox={"mode": mode, "write": [sys.argv[1]]})
    except Exception as error:
        print(mode, "error", error)
print(stage.log)
"""


def _profile(numbers: list[int], first: int | None, error: int) -> str:
    """A seccomp program, in hexadecimal, that refuses these calls, if their first argument is as given."""
    refuse, allow = (6, 0, 0, 0x00050000 | error), (6, 0, 0, 0x7FFF0000)
    condition = [] if first is None else [(0x20, 0, 0, 16), (0x15, 1, 0, first), allow]
    rules = [((0x15, 0, len(condition) + 1, number), *condition, refuse) for number in numbers]
    steps = [(0x20, 0, 0, 0), *(step for rule in rules for step in rule), allow]
    return b"".join(struct.pack("=HBBI", *step) for step in steps).hex()


_LANDLOCK = ([444, 445, 446], None)
_FILTERS = ([157 if os.uname().machine == "x86_64" else 167], 22)  # prctl(PR_SET_SECCOMP)
_REFUSED = "a seccomp profile, usually the container's, refuses Landlock"
_ALLOW = "allow landlock_create_ruleset, landlock_add_rule and landlock_restrict_self in it"
_FILES = "packs can see each other's files"
_PRIORITIES = "packs can change the limits and priorities of other processes"


@pytest.mark.parametrize(
    ("error", "calls", "effect", "reason", "remedy"),
    [
        (errno.EPERM, _LANDLOCK, _FILES, _REFUSED, _ALLOW),
        (errno.ENOSYS, _LANDLOCK, _FILES, _REFUSED, _ALLOW),
        (errno.EOPNOTSUPP, _LANDLOCK, _FILES, "Landlock is switched off in this kernel", "parameter lsm"),
        (errno.EPERM, _FILTERS, _PRIORITIES, "a seccomp profile, usually the container's, refuses filters", "prctl"),
    ],
)
def test_log_names_what_keeps_the_sandbox_from_working(
    stage: Stage, error: int, calls: tuple[list[int], int | None], effect: str, reason: str, remedy: str
) -> None:
    """Docker's and Kubernetes' profiles decide which system calls a worker has; a kernel update would not help."""
    stage.pack("basic", f"echo run >> {stage.folder}/runs\n" + ALL_OK)
    stage.activate("mp_basic", HEART)
    command = [sys.executable, "-c", UNDER_PROFILE, str(stage.folder), str(stage.store), _profile(*calls, error)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    logged = next(line for line in lines if line.startswith(f"{effect}: "))
    failed = next(line for line in lines if line.startswith("required error"))
    assert reason in logged
    assert remedy in logged
    assert f"packs must run in a sandbox, but {'this kernel' if 'support Landlock' in logged else reason}" in failed
    assert remedy in done.stdout[done.stdout.index("required error") :]
    assert (stage.folder / "runs").read_text() == "run\n"


def _homes() -> list[str]:
    """Homes that this user can list: that of the account, and root's and the others'."""
    places = {pwd.getpwuid(os.getuid()).pw_dir, "/root", "/home"} - {"/"}
    return [place for place in sorted(places) if os.access(place, os.R_OK)]


def test_homes_are_hidden_wherever_home_points(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service's HOME is often a folder of its own."""
    homes = _homes()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    stage.pack("basic", "".join(f"ls {home} && echo listed {home}\n" for home in homes) + ALL_OK)
    stage.activate("mp_basic", HEART)
    assert stage.run("mp_basic", sandbox={"mode": "required"})["success"] == 1
    assert not [line for line in stage.lines if line.startswith("listed")]
    assert stage.log.count("Permission denied") == len(homes)


def test_build_can_neither_list_homes_nor_change_limits(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs programs of packages."""
    homes = _homes()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    body = """
    import os, resource
    try:
        resource.prlimit({}, resource.RLIMIT_CORE, (0, 0))
        print("limits are open", flush=True)
    except PermissionError:
        print("limits are closed", flush=True)
    for place in {}:
        try:
            print("listed", os.listdir(place), flush=True)
        except PermissionError:
            print("it is closed", flush=True)
    raise SystemExit("that was it")
"""
    stage.pack(
        "basic", ALL_OK, files={"requirements.txt": "./evil\n", **_package("evil", body.format(os.getpid(), homes))}
    )
    stage.activate("mp_basic", HEART)
    with pytest.raises(VenvBuildError) as caught:
        stage.run("mp_basic", sandbox={"mode": "required", "read": []})
    assert str(caught.value).count("it is closed") == len(homes)
    assert "listed" not in str(caught.value)
    assert "limits are closed" in str(caught.value)


@pytest.mark.parametrize("grouped", [True, False], ids=["group", "counting"])
@pytest.mark.parametrize(
    ("limits", "script", "reason"),
    [
        (
            {"memory": "200 MB"},
            "python -c \"import time; held = b'x' * 400_000_000; time.sleep(30)\"",
            r"stopped: the pack used [2-9]\d\d.\d MB of memory; the limit is 200.0 MB \(limits.memory\)",
        ),
        (
            {"memory": "200 MB"},
            "for i in 1 2 3; do python -c \"import time; x = b'x' * 90_000_000; time.sleep(30)\" & done; wait",
            r"stopped: the pack used \d+.\d MB of memory; the limit is 200.0 MB \(limits.memory\)",
        ),
        (
            {"memory": "200 MB"},
            "python -c \"import mmap, time; m = mmap.mmap(-1, 4 << 27); m.write(b'x' * (3 << 27)); time.sleep(30)\"",
            r"stopped: the pack used \d+.\d MB of memory; the limit is 200.0 MB \(limits.memory\)",
        ),
        (
            {"memory": "200 MB"},
            "python -c \"import os, time; os.posix_fallocate(os.memfd_create('m'), 0, 4 << 27); time.sleep(30)\"",
            r"stopped: the pack used [2-5]\d\d.\d MB of memory; the limit is 200.0 MB \(limits.memory\)",
        ),
        (
            {"cpu": 1},
            "(while true; do :; done) & while true; do :; done",
            r"stopped: the pack used \d s of processor time; the limit is 1 \(limits.cpu\)",
        ),
        (
            {"disk": "20 MB"},
            "for i in $(seq 1000); do head -c 1000000 /dev/zero > $TMPDIR/$i || exit; sleep 0.01; done",
            r"stopped: the pack used \d+.\d MB of disk; the limit is 20.0 MB \(limits.disk\)",
        ),
        (
            {"disk": "20 MB"},
            "ulimit -f 1; exec head -c 40000000 /dev/zero > file",
            r"exit code 153 \(SIGXFSZ: a file grew beyond its limit\)",
        ),
        (
            {"disk": "20 MB"},
            "exec 3>a 4>b; rm a b; head -c 15000000 /dev/zero >&3; head -c 15000000 /dev/zero >&4; sleep 30",
            r"stopped: the pack used 30.\d MB of disk; the limit is 20.0 MB \(limits.disk\)",
        ),
        (
            {"disk": "20 MB"},
            "name=$(printf 'x%.0s' {1..200}); for i in $(seq 30); do mkdir $name; cd -P $name; done; sleep 30",
            r"stopped: the pack created folders whose paths are too long to measure \(limits.disk\)",
        ),
        (
            {"processes": 50},
            'python -c "import os, time; [os.fork() or os._exit(0) for _ in range(400)]; time.sleep(30)"',
            r"stopped: the pack used \d+ processes at a time; the limit is 50 \(limits.processes\)",
        ),
        (
            {"processes": 50},
            "python -c 'import threading, time\nfor _ in [1] * 400: threading.Timer(30, print).start()'",
            r"stopped: the pack used \d+ processes at a time; the limit is 50 \(limits.processes\)",
        ),
        (
            {"processes": 50},
            "for i in $(seq 400); do sleep 60 & done; wait",
            r"stopped: the pack used \d+ processes at a time; the limit is 50 \(limits.processes\)",
        ),
    ],
    ids=[
        "memory",
        "memory of several",
        "shared memory",
        "files in memory",
        "cpu",
        "disk",
        "one file",
        "removed files",
        "long paths",
        "dead processes",
        "threads",
        "processes",
    ],
)
def test_pack_that_exceeds_a_limit_is_ended_and_the_task_names_the_limit(
    stage: Stage,
    pids: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limits: dict[str, object],
    script: str,
    reason: str,
    grouped: bool,
) -> None:
    """It shares the worker with other tasks."""
    if not grouped:
        monkeypatch.setattr(cgroup_tree, "parents", list)
    stage.pack("basic", f"echo $$ > {pids}\n{script}\n")
    stage.activate("mp_basic", HEART)
    with pytest.raises(PackFailedError, match=reason):
        stage.run("mp_basic", limits=limits)
    assert alive(pids) == []
    assert not left_behind(tmp_path)
    assert stage.ledger("mp_basic")[0] == ("heart", "failed")


def test_open_files_are_limited_and_no_core_file_is_written(stage: Stage) -> None:
    """A core file would contain data and passwords."""
    stage.pack("basic", "echo files $(ulimit -n) core $(ulimit -c)\n" + ALL_OK, limits={"files": 40})
    stage.activate("mp_basic", HEART)
    stage.run("mp_basic", limits={"files": 100})
    assert "files 40 core 0" in stage.lines
    stage.pack("basic", "echo files $(ulimit -n)\n" + ALL_OK, limits={"files": 400})
    stage.run("mp_basic", limits={"files": 100})
    assert "files 100" in stage.lines  # a manifest can lower the limit, not raise it


def test_output_beyond_its_limit_is_left_out_and_counted(stage: Stage) -> None:
    """A full log folder stops every task of the worker; the metrics are valid anyway."""
    stage.pack("basic", "seq 1 1000000\n" + ALL_OK)
    stage.activate("mp_basic", HEART)
    assert stage.run("mp_basic", limits={"output": "1 MB"})["success"] == 1
    assert "the output is truncated here: the limit is 1,000,000 bytes (limits.output)" in stage.lines
    assert sum(map(len, stage.lines)) < 1_100_000
    assert any(line.endswith("bytes of output were dropped") for line in stage.lines)


def test_one_line_of_a_gigabyte_is_survived(stage: Stage) -> None:
    """The task's memory does not grow with it."""
    import resource

    stage.pack("basic", "head -c 1000000000 /dev/zero | tr '\\0' 'x'\n" + ALL_OK)
    stage.activate("mp_basic", HEART)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert stage.run("mp_basic", limits={})["success"] == 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes
    assert "bytes of this line dropped" in max(stage.lines, key=len)[-100:]
