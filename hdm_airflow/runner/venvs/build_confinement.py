"""Build confinement: the sandbox and limits of a build, which runs programs of packages from anyone."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from hdm_airflow.packs.limits import DEFAULT_LIMITS, Limits
from hdm_airflow.runner.processes import sandbox
from hdm_airflow.runner.processes.sandbox import Confinement, Sandbox

#: Configuration of uv in the worker's home, including logins, for builds that run no code of packages. Others have a
#: home of their own (see build_home.py).
CONFIGURATION = (".netrc", ".config/uv", ".local/share/uv")
#: Variables with paths of files and folders that uv and pip need.
_PATHS_IN_VARIABLES = (
    "UV_FIND_LINKS", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_CONSTRAINT", "UV_BUILD_CONSTRAINT", "UV_OVERRIDE",
    "UV_CONFIG_FILE", "PIP_CONSTRAINT", "PIP_CONFIG_FILE", "PIP_CLIENT_CERT", "SSL_CLIENT_CERT", "NETRC",
    "RUSTUP_HOME",
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
        read: what it needs to read in addition to the machine's programs: its tool, its Python, configuration.
        write: what it may change in addition to its own folder: the sources or the cache; created if missing.
    """
    if sandbox_in_force is None:
        return Confinement(limits=_LIMITS)
    for folder in write:
        with suppress(OSError):  # the tool reports it better
            folder.mkdir(parents=True, exist_ok=True)
    named = map(Path, sandbox.paths_in(variables, _PATHS_IN_VARIABLES))
    granted = sandbox.grants(sandbox_in_force, own=own, variables=variables, read=[*named, *read], write=write)
    return Confinement(limits=_LIMITS, grants=granted)
