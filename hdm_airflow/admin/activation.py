"""Activation: which packs run on which endpoints, changed by people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from hdm_airflow.admin.pack_names import check_name
from hdm_airflow.admin.places import checked_slug
from hdm_airflow.base import activation, audit
from hdm_airflow.base.endpoints import registered_among
from hdm_airflow.errors import ConfigurationError, ConflictError
from hdm_airflow.packs.pack import PREFIX

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.packs.manifest import Kind

_ACTIONS = ("activate", "deactivate")
_MOST_CELLS = 1_000_000  # of a bulk change
_SHOWN = 5  # slugs in an error


@dataclass(frozen=True, kw_only=True)
class Changed:
    """What a change has done: kind, pack and slug (in its canonical form) of each cell, sorted."""

    changed: list[tuple[Kind, str, str]]
    unchanged: list[tuple[Kind, str, str]]  # as they should be before
    batch: int | None  # for `undo`; None: at most one cell has changed


def change(base: BaseConnection, cells: Sequence[tuple[Kind, str, str]], *, active: bool, actor: str) -> Changed:
    """Activate or deactivate packs on endpoints in one transaction. Open incidents of deactivated packs are closed.

    Args:
        base: the connection.
        cells: kind, pack, and the endpoint's slug.
        active: whether the packs run there from now on. Deactivated are also packs and endpoints that are gone.
        actor: who does it.

    Raises:
        ConfigurationError: if an endpoint is not registered, or no pack can have that name: nothing has changed.
        HdmBaseError: if incidents are being derived for too long: nothing has changed.
    """
    wanted = sorted({(kind, pack, checked_slug(kind, pack, slug) or "") for kind, pack, slug in cells})
    _check(base, wanted, active=active)
    done = activation.change(base, wanted, active=active, actor=actor)
    changed = set(done.cells)
    return Changed(changed=done.cells, unchanged=[cell for cell in wanted if cell not in changed], batch=done.batch)


def toggle(base: BaseConnection, kind: Kind, pack: str, slug: str, *, active: bool, seen: bool, actor: str) -> Changed:
    """Activate or deactivate one pack on one endpoint, unless somebody else has done it meanwhile.

    Args:
        base: the connection.
        kind: the pack's.
        pack: its name.
        slug: the endpoint's.
        active: whether the pack runs there from now on.
        seen: whether it did when the person looked.
        actor: who does it.

    Raises:
        ConflictError: if it is not as the person saw it: nothing has changed. It says how it is now, and who did it.
        ConfigurationError, HdmBaseError: as `change`.
    """
    cell = (kind, pack, checked_slug(kind, pack, slug) or "")
    if active == seen:
        what = f"the change would leave {PREFIX[kind]}{pack} {'activated' if active else 'not activated'}"
        raise ConfigurationError(f"{what} on {cell[2]}", activation.item(*cell), "reload, and change it again")
    done = change(base, [cell], active=active, actor=actor)
    if done.changed:
        return done
    newest = audit.newest(base, activation.item(*cell), _ACTIONS)
    what = f"{PREFIX[kind]}{pack} is {'already' if active else 'no longer'} activated on {cell[2]}"
    if newest:
        what += f": by {newest.actor}, at {newest.at.isoformat(sep=' ', timespec='seconds')}"
    raise ConflictError(what, activation.item(*cell), "reload; nothing was changed")


def undo(base: BaseConnection, batch: int, *, actor: str) -> Changed:
    """Reverse the cells of a bulk change that nobody has changed since.

    Args:
        base: the connection.
        batch: as `change` returned it.
        actor: who does it.

    Raises:
        ConfigurationError: if there is no such change.
        HdmBaseError: as `change`.
    """
    done = activation.undo(base, batch, actor=actor)
    changed = set(done.cells)
    before = [_cell(entry.object) for entry in audit.of_batch(base, batch, _MOST_CELLS)]
    return Changed(changed=done.cells, unchanged=[cell for cell in before if cell not in changed], batch=done.batch)


def _check(base: BaseConnection, cells: Sequence[tuple[Kind, str, str]], *, active: bool) -> None:
    if not active:
        return
    for pack in sorted({pack for _, pack, _ in cells}):
        check_name(pack, "PACK")
    slugs = {slug for _, _, slug in cells}
    missing = sorted(slugs - registered_among(base, sorted(slugs)))
    if missing:
        more = f" and {len(missing) - _SHOWN:,} more" if len(missing) > _SHOWN else ""
        what = f"there is no endpoint {', '.join(map(repr, missing[:_SHOWN]))}{more}"
        raise ConfigurationError(what, "hdm_core_dblist", "correct it, or add it first: airflow hdm endpoints add")


def _cell(item: str) -> tuple[Kind, str, str]:
    """The cell of an audit row, as base/activation.item names it."""
    kind, _, pack, slug = item.split(" ", 3)
    return cast("Kind", kind), pack, slug
