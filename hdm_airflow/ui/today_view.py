"""Today view: the state of the newest metric date as a page shows it: in words, with the addresses that help."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hdm_airflow.base.endpoints import Endpoint
from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs.pack import PREFIX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hdm_airflow.base.today import Problem, Today, Unreachable
    from hdm_airflow.ui.visit import Visit

_NAMED = 4  # endpoints of a line; the others are counted
#: What the matrix calls these states. A dead worker's row still says that it runs.
_STATES = {"dead": "running"}


@dataclass(frozen=True, kw_only=True)
class Place:
    """An endpoint that a line names."""

    name: str  # of the database; the slug if that cannot be read
    slug: str
    address: str  # of this page for it alone


@dataclass(frozen=True, kw_only=True)
class Line:
    """Something that somebody should look at. An address is '' if there is none."""

    status: str  # the class of its icon, and the key of its word
    pack: str  # as in its task: mp_basic; '': several
    places: list[Place]
    more: int  # endpoints beside these
    reason: str
    log: str
    matrix: str
    configuration: str
    packs: str  # what "run again" runs, as JSON
    endpoints: str  # where; JSON, null: on all that are activated
    ask: str  # the address that tells where, if these are not all


def place(visit: Visit, slug: str) -> Place:
    """An endpoint by its slug."""
    try:
        name = Endpoint.from_slug(slug).name
    except ConfigurationError:
        name = slug
    return Place(name=name, slug=slug, address=visit.address("/", endpoint=slug))


def problem(visit: Visit, state: Today, found: Problem) -> Line:
    """A line of a problem."""
    task_id, only = PREFIX[found.kind] + found.pack, found.endpoints[0] if found.count == 1 else ""
    run, shown = found.run, found.endpoints[:_NAMED]
    matrix_state = _STATES.get(found.status, "" if found.status == "missing" else found.status)
    complete = found.count == len(found.endpoints)
    return Line(
        status=found.status,
        pack=task_id,
        places=[place(visit, one) for one in shown],
        more=found.count - len(shown),
        reason=found.reason,
        log=visit.log(run.dag_id, run.run_id, run.task_id, run.try_number) if run else "",
        matrix=visit.address("/matrix", pack=task_id, state=matrix_state, active="yes", q=only),
        configuration=_configuration(visit, found, only),
        packs=json.dumps([task_id]),
        endpoints=json.dumps(found.endpoints if complete else None),
        ask="",
    )


def unreachable(visit: Visit, found: Unreachable) -> Line:
    """A line of an endpoint that could not be reached."""
    return Line(
        status="unreachable",
        pack=", ".join(found.packs),
        places=[place(visit, found.endpoint)],
        more=0,
        reason=found.reason,
        log="",
        matrix=visit.address("/matrix", q=found.endpoint, pack=found.packs, active="yes"),
        configuration="",
        packs=json.dumps(found.packs),
        endpoints=json.dumps([found.endpoint]),
        ask="",
    )


def _configuration(visit: Visit, found: Problem, slug: str) -> str:
    """The configuration of the only endpoint, else that of the pack's version for all of them."""
    pack = visit.environment.pack(found.kind, found.pack)
    where: dict[str, Any] = {"endpoint": slug} if slug else {"version": pack.version if pack else ""}
    return visit.address("/configuration/edit", kind=found.kind, pack=found.pack, **where) if any(where.values()) else ""


def names(places: Sequence[Place]) -> str:
    """Their names."""
    return ", ".join(one.name for one in places)
