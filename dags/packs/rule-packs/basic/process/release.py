"""Release: what the HDM base has, which an older release of hdm_airflow has made without."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import psycopg

QUERY = """
SELECT to_regclass('hdm_incident_event') IS NOT NULL AND to_regclass('hdm_not_judged') IS NOT NULL,
    EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('hdm_alerts') AND attname = 'observed'),
    EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('hdm_alerts') AND attname = 'owner')"""


class Release(NamedTuple):
    """What there is."""

    has_incidents: bool  # and the table for what was not judged
    has_stated: bool  # columns of hdm_alerts for the observed and the former value and the threshold
    has_owners: bool  # columns of hdm_alerts for a rule's owner and tags


@functools.lru_cache(maxsize=1)  # of one endpoint's connection
def of(base: psycopg.Connection[Any]) -> Release:
    """What the base of a connection has."""
    return Release(*(base.execute(QUERY).fetchone() or (False, False, False)))
