"""Today: the first page: what the newest metric date has brought."""

from __future__ import annotations

from starlette.responses import Response

from hdm_airflow.base import today
from hdm_airflow.ui.route import Routes
from hdm_airflow.ui.visit import Visit

routes = Routes()


@routes.page("/")
def show(visit: Visit) -> Response:
    """The page."""
    with visit.open() as base:
        state = today.state(base, [(pack.kind, pack.name) for pack in visit.environment.packs])
    return visit.render("today/show.html", page="today", state=state)
