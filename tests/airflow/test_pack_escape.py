"""Packs that try to escape from their guard, or to obstruct it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from hdm_airflow.errors import PackFailedError
from hdm_airflow.runner.processes import child
from tests.airflow.processes import alive, eventually
from tests.airflow.stage import REPORT_ALL, endpoint

if TYPE_CHECKING:
    from pathlib import Path

    from tests.airflow.stage import Stage

HEART = endpoint("heart")
ALL_OK = REPORT_ALL.format("ok")
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


def test_process_that_forks_and_ends_all_the_time_does_not_escape(stage: Stage, tmp_path: Path) -> None:
    """No list of processes contains the one that lives when the list is complete."""
    sign = tmp_path / "sign"
    script = f"python process/hopper.py {sign}\nwhile [ ! -e {sign} ]; do sleep 0.05; done\n"
    stage.pack("basic", script + ALL_OK, files={"process/hopper.py": HOPPER})
    stage.activate("mp_basic", HEART)
    assert stage.run("mp_basic")["success"] == 1
    last = sign.read_text()
    time.sleep(0.5)
    assert sign.read_text() == last
    assert any("that the pack left running" in line for line in stage.lines)


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
    assert not list((tmp_path / "tmp").iterdir())
