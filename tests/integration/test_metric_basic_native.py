"""The native package of metric pack basic: built by every tool, with this machine's compiler and without any."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from uv import find_uv_bin

from hdm_airflow.errors import VenvBuildError
from hdm_airflow.runner.venvs.interpreter import build_variables
from hdm_airflow.runner.venvs.layer import make_layer
from hdm_airflow.runner.venvs.store import Venv
from tests.integration.pack_harness import PACKS
from tests.integration.venv_harness import Shop, store_in, without_uv

NATIVE = PACKS / "metric-packs" / "basic" / "native"
NOWHERE = "http://127.0.0.1:9"  # nobody listens there

Require = Callable[[str, str | None], None]


@pytest.fixture(scope="module")
def index(require: Require) -> None:
    """The package index of this machine: the build asks it for hatchling, and for a compiler where there is none."""
    command = [find_uv_bin(), "pip", "install", "--dry-run", "--python", sys.executable, "--upgrade", "hatchling"]
    done = subprocess.run(
        [*command, "ziglang"], env=build_variables(), capture_output=True, text=True, check=False, timeout=60
    )
    require("integration", f"no package index answers: {done.stderr.strip()}" if done.returncode else None)


@pytest.fixture
def compiler(require: Require) -> None:
    """A C compiler of this machine."""
    require("integration", None if shutil.which("cc") else "cc is missing: install gcc and libc6-dev")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A copy of the package in a pack that needs nothing else."""
    pack = tmp_path / "pack"
    shutil.copytree(NATIVE, pack / "native", ignore=shutil.ignore_patterns("__pycache__"))
    shop = Shop(store=store_in(tmp_path / "store"), pack=pack)
    shop.require("./native\n")
    return shop


def install(folder: Path, target: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Install the package without an index, with the hatchling that is installed here; no compiler comes from there."""
    command = [find_uv_bin(), "pip", "install", "--offline", "--no-build-isolation", "--python", sys.executable]
    return subprocess.run(
        [*command, "--cache-dir", str(target / "cache"), "--target", str(target), str(folder)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def load(environment: Venv) -> bytes:
    """Import the package as a pack does; the library's content."""
    script = "import hdm_profile; print(hdm_profile.__file__)"
    command = [str(environment.path / "bin/python"), "-I", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Path(done.stdout.strip()).with_name("_engine.so").read_bytes()


def files(folder: Path) -> set[str]:
    """What lies in a folder, but for what Python compiles there."""
    return {str(one.relative_to(folder)) for one in folder.rglob("*") if "__pycache__" not in str(one)}


@pytest.mark.usefixtures("compiler", "index")
@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_store_builds_it_once_and_leaves_the_sources_alone(
    tool: str, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run's copy of the pack gets the same environment, without the index; so does its bootstrap script."""
    if tool == "pip":
        without_uv(monkeypatch)
    before = files(shop.pack)
    load(shop.get("./native\n"))
    assert files(shop.pack) == before
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, NOWHERE)
    shop.pack = shutil.copytree(shop.pack, tmp_path / "other")
    environment = shop.get("./native\n")
    assert shop.builds == 1
    make_layer(environment, tmp_path / "layer")
    pip = tmp_path / "layer/bin/pip"
    answer = subprocess.run(
        [str(pip), "install", "-r", "requirements.txt"], cwd=shop.pack, capture_output=True, text=True, check=True
    )
    assert answer.stdout == f"Requirements already satisfied by venv {environment.key}\n"


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("index")
def test_without_a_compiler_one_comes_from_the_index(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a worker that has Python and nothing else."""
    monkeypatch.setenv("PATH", "/nonexistent")
    assert b"clang version" in load(shop.get("./native\n"))


@pytest.mark.usefixtures("compiler", "index")
def test_damaged_source_is_told_with_place_and_remedy(shop: Shop) -> None:
    """In the words of the compiler, by the store, as everything that cannot be built."""
    (shop.pack / "native/src/damaged.c").write_text("int damaged = ;\n")
    with pytest.raises(VenvBuildError, match=r"damaged\.c:1:15: error: ") as caught:
        shop.get("./native\n")
    assert "hdm_profile: the C sources could not be compiled:\n" in caught.value.what
    assert "do: restore the pack's folder native" in caught.value.what


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("int damaged = ;\n", "the C sources could not be compiled"),
        ("int damaged(void) { return nowhere(); }\n", "nowhere"),
        (
            'int nowhere(void); __attribute__((visibility("default"))) int damaged(void) { return nowhere(); }\n',
            "Python cannot load the compiled library",
        ),
    ],
)
def test_what_python_could_not_load_is_not_installed(text: str, fault: str, shop: Shop, tmp_path: Path) -> None:
    """Functions of Python stay undefined when the library is linked: others that are missing must be found out."""
    (shop.pack / "native/src/damaged.c").write_text(text)
    done = install(shop.pack / "native", tmp_path / "target")
    assert done.returncode
    assert fault in done.stderr
    assert "  in:" in done.stderr  # a long path stands on a line of its own
    assert "  do:" in done.stderr
    assert not list((tmp_path / "target").glob("hdm_profile*"))


def test_compiler_that_does_not_work_counts_as_none(shop: Shop, tmp_path: Path) -> None:
    """A machine may have gcc without the headers of libc."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "gcc").write_text("#!/bin/sh\nexit 1\n")
    (folder / "gcc").chmod(0o755)
    done = install(shop.pack / "native", tmp_path / "target", PATH=str(folder), CC="")
    assert "hdm_profile: no C compiler works\n  in: gcc\n  do: install a C compiler" in done.stderr.replace(" " * 9, "")


@pytest.mark.usefixtures("compiler")
def test_compiler_of_the_variable_cc_comes_first(shop: Shop, tmp_path: Path) -> None:
    """With its options, as make understands it."""
    note = tmp_path / "note"
    wrapper = tmp_path / "wrapper"
    wrapper.write_text(f'#!/bin/sh\necho "$1" >>{note}\nshift\nexec cc "$@"\n')
    wrapper.chmod(0o755)
    done = install(shop.pack / "native", tmp_path / "target", CC=f"{wrapper} --mine")
    assert not done.returncode, done.stderr
    assert set(note.read_text().split()) == {"--mine"}
    assert (tmp_path / "target/hdm_profile/_engine.so").is_file()


def test_changed_source_is_another_environment(shop: Shop) -> None:
    """And what Python compiles in the folder is none."""
    before = shop.store.find(shop.pack, None).key
    (shop.pack / "native/__pycache__").mkdir()
    (shop.pack / "native/__pycache__/hatch_build.pyc").touch()
    assert shop.store.find(shop.pack, None).key == before
    source = next((shop.pack / "native/src").glob("*.c"))
    source.write_text(source.read_text() + "/* changed */\n")
    assert shop.store.find(shop.pack, None).key != before
