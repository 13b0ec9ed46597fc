"""Matrix view: the columns and rows that an address of the activation matrix means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal, cast

from fastapi import Query

from hdm_airflow.base import matrix
from hdm_airflow.packs.pack import PREFIX
from hdm_airflow.ui.recent import Recent
from hdm_airflow.ui.visit import Visit

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.packs.manifest import Kind
    from hdm_airflow.ui.environments import Environment

#: What filters ask for; of several readers at a time, one asks the base.
_facets: Recent[matrix.Facets] = Recent(3)

Words = Annotated[list[str], Query()]
STATES = ("success", "partial", "failed", "skipped", "running", "none", "old")


@dataclass(frozen=True, kw_only=True)
class Column:
    """A pack."""

    kind: Kind
    name: str
    version: str  # '' if it is unknown
    tags: tuple[str, ...] = ()
    quarantined: str = ""  # why its task can only fail
    is_gone: bool = False  # the Dag has no task for it

    @property
    def task_id(self) -> str:
        """Its name for people: mp_basic."""
        return f"{PREFIX[self.kind]}{self.name}"

    @property
    def can_run(self) -> bool:
        """Whether the pack can be activated: it has a task, which can do more than fail."""
        return not (self.is_gone or self.quarantined)

    @property
    def key(self) -> tuple[Kind, str]:
        """Its name for the base."""
        return self.kind, self.name


@dataclass(frozen=True, kw_only=True)
class View:
    """What an address asks for: the fields are the parameters; '' and () ask for all."""

    q: str = ""  # in the slug
    type: tuple[str, ...] = ()
    host: tuple[str, ...] = ()
    kind: str = ""
    tag: str = ""
    pack: tuple[str, ...] = ()  # task ids
    state: str = ""
    active: str = ""  # yes, no

    @property
    def is_filtered(self) -> bool:
        """Whether rows may be left out."""
        return any((self.q.strip(), self.type, self.host, self.state, self.active))

    def columns(self, environment: Environment, base: BaseConnection) -> list[Column]:
        """The packs that are shown: those of the Dag, then those that only the base knows."""
        found = [
            Column(kind=one.kind, name=one.name, version=one.version, tags=one.tags, quarantined=one.quarantined)
            for one in environment.packs
        ]
        known = {one.key for one in found}
        found += [
            Column(kind=one.kind, name=one.name, version=one.version, is_gone=True)
            for one in matrix.packs(base)
            if (one.kind, one.name) not in known
        ]
        return [one for one in sorted(found, key=lambda one: (one.is_gone, one.task_id)) if self._shows(one)]

    def filters(self) -> matrix.Filters:
        """The rows that are shown. Those of cells look at the columns that are shown."""
        return matrix.Filters(
            search=self.q.strip(),
            types=self.type,
            hosts=self.host,
            state=cast("matrix.State", self.state) if self.state in STATES else None,
            active={"yes": True, "no": False}.get(self.active),
        )

    def index(self, base: BaseConnection, columns: Sequence[Column]) -> matrix.Index:
        """The rows that are shown."""
        return matrix.index(base, self.filters(), [one.key for one in columns])

    def without(self, task_id: str) -> View:
        """The same without one of the packs that the address names."""
        return replace(self, pack=tuple(one for one in self.pack if one != task_id))

    def _shows(self, column: Column) -> bool:
        return (
            self.kind in {"", column.kind}
            and (not self.tag or self.tag in column.tags)
            and (not self.pack or column.task_id in self.pack)
        )


def view(  # the parameters of every address of the matrix
    q: str = "",
    type: Words = [],  # noqa: A002, B006  # the parameter's name; FastAPI copies it
    host: Words = [],  # noqa: B006  # as above
    kind: Literal["", "metric", "rule"] = "",
    tag: str = "",
    pack: Words = [],  # noqa: B006  # as above
    state: Literal["", "success", "partial", "failed", "skipped", "running", "none", "old"] = "",
    active: Literal["", "yes", "no"] = "",
) -> View:
    """What an address asks for; FastAPI calls it."""
    types, hosts, packs = (tuple(filter(None, one)) for one in (type, host, pack))
    q = q.replace("\0", "")  # which the base cannot hold
    return View(q=q, type=types, host=hosts, kind=kind, tag=tag, pack=packs, state=state, active=active)


def facets(visit: Visit, base: BaseConnection) -> matrix.Facets:
    """What filters can name."""
    return _facets.get(visit.environment.conn_id, lambda: matrix.facets(base))
