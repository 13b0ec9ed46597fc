"""What the build of a venv is kept from: it runs programs of its packages, which may be anybody's."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from hdm_airflow.packs.limits import DEFAULT_LIMITS, Limits
from hdm_airflow.runner.processes import sandbox
from hdm_airflow.runner.processes.sandbox import Confinement, Sandbox

#: Where uv, pip and git keep what they know of indexes, logins included; and what builds ask for.
_CONFIGURATION = (
    "~/.netrc", "~/.config/uv", "~/.local/share/uv", "~/.config/pip", "~/.pip", "~/.gitconfig", "~/.config/git",
    "~/.git-credentials", "~/.rustup", "~/.pydistutils.cfg", "~/.numpy-site.cfg",
)  # fmt: skip
#: Variables with paths of files and folders that uv and pip need.
_PATHS_IN_VARIABLES = (
    "UV_FIND_LINKS", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_CONSTRAINT", "UV_BUILD_CONSTRAINT", "UV_OVERRIDE",
    "UV_CONFIG_FILE", "PIP_CONSTRAINT", "PIP_CONFIG_FILE", "PIP_CLIENT_CERT", "SSL_CLIENT_CERT", "NETRC",
)  # fmt: skip
#: Of memory and disk, compilers may need more than packs. The output is kept in memory; no resolver has more to say.
_LIMITS = Limits(processes=DEFAULT_LIMITS.processes, output=1 << 26)


def build_confinement(
    sandbox_in_force: Sandbox | None,
    *,
    own: Path,
    variables: dict[str, str],
    read: Iterable[Path],
    write: Iterable[Path],
) -> Confinement:
    """What one build is kept from.

    Args:
        sandbox_in_force: the setting as it is in force; None where nothing is shut in.
        own: the folder it builds in.
        variables: its venv.
        read: what it needs to see besides the machine's programs: its tool, its Python.
        write: what it may change besides its own folder: the sources, the cache; made when missing.
    """
    if sandbox_in_force is None:
        return Confinement(limits=_LIMITS)
    for folder in write:
        with suppress(OSError):  # the tool says it better
            folder.mkdir(parents=True, exist_ok=True)
    configuration = [Path(name).expanduser() for name in _CONFIGURATION]
    named = map(Path, sandbox.paths_in(variables, _PATHS_IN_VARIABLES))
    granted = sandbox.grants(
        sandbox_in_force, own=own, variables=variables, read=[*configuration, *named, *read], write=write
    )
    return Confinement(limits=_LIMITS, grants=granted)
