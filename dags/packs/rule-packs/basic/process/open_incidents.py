"""Open incidents of this pack on an endpoint: alerts of earlier dates that nothing has ended before the judged one.

They belong to hdm_airflow; an HDM base of an older release has none. Of a date that is judged again, they are as they
were before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import causes
import polars as pl
import release
import transfer
from psycopg import sql
from usable_dates import EPOCH

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    import psycopg
    from rules import Rules

# The newest derived date before; if there is none, the day before the newest judged one. Whether the date itself, or a
# later one, is derived already. And whether a later one is judged
COUNTED = """
SELECT coalesce(max("date") FILTER (WHERE "date" < %(date)s), (
        SELECT max("date") - 1 FROM hdm_whole
        WHERE kind = 'rule' AND pack = 'basic' AND endpoint = %(slug)s AND "date" < %(date)s
    )), coalesce(max("date") >= %(date)s, false), EXISTS (
        SELECT FROM hdm_whole WHERE kind = 'rule' AND pack = 'basic' AND endpoint = %(slug)s AND "date" > %(date)s
    )
FROM hdm_incident_count WHERE rule_pack = 'basic' AND endpoint = %(slug)s"""
NOW = """
SELECT rule_id, "table", "column", opened_on - date '1970-01-01', 1 FROM hdm_incident
WHERE rule_pack = 'basic' AND endpoint = {slug} AND state = 'open'"""
# Events tell how an incident was before the date; and what the date has opened before, it may end now
FORMER = """
SELECT i.rule_id, i."table", i."column", found.opened_on - date '1970-01-01', (found."date" < {date})::int
FROM hdm_incident i CROSS JOIN LATERAL (
    SELECT e.* FROM hdm_incident_event e
    WHERE e.incident = i.id AND (
        e."date" < {date} AND (e.actor IS NULL OR e.kind IN ('closed', 'accepted'))
            AND coalesce(to_jsonb(e) ->> 'withdrawn', 'false') = 'false'
        OR e."date" = {date} AND e.actor IS NULL AND e.kind IN ('opened', 'reopened'))
    ORDER BY e."date" DESC, e.actor IS NOT NULL DESC, array_position(
        ARRAY['opened', 'reopened', 'level', 'judged', 'not judged', 'resolved', 'closed'], e.kind) DESC, e.id DESC
    LIMIT 1
) found
WHERE i.rule_pack = 'basic' AND i.endpoint = {slug} AND i.first_on <= {date} AND found.state = 'open'"""
# Alerts of dates whose incidents are not derived yet
PENDING = """
SELECT DISTINCT coalesce(rule_id, ''), coalesce("table", ''), coalesce("column", ''),
    min("date") OVER (PARTITION BY rule_id, "table", "column") - date '1970-01-01', 1
FROM hdm_alerts WHERE rule_pack = 'basic' AND endpoint = {slug} AND "date" IN (
    SELECT "date" FROM hdm_whole
    WHERE kind = 'rule' AND pack = 'basic' AND endpoint = {slug} AND "date" < {date} AND "date" > {after})"""
MEMBERS = """
SELECT DISTINCT m.id_rule::text, m."table", m."column", m.of_rule, m.of_table, m.of_column, m.other_table,
    m.other_column, m."date" - date '1970-01-01'
FROM rule_basic_member m
WHERE m.endpoint = {slug} AND m."date" BETWEEN date '1970-01-01' + {first} AND {date}"""

KEY = ("rule_id", "table", "column")
INCIDENT: dict[str, Any] = {**dict.fromkeys(KEY, pl.String), "opened_on": pl.Int64, "was_open": pl.Int64}
MEMBER: dict[str, Any] = {
    **dict.fromkeys(KEY, pl.String),
    "of_rule": pl.Int64,
    **dict.fromkeys(("of_table", "of_column", "other_table", "other_column"), pl.String),
    "on": pl.Int64,
}


@dataclass(frozen=True)
class Incidents:
    """The open incidents of one endpoint."""

    frame: pl.DataFrame  # INCIDENT, `id_rule` and `rule`: index of a rule that is judged; null: none
    members: pl.DataFrame  # KEY, of_rule, and the place: what their alerts have been about, if their keys do not say so
    standing: pl.DataFrame  # rule, "table", "column" of those that were open before the date
    joined: pl.DataFrame  # group, own_table, own_column: what these were about; rule: that of the alert
    is_late: bool  # later dates were judged before


def read(base: psycopg.Connection[Any], slug: str, date: dt.date, rules: Rules) -> Incidents:
    """The open incidents, also those that are not derived yet; none if the base has no such tables.

    Args:
        base: the HDM base.
        slug: the endpoint.
        date: the judged date. What it has opened itself, when it was judged before, counts, but does not stand.
        rules: those that are judged.
    """
    found, is_late = pl.DataFrame(schema=INCIDENT), False
    if release.of(base).has_incidents:
        found, is_late = _read(base, slug, date)
    numbered = rules.frame.select("id_rule").with_row_index("rule").with_columns(pl.col("rule").cast(pl.Int32))
    found = found.with_columns(pl.col("rule_id").cast(pl.Int64, strict=False).alias("id_rule"))
    found = found.join(numbered, on="id_rule", how="left", maintain_order="left")
    members = pl.DataFrame(schema=MEMBER)
    if found.height:
        values = {"slug": slug, "date": date, "first": int(str(found["opened_on"].min()))}
        members = _query(base, MEMBERS, MEMBER, **values)
    members = members.join(found.select(*KEY, "opened_on", "was_open", "rule"), on=KEY)
    members = members.filter(pl.col("on") >= pl.col("opened_on"))
    day = date.toordinal() - EPOCH
    earlier = members.filter((pl.col("was_open") == 1) & (pl.col("on") < day) & pl.col("rule").is_not_null())
    used = earlier["rule"].unique()
    groups = pl.DataFrame(
        {"rule": used, "group": [causes.group(rule) for rule in rules.chosen(used)]},
        schema={"rule": pl.Int32, "group": pl.String},
    )
    joined = earlier.join(groups, on="rule").select(
        "group", pl.col("of_table").alias("own_table"), pl.col("of_column").alias("own_column"), "rule"
    )
    stands = found.filter((pl.col("was_open") == 1) & pl.col("rule").is_not_null())
    return Incidents(
        found,
        members.drop("on", "opened_on", "was_open", "rule").unique(maintain_order=True),
        stands.select("rule", "table", "column"),
        joined.sort("rule").unique(["group", "own_table", "own_column"], keep="first", maintain_order=True),
        is_late,
    )


def _read(base: psycopg.Connection[Any], slug: str, date: dt.date) -> tuple[pl.DataFrame, bool]:
    values = {"slug": slug, "date": date}
    newest, is_again, is_late = base.execute(COUNTED, values).fetchone() or (None, False, False)
    found = _query(base, FORMER if is_again else NOW, INCIDENT, **values)
    if newest is None:
        return found, is_late
    pending = _query(base, PENDING, INCIDENT, **values, after=newest)
    return pl.concat([found, pending]).unique(list(KEY), keep="first", maintain_order=True), is_late


def _query(base: psycopg.Connection[Any], text: str, schema: Mapping[str, Any], **values: Any) -> pl.DataFrame:
    literals = {name: sql.Literal(value) for name, value in values.items()}
    return transfer.read(base, sql.SQL(text).format(**literals), dict(schema))
