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
        lines = _lines(visit, base)
        known = [PREFIX[one.kind] + one.name for one in matrix.packs(base)]
    present = [one.task_id for one in visit.environment.packs]
    tasks = sorted({*known, *present, *(line.named.task_id for line in lines)})
    found = [
        line
        for line in lines
        if pack in {"", line.named.task_id}
        and (not wanted or (line.named.place and wanted in line.named.place.slug.lower()))
        and (not faulty or line.faults)
    ]
    shown = found[(page - 1) * _PAGE : page * _PAGE]
    return visit.render(
        "configuration/show.html",
        page="configuration",
        filters={"pack": pack, "endpoint": endpoint.strip(), "faulty": "1" if faulty else ""},
        lines=shown,
        found=len(found),
        total=len(lines),
        faulty=sum(bool(line.faults) for line in lines),
        pages={"now": page, "before": page > 1, "after": page * _PAGE < len(found), "size": _PAGE},
        packs=tasks,
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


def _lines(visit: Visit, base: BaseConnection) -> list[Line]:
    rows = configuration_list.listed(base, None)
    slugs = sorted({row["endpoint"] for row in rows if row["endpoint"]})
    registered = endpoints.registered_among(base, slugs) if slugs else set()
    versions = defaultdict(list)
    for row in rows:
        if row["version"]:
            versions[row["pack"]].append(row["version"])
    return [_line(visit, row, registered, versions[row["pack"]]) for row in rows]


def _line(visit: Visit, row: dict[str, Any], registered: set[str], versions: list[str]) -> Line:
    kind, pack = names.split(row["pack"])
    slug, version = row["endpoint"] or "", row["version"]
    faults = [row["fault"]] if row["fault"] else []
    running = visit.environment.pack(kind, pack)
    used = newest_not_above(running.version, versions) if running else None
    if running is None:
        faults.append(visit.text("configuration.pack-gone", pack=row["pack"], dag=visit.environment.dag_id))
    if slug and slug not in registered:
        faults.append(visit.text("configuration.endpoint-gone"))
    return Line(
        named=names.Named(kind=kind, pack=pack, version=version, place=names.place(slug) if slug else None),
        address=visit.address("/configuration/edit", kind=kind, pack=pack, endpoint=slug, version=version),
        value=secrets.hide_configuration(row["value"]),
        faults=faults,
        spare=used if version and used and used != version else "",
    )
