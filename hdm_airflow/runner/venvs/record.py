"""Record: what a venv is made of, written into it when it is complete."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from pathlib import Path

from hdm_airflow.packs import files
from hdm_airflow.runner.venvs.interpreter import Interpreter, bundled_pip

FILE = "hdm-venv.json"
#: Exists once all modules are compiled and all files are on the disk.
PRECOMPILED = "hdm-precompiled"
#: A fault after which uv's cache may be damaged too: what a build downloads is written there first.
CRASHED = "the machine went down before its files were on the disk"
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_READ_ONLY = ~0o222


@dataclass(frozen=True, kw_only=True)
class Record:
    """A finished venv, as it was built."""

    key: str
    python: str  # major.minor
    implementation: str
    interpreter: str  # path of the Python that it is based on
    pip: str  # path of the pip that comes with that Python; '' for none. Stored, because finding it takes 60 ms
    builder: str  # e.g. 'uv 0.9.2'
    created: str  # ISO 8601, UTC
    requirements: str  # for display: without comments and logins
    packages: int  # number installed
    size: int  # bytes
    boot: str  # id of the machine's boot in which it was built; '' if unknown
    content: str  # hash of the names in its site-packages: a change means damage


def site_packages(path: Path, version: str) -> Path:
    """A venv's site-packages."""
    return path / "lib" / f"python{version}" / "site-packages"


def write(path: Path, key: str, interpreter: Interpreter, requirements: str, builder: str) -> Record:
    """Complete a venv: make its files read-only and write its record.

    Args:
        path: the venv.
        key: its future name.
        interpreter: the Python that it is based on.
        requirements: what was installed, for display.
        builder: the tool that built it.

    Raises:
        OSError: if it cannot be written, for example on a full disk.
    """
    folder = site_packages(path, interpreter.version)
    record = Record(
        key=key,
        python=interpreter.version,
        implementation=interpreter.implementation,
        interpreter=interpreter.path,
        pip=bundled_pip(interpreter.path),
        builder=builder,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        requirements=requirements,
        packages=len(packages(folder)),
        size=_close(path),
        boot=_boot(),
        content=_content(folder),
    )
    for name in (FILE, PRECOMPILED):
        (path / name).unlink(missing_ok=True)  # a package may have brought one
    (path / FILE).write_text(json.dumps(asdict(record), indent=1), "utf-8")
    (path / FILE).chmod(0o444)
    return record


def read(path: Path) -> Record | None:
    """The record of a venv; None if it has no readable one, and so is incomplete."""
    try:
        found = Record(**json.loads(files.read_bytes(path / FILE)))
    except (OSError, files.Unreadable, ValueError, TypeError, RecursionError):
        return None
    fitting = all(isinstance(getattr(found, one.name), int if one.type == "int" else str) for one in fields(found))
    return found if fitting and "\0" not in found.python else None


def fault(path: Path) -> str:
    """What is visibly wrong with a venv; '' if nothing is. Cheap, because every run calls it.

    It does not check every file: a change inside a package goes unnoticed.
    """
    record = read(path)
    if record is None or record.key != path.name:
        return "it is incomplete"
    if record.boot != _boot() and not is_precompiled(path):  # its folder may exist while its files are still empty
        return CRASHED
    if not (path / "bin" / "python").exists():  # follows the link
        return f"its Python is gone ({record.interpreter})"
    try:
        same = _content(site_packages(path, record.python)) == record.content
    except (OSError, ValueError):  # a damaged record may name an invalid path
        return "its packages are gone"
    return "" if same else "its packages have been changed"


def packages(folder: Path) -> list[str]:
    """The names of the packages in a site-packages folder."""
    return sorted(found.name.partition("-")[0] for found in folder.glob("*.dist-info"))


def is_precompiled(path: Path) -> bool:
    """Whether a venv is compiled and on the disk (see precompile.py)."""
    return (path / PRECOMPILED).exists()


def size(path: Path) -> int:
    """Bytes of the files below a folder."""
    return sum(entry.stat(follow_symlinks=False).st_size for entry in _files(path))


def _close(path: Path) -> int:
    """Make files read-only, against accidents, but not folders, so that `rm -r` works; return the size in bytes."""
    total = 0
    for entry in _files(path):
        found = entry.stat(follow_symlinks=False)
        total += found.st_size
        if not entry.is_symlink():
            os.chmod(entry.path, found.st_mode & _READ_ONLY)  # a Path for each of thousands of files takes 15 ms
    return total


def _boot() -> str:
    try:
        return _BOOT.read_text("ascii").strip()
    except OSError:  # not Linux
        return ""


def _files(path: Path) -> list[os.DirEntry[str]]:
    found: list[os.DirEntry[str]] = []
    folders: list[str | os.PathLike[str]] = [path]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    found.append(entry)
    return found


def _content(folder: Path) -> str:
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.name != "__pycache__")
    return hashlib.sha256("\0".join(names).encode("utf-8", "surrogateescape")).hexdigest()
