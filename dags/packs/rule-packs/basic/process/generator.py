"""Generates rules from the metrics of metric pack basic.

An existing rule is never changed, even if it was disabled or edited: its id and its owner's changes are permanent.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import datetime as dt

    import hdm
    import psycopg

DUPLICATES = "duplicates in key column"
EMPTY = "empty column"
CONTENT = {
    DUPLICATES: {"metric": "highest_frequency", "condition": ">", "conditionValue": 1},
    EMPTY: {"metric": "percent_na_values", "condition": "==", "conditionValue": 100},
}
MESSAGES = {
    DUPLICATES: "A value of a key column appears more than once",
    EMPTY: "The column is empty",
}

# Without NOT EXISTS every existing rule would use up an id each night; ON CONFLICT is for two simultaneous runs.
INSERT = """
INSERT INTO rule_basic (rule_name, rule_content, alert_message, alert_level, endpoint, "database", "table", "column")
SELECT %(name)s, %(content)s, %(message)s, 'High', m.endpoint, m."database", m."table", m."column"
FROM metric_basic m
WHERE m.endpoint = %(endpoint)s AND m."date" = %(date)s AND m.schema_change IS DISTINCT FROM 'dropped'
  AND {condition}
  AND NOT EXISTS (
      SELECT FROM rule_basic r
      WHERE (r.endpoint, r."database", r."table", r."column", r.rule_name)
          = (m.endpoint, m."database", m."table", m."column", %(name)s)
  )
ORDER BY m."table", m."column"
ON CONFLICT DO NOTHING
"""
IS_KEY = """(m.key_constraint <> '' OR EXISTS (
      SELECT FROM metric_basic k
      WHERE (k.endpoint, k."table", k."column") = (m.endpoint, m."table", m."column")
        AND k."date" <= m."date" AND k.is_key
  ))"""
CONDITIONS = {DUPLICATES: IS_KEY, EMPTY: "true"}


def generate(base: psycopg.Connection[Any], endpoint: hdm.Endpoint, date: dt.date) -> int:
    """Insert the missing rules within the open transaction. Return their number."""
    written = 0
    for name, condition in CONDITIONS.items():
        values = {
            "name": name,
            "content": json.dumps(CONTENT[name]),
            "message": MESSAGES[name],
            "endpoint": endpoint.slug,
            "date": date,
        }
        written += base.execute(INSERT.format(condition=condition).encode(), values).rowcount
    return written
