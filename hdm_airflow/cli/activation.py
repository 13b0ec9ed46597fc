"""`airflow hdm activate` and `deactivate`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hdm_airflow.admin import activation
from hdm_airflow.base import activation as stored
from hdm_airflow.base import endpoints
from hdm_airflow.cli import pack_names
from hdm_airflow.cli.command import command
from hdm_airflow.cli.command_context import actor, open_base
from hdm_airflow.cli.console import say
from hdm_airflow.errors import ConfigurationError

if TYPE_CHECKING:
    from argparse import Namespace

    from hdm_airflow.admin.pack_names import Named
    from hdm_airflow.base.hook import BaseConnection


@command
def activate(args: Namespace) -> int:
    """Activate packs on endpoints."""
    return _change(args, _registered, active=True, words=("is now", "was already"))


@command
def deactivate(args: Namespace) -> int:
    """Deactivate packs, even on slugs that are no longer registered, or never were."""
    return _change(args, _activated, active=False, words=("is no longer", "was not"))


def _change(
    args: Namespace,
    find: Callable[[BaseConnection, list[Named], list[str]], list[str]],
    *,
    active: bool,
    words: tuple[str, str],
) -> int:
    """Change all that the arguments mean, or nothing.

    Args:
        args: the arguments.
        find: the slugs that they mean.
        active: whether the packs run there from now on.
        words: what is said of a cell that has changed, and of another.
    """
    if bool(args.endpoints) == args.all:
        what = "endpoints are named together with --all" if args.all else "no endpoint is named"
        raise ConfigurationError(what, "ENDPOINT", "name endpoints, or give --all")
    packs = pack_names.find(args)
    if len(packs) > 1:
        say(f"{args.pack!r} means both {' and '.join(pack.task_id for pack in packs)}")
    with open_base(args) as base:
        slugs = find(base, packs, args.endpoints)  # all of them first: a misspelt name changes nothing
        if not slugs:
            say("no endpoint matches: nothing was changed")
        cells = [(pack.kind, pack.name, slug) for pack in packs for slug in slugs]
        changed = set(activation.change(base, cells, active=active, actor=actor()).changed)
    for pack in packs:
        for slug in slugs:
            is_changed = (pack.kind, pack.name, slug) in changed
            say(f"{pack.task_id} {words[0] if is_changed else words[1]} activated on {slug}")
    return 0


def _registered(base: BaseConnection, _packs: list[Named], stated: list[str]) -> list[str]:
    found = [endpoints.find(base, text) for text in stated] if stated else endpoints.registered(base)
    return [one.endpoint.slug for one in found]


def _activated(base: BaseConnection, packs: list[Named], stated: list[str]) -> list[str]:
    marked = {endpoints.canonical(slug) for kind, name, slug in stored.activated(base) if _is_one(packs, kind, name)}
    if not stated:
        return sorted(marked)
    slugs = [endpoints.canonical(text) for text in stated]
    return [slug if slug in marked else endpoints.find(base, slug).endpoint.slug for slug in slugs]


def _is_one(packs: list[Named], kind: str, name: str) -> bool:
    return any((pack.kind, pack.name) == (kind, name) for pack in packs)
