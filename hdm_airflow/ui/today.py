"""Today: the first page: what the newest metric date has brought, and what somebody should look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.responses import Response

from hdm_airflow.admin import audit
from hdm_airflow.base import today
from hdm_airflow.packs.pack import PREFIX
from hdm_airflow.ui import audit_words, last_night, names
from hdm_airflow.ui.recent import Recent
from hdm_airflow.ui.rights import Right
from hdm_airflow.ui.route import Routes
from hdm_airflow.ui.visit import Visit

if TYPE_CHECKING:
    from hdm_airflow.base.today import Problem, Today

routes = Routes()

#: What the base is asked for the first page takes longer than anything else, and all readers see the same.
_states: Recent[Today] = Recent(3)

_SHOWN = 3  # endpoints of a problem that are named
_LEVELS = ("High", "Warning", "Info")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One problem as the page shows it."""

    task_id: str
    status: str
    reason: str
    endpoints: list[names.Place]  # the first ones
    more: int  # endpoints that are not named
    log: str  # address of the log of one of them; ''
    matrix: str  # address of the matrix with these cells
    configuration: str  # address
    can_repeat: list[str] | None  # slugs that a button can run again; None: all that are activated


@routes.page("/")
def show(visit: Visit, find: str = "", endpoint: str = "") -> Response:
    """The page; with a search, how the endpoints found have ended; with an endpoint, how each of its packs has."""
    find, endpoint = (one.replace("\0", "").strip() for one in (find, endpoint))
    with visit.open() as base:
        state = _state(visit)
        nights = last_night.find(base, visit.environment, endpoint or find, exact=bool(endpoint))
        details = last_night.details(base, visit, nights[0]) if endpoint and nights else []
    quarantined = [one for one in visit.environment.packs if one.quarantined]
    lines = [_line(visit, one) for one in state.problems]
    return visit.render(
        "today/show.html",
        page="today",
        state=state,
        lines=lines,
        quarantined=quarantined,
        incidents=[(level, state.incidents[level]) for level in _LEVELS if state.incidents.get(level)],
        changes=[audit_words.line(visit.text, audit.shown(one)) for one in state.changes],
        unreachable=[(names.place(one.endpoint), one) for one in state.unreachable],
        well=bool(state.date and not (lines or quarantined or state.unreachable or state.incidents)),
        others=[one for one in visit.environments if one.key != visit.current],
        refusal=visit.refusal(Right.RUN),
        find=find,
        endpoint=endpoint,
        nights=nights,
        details=details,
    )


@routes.data("/today/line")
def line(visit: Visit) -> Response:
    """The state of an environment in one line, for the pages of other environments."""
    state = _state(visit)
    quarantined = sum(1 for one in visit.environment.packs if one.quarantined)
    well = bool(state.date and not (state.problems or state.unreachable or state.incidents or quarantined))
    said = visit.text("today.nothing-short")
    if state.date:
        said = visit.text("today.complete", count=state.complete, cells=state.cells, date=state.date)
    return visit.json({"well": well, "said": said})


def _state(visit: Visit) -> Today:
    environment = visit.environment
    packs = tuple((pack.kind, pack.name) for pack in environment.packs)

    def read() -> Today:
        with visit.open() as base:
            return today.state(base, packs)

    return _states.get((environment.conn_id, packs), read)


def _line(visit: Visit, problem: Problem) -> Line:
    task_id = f"{PREFIX[problem.kind]}{problem.pack}"
    places = [names.place(one) for one in problem.endpoints[:_SHOWN]]
    only = problem.endpoints[0] if problem.count == 1 else ""
    state = {"dead": "running", "missing": ""}.get(problem.status, problem.status)
    run = problem.run
    return Line(
        task_id=task_id,
        status=problem.status,
        reason=problem.reason,
        endpoints=places,
        more=problem.count - len(places),
        log=visit.log(run.dag_id, run.run_id, run.task_id, run.try_number) if run else "",
        matrix=visit.address("/matrix", pack=task_id, state=state, active="yes", q=places[0].name if only else ""),
        configuration=visit.address("/configuration/edit", kind=problem.kind, pack=problem.pack, endpoint=only),
        can_repeat=problem.endpoints if problem.count == len(problem.endpoints) else None,
    )
