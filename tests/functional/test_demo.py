"""`make demo`, as a newcomer runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(600)
def test_demo_finds_every_planted_fault_and_leaves_nothing_running(tmp_path: Path) -> None:
    """A real Airflow, three real databases, six nights; exit code 0 also means that incidents lived as they must."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        "ONCE": "1",
        "ROWS": "1000",
        "DEMO_DIR": str(tmp_path / "demo"),
        "TMPDIR": str(temporary),
    }
    done = subprocess.run(
        [sys.executable, "-m", "demo"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " of " in done.stdout
    assert "planted faults found; 0 false alerts on the first night; the second run's state is success" in done.stdout
    steps = re.findall(r"^(\d) .+ \(about \d+ s\)$", done.stdout, re.MULTILINE)
    assert steps == ["1", "2", "3", "4", "5"]
    assert len(re.findall(r"^  done after \d+ s$", done.stdout, re.MULTILINE)) == 5
    life = ["High", "patients.postcode", "more nulls", "opened", "open", "not judged", "resolved", "reopened"]
    assert life in [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.stdout.splitlines()]
    end = done.stdout.partition("planted faults found")[2]
    assert re.search(r"^The demo took \d+ s$", end, re.MULTILINE)
    assert "://" not in end, "nothing answers at an address any more"
    assert not list(temporary.glob("hdm-run-*"))
    assert not running_below(tmp_path)


def running_below(folder: Path) -> list[str]:
    """Command lines of running processes whose variables or command name a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            belongs = str(folder).encode() in command + (process / "environ").read_bytes()
        except OSError:
            continue  # it has just ended, or is not ours
        if belongs and command and int(process.name) != os.getpid():
            found.append(command.replace(b"\0", b" ").decode())
    return found
