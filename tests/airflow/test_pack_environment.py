"""The software environment of a pack: built once, layered per run, under the run's own limits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hdm_airflow.errors import EnvironmentBuildError, PackFailedError
from tests.airflow.processes import ROOT, RUN_IN_CHILD, alive, eventually, left_behind
from tests.airflow.stage import REPORT_ALL, endpoint

if TYPE_CHECKING:
    from tests.airflow.stage import Stage

HEART = endpoint("heart")
ALL_OK = REPORT_ALL.format("ok")


def test_unmodified_bootstrap_script_of_the_original_runs_offline_and_installs_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`pip` and `python -m pip` find everything in place (fault 15: pip at every run, in the worker's environment)."""
    wheel = build_wheel(tmp_path / "wheels", "hdmdummy", "1.0")
    script = """pip install --upgrade pip
python -m pip install --upgrade pip
pip install -r requirements.txt
cd process
python metric_basic.py
"""
    program = """
import hdm, hdmdummy
print("dummy", hdmdummy.VERSION)
run = hdm.load()
[run.report(e, "ok") for e in run.endpoints]
"""
    files = {"requirements.txt": f"hdmdummy @ {wheel.as_uri()}\n", "process/metric_basic.py": program}
    stage.pack("basic", script, files=files)
    stage.activate("mp_basic", HEART)
    stage.store = tmp_path / "own store"
    assert stage.run("mp_basic")["success"] == 1
    wheel.unlink()
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert stage.run("mp_basic")["success"] == 1
    assert stage.lines.count("dummy 1.0") == 2
    assert len([line for line in stage.lines if line.startswith("building environment")]) == 1
    assert "hdmdummy" not in sys.modules


def test_what_a_script_installs_on_top_stays_in_a_layer_of_that_run(stage: Stage, tmp_path: Path) -> None:
    """The store is shared by other packs and other runs: no run changes it."""
    wheel = build_wheel(tmp_path / "wheels", "hdmextra", "2.0")
    stage.pack(
        "basic", f"pip install --no-index {wheel}\npython -c 'import hdmextra; print(hdmextra.VERSION)'\n" + ALL_OK
    )
    stage.pack("other", "python -c 'import hdmextra' || echo not here\n" + ALL_OK)
    for task_id in ("mp_basic", "mp_other"):
        stage.activate(task_id, HEART)
    stage.run("mp_basic")
    assert "2.0" in stage.lines
    stage.run("mp_other")
    assert "not here" in stage.lines


def test_environment_that_cannot_be_built_fails_with_the_resolvers_message(stage: Stage, tmp_path: Path) -> None:
    """And leaves no half of it in the store."""
    stage.pack("basic", ALL_OK, files={"requirements.txt": "/no/such/wheel-1.0-py3-none-any.whl\n"})
    stage.activate("mp_basic", HEART)
    stage.store = tmp_path / "own store"
    with pytest.raises(EnvironmentBuildError, match=r"wheel-1\.0"):
        stage.run("mp_basic")
    assert [path.suffix for path in stage.store.iterdir()] == [".lock"]
    assert stage.ledger("mp_basic")[0][:2] == ("heart", "failed")


def test_manifest_chooses_the_python_that_runs_the_pack(stage: Stage) -> None:
    """By its version, among those on the worker; none is ever downloaded."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    stage.pack("basic", "python --version\n" + ALL_OK, python=version)
    stage.pack("future", ALL_OK, python="3.99")
    for task_id in ("mp_basic", "mp_future"):
        stage.activate(task_id, HEART)
    stage.run("mp_basic")
    assert any(line.startswith(f"Python {version}.") for line in stage.lines)
    with pytest.raises(EnvironmentBuildError, match=r"there is no Python '3\.99' here"):
        stage.run("mp_future")
    assert stage.ledger("mp_future", "reason") == [("heart", "failed", "there is no Python '3.99' here")]


def test_build_of_the_environment_is_under_the_timeout_and_the_guard(stage: Stage, tmp_path: Path, pids: Path) -> None:
    """A package that builds for ever is ended like a pack that runs for ever; SIGKILL leaves nothing of it."""
    package = tmp_path / "slow"
    package.mkdir()
    (package / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "slow"\nversion = "1"\n'
    )
    (package / "backend.py").write_text(
        f"import os, time\ndef build_wheel(*_):\n    open({str(pids)!r}, 'w').write(str(os.getpid()))\n"
        "    time.sleep(120)\n"
    )
    stage.pack("basic", ALL_OK, files={"requirements.txt": f"slow @ {package.as_uri()}\n"}, timeout=4)
    stage.activate("mp_basic", HEART)
    stage.store = tmp_path / "own store"
    with pytest.raises(PackFailedError, match="ended after its timeout"):
        stage.run("mp_basic")
    assert pids.exists()
    assert alive(pids) == []
    pids.unlink()
    command = [sys.executable, "-c", RUN_IN_CHILD, str(stage.folder), str(stage.store), "task"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)
    assert eventually(lambda: pids.exists() and pids.read_text() != "", 30)
    process.kill()
    process.wait()
    assert eventually(lambda: alive(pids) == [])
    assert eventually(lambda: not left_behind(tmp_path))
    assert eventually(lambda: not list(stage.store.glob(".building-*")))


def build_wheel(folder: Path, name: str, version: str) -> Path:
    """A wheel with one module that knows its version."""
    import zipfile

    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", f"VERSION = {version!r}\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return path
