"""Incident lock: one session at a time changes the states of a rule pack's incidents."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hdm_airflow.base.queries import queries

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection

log = logging.getLogger(__name__)

_PATIENCE = "5min"  # how long a session waits; a derivation of many dates takes a few seconds
_SILENCE = "2s"  # how long it does so without a word


def take(base: BaseConnection, rule_pack: str) -> None:
    """Keep out other sessions until the end of the transaction; log that it waits for one.

    Raises:
        psycopg.errors.LockNotAvailable: if it takes too long.
    """
    from psycopg.errors import LockNotAvailable

    try:
        with base.transaction():
            _lock(base, rule_pack, _SILENCE)
    except LockNotAvailable:
        log.info("waiting for another session that changes incidents of rule pack %s: %s at most", rule_pack, _PATIENCE)
        _lock(base, rule_pack, _PATIENCE)
    else:
        base.execute(queries("incidents")["limit"], {"limit": _PATIENCE})


def _lock(base: BaseConnection, rule_pack: str, patience: str) -> None:
    base.execute(queries("incidents")["limit"], {"limit": patience})
    base.execute(queries("incidents")["lock"], {"rule_pack": rule_pack})
