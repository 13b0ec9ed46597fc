"""Environments: which Dags serve which HDM bases with which packs, as markers in Airflow's database say."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from airflow.models.asset import AssetActive, AssetModel, TaskInletAssetReference
from airflow.models.dag import DagModel
from airflow.utils.session import create_session
from sqlalchemy import and_, select

from hdm_airflow.operators.marker import NAME, URI
from hdm_airflow.packs.manifest import Kind

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Pack:
    """A pack that a Dag has a task for."""

    task_id: str  # without the groups around it: mp_basic
    task: str  # with them
    kind: Kind
    name: str
    version: str
    tags: tuple[str, ...]
    quarantined: str  # why its task can only fail; '' if it can run


@dataclass(frozen=True, kw_only=True)
class Environment:
    """One environment of one Dag."""

    dag_id: str
    name: str  # '' if the settings that state it cannot be read
    conn_id: str  # Airflow connection of its HDM base; '' if it is unknown
    is_whole_dag: bool  # made by HdmDag; False: by HdmTaskGroup, in a Dag with tasks of its own
    paused: bool  # the Dag
    team: str | None  # the Dag's, if Airflow serves several
    problem: str  # what is wrong with the settings; '' if nothing is
    packs: tuple[Pack, ...]  # by task id

    @property
    def key(self) -> str:
        """Its name in addresses."""
        return f"{self.dag_id}/{self.name}"

    def pack(self, kind: str, name: str) -> Pack | None:
        """The pack that the Dag has a task for."""
        return next((one for one in self.packs if (one.kind, one.name) == (kind, name)), None)


def read() -> list[Environment]:
    """Read the environments of all Dags: `prod` first, then by Dag and name."""
    reference = TaskInletAssetReference
    query = (
        select(reference.dag_id, AssetModel.extra, DagModel.is_paused)
        .join(AssetModel, AssetModel.id == reference.asset_id)
        .join(AssetActive, and_(AssetActive.name == AssetModel.name, AssetActive.uri == AssetModel.uri))
        .join(DagModel, DagModel.dag_id == reference.dag_id)
        .where(AssetModel.name.startswith(NAME), AssetModel.uri.startswith(URI), DagModel.is_stale.is_(False))
        .order_by(reference.dag_id, AssetModel.name)
    )
    with create_session() as session:
        rows = session.execute(query).all()
        teams = DagModel.get_dag_id_to_team_name_mapping(sorted({row.dag_id for row in rows}), session=session)
    found: dict[str, Environment] = {}
    for dag_id, extra, paused in rows:
        stated = extra if isinstance(extra, dict) else json.loads(extra)
        try:
            environment = _environment(dag_id, stated, paused=paused, team=teams.get(dag_id))
        except (KeyError, TypeError):  # of another release, or of somebody else
            log.exception("A marker of the Dag %r cannot be read: its environment is not shown", dag_id)
            continue
        other = found.get(environment.key)
        found[environment.key] = _together(other, environment) if other else environment
    return sorted(found.values(), key=lambda one: (one.name != "prod", one.dag_id, one.name))


def _environment(dag_id: str, extra: dict[str, Any], *, paused: bool, team: str | None) -> Environment:
    packs = [
        Pack(
            task_id=one["task_id"],
            task=f"{extra['group']}{one['task_id']}",
            kind=one["kind"],
            name=one["name"],
            version=one["version"],
            tags=tuple(one["tags"]),
            quarantined=one["quarantined"],
        )
        for one in extra["packs"]
    ]
    return Environment(
        dag_id=dag_id,
        name=extra["environment"],
        conn_id=extra["conn_id"],
        is_whole_dag=extra["kind_of_group"] == "dag",
        paused=paused,
        team=team,
        problem=extra["problem"],
        packs=_sorted(packs),
    )


def _together(one: Environment, other: Environment) -> Environment:
    """Two task groups of one Dag, for the same environment. A pack of both is shown once: they share its activation."""
    known = {pack.task_id: pack for pack in (*other.packs, *one.packs)}
    problem = "\n".join(filter(None, dict.fromkeys((one.problem, other.problem))))
    return replace(one, packs=_sorted(known.values()), problem=problem)


def _sorted(packs: Iterable[Pack]) -> tuple[Pack, ...]:
    return tuple(sorted(packs, key=lambda one: one.task_id))
