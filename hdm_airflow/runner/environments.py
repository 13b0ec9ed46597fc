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
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import IO

from hdm_airflow.errors import EnvironmentBuildError
from hdm_airflow.packs.pack import REQUIREMENTS
from hdm_airflow.runner import pip_shim
from hdm_airflow.runner.masking import Masker
from hdm_airflow.runner.supervision import CutShortError, Supervision
from hdm_airflow.sdk import hdm as sdk

#: Which of the worker's variables a build sees: where packages come from, and how to get there.
_BUILD_VARIABLES = (
    "UV_",
    "PIP_",
    "SSL_CERT",
    "REQUESTS_CA_BUNDLE",
    "NETRC",
    "HTTP_",
    "HTTPS_",
    "ALL_PROXY",
    "NO_PROXY",
)
_ALWAYS = ("PATH", "HOME", "TMPDIR", "LANG", "XDG_CACHE_HOME")
_INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")
_LOCK_INTERVAL = 0.1  # seconds between two tries
_ANSWER_SECONDS = 60.0  # for a program that is only asked for a fact
#: pip's setting -> uv's of the same meaning, taken where uv's own is not set.
_FROM_PIP = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_FIND_LINKS": "UV_FIND_LINKS",
}


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """A Python that environments are built for."""

    path: str  # the real executable
    version: str  # major.minor
    implementation: str  # platform, machine and build, as the key of an environment needs them


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
        interpreter = _interpreter(python)
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
            build([_uv(), "venv", "--quiet", "--relocatable", "--no-project", "--python", python, str(aside / "env")])
            if has_requirements:
                build([_uv(), "pip", "install", "--quiet", "--python", target, "--requirements", REQUIREMENTS])
                # uv writes no .pyc files, and a run must not: without them each run compiles its imports again
                build([target, "-I", "-m", "compileall", "-qq", "-j", "0", str(aside / "env" / "lib")], may_fail=True)
            (aside / "env").rename(environment.path)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def make_layer(environment: Environment, folder: Path) -> Path:
    """Make a run's own virtual environment on top of one of the store.

    Args:
        environment: whose packages it sees.
        folder: where; it must not exist.

    Returns:
        Its folder of executables, to be put on PATH.
    """
    interpreter = environment.interpreter
    bin_folder = folder / "bin"
    packages = folder / "lib" / f"python{interpreter.version}" / "site-packages"
    (packages / "pip").mkdir(parents=True)
    bin_folder.mkdir()
    for name in ("python", "python3", f"python{interpreter.version}"):
        (bin_folder / name).symlink_to(interpreter.path)
    (folder / "pyvenv.cfg").write_text(f"home = {Path(interpreter.path).parent}\nversion = {interpreter.version}\n")
    # addsitedir, not the bare path: .pth files of the store's packages count too
    (packages / "hdm.pth").write_text(f"import site; site.addsitedir({str(environment.site_packages)!r})\n")
    shutil.copyfile(sdk.__file__, packages / "hdm.py")
    facts = {"key": environment.key, "requirements": environment.requirements, "pip": _bundled_pip(interpreter.path)}
    (packages / "pip" / "environment.json").write_text(json.dumps(facts), "utf-8")
    (packages / "pip" / "__init__.py").touch()
    shutil.copyfile(pip_shim.__file__, packages / "pip" / "__main__.py")
    for name in ("pip", "pip3"):
        script = bin_folder / name
        script.write_text('#!/bin/sh\nexec "${0%/*}/python" -m pip "$@"\n')
        script.chmod(0o700)
    return bin_folder


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
    index = {name: value for name, value in _build_environment().items() if name in _INDEX_VARIABLES}
    facts = [interpreter.path, interpreter.version, interpreter.implementation, sorted(index.items())]
    digest.update(json.dumps(facts).encode())
    return digest.hexdigest()[:24]


def _names_files(content: bytes) -> bool:
    """Whether requirements may name other files of the pack (`-r other.txt`, `./wheel.whl`): then all of it counts."""
    lines = (line.strip() for line in content.decode("utf-8", "replace").splitlines())
    return any(line and not line.startswith("#") and (line.startswith("-") or "/" in line) for line in lines)


def _build_environment() -> dict[str, str]:
    found = {
        name: value
        for name, value in os.environ.items()
        if name in _ALWAYS or name.upper().startswith(_BUILD_VARIABLES)
    }
    for pip_name, uv_name in _FROM_PIP.items():
        if pip_name in found:
            found.setdefault(uv_name, found[pip_name])
    return {**found, "UV_PYTHON_DOWNLOADS": "never", "UV_NO_CONFIG": found.get("UV_NO_CONFIG", "0")}


@cache
def _interpreter(wanted: str | None) -> Interpreter:
    """The Python that a manifest asks for, among those on this machine: the one that runs Airflow where it fits."""
    own = platform.python_version()
    if wanted in {None, own, own.rpartition(".")[0]}:
        path = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
        version, full, system = own.rpartition(".")[0], own, sys.platform
    else:
        path, version, full, system = _find_python(str(wanted))
    libc = "-".join(platform.libc_ver())
    return Interpreter(path=path, version=version, implementation=f"{full} {system} {platform.machine()} {libc}")


def _find_python(wanted: str) -> tuple[str, str, str, str]:
    """Path, major.minor, full version and platform of another Python."""
    script = "import sys, platform; print('%d.%d' % sys.version_info[:2], platform.python_version(), sys.platform)"
    try:
        path = _ask([_uv(), "python", "find", "--no-project", "--system", wanted]).strip()
        version, full, system = _ask([path, "-I", "-c", script]).split()
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        hint = "install that Python on the worker, or correct python in properties.json"
        reason = (getattr(error, "stderr", None) or str(error)).strip()
        raise EnvironmentBuildError(f"there is no Python {wanted!r} here", reason, hint) from None
    return path, version, full, system


def _ask(command: list[str]) -> str:
    """What a program that answers at once prints."""
    done = subprocess.run(
        command, env=_build_environment(), capture_output=True, text=True, check=True, timeout=_ANSWER_SECONDS, cwd="/"
    )
    return done.stdout


@cache
def _bundled_pip(python: str) -> str:
    """The pip wheel that comes with an interpreter's ensurepip; '' where a distribution has taken it out."""
    script = "import ensurepip, os; print(os.path.join(os.path.dirname(ensurepip.__file__), '_bundled'))"
    answer = subprocess.run([python, "-I", "-S", "-c", script], capture_output=True, text=True, check=False)
    folders = [*answer.stdout.splitlines()[:1], "/usr/share/python-wheels"]
    wheels = [str(wheel) for folder in folders if folder for wheel in sorted(Path(folder).glob("pip-*.whl"))]
    return wheels[0] if wheels else ""


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
        command, folder=folder, variables=_build_environment(), log=lines.append, mask=Masker([]), leftovers=[aside]
    )
    if result.ended != "exit":
        raise CutShortError(result.ended)
    if result.exit_code and not may_fail:  # some packages carry files that are no Python of this version
        output = "\n".join(lines).strip()
        what = f"the environment could not be built:\n{output}"
        raise EnvironmentBuildError(what, hint="correct requirements.txt, or the index")


def _uv() -> str:
    from uv import find_uv_bin

    return find_uv_bin()
