"""Matrix changes: activates and deactivates packs on endpoints: a cell, a row, a column, or all that is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from hdm_airflow.admin import activation
from hdm_airflow.base import matrix
from hdm_airflow.base.endpoints import canonical, registered_among
from hdm_airflow.errors import ConfigurationError, ConflictError
from hdm_airflow.packs.manifest import Kind
from hdm_airflow.ui.matrix_view import Column, View, view
from hdm_airflow.ui.rights import Right
from hdm_airflow.ui.route import Routes
from hdm_airflow.ui.visit import UnknownError, Visit

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection

routes = Routes()

_Shown = Annotated[View, Depends(view)]
_Text = Annotated[str, Field(max_length=1000)]


class Toggle(BaseModel):
    """One cell."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    pack: _Text
    endpoint: _Text  # slug
    active: bool  # from now on
    seen: bool  # as the person saw it


class Selection(BaseModel):
    """Cells: some packs on some rows."""

    model_config = ConfigDict(extra="forbid")

    packs: list[_Text] = Field(min_length=1)  # task ids
    keys: list[int | _Text] | None = Field(min_length=1)  # rows; None: all that the address shows
    digest: str  # of all those, as the person saw them


class Change(Selection):
    """A bulk change."""

    active: bool  # from now on


class Likeness(BaseModel):
    """An endpoint that shall have the packs of another."""

    model_config = ConfigDict(extra="forbid")

    endpoint: _Text  # slug
    like: _Text  # slug of the other one


class Undo(BaseModel):
    """A bulk change to reverse."""

    model_config = ConfigDict(extra="forbid")

    batch: int = Field(ge=1, le=2**63 - 1)


@dataclass(frozen=True, kw_only=True)
class _Cells:
    """What a selection means."""

    columns: list[Column]
    slugs: list[str]  # of registered endpoints
    gone: list[str]  # slugs that are activated but not registered

    def all(self, *, active: bool) -> list[tuple[Kind, str, str]]:
        """The cells. What is gone or quarantined is left out if it shall be activated."""
        columns = [one for one in self.columns if one.can_run or not active]
        return [(*one.key, slug) for one in columns for slug in (self.slugs if active else [*self.slugs, *self.gone])]


@routes.act("/matrix/cell", Right.WRITE)
def toggle(visit: Visit, wish: Toggle) -> Response:
    """Change one cell, unless somebody else has changed it meanwhile."""
    pack = visit.environment.pack(wish.kind, wish.pack)
    if wish.active and pack is None:
        raise UnknownError(visit.text("matrix.no-such-pack"), visit.environment.key, visit.text("matrix.reload"))
    if wish.active and pack and pack.quarantined:
        raise ConfigurationError(visit.text("matrix.in-quarantine", pack=pack.task_id), "", pack.quarantined)
    with visit.open() as base:
        activation.toggle(
            base, wish.kind, wish.pack, wish.endpoint, active=wish.active, seen=wish.seen, actor=visit.actor
        )
    return visit.json({"active": wish.active})


@routes.act("/matrix/count", Right.READ)
def count(visit: Visit, shown: _Shown, wish: Selection) -> Response:
    """How many cells a bulk change would change. It changes nothing; a selection is too long for an address."""
    with visit.open() as base:
        cells = _cells(visit, base, shown, wish)
        keys = [one.key for one in cells.columns]
        registered = matrix.count_active(base, keys, cells.slugs)
        living = [one.key for one in cells.columns if one.can_run]
        present = registered if len(living) == len(keys) else matrix.count_active(base, living, cells.slugs)
        gone = matrix.count_active(base, keys, cells.gone)
    return visit.json(
        {
            "cells": len(keys) * (len(cells.slugs) + len(cells.gone)),
            "active": registered + gone,  # what can be deactivated
            "inactive": len(cells.all(active=True)) - present,  # what can be activated
            "endpoints": len(cells.slugs) + len(cells.gone),
        }
    )


@routes.act("/matrix/change", Right.WRITE)
def change(visit: Visit, shown: _Shown, wish: Change) -> Response:
    """Change all cells of a selection in one transaction."""
    with visit.open() as base:
        cells = _cells(visit, base, shown, wish)
        done = activation.change(base, cells.all(active=wish.active), active=wish.active, actor=visit.actor)
        return _done(visit, base, done, "activated" if wish.active else "deactivated")


@routes.act("/matrix/like", Right.WRITE)
def like(visit: Visit, wish: Likeness) -> Response:
    """Activate on an endpoint what is active on another one; nothing is deactivated."""
    with visit.open() as base:
        columns = [one for one in View().columns(visit.environment, base) if one.can_run]
        slug, other = (canonical(one.strip()) for one in (wish.endpoint, wish.like))
        if len({slug, other} & registered_among(base, [slug, other])) < len((slug, other)):
            raise UnknownError(visit.text("matrix.no-such-endpoint"), "", visit.text("matrix.choose"))
        (row,) = matrix.rows(base, [other], [one.key for one in columns])  # a row by its slug
        active = [matrix.ALPHABET.index(one) & matrix.ACTIVE for one in row.cells]
        cells = [(*column.key, slug) for column, on in zip(columns, active, strict=True) if on]
        done = activation.change(base, cells, active=True, actor=visit.actor)
        return _done(visit, base, done, "activated")


@routes.act("/matrix/undo", Right.WRITE)
def undo(visit: Visit, wish: Undo) -> Response:
    """Reverse a bulk change, but for cells that somebody has changed since."""
    with visit.open() as base:
        done = activation.undo(base, wish.batch, actor=visit.actor)
        return _done(visit, base, done, "undone")


def _cells(visit: Visit, base: BaseConnection, shown: View, wish: Selection) -> _Cells:
    """What a selection means.

    Raises:
        ConflictError: if other rows match the address now than the person saw.
    """
    columns = [one for one in shown.columns(visit.environment, base) if one.task_id in wish.packs]
    keys = wish.keys
    if keys is None:
        index = shown.index(base, shown.columns(visit.environment, base))
        if index.digest != wish.digest:
            raise ConflictError(visit.text("matrix.other-rows"), "", visit.text("matrix.reload"))
        keys = index.keys
    return _Cells(
        columns=columns,
        slugs=matrix.slugs(base, [key for key in keys if isinstance(key, int)]),
        gone=[key for key in keys if isinstance(key, str)],
    )


def _done(visit: Visit, base: BaseConnection, done: activation.Changed, what: str) -> Response:
    said = [visit.text(f"matrix.{what}", count=len(done.changed))]
    if what == "undone" and done.unchanged:
        said.append(visit.text("matrix.changed-since", count=len(done.unchanged)))
    cells: list[Any] = []
    if len(done.changed) == 1:  # no batch: it is undone like a check box
        kind, pack, slug = done.changed[0]
        cells = [[kind, pack, slug, matrix.cell(base, kind, pack, slug).active]]
    return visit.json({"changed": len(done.changed), "batch": done.batch, "said": " ".join(said), "cells": cells})
