"""`airflow hdm endpoints list`, `add`, `rename` and `remove`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hdm_airflow.admin import endpoints
from hdm_airflow.base.endpoints import Endpoint, find
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.cli.command import DECLINED, command
from hdm_airflow.cli.command_context import actor, find_hook, find_pack_conn_id, open_base
from hdm_airflow.cli.console import agreed, put, say, show, warn
from hdm_airflow.credentials.airflow_connections import default_conn_id
from hdm_airflow.errors import ConfigurationError

if TYPE_CHECKING:
    from argparse import Namespace

_PARTS = ("name", "type", "host", "port", "user")


@command
def list_all(args: Namespace) -> int:
    """List every endpoint with the packs activated on it."""
    with open_base(args) as base:
        found = endpoints.listed(base)
    rows = [{"endpoint": one.endpoint.slug, "conn_id": one.conn_id, "packs": packs} for one, packs in found.rows]
    show(rows, args.output)
    for slug, names in found.unregistered.items():
        warn(f"{', '.join(names)} activated on {slug}, which is not registered: these runs fail")
    for same in found.doubled:
        warn(f"{' and '.join(same)} are one database\ndo: deactivate the packs of all but one; their history stays")
    return 0


@command
def add(args: Namespace) -> int:
    """Register an endpoint and print its slug."""
    endpoint = _endpoint(args)
    with open_base(args) as base:
        added = endpoints.add(base, endpoint, conn_id=args.conn_id, actor=actor())
    if added.endpoint != endpoint:
        say(f"{added.endpoint.type} and {endpoint.type} are one type")
    said = {
        "none": "the endpoint already exists, unchanged",
        "new": "the endpoint was added",
        "connection": f"its connection is now {added.conn_id or 'the default'}",
    }
    say(said[added.change])
    put(added.endpoint.slug)
    return 0


@command
def rename(args: Namespace) -> int:
    """Rename an endpoint, after confirmation, or continue a rename that was interrupted."""
    new = Endpoint.from_slug(args.new)
    endpoints.check(new)
    hook, pack_conn_id = find_hook(args), find_pack_conn_id(args)
    with open_base(args) as base, HdmHook(pack_conn_id or hook.conn_id).session(pinned=False) as packs:
        found = endpoints.find_renaming(base, args.endpoint, new)
        if not args.yes and not agreed(f"Rename {found.old} to {new.slug}, with its history?", found.old):
            say("nothing was renamed")
            return DECLINED
        endpoints.rename(base, packs, found, actor=actor(), progress=say)
    say(f"{found.old} is now {new.slug}; start the Dag again")
    before = found.registered
    if before is not None and before.conn_id is None and before.endpoint.name != new.name:
        say(f"its password is now looked up in the Airflow connection {default_conn_id(new.name)}")
    put(new.slug)
    return 0


@command
def remove(args: Namespace) -> int:
    """Remove an endpoint, after confirmation."""
    with open_base(args) as base:
        found = find(base, args.endpoint)
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
    endpoints.check(endpoint)  # before the base is opened
    return endpoint
