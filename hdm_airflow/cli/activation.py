"""`airflow hdm activate` and `deactivate`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from hdm_airflow.base import activation, endpoints
from hdm_airflow.cli import pack_names
from hdm_airflow.cli.command import command
from hdm_airflow.cli.command_context import actor, open_base
from hdm_airflow.cli.console import say
from hdm_airflow.errors import ConfigurationError

if TYPE_CHECKING:
    from argparse import Namespace

    from hdm_airflow.admin.pack_names import Named
    from hdm_airflow.base.endpoints import Registered
    from hdm_airflow.base.hook import BaseConnection

_Place = TypeVar("_Place")  # an endpoint, or a slug that may not be registered


@command
def activate(args: Namespace) -> int:
    """Activate packs on endpoints."""

    def one(base: BaseConnection, pack: Named, endpoint: Registered) -> None:
        slug = endpoint.endpoint.slug
        new = activation.change(base, [(pack.kind, pack.name, slug)], active=True, actor=actor()).cells
        say(f"{pack.task_id} {'is now' if new else 'was already'} activated on {slug}")

    return _each(args, one, _registered)


@command
def deactivate(args: Namespace) -> int:
    """Deactivate packs, even on slugs that are no longer registered, or never were."""

    def one(base: BaseConnection, pack: Named, slug: str) -> None:
        changed = activation.change(base, [(pack.kind, pack.name, slug)], active=False, actor=actor()).cells
        say(f"{pack.task_id} {'is no longer' if changed else 'was not'} activated on {slug}")

    return _each(args, one, _activated)


def _each(
    args: Namespace,
    change: Callable[[BaseConnection, Named, _Place], None],
    find: Callable[[BaseConnection, list[Named], list[str]], list[_Place]],
) -> int:
    if bool(args.endpoints) == args.all:
        what = "endpoints are named together with --all" if args.all else "no endpoint is named"
        raise ConfigurationError(what, "ENDPOINT", "name endpoints, or give --all")
    packs = pack_names.find(args)
    if len(packs) > 1:
        say(f"{args.pack!r} means both {' and '.join(pack.task_id for pack in packs)}")
    with open_base(args) as base:
        places = find(base, packs, args.endpoints)  # all of them first: a misspelt name changes nothing
        if not places:
            say("no endpoint matches: nothing was changed")
        for pack in packs:
            for place in places:
                change(base, pack, place)
    return 0


def _registered(base: BaseConnection, _packs: list[Named], stated: list[str]) -> list[Registered]:
    return [endpoints.find(base, text) for text in stated] if stated else endpoints.registered(base)


def _activated(base: BaseConnection, packs: list[Named], stated: list[str]) -> list[str]:
    marked = {
        endpoints.canonical(slug) for kind, name, slug in activation.activated(base) if _is_one(packs, kind, name)
    }
    if not stated:
        return sorted(marked)
    slugs = [endpoints.canonical(text) for text in stated]
    return [slug if slug in marked else endpoints.find(base, slug).endpoint.slug for slug in slugs]


def _is_one(packs: list[Named], kind: str, name: str) -> bool:
    return any((pack.kind, pack.name) == (kind, name) for pack in packs)
