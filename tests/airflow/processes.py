"""Packs whose processes resist being ended, and a look-up of those that still run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
#: A pack with a child that ignores SIGTERM and a daemon in a session of its own; their pids are written to $PIDS.
STUBBORN = """
echo $$ >> {pids}
(trap '' TERM; echo $BASHPID >> {pids}; while true; do sleep 0.1; done) &
setsid bash -c 'echo $$ >> {pids}; trap "" TERM HUP; while true; do sleep 0.1; done' &
while [ $(wc -l < {pids}) -lt 3 ]; do sleep 0.05; done
echo all are running
"""

#: Runs the pack mp_basic of a stage in a separate process, which a test can kill.
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


def alive(pids: Path) -> list[int]:
    """Which of the processes still exist, except zombies."""
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
    """What runs have left in TMPDIR."""
    return list((tmp_path / "tmp").iterdir())
