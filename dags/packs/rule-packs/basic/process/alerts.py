"""Turns breaches into rows of hdm_alerts, in blocks of rules, so that a million alerts need little memory at a time."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from rules import Rules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from judge import Judgement

INFO = "Info"
ORDER = {"High": 0, "Warning": 1, INFO: 2}  # the gravest first
MAX_NAMED = 5  # objects that one message names
IN_TABLES = ("table", "column")  # scopes of alerts that name a table
KEYS = ["rule", "of_table", "of_column", "is_info"]  # breaches that have these in common are one alert
# `stands` of a breach: its own alert has stood since before, or the alert that sums it up with others has
APART, JOINED = "apart", "joined"
BLOCK = 50_000  # breaches that become alerts at a time

ALERTS: dict[str, Any] = dict.fromkeys(
    (
        *("dbversion", "table", "column", "alert_level", "alert_message", "alert_class", "alert_scope", "rule_id"),
        *("observed", "former", "threshold"),
    ),
    pl.String,
)


MEMBERS = ("id_rule", "table", "column", "of_rule", "of_table", "of_column", "other_table", "other_column")


def alerts(judgement: Judgement) -> Iterator[pl.DataFrame]:
    """The alerts of the breaches, ordered by rule, table and column; each frame has the columns ALERTS."""
    breaches = judgement.breaches.sort("rule", "table", "column", maintain_order=True)
    rules = Rules.of(judgement.rules)
    for block in _blocks(breaches, rules):
        yield _alerts(block, rules)


def members(judgement: Judgement) -> Iterator[pl.DataFrame]:
    """What alerts are about if their own rule, table and column do not say so: rows of rule_basic_member.

    Each frame has the columns MEMBERS; '' is no single table or column.
    """
    breaches = judgement.breaches
    if "own_rule" not in breaches.columns:
        names = ("rule", "table", "column")
        breaches = breaches.with_columns(pl.col(name).alias(f"own_{name}") for name in names)
    rules = Rules.of(judgement.rules)
    numbers = rules.frame["id_rule"]
    for block in _blocks(breaches.sort("rule", "table", "column", maintain_order=True), rules):
        found = _keyed(_placed(block, rules))
        if "children" in found.columns:
            child = pl.col("children").struct
            more = (
                found.drop_nulls("children")
                .explode("children")
                .with_columns(own_table=child.field("own_table"), own_column=child.field("own_column"))
            )
            found = pl.concat([found.drop("children"), more.drop("children")])
        is_own = pl.col("rule") == pl.col("own_rule")
        for name in ("table", "column"):
            is_own &= pl.col(f"key_{name}").eq_missing(pl.col(f"own_{name}"))
        found = found.filter(~is_own)
        of = pl.Series("of", [one.check.of for one in rules.chosen(found["own_rule"])], dtype=pl.String)
        known = found.select(
            numbers[found["rule"]].alias("id_rule"),
            pl.col("key_table").alias("table"),
            pl.col("key_column").alias("column"),
            numbers[found["own_rule"]].alias("of_rule"),
            pl.col("own_table").alias("of_table"),
            pl.col("own_column").alias("of_column"),
            *(
                pl.when(~of.is_in(["column", "table"])).then(name).alias(name)
                for name in ("other_table", "other_column")
            ),
        )
        yield known.with_columns(pl.col(pl.String).fill_null("")).unique(maintain_order=True)


def row(
    *,
    level: str,
    message: str,
    scope: str,
    id_rule: int,
    dbversion: str,
    table: str | None = None,
    column: str | None = None,
) -> dict[str, Any]:
    """One alert that no breach stands for, such as an Info that sums up others, as a row of ALERTS."""
    return {
        **dict.fromkeys(ALERTS),
        "dbversion": dbversion,
        "table": table,
        "column": column,
        "alert_level": level,
        "alert_message": message,
        "alert_class": "METRIQUE",
        "alert_scope": scope,
        "rule_id": str(id_rule),
    }


def _blocks(breaches: pl.DataFrame, rules: Rules) -> Iterator[pl.DataFrame]:
    """Slices of about BLOCK breaches; those of one alert stay together."""
    rule = breaches["rule"].to_numpy()
    used = breaches["rule"].unique()
    is_in_table = np.zeros(len(rules), np.bool_)
    is_in_table[used.to_numpy()] = [one.alert_scope in IN_TABLES for one in rules.chosen(used)]
    starts = np.ones(breaches.height, np.bool_)
    starts[1:] = breaches["table"].ne_missing(breaches["table"].shift()).to_numpy()[1:] & is_in_table[rule[1:]]
    starts[1:] |= rule[1:] != rule[:-1]
    borders = [*np.flatnonzero(starts).tolist(), breaches.height]
    low = 0
    while low < breaches.height:
        high = borders[min(bisect_left(borders, low + BLOCK), len(borders) - 1)]
        yield breaches[low:high]
        low = high


def _alerts(breaches: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    groups = _placed(breaches, rules)
    alone = groups["is_alone"]
    found = _finished(groups.filter(alone))
    several = groups.filter(~alone)
    if several.height:
        found = pl.concat([found, _finished(_grouped(several))]).sort("position")
    return found.drop("position")


def _placed(breaches: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    """Breaches with what their alerts have in common: KEYS, and whether the alert is about this breach alone."""
    used = breaches["rule"].unique()
    about = pl.DataFrame(
        [
            (index, rule.level, rule.message, rule.alert_scope, str(rule.id_rule), rule.check.alert_class)
            for index, rule in zip(used, rules.chosen(used), strict=True)
        ],
        schema={
            "rule": pl.Int32,
            **dict.fromkeys(("alert_level", "message", "alert_scope", "rule_id", "alert_class"), pl.String),
        },
        orient="row",
    )
    whole = breaches.join(about, on="rule", how="left", maintain_order="left").with_row_index("position")
    whole = whole.with_columns(pl.coalesce("level", "alert_level").alias("alert_level"))
    scope = pl.col("alert_scope")
    stands = pl.col("stands") if "stands" in whole.columns else pl.lit("")
    is_apart, is_joined = (scope == "table") & (stands == APART), stands == JOINED
    groups = whole.with_columns(
        of_table=pl.when(scope.is_in(IN_TABLES)).then("table"),
        of_column=pl.when((scope == "column") | is_apart).then("column"),
        is_info=pl.col("alert_level") == INFO,
        is_joined=is_joined,
    )
    is_one = (pl.len().over(*KEYS, "is_joined") == 1) & ~is_joined
    return groups.with_columns(is_alone=is_one & (scope.is_in(IN_TABLES) | pl.col("table").is_null()))


def _keyed(groups: pl.DataFrame) -> pl.DataFrame:
    """With the table and column of the alert: one object alone is named, except in alerts on the whole database."""
    is_named = pl.col("is_alone") & (pl.col("alert_scope") == "table")
    column = pl.when(is_named).then("column").otherwise("of_column")
    return groups.with_columns(pl.col("of_table").alias("key_table"), column.alias("key_column"))


def _grouped(several: pl.DataFrame) -> pl.DataFrame:
    """One row per group, with the names of its first objects."""
    name = (
        pl.when(pl.col("of_table").is_null())
        .then(pl.concat_str("table", "column", separator=".", ignore_nulls=True))
        .otherwise(pl.coalesce("column", "table"))
    )
    if "pair" in several.columns:
        name = pl.coalesce("pair", name)
    said = pl.col("said") if "said" in several.columns else pl.lit(None, pl.String)  # of several rules: what each found
    names, things = pl.col("name").unique(maintain_order=True), pl.col("thing").n_unique()
    rest = names.len().cast(pl.Int64) - MAX_NAMED
    found = (
        several.with_columns(name=pl.coalesce(said, name), thing=name, is_said=said.is_not_null())
        .group_by(KEYS, maintain_order=True)
        .agg(
            pl.col("position", "dbversion", "message", "alert_scope", "rule_id", "alert_class").first(),
            pl.col("alert_level").sort_by(pl.col("alert_level").replace_strict(ORDER, return_dtype=pl.Int8)).first(),
            pl.col("threshold").first(),
            pl.lit(None, pl.String).alias("observed"),
            pl.lit(None, pl.String).alias("former"),
            names=names.head(MAX_NAMED).str.join(", "),
            more=pl.when(rest > 0).then(pl.format(" and {} more", rest)).otherwise(pl.lit("")),
            count=pl.len(),
            several=things,
            is_said=pl.col("is_said").any(),
            is_alone=pl.lit(value=False),
        )
    )
    columns = pl.format("{} columns have changed", "several")
    have_changed = pl.when(pl.col("several") == 1).then(pl.lit("Several changes")).otherwise(columns)
    return found.with_columns(
        message=pl.when("is_said").then(have_changed).otherwise("message"),
        detail=pl.when(pl.col("names").is_in(["", None]))
        .then(pl.format("{} times", "count"))
        .otherwise(pl.format("{}{}", "names", "more")),
    )


def _finished(groups: pl.DataFrame) -> pl.DataFrame:
    """Rows of hdm_alerts."""
    said = pl.when(pl.col("detail") == "").then("message").otherwise(pl.format("{}: {}", "message", "detail"))
    others = pl.col("others").fill_null("") if "others" in groups.columns else pl.lit("")
    if "column" not in groups.columns:  # of several breaches
        groups = groups.with_columns(pl.lit(None, pl.String).alias("column"))
    return _keyed(groups).select(
        "position",
        "dbversion",
        pl.col("key_table").alias("table"),
        pl.col("key_column").alias("column"),
        "alert_level",
        pl.concat_str(said, others).alias("alert_message"),
        "alert_class",
        "alert_scope",
        "rule_id",
        "observed",
        "former",
        "threshold",
    )
