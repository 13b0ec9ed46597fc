"""Verify build: what is seen to in a fresh venv before it is moved into its place.

Programs of its packages could write into it while it was built. They were shut in, and we are not: nothing that they
have left there may lead us elsewhere, or keep us waiting.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from hdm_airflow.errors import VenvBuildError
from hdm_airflow.packs.pack import REQUIREMENTS

#: Links that a virtual environment has; we follow none.
_LINKS = re.compile(r"lib64|bin/[^/]+")
#: How a script's first lines say which Python runs it, as pip writes them.
_HEADER = re.compile(rb"\A#!(?:[^\n]*/python[0-9.]*|/bin/sh\n'''exec' [^\n]*\n' ''')\n")
#: As uv writes them: the Python in the script's own folder, wherever that is.
RELOCATABLE_HEADER = b"#!/bin/sh\n'''exec' \"$(dirname -- \"$(realpath -- \"$0\")\")\"/'python' \"$0\" \"$@\"\n' '''\n"


def refuse_traps(venv: Path) -> None:
    """Look for links and special files that no virtual environment has.

    Raises:
        VenvBuildError: there is one.
    """
    folders = [str(venv)]
    while folders:
        folder = folders.pop()
        if os.path.islink(folder):
            raise _trap(folder, venv)
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.is_symlink():
                    if not _LINKS.fullmatch(os.path.relpath(entry.path, venv)):
                        raise _trap(entry.path, venv)
                elif not entry.is_file():
                    raise _trap(entry.path, venv)


def _trap(path: str, venv: Path) -> VenvBuildError:
    what = f"a package put a link or special file into the venv: {os.path.relpath(path, venv)}"
    return VenvBuildError(what, hint="find out which package does that, and do without it")


def relocate(venv: Path, final: Path) -> None:
    """Let nothing that pip has made name the folder of the build: scripts, activate, pyvenv.cfg.

    Args:
        venv: where it is.
        final: where it will be.
    """
    here, there = str(venv).encode(), str(final).encode()
    for path in (*(venv / "bin").iterdir(), venv / "pyvenv.cfg"):
        content = b"" if path.is_symlink() or not path.is_file() else path.read_bytes()
        if here in content and b"\0" not in content:
            path.write_bytes(_HEADER.sub(RELOCATABLE_HEADER, content, count=1).replace(here, there))


def refuse_editables(packages: Path) -> None:
    """Look for editable installs: one points into the run's copy of the pack, which is removed.

    New releases of uv install what `-e` names like any other package; older ones and pip do not.

    Raises:
        VenvBuildError: there is one.
    """
    found = [path.stem for path in packages.glob("*.egg-link")]
    found += [
        path.parent.stem
        for path in packages.glob("*.dist-info/direct_url.json")
        if json.loads(path.read_bytes()).get("dir_info", {}).get("editable")
    ]
    if found:
        what = f"editable installs (-e) are not supported: {', '.join(sorted(found))}"
        raise VenvBuildError(what, hint=f"write it without -e in {REQUIREMENTS}")
