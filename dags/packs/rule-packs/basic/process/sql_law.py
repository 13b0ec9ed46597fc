"""SQL rules: what a query on the endpoint returns, compared with what its rule says.

All queries of an endpoint run before its rules are judged, several at a time. A query that fails is an error of its
own rule.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import conditions
import endpoint_query
import numpy as np
import polars as pl
from asked import Sql
from conditions import ValueKindError
from figures import counted, plain
from laws import BREACHED, DESCRIBED, OK, UNKNOWN, Told
from relations import Metric
from rule_error import RuleError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import hdm
    from checks import Check
    from conditions import Condition
    from endpoint_query import Answer, Limits
    from laws import Numbers

NONE, NOT_NULL = "returnnone", "returnnotnull"
QUERY = re.compile(r"(\s|--[^\n]*(\n|$)|/\*.*?\*/|\()*(select|with|values|table)\b", re.IGNORECASE | re.DOTALL)
KEYS = frozenset({"sql", "condition", "conditionValue", "thresholds", "show"})
NUMBER = Metric("number", "", is_quotable=True)
MUST = "must be one query that starts with SELECT, WITH, VALUES or TABLE"
LONGEST = 1_000_000  # characters of a query


class Level(NamedTuple):
    """A condition on the number that a query returns."""

    level: str  # "": the rule's own
    condition: Condition


def read(text: str, trigger: str) -> Sql:
    """The law that a rule_content of type sql means.

    Args:
        text: SQL, or a JSON object with `sql`; plain or in base64.
        trigger: condition_trigger, in small letters.

    Raises:
        RuleError: if it means nothing.
    """
    content = _content(text)
    query = content.get("sql")
    if not isinstance(query, str) or not QUERY.match(query) or len(query) > LONGEST:
        raise RuleError(f"sql {MUST}")
    if {*content} - KEYS or not isinstance(content.get("show", False), bool):
        raise RuleError(f"rule_content of type sql may have only {', '.join(sorted(KEYS))}; show is true or false")
    has_condition = "condition" in content
    if trigger in {NONE, NOT_NULL}:
        if has_condition:
            raise RuleError("condition_trigger must be returnTrue or returnFalse if there is a condition")
        return Sql(query.strip().rstrip(";"), trigger == NOT_NULL, (), triggers_on=True, shows=False)
    if not has_condition:
        raise RuleError("condition_trigger of an sql rule without a condition must be returnNone or returnNotNull")
    triggers_on = trigger == "returntrue"
    return Sql(query.strip().rstrip(";"), False, _levels(content), triggers_on, bool(content.get("show")))


def _content(text: str) -> dict[str, Any]:
    if not text.lstrip().startswith("{") and not QUERY.match(text):
        try:
            text = base64.b64decode("".join(text.split()), validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            raise RuleError(f"rule_content {MUST}, JSON with such a query in sql, or one of them in base64") from None
    if not text.lstrip().startswith("{"):
        return {"sql": text}
    try:
        content: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise RuleError("rule_content is not valid JSON") from None
    return dict(content)


def _levels(content: Mapping[str, Any]) -> tuple[Level, ...]:
    thresholds = content.get("thresholds", {"": content.get("conditionValue")})
    order = ("High", "Warning", "Info", "")
    if not isinstance(thresholds, dict) or not thresholds or {*thresholds} - {*order}:
        raise RuleError("thresholds must be an object with some of High, Warning, Info")
    if "thresholds" in content and ("conditionValue" in content or "" in thresholds):
        raise RuleError("rule_content has both conditionValue and thresholds")
    found = []
    for level in order:
        if level in thresholds:
            try:
                one = conditions.parse("version", "number", NUMBER, content["condition"], thresholds[level])
            except ValueKindError as error:
                raise RuleError(str(error)) from None
            found.append(Level(level, one))
    return tuple(found)


class SqlLaw:
    """What queries have returned: see laws.Law.

    Args:
        laws: by id_rule.
        answers: by query; an error if it failed.
    """

    def __init__(self, laws: Mapping[int, Sql], answers: Mapping[str, Answer | RuleError]) -> None:
        self._laws, self._answers = laws, answers

    def __call__(self, _: Check, id_rules: Numbers, __: pl.DataFrame, /) -> Told:
        """Judge the endpoint, once for each of these rules.

        Raises:
            RuleError: why the query of one of them failed.
        """
        found = [self._of_rule(self._laws[int(one)]) for one in id_rules]
        words = pl.DataFrame([words for _, words in found], schema=dict.fromkeys(DESCRIBED, pl.String))
        return Told(np.array([outcome for outcome, _ in found], np.int8), words)

    def _of_rule(self, law: Sql) -> tuple[int, dict[str, str | None]]:
        answer = self._answers[law.query]
        if isinstance(answer, RuleError):
            raise answer
        return _by_number(law, answer) if law.levels else _by_rows(law, answer)


def _by_rows(law: Sql, answer: Answer) -> tuple[int, dict[str, str | None]]:
    number = counted(answer.rows, "row")
    said = f"the query has returned {'at least ' if answer.has_more else ''}{number}"
    if not answer.rows:
        said = "the query has returned nothing"
    observed = f"{answer.rows}{'+' if answer.has_more else ''}"
    return BREACHED if bool(answer.rows) == law.wants_none else OK, {"observed": observed, "detail": said}


def _by_number(law: Sql, answer: Answer) -> tuple[int, dict[str, str | None]]:
    if not answer.is_number:
        raise RuleError("its query must return a number in the first column of its first row")
    number = pl.Series([answer.number], dtype=pl.Float64)
    if answer.number is None and not any(one.condition.asks_for_null for one in law.levels):
        return UNKNOWN, {"detail": ""}
    for level, one in law.levels:
        if bool(conditions.holds(number, one.compared, one.bounds, one.listed)[0]) == law.triggers_on:
            shown = plain(answer.number) if law.shows and answer.number is not None else None
            limit = f"{'' if law.triggers_on else 'not '}{one.operator} {_limit(one.value)}".strip()
            said = f"the query has returned {shown}" if shown else "the number is not shown"
            return BREACHED, {"observed": shown, "threshold": limit, "detail": said, "level": level or None}
    return OK, {"detail": ""}


def _limit(value: Any) -> str:
    values = value if isinstance(value, tuple) else () if value is None else (value,)
    return ", ".join(map(str, values))


def answers(endpoint: hdm.Endpoint, checks: Iterable[Check], limits: Limits) -> dict[str, Answer | RuleError]:
    """Run the queries of all sql rules on the endpoint, each once, so many at a time as there are connections."""
    queries = list(dict.fromkeys(one.law.query for one in checks if isinstance(one.law, Sql)))
    if not queries:
        return {}
    waiting = iter(queries)  # taking the next one is a single step of the interpreter
    count = min(limits.connections, len(queries))
    found: dict[str, Answer | RuleError] = {}

    def work() -> None:
        with endpoint_query.Asker(endpoint, limits) as asker:
            for query in waiting:
                try:
                    found[query] = asker.ask(query)
                except RuleError as error:
                    found[query] = error

    with ThreadPoolExecutor(count) as pool:
        ended = [pool.submit(work) for _ in range(count)]
    for one in ended:
        if error := one.exception():
            found |= {query: RuleError(str(error)) for query in queries if query not in found}
    return found
