"""Build confinement: the sandbox and limits of a build, which runs programs of packages from anyone."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from hdm_airflow.packs.limits import DEFAULT_LIMITS, Limits
from hdm_airflow.runner.processes import sandbox
from hdm_airflow.runner.processes.sandbox import Confinement, Sandbox

#: Configuration of uv, pip and git, including logins, and files that builds read.
_CONFIGURATION = (
    "~/.netrc", "~/.config/uv", "~/.local/share/uv", "~/.config/pip", "~/.pip", "~/.gitconfig", "~/.config/git",
    "~/.git-credentials", "~/.rustup", "~/.pydistutils.cfg", "~/.numpy-site.cfg",
)  # fmt: skip
#: Variables with paths of files and folders that uv and pip need.
_PATHS_IN_VARIABLES = (
    "UV_FIND_LINKS", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_CONSTRAINT", "UV_BUILD_CONSTRAINT", "UV_OVERRIDE",
    "UV_CONFIG_FILE", "PIP_CONSTRAINT", "PIP_CONFIG_FILE", "PIP_CLIENT_CERT", "SSL_CLIENT_CERT", "NETRC",
)  # fmt: skip
#: Compilers may need more memory and disk than packs. The output is kept in memory; no resolver prints more than this.
_LIMITS = Limits(processes=DEFAULT_LIMITS.processes, output=1 << 26)


def build_confinement(
    sandbox_in_force: Sandbox | None,
    *,
    own: Path,
    variables: dict[str, str],
    read: Iterable[Path],
    write: Iterable[Path],
) -> Confinement:
    """The sandbox and limits of one build.

    Args:
        sandbox_in_force: the setting in force; None if builds run without a sandbox.
        own: the folder in which it builds.
        variables: the build's variables.
        read: what it needs to read in addition to the machine's programs: its tool, its Python.
        write: what it may change in addition to its own folder: the sources, the cache; created if missing.
    """
    if sandbox_in_force is None:
        return Confinement(limits=_LIMITS)
    for folder in write:
        with suppress(OSError):  # the tool reports it better
            folder.mkdir(parents=True, exist_ok=True)
    configuration = [Path(name).expanduser() for name in _CONFIGURATION]
    named = map(Path, sandbox.paths_in(variables, _PATHS_IN_VARIABLES))
    granted = sandbox.grants(
        sandbox_in_force, own=own, variables=variables, read=[*configuration, *named, *read], write=write
    )
    return Confinement(limits=_LIMITS, grants=granted)
