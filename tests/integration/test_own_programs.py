"""A run's own programs: found before those of the worker, or the run does not start."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hdm_airflow.errors import ConfigurationError, HdmError
from hdm_airflow.runner.venvs.activate_scripts import write_activate_scripts
from tests.integration.run_harness import REPORT_OK, Place
from tests.integration.venv_harness import isolate, without_uv
from tests.packages import build_wheel

WHEEL = "alpha-1.0-py3-none-any.whl"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A pack that requires alpha, which has a program; its script can install beta."""
    isolate(monkeypatch, tmp_path / "cache")
    place = Place(tmp_path / "place")
    monkeypatch.setattr("tempfile.tempdir", str(place.tmp))
    pack = place.folder / "packs" / "metric-packs" / "one"
    build_wheel(pack, "alpha", "1.0", script=True)
    build_wheel(pack, "beta", "1.0", script=True)
    (pack / "requirements.txt").write_text(f"./{WHEEL}\n")
    return place


@pytest.fixture
def noexec(tmp_path: Path, require: Callable[[str, str | None], None]) -> Iterator[Path]:
    """A small file system on which nothing can be executed."""
    folder = tmp_path / "noexec"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "noexec,size=64m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    require("integration", f"this user cannot mount: {done.stderr.strip()}" if done.returncode else None)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def run(place: Place, script: str) -> list[str]:
    """The output of a successful run of this script."""
    Place(place.folder, f"set -e\n{script}\n{REPORT_OK}")
    lines: list[str] = []
    result = place.process(timeout=120, log=lines.append).run()
    assert (result.exit_code, result.end_reason) == (0, "exit"), lines
    return lines


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs of the worker that note that they were called."""
    note, folder = tmp_path / "called", tmp_path / "worker"
    folder.mkdir()
    for name in ("pip", "pip3", "alpha", "activate"):
        (folder / name).write_text(f'#!/bin/sh\necho "$0" >> "{note}"\n')
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return note


# Found first ---------------------------------------------------------------------------------------------------------


def test_temporary_folder_that_forbids_execution_is_refused(
    place: Place, noexec: Path, worker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run's pip would be passed over, and the worker's would install into the worker's environment."""
    monkeypatch.setattr("tempfile.tempdir", str(noexec))
    with pytest.raises(ConfigurationError, match="mounted noexec") as caught:
        run(place, "pip install ./beta-1.0-py3-none-any.whl; alpha")
    assert caught.value.where == str(noexec)
    assert "TMPDIR" in caught.value.hint
    assert list(noexec.iterdir()) == []
    assert not worker.exists()


def test_temporary_folder_that_cannot_be_in_a_path_is_refused(
    place: Place, tmp_path: Path, worker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A colon would split it, and the run's programs would not be found."""
    (tmp_path / "a:b").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "a:b"))
    with pytest.raises(ConfigurationError, match="colon"):
        run(place, "pip --version")
    assert not worker.exists()


@pytest.mark.parametrize("entries", ["", ".", "bin", ":", "{path}:", ":{path}", "./bin:{path}", "~/bin:{path}"])
def test_entries_of_the_workers_path_that_depend_on_the_current_folder_do_not_count(
    place: Place, monkeypatch: pytest.MonkeyPatch, entries: str
) -> None:
    """An empty one means the current folder, which is the pack's."""
    pack = place.folder / "packs" / "metric-packs" / "one"
    for folder in (pack, pack / "bin"):
        folder.mkdir(exist_ok=True)
        (folder / "greet").write_text("#!/bin/sh\necho greeted\n")
        (folder / "greet").chmod(0o755)
    monkeypatch.setenv("PATH", entries.format(path=os.environ["PATH"]))
    lines = run(place, 'type greet || true; python -c "import hdm, alpha"; echo "$PATH"')
    assert "greet is" not in "\n".join(lines)
    assert all(entry.startswith("/") for entry in lines[-1].split(":"))


def test_store_that_forbids_execution_is_refused_before_anything_is_installed(place: Place, noexec: Path) -> None:
    """Its programs would be passed over, and its compiled modules cannot be loaded."""
    place.store.symlink_to(noexec)
    with pytest.raises(HdmError, match="mounted noexec") as caught:
        run(place, "alpha")
    assert "venvs.folder" in caught.value.hint
    assert not [path for path in noexec.iterdir() if path.is_dir()]


def test_pack_without_requirements_runs_on_a_store_that_forbids_execution(place: Place, noexec: Path) -> None:
    """Nothing in its venv is ever executed."""
    place.store.symlink_to(noexec)
    (place.folder / "packs/metric-packs/one/requirements.txt").unlink()
    run(place, 'python -c "import hdm"; pip --version')


@pytest.mark.parametrize("target", ["nowhere", "alpha"])
def test_program_of_a_package_that_cannot_run_is_not_replaced_by_the_workers(
    place: Place, worker: Path, target: str
) -> None:
    """The shell would go on to the next folder of PATH."""
    run(place, "alpha")
    (program,) = place.store.glob("*/bin/alpha")
    program.unlink()
    program.symlink_to(target)
    with pytest.raises(HdmError, match="alpha"):
        run(place, "alpha")
    assert not worker.exists()


# Activated -----------------------------------------------------------------------------------------------------------

SHELLS = {
    "bash": ('. "$VIRTUAL_ENV/bin/activate"', "bash"),
    "sh": ('. "$VIRTUAL_ENV/bin/activate"', "dash"),
    "by PATH": ("source activate", "bash"),
    "by a relative path": ('cd "$VIRTUAL_ENV"; source bin/activate', "bash"),
    "twice": ('. "$VIRTUAL_ENV/bin/activate"; . "$VIRTUAL_ENV/bin/activate"', "bash"),
    "and deactivated": ('. "$VIRTUAL_ENV/bin/activate"; deactivate', "bash"),
    "fish": ('source "$VIRTUAL_ENV/bin/activate.fish"', "fish"),
    "csh": ('source "$VIRTUAL_ENV/bin/activate.csh"', "csh"),
    "tcsh": ('source "$VIRTUAL_ENV/bin/activate.csh"\nsource "$VIRTUAL_ENV/bin/activate.csh"\ndeactivate', "tcsh"),
    "zsh": ('source "$VIRTUAL_ENV/bin/activate"', "zsh"),
}
INSIDE = """
pip install --no-index ./beta-1.0-py3-none-any.whl
python -c 'import hdm, alpha, beta, os, sys; print("prefix", os.path.basename(sys.prefix))'
alpha
beta
which python pip beta
"""


@pytest.mark.parametrize("tool", ["uv", "pip"])
@pytest.mark.parametrize("way", SHELLS)
def test_script_that_activates_its_environment_stays_in_the_layer(
    place: Place, worker: Path, monkeypatch: pytest.MonkeyPatch, way: str, tool: str
) -> None:
    """Many scripts begin so: the SDK and what they install must be found, and the store unchanged."""
    line, shell = SHELLS[way]
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    if tool == "pip":
        without_uv(monkeypatch)
    pack = place.folder / "packs" / "metric-packs" / "one"
    inside = INSIDE.replace("\npython", "\nrehash\npython") if shell.endswith("csh") else INSIDE  # for new programs
    (pack / "inner").write_text(f'{line}\ncd "$HDM_HERE"\n{inside}')
    lines = run(place, f'export HDM_HERE="$PWD"; echo "layer $VIRTUAL_ENV"; {shell} inner; echo "after $VIRTUAL_ENV"')
    (layer,) = (text.removeprefix("layer ") for text in lines if text.startswith("layer "))
    assert "prefix layer" in lines
    for name in ("python", "pip", "beta"):
        assert f"{layer}/bin/{name}" in lines
    assert not list(place.store.rglob("beta*"))
    assert not worker.exists()


@pytest.mark.parametrize("shell", ["sh", "bash", "zsh", "fish", "csh"])
@pytest.mark.parametrize("name", ["it's !a $HOME \\z", 'a"b`id`#%{x}'])
def test_activate_scripts_of_a_layer_of_any_name_survive_strict_shells(tmp_path: Path, shell: str, name: str) -> None:
    """TMPDIR may be anywhere; deactivating restores the PATH."""
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    layer = tmp_path / name
    (layer / "bin").mkdir(parents=True)
    write_activate_scripts(layer)
    (layer / "bin" / "greet").write_text("#!/bin/sh\necho greeted\n")
    (layer / "bin" / "greet").chmod(0o755)
    source, ending = {"fish": ("source", ".fish"), "csh": ("source", ".csh")}.get(shell, ("set -eu; .", ""))
    twice = f'{source} "$VIRTUAL_ENV/bin/activate{ending}"\n' * 2
    script = tmp_path / "script"
    script.write_text(f'{twice}greet\necho "$VIRTUAL_ENV"\ndeactivate\necho "$PATH"\n')
    path = "/usr/bin:/bin:/sbin"  # not a default, which zshenv of Debian would replace
    variables = {"PATH": path, "HOME": str(tmp_path), "VIRTUAL_ENV": str(layer)}
    command = [shell, *(["-f"] if shell == "csh" else []), str(script)]  # csh.cshrc of Debian sets the PATH
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["greeted", str(layer), path], done.stderr


def test_other_tools_in_an_activated_environment_install_into_the_layer(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Uv finds the environment by VIRTUAL_ENV; venv makes new ones from the Python below the layer."""
    from uv import find_uv_bin

    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:{Path(find_uv_bin()).parent}")
    lines = run(
        place,
        '. "$VIRTUAL_ENV/bin/activate"\n'
        "uv pip install --offline ./beta-1.0-py3-none-any.whl\nbeta\n"
        "python -c 'import beta, hdm'\n"
        "python -m venv --without-pip mine\n(. mine/bin/activate; python -c 'import sys; print(sys.prefix)')\n"
        'python -c "import hdm"\ncommand -v python',
    )
    assert any(line.endswith("/pack/mine") for line in lines)
    assert any(line.endswith("/layer/bin/python") for line in lines)
    assert not list(place.store.rglob("beta*"))
