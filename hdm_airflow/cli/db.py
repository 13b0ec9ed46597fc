"""`airflow hdm db upgrade` and `check`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hdm_airflow.base import migrate
from hdm_airflow.cli.command import command
from hdm_airflow.cli.console import say
from hdm_airflow.cli.surroundings import find_hook

if TYPE_CHECKING:
    from argparse import Namespace


@command
def upgrade(args: Namespace) -> int:
    """Bring the base to the newest version."""
    hook = find_hook(args)
    before, after = migrate.upgrade(hook)
    done = "is current" if before == after else f"was brought from version {before or 'none'}"
    say(f"the HDM base ({hook.where}) {done}: version {after}")
    return 0


@command
def check(args: Namespace) -> int:
    """1 where the base has not the version that this release needs."""
    hook = find_hook(args)
    current, head = migrate.check(hook)
    if current == head:
        say(f"the HDM base ({hook.where}) is current: version {head}")
        return 0
    say(f"the HDM base is at version {current or 'none'}, this release needs {head}")
    say(f"in: {hook.where}\ndo: run: airflow hdm db upgrade")
    return 1
