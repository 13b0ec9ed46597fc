"""Last night: whether all packs have completed on single endpoints, for those who look after one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hdm_airflow.base import matrix
from hdm_airflow.ui import names

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.ui.environments import Environment, Pack
    from hdm_airflow.ui.visit import Visit

_MOST = 20  # endpoints


@dataclass(frozen=True, kw_only=True)
class Night:
    """One endpoint on the newest metric date of each pack."""

    place: names.Place
    active: list[tuple[Pack, str]]  # packs that are active there, each with its state: `missing` if it has not run

    @property
    def complete(self) -> int:
        """How many packs have completed."""
        return sum(1 for _, state in self.active if state == "success")


@dataclass(frozen=True, kw_only=True)
class Detail:
    """One pack on the endpoint."""

    task_id: str
    state: str
    date: str  # metric date of the last run; ''
    reason: str
    log: str  # address; ''
    configuration: str  # address


def find(base: BaseConnection, environment: Environment, text: str, *, exact: bool) -> list[Night]:
    """The endpoints whose slug has a text in it, or is it; none for an empty text.

    Args:
        base: the connection.
        environment: whose packs.
        text: what to look for.
        exact: the text is a whole slug.
    """
    if not text:
        return []
    keys = matrix.index(base, matrix.Filters(search=text), []).keys
    columns = [(one.kind, one.name) for one in environment.packs]
    found = [row for row in matrix.rows(base, keys[:_MOST], columns) if not exact or row.slug == text]
    return [Night(place=names.place(row.slug), active=_active(environment, row.cells)) for row in found]


def details(base: BaseConnection, visit: Visit, night: Night) -> list[Detail]:
    """How each pack has ended on an endpoint, what is not complete first."""
    found = []
    for pack, state in sorted(night.active, key=lambda one: (one[1] == "success", one[0].task_id)):
        run = matrix.cell(base, pack.kind, pack.name, night.place.slug).run
        found.append(
            Detail(
                task_id=pack.task_id,
                state=state,
                date=str(run.metric_date) if run else "",
                reason=(run.reason or "") if run else "",
                log=visit.log(run.dag_id, run.run_id, run.task_id, run.try_number) if run else "",
                configuration=visit.address(
                    "/configuration/edit", kind=pack.kind, pack=pack.name, endpoint=night.place.slug
                ),
            )
        )
    return found


def _active(environment: Environment, cells: str) -> list[tuple[Pack, str]]:
    found = []
    for pack, cell in zip(environment.packs, cells, strict=True):
        bits = matrix.ALPHABET.index(cell)
        if bits & matrix.ACTIVE:
            state = matrix.STATES[bits // matrix.STATE]
            found.append((pack, "missing" if state == "none" or bits & matrix.OLD else state))
    return found
