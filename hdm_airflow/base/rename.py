"""Rename: an endpoint gets another slug, with its history, in the tables of the base and of packs.

The base's tables come first, in one transaction; then the tables of packs, in batches; the activation comes last. Until
then packs are activated for the old slug, which is no longer registered: if a rename is interrupted, runs fail there
and say so, and no pack sees half of a history. The same command then continues.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hdm_airflow.base import audit
from hdm_airflow.base.endpoints import Endpoint, Registered, canonical, stored_forms
from hdm_airflow.base.queries import queries
from hdm_airflow.base.role.rights import TABLES
from hdm_airflow.errors import ConfigurationError, HdmBaseError

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection

_BATCH = 50_000  # rows per transaction: a few seconds, so that an interruption loses little
_SHOWN = 5  # tables in an error
_MOVED = (
    "alerts",
    "not_judged",
    "incidents",
    "counts",
    "told",
    "states",
    "ledger",
)  # queries, one per table of the base
_STARTED, _DONE = "endpoint rename", "endpoint renamed"  # actions in the audit trail


@dataclass(frozen=True, kw_only=True)
class PackTable:
    """A table of packs with a column `endpoint`."""

    session: BaseConnection  # that may change it
    schema: str
    name: str


@contextmanager
def without_runs(base: BaseConnection) -> Iterator[None]:
    """Keep out runs of packs. The session of `base` holds the lock.

    Raises:
        HdmBaseError: if a pack is running.
    """
    row = base.execute(queries("rename")["lock"]).fetchone()
    if not (row and row["locked"]):
        hint = "pause the Dag and wait until its tasks have ended: airflow hdm runs list --status running"
        raise HdmBaseError("packs are running, or another rename: both use this base", "HDM base", hint)
    try:
        yield
    finally:
        if not base.closed:
            base.execute(queries("rename")["unlock"])


def is_unfinished(base: BaseConnection, old: str, new: str) -> bool:
    """Return whether a rename from one slug to the other was interrupted."""
    row = base.execute(queries("rename")["last_step"], {"old": old, "new": new}).fetchone()
    return row is not None and row["action"] == _STARTED


def refuse_half_renamed(base: BaseConnection, slug: str) -> None:
    """Check that no rename to this slug was interrupted: continued later, it would bring back this slug.

    Raises:
        ConfigurationError: if one was.
    """
    for row in base.execute(queries("rename")["last_steps_to"], {"new": slug}).fetchall():
        if row["action"] == _STARTED:
            what = f"the rename of {row['old']} to {slug} was interrupted: packs have rows under both"
            hint = f"finish it first: airflow hdm endpoints rename {row['old']} {slug}"
            raise ConfigurationError(what, "HDM base", hint)


def pack_tables(base: BaseConnection, sessions: Sequence[BaseConnection]) -> list[PackTable]:
    """Find the tables of packs.

    Args:
        base: a session of the owner, which searches only the base's schema.
        sessions: in which to look, such as one of the packs' role.

    Raises:
        ConfigurationError: if the packs' role has tables that none of them may change.
    """
    row = base.execute(queries("pack_schema")["schema"]).fetchone()
    values = {"schema": row and row["schema"], "tables": list(TABLES)}
    found: dict[tuple[str, str], PackTable] = {}
    for session in sessions:
        for one in session.execute(queries("rename")["tables"], values).fetchall():
            found.setdefault((one["schema"], one["name"]), PackTable(session=session, **one))
    every = base.execute(queries("rename")["tables_of_roles"], values).fetchall()
    if left := [f"{one['schema']}.{one['name']}" for one in every if (one["schema"], one["name"]) not in found]:
        more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        what = f"tables of packs would keep the old slug: {', '.join(left[:_SHOWN])}{more}"
        hint = "choose the environment whose pack_conn_id is a connection of their owner (--environment), or drop them"
        raise ConfigurationError(what, "HDM base", hint)
    return list(found.values())


def start(base: BaseConnection, old: Registered, new: Endpoint, tables: Sequence[PackTable], *, actor: str) -> None:
    """Rename it in the tables of the base, except the activation, in one transaction.

    Raises:
        ConfigurationError: if the new slug has rows already: two histories cannot become one.
    """
    slugs = {"old": old.endpoint.slug, "new": new.slug}
    used = [row["name"] for row in base.execute(queries("rename")["used"], {"slugs": _forms(base, new.slug)})]
    used += [table.name for table in tables if _has(table, new.slug)]
    if used:
        what = f"the endpoint {new.slug} already has rows: {', '.join(sorted(set(used)))}"
        raise ConfigurationError(what, "HDM base", "rename it to a slug that was never used, or remove these rows")
    with base.transaction():
        values = {**asdict(new), "ssl": "true" if new.ssl else "false", "id": old.id}
        base.execute(queries("rename")["endpoint"], values)
        _move_configurations(base, old.endpoint.slug, new.slug, actor)
        _move_subscriptions(base, old.endpoint.slug, new.slug)
        for table in _MOVED:
            base.execute(queries("rename")[table], slugs)
        _record(base, _STARTED, slugs, actor)


def move_rows(table: PackTable, old: str, new: str, progress: Callable[[int], None]) -> int:
    """Rename it in one table of packs, in batches.

    Args:
        table: the table.
        old: the slug before.
        new: the slug afterwards.
        progress: called after each batch with the number of rows so far.

    Returns:
        The number of rows.
    """
    statement = _composed(
        "UPDATE {table} SET endpoint = %(new)s WHERE (tableoid, ctid) IN "
        "(SELECT tableoid, ctid FROM {table} WHERE endpoint = %(old)s LIMIT %(batch)s)",
        table,
    )
    total, moved = 0, _BATCH
    while moved:
        moved = table.session.execute(statement, {"old": old, "new": new, "batch": _BATCH}).rowcount
        total += moved
        if moved:
            progress(total)
    return total


def finish(base: BaseConnection, old: str, new: str, *, actor: str) -> None:
    """Move the activation, and what failed runs have written meanwhile, in one transaction."""
    slugs = {"old": old, "new": new}
    with base.transaction():
        forms = _forms(base, old)
        base.execute(queries("rename")["activate"], {"new": new, "slugs": forms})
        base.execute(queries("endpoints")["remove_activations"], {"slugs": forms})
        for table in _MOVED:
            base.execute(queries("rename")[table], slugs)
        _record(base, _DONE, slugs, actor)


def _move_configurations(base: BaseConnection, old: str, new: str, actor: str) -> None:
    """Move each pack's configuration. If there is a second one under an old form of the slug, it never counted."""
    rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in base.execute(queries("rename")["configured"]).fetchall():
        if canonical(row["id_config"].removeprefix(f"{row['pack_name']}:")) == old:
            rows.setdefault((row["kind"], row["pack_name"]), []).append(row)
    for (kind, pack), found in rows.items():
        found.sort(key=lambda row: row["id_config"] != f"{pack}:{old}")
        values = {"old": found[0]["id_config"], "new": f"{pack}:{new}"}
        base.execute(queries("rename")[f"configuration_{kind}"], values)
        for row in found[1:]:
            base.execute(queries("rename")[f"remove_configuration_{kind}"], {"old": row["id_config"]})
            audit.record(
                base, actor, "deduplicate", f"{kind} configuration {row['id_config']}", row["pack_config"], None
            )


def _move_subscriptions(base: BaseConnection, old: str, new: str) -> None:
    """Move subscriptions, which may name the endpoint in an old form of its slug."""
    for row in base.execute(queries("rename")["subscribed"]).fetchall():
        if canonical(row["db_key"].strip()) == old:
            base.execute(queries("rename")["subscriptions"], {"old": row["db_key"], "new": new})


def _record(base: BaseConnection, action: str, slugs: dict[str, str], actor: str) -> None:
    old, new = {"slug": slugs["old"]}, {"slug": slugs["new"]}
    audit.record(base, actor, action, f"hdm_core_dblist {slugs['old']}", old, new)


def _forms(base: BaseConnection, slug: str) -> list[str]:
    return sorted({slug, *stored_forms(base, slug)})


def _has(table: PackTable, slug: str) -> bool:
    statement = _composed("SELECT FROM {table} WHERE endpoint = %(slug)s LIMIT 1", table)
    return table.session.execute(statement, {"slug": slug}).fetchone() is not None


def _composed(statement: Any, table: PackTable) -> Any:
    from psycopg.sql import SQL, Identifier

    return SQL(statement).format(table=Identifier(table.schema, table.name))
