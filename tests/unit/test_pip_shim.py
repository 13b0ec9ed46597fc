"""The pip of a run: it skips packages that the venv already has, and pip does everything else."""

from __future__ import annotations

import ast
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hdm_airflow.runner.venvs import pip_shim

CONTENT = b"requests==2.32\n"
VENV = {"key": "abc", "requirements": hashlib.sha256(CONTENT).hexdigest(), "files": {}, "pip": ""}
NOTHING = None  # nothing is left to install


@pytest.fixture(autouse=True)
def pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run's copy of the pack, as the working folder."""
    (tmp_path / "requirements.txt").write_bytes(CONTENT)
    (tmp_path / "same.txt").write_bytes(CONTENT)
    (tmp_path / "other.txt").write_bytes(b"pandas\n")
    monkeypatch.chdir(tmp_path)


def left(command: str) -> str | None:
    rest = pip_shim.without_served(command.split(), VENV)
    return rest if rest is None else " ".join(rest)


@pytest.mark.parametrize(
    "command",
    [
        "install --upgrade pip",
        "install -U pip",
        "install pip",
        "install pip>=23.1",
        "install -r requirements.txt",
        "install -rrequirements.txt",
        "-q install --upgrade pip",
        "--quiet --timeout 5 install -U -r requirements.txt",
        "install -qr requirements.txt",
        "install -Uqrrequirements.txt",
        "install --requirement requirements.txt",
        "install --requirement=requirements.txt",
        "install -r same.txt",
        "install -r ./requirements.txt",
        "install --upgrade pip -r requirements.txt",
        "install -r requirements.txt -r same.txt",
        "install --quiet --no-cache-dir --disable-pip-version-check -r requirements.txt",
        "install -q -r requirements.txt --upgrade",
        "install --user -r requirements.txt",
        "install -i https://packages.example/simple -r requirements.txt",
        "install --index-url https://packages.example/simple -r requirements.txt",
        "install --index-url=https://packages.example/simple --trusted-host=pypi.example -r requirements.txt",
        "install -r requirements.txt --extra-index-url https://packages.example/simple --timeout 60 --retries 2",
        "install --progress-bar off --root-user-action=ignore -r requirements.txt",
    ],
)
def test_what_the_venv_holds_is_served(command: str) -> None:
    """The two pip commands of every bootstrap script, in all spellings found, cost next to nothing, also offline."""
    assert left(command) is NOTHING


@pytest.mark.parametrize(
    ("command", "rest"),
    [
        ("install -r other.txt", "install -r other.txt"),
        ("install -rother.txt", "install -rother.txt"),
        ("install --requirement=other.txt", "install --requirement=other.txt"),
        ("install -r missing.txt", "install -r missing.txt"),
        ("install -r requirements.txt -r other.txt", "install -r other.txt"),
        ("install requests", "install requests"),
        ("install --upgrade pip setuptools wheel", "install --upgrade setuptools wheel"),
        ("install -r requirements.txt openpyxl", "install openpyxl"),
        ("install -i https://x.example pip openpyxl", "install -i https://x.example openpyxl"),
        ("install pip-tools", "install pip-tools"),
        ("install .", "install ."),
        ("-q install pip openpyxl", "-q install openpyxl"),
    ],
)
def test_what_it_does_not_hold_goes_to_pip_without_the_rest(command: str, rest: str) -> None:
    """Into the layer of this run alone."""
    assert left(command) == rest


@pytest.mark.parametrize(
    "command",
    [
        "install --target lib -r requirements.txt",
        "install -t lib -r requirements.txt",
        "install --prefix=/opt/x -r requirements.txt",
        "install -c constraints.txt -r requirements.txt",
        "install --no-deps -r requirements.txt",
        "install --force-reinstall -r requirements.txt",
        "install --pre -r requirements.txt",
        "install --dry-run -r requirements.txt",
        "install -e .",
        "install --some-option-of-tomorrow -r requirements.txt",
    ],
)
def test_option_that_changes_what_or_where_leaves_all_to_pip(command: str) -> None:
    """If it were ignored, `--target lib` would leave lib empty and the program without its packages."""
    assert left(command) == command


@pytest.mark.parametrize(
    "command",
    ["", "list", "freeze", "--version", "--quiet install x", "--isolated install pip", "download pip", "uninstall pip"],
)
def test_other_commands_are_pips(command: str) -> None:
    """Only `install` is answered from the venv."""
    assert left(command) == command


@pytest.mark.parametrize("command", ["install", "install -r", "install -q", "install -i", "install --index-url"])
def test_command_that_asks_for_nothing_is_pips_to_refuse(command: str) -> None:
    """Success for a wrong command would hide the mistake."""
    assert left(command) == command


def test_changed_requirements_are_not_served() -> None:
    """A bootstrap script can write the file that it then installs."""
    Path("requirements.txt").write_bytes(CONTENT + b"pandas\n")
    assert left("install -r requirements.txt") == "install -r requirements.txt"


def test_changed_file_that_requirements_name_is_not_served() -> None:
    """With `-r other.txt` in requirements.txt, the content of that file counts too."""
    venv = {**VENV, "files": {"other.txt": hashlib.sha256(b"pandas\n").hexdigest()}}
    command = ["install", "-r", "requirements.txt"]
    assert pip_shim.without_served(command, venv) is NOTHING
    Path("other.txt").write_bytes(b"polars\n")
    assert pip_shim.without_served(command, venv) == command


def test_missing_requirements_are_pips_to_refuse() -> None:
    """As in the original, where the script itself decides whether to continue."""
    venv = {**VENV, "requirements": hashlib.sha256(b"").hexdigest()}
    assert pip_shim.without_served(["install", "-r", "nowhere.txt"], venv) == ["install", "-r", "nowhere.txt"]


def test_python_without_pip_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """Debian's Python comes without pip; the log says what to do."""
    assert pip_shim.real_pip(["install", "x"], VENV) == 1
    assert "requirements.txt" in capsys.readouterr().err


def test_it_runs_as_the_module_pip(tmp_path: Path) -> None:
    """As in the layer of a run: `pip` and `python -m pip` both run it."""
    (tmp_path / "site/pip").mkdir(parents=True)
    (tmp_path / "site/pip/__init__.py").touch()
    (tmp_path / "site/pip/venv.json").write_text(json.dumps(VENV))
    shutil.copyfile(pip_shim.__file__, tmp_path / "site/pip/__main__.py")
    command = [sys.executable, "-S", "-m", "pip", "install", "-r", "requirements.txt"]
    done = subprocess.run(
        command, env={"PYTHONPATH": str(tmp_path / "site")}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "Requirements already satisfied by venv abc\n"
    assert done.stderr == ""


def test_old_pythons_can_read_it() -> None:
    """A pack may require an older Python than Airflow's."""
    ast.parse(Path(pip_shim.__file__).read_text("utf-8"), feature_version=(3, 7))
