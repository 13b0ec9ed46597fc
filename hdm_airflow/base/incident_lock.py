"""Incident lock: one session at a time changes the states of a rule pack's incidents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hdm_airflow.base.queries import queries

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection

_PATIENCE = "5min"  # how long a session waits; a derivation of many dates takes a few seconds


def take(base: BaseConnection, rule_pack: str) -> None:
    """Keep out other sessions until the end of the transaction.

    Raises:
        psycopg.errors.LockNotAvailable: if it takes too long.
    """
    base.execute(queries("incidents")["limit"], {"limit": _PATIENCE})
    base.execute(queries("incidents")["lock"], {"rule_pack": rule_pack})
