"""Packs that try to escape from their guard, or to obstruct it."""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hdm_airflow.errors import PackFailedError
from hdm_airflow.runner.processes import cgroup_tree, child, confine, sandbox_support
from tests.airflow.processes import alive, eventually
from tests.airflow.stage import REPORT_ALL, endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.airflow.stage import Stage

HEART = endpoint("heart")
ALL_OK = REPORT_ALL.format("ok")
SIGNALS_ABI = 6  # of Landlock: from this one on, it refuses signals
OPEN = {"mode": "off"}  # as on a kernel without Landlock: a pack can signal its guard
#: Moves from process to process, each of which lives shorter than one reading of /proc takes.
HOPPER = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
end, hops = time.time() + 10, 0
while time.time() < end:
    if os.fork():
        os._exit(0)
    os.setsid()
    hops += 1
    if hops % 20 == 0:
        open(sys.argv[1], "w").write(str(hops))
"""


@pytest.mark.parametrize("grouped", [True, False], ids=["group", "counting"])
def test_process_that_forks_and_ends_all_the_time_does_not_escape(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, grouped: bool
) -> None:
    """No list of processes contains the one that lives when the list is complete."""
    if not grouped:
        monkeypatch.setattr(cgroup_tree, "parents", list)
    sign = tmp_path / "sign"
    script = f"python process/hopper.py {sign}\nwhile [ ! -e {sign} ]; do sleep 0.05; done\n"
    stage.pack("basic", script + ALL_OK, files={"process/hopper.py": HOPPER})
    stage.activate("mp_basic", HEART)
    assert stage.run("mp_basic")["success"] == 1
    last = sign.read_text()
    time.sleep(0.5)
    assert sign.read_text() == last
    assert any("that the pack left running" in line for line in stage.lines)


@pytest.mark.parametrize("grouped", [True, False], ids=["group", "counting"])
def test_pack_that_blinds_its_guard_is_never_green(
    stage: Stage, pids: Path, monkeypatch: pytest.MonkeyPatch, grouped: bool
) -> None:
    """The guard saw no processes and reported success, while a daemon lived on and could change what was reported."""
    if not grouped:
        monkeypatch.setattr(cgroup_tree, "parents", list)
    blind = "import os, resource; resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (0, 0))"
    daemon = f"setsid env -i bash -c 'echo $$ > {pids}; exec sleep 60' &\nwhile [ ! -s {pids} ]; do sleep 0.05; done\n"
    stage.pack("basic", f'{ALL_OK}{daemon}exec python -c "{blind}"\n')
    stage.activate("mp_basic", HEART)
    with pytest.raises(PackFailedError, match="its processes could not be watched or stopped"):
        stage.run("mp_basic", sandbox=OPEN)
    assert "the guard could not watch the pack: /proc cannot be read" in stage.log
    assert stage.ledger("mp_basic")[-1] == ("heart", "failed")
    assert alive(pids) == []


@pytest.mark.parametrize("writer", ["yes", "setsid env -i timeout 5 yes"])
def test_task_does_not_read_for_ever_what_processes_without_a_guard_write(stage: Stage, writer: str) -> None:
    """This includes processes that the task cannot find because they dropped their variables."""
    stage.pack("basic", f"for i in 1 2 3; do {writer} & done; sleep 0.2; kill -9 $PPID; sleep 60\n")
    stage.activate("mp_basic", HEART)
    with pytest.raises(PackFailedError, match="exit code 137"):
        stage.run("mp_basic", sandbox=OPEN, limits={"output": 1_000_000})


def test_pack_that_stops_its_guard_is_ended_all_the_same(
    stage: Stage, pids: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped guard reads no messages; only SIGKILL reaches it."""
    monkeypatch.setattr(child, "_OVERDUE", 1.0)
    stage.pack("basic", f"echo $$ > {pids}; kill -STOP $PPID; sleep 60\n", timeout=2)
    stage.activate("mp_basic", HEART)
    began = time.monotonic()
    with pytest.raises(PackFailedError, match="stopped after its timeout of 2 s"):
        stage.run("mp_basic", sandbox=OPEN)
    assert time.monotonic() - began < 30
    assert eventually(lambda: alive(pids) == [])


def test_folders_deeper_than_python_can_go_are_removed(stage: Stage, tmp_path: Path) -> None:
    """Otherwise every later run on the worker would fail to sweep them."""
    deep = """
import os
for number in range(3000):
    os.mkdir("d")
    os.chdir("d")
"""
    stage.pack("basic", "python process/deep.py\n" + ALL_OK, files={"process/deep.py": deep})
    stage.activate("mp_basic", HEART)
    assert stage.run("mp_basic")["success"] == 1
    assert eventually(lambda: not list((tmp_path / "tmp").iterdir()))  # the janitor may still be at work


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the same user, outside the sandbox."""
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as process:  # pids of its own
        yield process
        process.kill()


def test_intruder_reaches_neither_processes_nor_files_outside(
    stage: Stage, tmp_path: Path, victim: subprocess.Popen[bytes], require: object
) -> None:
    """More than a hundred attempts, and again with all capabilities of a user namespace."""
    lacking = sandbox_support.shortcoming()
    require("airflow", str(lacking) if lacking else None)  # type: ignore[operator]  # a fixture, typed as an object
    outside, visible = tmp_path / "outside", tmp_path / "visible"
    for folder in (outside, visible):
        folder.mkdir()
        (folder / "secret").write_text("text of others")
        (folder / "secret").chmod(0o700)
    before = _state(victim.pid), _state(os.getpid()), *map(_file, (outside, visible))
    program = Path(__file__).with_name("intruder.py").read_text("utf-8")
    script = f"python process/main.py {victim.pid} {visible}/secret {outside}\n"
    stage.pack("basic", script + ALL_OK, files={"process/main.py": program})
    stage.activate("mp_basic", HEART)
    assert stage.run("mp_basic", sandbox={"mode": "required", "read": [str(visible)]})["success"] == 1
    assert "all tried: plain" in stage.lines
    assert {"all tried: user namespace", "no user namespace"} & set(stage.lines)
    done = {line.split()[1] for line in stage.lines if line.startswith("done ")}
    if confine.landlock_abi() < SIGNALS_ABI:
        assert done <= {
            "kill",
            "killpg",
            "tkill",
            "tgkill",
            "rt_sigqueueinfo",
            "rt_tgsigqueueinfo",
            "pidfd_send_signal",
        }
    else:
        assert not done
        assert victim.poll() is None
        assert before == (_state(victim.pid), _state(os.getpid()), *map(_file, (outside, visible)))


def _file(folder: Path) -> list[object]:
    """What others could change of a folder's only file."""
    file = folder / "secret"
    with file.open("rb") as opened:
        flags = fcntl.ioctl(opened, 0x80086601, bytes(8)) if sys.platform == "linux" else b""
    return [list(folder.iterdir()), file.stat().st_ctime_ns, file.read_text(), os.listxattr(file), flags]


def _state(process: int) -> list[object]:
    """What others of the same user could change of a process."""
    get_input_priority = 252 if os.uname().machine == "x86_64" else 31  # ioprio_get
    return [
        [resource.prlimit(process, number) for number in range(16)],
        os.getpriority(os.PRIO_PROCESS, process),
        ctypes.CDLL(None).syscall(get_input_priority, 1, process),
        [os.sched_getaffinity(process), os.sched_getscheduler(process)],
        Path(f"/proc/{process}/oom_score_adj").read_text(),
    ]
