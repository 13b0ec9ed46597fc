"""What is published: one wheel with everything a user needs, and nothing of the tests."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from uv import find_uv_bin

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The files in the wheel."""
    target = tmp_path_factory.mktemp("wheel")
    command = [
        find_uv_bin(),
        "build",
        "--wheel",
        "--no-build-isolation",
        "--python",
        sys.executable,
        "--out-dir",
        str(target),
    ]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True)
    (wheel,) = target.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_wheel_carries_the_reference_packs_as_they_lie_in_the_repository(names: set[str]) -> None:
    """`airflow hdm packs install` copies them out of it."""
    packs = ROOT / "dags" / "packs"
    files = {
        path.relative_to(packs).as_posix()
        for path in packs.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    prefix = "hdm_airflow/reference_packs/"
    assert {name.removeprefix(prefix) for name in names if name.startswith(prefix)} == files


def test_wheel_carries_sql_sdk_and_templates_and_no_tests(names: set[str]) -> None:
    """Files that are no Python are easily forgotten."""
    room = ROOT / "hdm_airflow"
    data = {
        path.relative_to(ROOT).as_posix()
        for path in room.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert data <= names
    assert not [name for name in names if name.startswith(("tests", "demo", "benchmarks", "docs"))]
