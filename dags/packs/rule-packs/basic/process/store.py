"""The HDM base: reads rules, and replaces all that is stored of one endpoint and date."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import alerts
import generator
import polars as pl
import release
import rules
import transfer
from psycopg import sql

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import hdm
    import psycopg
    from judge import Judgement
    from not_judged import Row
    from relations import Metric
    from rules import RuleBook

RULE_PACK = "basic"
RULE_COLUMNS = (
    *("rule_name", "rule_type", "alert_level", "alert_class", "alert_message", "alert_scope", "condition_trigger"),
    *("condition_scope", "endpoint", "database", "table", "column", "rule_content", "cause", "yields_to"),
    *("owner", "tags"),
)
STATED = ("observed", "former", "threshold")  # columns of hdm_alerts that an older HDM base does not have
NOT_JUDGED = ("rule_id", "table", "column", "kind", "reason")
RESULTS = ("endpoint", "date", "id_rule", "ok", "breached", "explained", "errors", "not_judged", "reasons")


def has_metrics(base: psycopg.Connection[Any], slug: str, date: dt.date) -> bool:
    """Whether anything was measured: the date has columns, or is complete without any."""
    for table in ("metric_basic", "metric_basic_version"):
        if base.execute("SELECT to_regclass(%s)", (table,)).fetchone() == (None,):
            continue
        query = sql.SQL('SELECT FROM {} WHERE endpoint = %s AND "date" = %s LIMIT 1').format(sql.Identifier(table))
        if base.execute(query, (slug, date)).fetchone() is not None:
            return True
    return False


def book(
    base: psycopg.Connection[Any],
    endpoint: hdm.Endpoint,
    known: Mapping[tuple[str, str], Metric],
    since: Mapping[tuple[str, str], str],
    date: dt.date,
    *,
    shipped: bool = True,
) -> RuleBook:
    """The rules that apply to the endpoint: its own, and matching rules without an endpoint.

    Args:
        base: the HDM base.
        endpoint: the endpoint.
        known: the metrics that rules may name.
        since: see `rules.Parser`.
        date: the metric date.
        shipped: whether the rules that come with this pack apply.
    """
    query = sql.SQL(
        """SELECT id_rule, enabled::int, {} FROM rule_basic
        WHERE replaced_by IS NULL AND ({shipped} OR shipped = '') AND (endpoint = {slug} OR endpoint ~ '[*?]'
            OR endpoint = '' AND ("database" IN ('', {database}) OR "database" ~ '[*?]'
                OR lower(trim(condition_scope)) = 'all'))"""
    ).format(
        sql.SQL(", ").join(map(sql.Identifier, RULE_COLUMNS)),
        slug=sql.Literal(endpoint.slug),
        database=sql.Literal(endpoint.database),
        shipped=sql.Literal(shipped),
    )
    schema: dict[str, Any] = {"id_rule": pl.Int64, "enabled": pl.Int8, **dict.fromkeys(RULE_COLUMNS, pl.String)}
    frame = transfer.read(base, query, schema).sort("id_rule")
    classes = {rule["cause"] for rule in generator.shipped()}
    return rules.Parser(known, since, classes, rules.Place(endpoint.slug, endpoint.database), date).book(frame)


def replace(
    base: psycopg.Connection[Any],
    endpoint: hdm.Endpoint,
    date: dt.date,
    book: RuleBook,
    judgement: Judgement,
    more: Iterable[Mapping[str, Any]] = (),
    wanted: pl.DataFrame | None = None,
) -> tuple[int, pl.DataFrame]:
    """Replace the date's alerts and results within the open transaction.

    Args:
        base: the HDM base.
        endpoint: the endpoint.
        date: the metric date.
        book: the endpoint's rules.
        judgement: what they found.
        more: further alerts, as `alerts.row` makes them.
        wanted: rule_id, "table", "column" of open incidents; None: there are none.

    Returns: the number of alerts, and which of those wanted have one.
    """
    key = {"endpoint": endpoint.slug, "date": date}
    base.execute(
        'DELETE FROM hdm_alerts WHERE rule_pack = %(rule_pack)s AND endpoint = %(endpoint)s AND "date" = %(date)s',
        {**key, "rule_pack": RULE_PACK},
    )
    base.execute(
        """WITH member AS (DELETE FROM rule_basic_member WHERE endpoint = %(endpoint)s AND "date" = %(date)s)
        DELETE FROM rule_basic_result WHERE endpoint = %(endpoint)s AND "date" = %(date)s""",
        key,
    )
    written = _write_alerts(base, endpoint, date, judgement, more, wanted, book.owners)
    own = (pl.lit(endpoint.slug).alias("endpoint"), pl.lit(date).alias("date"))
    members = (frame.select(*alerts.MEMBERS, *own) for frame in alerts.members(judgement))
    transfer.write(base, "rule_basic_member", (*alerts.MEMBERS, "endpoint", "date"), members)
    transfer.write(base, "rule_basic_result", RESULTS, [_results(endpoint, date, book, judgement)])
    return written


def replace_not_judged(base: psycopg.Connection[Any], slug: str, date: dt.date, rows: Sequence[Row]) -> None:
    """Replace what was not judged, within the same transaction. An HDM base of an older release has no table for it."""
    if not release.of(base).has_incidents:
        return
    base.execute(
        'DELETE FROM hdm_not_judged WHERE rule_pack = %s AND endpoint = %s AND "date" = %s', (RULE_PACK, slug, date)
    )
    frame = pl.DataFrame(rows, schema=dict.fromkeys(NOT_JUDGED, pl.String), orient="row")
    frame = frame.unique(["rule_id", "table", "column"], keep="first", maintain_order=True).with_columns(
        pl.lit(RULE_PACK).alias("rule_pack"), pl.lit(slug).alias("endpoint"), pl.lit(date).alias("date")
    )
    transfer.write(base, "hdm_not_judged", frame.columns, [frame])


def _write_alerts(
    base: psycopg.Connection[Any],
    endpoint: hdm.Endpoint,
    date: dt.date,
    judgement: Judgement,
    more: Iterable[Mapping[str, Any]],
    wanted: pl.DataFrame | None,
    owners: pl.DataFrame,
) -> tuple[int, pl.DataFrame]:
    has = release.of(base)
    columns = [name for name in alerts.ALERTS if has.has_stated or name not in STATED]
    owned = ("owner", "tags") if has.has_owners and owners.height else ()
    written = 0
    keys = ["rule_id", "table", "column"]
    raised = [pl.DataFrame(schema=dict.fromkeys(keys, pl.String))]

    def frames() -> Iterator[pl.DataFrame]:
        nonlocal written
        extra = pl.DataFrame(list(more), schema=alerts.ALERTS)
        for frame in itertools.chain(alerts.alerts(judgement), [extra]):
            written += frame.height
            if wanted is not None and not wanted.is_empty():
                raised.append(frame.select(pl.col(keys).fill_null("")).join(wanted, on=keys, how="semi"))
            if owned:
                frame = frame.join(owners, on="rule_id", how="left", maintain_order="left")  # noqa: PLW2901  # with more
            yield frame.select(
                *columns,
                *owned,
                pl.lit(endpoint.slug).alias("endpoint"),
                pl.lit(endpoint.database).alias("database"),
                pl.lit(date).alias("date"),
                pl.lit(RULE_PACK).alias("rule_pack"),
            )

    transfer.write(base, "hdm_alerts", (*columns, *owned, "endpoint", "database", "date", "rule_pack"), frames())
    return written, pl.concat(raised).unique()


def errors(book: RuleBook, judgement: Judgement) -> dict[int, str]:
    """All errors by id_rule: of rules that could not be parsed, and of rules that could not be judged."""
    return {**book.errors, **{book.rules[index].id_rule: error for index, error in judgement.errors.items()}}


def names(book: RuleBook, judgement: Judgement) -> dict[int, str]:
    """The names of the rules that were not judged, by id_rule."""
    judged = (book.rules[index] for index in judgement.errors)
    return book.names | {rule.id_rule: rule.name for rule in judged}


def _results(endpoint: hdm.Endpoint, date: dt.date, book: RuleBook, judgement: Judgement) -> pl.DataFrame:
    """The counts of each rule: rows of rule_basic_result."""
    failed = list(errors(book, judgement))
    found = pl.DataFrame(
        {
            "id_rule": book.rules.frame["id_rule"],
            "ok": judgement.ok,
            "breached": judgement.breached,
            "explained": judgement.explained,
            **judgement.not_judged,
            "covers nothing": judgement.covers_nothing.astype("int64"),
        }
    )
    reasons = [*judgement.not_judged, "covers nothing"]
    different = found.select(reasons).unique()
    texts = [
        json.dumps({name: count for name, count in zip(reasons, row, strict=True) if count}) for row in different.rows()
    ]
    told = different.with_columns(pl.Series("reasons", texts, dtype=pl.String))
    counted = (
        found.join(told, on=reasons, how="left", maintain_order="left")
        .select(
            "id_rule",
            "ok",
            "breached",
            "explained",
            pl.sum_horizontal(list(judgement.not_judged)).alias("not_judged"),
            "reasons",
        )
        .filter(~pl.col("id_rule").is_in(failed))
    )
    missing = json.dumps({"metric missing": 1})
    others = pl.DataFrame(
        [
            *((number, 0, 0, 0, 0, "{}") for number in failed),
            *((number, 0, 0, 0, 1, missing) for number in book.missing),
        ],
        schema=counted.schema,
        orient="row",
    )
    is_error = pl.col("id_rule").is_in(failed).cast(pl.Int64)
    whole = pl.concat([counted, others]).with_columns(
        pl.lit(endpoint.slug).alias("endpoint"), pl.lit(date).alias("date"), is_error.alias("errors")
    )
    return whole.select(RESULTS).sort("id_rule")
