"""The sandbox: which files of the machine a pack may see, as a setting and as what the kernel is asked for."""

from __future__ import annotations

import math
import os
import re
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, Field

from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs.limits import Limits
from hdm_airflow.runner.processes import confine, usage

SandboxMode = Literal["auto", "required", "off"]

#: What the sandbox is made of.
NEEDED = "Landlock (Linux 5.19 or later)"
#: Where others keep secrets and data: the worker's home and Airflow's, other runs, mounted secrets.
_HIDDEN = (
    "~", "~/.local/share", "~/.local/state", "/tmp", "/var/tmp", "/run/user",  # noqa: S108
    "/run/secrets", "/var/run/secrets", "/vault/secrets",
)  # fmt: skip
_PUBLIC = ("/etc/", "/usr/")  # certificates of authorities among it
_AIRFLOW_HOME = "~/airflow"  # Airflow's own default
#: What every program needs to write to. Of the other devices, disks among them, nothing is seen.
_DEVICES = tuple(f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "shm"))
_DEVICE_FOLDER = "/dev"
#: Variables with paths of files and folders that a program needs in order to reach a network or a package index.
_PATHS_IN_VARIABLES = (
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "PGSSLROOTCERT",
    "PGSSLCERT", "PGSSLKEY", "PIP_CERT", "PIP_FIND_LINKS",
)  # fmt: skip
#: Limits that hold for all processes of a pack together.
_WATCHED = ("memory", "cpu", "disk", "processes")
_HINT = "see docs/explanation/venvs-and-isolation.md, or set sandbox.mode to auto in the Variable hdm"


class Sandbox(BaseModel):
    """How far a pack is kept from the files and processes of others."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    mode: SandboxMode = Field(
        "auto", description="auto: if the kernel supports it; required: no pack runs without it; off: never."
    )
    read: tuple[str, ...] = Field((), strict=False, description="Additional files and folders that packs can read.")
    write: tuple[str, ...] = Field((), strict=False, description="Additional files and folders that packs can change.")
    hide: tuple[str, ...] = Field((), strict=False, description="Additional files and folders to hide from packs.")


@dataclass(frozen=True, kw_only=True)
class Grants:
    """Files that a process sees, everything below folders included; of all others it sees no more than the name."""

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()  # these are readable, too


@dataclass(frozen=True, kw_only=True)
class Confinement:
    """What a program is kept from."""

    limits: Limits = Limits()  # noqa: RUF009  # frozen
    grants: Grants | None = None  # None: it sees every file

    def rules(self) -> confine.Rules:
        """What a process of it gives up."""
        seen = self.grants
        granted = {"read": list(seen.read), "write": list(seen.write)} if seen else None
        return {"limits": self._process_limits(), "grants": granted}

    @property
    def total_limits(self) -> dict[str, float]:
        """What the guard watches."""
        return {name: value for name in _WATCHED if (value := getattr(self.limits, name)) is not None}

    def _process_limits(self) -> dict[str, int]:
        """Limits that the kernel keeps by itself: of a single process, so a second line behind the guard's."""
        stated = {name: value for name, value in self.limits.model_dump().items() if value is not None}
        found: dict[str, int] = {name: int(stated[name]) for name in ("files", "disk") if name in stated}
        if "memory" in stated:  # what is reserved counts here, used or not: allocators take a GiB at once
            found["memory"] = 2 * stated["memory"] + (1 << 30)
        if "cpu" in stated:
            found["cpu"] = math.ceil(stated["cpu"]) + 1
        if "processes" in stated:  # of this user as a whole, threads included
            found["processes"] = _threads() + usage.THREADS * stated["processes"]
        return found


@cache
def available() -> bool:
    """Whether this kernel can shut a process in."""
    return confine.landlock_abi() >= confine.LEAST_ABI


def in_force(sandbox: Sandbox, *, hide: Iterable[Path]) -> Sandbox | None:
    """The setting as it holds for one run here; None where nothing is shut in.

    Args:
        sandbox: the setting.
        hide: what the run must not see besides, wherever that is: other packs, the environment store.

    Raises:
        ConfigurationError: packs must be shut in, and cannot.
    """
    if sandbox.mode == "required" and not available():
        what = f"packs must run in a sandbox, but this worker's kernel does not support {NEEDED}"
        raise ConfigurationError(what, "sandbox.mode", _HINT)
    if sandbox.mode == "off" or not available():
        return None
    return sandbox.model_copy(update={"hide": (*sandbox.hide, *map(str, hide))})


def grants(
    sandbox: Sandbox, *, own: Path, variables: dict[str, str], read: Iterable[Path], write: Iterable[Path]
) -> Grants:
    """What a program may see: the machine's programs and settings, its own folder, and what it works on.

    Hidden are the homes of the worker and of Airflow, temporary folders with other runs in them, mounted secrets, and
    files that the worker's own variables name, such as keys. What is granted inside such a place is seen nevertheless.

    Args:
        sandbox: the setting.
        own: the run's folder, or that of the build.
        variables: its environment: folders of PATH, certificate authorities.
        read: what it needs besides: its packages, its Python.
        write: what it may change besides its own folder.
    """
    hidden = _hidden(sandbox, set(variables.values()))
    shown = [str(path) for path in visible_below("/", hidden) if path != _DEVICE_FOLDER]
    programs = _programs(variables.get("PATH", ""), hidden)
    devices = [path for device in _DEVICES for path in visible_below(device, hidden)]
    named = paths_in(variables, _PATHS_IN_VARIABLES)
    return Grants(
        read=tuple(dict.fromkeys([*shown, *programs, *named, *map(str, read), *_expanded(sandbox.read)])),
        write=tuple(dict.fromkeys([*devices, str(own), *map(str, write), *_expanded(sandbox.write)])),
    )


def paths_in(variables: Mapping[str, str], names: Iterable[str]) -> list[str]:
    """The absolute paths in some variables: a path, several of them, or a URL of a file."""
    found = []
    for value in (variables.get(name, "") for name in names):
        found += [word for word in [value, *re.split(r"[\s:,]+", value)] if re.match("/(?!/)", word)]
        found += [unquote(path) for path in re.findall(r"file://(/[^\s,]*)", value)]
    return found


def visible_below(folder: str, hidden: frozenset[str]) -> Iterator[str]:
    """The largest folders and files below a folder that have nothing hidden in them."""
    if folder in hidden:
        return
    if _is_clear(folder, hidden):
        yield folder
        return
    try:
        names = sorted(os.listdir(folder))
    except OSError:  # not ours to read, so not the pack's either
        return
    for name in names:
        path = os.path.join(folder, name)
        if not os.path.islink(path):  # what it points to is granted, or not, in its own place
            yield from visible_below(path, hidden)


def with_companions(sandbox: Sandbox, file: Path) -> list[Path]:
    """What a program needs to change in order to read an SQLite file: its folder, where journals come and go.

    Where that folder has something hidden in it, it is the file and the journals that are there.
    """
    if _is_clear(os.path.realpath(file.parent), _hidden(sandbox)):
        return [file.parent]
    return [file, *(file.with_name(file.name + suffix) for suffix in ("-wal", "-shm", "-journal"))]


def _hidden(sandbox: Sandbox, named: Collection[str] = ()) -> frozenset[str]:
    """What is hidden, but for files that the program is told of by a variable."""
    airflow = [os.environ.get(name) or _AIRFLOW_HOME for name in ("AIRFLOW_HOME", "AIRFLOW_CONFIG")]
    files = [value for value in os.environ.values() if value not in named and _is_key(value)]
    places = [*_HIDDEN, *airflow, *files, tempfile.gettempdir(), *sandbox.hide]
    return frozenset(os.path.realpath(path) for path in _expanded(places)) - {"/"}


def _is_key(value: str) -> bool:
    """Whether a variable's value is the path of a file that may be secret: no program, nothing that all may read."""
    if not value.startswith("/") or not os.path.isfile(value):
        return False
    mode = os.stat(value).st_mode
    return not mode & 0o111 and not (value.startswith(_PUBLIC) and mode & 0o004)


def _programs(path: str, hidden: frozenset[str]) -> Iterator[str]:
    """Programs of PATH inside a hidden place, with what lies beside them, such as lib/ beside bin/."""
    for entry in filter(os.path.isabs, path.split(os.pathsep)):
        folder = os.path.realpath(entry)
        found = next((place for place in (os.path.dirname(folder), folder) if _is_clear(place, hidden)), None)
        if found is not None:
            yield found


def _is_clear(folder: str, hidden: frozenset[str]) -> bool:
    """Whether nothing hidden is the folder itself, or in it."""
    return not any(place == folder or place.startswith(folder.rstrip("/") + "/") for place in hidden)


def _threads() -> int:
    """How many threads this machine runs: no user has more."""
    try:
        return int(Path("/proc/loadavg").read_text("ascii").split()[3].split("/")[1])
    except (OSError, IndexError, ValueError):  # not Linux
        return 0


def _expanded(paths: Iterable[str]) -> list[str]:
    return [os.path.expanduser(path) for path in paths]
