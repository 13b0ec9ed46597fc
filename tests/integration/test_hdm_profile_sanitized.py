"""hdm_profile built with sanitizers (addresses, undefined behaviour, threads), fed with streams damaged at random."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from uv import find_uv_bin

from tests.integration.pack_harness import PACKS

NATIVE = PACKS / "metric-packs" / "basic" / "native"
FEEDER = Path(__file__).with_name("hdm_profile_feeder.py")
ROOT = Path(__file__).parents[2]
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


@pytest.fixture(scope="module")
def sanitized(request: pytest.FixtureRequest, require: Require, tmp_path_factory: pytest.TempPathFactory) -> Sanitized:
    """The package, installed from a copy of its sources into a folder of its own."""
    kind: str = request.param
    preload = sanitizer_library(kind, require)
    folder = tmp_path_factory.mktemp(kind)
    shutil.copytree(NATIVE, folder / "native", ignore=shutil.ignore_patterns("__pycache__"))
    command = [find_uv_bin(), "pip", "install", "--offline", "--no-build-isolation", "--python", sys.executable]
    done = subprocess.run(
        [*command, "--cache-dir", str(folder / "cache"), "--target", str(folder / "target"), str(folder / "native")],
        env={**os.environ, "HDM_PROFILE_SANITIZE": kind},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    return Sanitized(target=folder / "target", preload=preload)


def sanitizer_library(kind: str, require: Require) -> str:
    """The library of a sanitizer, of the compiler that the build will take."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    require("integration", None if compiler else "neither gcc nor clang is there: install gcc and libc6-dev")
    assert compiler is not None
    short = {"address": "asan", "thread": "tsan"}[kind]
    for name in (f"lib{short}.so", f"libclang_rt.{short}-x86_64.so", f"libclang_rt.{short}.so"):
        command = [compiler, f"-print-file-name={name}"]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        if Path(found).is_absolute():
            return found
    require("integration", f"{compiler} has no {kind} sanitizer: install lib{short}")
    raise AssertionError


@pytest.mark.parametrize(
    ("sanitized", "seed", "threads"), [("address", 1, 1), ("address", 2, 2), ("thread", 3, 2)], indirect=["sanitized"]
)
def test_damaged_streams_do_nothing_that_c_forbids(sanitized: Sanitized, seed: int, threads: int) -> None:
    """No access beyond a buffer, no overflow, no data race, no crash: the sanitizers end the process at the first."""
    done = subprocess.run(
        [sys.executable, str(FEEDER), str(SECONDS), str(seed), str(threads)],
        env={
            **os.environ,
            **OPTIONS,
            "LD_PRELOAD": sanitized.preload,
            "PYTHONPATH": os.pathsep.join([str(sanitized.target), str(ROOT)]),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert not done.returncode, done.stdout[-2000:] + done.stderr[-4000:]
    assert str(sanitized.target) in done.stdout
    assert "streams" in done.stdout
