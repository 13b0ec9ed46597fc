"""The guard counts what a program uses however it hides that, and ends it even if it starts processes without end."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hdm_airflow.packs.limits import Limits
from hdm_airflow.runner.processes import cgroup_tree, janitor
from hdm_airflow.runner.processes.child import Child
from tests.airflow.processes import alive
from tests.integration import guard_harness
from tests.integration.guard_harness import WAYS, run, segments

if TYPE_CHECKING:
    from collections.abc import Callable

MEMORY = Limits(memory=200_000_000, processes=100)
#: Creates System V shared memory, fills it, and detaches it: no process has it any more.
SEGMENT = """
import ctypes, sys, time
libc = ctypes.CDLL(None)
libc.shmat.restype, libc.shmat.argtypes = ctypes.c_void_p, (ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
libc.shmdt.argtypes = ctypes.c_void_p,
libc.shmget.argtypes = ctypes.c_int, ctypes.c_size_t, ctypes.c_int
number = libc.shmget(0, int(sys.argv[1]), 0o1600)
place = libc.shmat(number, None, 0)
for at in range(0, int(sys.argv[1]), 1 << 20):
    ctypes.memset(place + at, 1, min(1 << 20, int(sys.argv[1]) - at))
libc.shmdt(place)
print("segment", number, flush=True)
time.sleep(float(sys.argv[2]))
"""
#: Sends files in memory to itself over a socket, and closes them.
IN_FLIGHT = """
import os, socket, time
here, there = socket.socketpair()
for _ in range(6):
    number = os.memfd_create("x")
    os.posix_fallocate(number, 0, 50_000_000)
    socket.send_fds(here, [b"x"], [number])
    os.close(number)
time.sleep(30)
"""
#: Maps two files, removes their names if they have any, and closes them.
MAPPED = """
import mmap, os, sys, time
held = []
for name in ("one", "two"):
    number = os.memfd_create(name) if sys.argv[1] == "memory" else os.open(name, os.O_RDWR | os.O_CREAT)
    for _ in range(15):
        os.write(number, b"x" * 10_000_000)
    held.append(mmap.mmap(number, 150_000_000))
    if sys.argv[1] == "disk":
        os.unlink(name)
for number in range(3, 20):  # Python's mmap has a descriptor of its own
    try:
        os.close(number)
    except OSError:
        continue
time.sleep(30)
"""
#: Writes a file in memory, closes it, and leaves it there.
CLOSED = """
import os, sys, time
with open("/dev/shm/hdm-test-" + str(os.getppid()), "wb") as file:
    for _ in range(30):
        file.write(b"x" * 10_000_000)
        time.sleep(0.02)
time.sleep(30)
"""
#: Lets children use the processor that nobody waits for.
UNWAITED = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in range(20):
    if not os.fork():
        end = time.process_time() + 0.6
        while time.process_time() < end:
            pass
        os._exit(0)
    time.sleep(0.8)
time.sleep(30)
"""
#: Starts a bounded number of sleepers next to loops that keep the processors busy.
SLEEPERS = """
import os, sys, time
for _ in range(8):
    if not os.fork():
        os.setsid() if sys.argv[2] == "alone" else None
        end = time.monotonic() + 40
        while time.monotonic() < end:
            pass
        os._exit(0)
for _ in range(int(sys.argv[1])):
    try:
        if not os.fork():
            os.setsid() if sys.argv[2] == "alone" else None
            time.sleep(40)
            os._exit(0)
    except OSError:
        time.sleep(0.01)
time.sleep(40)
"""


@pytest.fixture(autouse=True)
def root(require: Callable[[str, str | None], None]) -> None:
    """Guards use its rights."""
    is_root = sys.platform == "linux" and os.getuid() == 0
    require("integration", None if is_root else "needs root on Linux")


@pytest.fixture
def groups(require: Callable[[str, str | None], None]) -> None:
    """Control groups can be made."""
    require("integration", None if cgroup_tree.parents() else "no control group can be made on this machine")


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How guards work in this test."""
    name = str(request.param)
    if name == "group":
        request.getfixturevalue("groups")
    guard_harness.go(name, monkeypatch)
    return name


def test_shared_memory_that_no_process_has_any_more_counts_and_does_not_stay(way: str, tmp_path: Path) -> None:
    """It stayed after the run, where other packs could read it."""
    (tmp_path / "segment.py").write_text(SEGMENT)
    large, small = 300_000_000 + os.getpid(), 1_000_000 + os.getpid()  # tests may run next to each other
    result, lines = run(f"python segment.py {large} 30", tmp_path, limits=MEMORY)
    assert result.end_reason == "limit", lines
    assert result.limit_exceeded.startswith("the pack used ")
    assert result.limit_exceeded.endswith("MB of memory; the limit is 200.0 MB (limits.memory)")
    for limits in (MEMORY, Limits()):
        result, lines = run(f"python segment.py {small} 1", tmp_path, limits=limits)
        assert (result.end_reason, lines[0].split()[0]) == ("exit", "segment")
    assert not {large, small} & segments().keys()


def test_segment_of_another_run_is_left_alone(way: str, tmp_path: Path) -> None:
    """Two runs of one user differ only by their processes."""
    (tmp_path / "segment.py").write_text(SEGMENT)
    sizes = [2_000_000 + os.getpid(), 3_000_000 + os.getpid()]
    command = [sys.executable, "segment.py"]
    subprocess.run([*command, str(sizes[0]), "0"], cwd=tmp_path, check=True)
    with subprocess.Popen([*command, str(sizes[1]), "2"], cwd=tmp_path):
        result, _ = run("sleep 1.5", tmp_path, limits=MEMORY)
    assert result.exit_code == 0
    found = segments()
    for size in sizes:
        subprocess.run(["ipcrm", "-m", found[size]], check=True)


@pytest.mark.usefixtures("groups")
def test_files_in_memory_on_their_way_through_a_socket_count_in_a_group(tmp_path: Path) -> None:
    """No process has them, so counting cannot find them."""
    (tmp_path / "in_flight.py").write_text(IN_FLIGHT)
    result, lines = run("python in_flight.py", tmp_path, limits=MEMORY)
    assert result.end_reason == "limit", lines


@pytest.mark.parametrize(("kind", "limits"), [("memory", MEMORY), ("disk", Limits(disk=200_000_000))])
def test_file_that_is_only_mapped_counts(way: str, tmp_path: Path, kind: str, limits: Limits) -> None:
    """It has no name and no descriptor any more."""
    (tmp_path / "mapped.py").write_text(MAPPED)
    result, lines = run(f"python mapped.py {kind}", tmp_path, limits=limits)
    assert (result.end_reason, lines) == ("limit", [])
    assert f"MB of {kind}; the limit is 200.0 MB" in result.limit_exceeded


def test_file_left_in_shared_memory_counts(way: str, tmp_path: Path) -> None:
    """It takes memory although no process has it open."""
    (tmp_path / "closed.py").write_text(CLOSED)
    try:
        result, lines = run("python closed.py", tmp_path, limits=MEMORY)
    finally:
        for path in Path("/dev/shm").glob("hdm-test-*"):  # noqa: S108  # the program's
            path.unlink()
    assert (result.end_reason, lines) == ("limit", [])


def test_processor_time_of_children_that_nobody_waits_for_counts(way: str, tmp_path: Path) -> None:
    """The kernel adds a child's time to its parent's only if that waits for it."""
    (tmp_path / "unwaited.py").write_text(UNWAITED)
    began = time.monotonic()
    result, lines = run("python unwaited.py", tmp_path, limits=Limits(cpu=2))
    assert (result.end_reason, lines) == ("limit", [])
    assert "s of processor time; the limit is 2" in result.limit_exceeded
    assert time.monotonic() - began < 25


@pytest.mark.parametrize("together", ["together", "alone"])
def test_thousands_of_processes_next_to_busy_loops_are_ended_in_seconds(
    way: str, tmp_path: Path, together: str
) -> None:
    """The guard starved, while the pack went on forking for minutes."""
    (tmp_path / "sleepers.py").write_text(SLEEPERS)
    began = time.monotonic()
    result, lines = run(f"python $HERE/sleepers.py 3000 {together}", tmp_path, limits=Limits(processes=300))
    assert result.end_reason == "limit", (result, lines)
    assert "processes at a time; the limit is 300" in result.limit_exceeded
    assert time.monotonic() - began < 30  # seconds on a busy machine; the processes themselves last 40
    assert not [one for one in Path("/proc").glob("[0-9]*") if f"{tmp_path}/sleepers.py" in _command(one)]


def _command(process: Path) -> list[str]:
    try:
        return (process / "cmdline").read_text().split("\0")
    except OSError:  # it has just ended
        return []


def test_guard_is_scheduled_before_the_pack(way: str, tmp_path: Path) -> None:
    """Among thousands of processes, it would not get to count them; the pack does not inherit this."""
    found: set[int] = set()
    script = "python -c 'import os; print(os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0))'; sleep 1"
    _, lines = run(script, tmp_path, heartbeat=lambda guard: found.add(os.sched_getscheduler(guard)))
    nice = os.getpriority(os.PRIO_PROCESS, 0) + (5 if way == "plain" else 0)
    assert lines == [f"{os.SCHED_OTHER} {nice}"]
    assert ((os.SCHED_RR | os.SCHED_RESET_ON_FORK) in found) == (way != "plain")


@pytest.mark.parametrize("blinded", ["from outside", "by itself", "at the last moment"])
def test_blind_guard_never_ends_green(way: str, tmp_path: Path, blinded: str) -> None:
    """With no descriptor left, a guard cannot read /proc; a daemon lived on, and the task was green."""
    pids = tmp_path / "pids"
    blind = 'python -c "import os, resource; resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (0, 0))"'
    daemon = f"setsid env -i bash -c 'echo $$ > {pids}; exec sleep 60' & while [ ! -s {pids} ]; do sleep 0.05; done; "
    script = {
        "from outside": daemon + "sleep 4",
        "by itself": daemon + f'exec {blind[:-1]}; import time; time.sleep(4)"',
        "at the last moment": daemon + f"exec {blind}",
    }[blinded]

    def interfere(guard: int) -> None:
        if blinded == "from outside" and pids.exists() and pids.read_text():
            with suppress(ProcessLookupError):  # it has ended
                resource.prlimit(guard, resource.RLIMIT_NOFILE, (0, 0))

    result, lines = run(script, tmp_path, limits=Limits(processes=50), heartbeat=interfere)
    assert result.end_reason == "unguarded", (result, lines)
    assert any("/proc cannot be read" in line for line in lines)
    assert alive(pids) == []


def test_guard_that_is_stopped_while_it_asks_for_help_does_not_hold_up_the_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pack without the sandbox can do both; the task waited without a time limit."""
    monkeypatch.setattr(cgroup_tree, "parents", list)
    monkeypatch.setattr("hdm_airflow.runner.processes.child._OVERDUE", 1.0)
    kill_descendants = Child._kill_descendants

    def stop(child: Child) -> None:
        os.kill(child._process.pid, signal.SIGSTOP)
        kill_descendants(child)

    monkeypatch.setattr(Child, "_kill_descendants", stop)
    blind = "import os, resource; resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (0, 0))"
    script = f'setsid env -i sleep 60 & exec python -c "{blind}"'
    began = time.monotonic()
    result, _ = run(script, tmp_path, limits=Limits(processes=50))
    assert result.end_reason == "unguarded"
    assert time.monotonic() - began < 20


def test_task_with_over_a_thousand_open_files_runs_packs(tmp_path: Path) -> None:
    """The guard inherits a descriptor of the task process, under the same number."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], 2_000), before[1]))
    opened: list[int] = []
    try:
        opened += (os.open(os.devnull, os.O_RDONLY) for _ in range(1_100))
        result, lines = run("echo started", tmp_path)
        assert (result.exit_code, result.end_reason, lines) == (0, "exit", ["started"])
        folder = tmp_path / "folder"
        folder.mkdir()
        janitor.remove([folder])
        assert not folder.exists()
    finally:
        for descriptor in opened:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
