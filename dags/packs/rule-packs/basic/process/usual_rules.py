"""Usual rules: decides for rules with `"usual"`, by the series of their metric on earlier dates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import phrases
import polars as pl
import usable_dates
import usual
from alerts import INFO
from figures import figure, plain
from rules import RuleError
from usual_series import DATES, Series

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Mapping, Sequence

    import psycopg
    from relations import Metric
    from rules import Check, Usual
    from usual_series import Block

    Indices = np.ndarray[Any, np.dtype[np.int32]]


@dataclass
class Verdict:
    """What the laws say about some objects: see laws.Verdict."""

    verdicts: usual.Verdicts
    outcome: np.ndarray[Any, np.dtype[np.int8]]  # OK, BREACHED, NOT_JUDGED
    metrics: pl.Series

    def described(self, breached: Indices, check: Check) -> pl.DataFrame:
        """Columns observed, former, threshold, detail and level of some of the objects; no numbers that may be values.

        What may be a weekend that no earlier date foretells is no more than an Info.
        """
        found = [self._described(int(index), check) for index in breached]
        schema = dict.fromkeys(("observed", "former", "threshold", "detail"), pl.String)
        levels = pl.Series("level", np.where(self.verdicts.weekend[breached], INFO, ""), dtype=pl.String)
        return pl.DataFrame(found, schema=schema, orient="row").with_columns(levels.replace("", None))

    def _described(self, index: int, check: Check) -> tuple[str | None, str | None, str | None, str]:
        words = usual.words(self.verdicts, index, quotable=check.is_quotable)
        if not check.is_quotable:
            return None, None, None, words
        verdicts = self.verdicts
        numbers = (float(self.metrics[index]), verdicts.former[index], verdicts.low[index], verdicts.high[index])
        observed, former, low, high = map(plain, numbers)
        phrase = phrases.STORED.get((check.of, check.metric), f"{check.metric} = {{now}}")
        said = phrase.format(now=figure(numbers[0]))
        return observed, former, f"{low} to {high}", f"{said}; {words}" if said else words


class UsualLaw:
    """The law of usual values on one endpoint and date: see laws.Law.

    Args:
        base: the HDM base, in a repeatable transaction.
        slug: the endpoint.
        date: the judged date.
        known: the metrics that rules may name.
        starts: from which dates on series count: of `usable_dates.since`.
        checks: what all rules ask: the metrics of those with usual are read together.
        before: the judged date is compared with dates before this one only; None: with all.
    """

    def __init__(
        self,
        base: psycopg.Connection[Any],
        slug: str,
        date: dt.date,
        known: Mapping[tuple[str, str], Metric],
        starts: pl.DataFrame,
        checks: Iterable[Check],
        before: dt.date | None = None,
    ) -> None:
        self._base, self._slug, self._date, self._known, self._starts = base, slug, date, known, starts
        self._before = before or date
        self._checks = [check for check in checks if check.usual is not None]

    def __call__(self, check: Check, id_rules: np.ndarray[Any, np.dtype[np.int64]], objects: pl.DataFrame) -> Verdict:
        """Judge a metric of some objects.

        Raises:
            RuleError: if the rule has no law.
        """
        if check.usual is None:
            raise RuleError("the rule has a condition instead of usual")
        relation = self._known[check.of, check.metric].relation
        keys = objects.drop(check.metric)
        law = _law(check.usual)
        since = usable_dates.since_of(self._starts, id_rules, keys)
        parts, rows = [], []
        for block in self._series.blocks(relation, check.metric, keys):
            parts.append(judged(block, self._days, law, None if since is None else since[block.objects]))
            rows.append(block.objects)
        order = np.argsort(np.concatenate(rows))
        verdicts = _within(usual.joined(parts, order), check)
        if law.side != usual.LOW:  # a weekend takes rows away: it brings none, and changes no shares or means
            verdicts = replace(verdicts, weekend=np.zeros_like(verdicts.weekend))
        return Verdict(verdicts, verdicts.outcome, objects[check.metric])

    @cached_property
    def _dates(self) -> list[usable_dates.Date]:
        return usable_dates.compared(self._base, self._slug, self._date, DATES, self._before)

    @cached_property
    def _days(self) -> list[dt.date]:
        return [date.day for date in self._dates]

    @cached_property
    def _series(self) -> Series:
        metrics: dict[str, set[str]] = {}
        for check in self._checks:
            metrics.setdefault(self._known[check.of, check.metric].relation, set()).add(check.metric)
        named = {relation: sorted(names) for relation, names in metrics.items()}
        sampled = {metric.relation for (_, name), metric in self._known.items() if name == "sample_rows"}
        return Series(self._base, self._slug, self._dates, named, sampled)


def judged(
    block: Block, days: Sequence[dt.date], law: usual.Law, since: np.ndarray[Any, np.dtype[np.int64]] | None = None
) -> usual.Verdicts:
    """The verdicts on the objects of a block; a series is judged once, whosever it is.

    Args:
        block: the series.
        days: their dates; the last one is judged.
        law: what is unusual.
        since: per object the ordinal of the first date that counts; None: all do.
    """
    if since is not None:
        return usual.judge(block.values, days, law, since)
    used, which = np.unique(block.which, return_inverse=True)
    return usual.joined([usual.judge(block.different[used], days, law)], which)


def _within(verdicts: usual.Verdicts, check: Check) -> usual.Verdicts:
    """The verdicts with limits that the metric can reach: counts are not negative, and no percentage is above 100."""
    if not check.is_quotable or check.metric.startswith(("delta_", "evol_")):
        return verdicts
    most = 100.0 if check.metric.startswith("percent_") else np.inf
    return replace(verdicts, low=np.clip(verdicts.low, 0, None), high=np.clip(verdicts.high, None, most))


def _law(stated: Usual) -> usual.Law:
    limits = {name: getattr(stated, name) for name in ("floor", "percent", "limit")}
    return usual.Law(side=stated.side, **{name: float(value) for name, value in limits.items() if value is not None})
