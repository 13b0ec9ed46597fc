"""Builder: builds one venv in a folder, with uv, or with venv and pip if uv is missing.

Code of packages must not write what others execute. So uv first installs wheels, which runs none of their code, with
the cache that all builds share. If something must be built, the build starts again with an empty cache and a home of
its own, and can write to nothing that outlives the run except the venv. With pip, it always starts that way.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hdm_airflow.errors import VenvBuildError
from hdm_airflow.packs.pack import REQUIREMENTS
from hdm_airflow.runner.home import worker_home
from hdm_airflow.runner.masking import Masker
from hdm_airflow.runner.processes.supervision import CutShortError, Supervision
from hdm_airflow.runner.venvs import package_index, verify_build
from hdm_airflow.runner.venvs.build_confinement import CONFIGURATION, build_confinement
from hdm_airflow.runner.venvs.build_home import BuildHome, is_offline, make_build_home
from hdm_airflow.runner.venvs.interpreter import Interpreter, build_variables, bundled_pip, uv_program
from hdm_airflow.runner.venvs.package_index import masked
from hdm_airflow.runner.venvs.record import site_packages
from hdm_airflow.runner.venvs.requirements import Requirements

_FULL = re.compile(r"No space left on device|Disk quota exceeded|\b(?:os error|Errno) (?:28|122)\b")
_NO_GIT = re.compile(r"Git executable not found|Cannot find command 'git'")
_DENIED = re.compile(r"Permission denied|Host key verification failed")
#: uv's words for a refused connection, an unknown host, a time-out, a certificate that it does not trust.
_UNREACHABLE = re.compile(r"^ *(?:cause|Caused by): error sending request for url", re.MULTILINE)
_UNREAD = re.compile(
    r"^error: (?:(?:Unexpected|Expected) .*:\d+:\d+$|Couldn't parse requirement|failed to decode)", re.MULTILINE
)
_SHOWN = 50_000  # characters of a build's output that an error shows, from its end
_ROOM = 64 << 20  # bytes; an error names a disk with less as full


@dataclass(frozen=True, kw_only=True)
class Builder:
    """Builds one venv.

    Args:
        pack: the run's copy of the pack; the working folder.
        requirements: what to install.
        interpreter: the Python to build for.
        final: where the venv will be moved to.
        staging: where it is built; the caller removes this folder afterwards.
        temporary: for temporary files, removed likewise; its path is short, because tools create sockets in it.
        supervision: runs every step.
        log: called with a line if packages must be built from source.
        distrusted: packages whose files in uv's cache may be damaged.
    """

    pack: Path
    requirements: Requirements
    interpreter: Interpreter
    final: Path
    staging: Path
    temporary: Path
    supervision: Supervision
    log: Callable[[str], None]
    distrusted: Sequence[str] = ()

    @cached_property
    def _variables(self) -> dict[str, str]:
        found = {**build_variables(), "TMPDIR": str(self.temporary)}
        if self.requirements.names_index:  # as with pip, the file wins; with uv, the variables would
            return {name: value for name, value in found.items() if name not in package_index.INDEXES}
        return found

    @property
    def folder(self) -> Path:
        """Where the venv is until it is moved."""
        return self.staging / "venv"

    def build(self) -> str:
        """Build the venv.

        Returns:
            The tool that built it, e.g. `uv 0.9.2`.

        Raises:
            VenvBuildError: if it cannot be built; contains the resolver's message.
            CutShortError: if time is up, or the run was killed.
        """
        uv = uv_program()
        version = _answer([uv, "--version"], self._variables) if uv else ""
        if not (uv and version and self._build_with_uv(uv)):
            version = self._build_with_pip()
        verify_build.refuse_traps(self.folder)
        if self.requirements.lines:
            verify_build.refuse_editables(site_packages(self.folder, self.interpreter.version))
        return " ".join(version.split()[:2])

    @property
    def _python(self) -> str:
        return str(self.folder / "bin" / "python")

    def _build_with_uv(self, uv: str) -> bool:
        """Build with uv; return False if uv cannot read requirements.txt, of which pip supports more forms."""
        if not self.requirements.trusts_hosts:
            failure = self._install_wheels(uv)
            if failure is None:
                return True
            if not self.requirements.lines or _FULL.search(failure) or _UNREACHABLE.search(failure):
                raise self._error(failure)
            self._set_aside()
            if _UNREAD.search(failure):
                return False
            self.log("wheels alone are not enough: packages are built from source, without uv's cache")
        failure = self._build_sources(uv)
        if failure is None:
            return True
        if not _UNREAD.search(failure):
            raise self._error(failure)
        self._set_aside()
        return False

    def _set_aside(self) -> None:
        """Make room for another try. What is moved away, whatever it has become, is removed with the staging folder."""
        if os.path.lexists(self.folder):
            self.folder.rename(Path(tempfile.mkdtemp(prefix="unfinished-", dir=self.staging)) / "venv")

    def _install_wheels(self, uv: str) -> str | None:
        """Install with the shared cache, without running code of packages; return the output if that fails.

        Of the programs that uv can start, Python runs while the venv is still empty, and git (which might run code of
        a repository in the pack) may not fetch anything. `-e` would build a package in spite of `--no-build`.
        """
        kept = "" if self._variables.get("UV_NO_CACHE") else _answer([uv, "cache", "dir"], self._variables)
        caches = [Path(kept)] if _is_writable(kept) else []
        cache = {"UV_CACHE_DIR": kept} if caches else {"UV_NO_CACHE": "1"}
        steps = self._uv_steps(uv, "--no-build", "--no-editable", "--no-compile-bytecode")
        if self.distrusted and caches:
            steps.insert(0, [uv, "cache", "clean", "--quiet", "--", *self.distrusted])
        read = [Path(uv), self.pack, *(worker_home() / name for name in CONFIGURATION)]
        variables = {**self._variables, **cache, "GIT_ALLOW_PROTOCOL": "none"}
        return self._run(steps, variables, read=read, write=caches)

    def _build_sources(self, uv: str) -> str | None:
        """Install with a cache of this build alone, running code of packages; return the output if that fails."""
        home, own, read = self._home(), self.staging / "cache", [Path(uv)]
        if is_offline(worker_home(), self._variables):
            shared = Path(_answer([uv, "cache", "dir"], self._variables))
            read.append(shared)  # a copied link may name a file there
            failure = self._run([["cp", "-R", str(shared), str(own)]], home.variables, read=read, write=[])
            if failure is not None:
                return failure
        variables = {**home.variables, "UV_CACHE_DIR": str(own)}
        return self._run(self._uv_steps(uv), variables, read=read, write=[self.pack], secrets=home.secrets)

    def _uv_steps(self, uv: str, *options: str) -> list[list[str]]:
        """The commands of a build with uv, which take no settings from the pack's folder: they apply to the cache too.

        Args:
            uv: the program.
            options: of `uv pip install`.
        """
        quiet = ["--quiet", "--project", str(self.staging)]
        venv = [uv, "venv", *quiet, "--no-project", "--relocatable", "--python", self.interpreter.path]
        steps = [[*venv, str(self.folder)]]
        if self.requirements.lines:
            without = self._variables.get("PIP_NO_INDEX") in {"1", "true"} and not package_index.is_offline(
                self._variables
            )
            given = [
                *(["--no-index"] if without else []),
                *self.requirements.uv_options,
                *options,
                "--requirements",
                REQUIREMENTS,
            ]
            steps.append([uv, "pip", "install", *quiet, "--python", self._python, *given])
        return steps

    def _build_with_pip(self) -> str:
        pip = bundled_pip(self.interpreter.path) or bundled_pip(sys.executable)
        if not pip:
            what = f"uv is missing on this worker, and Python {self.interpreter.version} comes without pip"
            raise VenvBuildError(what, self.interpreter.path, "install uv, or your distribution's python3-venv")
        steps = [[self.interpreter.path, "-I", "-m", "venv", "--without-pip", str(self.folder)]]
        if self.requirements.lines:
            options = ["--quiet", "--no-compile", "--no-input", "--no-cache-dir", "--disable-pip-version-check"]
            steps.append([self._python, f"{pip}/pip", "install", *options, "--requirement", REQUIREMENTS])
        home = self._home()
        failure = self._run(steps, home.variables, read=[Path(pip)], write=[self.pack], secrets=home.secrets)
        if failure is not None:
            raise self._error(failure)
        verify_build.refuse_traps(self.folder)
        verify_build.relocate(self.folder, self.final)
        return Path(pip).name.removesuffix("-py3-none-any.whl").replace("-", " ")

    def _home(self) -> BuildHome:
        """The home of a build that runs code of packages."""
        place = Path(tempfile.mkdtemp(prefix="home-", dir=self.temporary)) / "home"
        lines = self.requirements.expanded(self._variables)
        return make_build_home(place, worker_home(), self._variables, lines)

    def _run(
        self,
        steps: list[list[str]],
        variables: Mapping[str, str],
        *,
        read: list[Path],
        write: list[Path],
        secrets: Sequence[str] = (),
    ) -> str | None:
        """Run the steps until one fails, under a single guard because starting one takes time.

        Args:
            steps: commands.
            variables: all variables that they get.
            read: what they need to read in addition to the Python.
            write: what they may change in addition to the build's own folders; created if missing.
            secrets: passwords to mask, in addition to those in the variables.

        Returns:
            The output if a step fails; None if none does.
        """
        lines: list[str] = []
        result = self.supervision.run(
            ["/bin/sh", "-c", " && ".join(map(shlex.join, steps))],
            folder=self.pack,
            variables=variables,
            log=lines.append,
            mask=Masker([*package_index.secrets(variables.values()), *secrets]),
            confinement=build_confinement(
                self.supervision.sandbox,
                own=self.staging,
                variables=dict(variables),
                read=[self.interpreter.prefix, *read],
                write=[self.temporary, *write],
            ),
        )
        if result.end_reason == "limit":
            what = f"the venv could not be built: {result.limit_exceeded}"
            raise VenvBuildError(what, hint="check what the packages run during installation")
        if result.end_reason != "exit":
            raise CutShortError(result.end_reason)
        if result.exit_code:
            return "\n".join(lines).strip()
        return None

    def _error(self, output: str) -> VenvBuildError:
        what = f"the venv could not be built:\n{masked(output)[-_SHOWN:]}"
        if _FULL.search(output):
            cache = (
                self._variables.get("UV_CACHE_DIR") or self._variables.get("XDG_CACHE_HOME") or worker_home() / ".cache"
            )
            return disk_full((self.staging, Path(cache), Path(tempfile.gettempdir())), output)
        if _NO_GIT.search(output):
            return VenvBuildError(what, hint="install git on the worker, or name a released version instead")
        if self.supervision.sandbox and _DENIED.search(output):
            hint = "builds cannot see home or temporary folders: add what they need to sandbox.read or sandbox.write"
            return VenvBuildError(what, hint=f"{hint} in the Variable hdm")
        return VenvBuildError(what, hint="correct requirements.txt or the package index")


def disk_full(places: Iterable[Path], output: str) -> VenvBuildError:
    """The error for a full disk.

    Args:
        places: folders that the build writes to, the store's first.
        output: the messages of the failed build.
    """
    store, *others = places
    root = store.parent if store.name.startswith(".") else store
    full = [path for path in others if _free(path) < _ROOM and _free(path) != _free(root)]
    named = "; ".join(f"{path} has {_free(path) / 1e6:.1f} MB left" for path in (root, *full))
    what = f"the disk is full: the venv could not be built ({named}):\n{masked(output)}"
    hint = "free space (airflow hdm venvs prune), or set venvs.folder in the Variable hdm to a larger disk"
    return VenvBuildError(what, str(root), hint)


def _free(path: Path) -> int:
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def _is_writable(folder: str) -> bool:
    """Whether a folder can be written to; it is created if missing. A service's user may have no home."""
    if not os.path.isabs(folder):  # without a home, uv would use the current folder
        return False
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def _answer(command: list[str], variables: dict[str, str]) -> str:
    """What a program prints about itself; '' if this machine cannot run it."""
    try:
        answer = subprocess.run(command, env=variables, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()
