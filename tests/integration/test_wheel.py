"""What is published: an archive of the sources and one wheel, with everything a user needs and nothing of the tests."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from uv import find_uv_bin

import hdm_airflow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of both, built as a release is: the wheel from the archive."""
    target = tmp_path_factory.mktemp("built")
    command = [find_uv_bin(), "build", "--no-build-isolation", "--python", sys.executable, "--out-dir", str(target)]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True)
    return target


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (wheel,) = built.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    """The files in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    """What a package index shows."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


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


def test_archive_of_the_sources_carries_what_the_wheel_is_built_from(built: Path, names: set[str]) -> None:
    """Distributions build from it."""
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        found = {name.partition("/")[2] for name in archive.getnames()}
    assert {name for name in names if name.startswith("hdm_airflow/") and "reference_packs" not in name} <= found
    assert {"README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml", "dags/hdm.py"} <= found


def test_version_is_the_one_that_the_package_states(metadata: Message, wheel: Path) -> None:
    """It stands in `hdm_airflow/__init__.py` alone."""
    assert metadata["Version"] == hdm_airflow.__version__
    assert wheel.name.startswith(f"hdm_airflow-{hdm_airflow.__version__}-")


def test_page_of_the_package_index_names_licence_pythons_and_addresses(metadata: Message) -> None:
    """The oldest Python is the one that pip demands; the licence is an expression, and no classifier beside it."""
    classifiers = metadata.get_all("Classifier", [])
    pythons = [re.search(r"Python :: 3\.(\d+)$", one) for one in classifiers]
    minors = [int(found[1]) for found in pythons if found]
    assert metadata["Requires-Python"] == f">=3.{minors[0]}"
    assert minors == list(range(minors[0], minors[-1] + 1))
    assert metadata["License-Expression"] == "Apache-2.0"
    assert not [one for one in classifiers if one.startswith("License")]
    urls = dict(one.split(", ") for one in metadata.get_all("Project-URL", []))
    assert {"Documentation", "Source", "Changelog", "Issues"} <= set(urls)
    for url in urls.values():
        page = url.partition("/blob/main/")[2]
        assert url.startswith(urls["Source"])
        assert not page or (ROOT / page).is_file(), url


def test_type_checker_of_a_user_sees_the_types_of_public_names(wheel: Path, tmp_path: Path) -> None:
    """Names are imported when they are asked for, which a type checker does not do, and `py.typed` must be there.

    The wheel is installed into an environment of its own, beside the packages of this one.
    """
    user = tmp_path / "user"
    venv.create(user, with_pip=False)
    install = [find_uv_bin(), "pip", "install", "--offline", "--no-deps", "--python", str(user / "bin" / "python")]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    (site,) = user.glob("lib/python*/site-packages")
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    program = tmp_path / "dags" / "program.py"
    program.parent.mkdir()
    program.write_text(
        "from hdm_airflow import Catalog, HdmDag, PackOperator, Pakc\n"
        'reveal_type(Catalog.scan("x"))\n'
        'reveal_type(HdmDag("d"))\n'
        'reveal_type(PackOperator(task_id="t", pack=Catalog.scan("x").find("y")).conn_id)\n'
    )
    options = ["--strict", "--no-error-summary", f"--python-executable={user / 'bin' / 'python'}"]
    command = [sys.executable, "-m", "mypy", *options, f"--cache-dir={tmp_path / 'cache'}", program.name]
    done = subprocess.run(command, cwd=program.parent, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [
        'program.py:1: error: Module "hdm_airflow" has no attribute "Pakc"  [attr-defined]',
        'program.py:2: note: Revealed type is "hdm_airflow.packs.catalog.Catalog"',
        'program.py:3: note: Revealed type is "hdm_airflow.dag.HdmDag"',
        'program.py:4: note: Revealed type is "str"',
    ], done.stderr
