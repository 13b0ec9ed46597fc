"""Sandbox: which files of the machine a pack may see, as a setting and as rules for the kernel."""

from __future__ import annotations

import math
import os
import pwd
import re
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, Field

from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs.limits import Limits
from hdm_airflow.runner.processes import confine, sandbox_support, system_calls, usage

SandboxMode = Literal["auto", "required", "off"]

#: Where secrets and data of others are: homes, other runs, mounted secrets.
_HIDDEN = (
    "~", "/root", "/home", "/tmp", "/var/tmp", "/run/user",  # noqa: S108  # nothing is written there
    "/run/secrets", "/var/run/secrets", "/vault/secrets",
)  # fmt: skip
_USERS = "/etc/passwd"
_OTHERS = "/home"
#: Signs of a home that is neither hidden itself nor directly below /home, such as /home/DOMAIN/USER.
_IN_HOMES = (".ssh", ".bashrc", ".bash_profile", ".bash_history", ".profile", ".zshrc")
#: Folders of a home with secrets and data; `bin` is often next to them.
_PRIVATE = re.compile(r"/\.(local(/(share|state))?|config|cache|docker)$")
#: What a program's folder has: shown, if the folder as a whole must not be.
_PARTS = ("bin", "lib", "lib64")
_PUBLIC = ("/etc/", "/usr/")  # including the certificates of authorities
_AIRFLOW_HOME = "~/airflow"  # Airflow's own default
#: Devices that every program needs. No others are visible, such as disks.
_DEVICES = tuple(f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "shm"))
_DEVICE_FOLDER = "/dev"
#: Variables with paths of files and folders that a program needs to reach a network or a package index.
_PATHS_IN_VARIABLES = (
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "PGSSLROOTCERT",
    "PGSSLCERT", "PGSSLKEY", "PIP_CERT", "PIP_FIND_LINKS",
)  # fmt: skip
#: Limits for all processes of a pack together.
_WATCHED = ("memory", "cpu", "disk", "processes")
_HINT = "see docs/explanation/venvs-and-isolation.md, or set sandbox.mode to auto in the Variable hdm"


class Sandbox(BaseModel):
    """Which files a pack can see and change, and whether it runs in a sandbox at all."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    mode: SandboxMode = Field(
        "auto", description="auto: if the kernel supports it; required: no pack runs without it; off: never."
    )
    read: tuple[str, ...] = Field((), strict=False, description="Additional files and folders that packs can read.")
    write: tuple[str, ...] = Field((), strict=False, description="Additional files and folders that packs can change.")
    hide: tuple[str, ...] = Field((), strict=False, description="Additional files and folders to hide from packs.")


@dataclass(frozen=True, kw_only=True)
class Grants:
    """Files that a process can see, including everything below folders; of all others it sees at most the name."""

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()  # these are also readable


@dataclass(frozen=True, kw_only=True)
class Confinement:
    """The restrictions of one program: its limits, and the files it may see."""

    limits: Limits = Limits()  # noqa: RUF009  # frozen
    grants: Grants | None = None  # None: it sees every file

    def rules(self) -> confine.Rules:
        """What each of its processes gives up."""
        seen = self.grants
        granted = {"read": list(seen.read), "write": list(seen.write)} if seen else None
        filtered = granted is not None and not system_calls.unsupported()
        return {"limits": self._process_limits(), "grants": granted, "filtered": filtered}

    @property
    def total_limits(self) -> dict[str, float]:
        """The limits for all its processes together, which the guard watches."""
        return {name: value for name in _WATCHED if (value := getattr(self.limits, name)) is not None}

    def _process_limits(self) -> dict[str, int]:
        """Limits for each single process, which the kernel enforces: a second line of defence behind the guard."""
        stated = {name: value for name, value in self.limits.model_dump().items() if value is not None}
        found: dict[str, int] = {name: int(stated[name]) for name in ("files", "disk") if name in stated}
        if "memory" in stated:  # reserved memory counts, used or not, and allocators reserve a GiB at once
            found["memory"] = 2 * stated["memory"] + (1 << 30)
        if "cpu" in stated:
            found["cpu"] = math.ceil(stated["cpu"]) + 1
        if "processes" in stated:  # for this user as a whole, including threads
            found["processes"] = _threads() + usage.THREADS * stated["processes"]
        return found


def in_force(sandbox: Sandbox, *, hide: Iterable[Path]) -> Sandbox | None:
    """The setting as it applies to one run on this machine; None if the run has no sandbox.

    Args:
        sandbox: the setting.
        hide: more paths to hide from the run: other packs, the venv store.

    Raises:
        ConfigurationError: if the sandbox is required and this machine cannot provide all of it.
    """
    lacking = sandbox_support.shortcoming() if sandbox.mode == "required" else None
    if lacking:
        what = f"packs must run in a sandbox, but {lacking.reason}"
        raise ConfigurationError(what, "sandbox.mode", f"{lacking.remedy}; {_HINT}")
    if sandbox.mode == "off" or not sandbox_support.available():
        return None
    return sandbox.model_copy(update={"hide": (*sandbox.hide, *map(str, hide))})


def grants(
    sandbox: Sandbox, *, own: Path, variables: dict[str, str], read: Iterable[Path], write: Iterable[Path]
) -> Grants:
    """The files that a program may see: the machine's programs and settings, its own folder, and what it works on.

    Hidden are homes, Airflow's too, temporary folders with other runs, mounted secrets, and files that the worker's
    own variables name, such as keys. Paths granted inside such a place are visible.

    Args:
        sandbox: the setting.
        own: the folder of the run or of the build.
        variables: the program's variables: they name folders of PATH and certificate authorities.
        read: more paths it may read: its packages, its Python; of a home, only the programs and libraries.
        write: more paths it may change.
    """
    hidden = _hidden(sandbox, set(variables.values()))
    shown = [str(path) for path in visible_below("/", hidden) if path != _DEVICE_FOLDER]
    programs = _programs(variables.get("PATH", ""), hidden)
    devices = [path for device in _DEVICES for path in visible_below(device, hidden)]
    named = paths_in(variables, _PATHS_IN_VARIABLES)
    return Grants(
        read=tuple(dict.fromkeys([*shown, *programs, *named, *_readable(read, hidden), *_expanded(sandbox.read)])),
        write=tuple(dict.fromkeys([*devices, str(own), *map(str, write), *_expanded(sandbox.write)])),
    )


def paths_in(variables: Mapping[str, str], names: Iterable[str]) -> list[str]:
    """The absolute paths in these variables; a value is a path, several paths, or the URL of a file."""
    found = []
    for value in (variables.get(name, "") for name in names):
        found += [word for word in [value, *re.split(r"[\s:,]+", value)] if re.match("/(?!/)", word)]
        found += [unquote(path) for path in re.findall(r"file://(/[^\s,]*)", value)]
    return found


def visible_below(folder: str, hidden: frozenset[str]) -> Iterator[str]:
    """Yield the largest folders and files below a folder that contain nothing hidden."""
    if folder in hidden:
        return
    if _is_clear(folder, hidden):
        yield folder
        return
    try:
        names = sorted(os.listdir(folder))
    except OSError:  # we cannot read it, so neither can the pack
        return
    for name in names:
        path = os.path.join(folder, name)
        if not os.path.islink(path):  # its target is granted, or not, by its own path
            yield from visible_below(path, hidden)


def with_companions(sandbox: Sandbox, file: Path) -> list[Path]:
    """The paths that a program must be able to change to read an SQLite file: its folder, because of journals.

    If that folder is a home or contains something hidden, these are the file and its journals.
    """
    if _is_whole(os.path.realpath(file.parent), _hidden(sandbox)):
        return [file.parent]
    return [file, *(file.with_name(file.name + suffix) for suffix in ("-wal", "-shm", "-journal"))]


def _hidden(sandbox: Sandbox, named: Collection[str] = ()) -> frozenset[str]:
    """The hidden paths, except for files that the program's own variables name."""
    airflow = [os.environ.get(name) or _AIRFLOW_HOME for name in ("AIRFLOW_HOME", "AIRFLOW_CONFIG")]
    files = [value for value in os.environ.values() if value not in named and _is_key(value)]
    places = [*_HIDDEN, *_homes(), *airflow, *files, tempfile.gettempdir(), *sandbox.hide]
    return frozenset(os.path.realpath(path) for path in _expanded(places)) - {"/"}


def _is_key(value: str) -> bool:
    """Whether a variable's value is the path of a file that may be secret: not a program, not readable by everyone."""
    if not value.startswith("/") or not os.path.isfile(value):
        return False
    mode = os.stat(value).st_mode
    return not mode & 0o111 and not (value.startswith(_PUBLIC) and mode & 0o004)


def _programs(path: str, hidden: frozenset[str]) -> Iterator[str]:
    """Folders of PATH inside hidden places, if possible with their siblings, such as lib/ next to bin/."""
    for entry in filter(os.path.isabs, path.split(os.pathsep)):
        folder = os.path.realpath(entry)
        found = next((place for place in (os.path.dirname(folder), folder) if _is_whole(place, hidden)), None)
        if found is not None:
            yield found


def _readable(paths: Iterable[Path], hidden: frozenset[str]) -> Iterator[str]:
    """These paths; of a home or of a folder with something hidden in it, its programs and libraries."""
    for path in paths:
        if _is_whole(os.path.realpath(path), hidden):
            yield str(path)
        else:  # the prefix of ~/bin/python3 is the home
            for part in _PARTS:
                yield from visible_below(os.path.realpath(path / part), hidden)


def _homes() -> Iterator[str]:
    """The homes of the users of this machine, as far as they are folders of their own: /usr/sbin is root's."""
    with suppress(KeyError):  # this user has no entry, as often in containers
        user = pwd.getpwuid(os.geteuid())
        yield from _own_home(user.pw_dir, user.pw_uid)
    with suppress(OSError), os.scandir(_OTHERS) as entries:
        yield from (entry.path for entry in entries if entry.is_symlink())
    with suppress(OSError), open(_USERS, errors="surrogateescape") as file:  # without users of a network
        for line in file:
            fields = line.split(":")
            if len(fields) > 5 and fields[2].isdecimal():  # noqa: PLR2004  # the sixth is the home
                yield from _own_home(fields[5], int(fields[2]))


def _own_home(home: str, user: int) -> Iterator[str]:
    with suppress(OSError, ValueError):  # it does not exist
        if os.path.isabs(home) and os.stat(home).st_uid == user:
            yield home


def _is_whole(folder: str, hidden: frozenset[str]) -> bool:
    """Whether everything in a folder may be shown: it is not a home, and contains nothing hidden."""
    return _is_clear(folder, hidden) and not _is_home(folder)


def _is_home(folder: str) -> bool:
    """Whether the folder is probably a home, or one of a home's folders for secrets and data."""
    if _PRIVATE.search(folder) or os.path.dirname(folder) == os.path.realpath(_OTHERS):
        return True
    if os.path.lexists(os.path.join(folder, "pyvenv.cfg")):  # whatever its packages have put there
        return False
    return any(os.path.lexists(os.path.join(folder, name)) for name in _IN_HOMES)


def _is_clear(folder: str, hidden: frozenset[str]) -> bool:
    """Whether the folder is neither hidden nor contains anything hidden."""
    return not any(place == folder or place.startswith(folder.rstrip("/") + "/") for place in hidden)


def _threads() -> int:
    """The number of threads on this machine, which no user exceeds."""
    try:
        return int(Path("/proc/loadavg").read_text("ascii").split()[3].split("/")[1])
    except (OSError, IndexError, ValueError):  # not Linux
        return 0


def _expanded(paths: Iterable[str]) -> list[str]:
    """These paths with `~` replaced; without those that name no folder, because there is no such home."""
    return [path for path in map(os.path.expanduser, paths) if not path.startswith("~")]
