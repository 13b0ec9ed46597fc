"""Activation: which packs run on which endpoints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from hdm_airflow.base import incident_deactivation
from hdm_airflow.base.endpoints import canonical
from hdm_airflow.base.queries import queries
from hdm_airflow.errors import ConfigurationError

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.packs.manifest import Kind

_PATIENCE = "3s"  # how long a deactivation waits while incidents are being derived: somebody looks at a page


@dataclass(frozen=True, kw_only=True)
class Changed:
    """What a change has done."""

    cells: list[tuple[Kind, str, str]]  # kind, pack, slug: those that have changed, sorted
    batch: int | None  # the number of a change of several cells, for `undo`; None: at most one has changed


def change(base: BaseConnection, cells: Sequence[tuple[Kind, str, str]], *, active: bool, actor: str) -> Changed:
    """Activate or deactivate packs on endpoints: all or none, in one transaction of a constant number of statements.

    Open incidents of deactivated rule packs are closed.

    Args:
        base: the connection.
        cells: kind, pack, and the slug in any form; text that is not a slug must equal the stored text.
        active: whether the packs run there from now on.
        actor: the user's name.

    Raises:
        HdmBaseError: if incidents are being derived for too long: nothing has changed.
    """
    wanted = sorted({(kind, pack, canonical(slug)) for kind, pack, slug in cells})
    if not wanted:
        return Changed(cells=[], batch=None)
    with base.transaction():
        base.execute(queries("activation")["lock"])
        others = _other_forms(base, wanted)
        return _activate(base, wanted, others, actor) if active else _deactivate(base, wanted, others, actor)


def undo(base: BaseConnection, batch: int, *, actor: str) -> Changed:
    """Reverse the cells of a bulk change that nobody has changed since. This is a bulk change, too.

    Args:
        base: the connection.
        batch: as `change` returned it; of a change of one cell, the id of its audit row.
        actor: the user's name.

    Raises:
        ConfigurationError: if there is no such change.
        HdmBaseError: as `change`.
    """
    with base.transaction():
        base.execute(queries("activation")["lock"])
        if base.execute(queries("activation")["batch"], {"batch": batch}).fetchone() is None:
            hint = "choose one of the audit trail: airflow hdm audit list"
            raise ConfigurationError(f"there is no activation or deactivation {batch}", "hdm_audit", hint)
        rows = base.execute(queries("activation")["undoable"], {"batch": batch}).fetchall()
        if not rows:
            return Changed(cells=[], batch=None)
        cells = [_cell(row["object"]) for row in rows]
        return change(base, cells, active=rows[0]["action"] == "deactivate", actor=actor)


def item(kind: Kind, pack: str, slug: str) -> str:
    """The name of a cell in the audit trail."""
    return f"{kind} pack {pack} {slug}"


def activated(base: BaseConnection) -> list[tuple[Kind, str, str]]:
    """Every (kind, pack, slug), sorted, as stored."""
    rows = base.execute(queries("activation")["all"])
    return [(row["kind"], row["pack"], row["slug"]) for row in rows]


def _activate(
    base: BaseConnection, wanted: Sequence[tuple[Kind, str, str]], others: Iterable[tuple[Kind, str, str]], actor: str
) -> Changed:
    active = sorted({(kind, pack, canonical(slug)) for kind, pack, slug in others})
    values = {**_columns(wanted, "kinds", "packs", "slugs"), "actor": actor}
    values |= _columns(active, "other_kinds", "other_packs", "other_slugs")
    return _changed(base, "activate", values)


def _deactivate(
    base: BaseConnection, wanted: Sequence[tuple[Kind, str, str]], others: Iterable[tuple[Kind, str, str]], actor: str
) -> Changed:
    known = set(wanted)
    forms = [(*cell, cell[2]) for cell in wanted]
    forms += [
        (kind, pack, slug, stored)
        for kind, pack, stored in others
        if (slug := canonical(stored)) != stored and (kind, pack, slug) in known
    ]
    changed = _changed(base, "deactivate", {**_columns(forms, "kinds", "packs", "slugs", "stored"), "actor": actor})
    pairs = [(pack, slug) for kind, pack, slug in changed.cells if kind == "rule"]
    if pairs:
        incident_deactivation.close(base, pairs, actor=actor, patience=_PATIENCE)
    return changed


def _other_forms(base: BaseConnection, cells: Iterable[tuple[Kind, str, str]]) -> list[tuple[Kind, str, str]]:
    """The activations of these packs whose slug may be in an old form, as stored."""
    packs: dict[str, set[str]] = {"metric": set(), "rule": set()}
    for kind, pack, _ in cells:
        packs[kind].add(pack)
    rows = base.execute(queries("activation")["other_forms"], {kind: sorted(names) for kind, names in packs.items()})
    return [(row["kind"], row["pack"], row["slug"]) for row in rows]


def _changed(base: BaseConnection, query: str, values: dict[str, object]) -> Changed:
    rows = base.execute(queries("activation")[query], values).fetchall()
    cells = [(row["kind"], row["pack"], row["slug"]) for row in rows]
    return Changed(cells=cells, batch=rows[0]["batch"] if rows else None)


def _columns(rows: Sequence[tuple[str, ...]], *names: str) -> dict[str, object]:
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    return {name: list(column) for name, column in zip(names, columns, strict=True)}


def _cell(item: str) -> tuple[Kind, str, str]:
    kind, _, pack, slug = item.split(" ", 3)
    return cast("Kind", kind), pack, slug
