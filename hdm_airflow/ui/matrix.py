"""Matrix: which packs run on which endpoints, and how each ended there: the page, and what its script asks."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import Depends
from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response

from hdm_airflow.base import matrix
from hdm_airflow.base.endpoints import canonical
from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs.manifest import Kind
from hdm_airflow.ui.matrix_view import STATES, Column, View, facets, view
from hdm_airflow.ui.rights import Right
from hdm_airflow.ui.route import Routes
from hdm_airflow.ui.visit import Visit

routes = Routes()

BLOCK = 100  # rows that a script asks for at once
_MOST = 1000
_Keys = TypeAdapter(list[int | str])
_Shown = Annotated[View, Depends(view)]


@routes.page("/matrix")
def show(visit: Visit, shown: _Shown) -> Response:
    """The page, with all keys and the first rows: it can be used before anything else is asked."""
    with visit.open() as base:
        columns = shown.columns(visit.environment, base)
        index = shown.index(base, columns)
        first = matrix.rows(base, index.keys[:BLOCK], [one.key for one in columns])
        choices = facets(visit, base)
    data = {
        "columns": [_column(one) for one in columns],
        "keys": index.keys,
        "digest": index.digest,
        "rows": [_row(one) for one in first],
        "block": BLOCK,
        "filtered": shown.is_filtered,
        "refusals": {"write": visit.refusal(Right.WRITE), "run": visit.refusal(Right.RUN)},
        "texts": visit.text.of("matrix"),
    }
    return visit.render(
        "matrix/show.html",
        page="matrix",
        data=data,
        shown=shown,
        endpoints=choices.endpoints,
        choices=choices,
        tags=sorted({tag for pack in visit.environment.packs for tag in pack.tags}),
        state_words=[(one, visit.text(f"matrix.state-{one}")) for one in STATES],
        count=sum(1 for key in index.keys if isinstance(key, int)),
        gone=sum(1 for key in index.keys if isinstance(key, str)),
        chips=_chips(visit, shown),
    )


@routes.data("/matrix/rows")
def rows(visit: Visit, shown: _Shown, keys: str) -> Response:
    """Rows by their keys, a list in JSON; those of endpoints that are gone are left out."""
    try:
        wanted = _Keys.validate_json(keys)
    except ValidationError:
        raise ConfigurationError("keys is not a list of rows", "the address", "reload the page") from None
    with visit.open() as base:
        columns = shown.columns(visit.environment, base)
        found = matrix.rows(base, wanted[:_MOST], [one.key for one in columns])
    return visit.json({"rows": [_row(one) for one in found], "columns": [one.task_id for one in columns]})


@routes.data("/matrix/slugs")
def slugs(visit: Visit, shown: _Shown) -> Response:
    """The slugs of all rows that are shown."""
    with visit.open() as base:
        index = shown.index(base, shown.columns(visit.environment, base))
        return visit.json({"slugs": matrix.slugs(base, index.keys)})


@routes.data("/matrix/details")
def details(visit: Visit, kind: Kind, pack: str, endpoint: str) -> Response:
    """One cell: its last run with the address of its log, and who changed it last."""
    with visit.open() as base:
        cell = matrix.cell(base, kind, pack, canonical(endpoint))
    run, changed = cell.run, cell.changed
    return visit.json(
        {
            "active": cell.active,
            "run": run
            and {
                "state": run.status,
                "reason": run.reason or "",
                "date": str(run.metric_date),
                "log": visit.log(run.dag_id, run.run_id, run.task_id, run.try_number),
            },
            "changed": changed
            and {"actor": changed.actor, "at": changed.at.isoformat(), "active": changed.action == "activate"},
        }
    )


def _column(one: Column) -> list[Any]:
    return [one.kind, one.name, one.task_id, one.version, int(one.is_gone), one.quarantined]


def _row(row: matrix.Row) -> list[Any]:
    found = asdict(row)
    names = ("key", "slug", "name", "type", "host", "port", "user", "ssl", "registered", "cells")
    return [int(found[name]) if isinstance(found[name], bool) else found[name] for name in names]


def _chips(visit: Visit, shown: View) -> list[tuple[str, str]]:
    """Packs that the address names: each with the address without it."""
    found = []
    for task_id in shown.pack:
        left = asdict(shown.without(task_id))
        found.append((task_id, visit.address("/matrix", **left)))
    return found
