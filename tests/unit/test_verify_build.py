"""Links and special files that a build can leave in a venv, and that we must not follow."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hdm_airflow.errors import VenvBuildError
from hdm_airflow.runner.venvs import record, verify_build

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """A venv as uv makes it, next to a file of the worker's."""
    path = tmp_path / "env"
    (path / "lib/python3.11/site-packages/alpha").mkdir(parents=True)
    (path / "bin").mkdir()
    (path / "lib64").symlink_to("lib")
    (path / "bin/python").symlink_to("/usr/bin/python3")
    (path / "bin/python3").symlink_to("python")
    (path / "bin/alpha").write_text("#!/bin/sh\n")
    (tmp_path / "airflow.cfg").write_text("fernet_key = 42")
    return path


def test_virtual_environment_has_no_traps(venv: Path) -> None:
    """Its own links are allowed."""
    verify_build.refuse_traps(venv)


def record_elsewhere(path: Path) -> None:
    (path / record.FILE).symlink_to(path.parent / "airflow.cfg")


def packages_elsewhere(path: Path) -> None:
    (path / "lib").rename(path / "other")
    (path / "lib").symlink_to(path / "other")


def module_elsewhere(path: Path) -> None:
    (path / "lib/python3.11/site-packages/alpha/beta.py").symlink_to("/etc/passwd")


def everything_elsewhere(path: Path) -> None:
    path.rename(path.parent / "other")
    path.symlink_to(path.parent / "other")


def pipe(path: Path) -> None:
    os.mkfifo(path / "bin/beta")


def listening(path: Path) -> None:
    os.chdir(path)  # its name must be short
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("beta")


@pytest.mark.parametrize(
    ("plant", "name"),
    [
        (record_elsewhere, record.FILE),
        (packages_elsewhere, "lib"),
        (module_elsewhere, "lib/python3.11/site-packages/alpha/beta.py"),
        (everything_elsewhere, "."),
        (pipe, "bin/beta"),
        (listening, "beta"),
    ],
)
def test_link_or_special_file_of_a_build_is_refused(
    venv: Path, monkeypatch: pytest.MonkeyPatch, plant: Callable[[Path], None], name: str
) -> None:
    """The build ran in a sandbox; the checks after it do not, and would overwrite, read or wait for the target."""
    monkeypatch.chdir(venv)
    plant(venv)
    with pytest.raises(VenvBuildError) as caught:
        verify_build.refuse_traps(venv)
    assert caught.value.what.endswith(f"into the venv: {name}")


def test_file_that_a_build_has_filled_is_not_read(venv: Path) -> None:
    """A hole of a terabyte in place of a script costs no disk, but would fill the worker's memory."""
    for name in ("bin/huge", "pyvenv.cfg"):
        with (venv / name).open("wb") as file:
            file.truncate(1 << 40)
    (venv / "bin/alpha").write_text(f"#!{venv}/bin/python\nprint()\n")
    verify_build.relocate(venv, Path("/store/key"))
    assert (venv / "bin/alpha").read_bytes() == verify_build.RELOCATABLE_HEADER + b"print()\n"
    assert (venv / "bin/huge").stat().st_size == 1 << 40
