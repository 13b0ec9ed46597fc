"""Marker: tells Airflow's pages which environments and packs a Dag has, without running or reading the Dag's file.

The pages find them in Airflow's database, where each parse of a Dag file stores its assets. A marker is an asset that
no task updates and that schedules nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from airflow.sdk import Asset

from hdm_airflow.errors import shortened
from hdm_airflow.printable import printable

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

    from hdm_airflow.packs.pack import Pack
    from hdm_airflow.settings import Environment

#: What the names of markers begin with; no other asset of ours does.
NAME = "hdm:"
URI = "hdm://environment/"

_LONGEST = 600  # characters of an id in the asset's name: Airflow refuses names above 1,500
_TEXT = 1000  # characters of an error


@dataclass(frozen=True, kw_only=True)
class Group:
    """The tasks of one environment in a Dag."""

    dag_id: str
    group_id: str  # of the task group, with its parents; '' if the environments of the Dag are unknown
    prefix: str  # begins the ids of its tasks: prefix + `Pack.task_id` is the id of a pack's task
    kind: Literal["dag", "task group"]  # made by HdmDag or by HdmTaskGroup


def make(
    group: Group,
    environment: str,
    base: Environment | None,
    packs: Sequence[tuple[Pack, str]] = (),
    *,
    problem: str = "",
) -> Asset:
    """The marker of an environment.

    Args:
        group: its tasks.
        environment: its name; '' if the settings that state it cannot be read.
        base: its HDM base; None if it is unknown.
        packs: each pack with a task, and why that task can only fail; '' if it can run.
        problem: what is wrong with the settings; '' if nothing is. There are no packs then.
    """
    return Asset(
        # ASCII, which MySQL demands; ordinary ids stay as they are
        name=f"{NAME}{_quoted(group.dag_id)}:{_quoted(group.group_id)}",
        uri=f"{URI}{_quoted(group.dag_id)}/{_quoted(group.group_id)}",
        extra={
            "environment": environment,
            "conn_id": base.conn_id if base else "",
            "pack_conn_id": (base and base.pack_conn_id) or "",
            "group": group.prefix,
            "kind_of_group": group.kind,
            "problem": printable(shortened(problem), lines=True)[:_TEXT],
            "packs": [_described(pack, fault) for pack, fault in sorted(packs, key=lambda one: one[0].task_id)],
        },
    )


def is_marker(asset: Asset) -> bool:
    """Whether an asset is a marker."""
    return asset.name.startswith(NAME) and asset.uri.startswith(URI)


def attach(marker: Asset, tasks: Iterable[BaseOperator]) -> None:
    """Let a task of the group carry the marker.

    An inlet, because every outlet is an event of each run. Not of `end` or another task that does nothing: as soon as
    such a task has an inlet, the scheduler starts a worker for it.

    Args:
        marker: the marker.
        tasks: tasks that workers run anyway; not none.
    """
    min(tasks, key=lambda task: task.task_id).add_inlets([marker])


def _described(pack: Pack, fault: str) -> dict[str, Any]:
    return {
        "task_id": pack.task_id,
        "kind": pack.kind,
        "name": printable(pack.name),
        "version": printable(pack.version),
        "tags": sorted(map(printable, pack.tags)),
        "quarantined": printable(shortened(fault))[:_TEXT],
    }


def _quoted(text: str) -> str:
    found = quote(text, safe="")
    if len(found) <= _LONGEST:
        return found
    return f"{found[: _LONGEST - 65]}-{hashlib.sha256(text.encode()).hexdigest()}"
