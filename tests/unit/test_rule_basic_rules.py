"""What a row of rule_basic asks, or why it cannot be judged."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pack_modules import load
from tests.unit.rule_basic_harness import pack as all_modules

pack = load(("transfer", "relations", "conditions", "checks", "rules"), "rule-packs/basic")
Metric = pack.relations.Metric
METRICS = {
    ("column", "count"): Metric("number", "metric_basic", is_quotable=True, dtype=pl.Int64),
    ("column", "delta_count"): Metric("number", "metric_basic", is_quotable=True, dtype=pl.Int64),
    ("column", "evol_count"): Metric("number", "metric_basic", is_quotable=True),
    ("column", "mean"): Metric("number", "metric_basic"),
    ("column", "step"): Metric("number", ""),
    ("column", "kind"): Metric("text", "metric_basic", dtype=pl.String),
    ("table", "rows_count"): Metric("number", "metric_basic_table", dtype=pl.Int64),
    ("day", "rows_count"): Metric("number", "metric_basic_day", dtype=pl.Int64),
    ("version", "tables_count"): Metric("number", "metric_basic_version", dtype=pl.Int64),
}
SINCE = {("column", "decimals_max"): "1.2", ("pair", "both_count"): "1.2"}
ROW = {
    "id_rule": 1,
    "enabled": 1,
    "rule_name": "r",
    "rule_type": "conditionnelle",
    "alert_level": "High",
    "alert_class": "METRIQUE",
    "alert_message": "",
    "alert_scope": "column",
    "condition_trigger": "returnTrue",
    "condition_scope": "all",
    **dict.fromkeys(("endpoint", "database", "table", "column", "cause", "yields_to"), ""),
}
COUNT = {"metric": "count", "condition": ">", "conditionValue": 1}
MEAN = {"metric": "mean", "condition": "<", "conditionValue": 2}


def book(*contents: Any, **columns: Any) -> Any:
    rows = [
        {**ROW, "id_rule": number, "rule_content": json.dumps(content), **columns}
        for number, content in enumerate(contents, 1)
    ]
    return pack.rules.Parser(METRICS, SINCE).book(pl.DataFrame(rows))


def check(**content: Any) -> Any:
    (rule,) = book({**COUNT, **content}).rules
    return rule.check


def error(**content: Any) -> str:
    found = book({**COUNT, **content})
    assert (list(found.rules), found.missing) == ([], {})
    return str(found.errors[1])


def test_a_rule_says_what_it_judges_and_how() -> None:
    """All its columns."""
    places = {"endpoint": "e", "database": "d", "table": "t*", "column": "c?", "condition_scope": "Column"}
    (rule,) = book(COUNT, cause="nulls", yields_to=" schema,rows ,", alert_level="info", **places).rules
    assert (rule.id_rule, rule.name, rule.level, rule.message) == (1, "r", "Info", 'The rule "r" has found something')
    assert (rule.endpoint, rule.database, rule.table, rule.column) == ("e", "d", "t*", "c?")
    assert (rule.cause, rule.yields_to, rule.alert_scope) == ("nulls", ("schema", "rows"), "column")
    assert (rule.check.of, rule.check.metric, rule.check.is_quotable) == ("column", "count", True)
    assert rule.check.metrics == {("column", "count"), ("column", "delta_count")}
    assert (rule.check.usual, rule.check.where, rule.check.is_baseline) == (None, (), False)


@pytest.mark.parametrize(
    ("scope", "place"), [("all", ("*", "*")), ("database", ("*", "*")), ("table", ("t", "*")), ("column", ("t", "c"))]
)
def test_condition_scope_says_which_names_count(scope: str, place: tuple[str, str]) -> None:
    """Of disabled rules, too."""
    (rule,) = book(COUNT, condition_scope=scope, table="t", column="c").rules
    assert (rule.table, rule.column) == place
    found = book(COUNT, condition_scope=scope, table="t", column="c", enabled=0)
    assert [(one.table, one.column) for one in found.exempt] == [place]
    assert not found.rules


def test_rules_with_the_same_content_share_their_check() -> None:
    """A hundred thousand rules are parsed once."""
    found = book(COUNT, COUNT, {**COUNT, "conditionValue": 2})
    assert found.rules[0].check is found.rules[1].check is not found.rules[2].check
    assert found.rules[0].check.shape == found.rules[2].check.shape
    assert len(found.checks) == 2


@pytest.mark.parametrize(
    ("usual", "expected"),
    [
        (True, ("both", None, None, None)),
        ("low", ("low", None, None, None)),
        ({"side": "high", "floor": 5, "limit": 6.5}, ("high", 5, None, 6.5)),
        ({"percent": 0}, ("both", None, 0, None)),
    ],
)
def test_usual_is_a_side_with_limits(usual: Any, expected: tuple[Any, ...]) -> None:
    """What is left open is the law's."""
    (rule,) = book({"metric": "count", "usual": usual}).rules
    assert tuple(rule.check.usual) == expected
    assert rule.check.condition is None


@pytest.mark.parametrize(
    "usual",
    [
        1,
        "up",
        [],
        None,
        {"side": "up"},
        {"flor": 5},
        {"floor": "5"},
        {"floor": -1},
        {"limit": True},
        {"percent": math.inf},
        {"limit": 0.5},
        {"floor": 1e150},
        {"side": ["low"]},
        ["low"],
    ],
)
def test_usual_that_is_neither_is_an_error(usual: Any) -> None:
    """Never taken for its absence."""
    found = book({"metric": "count", "usual": usual})
    assert "usual" in found.errors[1]


def test_what_usual_cannot_judge_is_an_error() -> None:
    """Texts; and a rule is a condition or asks for usual values."""
    assert "both condition and usual" in error(usual=True)
    assert "a number" in book({"metric": "kind", "usual": True}).errors[1]
    assert "usual needs a metric that metric pack basic stores" in book({"metric": "step", "usual": True}).errors[1]
    assert "from 1 on" in book({"metric": "count", "usual": {"limit": 0.9}}).errors[1]


def test_what_has_no_past_is_no_state() -> None:
    """Said when the rule is read: each night, whether or not something is in breach."""
    words = "baseline needs a condition on a stored metric of a column, table, pair or foreign key"
    assert check(baseline=True).is_baseline
    assert error(metric="step", baseline=True) == words
    assert book({"metric": "count", "usual": True, "baseline": True}).errors[1] == words
    for of, metric in (("day", "rows_count"), ("version", "tables_count")):
        assert error(of=of, metric=metric, baseline=True) == words
    assert set(all_modules.baseline.KINDS) == set(pack.checks.HAVE_STATES)


@pytest.mark.parametrize("of", [["column"], {"column": 1}, 1, "columns"])
def test_of_is_a_name(of: Any) -> None:
    """Of what has metrics."""
    assert "of must be one of column, table" in error(of=of)


def test_further_conditions_are_on_the_object_its_column_or_its_table() -> None:
    """One, or a list of them."""
    rows = {"metric": "rows_count", "of": "table", "condition": ">", "conditionValue": 10}
    assert check(where=MEAN).where == check(where=[MEAN]).where
    assert check(where=[MEAN, rows]).metrics >= {("column", "mean"), ("table", "rows_count")}
    assert [one.of for one in check(where=[MEAN, rows]).where] == ["column", "table"]
    day = {"metric": "rows_count", "of": "day", "condition": "<", "conditionValue": 1}
    (rule,) = book({**day, "where": [{**day, "of": None}, {**MEAN}]}).rules
    assert [one.of for one in rule.check.where] == ["day", "column"]


@pytest.mark.parametrize(
    ("where", "words"),
    [
        (1, "where must be a condition"),
        ([1], "where must be a condition"),
        ({"metric": "unknown"}, "no known metric"),
        ({**MEAN, "condition": "~"}, "condition must be one of"),
        ({**MEAN, "conditionValue": "x"}, "must be a number"),
        ({**COUNT, "metric": "tables_count"}, "where cannot name a metric of a version in a rule on a column"),
    ],
)
def test_a_bad_further_condition_is_an_error(where: Any, words: str) -> None:
    """As that of a rule."""
    assert words in error(where=where)


def test_a_metric_of_a_newer_metric_pack_is_missing_not_unknown() -> None:
    """Nobody made a mistake."""
    found = book({**COUNT, "metric": "decimals_max"}, {**COUNT, "where": {**MEAN, "metric": "decimals_max"}}, COUNT)
    assert found.missing == dict.fromkeys((1, 2), "decimals_max needs metric pack basic 1.2")
    assert (found.errors, len(found.rules)) == ({}, 1)
    assert "no known metric" in error(metric="nonsense")
    assert "needs metric pack basic 1.2" in book({**COUNT, "of": "pair", "metric": "both_count"}).missing[1]


@pytest.mark.parametrize("content", ["", "[]", "null", "1", "{", '{"metric": 1}', '{"metric": ["count"]}', "{" * 5000])
def test_content_that_is_no_rule_is_an_error_of_its_own(content: str) -> None:
    """And a good rule next to it is judged."""
    rows = [{**ROW, "rule_content": content}, {**ROW, "id_rule": 2, "rule_content": json.dumps(COUNT)}]
    found = pack.rules.Parser(METRICS, SINCE).book(pl.DataFrame(rows))
    assert ([rule.id_rule for rule in found.rules], [*found.errors]) == ([2], [1])


BIGINTS = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-5, 5))
LIMITS = st.one_of(
    BIGINTS, st.integers(-(10**25), 10**25), st.floats(allow_nan=False, allow_infinity=False), st.floats(-5, 5)
)


@given(st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), st.lists(BIGINTS, min_size=1), LIMITS)
def test_bigints_compare_exactly_with_any_number(operator: str, values: list[int], limit: float) -> None:
    """As Python compares them, one by one."""
    parsed = pack.conditions.parse("column", "count", METRICS["column", "count"], operator, limit)
    expected = [pack.conditions.COMPARISONS[operator](value, limit) for value in values]
    metrics = pl.Series(values, dtype=pl.Int64)
    assert pack.conditions.holds(metrics, parsed.compared, parsed.bounds).tolist() == expected
    each = pack.conditions.column([*parsed.bounds] * len(values))
    assert pack.conditions.holds(metrics, parsed.compared, [each]).tolist() == expected


@given(st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), st.lists(st.floats(), min_size=1), st.floats(-5, 5))
def test_doubles_compare_as_python_compares_them(operator: str, values: list[float], limit: float) -> None:
    """NaN differs from everything, and is neither less nor greater."""
    parsed = pack.conditions.parse("column", "mean", METRICS["column", "mean"], operator, limit)
    expected = [pack.conditions.COMPARISONS[operator](value, limit) for value in values]
    found = pack.conditions.holds(pl.Series(values, dtype=pl.Float64), parsed.compared, parsed.bounds)
    assert found.tolist() == expected


@given(st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), st.lists(st.text(), min_size=1), st.text())
def test_texts_compare_by_their_characters(operator: str, values: list[str], limit: str) -> None:
    """Code point by code point; the limit without the blanks around it."""
    parsed = pack.conditions.parse("column", "kind", METRICS["column", "kind"], operator, limit)
    expected = [pack.conditions.COMPARISONS[operator](value, limit.strip()) for value in values]
    metrics = pl.Series(values, dtype=pl.String)
    assert pack.conditions.holds(metrics, parsed.compared, parsed.bounds).tolist() == expected
    each = pack.conditions.column([*parsed.bounds] * len(values))
    assert np.array_equal(pack.conditions.holds(metrics, parsed.compared, [each]), expected)
