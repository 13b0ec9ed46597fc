"""A venv store on its own: packs with nothing but requirements, and what is installed for them."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hdm_airflow.runner.processes.run_folder import run_folder
from hdm_airflow.runner.processes.sandbox import Sandbox
from hdm_airflow.runner.processes.supervision import Supervision
from hdm_airflow.runner.venvs.options import VenvOptions
from hdm_airflow.runner.venvs.retention import Entry
from hdm_airflow.runner.venvs.store import Venv, VenvStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

_LIST = """
import importlib.metadata, json
print(json.dumps({one.metadata["Name"]: one.version for one in importlib.metadata.distributions()}))
"""


@dataclass
class Shop:
    """One store and one pack."""

    store: VenvStore
    pack: Path
    tool: str = "uv"  # the tool that builds
    lines: list[str] = field(default_factory=list)  # what the store logged
    sandbox: Sandbox | None = None  # in which it builds

    def require(self, content: str | bytes | None) -> None:
        """Write the pack's requirements.txt; None: it has none."""
        path = self.pack / "requirements.txt"
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    @contextmanager
    def use(self, content: str | bytes | None = "", python: str | None = None) -> Iterator[Venv]:
        """The venv of these requirements, as a run uses it."""
        self.require(content)
        with run_folder() as folder:
            supervision = Supervision(None, folder, lambda: None, self.sandbox)
            with self.store.use(self.pack, "pack", python, supervision=supervision, log=self.lines.append) as venv:
                yield venv

    def get(self, content: str | bytes | None = "", python: str | None = None) -> Venv:
        """The same, after the run has ended."""
        with self.use(content, python) as venv:
            return venv

    def installed(self, content: str | bytes | None = "") -> dict[str, str]:
        """Package -> version, as the venv's own Python sees them."""
        return packages(self.get(content))

    def prune(self, *, days: float | None = None, size: int | None = None, dry_run: bool = False) -> list[Entry]:
        """What the store removes if it keeps no more than this."""
        return store_in(self.store.root, days=days, size=size).prune(dry_run=dry_run)

    @property
    def builds(self) -> int:
        """How many venvs were built."""
        return sum(line.startswith("building venv") for line in self.lines)

    @property
    def leftovers(self) -> list[str]:
        """The remains of builds and removals."""
        return [path.name for path in self.store.root.glob(".*")]


def store_in(folder: Path, *, days: float | None = None, size: int | None = None) -> VenvStore:
    """A store that keeps everything that is sound, unless the test says otherwise."""
    return VenvStore(VenvOptions(folder=str(folder), days=days, size=size))


def packages(venv: Venv) -> dict[str, str]:
    """Package -> version."""
    command = [str(venv.path / "bin/python"), "-I", "-c", _LIST]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(answer.stdout)
    return found


def isolate(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """Use no package index but the test's, and a separate cache."""
    for name in list(os.environ):
        if name.upper().startswith(("UV_", "PIP_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("UV_CACHE_DIR", str(cache))
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")  # nothing listens there
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("PIP_RETRIES", "0")


def without_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker from which uv was removed."""

    def missing() -> str:
        raise FileNotFoundError("uv")

    monkeypatch.setattr("uv.find_uv_bin", missing)
    path = [one for one in os.environ["PATH"].split(os.pathsep) if not (Path(one) / "uv").exists()]
    monkeypatch.setenv("PATH", os.pathsep.join(path))
