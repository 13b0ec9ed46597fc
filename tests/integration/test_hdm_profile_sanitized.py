"""hdm_profile built with sanitizers (addresses, undefined behaviour, threads), fed with streams damaged at random."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from uv import find_uv_bin

from tests.integration.pack_harness import PACKS, SDK

if TYPE_CHECKING:
    from tests.integration.metric_basic_harness import Ward

NATIVE = PACKS / "metric-packs" / "basic" / "native"
FEEDER = Path(__file__).with_name("hdm_profile_feeder.py")
THREADS = Path(__file__).with_name("hdm_profile_threads.c")
ROOT = Path(__file__).parents[2]
UNIT_TESTS = sorted((ROOT / "tests" / "unit").glob("test_hdm_profile_*.py"))
# They measure memory. The sanitizer adds to each block, and gives none back for a while, to see who still uses it.
NOT_SANITIZED = ("test_memory_is_given_back", "test_levels_of_many_columns_stay_near_the_budget")
SECONDS = 8  # of feeding
OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=0",  # Python itself never frees some of its memory
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1",
}

Require = Callable[[str, "str | None"], None]


@dataclass(frozen=True, kw_only=True)
class Sanitized:
    """A build of the package, and what Python loads before it."""

    target: Path  # the folder with the package
    preload: str

    @property
    def variables(self) -> dict[str, str]:
        """What a process needs that imports the package."""
        path = os.pathsep.join([str(self.target), str(ROOT)])
        return {**OPTIONS, "LD_PRELOAD": self.preload, "PYTHONPATH": path}


@pytest.fixture(scope="module")
def sanitized(require: Require, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Sanitized]:
    """Installs the package from a copy of its sources into a folder of its own, once for each sanitizer."""

    @cache
    def build(kind: str) -> Sanitized:
        preload = sanitizer_library(kind, require)
        folder = tmp_path_factory.mktemp(kind)
        target = folder / "target"
        shutil.copytree(NATIVE, folder / "native", ignore=shutil.ignore_patterns("__pycache__"))
        command = [find_uv_bin(), "pip", "install", "--offline", "--no-build-isolation", "--python", sys.executable]
        done = subprocess.run(
            [*command, "--cache-dir", str(folder / "cache"), "--target", str(target), str(folder / "native")],
            env={**os.environ, "HDM_PROFILE_SANITIZE": kind},
            capture_output=True,
            text=True,
            check=False,
        )
        assert not done.returncode, done.stderr
        return Sanitized(target=target, preload=preload)

    return build


def sanitizing_compiler(require: Require) -> str:
    """The first that the build would try."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    require("integration", None if compiler else "neither gcc nor clang is there: install gcc and libc6-dev")
    assert compiler is not None
    return compiler


def sanitizer_library(kind: str, require: Require) -> str:
    """The sanitizer's library, of the compiler that the build will take."""
    compiler = sanitizing_compiler(require)
    short = {"address": "asan", "thread": "tsan"}[kind]
    for name in (f"lib{short}.so", f"libclang_rt.{short}-x86_64.so", f"libclang_rt.{short}.so"):
        command = [compiler, f"-print-file-name={name}"]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        if Path(found).is_absolute():
            return found
    require("integration", f"{compiler} has no {kind} sanitizer: install lib{short}")
    raise AssertionError


@pytest.mark.parametrize(("kind", "seed", "threads"), [("address", 1, 1), ("address", 2, 2), ("thread", 3, 2)])
def test_damaged_streams_do_nothing_that_c_forbids(
    kind: str, seed: int, threads: int, sanitized: Callable[[str], Sanitized]
) -> None:
    """No access beyond a buffer, no overflow, no data race, no crash: the sanitizers end the process at the first."""
    build = sanitized(kind)
    done = subprocess.run(
        [sys.executable, str(FEEDER), str(SECONDS), str(seed), str(threads)],
        env={**os.environ, **build.variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert not done.returncode, done.stdout[-2000:] + done.stderr[-4000:]
    assert str(build.target) in done.stdout
    assert "streams" in done.stdout


def test_unit_tests_do_nothing_that_c_forbids(sanitized: Callable[[str], Sanitized], tmp_path: Path) -> None:
    """Once, with the library that checks each access to memory."""
    build = sanitized("address")
    report = tmp_path / "report"
    options = ["-q", "-x", "-p", "no:cacheprovider", f"--rootdir={ROOT}", f"--basetemp={tmp_path / 'tests'}"]
    options += [f"--deselect=tests/unit/test_hdm_profile_spill.py::{name}" for name in NOT_SANITIZED]
    which = "import hdm_profile, pathlib, pytest, sys; pathlib.Path(sys.argv[1]).write_text(hdm_profile.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", f"{which}; sys.exit(pytest.main(sys.argv[2:]))", str(report), *options, *UNIT_TESTS],
        env={**os.environ, **build.variables},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert not done.returncode, done.stdout[-4000:] + done.stderr[-4000:]
    assert report.read_text().startswith(str(build.target))


def test_a_whole_run_does_nothing_that_c_forbids(sanitized: Callable[[str], Sanitized], ward: Ward) -> None:
    """The pack reads from PostgreSQL: also what libpq hands over is freed once, and not used afterwards."""
    build = sanitized("address")
    ward.execute(
        "CREATE TABLE patients (id int PRIMARY KEY, name text, born date, weight numeric, alive boolean)",
        "INSERT INTO patients SELECT i, 'patient ' || i, date '1950-01-01' + i, i / 7.0, i > 2"
        " FROM generate_series(1, 3000) i",
        "CREATE TABLE stays (id int, patient_id int REFERENCES patients, began timestamp, ward text)",
        "INSERT INTO stays SELECT i, 1 + i % 10, timestamp '2026-01-17' + i * interval '1 hour', 'w' || i % 5"
        " FROM generate_series(1, 300) i",
        "CREATE TABLE nothing (id int)",
    )
    path = os.pathsep.join([str(build.target), str(SDK)])
    run = ward.measure(config={"parallel_tables": 2}, variables={**build.variables, "PYTHONPATH": path})
    assert (run.exit_code, run.output, run.only()["status"]) == (0, "", "ok")


@pytest.mark.parametrize("kind", ["address", "thread"])
def test_two_threads_in_c_share_nothing(kind: str, require: Require, tmp_path: Path) -> None:
    """Also where memory or the folder for temporary files is missing; whatever they allocate is released."""
    compiler = sanitizing_compiler(require)
    sanitizer_library(kind, require)
    chosen = "-fsanitize=thread" if kind == "thread" else "-fsanitize=address,undefined"
    flags = ["-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-pthread", "-fno-sanitize-recover=all", chosen]
    flags.append(f"-I{NATIVE / 'src'}")
    sources = sorted(map(str, NATIVE.glob("src/*.c")))
    for command in (
        [*flags, "-Drealloc=scarce_realloc", "-c", *sources],
        [*flags, "-Wpedantic", "-o", "threads", str(THREADS), *(f"{Path(one).stem}.o" for one in sources), "-lm"],
    ):
        made = subprocess.run([compiler, *command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (made.returncode, made.stderr) == (0, "")
    done = subprocess.run(
        [str(tmp_path / "threads"), str(tmp_path)],
        env={**os.environ, **OPTIONS, "ASAN_OPTIONS": "detect_leaks=1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, "two threads, as expected\n"), done.stderr[-4000:]
