"""What rules ask: parses and validates rule_content."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import classes
import conditions
import sql_law
from asked import Compare, Sql
from conditions import Condition, ValueKindError
from rule_error import MissingMetricError, RuleError
from usual import TOO_BIG

if TYPE_CHECKING:
    import datetime as dt

    from relations import Metric

# What a metric may describe -> the finest scope of an alert on it. A metric's name alone means the first that has it.
FINEST_SCOPES = {
    "column": "column",
    "table": "table",
    "version": "database",
    "database": "database",
    **dict.fromkeys(("day", "pair", "level", "number_by_level", "foreign_key"), "column"),
}
ANY = "*"
LEVELS = {"high": "High", "warning": "Warning", "info": "Info"}  # the gravest first
COMPARED = ("column", "table", "version", "database", "foreign_key", "pair")  # objects of comparisons
SIDES = ("low", "high", "both")
LIMITS = {"floor": 0, "percent": 0, "limit": 1}  # of `usual`: the least that each may be
HAVE_STATES = ("column", "table", "pair", "foreign_key")  # objects that `baseline` is for


def reason(error: Exception) -> str:
    """Why something could not be computed, in words that may be shown: texts of other errors may quote a row."""
    return str(error) if isinstance(error, RuleError) else f"unexpected error: {type(error).__name__}"


class Level(NamedTuple):
    """A condition, and the level of its alerts."""

    level: str  # High, Warning, Info; "": the rule's own
    condition: Condition


class Except(NamedTuple):
    """What a rule does not cover: all that these patterns match. ANY matches all."""

    table: str
    column: str
    endpoint: str
    database: str

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left of the endpoints that it matches."""
        return self.table == self.column == ANY


class Usual(NamedTuple):
    """The metric must have a usual value: `"usual"` of rule_content. None: the default of the law."""

    side: str  # low, high, both: which unusual values are in breach
    floor: float | None = None  # differences up to this are never unusual
    percent: float | None = None  # nor up to this share of the usual value, 0-100
    limit: float | None = None  # spreads from which on a difference is unusual


@dataclass(frozen=True, slots=True)
class Check:
    """What a rule asks of each object: rule_content, and the trigger. Rules with the same content share it."""

    of: str  # what the metric describes
    metric: str
    kind: str  # number, text, boolean or date
    is_quotable: bool  # alerts may quote the metric
    delta: str  # the metric that says by how much it differs from the former value; "": none, or it is not quoted
    levels: tuple[Level, ...]  # conditions, the gravest first; (): the law decides
    law: Any  # None, Usual, or one of `asked`
    where: tuple[Condition, ...]  # what else must hold for an object to be judged
    except_: tuple[Except, ...]  # what the rule does not cover
    is_baseline: bool  # what has been in breach since its first date raises no alert
    triggers_on: bool  # the outcome of the condition that is a breach
    alert_class: str  # METRIQUE, DATA, ...

    @property
    def usual(self) -> Usual | None:
        """The law of usual values; None: another one, or the condition."""
        return self.law if isinstance(self.law, Usual) else None

    @property
    def condition(self) -> Condition | None:
        """The condition, of several thresholds that with the gravest one; None: the law decides."""
        return self.levels[0].condition if self.levels else None

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Of the levels and of `where`."""
        return (*(one.condition for one in self.levels), *self.where)

    @property
    def shape(self) -> tuple[Any, ...]:
        """Checks of one shape differ in their bounds only, and are judged together."""
        if isinstance(self.law, Sql):  # its law looks up what each rule asks
            return self.of, self.metric, self.alert_class, Sql
        main = self.law or (self.triggers_on, *((one.level, one.condition.shape) for one in self.levels))
        return self.of, self.metric, self.alert_class, main, tuple(one.shape for one in self.where)

    @property
    def bounds(self) -> tuple[float | int | str, ...]:
        """Of all conditions."""
        return tuple(bound for one in self.conditions for bound in one.bounds)

    @property
    def metrics(self) -> set[tuple[str, str]]:
        """The metrics that it needs, with what they describe."""
        own = [self.metric, self.delta] if self.delta else [self.metric]
        return {*((self.of, name) for name in own), *((one.of, one.metric) for one in self.where)}


class CheckParser:
    """Parses rule_content.

    Args:
        metrics: the metrics that rules may name, by what they describe and name.
        since: for metrics that older versions of metric pack basic do not have: the first version that has them.
        date: the metric date; None: of no date.
    """

    def __init__(
        self,
        metrics: Mapping[tuple[str, str], Metric],
        since: Mapping[tuple[str, str], str],
        date: dt.date | None = None,
    ) -> None:
        self._metrics, self._since, self._date = metrics, since, date

    def of_query(self, text: str, trigger: str, alert_class: str) -> Check:
        """A rule_content of type sql. It is about the endpoint, in the version of the date: see sql_law.read."""
        law = sql_law.read(text, trigger)
        of, name = "version", "tables_count"
        if (of, name) not in self._metrics:
            raise MissingMetricError(f"{name} needs metric pack basic 1.1")
        return Check(
            of=of,
            metric=name,
            kind="number",
            is_quotable=True,
            delta="",
            levels=(),
            law=law,
            where=(),
            except_=(),
            is_baseline=False,
            triggers_on=True,
            alert_class=alert_class,
        )

    def check(self, text: str, *, triggers_on: bool, alert_class: str = classes.METRIC) -> Check:
        """A rule_content.

        Args:
            text: JSON, plain or in base64.
            triggers_on: the outcome of the condition that is a breach.
            alert_class: one of `classes.NAMES`.

        Raises:
            RuleError: if it is malformed or names what is unknown.
        """
        content, law = classes.read(alert_class, parsed_content(text), self._date)
        of, name = self._named(content)
        metric = self._metrics[of, name]
        usual = _usual(content)
        levels: tuple[Level, ...] = ()
        if law is not None:
            _fits(law, of, name, metric)
        elif usual is None:
            levels = _levels(of, name, metric, content)
        elif "condition" in content:
            raise RuleError("rule_content has both condition and usual")
        elif metric.kind != "number":
            raise RuleError("usual needs a metric that is a number")
        elif not metric.relation:
            raise RuleError(f"usual needs a metric that metric pack basic stores: {name} follows from others")
        baseline = content.get("baseline", False)
        if not isinstance(baseline, bool):
            raise RuleError("baseline must be true or false")
        if baseline and not (levels and metric.relation and of in HAVE_STATES):
            raise RuleError("baseline needs a condition on a stored metric of a column, table, pair or foreign key")
        further = tuple(self._where(one, of) for one in _where(content))
        if baseline and any(one.asks_for_null for one in (*(one.condition for one in levels), *further)):
            raise RuleError("baseline cannot ask for null")
        return Check(
            of=of,
            metric=name,
            kind=metric.kind,
            is_quotable=metric.is_quotable,
            delta=self._delta(of, name) if metric.is_quotable else "",
            levels=levels,
            law=law or usual,
            where=further,
            except_=_except(content),
            is_baseline=baseline,
            triggers_on=triggers_on,
            alert_class=alert_class,
        )

    def _delta(self, of: str, name: str) -> str:
        """The metric that compares this one with its former value, if both are numbers."""
        compared = [self._metrics.get((of, f"{prefix}{name}")) for prefix in ("", "delta_", "evol_")]
        return f"delta_{name}" if all(one and one.kind == "number" for one in compared) else ""

    def _where(self, content: Any, judged: str) -> Condition:
        """A further condition: on the object that is judged, its column or its table."""
        if not isinstance(content, dict):
            raise RuleError("where must be a condition or a list of conditions")
        if content.get("of") is None and (judged, content.get("metric")) in self._metrics:
            content = {**content, "of": judged}
        of, name = self._named(content)
        if of != judged and (FINEST_SCOPES[judged] == "database" or of not in {"column", "table"} or judged == "table"):
            raise RuleError(f"where cannot name a metric of a {of} in a rule on a {judged}")
        return _condition(of, name, self._metrics[of, name], content)

    def _named(self, content: dict[str, Any]) -> tuple[str, str]:
        """What the metric describes, and its name: `of` decides, otherwise the first object with such a metric."""
        metric, of = content.get("metric"), content.get("of")
        if of is not None and not (isinstance(of, str) and of in FINEST_SCOPES):
            raise RuleError(f"of must be one of {', '.join(FINEST_SCOPES)}")
        for one in FINEST_SCOPES if of is None else (of,):
            if isinstance(metric, str) and (one, metric) in self._metrics:
                return one, metric
        for one in FINEST_SCOPES if of is None else (of,):
            if isinstance(metric, str) and (one, metric) in self._since:
                raise MissingMetricError(f"{metric} needs metric pack basic {self._since[one, metric]}")
        named = f": {metric}" if isinstance(metric, str) and re.fullmatch(r"[A-Za-z0-9_]{1,63}", metric) else ""
        raise RuleError("rule_content names no known metric" + (f" of a {of}" if of else "") + named)


def _fits(law: Any, of: str, name: str, metric: Metric) -> None:
    """Raise if a law cannot decide about a metric."""
    if not metric.relation:
        raise RuleError(f"{name} of a {of} follows from others: only what metric pack basic stores can be compared")
    if isinstance(law, Compare) and of not in COMPARED:
        raise RuleError(f"with cannot name a metric of a {of}")


def _condition(of: str, name: str, metric: Metric, content: dict[str, Any]) -> Condition:
    try:
        found = conditions.parse(of, name, metric, content.get("condition"), content.get("conditionValue"))
    except ValueKindError as error:
        raise RuleError(str(error)) from None
    if found.asks_for_null and not metric.relation:
        raise RuleError(f"{found.operator} needs a metric that metric pack basic stores: {name} follows from others")
    return found


def _levels(of: str, name: str, metric: Metric, content: dict[str, Any]) -> tuple[Level, ...]:
    """The condition, once per level of `thresholds`, the gravest first."""
    thresholds = content.get("thresholds")
    if thresholds is None:
        return (Level("", _condition(of, name, metric, content)),)
    if "conditionValue" in content:
        raise RuleError("rule_content has both conditionValue and thresholds")
    if not isinstance(thresholds, dict) or not thresholds or {*thresholds} - {*LEVELS.values()}:
        raise RuleError(f"thresholds must be an object with some of {', '.join(LEVELS.values())}")
    return tuple(
        Level(level, _condition(of, name, metric, {**content, "conditionValue": thresholds[level]}))
        for level in LEVELS.values()
        if level in thresholds
    )


def _where(content: dict[str, Any]) -> list[Any]:
    """The conditions of `where`, and those that `data_type` and `key_columns` stand for."""
    where = content.get("where", [])
    if not isinstance(where, (dict, list)):
        raise RuleError("where must be a condition or a list of conditions")
    found = list(where) if isinstance(where, list) else [where]
    if "data_type" in content:
        types = content["data_type"]
        found.append({"metric": "data_type", "of": "column", "condition": "like", "conditionValue": types})
    if "key_columns" in content:
        if not isinstance(content["key_columns"], bool):
            raise RuleError("key_columns must be true or false")
        is_key = str(content["key_columns"])
        found.append({"metric": "is_key", "of": "column", "condition": "==", "conditionValue": is_key})
    return found


def _except(content: dict[str, Any]) -> tuple[Except, ...]:
    """What `except` says: objects with patterns."""
    found = content.get("except", [])
    exceptions = found if isinstance(found, list) else [found]
    for one in exceptions:
        if not isinstance(one, dict) or not one or {*one} - {*Except._fields}:
            raise RuleError(f"except must be a list of objects with some of {', '.join(Except._fields)}")
        if not all(isinstance(pattern, str) and pattern for pattern in one.values()):
            raise RuleError("except must name patterns, which are texts")
        if {*one.values()} == {ANY}:
            raise RuleError("except matches all: set enabled to false instead")
    return tuple(Except(*(one.get(name, ANY) for name in Except._fields)) for one in exceptions)


def _usual(content: dict[str, Any]) -> Usual | None:
    """What `usual` says, or None."""
    usual = content.get("usual", False)
    if usual is False:
        return None
    if usual is True or usual in SIDES:
        return Usual("both" if usual is True else usual)
    if not isinstance(usual, dict) or usual.get("side", "both") not in SIDES or {*usual} - {"side", *LIMITS}:
        raise RuleError("usual must be true, low, high, or an object with side, floor, percent and limit")
    for name, least in LIMITS.items():
        if name in usual and not _is_limit(usual[name], least):
            raise RuleError(f"{name} of usual must be a number from {least} on, below {TOO_BIG:g}")
    return Usual(usual.get("side", "both"), *(usual.get(name) for name in LIMITS))


def _is_limit(value: Any, least: int) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value < TOO_BIG


def parsed_content(text: str) -> dict[str, Any]:
    """The parsed rule_content: JSON, as the generator writes it, or JSON in base64, as the editor does."""
    if not text.lstrip().startswith("{"):
        try:
            text = base64.b64decode("".join(text.split()), validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            raise RuleError("rule_content is neither JSON nor base64") from None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise RuleError("rule_content is not valid JSON") from None
    if not isinstance(content, dict):
        raise RuleError("rule_content must be a JSON object with metric, condition and conditionValue")
    return content
