"""Today: the first page: what the newest metric date has brought, and what somebody should look at."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from starlette.responses import Response

from hdm_airflow.admin import audit
from hdm_airflow.base import today
from hdm_airflow.ui import today_view
from hdm_airflow.ui.recent import Recent
from hdm_airflow.ui.rights import Right
from hdm_airflow.ui.route import Routes
from hdm_airflow.ui.visit import Visit

if TYPE_CHECKING:
    from hdm_airflow.packs.manifest import Kind
    from hdm_airflow.ui.environments import Environment

routes = Routes()

_SECONDS = 3.0  # a state is shown to all who ask for it within these
_states: Recent[today.Today] = Recent(_SECONDS)


@routes.page("/")
def show(visit: Visit) -> Response:
    """The page."""
    environment = visit.environment
    others = [one for one in visit.environments if one.key != environment.key]
    quarantined = [one for one in environment.packs if one.quarantined]
    shared = {"page": "today", "others": others, "quarantined": quarantined, "environment": environment}
    if not environment.conn_id:
        return visit.render("today/unknown.html", **shared)
    state = _state(visit)
    problems = [today_view.problem(visit, state, one) for one in state.problems]
    troubles = [environment.problem, environment.paused, quarantined, state.incidents, problems]
    return visit.render(
        "today/show.html",
        **shared,
        state=state,
        age=(dt.datetime.now(dt.timezone.utc).date() - state.date).days if state.date else 0,
        problems=problems,
        unreachable=[today_view.unreachable(visit, one) for one in state.unreachable],
        changes=[audit.shown(one) for one in state.changes],
        is_well=bool(state.date and state.cells) and not any(troubles),
        refusal=visit.refusal(Right.RUN),
    )


def _state(visit: Visit) -> today.Today:
    """The state of this environment, shared by all who ask for it at the same time."""
    packs = _packs(visit.environment)

    def read() -> today.Today:
        with visit.open() as base:
            return today.state(base, packs)

    return _states.get((visit.environment.conn_id, tuple(packs)), read)


def _packs(environment: Environment) -> list[tuple[Kind, str]]:
    return [(pack.kind, pack.name) for pack in environment.packs]
