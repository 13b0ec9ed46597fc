"""Accepted: what somebody has said is right from a date on, by a row of `rule_basic_baseline`.

What a rule compares with dates before is not judged, and ranges of what an object has shown before start anew. A state
that is accepted is silent as long as it lasts. What the alert has explained on that date is accepted with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import derived
import numpy as np
import polars as pl
import usable_dates
from earlier import DAY, EPOCH
from relations import SOURCES
from rules import Rules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from earlier import Earlier
    from judge import Judgement
    from numpy.typing import NDArray
    from rules import Rule

    Numbers = NDArray[np.int64]

# The columns of a breach that identify its object, as far as it has them
PLACES: dict[str, tuple[str, ...]] = {
    "column": ("table", "column"),
    "table": ("table",),
    "pair": ("table", "column", "other_column"),
    "foreign_key": ("table", "column", "other_table", "other_column"),
}


class Accepted:
    """What is accepted of one endpoint.

    Args:
        starts: of `usable_dates.since`.
        rules: the rules that are judged.
    """

    def __init__(self, starts: pl.DataFrame, rules: Sequence[Rule]) -> None:
        self._rules = Rules.of(rules)
        numbered = self._rules.frame.select("id_rule").with_row_index("rule")
        rows = starts.join(numbered, on="id_rule")
        of_rules = pl.DataFrame(
            [(rule.id_rule, rule.check.of, rule.check.metric, rule.cause) for rule in self._chosen(rows["rule"])],
            schema={"id_rule": pl.Int64, **dict.fromkeys(("of", "metric", "cause"), pl.String)},
            orient="row",
        )
        self._rows = rows.drop("rule").join(of_rules, on="id_rule")

    def __bool__(self) -> bool:
        return not self._rows.is_empty()

    def of_usual(self) -> pl.DataFrame:
        """The dates from which rules with `usual` count: columns as of `usable_dates.since`."""
        if not self:
            return self._rows.select("id_rule", "table", "column", "from_date")
        numbers = [number for number, one in enumerate(self._rules.checks) if getattr(one, "usual", None)]
        frame = self._rules.frame.with_row_index("rule")
        return self.of_rules(frame.filter(pl.col("check").is_in(numbers))["rule"])

    def of_rules(self, indices: pl.Series) -> pl.DataFrame:
        """The dates from which some rules count: their own rows, and those of rules that explain what they find."""
        names = ("id_rule", "table", "column", "from_date")
        if not self:
            return self._rows.select(names)
        rules = self._chosen(indices)
        classes = pl.DataFrame(
            [(rule.id_rule, cause) for rule in rules if rule.cause for cause in {rule.cause, *rule.yields_to}],
            schema={"id_rule": pl.Int64, "cause": pl.String},
            orient="row",
        )
        own = self._rows.filter(pl.col("id_rule").is_in([rule.id_rule for rule in rules]))
        explained = self._rows.filter(pl.col("cause") != "").drop("id_rule").join(classes, on="cause")
        return pl.concat([own.select(names), explained.select(names)]).unique()

    def since(self, of: str, metrics: Sequence[str], objects: pl.DataFrame) -> Numbers | None:
        """The day, since 1970, from which a derived metric of each object counts; None: all do of all objects.

        Args:
            of: what the objects are.
            metrics: those of which a row of any counts.
            objects: with their keys.
        """
        rows = self._rows.filter((pl.col("of") == of) & pl.col("metric").is_in(list(metrics)))
        if rows.is_empty():
            return None
        starts = rows.select(pl.lit(0, pl.Int64).alias("id_rule"), "table", "column", "from_date")
        source = SOURCES[of]
        others = {
            name: f"other_{key}" for key, name in (("table", source.other_table), ("column", source.other_column))
        }
        named = objects.rename({name: other for name, other in others.items() if name and name != other})
        found = since_of(starts, np.zeros(objects.height, np.int64), named)
        return None if found is None else found - EPOCH

    def counted(self, of: str, metrics: Sequence[str], past: pl.DataFrame) -> pl.DataFrame:
        """The earlier dates that count for derived metrics, of a frame with the keys and DAY."""
        since = self.since(of, metrics, past)
        return past if since is None else past.filter(pl.col(DAY) >= pl.Series(since))

    def unlike(self, of: str, metric: str, past: pl.DataFrame) -> pl.DataFrame:
        """The same, without what was accepted as long as it lasted: if it comes back, it is news.

        Args:
            of: what the objects are.
            metric: the derived metric.
            past: the keys, DAY, and "then": what has moved.
        """
        since = self.since(of, (metric,), past)
        if since is None:
            return past
        keys = list(SOURCES[of].keys)
        dated = past.with_columns(pl.Series("since", since)).filter(pl.col(DAY) >= pl.col("since")).sort(*keys, DAY)
        lasts = (pl.col("then") == pl.col("then").first().over(keys)).cast(pl.Int8).cum_min().over(keys) == 1
        is_accepted = lasts.fill_null(value=False) & (pl.col("since") > 0)
        return dated.filter(~is_accepted).drop("since")

    def settled(self, judgement: Judgement, earlier: Earlier) -> Judgement:
        """The judgement without breaches of derived metrics by comparison with a date that does not count."""
        if not self or judgement.breaches.is_empty():
            return judgement
        breaches = judgement.breaches.with_row_index("row")
        starts = self.of_rules(breaches["rule"].unique())
        with_starts = set(starts["id_rule"])
        without = np.zeros(breaches.height, np.bool_)
        for index in breaches["rule"].unique().sort():
            rule = judgement.rules[index]
            if rule.id_rule not in with_starts or (rule.check.of, rule.check.metric) not in derived.METRICS:
                continue
            mine = breaches.filter(pl.col("rule") == index)
            since = since_of(starts, np.full(mine.height, rule.id_rule), mine)
            if since is None:
                continue
            mine = mine.with_columns(pl.Series("since", since - EPOCH)).filter(pl.col("since") > 0)
            if mine.height:
                is_anew = pl.col(DAY).fill_null(0) < pl.col("since")
                with earlier.apart():
                    former = _with_former(rule.check.of, mine, earlier)
                without[former.filter(is_anew)["row"].to_numpy()] = True
        return judgement.unjudged("no history", pl.Series(without))

    def _chosen(self, indices: pl.Series) -> list[Rule]:
        return list(self._rules.chosen(indices.unique().sort()))


def keyed(of: str, breaches: pl.DataFrame) -> pl.DataFrame:
    """The keys of the objects of breaches, named as those of their kind."""
    return breaches.select(pl.col(place).alias(key) for place, key in zip(PLACES[of], SOURCES[of].keys, strict=True))


def since_of(starts: pl.DataFrame, id_rules: Numbers, objects: pl.DataFrame) -> Numbers | None:
    """The ordinal of the first date that counts, by the place of each object or its other one: `usable_dates.since_of`.

    Args:
        starts: of `usable_dates.since`.
        id_rules: the rule of each object.
        objects: "table", "column", other_table, other_column, as far as they have them. An alert may be about the other
            place: the table that orphans refer to, the column of levels.
    """
    found = usable_dates.since_of(starts, id_rules, objects.select(pl.col("^(table|column)$")))
    if found is None or "other_column" not in objects.columns:
        return found
    other_table = pl.coalesce("other_table", "table") if "other_table" in objects.columns else pl.col("table")
    others = objects.select(other_table.alias("table"), pl.col("other_column").alias("column"))
    of_others = usable_dates.since_of(starts, id_rules, others)
    has_other = objects["other_column"].is_not_null().to_numpy()
    return found if of_others is None else np.maximum(found, np.where(has_other, of_others, 0))


def _with_former(of: str, breaches: pl.DataFrame, earlier: Earlier) -> pl.DataFrame:
    """Breaches, with DAY: that of the former date of their object, or of its column; null: there is none."""
    kind = of if of in PLACES else "column"
    keys = keyed(kind, breaches)
    former = earlier.former(kind, [], keys.unique(), keys["table"].unique())
    whole = breaches.select("row", "since").hstack(keys)
    return whole.join(former, on=keys.columns, how="left", maintain_order="left")
