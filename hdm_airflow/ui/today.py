"""Today: the first page: what the newest metric date has brought, and what somebody should look at."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.responses import RedirectResponse, Response

from hdm_airflow.admin import audit
from hdm_airflow.base import audit as base_audit
from hdm_airflow.base import endpoints, matrix, today
from hdm_airflow.errors import ConfigurationError
from hdm_airflow.operators.part import MOST
from hdm_airflow.packs.manifest import Kind
from hdm_airflow.ui import audit_words, today_view
from hdm_airflow.ui.recent import Recent
from hdm_airflow.ui.rights import Right
from hdm_airflow.ui.route import Routes
from hdm_airflow.ui.visit import Visit

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection

routes = Routes()

_SECONDS = 3.0  # a state is shown to all who ask for it within these
_LIMIT = 50  # problems, and endpoints that could not be reached
_FOUND = 50  # endpoints that match a search
_LOOKED = 1000  # matches among which one of exactly this name is looked for
_states: Recent[today.Today] = Recent(_SECONDS)


@routes.page("/")
def show(visit: Visit, endpoint: str = "", find: str = "") -> Response:
    """The page: of all endpoints, of one, or with those that a search has found."""
    if wanted := _sent(find):
        return _found(visit, wanted)
    if wanted := _sent(endpoint):
        return _of_one(visit, wanted)
    environment = visit.environment
    if not environment.conn_id:
        return _page(visit, state=None)
    return _page(visit, state=_state(visit), quarantined=[one for one in environment.packs if one.quarantined])


@routes.data("/today/line")
def line(visit: Visit) -> Response:
    """The environment in one line."""
    environment = visit.environment
    if not environment.conn_id:
        return visit.json({"level": "bad", "icon": today_view.ICONS["bad"], "said": _first_line(environment.problem)})
    state = _state(visit)
    found = today_view.summary(visit, state)
    notes = [_first_line(environment.problem), visit.text("today.is-paused") if environment.paused else ""]
    if news := ", ".join(f"{visit.text.number(count)} {level}" for level, count in today_view.incidents(state)):
        notes.append(visit.text("today.incidents-short", levels=news))
    said = " · ".join(filter(None, (found.said, *notes)))
    return visit.json({"level": found.level, "icon": found.icon, "said": said})


@routes.data("/today/endpoints")
def of_problem(
    visit: Visit, kind: Kind, pack: str, status: today.Status, reason: str = "", last: today.Last = "", date: str = ""
) -> Response:
    """All endpoints of a problem; null if they are more than one run can name: then all that are activated."""
    problem = today.Problem(
        kind=kind, pack=pack, status=status, reason=reason, last=last, endpoints=[], count=0, run=None
    )
    try:
        day = dt.date.fromisoformat(date) if date else None
    except ValueError:
        day = dt.date.min  # no problem is of it
    with visit.open() as base:
        found = today.endpoints(base, problem, day, limit=MOST + 1)
    if not found:
        raise ConfigurationError(visit.text("today.gone"), "", visit.text("today.gone-hint"))
    return visit.json({"endpoints": found if len(found) <= MOST else None})


def _page(visit: Visit, *, status: int = 200, **values: Any) -> Response:
    """The page with what it shows of a state."""
    environment, state, of = visit.environment, values["state"], values.get("of")
    defaults: dict[str, Any] = {"of": None, "quarantined": [], "found": None, "wanted": ""}
    if state:
        problems = [today_view.problem(visit, state, one) for one in state.problems]
        defaults |= {
            "summary": today_view.summary(visit, state, of=of.name if of else ""),
            "facts": today_view.facts(visit, state),
            "is_old": today_view.is_old(state),
            "problems": problems,
            "is_cut": len(problems) >= _LIMIT,
            "unreachable": [] if of else [today_view.unreachable(visit, one) for one in state.unreachable],
            "incidents": today_view.incidents(state),
            "command": today_view.incidents_command(visit, state, of.slug if of else ""),
            "is_well": not of and today_view.is_well(visit.environment, state),
            "changes": [audit_words.line(visit.text, audit.shown(one)) for one in state.changes],
        }
    return visit.render(
        "today/show.html",
        status,
        icons=today_view.ICONS,
        page="today",
        environment=environment,
        dag=f"{visit.airflow}/dags/{quote(environment.dag_id, safe='')}",
        others=[] if of else [one for one in visit.environments if one.key != environment.key],
        refusal=visit.refusal(Right.RUN) or ("" if environment.packs else visit.text("today.no-packs")),
        **{**defaults, **values},
    )


def _of_one(visit: Visit, wanted: str) -> Response:
    """The page of one endpoint. The address of one that was renamed leads to its new name: people keep addresses."""
    slug = endpoints.canonical(wanted)
    with visit.open() as base:
        known = _current(base, slug)
    if not known:
        return _page(visit, status=404, state=None, of=today_view.place(visit, slug), is_gone=True)
    if known != wanted:
        return RedirectResponse(visit.address("/", endpoint=known), 303)
    return _page(visit, state=_state(visit, known), of=today_view.place(visit, known), is_gone=False)


def _found(visit: Visit, wanted: str) -> Response:
    """The endpoint that a search means, else those that match it."""
    with visit.open() as base:
        index = matrix.index(base, matrix.Filters(search=wanted), [])
        keys = [key for key in index.keys if isinstance(key, int)]
        places = [today_view.place(visit, slug) for slug in matrix.slugs(base, keys[:_LOOKED])]
    exact = [one for one in places if wanted.lower() in {one.name.lower(), one.slug.lower()}]
    if len(exact) == 1 or len(places) == 1:
        return RedirectResponse((exact or places)[0].address, 303)
    first = [one for one in places if one in exact]
    places = [*first, *(one for one in places if one not in exact)][:_FOUND]
    return _page(visit, state=None, found={"places": places, "count": len(keys)}, wanted=wanted)


def _state(visit: Visit, endpoint: str | None = None) -> today.Today:
    """The state of this environment, shared by all who ask for it at the same time."""
    environment = visit.environment
    known = tuple((pack.kind, pack.name) for pack in environment.packs)
    packs = None if environment.problem and not known else known  # wrong settings name no packs: then all have a state

    def read() -> today.Today:
        with visit.open() as base:
            return today.state(base, packs, endpoint=endpoint, limit=_LIMIT)

    return _states.get((environment.conn_id, packs, endpoint), read)


def _current(base: BaseConnection, slug: str) -> str:
    """The slug under which an endpoint is registered now; '' if it is not."""
    if endpoints.registered_among(base, [slug]):
        return slug
    for one in reversed(base_audit.renames(base)):
        if isinstance(one.old, dict) and isinstance(one.new, dict) and one.old.get("slug") == slug:
            slug = str(one.new.get("slug"))
    return slug if endpoints.registered_among(base, [slug]) else ""


def _sent(text: str) -> str:
    """What a visitor has sent. The base can hold no zero byte, so nothing has one."""
    return text.replace("\0", "").strip()


def _first_line(text: str) -> str:
    return text.partition("\n")[0]
