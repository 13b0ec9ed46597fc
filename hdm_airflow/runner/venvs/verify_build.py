"""Verify build: checks and corrects a new venv before it is moved to its place.

Programs of its packages could write to it during the build. They ran in a sandbox, but we do not: nothing that they
left may lead us to other files, or block us.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from hdm_airflow.errors import VenvBuildError
from hdm_airflow.packs.pack import REQUIREMENTS

#: The links that a virtual environment has; we follow none of them.
_LINKS = re.compile(r"lib64|bin/[^/]+")
_ORIGIN = 1 << 20  # bytes of a direct_url.json that are read; it has a URL and a hash
_SCRIPT = 1 << 20  # bytes; a larger file is not a script that pip has written, or the build has filled it
#: The first lines of a script, as pip writes them: they name the Python that runs it.
_HEADER = re.compile(rb"\A#!(?:[^\n]*/python[0-9.]*|/bin/sh\n'''exec' [^\n]*\n' ''')\n")
#: The same as uv writes them: they find the Python in the script's own folder, wherever that is.
RELOCATABLE_HEADER = b"#!/bin/sh\n'''exec' \"$(dirname -- \"$(realpath -- \"$0\")\")\"/'python' \"$0\" \"$@\"\n' '''\n"


def refuse_traps(venv: Path) -> None:
    """Reject links and special files that virtual environments do not have.

    A second name of a file, outside the venv, would be a way to change it later.

    Raises:
        VenvBuildError: if there is one.
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
                elif not entry.is_file() or entry.stat(follow_symlinks=False).st_nlink > 1:
                    raise _trap(entry.path, venv)


def _trap(path: str, venv: Path) -> VenvBuildError:
    what = f"a package put a link or special file into the venv: {os.path.relpath(path, venv)}"
    return VenvBuildError(what, hint="find out which package does that, and do without it")


def relocate(venv: Path, final: Path) -> None:
    """Replace the path of the build in the files that name it: scripts, activate, pyvenv.cfg.

    Args:
        venv: the current path.
        final: the future path.
    """
    here, there = str(venv).encode(), str(final).encode()
    for path in (*(venv / "bin").iterdir(), venv / "pyvenv.cfg"):
        is_script = not path.is_symlink() and path.is_file() and path.stat().st_size <= _SCRIPT
        content = path.read_bytes() if is_script else b""
        if here in content and b"\0" not in content:
            path.write_bytes(_HEADER.sub(RELOCATABLE_HEADER, content, count=1).replace(here, there))


def refuse_editables(packages: Path) -> None:
    """Reject editable installs: they point into the run's copy of the pack, which is removed.

    New versions of uv install packages named with `-e` like any others; older versions and pip do not.

    Raises:
        VenvBuildError: if there is one.
    """
    found = [path.stem for path in packages.glob("*.egg-link")]
    found += [path.parent.stem for path in packages.glob("*.dist-info/direct_url.json") if _is_editable(path)]
    if found:
        what = f"editable installs (-e) are not supported: {', '.join(sorted(found))}"
        raise VenvBuildError(what, hint=f"write it without -e in {REQUIREMENTS}")


def _is_editable(origin: Path) -> bool:
    """What a package's direct_url.json says; a build can have written anything."""
    try:
        with origin.open("rb") as file:
            return bool(json.loads(file.read(_ORIGIN)).get("dir_info", {}).get("editable"))
    except (ValueError, AttributeError, RecursionError):
        what = f"a package put a malformed file into the venv: {origin.parent.name}/{origin.name}"
        raise VenvBuildError(what, hint="find out which package does that, and do without it") from None
