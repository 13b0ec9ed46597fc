"""The matrix: which packs run on which endpoints, and how each last ended there."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal

from hdm_airflow.base import activation, audit
from hdm_airflow.base.endpoints import Endpoint, canonical
from hdm_airflow.base.queries import queries
from hdm_airflow.base.runs import Status
from hdm_airflow.errors import ConfigurationError

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.packs.manifest import Kind

#: The character of a cell is at the sum of these bits: 1 active, 2 has a configuration of its own for this endpoint,
#: 4 the last run is older than the newest metric date of the pack, 8 times the state's place in STATES.
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
ACTIVE, CONFIGURED, OLD, STATE = 1, 2, 4, 8
STATES = ("none", "success", "partial", "failed", "skipped", "running")
State = Literal["success", "partial", "failed", "skipped", "running", "none", "old"]
Key = int | str  # id of a registered endpoint, or a slug that is activated but not registered


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which endpoints are shown. Those of cells must hold for the same cell, in any of the packs that are looked at."""

    search: str = ""  # in the slug, in upper or lower case
    types: tuple[str, ...] = ()  # of databases; (): all
    hosts: tuple[str, ...] = ()  # (): all
    kind: Kind | None = None  # of the packs that are looked at; None: both
    packs: tuple[tuple[Kind, str], ...] = ()  # that are looked at; (): all
    state: State | None = None  # of a cell; `old`: the last run is older than the newest metric date of the pack
    active: bool | None = None  # whether a cell is active


@dataclass(frozen=True, kw_only=True)
class PackColumn:
    """A pack that the base knows."""

    kind: Kind
    name: str
    version: str  # that attempts have recorded last; '': none


@dataclass(frozen=True, kw_only=True)
class Index:
    """The rows of the matrix."""

    keys: list[Key]  # registered endpoints by name, then the others
    digest: str  # changes with the keys


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the matrix."""

    key: Key
    slug: str
    name: str  # of an unregistered slug that cannot be read: the slug; then the other parts are empty
    type: str
    host: str
    port: str
    user: str
    ssl: bool
    registered: bool
    cells: str  # one character of ALPHABET per pack


@dataclass(frozen=True, kw_only=True)
class Facets:
    """What filters can name."""

    types: list[str]
    hosts: list[str]
    endpoints: int  # registered ones


@dataclass(frozen=True, kw_only=True)
class LastRun:
    """The ledger row that counts now."""

    id: int
    dag_id: str
    run_id: str
    task_id: str
    try_number: int
    status: Status
    reason: str | None
    metric_date: date
    finished_at: datetime | None
    metrics: int | None
    alerts: int | None


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One pack on one endpoint."""

    active: bool
    configured: bool  # for this endpoint
    run: LastRun | None
    changed: audit.Entry | None  # its last activation or deactivation


def packs(base: BaseConnection) -> list[PackColumn]:
    """Read the packs that attempts have recorded, or that are activated or configured, by kind and name."""
    return [PackColumn(**row) for row in base.execute(queries("matrix")["packs"])]


def facets(base: BaseConnection) -> Facets:
    """Read the types, hosts and number of the registered endpoints."""
    row = base.execute(queries("matrix")["facets"]).fetchone()
    assert row is not None  # noqa: S101  # the query always returns a row
    return Facets(**row)


def index(base: BaseConnection, filters: Filters, packs: Sequence[tuple[Kind, str]]) -> Index:
    """Find the rows that match.

    Args:
        base: the connection.
        filters: which.
        packs: the columns of the matrix; those that the filters name are looked at.
    """
    by_cell = filters.state is not None or filters.active is not None
    values = {"search": filters.search, "types": list(filters.types) or None, "hosts": list(filters.hosts) or None}
    row = base.execute(queries("matrix")["endpoints"], {**values, "with_slugs": by_cell}).fetchone()
    assert row is not None  # noqa: S101  # the query always returns a row
    ids: list[int] = row["ids"]
    strangers = [slug for slug in _strangers(base, row["strangers"]) if _matches(slug, filters)]
    if by_cell:
        matching = _matching(base, filters, packs, [*row["slugs"], *strangers])
        ids = [number for number, slug in zip(ids, row["slugs"], strict=True) if slug in matching]
        strangers = [slug for slug in strangers if slug in matching]
    keys: list[Key] = [*ids, *strangers]
    return Index(keys=keys, digest=hashlib.sha256(repr(keys).encode("utf-8")).hexdigest()[:16])


def rows(base: BaseConnection, keys: Sequence[Key], packs: Sequence[tuple[Kind, str]]) -> list[Row]:
    """Read rows in the order of their keys. An endpoint that is gone is left out."""
    places = _places(base, keys)
    slugs = [place["slug"] for place in places]
    bits = [bytearray(len(packs)) for _ in places]
    for row in base.execute(queries("matrix")["cells"], {**_columns(packs, "kinds", "packs"), "slugs": slugs}):
        for number in row["rows"]:
            bits[number - 1][row["pack"] - 1] |= row["bits"]
    row_of, column_of = ({one: number for number, one in enumerate(every)} for every in (slugs, packs))
    for what, kind, pack, slug in _others(base, row_of):
        if (number := column_of.get((kind, pack))) is not None:
            bits[row_of[slug]][number] |= ACTIVE if what == "active" else CONFIGURED
    return [
        Row(**place, cells="".join(map(ALPHABET.__getitem__, one))) for place, one in zip(places, bits, strict=True)
    ]


def slugs(base: BaseConnection, keys: Sequence[Key]) -> list[str]:
    """Read the slugs of rows, in the order of their keys. An endpoint that is gone is left out."""
    return [place["slug"] for place in _places(base, keys)]


def cell(base: BaseConnection, kind: Kind, pack: str, slug: str) -> Cell:
    """Read one cell; the slug is in its canonical form."""
    values = {"kind": kind, "pack": pack, "slug": slug}
    marks = base.execute(queries("matrix")["marks"], values).fetchone() or {}
    others = {what for what, *other in _others(base, {slug}) if other == [kind, pack, slug]}
    run = base.execute(queries("matrix")["run"], values).fetchone()
    return Cell(
        active=marks["active"] or "active" in others,
        configured=marks["configured"] or "configured" in others,
        run=LastRun(**run) if run else None,
        changed=audit.newest(base, activation.item(kind, pack, slug), ["activate", "deactivate"]),
    )


def count_active(base: BaseConnection, packs: Sequence[tuple[Kind, str]], slugs: Sequence[str]) -> int:
    """Count the active cells of packs on endpoints; the slugs are in their canonical form."""
    values: dict[str, Any] = {**_columns(packs, "kinds", "packs"), **active_in_other_forms(base), "slugs": list(slugs)}
    for name, kind in (("metrics", "metric"), ("rules", "rule")):
        values[name] = [pack for one, pack in packs if one == kind]
    row = base.execute(queries("matrix")["count_active"], values).fetchone()
    return row["count"] if row else 0


def active_in_other_forms(base: BaseConnection) -> dict[str, list[str]]:
    """Read what is active under an old form of a slug, as parameters of a query: kinds, packs, canonical slugs."""
    rows = base.execute(queries("matrix")["other_forms"])
    found = {
        (row["kind"], row["pack"], slug)
        for row in rows
        if row["what"] == "active" and (slug := canonical(row["slug"])) != row["slug"]
    }
    return _columns(sorted(found), "other_kinds", "other_packs", "other_slugs")


def _strangers(base: BaseConnection, stored: Iterable[str]) -> list[str]:
    """The slugs that are registered in no form, sorted, of those that are not in the form in which they are stored."""
    found = {canonical(slug): slug for slug in stored}
    unsure = [slug for slug, one in found.items() if slug != one]
    known = {row["slug"] for row in base.execute(queries("matrix")["registered"], {"slugs": unsure})} if unsure else ()
    return sorted(slug for slug in found if slug not in known)


def _matches(slug: str, filters: Filters) -> bool:
    if filters.search.lower() not in slug.lower():
        return False
    place = _place(slug)
    return (not filters.types or place["type"] in filters.types) and (
        not filters.hosts or place["host"] in filters.hosts
    )


def _matching(
    base: BaseConnection, filters: Filters, packs: Sequence[tuple[Kind, str]], slugs: Sequence[str]
) -> set[str]:
    looked = [
        (kind, name)
        for kind, name in packs
        if filters.kind in {None, kind} and (not filters.packs or (kind, name) in filters.packs)
    ]
    has_run = filters.state not in {None, "none"}
    query = "in_state" if has_run and filters.active is not False else "inactive_in_state"
    if filters.active and not has_run:
        query = "active" if filters.state is None else "active_without_run"
    values: dict[str, Any] = {**_columns(looked, "kinds", "packs"), **active_in_other_forms(base), "slugs": list(slugs)}
    for name, kind in (("metrics", "metric"), ("rules", "rule")):
        values[name] = [pack for one, pack in looked if one == kind]
    values |= {"state": filters.state, "only_active": bool(filters.active), "only_inactive": filters.active is False}
    with base.transaction():
        base.execute(queries("matrix")["memory"])
        return {row["slug"] for row in base.execute(queries("matrix")[query], values)}


def _places(base: BaseConnection, keys: Sequence[Key]) -> list[dict[str, Any]]:
    ids = [key for key in keys if isinstance(key, int)]
    found = {row["id"]: row for row in base.execute(queries("matrix")["places"], {"ids": ids})} if ids else {}
    places: list[dict[str, Any]] = []
    for key in keys:
        if isinstance(key, str):
            places.append({"key": key, "slug": key, "registered": False, **_place(key)})
        elif row := found.get(key):
            parts = {name: row[f"db_{name}"] for name in ("name", "type", "host", "port", "user")}
            places.append({"key": key, "slug": row["slug"], "registered": True, "ssl": row["ssl"], **parts})
    return places


def _place(slug: str) -> dict[str, Any]:
    """The parts of an unregistered slug; if it cannot be read, it is a name."""
    try:
        endpoint = Endpoint.from_slug(slug)
    except ConfigurationError:
        endpoint = Endpoint(name=slug, type="")
    return {
        "name": endpoint.name,
        "type": endpoint.type,
        "host": endpoint.host,
        "port": endpoint.port,
        "user": endpoint.user,
        "ssl": endpoint.ssl,
    }


def _others(base: BaseConnection, wanted: Collection[str]) -> list[tuple[str, str, str, str]]:
    """What is stored under old forms of these slugs: active or configured, kind, pack, canonical slug."""
    rows = base.execute(queries("matrix")["other_forms"])
    found = {(row["what"], row["kind"], row["pack"], canonical(row["slug"])) for row in rows}
    return sorted(one for one in found if one[3] in wanted)


def _columns(rows: Iterable[Sequence[str]], *names: str) -> dict[str, Any]:
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    return {name: list(column) for name, column in zip(names, columns, strict=True)}
