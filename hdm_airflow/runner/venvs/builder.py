"""Builder: builds one venv in a folder, with uv, or with venv and pip if uv is missing."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hdm_airflow.errors import VenvBuildError
from hdm_airflow.packs.pack import REQUIREMENTS
from hdm_airflow.runner.masking import Masker
from hdm_airflow.runner.processes.supervision import CutShortError, Supervision
from hdm_airflow.runner.venvs import package_index, verify_build
from hdm_airflow.runner.venvs.build_confinement import build_confinement
from hdm_airflow.runner.venvs.interpreter import Interpreter, build_variables, bundled_pip, uv_program
from hdm_airflow.runner.venvs.package_index import masked, secrets
from hdm_airflow.runner.venvs.record import site_packages
from hdm_airflow.runner.venvs.requirements import Requirements

_FULL = re.compile(r"No space left on device|Disk quota exceeded|\b(?:os error|Errno) (?:28|122)\b")
_NO_GIT = re.compile(r"Git executable not found|Cannot find command 'git'")
_DENIED = re.compile(r"Permission denied|Host key verification failed")
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
        distrusted: packages whose files in uv's cache may be damaged.
    """

    pack: Path
    requirements: Requirements
    interpreter: Interpreter
    final: Path
    staging: Path
    temporary: Path
    supervision: Supervision
    distrusted: Sequence[str] = ()

    @cached_property
    def _variables(self) -> dict[str, str]:
        found = {**build_variables(), "TMPDIR": str(self.temporary)}
        if self.supervision.sandbox is None:
            # With links, a damaged file of the store would also be damaged in uv's cache, and come back from there. In
            # the sandbox no pack can damage one, and copies take twice as long.
            found.setdefault("UV_LINK_MODE", "copy")
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
        if self.requirements.lines:
            verify_build.refuse_editables(site_packages(self.folder, self.interpreter.version))
        return " ".join(version.split()[:2])

    @property
    def _python(self) -> str:
        return str(self.folder / "bin" / "python")

    def _build_with_uv(self, uv: str) -> bool:
        """Build with uv; return False if uv cannot read requirements.txt, of which pip supports more forms."""
        quiet = ["--quiet", "--no-project"]
        kept = _answer([uv, "cache", "dir"], self._variables)
        caches = [Path(kept)] if _is_writable(kept) else []
        if not caches:
            self._variables["UV_NO_CACHE"] = "1"
        steps = [[uv, "venv", *quiet, "--relocatable", "--python", self.interpreter.path, str(self.folder)]]
        if self.requirements.lines:
            no_index = ["--no-index"] if self._variables.get("PIP_NO_INDEX") in {"1", "true"} else []
            options = [*no_index, *self.requirements.uv_options, "--requirements", REQUIREMENTS]
            steps.append([uv, "pip", "install", "--quiet", "--python", self._python, *options])
        if self.distrusted and caches:
            steps.insert(0, [uv, "cache", "clean", "--quiet", "--", *self.distrusted])
        try:
            self._run(steps, read=[Path(uv)], write=caches)
        except VenvBuildError as error:
            if not _UNREAD.search(error.what):
                raise
            self.folder.rename(self.staging / "unfinished")  # removed with the rest, whatever it has become
            return False
        return True

    def _build_with_pip(self) -> str:
        pip = bundled_pip(self.interpreter.path) or bundled_pip(sys.executable)
        if not pip:
            what = f"uv is missing on this worker, and Python {self.interpreter.version} comes without pip"
            raise VenvBuildError(what, self.interpreter.path, "install uv, or your distribution's python3-venv")
        steps = [[self.interpreter.path, "-I", "-m", "venv", "--without-pip", str(self.folder)]]
        if self.requirements.lines:
            options = ["--quiet", "--no-compile", "--no-input", "--disable-pip-version-check"]
            steps.append([self._python, f"{pip}/pip", "install", *options, "--requirement", REQUIREMENTS])
        caches = self._variables.get("XDG_CACHE_HOME") or "~/.cache"
        kept = self._variables.get("PIP_CACHE_DIR") or f"{caches}/pip"
        self._run(steps, read=[Path(pip)], write=[Path(kept).expanduser()])
        verify_build.relocate(self.folder, self.final)
        return Path(pip).name.removesuffix("-py3-none-any.whl").replace("-", " ")

    def _run(self, steps: list[list[str]], *, read: list[Path], write: list[Path]) -> None:
        """Run the steps until one fails, under a single guard because starting one takes time.

        Args:
            steps: commands.
            read: what the tool itself needs to read.
            write: where the tool keeps its downloads; created if missing.
        """
        lines: list[str] = []
        result = self.supervision.run(
            ["/bin/sh", "-c", " && ".join(map(shlex.join, steps))],
            folder=self.pack,
            variables=self._variables,
            log=lines.append,
            mask=Masker(secrets(self._variables.values())),
            confinement=build_confinement(
                self.supervision.sandbox,
                own=self.staging,
                variables=self._variables,
                read=[self.interpreter.prefix, *read],
                write=[self.pack, self.temporary, *write],
            ),
        )
        if result.end_reason == "limit":
            what = f"the venv could not be built: {result.limit_exceeded}"
            raise VenvBuildError(what, hint="check what the packages run during installation")
        if result.end_reason != "exit":
            raise CutShortError(result.end_reason)
        if result.exit_code:
            raise self._error("\n".join(lines).strip())
        verify_build.refuse_traps(self.folder)

    def _error(self, output: str) -> VenvBuildError:
        what = f"the venv could not be built:\n{masked(output)[-_SHOWN:]}"
        if _FULL.search(output):
            cache = self._variables.get("UV_CACHE_DIR") or self._variables.get("XDG_CACHE_HOME") or "~/.cache"
            return disk_full((self.staging, Path(cache).expanduser(), Path(tempfile.gettempdir())), output)
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
