"""Home: the meaning of `~` in paths, also for a user without a home, as containers often have."""

from __future__ import annotations

import os
from pathlib import Path

from hdm_airflow.errors import ConfigurationError

#: The home of a user who has none, as distributions name it.
_NONE = "/nonexistent"


def worker_home() -> Path:
    """The home of the worker's user, which need not exist."""
    home = os.path.expanduser("~")  # Path.home() fails if the user has no account
    return Path(home if os.path.isabs(home) else _NONE)


def expanded(path: str, *, where: str = "") -> Path:
    """A path in which `~` is replaced by the home of the user who runs this process.

    Args:
        path: a path, which may begin with `~` or `~name`.
        where: the setting or option that names it, for the error.

    Raises:
        ConfigurationError: if there is no such home.
    """
    found = os.path.expanduser(path)
    if path.startswith("~") and not os.path.isabs(found):
        user = path.partition("/")[0]
        what = f"{path} does not name a folder: the user of this process (uid {os.geteuid()}) has no home"
        if user != "~":
            what = f"{path} does not name a folder: this machine has no user {user[1:]} with a home"
        raise ConfigurationError(what, where or path, "write an absolute path, or set HOME to one")
    return Path(found)
