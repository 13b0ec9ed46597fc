"""What is published: an archive of the sources and one wheel, with everything a user needs and nothing of the tests."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Callable
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.version import Version
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


def test_version_is_the_one_that_the_package_states(metadata: Message, wheel: Path, built: Path) -> None:
    """The release of `hdm_airflow/__init__.py`, with a number for the commit; the same in wheel, archive and module."""
    version = metadata["Version"]
    assert re.fullmatch(re.escape(hdm_airflow.__version__) + r"(\.dev[1-9][0-9]*)?", version)
    assert wheel.name.startswith(f"hdm_airflow-{version}-")
    assert [path.name for path in built.glob("*.tar.gz")] == [f"hdm_airflow-{version}.tar.gz"]
    with zipfile.ZipFile(wheel) as archive:
        assert f'\n__version__ = "{version}"' in archive.read("hdm_airflow/__init__.py").decode()


# A version for each commit -------------------------------------------------------------------------------------------

STATED = hdm_airflow.__version__


class Checkout:
    """A repository with a copy of what is built, and one commit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "CHANGELOG.md"):
            shutil.copy(ROOT / name, folder)
        for name in ("hdm_airflow", "dags"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        self.git("init", "--quiet")
        self.commit()

    def git(self, *arguments: str) -> None:
        identity = ["-c", "user.name=test", "-c", "user.email=test@test.example"]
        subprocess.run(["git", *identity, *arguments], cwd=self.folder, check=True, capture_output=True)

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "a change")

    def version(self, **variables: str) -> str:
        """The version that a build would have now."""
        command = [sys.executable, "-m", "hatchling", "version"]
        environment = {**os.environ, **variables}
        done = subprocess.run(command, cwd=self.folder, env=environment, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def build(self, target: Path) -> Path:
        """A wheel, as an administrator builds it."""
        command = [find_uv_bin(), "build", "--wheel", "--no-build-isolation", "--python", sys.executable]
        subprocess.run([*command, "--out-dir", str(target), str(self.folder)], check=True, capture_output=True)
        return next(target.glob("*.whl"))


@pytest.fixture
def checkout(tmp_path: Path, require: Callable[[str, str | None], None]) -> Checkout:
    require("integration", None if shutil.which("git") else "git is not installed")
    return Checkout(tmp_path / "checkout")


def test_each_commit_has_a_version_and_a_tag_the_stated_one(checkout: Checkout) -> None:
    """The versions rise up to the release."""
    found = [checkout.version()]
    checkout.commit()
    found.append(checkout.version())
    checkout.git("tag", "something-else")
    assert checkout.version() == found[-1]
    checkout.git("tag", f"v{STATED}")
    found.append(checkout.version())
    assert found == [f"{STATED}.dev1", f"{STATED}.dev2", STATED]
    assert sorted(found, key=Version) == found


def test_checkout_without_history_has_a_version_for_each_commit(checkout: Checkout, tmp_path: Path) -> None:
    """As automatic tests clone it; their number is the time of the commit, and so higher than any count."""
    checkout.commit()
    shallow = tmp_path / "shallow"
    checkout.git("clone", "--quiet", "--depth", "1", f"file://{checkout.folder}", str(shallow))
    checkout.folder = shallow
    assert re.fullmatch(re.escape(STATED) + r"\.dev1[0-9]{9}", checkout.version())


def test_no_other_repository_decides_the_version(checkout: Checkout, tmp_path: Path) -> None:
    """Neither one around an unpacked archive, nor that of a git hook."""
    other = tmp_path / "other"
    shutil.copytree(checkout.folder, other / "within", ignore=shutil.ignore_patterns(".git"))
    mine = checkout.version()
    subprocess.run(["git", "init", "--quiet", str(other)], check=True, capture_output=True)
    assert checkout.version(GIT_DIR=str(other / ".git")) == mine
    checkout.folder = other / "within"
    assert checkout.version() == STATED


def test_checkout_of_another_user_and_machine_without_git_can_be_built(checkout: Checkout, tmp_path: Path) -> None:
    """git refuses to read the checkouts of others; without git, the version is the stated one."""
    if os.geteuid() == 0:
        os.chown(checkout.folder, 48_123, 0)
        os.chown(checkout.folder / ".git", 48_123, 0)
    assert checkout.version() == f"{STATED}.dev1"
    assert checkout.version(PATH=str(tmp_path)) == STATED


@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_wheel_of_the_next_commit_replaces_the_installed_one(checkout: Checkout, tmp_path: Path, tool: str) -> None:
    """With equal versions, an installer would leave the old code in place; Airflow lists the provider's version."""
    user = tmp_path / "user"
    venv.create(user, with_pip=False)
    python = str(user / "bin" / "python")
    (site,) = user.glob("lib/python*/site-packages")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index"]
    uv = [find_uv_bin(), "pip", "install", "--offline", "--no-deps", "--python", python]
    found = []
    for number in (1, 2):
        (checkout.folder / "hdm_airflow" / "new.py").write_text(f"NUMBER = {number}\n")
        checkout.commit()
        wheel = checkout.build(tmp_path / str(number))
        subprocess.run([*(pip if tool == "pip" else uv), str(wheel)], check=True, capture_output=True)
        program = "import hdm_airflow, hdm_airflow.new as new; print(hdm_airflow.__version__, new.NUMBER)"
        found.append(
            subprocess.run([python, "-I", "-c", program], check=True, capture_output=True, text=True).stdout.split()
        )
    assert found == [[f"{STATED}.dev2", "1"], [f"{STATED}.dev3", "2"]]
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    command = [python, "-m", "airflow", "providers", "list", "--output", "plain"]
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path / "airflow")}
    listed = subprocess.run(command, env=environment, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert re.search(rf"^hdm-airflow .* {re.escape(STATED)}\.dev3\s*$", listed, re.MULTILINE)


def test_uv_builds_a_checkout_again_after_a_commit(checkout: Checkout, tmp_path: Path) -> None:
    """It looks at pyproject.toml alone, unless that says otherwise."""
    user = tmp_path / "user"
    venv.create(user, with_pip=False)
    python = str(user / "bin" / "python")
    (site,) = user.glob("lib/python*/site-packages")
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")  # with hatchling
    install = [find_uv_bin(), "pip", "install", "--offline", "--no-deps", "--no-build-isolation", "--python", python]
    found = []
    for _ in range(2):
        checkout.commit()
        subprocess.run([*install, str(checkout.folder)], check=True, capture_output=True)
        (metadata,) = site.glob("hdm_airflow-*.dist-info")
        found.append(metadata.name)
    assert found == [f"hdm_airflow-{STATED}.dev{number}.dist-info" for number in (2, 3)]


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
