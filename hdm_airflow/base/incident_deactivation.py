"""Incident deactivation: open incidents are closed if their rule pack no longer runs on the endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hdm_airflow.base.queries import queries
from hdm_airflow.errors import HdmBaseError

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection

_PATIENCE = "5min"  # as in incident_lock: a derivation of many dates takes a few seconds


def packs_with_open(base: BaseConnection, endpoint: str) -> list[str]:
    """Read the names of the rule packs with open incidents on an endpoint."""
    rows = base.execute(queries("incidents")["packs_with_open"], {"endpoint": endpoint})
    return [row["rule_pack"] for row in rows]


def close(base: BaseConnection, pairs: Sequence[tuple[str, str]], *, actor: str, patience: str = _PATIENCE) -> int:
    """Close the open incidents of rule packs on endpoints, within a transaction. Three statements, however many.

    Args:
        base: the connection.
        pairs: name of the pack, and the endpoint's slug in its canonical form.
        actor: who deactivated them.
        patience: how long to wait for a session that is changing incidents of one of the packs.

    Returns:
        The number of incidents.

    Raises:
        HdmBaseError: if that takes too long.
    """
    from psycopg.errors import LockNotAvailable

    if not pairs:
        return 0
    rule_packs, slugs = zip(*pairs, strict=True)
    values = {"rule_packs": list(rule_packs), "endpoints": list(slugs), "actor": actor}
    try:
        base.execute(queries("incidents")["limit"], {"limit": patience})
        base.execute(queries("incident_deactivation")["lock"], values)
    except LockNotAvailable:
        hint = "nothing was changed; a derivation takes a few seconds"
        raise HdmBaseError("incidents are being derived, try again", "HDM base", hint) from None
    return base.execute(queries("incident_deactivation")["close"], values).rowcount
