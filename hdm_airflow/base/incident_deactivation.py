"""Incident deactivation: open incidents are closed if their rule pack no longer runs on the endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hdm_airflow.base import incident_lock
from hdm_airflow.base.queries import queries

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection


def packs_with_open(base: BaseConnection, endpoint: str) -> list[str]:
    """Read the names of the rule packs with open incidents on an endpoint."""
    rows = base.execute(queries("incidents")["packs_with_open"], {"endpoint": endpoint})
    return [row["rule_pack"] for row in rows]


def close(base: BaseConnection, rule_packs: Sequence[str], endpoint: str, *, actor: str) -> int:
    """Close the open incidents of rule packs on an endpoint, within a transaction.

    Args:
        base: the connection.
        rule_packs: names of the packs.
        endpoint: slug in its canonical form.
        actor: who deactivated them.

    Returns:
        The number of incidents.
    """
    closed = 0
    for rule_pack in sorted(rule_packs):  # in one order, or two sessions would wait for each other
        incident_lock.take(base, rule_pack)
        values = {"rule_pack": rule_pack, "endpoint": endpoint, "actor": actor}
        closed += base.execute(queries("incidents")["deactivate"], values).rowcount
    return closed
