"""A child process and its output: read until the guard has spoken, and then no more than the pipe holds."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hdm_airflow.packs.limits import Limits
from hdm_airflow.runner.masking import Masker
from hdm_airflow.runner.processes import cgroup_tree, guard
from hdm_airflow.runner.processes.child import Child, ChildResult
from hdm_airflow.runner.processes.sandbox import Confinement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="outside Linux the guard ends its process group alone")


def run(script: str, folder: Path, *, limits: Limits | None = None) -> tuple[ChildResult, list[str], list[float]]:
    """The result of a script, its output, and the times of the heartbeats."""
    lines: list[str] = []
    beats: list[float] = []
    child = Child(
        ["bash", "-c", script],
        folder=folder,
        variables={"PATH": os.environ["PATH"], "HDM_CONTEXT": str(folder / "context.json")},
        confinement=Confinement(limits=limits or Limits()),
    )
    result = child.wait(log=lines.append, mask=Masker([]), timeout=30, heartbeat=lambda: beats.append(time.monotonic()))
    return result, lines, beats


def test_pack_that_closes_its_output_is_waited_for_with_heartbeats(tmp_path: Path) -> None:
    """An output that has ended is not the end of the pack."""
    result, lines, beats = run("echo first; exec >&- 2>&-; sleep 1.2; exit 7", tmp_path)
    assert (result.exit_code, lines) == (7, ["first"])
    assert len(beats) > 2
    assert beats[-1] - beats[0] > 0.7


def test_last_words_are_read_when_the_guard_has_ended(tmp_path: Path) -> None:
    """More than one read of the pipe gets at a time."""
    result, lines, _ = run("yes line | head -n 100000; echo last", tmp_path)
    assert (result.exit_code, len(lines), lines[-1]) == (0, 100_001, "last")


def test_process_that_outlives_a_killed_guard_is_not_read_for_ever(tmp_path: Path) -> None:
    """It holds the pipe open, has thrown its variables away, so nothing finds it, and writes on and on."""
    writer = "setsid env -i timeout 20 yes & sleep 0.2; kill -9 $PPID; sleep 60"
    began = time.monotonic()
    result, lines, _ = run(writer, tmp_path, limits=Limits(output=1000))
    assert result.exit_code == 128 + 9
    assert time.monotonic() - began < 15
    assert lines[-1].endswith("bytes of output were dropped")


#: A guard that begins late, and orders that are longer than the pipe to it: a signal finds the task writing them.
LATE = ("/bin/sh", "-c", 'sleep 1; exec "$@"', "sh", *guard.COMMAND)
LONG = "x" * 50_000


@contextmanager
def signal_after(seconds: float, handler: Callable[[], None]) -> Iterator[None]:
    """Let one signal arrive while the context lasts."""
    before = signal.signal(signal.SIGALRM, lambda *_: handler())
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def long_child(folder: Path) -> Child:
    """A program with 200 kB of arguments."""
    return Child(
        ["bash", "-c", 'echo "${#1}"; cat', "bash", *[LONG] * 4],
        folder=folder,
        variables={"PATH": os.environ["PATH"], "HDM_CONTEXT": str(folder / "context.json")},
        confinement=Confinement(limits=Limits()),
    )


def test_guard_gets_all_of_its_orders_although_a_signal_arrives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that a signal interrupts ends early."""
    monkeypatch.setattr(guard, "COMMAND", LATE)
    lines: list[str] = []
    with signal_after(0.5, lambda: None):
        child = long_child(tmp_path)
    result = child.wait(log=lines.append, mask=Masker([]), timeout=30, heartbeat=lambda: None)
    assert (result.exit_code, lines) == (0, [str(len(LONG))])


def test_time_limit_that_interrupts_a_start_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow's time limit is an exception in the middle of any line; the task lives on until it is reported."""
    monkeypatch.setattr(guard, "COMMAND", LATE)

    def give_up() -> None:
        raise TimeoutError

    before = set(Path("/proc/self/fd").iterdir())
    with signal_after(0.5, give_up), pytest.raises(TimeoutError) as caught:
        long_child(tmp_path)
    assert set(Path("/proc/self/fd").iterdir()) == before
    assert caught.tb  # it holds the child
    assert [path for parent in cgroup_tree.parents() for path in Path(parent).glob(f"hdm-*-{os.getpid()}-*")] == []
