"""Build home: the home of a build that runs code of packages, with the logins of its package index and no others.

The worker's own home is hidden from such a build. Its programs find a copy of what they need: the configuration of
uv, pip and git, and from `.netrc` and `.git-credentials` the logins of the hosts that the worker's index or
requirements.txt names.
"""

from __future__ import annotations

import netrc
import os
import re
import shutil
import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import urlsplit

from hdm_airflow.errors import VenvBuildError
from hdm_airflow.runner.venvs import package_index

#: Copied as they are: they have the logins of the worker's index at most.
_COPIED = (
    ".config/uv/uv.toml", ".config/pip/pip.conf", ".pip/pip.conf", ".pydistutils.cfg", ".numpy-site.cfg",
)  # fmt: skip
_OF_ALL_USERS = ("/etc/uv/uv.toml", "/etc/xdg/uv/uv.toml", "/etc/pip.conf", "/etc/xdg/pip/pip.conf")
_NAMED = ("UV_CONFIG_FILE", "PIP_CONFIG_FILE", "UV_CONSTRAINT", "UV_OVERRIDE", "UV_BUILD_CONSTRAINT", "PIP_CONSTRAINT")
_CREDENTIALS = (".git-credentials", ".config/git/credentials")
_GIT_CONFIGURATION = (".config/git/config", ".gitconfig")
#: Sections of git's configuration that matter for downloads; commands such as aliases do not.
_GIT_SECTIONS = {"credential", "http", "protocol", "safe", "url"}
#: Variables that name the worker's other folders; their defaults are below the home.
_FOLDERS = {"UV_CACHE_DIR", "PIP_CACHE_DIR", "XDG_CACHE_HOME"}
_URL = re.compile(r"\w://[^\s\"'<>,]+")
_OFFLINE = re.compile(r"^\s*offline\s*=\s*true\b", re.MULTILINE)
_SECONDS = 60.0  # for a program that answers at once


@dataclass(frozen=True, kw_only=True)
class BuildHome:
    """What a build gets instead of the worker's home."""

    variables: Mapping[str, str] = field(repr=False)  # the build's variables, which name it
    secrets: Sequence[str] = field(repr=False)  # passwords and tokens in its files


def make_build_home(folder: Path, home: Path, variables: Mapping[str, str], lines: Iterable[str]) -> BuildHome:
    """Make the home of one build.

    Args:
        folder: where to make it; must not exist.
        home: the home of the worker's user.
        variables: the worker's variables for builds.
        lines: of requirements, with variables replaced by their values.

    Raises:
        VenvBuildError: if the worker's `.netrc` or its configuration of git cannot be read.
    """
    folder.mkdir(mode=0o700)
    hosts = {host for text in (*variables.values(), _configuration(home, variables), *lines) for host in _hosts(text)}
    git = [entry for name in _GIT_CONFIGURATION for entry in _git_entries(home / name)]
    hosts |= {mirror for entry in git if hosts & set(entry.replaced) for mirror in _hosts(entry.scope)}
    files = {name: _text(home / name) for name in _COPIED}
    for name in _CREDENTIALS:
        kept = [line for line in _text(home / name).splitlines(keepends=True) if hosts & set(_hosts(line))]
        files[name] = "".join(kept)
    files[".gitconfig"] = "".join(map(str, (entry for entry in git if entry.is_needed(hosts))))
    found = {name: value for name, value in variables.items() if name not in _FOLDERS} | {"HOME": str(folder)}
    sources = {".netrc": home / ".netrc"}
    if variables.get("NETRC"):
        sources["netrc"] = Path(variables["NETRC"])
        found["NETRC"] = str(folder / "netrc")
    secrets = package_index.secrets(files.values())
    for name, source in sources.items():
        logins = _logins(source, hosts)
        secrets += [password for _, _, _, password in logins]
        files[name] = "".join(map(_machine, logins))
    for name, text in files.items():
        _write(folder / name, text)
    if (home / ".rustup").is_dir():  # Rust's compilers; cargo finds them through this variable
        found["RUSTUP_HOME"] = str(home / ".rustup")
    return BuildHome(variables=found, secrets=secrets)


def is_offline(home: Path, variables: Mapping[str, str]) -> bool:
    """Whether uv must do with what its cache has."""
    return package_index.is_offline(variables) or bool(_OFFLINE.search(_configuration(home, variables)))


def _configuration(home: Path, variables: Mapping[str, str]) -> str:
    """The text of the files that configure uv and pip, and of constraints that variables name."""
    named = [variables[name] for name in _NAMED if variables.get(name)]
    return "\n".join(map(_text, (*(home / name for name in _COPIED), *map(Path, _OF_ALL_USERS), *map(Path, named))))


def _logins(path: Path, hosts: Collection[str]) -> list[tuple[str, str, str, str]]:
    """Host, login, account and password of these hosts, from a netrc file."""
    if not path.is_file():
        return []
    try:
        found = netrc.netrc(str(path))
    except netrc.NetrcParseError as error:  # its message may quote a password
        what = f"{path} cannot be read: it is malformed in line {error.lineno}"
        raise VenvBuildError(what, str(path), "correct it; a value with blanks or quotes needs quotes") from None
    except (OSError, UnicodeDecodeError) as error:
        what = f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is not text in UTF-8'}"
        raise VenvBuildError(what, str(path), "correct it, or remove it") from None
    known = ((host, found.authenticators(host)) for host in sorted(hosts))  # its own entry, or the file's default
    return [(host, login[0] or "", login[1] or "", login[2] or "") for host, login in known if login]


def _machine(login: tuple[str, str, str, str]) -> str:
    """An entry of a netrc file."""
    words = zip(("machine", "login", "account", "password"), login, strict=True)
    return " ".join(f"{word} {_quoted(value)}" for word, value in words if value) + "\n"


def _quoted(value: str) -> str:
    """A value as Python, uv and curl all read it."""
    return value if re.fullmatch(r"[^\s\"\\#]+", value) else f'"{_escaped(value)}"'


@dataclass(frozen=True, kw_only=True)
class _GitEntry:
    """One value of git's configuration: `[section "scope"] name = value`."""

    section: str
    scope: str  # often a URL
    name: str
    value: str

    @property
    def replaced(self) -> Iterable[str]:
        """The hosts in whose place git asks those of the scope."""
        return _hosts(self.value) if (self.section, self.name) == ("url", "insteadof") else ()

    def is_needed(self, hosts: Collection[str]) -> bool:
        """Whether it matters for downloads from these hosts, and has no secret of another."""
        named = list(_hosts(self.scope))
        if named:
            return any(fnmatchcase(host, pattern) for host in hosts for pattern in named)
        if (self.section, self.name) == ("credential", "helper"):
            return not self.value.startswith("!")  # a command, which may contain a password
        return self.section in _GIT_SECTIONS and self.name not in {"extraheader", "cookiefile"}

    def __str__(self) -> str:
        head = f'{self.section} "{_escaped(self.scope)}"' if self.scope else self.section
        value = _escaped(self.value).replace("\n", "\\n")
        return f'[{head}]\n\t{self.name} = "{value}"\n'


def _git_entries(path: Path) -> Iterator[_GitEntry]:
    """Yield the values of a configuration of git, as git itself reads it; none without git.

    Raises:
        VenvBuildError: if git does not answer.
    """
    git = shutil.which("git")
    if not git or not path.is_file():
        return
    command = [git, "config", "--file", str(path), "--includes", "--list", "-z"]
    try:
        answer = subprocess.run(command, capture_output=True, check=False, timeout=_SECONDS, cwd="/")
    except subprocess.TimeoutExpired:
        what = f"{path} cannot be read: git has not answered within {_SECONDS:.0f} s"
        hint = "check that it and the files it includes are ordinary files on a disk that answers"
        raise VenvBuildError(what, str(path), hint) from None
    for entry in filter(None, answer.stdout.decode("utf-8", "surrogateescape").split("\0")):
        key, _, value = entry.partition("\n")
        section, _, rest = key.partition(".")
        scope, _, name = rest.rpartition(".")
        if section in _GIT_SECTIONS:
            yield _GitEntry(section=section, scope=scope, name=name, value=value)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _hosts(text: str) -> Iterator[str]:
    """Yield the hosts of the URLs in a text, in lower case."""
    for url in _URL.findall(package_index.without_logins(text)):
        try:
            host = urlsplit(url).hostname
        except ValueError:  # such as a bracket that is not closed
            continue
        if host:
            yield host


def _text(path: Path) -> str:
    """The content of a file of the worker's user; '' if it cannot be read."""
    try:
        return path.read_text("utf-8", "surrogateescape")
    except OSError:
        return ""


def _write(path: Path, text: str) -> None:
    """Write a file that only this user can read, unless it would be empty."""
    if text.strip():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
