"""Workspace: what is in the folder of one pack run: a copy of the pack, home, temporary folder, context, report."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs import files
from hdm_airflow.packs.pack import SCRIPT
from hdm_airflow.runner.processes.run_folder import RunFolder, error_class, run_folder


@dataclass(frozen=True, kw_only=True)
class Workspace(RunFolder):
    """The paths in a run's folder. Only this user can read it; it is removed at the end."""

    @property
    def pack(self) -> Path:
        """The copy of the pack; the child's working directory."""
        return self.root / "pack"

    @property
    def home(self) -> Path:
        """HOME."""
        return self.root / "home"

    @property
    def tmp(self) -> Path:
        """TMPDIR."""
        return self.root / "tmp"

    @property
    def layer(self) -> Path:
        """The run's own virtual environment, on top of the pack's venv."""
        return self.root / "layer"

    @property
    def context(self) -> Path:
        """HDM_CONTEXT."""
        return self.root / "context.json"

    @property
    def report(self) -> Path:
        """HDM_REPORT."""
        return self.root / "report.jsonl"

    @property
    def answer(self) -> Path:
        """HDM_ANSWER, which the pack creates when it answers a command."""
        return self.root / "answer.json"

    @property
    def pgpass(self) -> Path:
        """PGPASSFILE."""
        return self.root / "pgpass"


@contextmanager
def workspace(pack: Path, *, keep: bool = False, heartbeat: Callable[[], None] = lambda: None) -> Iterator[Workspace]:
    """Make a folder with a copy of the pack, and remove it afterwards.

    Args:
        pack: the pack's folder.
        keep: keep the folder, without the files that hold passwords.
        heartbeat: called several times a second while folders are removed.

    Raises:
        ConfigurationError: if the pack cannot be copied.
        VenvBuildError: if the disk is full; a retry may find space.
    """
    with run_folder(keep=keep, heartbeat=heartbeat) as folder:
        place = Workspace(**vars(folder))
        try:
            shutil.copytree(pack, place.pack, symlinks=True, ignore=_special_files)
            normalise_script(place.pack / SCRIPT)
            place.home.mkdir(mode=0o700)
            place.tmp.mkdir(mode=0o700)
        except RecursionError as error:  # folders nested since the pack was read
            hint = "nest its folders less deeply"
            raise ConfigurationError("the pack's folders are nested too deeply to copy", str(pack), hint) from error
        except (OSError, shutil.Error) as error:
            what = f"the pack cannot be copied for its run: {_reason(error, pack)}"
            hint = f"check that Airflow's user can read it and that {place.root.parent} has free space"
            raise error_class(error)(what, str(pack), hint) from error
        yield place


def normalise_script(script: Path) -> None:
    """Convert a bootstrap script saved on Windows: bash fails on its line ends and byte order mark.

    The script may be a link: what that leads to is not ours to change.

    Raises:
        OSError: if it cannot be read or written.
    """
    try:
        content = files.read_bytes(script)
    except files.Unreadable as error:
        raise OSError(errno.EINVAL, f"{SCRIPT} {error.reason}") from None
    plain = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    if plain != content:
        script.unlink()
        script.write_bytes(plain)
        script.chmod(0o700)


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read, from the moment it exists."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def write_context(path: Path, context: Mapping[str, Any]) -> None:
    """Write the context file."""
    write_private(path, json.dumps(context, ensure_ascii=False, indent=1))


def write_pgpass(path: Path, variables: Mapping[str, str], password: str) -> None:
    """Write a libpq password file for the HDM base alone, so that no other server is offered the password.

    Args:
        path: the file.
        variables: PGHOST, PGPORT, PGDATABASE and PGUSER of the base.
        password: the password of that user.
    """
    hosts = variables.get("PGHOST", "").split(",")  # libpq tries them in order
    ports = variables.get("PGPORT", "*").split(",")
    lines = []
    for host, port in zip_longest(hosts, ports[: len(hosts)], fillvalue=ports[0]):
        server = "*" if not host or host.startswith("/") else host  # a socket has several names
        fields = [server, port, *(variables.get(name, "*") for name in ("PGDATABASE", "PGUSER")), password]
        lines.append(":".join(_escaped(field) for field in fields) + "\n")
    write_private(path, "".join(lines))


def _escaped(field: str) -> str:
    return field.replace("\\", "\\\\").replace(":", "\\:")


def _special_files(folder: str, names: list[str]) -> list[str]:
    """Pipes, sockets and devices, which are not copied: reading a pipe could block forever."""
    special = []
    for name in names:
        path = Path(folder, name)
        if not path.is_symlink() and not path.is_file() and not path.is_dir():
            special.append(name)
    return special


def _reason(error: OSError, pack: Path) -> str:
    """The first failure and the file of the pack it concerns; shutil.Error has one entry per file."""
    entries = error.args[0] if isinstance(error, shutil.Error) and error.args else None
    if not isinstance(entries, list):
        return error.strerror or type(error).__name__
    source, _, why = entries[0]
    return f"{os.path.relpath(source, pack)}: {re.sub(r': .*', '', str(why))}"
