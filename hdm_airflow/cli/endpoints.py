"""`airflow hdm endpoints list`, `add`, `rename` and `remove`."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from hdm_airflow.base import activation, endpoints
from hdm_airflow.base import rename as base_rename
from hdm_airflow.base.endpoints import Endpoint, Registered
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.cli.command import DECLINED, command
from hdm_airflow.cli.command_context import actor, find_hook, find_pack_conn_id, open_base
from hdm_airflow.cli.console import agreed, put, say, show, warn
from hdm_airflow.credentials.airflow_connections import default_conn_id
from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs.pack import PREFIX

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from hdm_airflow.base.hook import BaseConnection

_PARTS = ("name", "type", "host", "port", "user")
_LAST_PORT = 65535


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
    for same in _same(every):
        warn(f"{' and '.join(same)} are one database\ndo: deactivate the packs of all but one; their history stays")
    return 0


def _same(every: Sequence[Registered]) -> list[list[str]]:
    """The slugs of each database that is registered several times, under several names of its type."""
    groups: dict[Endpoint, list[str]] = defaultdict(list)
    for one in every:
        groups[replace(one.endpoint, type=one.endpoint.kind)].append(one.endpoint.slug)
    return [slugs for slugs in groups.values() if len(slugs) > 1]


@command
def add(args: Namespace) -> int:
    """Register an endpoint and print its slug."""
    endpoint = _endpoint(args)
    with open_base(args) as base:
        every = endpoints.registered(base)
        before = next((one for one in every if one.endpoint == endpoint), None)
        before = before or next((one for one in every if one.endpoint.is_same(endpoint)), None)
        if before is not None and before.endpoint != endpoint:
            say(f"{before.endpoint.type} and {endpoint.type} are one type")
            endpoint = before.endpoint
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
def rename(args: Namespace) -> int:
    """Rename an endpoint, after confirmation, or continue a rename that was interrupted."""
    new = Endpoint.from_slug(args.new)
    _check(new)
    hook, pack_conn_id = find_hook(args), find_pack_conn_id(args)
    with open_base(args) as base, HdmHook(pack_conn_id or hook.conn_id).session(pinned=False) as packs:
        old_slug, old = found = _find_old(base, args.endpoint, new)
        if not args.yes and not agreed(f"Rename {old_slug} to {new.slug}, with its history?", old_slug):
            say("nothing was renamed")
            return DECLINED
        with base_rename.without_runs(base):
            if _find_old(base, args.endpoint, new) != found:
                raise ConfigurationError(f"{old_slug} has changed in the meantime", "hdm_core_dblist", "start again")
            tables = base_rename.pack_tables(base, (packs, base))
            if old is not None:
                base_rename.start(base, old, new, tables, actor=actor())
                say("renamed in the tables of the base")
            for table in tables:
                count = base_rename.move_rows(table, old_slug, new.slug, lambda _rows: None)
                if count:
                    say(f"renamed in {table.schema}.{table.name}: {count:,} rows")
            base_rename.finish(base, old_slug, new.slug, actor=actor())
    say(f"{old_slug} is now {new.slug}; start the Dag again")
    if old is not None and old.conn_id is None and old.endpoint.name != new.name:
        say(f"its password is now looked up in the Airflow connection {default_conn_id(new.name)}")
    put(new.slug)
    return 0


@command
def remove(args: Namespace) -> int:
    """Remove an endpoint, after confirmation."""
    with open_base(args) as base:
        found = endpoints.find(base, args.endpoint)
        slug = found.endpoint.slug
        if not args.yes and not agreed(f"Remove {slug} and its activations?", slug):
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


def _find_old(base: BaseConnection, text: str, new: Endpoint) -> tuple[str, Registered | None]:
    """The slug to rename, and its endpoint; None to continue a rename that was interrupted.

    Raises:
        ConfigurationError: if it cannot be renamed to `new`.
    """
    slug = endpoints.canonical(text)
    if base_rename.is_unfinished(base, slug, new.slug):
        return slug, None
    old = endpoints.find(base, text)
    _check_target(endpoints.registered(base), old, new)
    base_rename.refuse_half_renamed(base, old.endpoint.slug)
    return old.endpoint.slug, old


def _check_target(every: Sequence[Registered], old: Registered, new: Endpoint) -> None:
    if old.endpoint == new:
        raise ConfigurationError("both slugs are the same", "NEW", "write the new slug")
    others = [one.endpoint.slug for one in every if one.id != old.id and one.endpoint.is_same(new)]
    if others:
        what = f"the endpoint {others[0]} already exists: two histories cannot become one"
        raise ConfigurationError(what, "hdm_core_dblist", "rename to another slug")
