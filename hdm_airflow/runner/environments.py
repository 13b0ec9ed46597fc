"""The environment store: one installed set of requirements per content, shared by every run that wants it.

An environment is built with uv in a folder beside its place and renamed into it, under a lock that lasts only as
long as the build; afterwards no run changes it. What a bootstrap script installs on top goes into a layer: a small
virtual environment of that run alone, which sees the store's packages behind its own.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from hdm_airflow.errors import EnvironmentBuildError
from hdm_airflow.packs.pack import REQUIREMENTS
from hdm_airflow.runner.interpreter import Interpreter, build_variables, find_interpreter, uv_program
from hdm_airflow.runner.masking import Masker
from hdm_airflow.runner.supervision import CutShortError, Supervision

_INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")
_LOGIN_IN_URL = re.compile(r"://[^/\s@]+@")  # of a package index, in what uv prints
_LOCK_INTERVAL = 0.1  # seconds between two tries


@dataclass(frozen=True, kw_only=True)
class Environment:
    """One finished environment of the store."""

    key: str
    path: Path
    interpreter: Interpreter
    requirements: str  # sha256 of requirements.txt's bytes; of b"" where there is none

    @property
    def site_packages(self) -> Path:
        """Where its packages lie."""
        return self.path / "lib" / f"python{self.interpreter.version}" / "site-packages"


class EnvironmentStore:
    """The environments of one user.

    Args:
        root: its folder; made when missing.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(
        self, pack: Path, name: str, python: str | None, *, supervision: Supervision, log: Callable[[str], None]
    ) -> Environment:
        """The environment of a pack, built if it is not there.

        Args:
            pack: the pack's folder (the run's copy).
            name: the pack's own folder, for errors.
            python: which Python, as uv understands it; None for the one that runs Airflow.
            supervision: under which it is built; its time limit and its end are the build's, too.
            log: told when something is built.

        Raises:
            EnvironmentBuildError: it could not be built; the resolver's message is in it.
        """
        try:
            return self._get(pack, python, supervision, log)
        except EnvironmentBuildError as error:
            raise EnvironmentBuildError(error.what, error.where or f"{name}/{REQUIREMENTS}", error.hint) from None

    def _get(self, pack: Path, python: str | None, supervision: Supervision, log: Callable[[str], None]) -> Environment:
        interpreter = find_interpreter(python)
        content = _requirements(pack)
        key = _key(content, pack, interpreter)
        environment = Environment(
            key=key, path=self.root / key, interpreter=interpreter, requirements=hashlib.sha256(content).hexdigest()
        )
        if not environment.path.is_dir():
            with self._lock(key, supervision):
                if not environment.path.is_dir():
                    log(f"building environment {key} with Python {interpreter.version}")
                    self._build(environment, pack, supervision, has_requirements=bool(content.strip()))
        os.utime(environment.path)  # when it was last used
        return environment

    @contextmanager
    def _lock(self, key: str, supervision: Supervision) -> Iterator[None]:
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = (self.root / f"{key}.lock").open("w")
        except OSError as error:
            what = f"the environment store cannot be written: {error.strerror}"
            hint = "set environment_store in the Variable hdm to a folder that Airflow's user may write"
            raise EnvironmentBuildError(what, str(self.root), hint) from None
        with file:
            while not _try_lock(file):
                supervision.check()
                time.sleep(_LOCK_INTERVAL)
            yield

    def _build(self, environment: Environment, pack: Path, supervision: Supervision, *, has_requirements: bool) -> None:
        for abandoned in self.root.glob(f".building-{environment.key}-*"):  # the lock is ours: its builder was killed
            shutil.rmtree(abandoned, ignore_errors=True)
        aside = Path(tempfile.mkdtemp(prefix=f".building-{environment.key}-", dir=self.root))
        target = str(aside / "env" / "bin" / "python")
        build = partial(_run_tool, supervision, pack, aside)
        try:
            python = environment.interpreter.path
            build(
                [
                    uv_program(),
                    "venv",
                    "--quiet",
                    "--relocatable",
                    "--no-project",
                    "--python",
                    python,
                    str(aside / "env"),
                ]
            )
            if has_requirements:
                build([uv_program(), "pip", "install", "--quiet", "--python", target, "--requirements", REQUIREMENTS])
                # uv writes no .pyc files, and a run must not: without them each run compiles its imports again
                build([target, "-I", "-m", "compileall", "-qq", "-j", "0", str(aside / "env" / "lib")], may_fail=True)
            (aside / "env").rename(environment.path)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _requirements(pack: Path) -> bytes:
    try:
        return (pack / REQUIREMENTS).read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        what = f"{REQUIREMENTS} cannot be read: {error.strerror}"
        raise EnvironmentBuildError(what, hint="make it a readable file, or remove it") from None


def _key(content: bytes, pack: Path, interpreter: Interpreter) -> str:
    """Name the environment by all that decides what is in it: requirements, Python, platform, index."""
    digest = hashlib.sha256(content)
    if _names_files(content):
        for path in sorted(path for path in pack.rglob("*") if path.is_file()):
            digest.update(f"\0{path.relative_to(pack).as_posix()}\0".encode())
            digest.update(path.read_bytes())
    index = {name: value for name, value in build_variables().items() if name in _INDEX_VARIABLES}
    facts = [interpreter.path, interpreter.version, interpreter.implementation, sorted(index.items())]
    digest.update(json.dumps(facts).encode())
    return digest.hexdigest()[:24]


def _names_files(content: bytes) -> bool:
    """Whether requirements may name other files of the pack (`-r other.txt`, `./wheel.whl`): then all of it counts."""
    lines = (line.strip() for line in content.decode("utf-8", "replace").splitlines())
    return any(line and not line.startswith("#") and (line.startswith("-") or "/" in line) for line in lines)


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _run_tool(
    supervision: Supervision, folder: Path, aside: Path, command: list[str], *, may_fail: bool = False
) -> None:
    """Run one step of a build."""
    lines: list[str] = []
    result = supervision.run(
        command, folder=folder, variables=build_variables(), log=lines.append, mask=Masker([]), leftovers=[aside]
    )
    if result.ended != "exit":
        raise CutShortError(result.ended)
    if result.exit_code and not may_fail:  # some packages carry files that are no Python of this version
        output = _LOGIN_IN_URL.sub("://***@", "\n".join(lines).strip())
        what = f"the environment could not be built:\n{output}"
        raise EnvironmentBuildError(what, hint="correct requirements.txt, or the index")
