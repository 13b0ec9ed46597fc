"""Control groups: the kernel counts, limits and ends everything that a program starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hdm_airflow.packs.limits import Limits
from hdm_airflow.runner.processes import cgroup, cgroup_tree, sandbox_support
from hdm_airflow.runner.processes.sandbox import Grants
from tests.airflow.processes import alive
from tests.integration.guard_harness import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

needed = pytest.mark.usefixtures("can_group")
_UNIFIED = Path("/sys/fs/cgroup/unified")
if Path("/sys/fs/cgroup/cgroup.procs").exists():
    _UNIFIED = Path("/sys/fs/cgroup")


@pytest.fixture
def can_group(require: Callable[[str, str | None], None]) -> None:
    """Control groups can be made."""
    require("integration", None if cgroup_tree.parents() else "no control group can be made on this machine")


@pytest.fixture
def version_two(require: Callable[[str, str | None], None], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let groups be made in version 2, even where version 1 has the controllers."""
    writable = os.access(_UNIFIED / "cgroup.procs", os.W_OK)
    require("integration", None if writable else "no control group of version 2 can be made on this machine")
    monkeypatch.setattr(cgroup_tree, "parents", lambda: [str(_UNIFIED)])
    return _UNIFIED


def groups() -> Iterator[Path]:
    """All groups of programs that exist now."""
    for parent in cgroup_tree.parents():
        yield from Path(parent).glob("hdm-*")


def test_files_are_where_the_kernel_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers see a part of the tree, under another path than the host."""
    own = {"pids": "/docker/4711/job", "memory": "/elsewhere", "": "/a/b"}
    mounts = {"pids": ("/docker/4711", "/sys/fs/cgroup/pids"), "memory": ("/docker/4711", "/sys/fs/cgroup/memory")}
    assert cgroup_tree._place("pids", own, mounts) == "/sys/fs/cgroup/pids/job"
    assert cgroup_tree._place("memory", own, mounts) == ""
    assert cgroup_tree._place("", own, mounts) == ""
    assert cgroup_tree._place("", own, {"": ("/", "/sys/fs/cgroup")}) == "/sys/fs/cgroup/a/b"
    assert cgroup_tree._place("", {"": "/"}, {"": ("/", "/sys/fs/cgroup")}) == "/sys/fs/cgroup"
    monkeypatch.setattr(cgroup_tree, "_own_groups", lambda: {"": "/a/b"})
    monkeypatch.setattr(cgroup_tree, "_mounts", lambda: {"": ("/", "/nowhere")})
    assert cgroup_tree.parents() == []
    assert cgroup_tree.create({}) is None


@pytest.mark.parametrize("delegated", [True, False])
def test_group_above_our_own_is_used_only_if_it_was_handed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delegated: bool
) -> None:
    """Anywhere else, runs would escape the limits of the worker itself."""
    own = tmp_path / "airflow.service" / "worker"
    own.mkdir(parents=True)
    if delegated:
        os.setxattr(own.parent, "user.delegate", b"1")
    files = {"controllers": "cpu memory pids", "subtree_control": "pids", "type": "domain", "procs": ""}
    for name, text in files.items():
        (own.parent / f"cgroup.{name}").write_text(text)
    monkeypatch.setattr(cgroup_tree, "_own_groups", lambda: {"": "/airflow.service/worker"})
    monkeypatch.setattr(cgroup_tree, "_mounts", lambda: {"": ("/", str(tmp_path))})
    assert cgroup_tree.parents() == [str(own.parent if delegated else own)]
    handed = (own.parent / "cgroup.subtree_control").read_text()
    assert handed.startswith("+memory" if delegated else "pids")


def test_group_that_has_processes_itself_hands_nothing_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel would accept `pids`, and then let no process into a new group below; so every run would fail."""
    files = {"controllers": "cpu memory pids", "subtree_control": "", "type": "domain", "procs": "4711\n"}
    for name, text in files.items():
        (tmp_path / f"cgroup.{name}").write_text(text)
    monkeypatch.setattr(cgroup_tree, "_own_groups", lambda: {"": "/"})
    monkeypatch.setattr(cgroup_tree, "_mounts", lambda: {"": ("/", str(tmp_path))})
    assert cgroup_tree.parents() == [str(tmp_path)]
    assert not (tmp_path / "cgroup.subtree_control").read_text()
    (tmp_path / "cgroup.type").unlink()  # the topmost group may have both
    assert cgroup_tree.parents() == [str(tmp_path)]
    assert (tmp_path / "cgroup.subtree_control").read_text()


def test_program_starts_where_no_process_can_enter_a_new_group(
    version_two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group that is divided by threads accepts new groups, but no process in them."""
    own = version_two / f"test-{os.getpid()}"
    (own / "threads").mkdir(parents=True)
    try:
        (own / "threads" / "cgroup.type").write_text("threaded")
        monkeypatch.setattr(cgroup_tree, "parents", lambda: [str(own)])
        result, lines = run("echo started", tmp_path)
        assert (result.exit_code, result.end_reason, lines) == (0, "exit", ["started"])
        assert [path.name for path in own.iterdir() if path.is_dir()] == ["threads"]
    finally:
        (own / "threads").rmdir()
        own.rmdir()


def test_counts_of_version_two_leave_out_page_cache(tmp_path: Path) -> None:
    """A file that was read stays in memory as long as nothing else needs it."""
    stat = "anon 100\nfile 5000\nkernel 70\nshmem 10\nsock 3\nslab_reclaimable 20\n"
    files = {
        "cgroup.procs": "", "cgroup.events": "populated 0\n", "memory.stat": stat, "memory.swap.current": "7\n",
        "memory.peak": "900\n", "memory.events": "low 0\nhigh 0\nmax 9\noom 0\noom_kill 0\n",
        "pids.current": "17\n", "pids.peak": "39\n", "pids.max": "43\n", "pids.events": "max 1\n",
        "cpu.stat": "usage_usec 1500000\nuser_usec 1\n", "cgroup.kill": "",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    group = cgroup.Cgroup([str(tmp_path)], {"processes": 10, "memory": 500})
    assert group.used() == {"memory": 100 + 10 + 3 + 70 - 20 + 7, "processes": 17, "cpu": 1.5}
    assert group.enforced() == {}  # a group above refused, and page cache reached the limit
    (tmp_path / "pids.peak").write_text("43\n")
    (tmp_path / "memory.events").write_text("max 9\noom 1\noom_kill 2\n")
    assert group.enforced() == {"processes": 11, "memory": 900}
    group.kill()
    assert ((tmp_path / "cgroup.kill").read_text(), (tmp_path / "pids.max").read_text()[0]) == ("1", "0")
    group.close()


@needed
def test_memory_that_is_taken_faster_than_the_guard_looks_is_the_limits_fault(tmp_path: Path) -> None:
    """The kernel kills a process, and the pack would look as if someone had done so with signal 9."""
    grab = "python -c \"b'x' * 900_000_000\""
    for script in (f"exec {grab}", f"{grab}; exit 0"):
        result, _ = run(script, tmp_path, limits=Limits(memory=50_000_000))
        assert result.end_reason == "limit"
        assert result.limit_exceeded.endswith("MB of memory; the limit is 50.0 MB (limits.memory)")


@needed
def test_page_cache_is_not_memory_of_the_pack(tmp_path: Path) -> None:
    """A pack that reads and writes large files uses no more memory than others."""
    script = "head -c 600000000 /dev/zero > file; cat file file > /dev/null; rm file"
    result, lines = run(script, tmp_path, limits=Limits(memory=50_000_000))
    assert (result.end_reason, result.exit_code, lines) == ("exit", 0, [])


@needed
def test_group_is_gone_after_the_run_and_the_pack_was_in_it(tmp_path: Path) -> None:
    """Thousands of runs a day must not leave thousands of groups."""
    result, lines = run("cat /proc/self/cgroup; sleep 0.3", tmp_path)
    assert result.exit_code == 0
    names = {line.rsplit("/", 1)[1] for line in lines if "/hdm-" in line}
    assert len(names) == 1
    assert not {path.name for path in groups()} & names


@needed
def test_pack_in_the_sandbox_can_neither_leave_its_group_nor_change_it(
    tmp_path: Path, require: Callable[[str, str | None], None]
) -> None:
    """Otherwise no limit would hold."""
    require("integration", None if sandbox_support.available() else "this kernel does not support Landlock")
    parent = cgroup_tree.parents()[0]
    script = f"""
    group=$(ls -d {parent}/hdm-*-{os.getpid()}-*)
    echo $$ > {parent}/cgroup.procs || echo cannot leave
    echo max > $group/pids.max || echo cannot raise
    mkdir $group/mine || echo cannot divide
    rmdir $group || echo cannot remove
    """
    seen = Grants(
        read=("/usr", "/etc", "/lib", "/lib64", "/bin", "/sys", "/proc", "/root"), write=(str(tmp_path), "/dev")
    )
    _, lines = run(script, tmp_path, limits=Limits(processes=50), grants=seen)
    assert {"cannot leave", "cannot raise", "cannot divide", "cannot remove"} <= set(lines), lines


@needed
def test_daemon_without_variables_does_not_outlive_a_killed_guard(tmp_path: Path) -> None:
    """Nothing but its group says to which run it belongs."""
    pids = tmp_path / "pids"
    daemon = f"setsid env -i bash -c 'echo $$ > {pids}; exec sleep 30' & while [ ! -s {pids} ]; do sleep 0.05; done"
    result, _ = run(f"{daemon}; kill -9 $PPID; sleep 30", tmp_path)
    assert (result.exit_code, result.end_reason) == (128 + signal.SIGKILL, "exit")
    assert alive(pids) == []


@needed
def test_group_whose_task_and_guard_were_killed_is_ended_by_the_next_run(tmp_path: Path) -> None:
    """A lock on the group says whether one of them still lives."""
    program = (
        "import sys, time; sys.path.insert(0, sys.argv[1])\nfrom hdm_airflow.runner.processes import cgroup_tree\n"
    )
    program += "cgroup_tree.time.time = lambda: 1e9\ngroup = cgroup_tree.create({})\npid = group.fork()\n"
    program += "if not pid:\n    group.enter(); group.close(); time.sleep(30)\nprint(pid, flush=True)\ntime.sleep(30)\n"
    root = str(Path(__file__).parents[2])
    task = subprocess.Popen([sys.executable, "-c", program, root], stdout=subprocess.PIPE, text=True)
    assert task.stdout is not None
    (tmp_path / "pids").write_text(task.stdout.readline())
    time.sleep(0.2)
    run("true", tmp_path)
    assert len(alive(tmp_path / "pids")) == 1  # its task lives
    task.kill()
    task.wait()
    task.stdout.close()
    run("true", tmp_path)
    assert alive(tmp_path / "pids") == []
    assert not [path for path in groups() if path.name.startswith("hdm-1000000000-")]


def test_program_starts_and_ends_in_a_group_of_version_two(version_two: Path, tmp_path: Path) -> None:
    """It is in the group from its first moment, and one write of the guard ends all."""
    pids = tmp_path / "pids"
    stubborn = f"trap '' TERM; echo $$ >> {pids}; while true; do sleep 0.1; done"
    script = (
        f"grep ^0:: /proc/self/cgroup; (setsid env -i bash -c '{stubborn}' &); until [ -s {pids} ]; do sleep 0.05; done"
    )
    result, lines = run(script, tmp_path)
    assert (result.exit_code, result.end_reason) == (0, "exit")
    assert lines[0].startswith("0::/hdm-")
    assert lines[1:] == ["hdm: ended 2 process(es) that the pack left running"]
    assert alive(pids) == []
    pids.unlink()
    result, _ = run(f"{script}; kill -9 $PPID; sleep 30", tmp_path)
    assert (result.exit_code, result.end_reason) == (128 + signal.SIGKILL, "exit")
    assert alive(pids) == []
    result, _ = run("while true; do :; done", tmp_path, limits=Limits(cpu=1))
    assert result.end_reason == "limit"
    assert not list(version_two.glob(f"hdm-*-{os.getpid()}-*"))
