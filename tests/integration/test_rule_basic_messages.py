"""What the shipped rules say: one message of each, of breaches that are judged as those of a night."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from tests.integration.pack_harness import Base
from tests.pack_modules import load

if TYPE_CHECKING:
    from demo.services import Database

pack = load(
    (
        *("conditions", "checks", "transfer", "relations", "usable_dates", "earlier", "steps", "seen", "date_steps"),
        *("key_steps", "number_steps", "text_steps", "row_steps", "column_steps", "new_rows", "level_steps", "sizes"),
        *("days", "since", "derived", "rules", "figures", "phrases", "families", "wording", "judge", "alerts"),
        *("suspects", "causes", "forecast_errors", "usual_past", "usual_replay", "usual", "usual_series"),
        *("usual_rules", "generator"),
    ),
    "rule-packs/basic",
)
RULES = {row["rule_name"]: row for row in pack.generator.shipped()}
PLACE = {
    "table": "stays", "column": "ward", "other_column": "bed", "parent_table": "wards", "parent_column": "id",
    "level_column": "unit", "value": "secret",
}  # fmt: skip
LONGEST = 200
LARGE, EXACT = 1_234_567.891, None  # the breach: of a large number, or the least one


@pytest.fixture(scope="module")
def known(pack_base: Database, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Any]:
    """The metrics that rules may name, as the base declares them."""
    base = Base(pack_base, tmp_path_factory.mktemp("base"), is_made=True)
    with base.database.connect() as connection:
        stored = pack.relations.known(connection)
    return stored | pack.derived.known(stored)


class Unusual:
    """Laws of one object whose earlier dates are stated."""

    def __init__(self, past: list[float]) -> None:
        self._past = past

    def __call__(self, check: Any, _: Any, objects: pl.DataFrame) -> Any:
        values = np.array([[*self._past, float(value)] for value in objects[check.metric]])
        days = [dt.date(2026, 3, 2) + dt.timedelta(day) for day in range(values.shape[1])]
        law = pack.usual_rules._law(check.usual)
        verdicts = pack.usual.judge(values, days, law)
        verdicts = pack.usual_rules._within(verdicts, check)
        return pack.usual_rules.Verdict(verdicts, verdicts.outcome, objects[check.metric])


def value(condition: Any, breach: float | None) -> Any:
    """A value that meets a condition."""
    if condition.operator == "!=":
        return "lodgings"
    if condition.operator in {">", ">="} and breach is not None and condition.bounds[0] != 0:
        return max(breach, condition.bounds[0])
    steps = {">": 1, "<": -1}
    return condition.bounds[0] + steps[condition.operator] if condition.operator in steps else condition.bounds[0]


def messages(rule: dict[str, Any], known: dict[tuple[str, str], Any], breach: float | None, *columns: str) -> list[str]:
    """The messages of breaches of a rule in these columns of a table."""
    texts = {name: one for name, one in rule.items() if isinstance(one, str)}
    rows = pl.DataFrame([{"id_rule": 1, "enabled": 1, **texts}])
    (found,) = pack.rules.Parser(known, {}).book(rows).rules
    check, of = found.check, found.check.of
    is_low = check.usual is not None and check.usual.side == "low"
    source = pack.relations.SOURCES[of]
    of_column = ["ward"] if of == "table" else columns
    frame = pl.DataFrame([{"dbversion": "1", **{key: PLACE[key] for key in source.keys}} for _ in of_column])
    if of != "table":
        frame = frame.with_columns(pl.Series("column", of_column))
    unusual = 12.0 if is_low else 120.0
    stated = unusual if check.condition is None else value(check.condition, breach)
    about = pack.derived.METRICS.get((of, check.metric))
    shown = (
        {about.shows: 1 if breach is None else 2_345_678, f"{about.shows}_former": 0} if about and about.shows else {}
    )
    where = {one.metric: value(one, EXACT) for one in check.where if one.metric != "rows_record"}
    where |= {one.metric: 9.0 for one in check.where if one.metric == "rows_record"}
    more = {check.metric: stated, check.delta or "none": 1, **shown, **where}
    frame = frame.with_columns(
        pl.lit(one).cast(known[of, name].dtype if (of, name) in known else pl.Int64).alias(name)
        for name, one in more.items()
    )
    past = [2_345_678.0, 2_345_679.0, 2_345_680.0] if is_low else [1.0, 2.0, 1.0]
    objects = {of: pack.relations.Objects(frame)}
    judgement = pack.causes.settled(pack.judge.judge([found], [], objects, Unusual(past)))
    assert judgement.errors == {}
    alerts = pl.concat(list(pack.alerts.alerts(judgement)))
    return list(alerts["alert_message"])


def faults(message: str) -> list[str]:
    """What makes a message hard to read."""
    patterns = {
        "a metric's name": r"\w_\w",
        "nested brackets": r"\([^)]*\(",
        "one of several": r"(?<![\d.,])1 (?!is\b|was\b|has\b)[a-z]+s\b",
        "an exponent": r"\de[+-]?\d",
        "an empty part": r"[:;,] ?([:;,]|$)|\( ?\)|  ",
        "a missing value": r"None|null, null|nan\b",
    }
    found = [name for name, pattern in patterns.items() if re.search(pattern, message)]
    return [*found, *(["too long"] if len(message) >= LONGEST else [])]


@pytest.mark.parametrize("columns", [["ward"], ["ward", "bed", "a", "b", "c", "d", "e"]], ids=["one", "several"])
@pytest.mark.parametrize("breach", [EXACT, LARGE], ids=["least", "large"])
@pytest.mark.parametrize("name", RULES)
def test_a_shipped_rule_says_what_happened_in_plain_words(
    known: dict[tuple[str, str], Any], name: str, breach: float | None, columns: list[str]
) -> None:
    found = messages(RULES[name], known, breach, *columns)
    assert len(found) == 1
    assert faults(found[0]) == [], found[0]
    assert "secret" not in found[0]


def test_faults_of_a_message_are_seen() -> None:
    """Else nothing above could fail."""
    assert faults("Look (na_values = 3 (formerly 1 days), 2.3e+06)") == [
        "a metric's name", "nested brackets", "one of several", "an exponent",
    ]  # fmt: skip
    assert faults("Look: ") == ["an empty part"]
    assert faults("x" * LONGEST) == ["too long"]
