"""Endpoints: register, rename, remove and list the databases that packs work on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from hdm_airflow.base import activation, endpoints
from hdm_airflow.base import rename as base_rename
from hdm_airflow.base.endpoints import Endpoint, Registered
from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs.pack import PREFIX

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection

_LAST_PORT = 65535


@dataclass(frozen=True, kw_only=True)
class Listed:
    """Every endpoint, and what is wrong with the list."""

    rows: list[tuple[Registered, list[str]]]  # with the task ids of the packs activated on it
    unregistered: dict[str, list[str]]  # slug that is activated but not registered -> task ids of its packs
    doubled: list[list[str]]  # the slugs of each database that is registered several times


@dataclass(frozen=True, kw_only=True)
class Added:
    """What `add` has done."""

    endpoint: Endpoint  # as it is registered, perhaps under another name of its type
    conn_id: str | None  # the connection that now holds its password; None for the default
    change: Literal["new", "connection", "none"]


@dataclass(frozen=True, kw_only=True)
class Renaming:
    """A rename that can be done, or continued."""

    text: str  # the endpoint, as the person named it
    old: str  # its slug
    registered: Registered | None  # None: the rename was interrupted, and continues
    new: Endpoint


def listed(base: BaseConnection) -> Listed:
    """Read every endpoint with the packs activated on it, sorted by slug."""
    every = endpoints.registered(base)
    packs: dict[str, list[str]] = defaultdict(list)
    for kind, pack, slug in activation.activated(base):
        packs[endpoints.canonical(slug)].append(PREFIX[kind] + pack)
    rows = [(one, packs.pop(one.endpoint.slug, [])) for one in every]
    return Listed(rows=rows, unregistered=dict(packs), doubled=_doubled(every))


def check(endpoint: Endpoint) -> None:
    """Refuse an endpoint that no pack could use.

    Raises:
        ConfigurationError: if a part is missing or wrong.
    """
    where = "the endpoint's parts"
    for part in ("name", "type", *(["host"] if endpoint.is_file else [])):
        if not getattr(endpoint, part).strip():
            raise ConfigurationError(f"the endpoint has no {part}", where, f"give a slug, or --{part}")
    port = endpoint.port
    if port and not (port.isascii() and port.isdecimal() and 0 < int(port) <= _LAST_PORT):
        raise ConfigurationError(f"{port!r} is not a port", where, f"write a number from 1 to {_LAST_PORT}, or none")
    if any(not letter.isprintable() for letter in endpoint.slug):
        raise ConfigurationError("a part contains an unprintable character", where, "remove it")


def add(base: BaseConnection, endpoint: Endpoint, *, conn_id: str | None, actor: str) -> Added:
    """Register an endpoint, or change the connection of a registered one.

    Args:
        base: the connection.
        endpoint: the endpoint.
        conn_id: the Airflow connection that holds its password; '' for the default, None to keep what is stored.
        actor: who does it.

    Raises:
        ConfigurationError: if no pack could use it.
    """
    check(endpoint)
    every = endpoints.registered(base)
    before = next((one for one in every if one.endpoint == endpoint), None)
    before = before or next((one for one in every if one.endpoint.is_same(endpoint)), None)
    kept = before.conn_id if before else None
    wanted = kept if conn_id is None else conn_id or None
    if before is not None and before.conn_id == wanted:
        return Added(endpoint=before.endpoint, conn_id=wanted, change="none")
    registered = before.endpoint if before else endpoint
    new = endpoints.add(base, registered, wanted, actor=actor)
    return Added(endpoint=registered, conn_id=wanted, change="new" if new else "connection")


def find_renaming(base: BaseConnection, text: str, new: Endpoint) -> Renaming:
    """Find the endpoint to rename, or a rename that was interrupted.

    Args:
        base: the connection.
        text: the endpoint: its slug, or a database name that only one endpoint has.
        new: what it is to become.

    Raises:
        ConfigurationError: if it cannot be renamed to `new`.
    """
    check(new)
    slug = endpoints.canonical(text)
    if base_rename.is_unfinished(base, slug, new.slug):
        return Renaming(text=text, old=slug, registered=None, new=new)
    found = endpoints.find(base, text)
    _check_target(endpoints.registered(base), found, new)
    base_rename.refuse_half_renamed(base, found.endpoint.slug)
    return Renaming(text=text, old=found.endpoint.slug, registered=found, new=new)


def rename(
    base: BaseConnection,
    packs: BaseConnection,
    renaming: Renaming,
    *,
    actor: str,
    progress: Callable[[str], None] = lambda _text: None,
) -> None:
    """Rename an endpoint with its history, or continue a rename that was interrupted. It may take minutes.

    Args:
        base: the connection.
        packs: a session of the role that owns the tables of packs.
        renaming: what `find_renaming` has found.
        actor: who does it.
        progress: called with a sentence after each step.

    Raises:
        ConfigurationError: if the endpoint has changed in the meantime, or the new slug has rows already.
        HdmBaseError: if packs are running.
    """
    old, new = renaming.old, renaming.new
    with base_rename.without_runs(base):
        if find_renaming(base, renaming.text, new) != renaming:
            raise ConfigurationError(f"{old} has changed in the meantime", "hdm_core_dblist", "start again")
        tables = base_rename.pack_tables(base, (packs, base))
        if renaming.registered is not None:
            base_rename.start(base, renaming.registered, new, tables, actor=actor)
            progress("renamed in the tables of the base")
        for table in tables:
            count = base_rename.move_rows(table, old, new.slug, lambda _rows: None)
            if count:
                progress(f"renamed in {table.schema}.{table.name}: {count:,} rows")
        base_rename.finish(base, old, new.slug, actor=actor)


def remove(base: BaseConnection, endpoint: Registered, *, actor: str) -> int:
    """Remove an endpoint and its activations; metrics, alerts and runs stay.

    Returns:
        The number of packs that were activated on it.
    """
    return endpoints.remove(base, endpoint, actor=actor)


def _doubled(every: Sequence[Registered]) -> list[list[str]]:
    """The slugs of each database that is registered several times, under several names of its type."""
    groups: dict[Endpoint, list[str]] = defaultdict(list)
    for one in every:
        groups[replace(one.endpoint, type=one.endpoint.kind)].append(one.endpoint.slug)
    return [slugs for slugs in groups.values() if len(slugs) > 1]


def _check_target(every: Sequence[Registered], old: Registered, new: Endpoint) -> None:
    if old.endpoint == new:
        raise ConfigurationError("both slugs are the same", "NEW", "write the new slug")
    others = [one.endpoint.slug for one in every if one.id != old.id and one.endpoint.is_same(new)]
    if others:
        what = f"the endpoint {others[0]} already exists: two histories cannot become one"
        raise ConfigurationError(what, "hdm_core_dblist", "rename to another slug")
