"""The Pythons of this machine, and uv: what environments are built for, and with."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hdm_airflow.errors import EnvironmentBuildError

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


@cache
def find_interpreter(wanted: str | None) -> Interpreter:
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
        path = _ask([uv_program(), "python", "find", "--no-project", "--system", wanted]).strip()
        version, full, system = _ask([path, "-I", "-c", script]).split()
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        hint = "install that Python on the worker, or correct python in properties.json"
        reason = (getattr(error, "stderr", None) or str(error)).strip()
        raise EnvironmentBuildError(f"there is no Python {wanted!r} here", reason, hint) from None
    return path, version, full, system


def _ask(command: list[str]) -> str:
    """What a program that answers at once prints."""
    done = subprocess.run(
        command, env=build_variables(), capture_output=True, text=True, check=True, timeout=_ANSWER_SECONDS, cwd="/"
    )
    return done.stdout


@cache
def bundled_pip(python: str) -> str:
    """The pip wheel that comes with an interpreter's ensurepip; '' where a distribution has taken it out."""
    script = "import ensurepip, os; print(os.path.join(os.path.dirname(ensurepip.__file__), '_bundled'))"
    answer = subprocess.run([python, "-I", "-S", "-c", script], capture_output=True, text=True, check=False)
    folders = [*answer.stdout.splitlines()[:1], "/usr/share/python-wheels"]
    wheels = [str(wheel) for folder in folders if folder for wheel in sorted(Path(folder).glob("pip-*.whl"))]
    return wheels[0] if wheels else ""


def build_variables() -> dict[str, str]:
    found = {
        name: value
        for name, value in os.environ.items()
        if name in _ALWAYS or name.upper().startswith(_BUILD_VARIABLES)
    }
    for pip_name, uv_name in _FROM_PIP.items():
        if pip_name in found:
            found.setdefault(uv_name, found[pip_name])
    return {**found, "UV_PYTHON_DOWNLOADS": "never", "UV_NO_CONFIG": found.get("UV_NO_CONFIG", "0")}


def uv_program() -> str:
    from uv import find_uv_bin

    return find_uv_bin()
