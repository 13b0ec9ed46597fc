"""Interpreter: the Pythons of this machine that venvs are built for, and the uv and pip that build them."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from hdm_airflow.errors import VenvBuildError
from hdm_airflow.runner.venvs import package_index

#: Prefixes of the worker's variables that a build sees: where packages come from, and how to reach it.
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
#: Except those that say what to install and where, which the store decides (the official image of Airflow sets
#: PIP_USER), that would run code of packages in every build, and logins for other purposes.
_NOT = {
    "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_EDITABLE", "PIP_REQUIREMENT", "PIP_DRY_RUN",
    "UV_LINK_MODE", "UV_PROJECT", "UV_WORKING_DIR", "UV_VENV_SEED", "UV_COMPILE_BYTECODE",
    "UV_PUBLISH_USERNAME", "UV_PUBLISH_PASSWORD", "UV_PUBLISH_TOKEN", "UV_GITHUB_TOKEN",
}  # fmt: skip
_ANSWER_SECONDS = 60.0  # for a program that answers at once
_FACTS = (
    "import sys, os, platform; print(os.path.realpath(getattr(sys, '_base_executable', None) or sys.executable));"
    " print(platform.python_version()); print(sys.platform)"
)


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """A Python that venvs are built for."""

    path: str  # the real executable
    version: str  # major.minor
    implementation: str  # version, platform, machine and libc, as part of a venv's key

    @property
    def prefix(self) -> Path:
        """The folder with its executable and its standard library."""
        return Path(self.path).parent.parent


@cache
def find_interpreter(wanted: str | None) -> Interpreter:
    """The Python on this machine that matches a manifest's `python`; preferably the one that runs Airflow.

    Raises:
        VenvBuildError: if none matches.
    """
    own = platform.python_version()
    if wanted in {None, own, own.rpartition(".")[0]}:
        path = _own()
        version, full, system = own.rpartition(".")[0], own, sys.platform
    else:
        path, version, full, system = _find_python(str(wanted))
    libc = "-".join(platform.libc_ver())
    return Interpreter(path=path, version=version, implementation=f"{full} {system} {platform.machine()} {libc}")


def _find_python(wanted: str) -> tuple[str, str, str, str]:
    """Path, major.minor, full version and platform of another Python."""
    reason = "it is not on the PATH, and uv, which searches more places, is missing"
    uv = uv_program()
    if uv:
        try:
            return _facts(_ask([uv, "python", "find", "--no-project", "--system", "--", wanted]).strip())
        except (subprocess.SubprocessError, ValueError) as error:  # one broken shim on the PATH is enough
            reason = (getattr(error, "stderr", None) or str(error)).strip()
        except OSError as error:  # uv exists, but this machine cannot run it: treated as missing
            reason = f"it is not on the PATH, and {uv} cannot be started: {error.strerror}"
    for path in _on_path():
        with suppress(subprocess.SubprocessError, OSError, ValueError):  # the shim of another Python, or not a Python
            found = _facts(path)
            if _fits(found[2], wanted):
                return found
    hint = "install that Python on the worker, or correct python in properties.json"
    raise VenvBuildError(f"no Python on this machine matches {wanted!r}", reason, hint)


def _facts(path: str) -> tuple[str, str, str, str]:
    real, full, system = _ask([path, "-I", "-c", _FACTS]).split("\n")[:3]
    return real, ".".join(full.split(".")[:2]), full, system


def _on_path() -> Iterator[str]:
    """Candidates for the wanted Python: programs on the PATH named python3 or python3.X."""
    for folder in os.get_exec_path():
        for path in sorted(Path(folder).glob("python3*"), reverse=True):
            if re.fullmatch(r"python3(\.\d+)?", path.name) and os.access(path, os.X_OK):
                yield str(path)


def _fits(version: str, wanted: str) -> bool:
    """Whether a version matches the wanted one: `3.12`, `3.12.1`, `python3.12`, or `>=3.10,<3.13`."""
    wanted = wanted.removeprefix("python")
    if wanted[:1].isdigit():
        wanted = f"=={wanted}" if wanted.count(".") > 1 else f"=={wanted}.*"
    try:
        return SpecifierSet(wanted).contains(version)
    except InvalidSpecifier:
        return False


def _ask(command: list[str]) -> str:
    """The output of a program that answers at once."""
    done = subprocess.run(
        command, env=build_variables(), capture_output=True, text=True, check=True, timeout=_ANSWER_SECONDS, cwd="/"
    )
    return done.stdout


@cache
def bundled_pip(python: str) -> str:
    """The pip wheel that comes with an interpreter's ensurepip; '' if the distribution has removed it."""
    folders = [_ensurepip(python), "/usr/share/python-wheels"]
    wheels = [wheel for folder in folders if folder for wheel in Path(folder).glob("pip-*.whl")]
    return str(max(wheels, key=lambda wheel: [int(digits) for digits in re.findall(r"\d+", wheel.name)], default=""))


def _ensurepip(python: str) -> str:
    """The folder with an interpreter's wheels; '' if it has none."""
    if python == _own():
        spec = find_spec("ensurepip")
        return str(Path(spec.origin).with_name("_bundled")) if spec and spec.origin else ""
    script = "import ensurepip, os; print(os.path.join(os.path.dirname(ensurepip.__file__), '_bundled'))"
    answer = subprocess.run([python, "-I", "-S", "-c", script], capture_output=True, text=True, check=False)
    return (answer.stdout.splitlines() or [""])[0]


def _own() -> str:
    """The Python that runs Airflow; not the link to it in a virtual environment."""
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable))


def build_variables() -> dict[str, str]:
    """The variables of build programs: those of the worker that they need, and the index for both uv and pip."""
    found = {
        name: value
        for name, value in os.environ.items()
        if (name in _ALWAYS or name.upper().startswith(_BUILD_VARIABLES)) and name not in _NOT
    }
    return {
        **found,
        **package_index.for_uv(found),
        **package_index.for_pip(found),
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_LINK_MODE": "copy",  # a file of a venv that were a link would change with the file in uv's cache
        "UV_NO_CONFIG": found.get("UV_NO_CONFIG", "0"),
        "UV_NO_EDITABLE": "1",  # an editable install would point into the run's folder
    }


def uv_program() -> str | None:
    """The path of uv; None if it is missing or not executable."""
    try:
        from uv import find_uv_bin

        path: str | None = find_uv_bin()
    except (ImportError, FileNotFoundError):
        path = shutil.which("uv")
    return path if path and os.access(path, os.X_OK) else None
