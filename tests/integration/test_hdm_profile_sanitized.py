"""hdm_profile built with sanitizers, of addresses and of undefined behaviour, fed with streams damaged at random."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from uv import find_uv_bin

from tests.integration.pack_harness import PACKS

NATIVE = PACKS / "metric-packs" / "basic" / "native"
FEEDER = Path(__file__).with_name("hdm_profile_feeder.py")
ROOT = Path(__file__).parents[2]
SECONDS = 8  # of feeding


@pytest.fixture(scope="module")
def sanitizers(require: Callable[[str, str | None], None]) -> str:
    """The libraries that must be loaded first: of the compiler that the build will take."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    require("integration", None if compiler else "neither gcc nor clang is there: install gcc and libc6-dev")
    assert compiler is not None
    for name in ("libasan.so", "libclang_rt.asan-x86_64.so", "libclang_rt.asan.so"):
        command = [compiler, f"-print-file-name={name}"]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        if Path(found).is_absolute():
            return found
    require("integration", f"{compiler} has no address sanitizer: install libasan")
    raise AssertionError


@pytest.fixture(scope="module")
def library(sanitizers: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, installed from a copy of its sources into a folder of its own."""
    folder = tmp_path_factory.mktemp("sanitized")
    shutil.copytree(NATIVE, folder / "native", ignore=shutil.ignore_patterns("__pycache__"))
    command = [find_uv_bin(), "pip", "install", "--offline", "--no-build-isolation", "--python", sys.executable]
    done = subprocess.run(
        [*command, "--cache-dir", str(folder / "cache"), "--target", str(folder / "target"), str(folder / "native")],
        env={**os.environ, "HDM_PROFILE_SANITIZE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    return folder / "target"


@pytest.mark.parametrize("seed", [1, 2])
def test_damaged_streams_do_nothing_that_c_forbids(seed: int, sanitizers: str, library: Path) -> None:
    """No access beyond a buffer, no overflow, no crash: the sanitizers end the process at the first."""
    done = subprocess.run(
        [sys.executable, str(FEEDER), str(SECONDS), str(seed)],
        env={
            **os.environ,
            "LD_PRELOAD": sanitizers,
            "ASAN_OPTIONS": "detect_leaks=0",  # Python itself never frees some of its memory
            "UBSAN_OPTIONS": "print_stacktrace=1",
            "PYTHONPATH": os.pathsep.join([str(library), str(ROOT)]),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert not done.returncode, done.stdout[-2000:] + done.stderr[-4000:]
    assert str(library) in done.stdout
    assert "streams" in done.stdout
