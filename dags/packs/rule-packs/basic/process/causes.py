"""Causes: one fault is one alert.

What a rule finds has a class (`cause`: schema, rows, nulls, ...), and each rule lists the classes that explain what it
finds (`yields_to`): an emptied column has no mean either. A breach is explained by another one of such a class at the
same place, and then raises no alert of its own. Of breaches of one class at one place, the first is the alert.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import suspects
from alerts import APART, INFO, JOINED, MAX_NAMED, ORDER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from judge import Judgement
    from open_incidents import Incidents
    from rules import Rule

# Classes of what is in the values: what rules of them find in one table in one night is one alert
CONTENT = frozenset({"text", "levels", "values", "pairs", "values by level", "newest"})
ORDERS = 1_000_000_000  # more than there are ranks
SEPARATOR = ", "  # between the columns of a composite key


def explain(breaches: pl.DataFrame, rules: Sequence[Rule], stands: pl.Series | None = None) -> pl.Series:
    """Which breach explains each breach.

    Args:
        breaches: rule (index into `rules`), "table", "column", other_table, other_column, level; null: none, or a whole
            table, or the rule's level.
        rules: all rules.
        stands: of each breach whether its alert has stood since before: "" if not. Nothing explains one that has.

    Returns: per breach the number of the row that explains it, and is not explained itself; null if none does.
    """
    if breaches.is_empty():
        return pl.Series("explained_by", [], dtype=pl.UInt32)
    found = _ranked(breaches.select("rule", "table", "column", "other_table", "other_column", "level"), rules)
    found = found.with_row_index("row")
    here = pl.concat([_by_other_classes(found, _places(found), rules), _of_one_class(found, ["table", "column"])])
    by = _roots(_without(stands, _first(found, here)))
    # Only what has no cause of its own explains what refers to the same place
    there = _of_one_class(found.filter(by.is_null()), ["other_table", "other_column"])
    return _roots(by.cast(pl.Int64).fill_null(_without(stands, _first(found, there)).cast(pl.Int64)))


def _without(stands: pl.Series | None, by: pl.Series) -> pl.Series:
    return by if stands is None else by.set(stands != "", None)


def _first(found: pl.DataFrame, candidates: pl.DataFrame) -> pl.Series:
    """Per breach the first of the breaches (row, by, rank) that may explain it; null if there is none."""
    by = candidates.sort("rank", "by").group_by("row", maintain_order=True).agg(pl.col("by").first())
    return found.select("row").join(by, on="row", how="left", maintain_order="left")["by"]


def _ranked(breaches: pl.DataFrame, rules: Sequence[Rule]) -> pl.DataFrame:
    """With `cause`, `level` (never null) and `rank`: the gravest first, then the order of the rules."""
    numbers = breaches["rule"].unique().sort()
    of_rules = pl.DataFrame(
        {"rule": numbers, "cause": [rules[n].cause for n in numbers], "stated": [rules[n].level for n in numbers]},
        schema={"rule": numbers.dtype, "cause": pl.String, "stated": pl.String},
    )
    level = pl.coalesce("level", "stated")
    grave = level.replace_strict(ORDER, return_dtype=pl.Int64)
    return (
        breaches.join(of_rules, on="rule", how="left", maintain_order="left")
        .with_columns(level.alias("level"), (grave * len(rules) + pl.col("rule")).alias("rank"))
        .drop("stated")
    )


def _places(found: pl.DataFrame) -> pl.DataFrame:
    """The places of each breach: row, cause, rank, "table", "column" (null: the whole table)."""
    own = found.select("row", "cause", "rank", "table", "column")
    other = found.filter(pl.col("other_table").is_not_null() | pl.col("other_column").is_not_null()).select(
        "row",
        "cause",
        "rank",
        pl.coalesce("other_table", "table").alias("table"),
        pl.col("other_column").alias("column"),
    )
    places = pl.concat([own, other]).filter(pl.col("table").is_not_null())
    return places.with_columns(pl.col("column").str.split(SEPARATOR)).explode(
        "column", empty_as_null=True, keep_nulls=True
    )


def _by_other_classes(found: pl.DataFrame, places: pl.DataFrame, rules: Sequence[Rule]) -> pl.DataFrame:
    """row, by, rank: for each breach the breaches of classes to which its rule yields."""
    present = set(found["cause"].unique())
    pairs = [
        (number, cause, order)
        for number in found["rule"].unique()
        for order, cause in enumerate(rules[number].yields_to)
        if cause in present and cause != rules[number].cause
    ]
    yields = pl.DataFrame(
        pairs, schema={"rule": found["rule"].dtype, "explains": pl.String, "order": pl.Int64}, orient="row"
    )
    mine = (
        places.join(found.select("row", "rule"), on="row")
        .join(yields, on="rule")
        .select("row", "table", "column", "explains", "order")
    )
    theirs = places.select(
        pl.col("row").alias("by"),
        "table",
        pl.col("column").alias("by_column"),
        pl.col("cause").alias("explains"),
        "rank",
    )
    first = ["explains", "table", "by_column"]
    theirs = theirs.sort("rank", "by").unique(first, keep="first", maintain_order=True)
    whole = theirs.filter(pl.col("by_column").is_null()).drop("by_column")
    any_column = theirs.unique(["explains", "table"], keep="first", maintain_order=True).drop("by_column")
    keys = ["table", "explains"]
    is_loud = found.select("row", (pl.col("level") != INFO).alias("is_loud"))
    matches = pl.concat(
        [
            mine.join(whole, on=keys),
            mine.filter(pl.col("column").is_null()).join(any_column, on=keys),
            mine.join(theirs, left_on=[*keys, "column"], right_on=[*keys, "by_column"]),
        ],
        how="diagonal",
    ).filter(pl.col("row") != pl.col("by"))
    # An Info explains no alert: it would not be seen
    of_by = is_loud.select(pl.col("row").alias("by"), pl.col("is_loud").alias("by_is_loud"))
    matches = matches.join(is_loud, on="row").join(of_by, on="by").filter(pl.col("by_is_loud") | ~pl.col("is_loud"))
    return matches.select("row", "by", (pl.col("order") * ORDERS + pl.col("rank")).alias("rank"))


def _of_one_class(found: pl.DataFrame, place: list[str]) -> pl.DataFrame:
    """row, by, rank: of breaches of one class at one place, all but the first."""
    named = found.filter((pl.col("cause") != "") & pl.col("table").is_not_null() & pl.col(place[0]).is_not_null())
    by = named.sort("rank", "row").with_columns(pl.col("row").first().over("cause", *place).alias("by"))
    return by.filter(pl.col("row") != pl.col("by")).select("row", "by", pl.lit(-1, pl.Int64).alias("rank"))


def _roots(by: pl.Series) -> pl.Series:
    """Follow explanations to the breach that is not explained itself. A circle explains nothing."""
    rows, is_root = np.arange(len(by)), by.is_null().to_numpy()
    target = np.where(is_root, rows, by.cast(pl.Int64).fill_null(0).to_numpy())
    for _ in range(max(len(by).bit_length(), 1)):
        target = target[target]
    explained = (target != rows) & is_root[target]
    return pl.Series("explained_by", target, dtype=pl.UInt32).set(pl.Series(~explained), None)


def settled(judgement: Judgement, incidents: Incidents | None = None) -> Judgement:
    """The judgement without explained breaches; what explains others names them, in `others`, and is as grave as they.

    What is left of one class in one table becomes breaches of one rule, the gravest, so that it is one alert. What had
    an alert before keeps it: the same fault is the same incident each night.
    """
    own = ("rule", "table", "column")
    breaches = judgement.breaches.with_columns(pl.col(name).alias(f"own_{name}") for name in own)
    breaches = _standing(breaches, judgement.rules, incidents)
    by = explain(breaches, judgement.rules, breaches["stands"])
    others = _others(breaches, by).join(_gravest(breaches, by, judgement.rules), on="by", how="full", coalesce=True)
    rows = breaches.with_row_index("by").join(others, on="by", how="left", maintain_order="left")
    rows = rows.join(_children(breaches, by), on="by", how="left", maintain_order="left")
    rows = rows.with_columns(pl.coalesce("gravest", "level").alias("level")).drop("by", "gravest")
    rows = suspects.of_parents(rows, _is_child(breaches, by))
    left = replace(judgement, breaches=rows).without(by.is_not_null())
    found = suspects.mark_pairs(suspects.of_numbers(left.breaches, judgement.rules), judgement.rules)
    found = _standing(found, judgement.rules, incidents)  # some are about another place now
    return replace(left, breaches=suspects.of_pairs(_of_one_rule(found, judgement.rules)))


def group(rule: Rule) -> str:
    """What rules have in common whose breaches in one table are one alert: a class, or CONTENT; else it is the rule."""
    return "content" if rule.cause in CONTENT else rule.cause or f"rule {rule.id_rule}"


def _standing(breaches: pl.DataFrame, rules: Sequence[Rule], incidents: Incidents | None) -> pl.DataFrame:
    """With `stands`: APART or JOINED of breaches whose alert has stood since before, or ""; `of_alert`: its rule.

    An alert that sums up others stands for what it was about, whichever rule of its group finds something there.
    """
    rows = breaches.drop("stands", "of_alert", strict=False)
    if incidents is None or incidents.standing.is_empty() or rows.is_empty():
        return rows.with_columns(stands=pl.lit(""), of_alert=pl.lit(None, pl.Int32))
    used = rows["rule"].unique()
    groups = pl.DataFrame(
        {"rule": used, "group": [group(rules[number]) for number in used]},
        schema={"rule": pl.Int32, "group": pl.String},
    )
    places = rows.join(groups, on="rule", how="left", maintain_order="left").select(
        "rule", "group", *(pl.col(name).fill_null("") for name in ("table", "column", "own_table", "own_column"))
    )
    keys = ["rule", "table", "column"]
    apart = incidents.standing.select(*keys, pl.lit(value=True).alias("apart"))
    joined = incidents.joined.select("group", "own_table", "own_column", pl.col("rule").alias("of_alert"))
    found = places.join(apart, on=keys, how="left", maintain_order="left")
    found = found.join(joined, on=["group", "own_table", "own_column"], how="left", maintain_order="left")
    stands = pl.when("apart").then(pl.lit(APART)).when(pl.col("of_alert").is_not_null()).then(pl.lit(JOINED))
    found = found.select(stands.otherwise(pl.lit("")).alias("stands"), "of_alert")
    return rows.hstack(found)


def _of_one_rule(breaches: pl.DataFrame, rules: Sequence[Rule]) -> pl.DataFrame:
    """The same with one rule for all columns of a table in which rules of one class, or of CONTENT, find something.

    Where these were several rules, `said` says which found what: "ward (new level)".
    """
    ranked = _ranked(breaches, rules)
    one = pl.when(pl.col("cause").is_in(list(CONTENT))).then(pl.lit("")).otherwise(pl.col("cause"))
    is_content = pl.col("cause").is_in(list(CONTENT))
    first = pl.col("rule").sort_by("rank").first().over(one, is_content, "table", "stands")
    is_loud = pl.col("level") != INFO
    is_one = (pl.col("cause") != "") & pl.col("table").is_not_null() & pl.col("column").is_not_null() & is_loud
    is_one &= pl.col("stands") != APART
    of = pl.when(is_one & (pl.col("stands") == JOINED)).then("of_alert").when(is_one).then(first).otherwise("rule")
    ranked = ranked.with_columns(of.alias("of"), is_one.alias("is_one"))
    is_one = pl.col("is_one")
    is_mixed = pl.col("rule").n_unique().over("of", "table") > 1
    names = pl.DataFrame(
        [(number, rules[number].name) for number in ranked["rule"].unique()],
        schema={"rule": ranked["rule"].dtype, "name": pl.String},
        orient="row",
    )
    said = pl.when(is_one & is_mixed).then(pl.format("{} ({})", "column", "name")).alias("said")
    named = ranked.join(names, on="rule", how="left", maintain_order="left").with_columns(said)
    is_joined = (pl.col("stands") == JOINED) & (pl.col("is_one") | (pl.col("of_alert") == pl.col("rule")))
    stands = pl.when(is_joined | (pl.col("stands") == APART)).then("stands").otherwise(pl.lit(""))
    named = named.with_columns(pl.col("of").alias("rule"), stands.alias("stands"))
    return named.select(*breaches.columns, "said")


def _gravest(breaches: pl.DataFrame, by: pl.Series, rules: Sequence[Rule]) -> pl.DataFrame:
    """by, gravest: the level of a breach that explains graver ones."""
    levels = _ranked(breaches, rules).select("level").with_row_index("by")
    found = levels.select("level", by.cast(pl.UInt32).alias("by")).filter(pl.col("by").is_not_null())
    found = found.join(levels, on="by", suffix="_own")
    order = pl.col("level").replace_strict(ORDER, return_dtype=pl.Int64)
    return (
        found.filter(order < pl.col("level_own").replace_strict(ORDER, return_dtype=pl.Int64))
        .group_by("by")
        .agg(pl.col("level").sort_by(order).first().alias("gravest"))
    )


def _children(breaches: pl.DataFrame, by: pl.Series) -> pl.DataFrame:
    """by, children: the places where its rule finds what refers to the same place, of a breach that explains them."""
    place = ["rule", "other_table", "other_column"]
    found = breaches.select(*place, "own_table", "own_column", by.cast(pl.UInt32).alias("by")).drop_nulls("by")
    roots = breaches.select(place).with_row_index("by").filter(pl.col("other_table").is_not_null())
    alike = found.join(roots, on=["by", *place], how="semi", nulls_equal=True)
    return alike.group_by("by", maintain_order=True).agg(pl.struct("own_table", "own_column").alias("children"))


def _is_child(breaches: pl.DataFrame, by: pl.Series) -> pl.Series:
    """Whether each breach has no cause but what refers to the same place."""
    others = breaches.select("other_table", "other_column")
    causes = others[by.cast(pl.Int64).fill_null(pl.Series(range(len(by)), dtype=pl.Int64))]
    return others.select(
        pl.all_horizontal(pl.col(name).eq_missing(causes[name]) for name in others.columns).alias("is_child")
    ).to_series()


def _others(breaches: pl.DataFrame, by: pl.Series) -> pl.DataFrame:
    """by, others: "; also changed: ward, visits.cost and 2 more", of what a breach explains elsewhere."""
    places = breaches.select("table", "column")
    found = places.with_columns(by.cast(pl.UInt32).alias("by")).filter(pl.col("by").is_not_null())
    found = found.join(places.with_row_index("by"), on="by", suffix="_own").filter(
        (pl.col("table") != pl.col("table_own"))
        | pl.col("column").is_not_null() & pl.col("column").ne_missing(pl.col("column_own"))
    )
    is_here = pl.col("table") == pl.col("table_own")
    name = pl.when(is_here).then("column").otherwise(pl.concat_str("table", "column", separator=".", ignore_nulls=True))
    names = pl.col("name").unique().sort()
    rest = names.len().cast(pl.Int64) - MAX_NAMED
    more = pl.when(rest > 0).then(pl.format(" and {} more", rest)).otherwise(pl.lit(""))
    named = found.with_columns(name.alias("name")).group_by("by")
    return named.agg(pl.format("; also changed: {}{}", names.head(MAX_NAMED).str.join(", "), more).alias("others"))
