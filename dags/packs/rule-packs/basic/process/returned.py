"""Returned: whether what an alert was about is again as it was before its incident, or has become usual.

After three nights, what was found is what later nights are compared with, and no alert any more. So an object that has
an open incident is compared once more, with the dates before the incident only: with what the first alert compared it.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import derived
import judge
import polars as pl
from accepted import Accepted
from checks import Usual
from earlier import DAY, EPOCH, Earlier
from laws import Laws
from relations import SOURCES
from rules import Rules
from usual_rules import UsualLaw
from watch import Watch

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg
    from checks import Check
    from relations import Metric, Objects
    from rules import Exempt

PREFIXES = ("delta_weekday_", "evol_weekday_", "delta_mean28_", "evol_mean28_", "delta_", "evol_")
CHANGES = ("schema_change", "renamed_from")  # metrics of one night: the next one says nothing of them
OK, USUAL, NO_HISTORY = "ok", "usual", "no history"


@dataclass(frozen=True)
class Night:
    """The judged date of an endpoint."""

    base: psycopg.Connection[object]
    slug: str
    date: dt.date
    known: Mapping[tuple[str, str], Metric]
    rules: Rules
    exempt: list[Exempt]
    objects: Mapping[str, Objects]  # with stored metrics, without derived ones


def compares(check: Check) -> bool:
    """Whether the outcome depends on earlier dates: without a breach, the object may still be as it was in breach."""
    return check.usual is not None or (check.of, check.metric) in derived.METRICS or is_change(check)


def is_change(check: Check) -> bool:
    """Whether the metric, a stored one, compares with the date before: a breach lasts one night, whatever follows."""
    return check.metric in CHANGES or check.metric.startswith(PREFIXES)


def judged(night: Night, found: pl.DataFrame) -> pl.Series:
    """What each of some objects is that are not in breach: OK (as before the incident), USUAL, or NO_HISTORY.

    Args:
        night: the judged date.
        found: rule (index), of, "table", "column", other_table, other_column, opened_on (days since 1970).
    """
    rows = found.with_row_index("row")
    parts = [pl.DataFrame(schema={"row": pl.UInt32, "now": pl.String})]
    numbers = found["rule"].unique()
    checks = dict(zip(numbers, night.rules.checks_of(numbers), strict=True))
    changes = [number for number, check in checks.items() if is_change(check)]
    for (rule, opened_on), some in rows.filter(pl.col("rule").is_in(changes)).group_by("rule", "opened_on"):
        parts.append(_changed(night, checks[int(str(rule))], _date(opened_on), some))
    for (opened_on,), some in rows.filter(~pl.col("rule").is_in(changes)).group_by("opened_on"):
        parts.append(_compared(night, _date(opened_on), some))
    now = rows.select("row").join(pl.concat(parts), on="row", how="left", maintain_order="left")["now"]
    return now.fill_null(NO_HISTORY)


def _date(day: object) -> dt.date:
    return dt.date.fromordinal(int(str(day)) + EPOCH)


def _compared(night: Night, opened_on: dt.date, some: pl.DataFrame) -> pl.DataFrame:
    """row, now: judged by derived metrics and series of the dates before the incident only."""
    earlier = Earlier(night.base, night.slug, night.date, night.known, opened_on)
    with earlier.apart():
        used = some["rule"].unique().sort()
        rules, numbers = night.rules.only(used), {int(number): index for index, number in enumerate(used)}
        tables = some["table"].unique()
        objects = _in_tables(night.objects, tables)
        accepted = Accepted(earlier.starts, night.rules)
        checks = [rule.check for rule in rules]
        metrics = set().union(*(check.metrics for check in checks))
        objects, lost = derived.add(objects, metrics, earlier, accepted)
        usual = UsualLaw(night.base, night.slug, night.date, night.known, accepted.of_usual(), checks, opened_on)
        everywhere = [numbers[number] for number in some.filter(pl.col("table") == "")["rule"].unique()]
        watch = Watch(rules, objects, list(numbers.values()), tables.to_list(), everywhere)
        judgement = judge.judge(rules, night.exempt, objects, Laws({Usual: usual}), lost, watch)
    outcomes = watch.outcomes().filter(~pl.col("rule").is_in(list(judgement.errors)))
    place = ["rule", "of", "table", "column", "other_table", "other_column"]
    worst = outcomes.group_by(place).agg(
        pl.when((pl.col("outcome") == "breached").any())
        .then(pl.lit(USUAL))
        .when((pl.col("outcome") == "ok").all())
        .then(pl.lit(OK))
        .otherwise(pl.lit(NO_HISTORY))
        .alias("now")
    )
    mine = some.with_columns(pl.col("rule").replace_strict(numbers, return_dtype=pl.Int32))
    return mine.join(worst, on=place).select("row", "now")


def _in_tables(objects: Mapping[str, Objects], tables: pl.Series) -> dict[str, Objects]:
    """The objects of some tables, with all tables and their days: a holiday is told from all of them."""
    return {
        of: replace(one, frame=one.frame.filter(pl.col("table").is_in(tables.implode())))
        if "table" in one.frame.columns and of not in {"table", "day"} and "" not in tables
        else one
        for of, one in objects.items()
    }


def _changed(night: Night, check: Check, opened_on: dt.date, some: pl.DataFrame) -> pl.DataFrame:
    """row, now: whether the metric that has changed is again nearer to its value before than to that in breach."""
    if check.metric == "schema_change" and check.condition and check.condition.value == "dropped":
        return some.select("row", pl.lit(OK).alias("now"))  # it is there again
    name = next((check.metric.removeprefix(one) for one in PREFIXES if check.metric.startswith(one)), "")
    if check.metric == "schema_change" and check.condition and check.condition.value == "retyped":
        name = "data_type"
    metric, keys = night.known.get((check.of, name)), list(SOURCES[check.of].keys)
    if metric is None or not metric.relation or not set(keys) <= {"table", "column"}:
        return some.select("row", pl.lit(USUAL).alias("now"))
    earlier = Earlier(night.base, night.slug, night.date, night.known, opened_on)
    places = some.select(keys).unique()
    if not keys:
        return some.select("row", pl.lit(USUAL).alias("now"))
    values = {
        "now": earlier.at(check.of, [name], night.date, places),
        "then": earlier.at(check.of, [name], opened_on, places),
        "before": earlier.former(check.of, [name], places, places["table"].unique()),
    }
    rows = some.select("row", *keys)
    for title, frame in values.items():
        one = frame.drop(DAY).rename({name: title}).unique(keys)
        rows = rows.join(one, on=keys, how="left", maintain_order="left")
    is_back = pl.col("now").eq_missing(pl.col("before"))
    if metric.kind in {"number", "date"}:
        now, then, before = (pl.col(title).cast(pl.Float64) for title in values)
        is_back |= ((now - before).abs() <= (then - before).abs() / 2).fill_null(value=False)
    return rows.select("row", pl.when(is_back).then(pl.lit(OK)).otherwise(pl.lit(USUAL)).alias("now"))
