"""Baselines: a state that an object has had before is not news.

An Info is news once: where no earlier date was in breach. A High or Warning stands for three dates in a row, as those
of the other shipped rules do. States since the first date are summed up, once per rule.

Nothing is stored: whether it is a state follows from the metrics of earlier dates: of up to 28 usable ones, and since
the date that `rule_basic_baseline` says, if it does. From then on, what any rule on a stored metric finds is a state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import alerts
import conditions
import derived
import numpy as np
import polars as pl
import steps
import usable_dates
from accepted import keyed, since_of
from checks import reason
from earlier import DAY, EPOCH, IN_A_ROW
from figures import counted
from rule_error import RuleError

if TYPE_CHECKING:
    from accepted import Accepted
    from checks import Check
    from earlier import Earlier
    from judge import Judgement
    from numpy.typing import NDArray
    from rules import Rule

MAX_NAMED = 5  # objects that the one alert per endpoint names
# What a rule is about -> the names of one and of several such objects
KINDS = {
    "column": ("column", "columns"),
    "table": ("table", "tables"),
    "pair": ("pair of columns", "pairs of columns"),
    "foreign_key": ("foreign key", "foreign keys"),
}


class States(NamedTuple):
    """One per object."""

    is_state: NDArray[np.bool_]  # in breach on every date that counts
    is_first: NDArray[np.bool_]  # a state, and the judged date is the first that counts
    is_known: NDArray[np.bool_]  # in breach on an earlier date that counts
    is_usual: NDArray[np.bool_]  # in breach on each of the newest earlier dates that count: IN_A_ROW of them


def states(
    breached: NDArray[np.bool_],
    days: NDArray[np.int64],
    usable: NDArray[np.bool_],
    since: NDArray[np.int64] | None = None,
) -> States:
    """Which breaches of the last date are states, and which were breaches before.

    Args:
        breached: objects x dates, ascending; the last date is the judged one, on which all are in breach.
        days: the dates, as numbers.
        usable: objects x dates: whether the object has a value on the date.
        since: per object the first date that counts, as a number; None: all do.
    """
    counts = usable if since is None else usable & (days >= since[:, None])
    counts = counts[:, :-1]
    is_state: NDArray[np.bool_] = np.all(breached[:, :-1] | ~counts, axis=1)
    before = breached[:, :-1] & counts
    newest = counts & (np.cumsum(counts[:, ::-1], axis=1)[:, ::-1] <= IN_A_ROW)
    return States(
        is_state=is_state,
        is_first=is_state & ~np.any(counts, axis=1),
        is_known=np.any(before, axis=1),
        is_usual=np.count_nonzero(before & newest, axis=1) == IN_A_ROW,
    )


def settled(judgement: Judgement, earlier: Earlier, accepted: Accepted) -> tuple[Judgement, list[dict[str, Any]]]:
    """The judgement without what is no news, and the alerts that sum up states that are first seen: one per rule."""
    breaches = judgement.breaches.with_row_index("row")
    explained = np.zeros(breaches.height, np.bool_)
    errors: dict[int, str] = {}
    summaries = []
    starts = accepted.of_rules(breaches["rule"].unique())
    with_starts = set(starts["id_rule"])
    for index in breaches["rule"].unique().sort():
        rule = judgement.rules[index]
        is_baseline, is_accepted = rule.check.is_baseline, rule.id_rule in with_starts and _is_stored(rule.check)
        if rule.check.of not in KINDS or not (is_baseline or is_accepted):
            continue
        mine = breaches.filter(pl.col("rule") == index)
        since = since_of(starts, np.full(mine.height, rule.id_rule), mine)
        if not is_baseline:
            if since is None or not since.any():
                continue
            mine, since = mine.filter(pl.Series(since > 0)), since[since > 0]
        try:
            with earlier.apart():
                found = _states(rule, mine, earlier, since)
        except Exception as error:  # noqa: BLE001  # one bad rule never affects another
            errors[index] = reason(error)
            continue
        if not is_baseline:
            explained[mine["row"].to_numpy()] = found.is_state
            continue
        was_told = found.is_known if rule.level == "Info" else found.is_usual
        explained[mine["row"].to_numpy()] = found.is_state | was_told
        first = mine.filter(pl.Series(found.is_first if since is None else found.is_first & (since == 0)))
        if first.height:
            summaries.append(_summary(rule, first))
    return judgement.without(pl.Series(explained)).failed(errors), summaries


def _is_stored(check: Check) -> bool:
    """Whether the rule has a condition on a stored metric: it was met on earlier dates, or was not."""
    return bool(check.levels) and (check.of, check.metric) not in derived.METRICS


def _states(rule: Rule, mine: pl.DataFrame, earlier: Earlier, since: NDArray[np.int64] | None) -> States:
    """Which of a rule's breaches are states, from dates on that are accepted."""
    objects = keyed(rule.check.of, mine).with_row_index("object")
    keys = objects.columns[1:]
    days = np.array([*(date.toordinal() - EPOCH for date in earlier.dates), earlier.date.toordinal() - EPOCH], np.int64)
    breached = np.zeros((mine.height, len(days)), np.bool_)
    usable = np.zeros_like(breached)
    metric = rule.check.metric
    for some in steps.slices(objects, [metric]):
        past = earlier.recall(rule.check.of, [metric], some.drop("object"), all_dates=True)
        past = past.filter(pl.col(metric).is_not_null()).join(some, on=keys)
        if past.height:
            at = past["object"].to_numpy(), np.searchsorted(days, past[DAY].to_numpy())
            usable[at] = True
            breached[at] = _is_breach(rule.check, past[metric])
    if not rule.check.is_baseline:  # what was not there, or had no value, was in no such state
        for nth, date in enumerate(earlier.dates):
            missing = earlier.missing.get(date.toordinal() - EPOCH, ())
            usable[:, nth] = ~objects.select(usable_dates.is_missing(keys, missing)).to_series().to_numpy()
    breached[:, -1] = usable[:, -1] = True
    return states(breached, days, usable, None if since is None else since - EPOCH)


def _is_breach(check: Check, metrics: pl.Series) -> Any:
    if not check.levels:
        raise RuleError("the rule has usual instead of a condition")
    found = np.zeros(len(metrics), np.bool_)
    for _, one in check.levels:
        found |= conditions.holds(metrics, one.compared, one.bounds, one.listed) == check.triggers_on
    return found


def _summary(rule: Rule, first: pl.DataFrame) -> dict[str, Any]:
    """The alert: "All values are null (since the first date, 42 columns): patients.fax, ... and 37 more"."""
    one, several = KINDS[rule.check.of]
    name = pl.concat_str("table", "column", separator=".", ignore_nulls=True)
    if rule.check.of == "pair":
        name = pl.format("{} and {}", name, "other_column")
    names = first.select(name.alias("name")).to_series().unique().sort()
    more = f" and {len(names) - MAX_NAMED:,} more" if len(names) > MAX_NAMED else ""
    number = counted(first.height, one, several)
    text = f"{rule.message} (since the first date, {number}): {', '.join(names[:MAX_NAMED])}{more}"
    return alerts.row(level="Info", message=text, scope="all", id_rule=rule.id_rule, dbversion=first["dbversion"][0])
