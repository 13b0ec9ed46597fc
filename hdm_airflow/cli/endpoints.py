"""`airflow hdm endpoints list`, `add` and `remove`."""

from __future__ import annotations

import sys
from collections import defaultdict
from typing import TYPE_CHECKING

from hdm_airflow.base import activation, endpoints
from hdm_airflow.base.endpoints import Endpoint
from hdm_airflow.cli.command import command
from hdm_airflow.cli.command_context import actor, open_base
from hdm_airflow.cli.console import put, say, show
from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs.pack import PREFIX
from hdm_airflow.printable import printable

if TYPE_CHECKING:
    from argparse import Namespace

_PARTS = ("name", "type", "host", "port", "user")
_LAST_PORT = 65535
DECLINED = 1  # exit code: not confirmed


@command
def list_all(args: Namespace) -> int:
    """List every endpoint with the packs activated on it."""
    with open_base(args) as base:
        every = endpoints.registered(base)
        packs: dict[str, list[str]] = defaultdict(list)
        for kind, pack, slug in activation.activated(base):
            packs[endpoints.canonical(slug)].append(PREFIX[kind] + pack)
    rows = [
        {"endpoint": one.endpoint.slug, "conn_id": one.conn_id, "packs": packs.pop(one.endpoint.slug, [])}
        for one in every
    ]
    show(rows, args.output)
    for slug, names in packs.items():
        say(f"warning: {', '.join(names)} activated on {slug}, which is not registered: these runs fail")
    return 0


@command
def add(args: Namespace) -> int:
    """Register an endpoint and print its slug."""
    endpoint = _endpoint(args)
    with open_base(args) as base:
        known = {one.endpoint: one for one in endpoints.registered(base)}
        before = known.get(endpoint)
        kept = before.conn_id if before else None
        conn_id: str | None = kept if args.conn_id is None else args.conn_id or None
        if before is not None and before.conn_id == conn_id:
            say("the endpoint already exists, unchanged")
        else:
            new = endpoints.add(base, endpoint, conn_id, actor=actor())
            say("the endpoint was added" if new else f"its connection is now {conn_id or 'the default'}")
    put(endpoint.slug)
    return 0


@command
def remove(args: Namespace) -> int:
    """Remove an endpoint, after confirmation."""
    with open_base(args) as base:
        found = endpoints.find(base, args.endpoint)
        slug = found.endpoint.slug
        if not args.yes and not _agreed(slug):
            say("nothing was removed")
            return DECLINED
        count = endpoints.remove(base, found, actor=actor())
    say(f"{slug} was removed, with {count} activation(s)")
    return 0


def _endpoint(args: Namespace) -> Endpoint:
    """The endpoint that the arguments describe, as a slug or in parts."""
    stated = {part: getattr(args, part) for part in _PARTS if getattr(args, part) is not None}
    if args.slug and ":" in args.slug:
        if stated or args.ssl:
            options = ", ".join(f"--{part}" for part in (*stated, *(["ssl"] if args.ssl else [])))
            raise ConfigurationError(f"a slug cannot be combined with {options}", "SLUG", "give one or the other")
        endpoint = Endpoint.from_slug(args.slug)
    else:
        if args.slug and args.name:
            raise ConfigurationError("the name is given twice", "SLUG and --name", "give it once")
        parts = {**stated, "name": args.slug or args.name or ""}
        endpoint = Endpoint(**{"type": "", **parts}, ssl=args.ssl)
    _check(endpoint)
    return endpoint


def _check(endpoint: Endpoint) -> None:
    where = "the endpoint's parts"
    for part in ("name", "type", *(["host"] if endpoint.is_file else [])):
        if not getattr(endpoint, part).strip():
            raise ConfigurationError(f"the endpoint has no {part}", where, f"give a slug, or --{part}")
    port = endpoint.port
    if port and not (port.isascii() and port.isdecimal() and 0 < int(port) <= _LAST_PORT):
        raise ConfigurationError(f"{port!r} is not a port", where, f"write a number from 1 to {_LAST_PORT}, or none")
    if any(not letter.isprintable() for letter in endpoint.slug):
        raise ConfigurationError("a part contains an unprintable character", where, "remove it")


def _agreed(slug: str) -> bool:
    if not sys.stdin.isatty():
        hint = "add --yes"
        raise ConfigurationError("cannot ask for confirmation (stdin is not a terminal)", slug, hint)
    sys.stderr.write(f"Remove {printable(slug)} and its activations? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
