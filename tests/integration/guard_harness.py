"""Programs under a guard: with a control group, with counting alone, and without root's rights."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hdm_airflow.packs.limits import Limits
from hdm_airflow.runner.masking import Masker
from hdm_airflow.runner.processes import cgroup_tree, guard
from hdm_airflow.runner.processes.child import Child, ChildResult
from hdm_airflow.runner.processes.run_folder import RunFolder
from hdm_airflow.runner.processes.sandbox import Confinement, Grants

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

#: How a guard knows what a program uses: `group` as root; `counting` as root, if no group can be made; `plain` without
#: any of root's rights, as most workers and containers.
WAYS = ("group", "counting", "plain")


def go(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let guards work in one of the ways."""
    if way != "group":
        monkeypatch.setattr(cgroup_tree, "parents", list)
    if way == "plain":
        monkeypatch.setattr(guard, "COMMAND", ("setpriv", "--bounding-set=-all", "--inh-caps=-all", *guard.COMMAND))


def child(script: str, folder: Path, *, limits: Limits | None = None, grants: Grants | None = None) -> Child:
    """A bash script, under a guard; `python` is this one, and HERE its folder."""
    (folder / "bin").mkdir(exist_ok=True)
    python = folder / "bin" / "python"
    if not python.exists():
        python.symlink_to(sys.executable)
    return Child(
        ["bash", "-c", script],
        folder=folder,
        variables={
            "PATH": f"{folder}/bin:{os.environ['PATH']}", "HERE": str(folder), "HDM_CONTEXT": f"{folder}/context.json"
        },
        run_folder=RunFolder(root=folder),
        confinement=Confinement(limits=limits or Limits(), grants=grants),
    )  # fmt: skip


def run(
    script: str,
    folder: Path,
    *,
    limits: Limits | None = None,
    grants: Grants | None = None,
    timeout: float = 60,
    heartbeat: Callable[[int], None] = lambda _: None,
) -> tuple[ChildResult, list[str]]:
    """The result of a script, and its output; `heartbeat` gets the guard's process id."""
    lines: list[str] = []
    one = child(script, folder, limits=limits, grants=grants)
    result = one.wait(log=lines.append, mask=Masker([]), timeout=timeout, heartbeat=lambda: heartbeat(one._process.pid))
    return result, lines


def segments() -> dict[int, str]:
    """All System V shared memory that this process sees: its size -> its id."""
    rows = [line.split() for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]]
    return {int(row[3]): row[1] for row in rows}
