"""The venv of a pack: built once, with a layer per run, under the run's own limits."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from airflow.sdk.exceptions import AirflowFailException

from hdm_airflow.errors import HdmError, PackFailedError, VenvBuildError
from hdm_airflow.runner.processes.supervision import Supervision
from hdm_airflow.runner.venvs.interpreter import find_interpreter
from hdm_airflow.runner.venvs.options import VenvOptions
from hdm_airflow.runner.venvs.store import VenvStore
from tests.airflow.processes import ROOT, RUN_IN_CHILD, alive, eventually, left_behind
from tests.airflow.stage import REPORT_ALL, endpoint
from tests.integration.venv_harness import isolate, without_uv
from tests.packages import Index, build_wheel, sha256

if TYPE_CHECKING:
    from tests.airflow.stage import Stage

HEART = endpoint("heart")
ALL_OK = REPORT_ALL.format("ok")


#: As the documentation of the original shows it, word for word.
ORIGINAL = """pip install --upgrade pip          # also seen: python -m pip ...
pip install -r requirements.txt
cd process
python metric_basic.py
"""
PROGRAM = """
import hdm, importlib.metadata
names = sorted(one.metadata["Name"] for one in importlib.metadata.distributions())
print("installed:", [name for name in names if name.startswith("hdm")])
run = hdm.load()
[run.report(e, "ok") for e in run.endpoints]
"""
#: requirements.txt -> the packages that are installed.
REQUIREMENTS = {
    "missing": (None, []),
    "empty": ("", []),
    "plain": ("hdmone\nhdmtwo==1.0\n", ["hdmone", "hdmtwo"]),
    "CRLF": ("hdmone\r\nhdmtwo\r\n", ["hdmone", "hdmtwo"]),
    "nested": ("-r other.txt\n", ["hdmtwo"]),
    "index": ("--index-url {url}\nhdmone\n", ["hdmone"]),
    "local path": ("./wheels/hdmlocal-1.0-py3-none-any.whl\n", ["hdmlocal"]),
    "extra": ("hdmone[more]\n", ["hdmone", "hdmtwo"]),
    "marker": ('hdmone; python_version < "3"\nhdmtwo\n', ["hdmtwo"]),
    "hash": ("hdmtwo==1.0 \\\n    --hash=sha256:{hash}\n", ["hdmtwo"]),
}


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """The worker's package index; there is no other source of packages."""
    isolate(monkeypatch, tmp_path / "cache")
    build_wheel(tmp_path / "index", "hdmone", "1.0", extras={"more": "hdmtwo"})
    for name in ("hdmtwo", "setuptools", "wheel"):
        build_wheel(tmp_path / "index", name, "1.0")
    build_wheel(tmp_path / "index", "hdmtwo", "1.0")
    with Index(tmp_path / "index") as running:
        monkeypatch.setenv("UV_DEFAULT_INDEX", running.url)
        yield running


@pytest.mark.parametrize("form", REQUIREMENTS)
def test_unmodified_bootstrap_script_of_the_original_runs_with_every_form_of_requirements(
    stage: Stage, index: Index, tmp_path: Path, form: str
) -> None:
    """The second run asks no index at all (fault 15: pip at every run, in the worker's venv)."""
    content, installed = REQUIREMENTS[form]
    files = {"process/metric_basic.py": PROGRAM, "other.txt": "hdmtwo\n"}
    if content is not None:
        digest = sha256(tmp_path / "index/hdmtwo-1.0-py3-none-any.whl")
        files["requirements.txt"] = content.replace("{url}", index.url).replace("{hash}", digest)
    stage.pack("basic", ORIGINAL, files=files)
    build_wheel(stage.folder / "metric-packs/basic/wheels", "hdmlocal", "1.0")
    stage.activate("mp_basic", HEART)
    stage.store = tmp_path / "own store"
    assert stage.run("mp_basic")["success"] == 1
    index.asked.clear()
    assert stage.run("mp_basic")["success"] == 1
    assert stage.lines.count(f"installed: {installed}") == 2
    assert index.asked == []
    assert len([line for line in stage.lines if line.startswith("building venv")]) == 1
    assert "hdmone" not in sys.modules


@pytest.mark.parametrize("pip", ["pip", "pip3", "python -m pip", "python3 -m pip", "pip{version}"])
def test_every_spelling_of_pip_is_served_offline(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, index: Index, pip: str
) -> None:
    """The index and the network are gone after the first run."""
    pip = pip.format(version=f"{sys.version_info[0]}.{sys.version_info[1]}")
    script = ORIGINAL.replace("pip install", f"{pip} install")
    stage.pack("basic", f"set -e\n{script}", files={"requirements.txt": "hdmone\n", "process/metric_basic.py": PROGRAM})
    stage.activate("mp_basic", HEART)
    stage.store = tmp_path / "own store"
    assert stage.run("mp_basic")["success"] == 1
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    index.asked.clear()
    assert stage.run("mp_basic")["success"] == 1
    assert len([line for line in stage.lines if line.startswith("Requirements already satisfied")]) == 4
    assert index.asked == []


def test_what_else_is_upgraded_with_pip_goes_into_the_layer(stage: Stage, index: Index, tmp_path: Path) -> None:
    """`pip install --upgrade pip setuptools wheel`: pip is already there, the rest comes from the worker's index."""
    script = """set -e
python3 -m pip install --upgrade pip setuptools wheel
pip install --upgrade hdmtwo
python -c 'import hdmtwo, sys; print("two", hdmtwo.VERSION, hdmtwo.__file__.startswith(sys.prefix))'
"""
    stage.pack("basic", script + ALL_OK, files={"requirements.txt": "hdmtwo\n"})
    stage.activate("mp_basic", HEART)
    stage.store = tmp_path / "own store"
    stage.run("mp_basic")
    assert "two 1.0 False" in stage.lines
    before = snapshot(stage.store)
    build_wheel(tmp_path / "index", "hdmtwo", "2.0")
    stage.run("mp_basic")
    assert "two 2.0 True" in stage.lines
    assert "/simple/setuptools/" in index.asked
    assert snapshot(stage.store) == before


def test_no_run_changes_the_store_even_where_compiled_files_are_missing(stage: Stage, tmp_path: Path) -> None:
    """A Python that finds no .pyc file would write one, perhaps in two runs at once."""
    wheel = build_wheel(tmp_path / "wheels", "hdmdummy", "1.0")
    stage.pack("basic", "python -c 'import hdmdummy'\n" + ALL_OK, files={"requirements.txt": f"{wheel}\n"})
    stage.activate("mp_basic", HEART)
    stage.store = tmp_path / "own store"
    stage.run("mp_basic")
    for compiled in stage.store.rglob("hdmdummy*.pyc"):
        compiled.unlink()
    before = snapshot(stage.store)
    stage.run("mp_basic")
    assert snapshot(stage.store) == before


def snapshot(store: Path) -> dict[str, tuple[int, int]]:
    """Every file of a store with its size and time, except locks, whose times show the last use."""
    files = [path for path in store.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


def test_venv_is_in_use_as_long_as_its_run_lasts(stage: Stage, tmp_path: Path) -> None:
    """And nothing may remove it until then."""
    stage.pack("basic", ALL_OK)
    stage.activate("mp_basic", HEART)
    seen = []

    class Looking(Supervision):
        def run(self, command, **arguments):
            seen.append([entry.in_use for entry in VenvStore(VenvOptions(folder=str(stage.store))).entries()])
            return super().run(command, **arguments)

    stage.store = tmp_path / "own store"
    stage.run("mp_basic")
    operator = stage.operator("mp_basic")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hdm_airflow.runner.run.Supervision", Looking)
        stage.execute(operator)
    assert seen == [[True]]
    assert [entry.in_use for entry in VenvStore(VenvOptions(folder=str(stage.store))).entries()] == [False]


def test_run_on_a_full_temporary_disk_fails_with_a_reason_and_leaves_nothing(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, require: Callable[[str, str | None], None]
) -> None:
    """Wherever in the run it happens: during the copy, the layer, the context, or in the pack itself."""
    stage.pack("basic", "echo $HDM_DATE > $TMPDIR/note || exit 1\n" + ALL_OK)
    stage.activate("mp_basic", HEART)
    stage.run("mp_basic")
    disk = tmp_path / "disk"
    disk.mkdir()
    reasons = []
    for size in range(4, 120, 16):
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(disk)]
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
        require("airflow", None if done.returncode == 0 else f"this user cannot mount: {done.stderr.strip()}")
        try:
            monkeypatch.setenv("TMPDIR", str(disk))
            monkeypatch.setattr("tempfile.tempdir", str(disk))
            with suppress(AirflowFailException, HdmError):
                stage.run("mp_basic")
            reasons.append(stage.ledger("mp_basic", "reason")[-1][2])
            assert list(disk.iterdir()) == []
        finally:
            subprocess.run(["umount", "-l", str(disk)], check=True)
    assert any("the pack cannot be copied for its run" in (reason or "") for reason in reasons)
    assert any("cannot write to the run's folder: No space left" in (reason or "") for reason in reasons)
    assert stage.ledger("mp_basic")[-1] == ("heart", "success")


def test_store_in_the_home_of_a_user_without_a_home_is_a_reason_in_the_ledger(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in containers with random user ids."""
    stage.pack("basic", ALL_OK)
    stage.activate("mp_basic", HEART)
    stage.store = Path("~/store")
    monkeypatch.setenv("HOME", "none")
    with suppress(AirflowFailException, HdmError):
        stage.run("mp_basic")
    ((_, status, reason),) = stage.ledger("mp_basic", "reason")
    assert status == "failed"
    assert "~/store does not name a folder" in reason


def test_pack_installs_from_the_workers_index_without_its_login(
    stage: Stage, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A public index may have another package of that name; the login is the worker's alone."""
    login = f"http://reader:geh-eim@{index.host}/simple"
    monkeypatch.delenv("UV_DEFAULT_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", login)
    script = (
        'echo "index $PIP_INDEX_URL, $UV_DEFAULT_INDEX"\npip install hdmone\npython -c "import hdmone; print(hdmone)"\n'
    )
    stage.pack("basic", script + ALL_OK)
    stage.activate("mp_basic", HEART)
    stage.run("mp_basic")
    assert f"index {index.url}, {index.url}" in stage.lines
    assert any(line.startswith("<module 'hdmone' from") for line in stage.lines)


def test_login_of_the_index_that_a_manifest_asks_for_is_masked(
    stage: Stage, tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reaches the pack, as a reviewer of the manifest has allowed, but no log."""
    with Index(tmp_path / "index", login="reader:geh-eim") as closed:
        monkeypatch.setenv("PIP_INDEX_URL", f"http://reader:geh-eim@{closed.host}/simple")
        monkeypatch.setenv("UV_DEFAULT_INDEX", closed.url)
        script = 'echo "index $PIP_INDEX_URL"\npip install hdmone && echo it is there\n'
        stage.pack("basic", script + ALL_OK, variables=["PIP_INDEX_URL"])
        stage.activate("mp_basic", HEART)
        stage.run("mp_basic")
    assert "it is there" in stage.lines
    assert f"index http://reader:***@{closed.host}/simple" in stage.lines
    assert "geh-eim" not in stage.log


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


def test_run_sees_the_packages_of_its_venv_and_layer_alone(stage: Stage) -> None:
    """The packages of the worker's Python differ from worker to worker."""
    stage.pack("basic", "python -c 'import sys; print(*sys.path, sep=chr(10))'\n" + ALL_OK)
    stage.activate("mp_basic", HEART)
    stage.run("mp_basic")
    seen = [line for line in stage.lines if line.endswith("site-packages")]
    assert len(seen) == 2
    assert "/layer/" in seen[0]
    assert seen[1].startswith(str(stage.store))


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_program_of_a_package_sees_what_the_script_has_installed(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    """As in the single venv of the original: such programs load plugins."""
    if tool == "pip":
        without_uv(monkeypatch)
    stage.store = tmp_path / "own store"
    runner = build_wheel(tmp_path / "wheels", "hdmrunner", "1.0", script=True, imports="hdm, hdmextra", data="42\n")
    wheel = build_wheel(tmp_path / "wheels", "hdmextra", "2.0", script=True, data="43\n")
    show = "prefix=$(python -c 'import sys; print(sys.prefix)')\ncat $prefix/share/*.txt $prefix/bin/more/*.txt\n"
    stage.pack(
        "basic",
        f"pip install --no-index {wheel}\nhdmrunner\n{show}" + ALL_OK,
        files={"requirements.txt": f"{runner}\n"},
    )
    stage.activate("mp_basic", HEART)
    stage.run("mp_basic")
    assert "1.0" in stage.lines
    assert stage.lines.count("42") == stage.lines.count("43") == 2
    assert not list(stage.store.rglob("hdmextra*"))


def test_install_for_the_user_goes_into_the_layer(stage: Stage, tmp_path: Path) -> None:
    """Scripts written for an Airflow image, where pip has no other place, use `--user`."""
    wheel = build_wheel(tmp_path / "wheels", "hdmextra", "2.0")
    script = f"pip install --user --no-index {wheel}\npython -c 'import hdmextra; print(hdmextra.__file__)'\n"
    stage.pack("basic", script + ALL_OK)
    stage.activate("mp_basic", HEART)
    stage.run("mp_basic")
    assert any("/layer/" in line and line.endswith("hdmextra.py") for line in stage.lines)


def test_venv_that_cannot_be_built_fails_with_the_resolvers_message(stage: Stage, tmp_path: Path) -> None:
    """And leaves nothing of it in the store."""
    stage.pack("basic", ALL_OK, files={"requirements.txt": "/no/such/wheel-1.0-py3-none-any.whl\n"})
    stage.activate("mp_basic", HEART)
    stage.store = tmp_path / "own store"
    with pytest.raises(VenvBuildError, match=r"wheel-1\.0"):
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
    with pytest.raises(VenvBuildError, match=r"no Python on this machine matches '3\.99'"):
        stage.run("mp_future")
    assert stage.ledger("mp_future", "reason") == [("heart", "failed", "no Python on this machine matches '3.99'")]


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_oldest_and_newest_python_of_this_machine_run_packs_from_3_8_on(
    stage: Stage, index: Index, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tool: str
) -> None:
    """The venv is built for it, its `pip` is served, and the SDK works under it."""
    find_interpreter.cache_clear()
    if tool == "pip":
        without_uv(monkeypatch)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    others = [str(path) for path in pyenv.glob("versions/*/bin")]  # its shims on the PATH need not work
    monkeypatch.setenv("PATH", os.pathsep.join([*others, os.environ["PATH"]]))
    found = []
    for version in (f"3.{minor}" for minor in range(8, 15)):
        with suppress(VenvBuildError):
            find_interpreter(version)
            found.append(version)
    assert found
    stage.store = tmp_path / "own store"
    files = {"requirements.txt": "hdmone\n", "process/metric_basic.py": PROGRAM}
    chosen = {found[0], found[-1]}
    for version in chosen:
        stage.pack(f"on{version[2:]}", f"set -e\npython --version\n{ORIGINAL}", files=files, python=version)
        stage.activate(f"mp_on{version[2:]}", HEART)
        assert stage.run(f"mp_on{version[2:]}")["success"] == 1
        assert any(line.startswith(f"Python {version}.") for line in stage.lines)
    assert stage.lines.count("installed: ['hdmone']") == len(chosen)
    find_interpreter.cache_clear()


def test_build_of_the_venv_is_under_the_timeout_and_the_guard(stage: Stage, tmp_path: Path, pids: Path) -> None:
    """A package that builds forever is ended like a pack that runs forever; SIGKILL leaves no process of it."""
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
    with pytest.raises(PackFailedError, match="stopped after its timeout"):
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
