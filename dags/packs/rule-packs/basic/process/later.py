"""Later: dates that were judged before an earlier one, which now opens incidents that they have not looked into.

A date tells of open incidents only why they have no alert. Of one that an earlier date opens afterwards it has told
nothing: that it has no alert there may mean that the fault is gone, or that it was no news, as with rows that were lost
before. So the incident stays open until a date is judged that knows of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kinds import EXPLAINED

if TYPE_CHECKING:
    import datetime as dt
    from typing import Any

    import polars as pl
    import psycopg

REASON = "this date was judged before an earlier one found it"
# Of later dates until the first one with this alert: from there on, they have looked into it
LEAVE_OPEN = """
INSERT INTO hdm_not_judged (rule_pack, endpoint, "date", rule_id, "table", "column", kind, reason)
SELECT a.rule_pack, a.endpoint, later."date", a.rule_id, coalesce(a."table", ''), coalesce(a."column", ''), %(kind)s,
    %(reason)s
FROM hdm_alerts a CROSS JOIN hdm_whole later
WHERE a.rule_pack = 'basic' AND a.endpoint = %(slug)s AND a."date" = %(date)s AND a.rule_id IS NOT NULL
    AND later.kind = 'rule' AND later.pack = 'basic' AND later.endpoint = %(slug)s AND later."date" > %(date)s
    AND NOT EXISTS (
        SELECT FROM unnest(%(rules)s::text[], %(tables)s::text[], %(columns)s::text[]) AS known (rule_id, t, c)
        WHERE known.rule_id = a.rule_id AND known.t = coalesce(a."table", '') AND known.c = coalesce(a."column", '')
    ) AND NOT EXISTS (
        SELECT FROM hdm_alerts b
        WHERE b.rule_pack = a.rule_pack AND b.endpoint = a.endpoint AND b.rule_id = a.rule_id
            AND coalesce(b."table", '') = coalesce(a."table", '')
            AND CASE WHEN b.endpoint <> '' THEN coalesce(b."column", '') END = coalesce(a."column", '')
            AND b."date" > a."date" AND b."date" <= later."date"
    )
ON CONFLICT DO NOTHING"""


def leave_open(base: psycopg.Connection[Any], slug: str, date: dt.date, known: pl.DataFrame) -> None:
    """Say of later dates that they have not judged what this date's alerts open, in the transaction of the alerts.

    Args:
        base: the HDM base, with incidents.
        slug: the endpoint.
        date: the judged date.
        known: rule_id, "table", "column" of those with an alert that were open before, or that it has opened before.
    """
    values = {"slug": slug, "date": date, "kind": EXPLAINED, "reason": REASON}
    names = dict(zip(("rules", "tables", "columns"), ("rule_id", "table", "column"), strict=True))
    base.execute(LEAVE_OPEN, {**values, **{name: known[of].to_list() for name, of in names.items()}})
