"""The version of a build: the release's own on its tag, else `.devN` with a number for each commit.

`hdm_airflow/__init__.py` states the next release. Wheels and source archives get a copy of it with their own version,
so that an archive, which is not a checkout, builds into the same version.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
STATED = "hdm_airflow/__init__.py"
_LINE = re.compile(r'^__version__ = "(.*?)"', re.MULTILINE)


def version() -> str:
    """The version of what is built now."""
    [stated] = _LINE.findall((ROOT / STATED).read_text("utf-8"))
    if ".dev" in stated or not (ROOT / ".git").exists():  # an archive; never ask a repository around it
        return str(stated)
    if f"v{stated}" in _git("tag", "--points-at", "HEAD").split():
        return str(stated)
    shallow = _git("rev-parse", "--is-shallow-repository") == "true"  # without history: the commit's time, in seconds
    number = _git("log", "-1", "--format=%ct") if shallow else _git("rev-list", "--count", "HEAD")
    return f"{stated}.dev{number}" if number else str(stated)


def _git(*arguments: str) -> str:
    """The output of git; '' without git, or without a commit."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-c", "safe.directory=*", *arguments]  # also if the checkout belongs to another user
    try:
        done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


class VersionHook(BuildHookInterface[Any]):
    """Writes the version into what is built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Replace the module that states the version; an editable install uses the checkout's."""
        if version == "editable":
            return
        self._folder = tempfile.TemporaryDirectory()
        stamped = Path(self._folder.name, "stamped.py")
        text = (ROOT / STATED).read_text("utf-8")
        stamped.write_text(_LINE.sub(f'__version__ = "{self.metadata.version}"', text), "utf-8")
        build_data["force_include"][str(stamped)] = STATED

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002  # hatchling's
        """Remove the copy."""
        if version != "editable":
            self._folder.cleanup()
