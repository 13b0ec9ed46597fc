"""A worker whose user has no entry in the list of users and no HOME, as containers with random user ids have it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.packages import build_wheel, source_package

ROOT = Path(__file__).parents[2]
USER = 48_123  # without an entry
#: Runs a pack that installs more, in a store at the place given, and prints its log.
PROGRAM = """
import sys, tempfile
from pathlib import Path
from tests.integration.run_harness import REPORT_OK, Place
Place.store = Path(sys.argv[2])
script = "pip install -r requirements.txt && python -c 'import alpha, hdm' && echo home $HOME && " + REPORT_OK
place = Place(Path(sys.argv[1]), script)
tempfile.tempdir = str(place.tmp)
pack = place.folder / "packs/metric-packs/one"
(pack / "requirements.txt").write_text(sys.argv[3] + "\\n")
place.process(timeout=60, log=print).run()
"""


@pytest.fixture
def place(require: Callable[[str, str | None], None]) -> Iterator[Path]:
    """A folder that any user can enter; pytest's own cannot be."""
    require("integration", None if os.geteuid() == 0 else "only root can become another user")
    folder = Path("/var/tmp") / f"hdm-test-{os.getpid()}"  # noqa: S108  # private enough: it has the test's packs only
    pack = folder / "packs" / "metric-packs" / "one"
    build_wheel(pack, "alpha", "1.0")
    source_package(pack / "source", "alpha", "1.0", note=Path(os.devnull))
    for path in (folder, *folder.rglob("*")):
        os.chown(path, USER, 0)
    yield folder
    shutil.rmtree(folder)


def python() -> str:
    """A Python of this version that every user can start."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for path in (os.path.realpath(sys.executable), f"/usr/bin/{name}", f"/usr/local/bin/{name}"):
        done = run([path, "-c", "import ctypes"], check=False) if Path(path).exists() else None
        if done and done.returncode == 0:
            return path
    pytest.skip(f"other users can start no {name}")


def run(command: list[str], *, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program as that user."""
    found = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": os.pathsep.join([sysconfig.get_path("purelib"), str(ROOT)]),
        "PYTHONDONTWRITEBYTECODE": "1",
        **variables,
    }
    try:
        return subprocess.run(
            command,
            env=found,
            user=USER,
            group=0,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            text=True,
            check=check,
        )
    except PermissionError:
        return subprocess.CompletedProcess(command, 126, "", "")


@pytest.mark.parametrize("required", ["./alpha-1.0-py3-none-any.whl", "./source"])
@pytest.mark.parametrize("home", [None, "", "/", "relative", "/nonexistent"])
def test_pack_runs_if_the_store_has_an_absolute_path(place: Path, required: str, home: str | None) -> None:
    """Nothing is left in the current folder, which uv would otherwise use as its home."""
    (place / "here").mkdir()
    os.chown(place / "here", USER, 0)
    variables = {} if home is None else {"HOME": home}
    change = f"import os; os.chdir({str(place / 'here')!r})\n"
    command = [python(), "-c", change + PROGRAM, str(place), str(place / "store"), required]
    done = run(command, check=False, **variables)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    (own,) = (line for line in done.stdout.splitlines() if line.startswith("home "))
    assert own.endswith("/home")
    assert list((place / "here").iterdir()) == []


@pytest.mark.parametrize("folder", ["~/.cache/hdm_airflow/venvs", "~/store"])
def test_store_in_a_home_that_does_not_exist_is_an_error_that_says_what_to_set(place: Path, folder: str) -> None:
    """Not a traceback from Python's own look-up."""
    start, end = "place.process(timeout=60, log=print)", ".run()\n"
    caught = f"run = {start}\ntry:\n    run.run()\nexcept Exception as error:\n    print(repr(error))\n"
    program = PROGRAM.replace("Path(sys.argv[2])", "sys.argv[2]").replace(start + end, caught)
    done = run([python(), "-c", program, str(place), folder, ""], check=False)
    assert done.returncode == 0, done.stderr
    assert "ConfigurationError" in done.stdout
    assert "venvs.folder in the Variable hdm" in done.stdout
    assert list((place / "tmp").iterdir()) == []


def test_commands_end_without_a_traceback(place: Path) -> None:
    """With the default store, and with one of its own; a path with `~` is named."""
    airflow = place / "airflow"
    airflow.mkdir()
    os.chown(airflow, USER, 0)
    ours = [python(), "-m", "airflow", "hdm"]
    packs = ["--packs-dir", str(place / "packs")]
    (place / "packs/metric-packs/one/properties.json").write_text(
        '{"name": "one", "version": "1.0.0", "author": "a", "description": "d"}'
    )
    (place / "packs/metric-packs/one/Readme.md").write_text("# one\n")
    (place / "packs/metric-packs/one/bootstrap-script.sh").write_text("#!/bin/bash\n")
    for arguments, code, text in (
        (["venvs", "list", *packs], 2, "venvs.folder"),
        (["venvs", "warm", "one", *packs, "--store", str(place / "store")], 0, "built"),
        (["venvs", "prune", "--yes", "--store", "~/store"], 2, "--store"),
        (["packs", "check", "~/packs"], 2, "~/packs does not name a folder"),
    ):
        done = run([*ours, *arguments], check=False, AIRFLOW_HOME=str(airflow))
        assert "Traceback" not in done.stderr, done.stderr
        assert (done.returncode, text in done.stdout + done.stderr) == (code, True), done.stderr
