"""A child process and its output: read until the guard has spoken, and then no more than the pipe holds."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from hdm_airflow.packs.limits import Limits
from hdm_airflow.runner.masking import Masker
from hdm_airflow.runner.processes.child import Child, ChildResult
from hdm_airflow.runner.processes.sandbox import Confinement

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
