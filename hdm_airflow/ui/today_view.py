"""Today view: the state of the newest metric date as a page shows it: in words, with the addresses that help."""

from __future__ import annotations

import datetime as dt
import json
import shlex
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hdm_airflow.base.alerts import LEVELS
from hdm_airflow.packs.pack import PREFIX
from hdm_airflow.ui import names

if TYPE_CHECKING:
    from hdm_airflow.base.today import Problem, Today, Unreachable
    from hdm_airflow.ui.environments import Environment
    from hdm_airflow.ui.visit import Visit

ICONS = {
    "good": "✓",
    "bad": "✕",
    "warn": "◐",
    "none": "○",
    "dead": "✖",
    "failed": "✕",
    "partial": "◐",
    "missing": "○",
    "running": "↻",
    "skipped": "\N{EN DASH}",
}
_OLD = 2  # days
_NAMED = 4  # endpoints of a line; the others are counted
_BAD = {"dead", "failed"}


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A state in one sentence."""

    level: str  # the class of its icon: good, bad, warn, running, or none: nothing has run, or nothing is activated
    said: str

    @property
    def icon(self) -> str:
        """Its icon."""
        return ICONS[self.level]


@dataclass(frozen=True, kw_only=True)
class Place:
    """An endpoint that a line names."""

    slug: str
    name: str  # of the database; the slug if that cannot be read
    more: str  # type and server; '' if the slug cannot be read
    address: str  # of this page for it alone


@dataclass(frozen=True, kw_only=True)
class Line:
    """Something that somebody should look at. An address is '' if there is none."""

    status: str
    packs: list[str]  # as in their tasks: mp_basic
    places: list[Place]
    more: int  # endpoints beside these
    reason: str
    log: str
    matrix: str
    configuration: str
    wish: str  # packs and endpoints that "run again" runs, as JSON
    ask: str  # the address that tells the endpoints, if the wish does not


def is_old(state: Today) -> bool:
    """Whether nothing has run for two days."""
    return state.date is not None and (dt.datetime.now(dt.timezone.utc).date() - state.date).days >= _OLD


def is_well(environment: Environment, state: Today) -> bool:
    """Whether there is nothing that anybody should look at."""
    is_complete = bool(state.date and state.cells and state.cells == state.complete)
    is_quarantined = any(pack.quarantined for pack in environment.packs)
    others = (state.incidents, environment.problem, environment.paused, is_quarantined, is_old(state))
    return is_complete and not any(others)


def summary(visit: Visit, state: Today, *, of: str = "") -> Summary:
    """A state in one sentence.

    Args:
        visit: the request.
        state: what is summed up.
        of: the name of the endpoint that it is of; '': of all.
    """
    text, kind = visit.text, "endpoint" if of else "all"
    statuses = {one.status for one in state.problems}
    values = {"done": state.complete, "count": state.cells, "date": str(state.date), "name": of}
    if not state.cells:
        return Summary(level="none", said=text(f"today.inactive-{kind}", **values))
    if not state.date:
        return Summary(level="none", said=text("today.nothing-yet"))
    if state.complete == state.cells:
        key = f"complete-{kind}" if of or is_well(visit.environment, state) else "complete-runs"
        return Summary(level="good", said=text(f"today.{key}", **values))
    level = "bad" if statuses & _BAD else "running" if state.running_since else "warn"
    key = "today.incomplete-yet" if state.running_since else "today.incomplete"
    return Summary(level=level, said=text(f"{key}-{kind}", **values))


def facts(visit: Visit, state: Today) -> list[str]:
    """What else is known, in short: how many are how, and when all was well."""
    text, counts = visit.text, Counter[str]()
    for one in state.problems:
        counts[one.status] += one.count
    found = [f"{text.number(count)} {text(f'today.status-{status}')}" for status, count in counts.items()]
    if state.last_all_well and state.last_all_well != state.date:
        found.append(text("today.last-all-well", date=str(state.last_all_well)))
    return found


def place(visit: Visit, slug: str) -> Place:
    """An endpoint by its slug."""
    one = names.place(slug)
    return Place(slug=slug, name=one.name, more=one.more, address=visit.address("/", endpoint=slug))


def problem(visit: Visit, state: Today, found: Problem) -> Line:
    """A line of a problem."""
    task_id, only = PREFIX[found.kind] + found.pack, found.endpoints[0] if found.count == 1 else ""
    run, shown = found.run, found.endpoints[:_NAMED]
    is_whole = found.last == "pack old"
    wish = {"packs": [task_id], "endpoints": None if is_whole else found.endpoints}
    values = {"kind": found.kind, "pack": found.pack, "status": found.status}
    values |= {"reason": found.reason, "last": found.last, "date": str(state.date or "")}
    is_named = is_whole or found.count == len(found.endpoints)
    return Line(
        status=found.status,
        packs=[task_id],
        places=[place(visit, one) for one in shown],
        more=found.count - len(shown),
        reason=_reason(visit, found),
        log=visit.log(run.dag_id, run.run_id, run.task_id, run.try_number) if run else "",
        matrix=visit.address("/matrix", pack=task_id, state=_matrix_state(found), active="yes", q=only),
        configuration=_configuration(visit, found, only),
        wish=json.dumps(wish),
        ask="" if is_named else visit.address("/today/endpoints", **values),
    )


def unreachable(visit: Visit, found: Unreachable) -> Line:
    """A line of an endpoint that could not be reached."""
    return Line(
        status="failed",
        packs=found.packs,
        places=[place(visit, found.endpoint)],
        more=0,
        reason=found.reason,
        log="",
        matrix=visit.address("/matrix", pack=found.packs, state="failed", active="yes", q=found.endpoint),
        configuration="",
        wish=json.dumps({"packs": found.packs, "endpoints": [found.endpoint]}),
        ask="",
    )


def incidents(state: Today) -> list[tuple[str, int]]:
    """How many new ones there are of each level, the most severe first."""
    return [(level, state.incidents[level]) for level in LEVELS if level in state.incidents]


def incidents_command(visit: Visit, state: Today, slug: str) -> str:
    """The command that lists them."""
    command = ["airflow", "hdm", "incidents", "list", "--since", str(state.date)]
    if len(visit.environments) > 1:
        command += ["--conn-id", visit.environment.conn_id]
    return shlex.join([*command, "--endpoint", slug] if slug else command)


def _reason(visit: Visit, found: Problem) -> str:
    if found.status == "missing":
        return visit.text(f"today.missing-{found.last.replace(' ', '-')}")
    return visit.text("today.died") if found.status == "dead" else found.reason


def _matrix_state(found: Problem) -> str:
    """What the matrix calls these cells. A dead worker's row still says that it runs."""
    if found.status == "missing":
        return found.last if found.last in {"none", "old"} else ""
    return "running" if found.status == "dead" else found.status


def _configuration(visit: Visit, found: Problem, slug: str) -> str:
    """The configuration of the only endpoint, else that of the pack's version for all of them."""
    pack = visit.environment.pack(found.kind, found.pack)
    where: dict[str, Any] = {"endpoint": slug} if slug else {"version": pack.version if pack else ""}
    if not any(where.values()):
        return ""
    return visit.address("/configuration/edit", kind=found.kind, pack=found.pack, **where)
