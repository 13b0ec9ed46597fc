"""Configuration: every stored configuration and what is wrong with it; where a new one begins."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Query
from starlette.responses import RedirectResponse, Response

from hdm_airflow.admin import configuration_list, secrets
from hdm_airflow.admin.places import checked_slug
from hdm_airflow.base import endpoints, matrix
from hdm_airflow.packs.pack import PREFIX
from hdm_airflow.packs.versions import newest_not_above
from hdm_airflow.ui import configuration_editor, names
from hdm_airflow.ui.route import Routes
from hdm_airflow.ui.visit import Visit

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection

routes = Routes()
routes.router.include_router(configuration_editor.routes.router)

_PAGE = 100  # configurations of one page
_OFFERED = 20  # endpoints that match what is typed

PageNumber = Annotated[int, Query(ge=1, le=1_000_000)]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One stored configuration."""

    named: names.Named
    address: str  # of its editor
    value: Any  # without secrets
    faults: list[str]  # what is wrong with it
    spare: str  # the version whose configuration runs use instead; '' if this one is used


@routes.page("/configuration")
def show(visit: Visit, pack: str = "", endpoint: str = "", faulty: str = "", page: PageNumber = 1) -> Response:
    """Every stored configuration, with filters."""
    wanted = endpoint.replace("\0", "").strip().lower()
    with visit.open() as base:
        rows = _rows(visit, base)
        known = [PREFIX[one.kind] + one.name for one in matrix.packs(base)]
    present = [one.task_id for one in visit.environment.packs]
    found = [
        row
        for row in rows
        if pack in {"", row["pack"]}
        and (not wanted or wanted in (row["endpoint"] or "").lower())
        and (not faulty or row["faults"])
    ]
    return visit.render(
        "configuration/show.html",
        page="configuration",
        filters={"pack": pack, "endpoint": endpoint.strip(), "faulty": "1" if faulty else ""},
        lines=[_line(visit, row) for row in found[(page - 1) * _PAGE : page * _PAGE]],
        found=len(found),
        total=len(rows),
        faulty=sum(bool(row["faults"]) for row in rows),
        pages={"now": page, "before": page > 1, "after": page * _PAGE < len(found)},
        packs=sorted({*known, *present, *(row["pack"] for row in rows)}),
        present=present,
    )


@routes.page("/configuration/new")
def new(visit: Visit, pack: str, endpoint: str = "", version: str = "") -> Response:
    """The editor of what the form of the list names: a task id, and an endpoint by its slug or unique name."""
    kind, name = names.split(pack)
    checked_slug(kind, name, endpoint)
    slug = ""
    if endpoint.strip():
        with visit.open() as base:
            slug = endpoints.find(base, endpoint.strip()).endpoint.slug
    version = "" if slug else version.strip()
    address = visit.address("/configuration/edit", kind=kind, pack=name, endpoint=slug, version=version)
    return RedirectResponse(address, 303)


@routes.data("/configuration/endpoints")
def offered(visit: Visit, text: str = "") -> Response:
    """Registered endpoints whose slug has a text in it, to choose from."""
    with visit.open() as base:
        index = matrix.index(base, matrix.Filters(search=text.replace("\0", "").strip()), [])
        keys = [key for key in index.keys if isinstance(key, int)]
        found = [names.place(slug) for slug in matrix.slugs(base, keys[:_OFFERED])]
    return visit.json({"endpoints": [{"slug": one.slug, "name": str(one)} for one in found], "count": len(keys)})


def _rows(visit: Visit, base: BaseConnection) -> list[dict[str, Any]]:
    """Every configuration as `listed` has it, with `faults` and `spare`. There may be tens of thousands."""
    rows = configuration_list.listed(base, None)
    slugs = sorted({row["endpoint"] for row in rows if row["endpoint"]})
    registered = endpoints.registered_among(base, slugs) if slugs else set()
    versions = defaultdict(list)
    for row in rows:
        if row["version"]:
            versions[row["pack"]].append(row["version"])
    running = {one.task_id: one.version for one in visit.environment.packs}
    used = {pack: newest_not_above(running[pack], found) for pack, found in versions.items() if pack in running}
    gone = visit.text("configuration.endpoint-gone")
    for row in rows:
        faults = row["faults"] = [row["fault"]] if row["fault"] else []
        if row["pack"] not in running:
            faults.append(visit.text("configuration.pack-gone", pack=row["pack"], dag=visit.environment.dag_id))
        if row["endpoint"] and row["endpoint"] not in registered:
            faults.append(gone)
        row["spare"] = used.get(row["pack"]) if row["version"] else None
    return rows


def _line(visit: Visit, row: dict[str, Any]) -> Line:
    kind, pack = names.split(row["pack"])
    slug, version, spare = row["endpoint"] or "", row["version"], row["spare"] or ""
    return Line(
        named=names.Named(kind=kind, pack=pack, version=version, place=names.place(slug) if slug else None),
        address=visit.address("/configuration/edit", kind=kind, pack=pack, endpoint=slug, version=version),
        value=secrets.hide_configuration(row["value"]),
        faults=row["faults"],
        spare=spare if spare != version else "",
    )
