"""What rules of pack basic can ask: ranges, lists, patterns, null, several thresholds, and what they leave out."""

from __future__ import annotations

import math
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pack_modules import load

MODULES = ("transfer", "relations", "conditions", "checks", "rules", "families", "wording", "judge", "alerts")
pack = load(MODULES, "rule-packs/basic")
Metric = pack.relations.Metric
METRICS = {
    ("column", "count"): Metric("number", "metric_basic", is_quotable=True, dtype=pl.Int64),
    ("column", "mean"): Metric("number", "metric_basic"),
    ("column", "step"): Metric("number", ""),
    ("column", "data_type"): Metric("text", "metric_basic", is_quotable=True, dtype=pl.String),
    ("column", "is_key"): Metric("boolean", "metric_basic", is_quotable=True, dtype=pl.Int8),
    ("column", "last"): Metric("date", "metric_basic", dtype=pl.Int64),
    ("table", "rows_count"): Metric("number", "metric_basic_table", is_quotable=True, dtype=pl.Int64),
}
DAY = 86_400_000_000
NAN = float("nan")
COLUMNS = pl.DataFrame(
    {
        "dbversion": "1.0",
        "table": ["a", "a", "a", "b", "b"],
        "column": ["v", "w", "x", "y", "z"],
        "count": [1, 2, None, 4, 500],
        "mean": [71.5, NAN, 73.5, None, 75.5],
        "step": [1.0, None, None, None, None],
        "data_type": ["integer", "character varying(10)", "TEXT", None, "Integer"],
        "is_key": pl.Series([1, 0, None, 1, 0], dtype=pl.Int8),
        "last": [0, DAY, 2 * DAY, 3 * DAY, None],
    }
)
TABLES = pl.DataFrame({"dbversion": "1.0", "table": ["a", "b"], "rows_count": [10, None]})
ROW = {
    "id_rule": 1,
    "enabled": 1,
    "rule_name": "r",
    "rule_type": "conditionnelle",
    "alert_level": "Warning",
    "alert_class": "METRIQUE",
    "alert_message": "Look",
    "alert_scope": "column",
    "condition_trigger": "returnTrue",
    "condition_scope": "column",
    "table": "*",
    "column": "*",
    **dict.fromkeys(("endpoint", "database", "cause", "yields_to"), ""),
}
PLACE = pack.rules.Place("heart:postgres:db.example.org:5432:hdm:false", "heart")


def book(*contents: dict[str, Any], place: Any = None, **columns: Any) -> Any:
    """The rules with these contents."""
    rows = [
        {**ROW, "id_rule": n, "rule_name": f"r{n}", "rule_content": pack.checks.json.dumps(one), **columns}
        for n, one in enumerate(contents, 1)
    ]
    return pack.rules.Parser(METRICS, {}, place=place).book(pl.DataFrame(rows))


def judged(content: dict[str, Any], **columns: Any) -> Any:
    """What a rule finds."""
    found = book(content, **columns)
    assert found.errors == {}
    objects = {of: pack.relations.Objects(frame) for of, frame in (("column", COLUMNS), ("table", TABLES))}
    judgement = pack.judge.judge(found.rules, [], objects)
    assert judgement.errors == {}
    return judgement


def breached(content: dict[str, Any], **columns: Any) -> str:
    """The columns in breach."""
    return "".join(judged(content, **columns).breaches["column"].sort())


def ask(metric: str, condition: str, value: Any = None, **more: Any) -> dict[str, Any]:
    return {"metric": metric, "condition": condition, **({} if value is None else {"conditionValue": value}), **more}


@pytest.mark.parametrize(
    ("content", "true", "false"),
    [
        (ask("count", "between", [2, 4]), "wy", "vz"),
        (ask("count", "not between", [2, 4]), "vz", "wy"),
        (ask("count", "BETWEEN", [1.5, 3.9]), "w", "vyz"),
        (ask("count", "between", [2.1, 2.9]), "", "vwyz"),
        (ask("count", "in", [1, 4.0, 2.5]), "vy", "wz"),
        (ask("count", "not  in", ["1", 10**30]), "wyz", "v"),
        (ask("mean", "between", [71.5, 74]), "vx", "wz"),
        (ask("mean", "not between", [71.5, 74]), "wz", "vx"),
        (ask("mean", "in", [75.5]), "z", "vwx"),
        (ask("last", "between", ["1970-01-02", "1970-01-03 00:00"]), "wx", "vy"),
        (ask("last", "in", ["1970-01-01"]), "v", "wxy"),
        (ask("is_key", "in", [True]), "vy", "wz"),
        (ask("data_type", "in", ["integer"]), "v", "wxz"),
        (ask("data_type", "between", ["a", "d"]), "w", "vxz"),
        (ask("data_type", "like", "integer"), "vz", "wx"),
        (ask("data_type", "not like", ["int*", "character*"]), "x", "vwz"),
        (ask("mean", "is null"), "y", "vwxz"),
        (ask("mean", "is not null"), "vwxz", "y"),
    ],
)
def test_each_condition_holds_for_some_columns(content: dict[str, Any], true: str, false: str) -> None:
    """returnFalse turns it round; of a metric that is null neither, unless the condition asks for null."""
    assert breached(content) == true
    assert breached(content, condition_trigger="returnFalse") == false


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ({"metric": "count", "condition": "in", "conditionValue": [1, 500]}, "vz"),
        ([{"metric": "count", "condition": "is null"}], "x"),
        ([{"metric": "rows_count", "of": "table", "condition": "is null"}], "yz"),
        ([{"metric": "rows_count", "of": "table", "condition": "between", "conditionValue": [1, 99]}], "vwx"),
    ],
)
def test_further_conditions_have_the_same_operators(where: Any, found: str) -> None:
    """Of the object itself, or of its table."""
    assert breached(ask("last", "is not null", where=where) | {"metric": "data_type"}) == found.replace("y", "")


def test_data_type_and_key_columns_choose_columns() -> None:
    """By the type that the database declares, and by what was measured."""
    assert breached(ask("count", ">", 0, data_type="int*")) == "vz"
    assert breached(ask("count", ">", 0, data_type=["text", "character varying*"])) == "w"
    assert breached(ask("count", ">", 0, key_columns=True)) == "vy"
    assert breached(ask("count", ">", 0, key_columns=False)) == "wz"
    assert judged(ask("count", ">", 0, key_columns=True)).not_judged["not applicable"].tolist() == [3]


def test_of_several_thresholds_the_gravest_that_holds_fires() -> None:
    """Each alert has the level and the limit of its own threshold."""
    content = {"metric": "count", "condition": ">=", "thresholds": {"Info": 1, "High": 400, "Warning": 2}}
    found = judged(content).breaches.sort("column")
    assert found.select("column", "level", "threshold").rows() == [
        ("v", "Info", ">= 1"),
        ("w", "Warning", ">= 2"),
        ("y", "Warning", ">= 2"),
        ("z", "High", ">= 400"),
    ]
    kept = {"metric": "count", "condition": "between", "thresholds": {"High": [1, 99], "Warning": [2, 4]}}
    found = judged(kept, condition_trigger="returnFalse").breaches.sort("column")
    assert found.select("column", "level", "threshold").rows() == [
        ("v", "Warning", "not between 2 and 4"),
        ("z", "High", "not between 1 and 99"),
    ]


def test_rules_that_differ_in_thresholds_only_are_judged_together() -> None:
    """Each by its own."""
    contents = [{"metric": "count", "condition": ">", "thresholds": {"High": n, "Info": n - 2}} for n in (2, 4)]
    found = book(*contents)
    assert len({one.shape for one in found.checks}) == 1
    named = [rule._replace(column=name) for rule, name in zip(found.rules, "yz", strict=True)]
    judgement = pack.judge.judge(named, [], {"column": pack.relations.Objects(COLUMNS)})
    levels = judgement.breaches.sort("column").select("column", "level", "threshold").rows()
    assert levels == [("y", "High", "> 2"), ("z", "High", "> 4")]


def test_limits_that_tell_a_value_are_hidden() -> None:
    """A range of one value, a list; not a range of several, nor what is quotable."""

    def limits(content: dict[str, Any]) -> set[Any]:
        return set(judged(content).breaches["threshold"])

    assert limits(ask("mean", "between", [73.5, 73.5])) == {None}
    assert limits(ask("mean", "in", [73.5])) == {None}
    assert limits(ask("mean", "between", [73, 74])) == {"between 73 and 74"}
    assert limits(ask("mean", "is null")) == {"is null"}
    assert limits(ask("count", "in", [*range(20)])) == {"in 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 10 more"}


BIGINTS = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-5, 5))
LIMITS = st.one_of(BIGINTS, st.integers(-(10**25), 10**25), st.floats(-5, 5))


@given(st.lists(BIGINTS, min_size=1), LIMITS, LIMITS)
def test_bigints_are_in_a_range_or_list_exactly_as_python_says(values: list[int], one: float, other: float) -> None:
    """Ends belong to a range."""
    low, high = sorted((one, other))
    metrics = pl.Series(values, dtype=pl.Int64)
    expected = {
        "between": ([low, high], [low <= value <= high for value in values]),
        "in": ([one, other], [value in (one, other) for value in values]),
    }
    for operator, (limits, held) in expected.items():
        for written, wanted in ((operator, held), (f"not {operator}", [not each for each in held])):
            parsed = pack.conditions.parse("column", "count", METRICS["column", "count"], written, limits)
            found = pack.conditions.holds(metrics, parsed.compared, parsed.bounds, parsed.listed)
            assert found.tolist() == wanted


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (ask("count", "between", 3), "must be a list"),
        (ask("count", "between", [1]), "two values"),
        (ask("count", "between", [2, 1]), "must not be greater"),
        (ask("count", "between", [1, "x"]), "must be a number"),
        (ask("count", "in", []), "1 to 10000 values"),
        (ask("count", "in", [[1]]), "not a single value"),
        (ask("count", "in", [math.inf]), "must be a number"),
        (ask("is_key", "between", [True, True]), "only with =="),
        (ask("count", "like", "4*"), "needs a metric that is a text"),
        (ask("mean", "is null", 3), "takes no conditionValue"),
        (ask("step", "is null"), "follows from others"),
        (ask("mean", "is null", baseline=True), "baseline cannot ask for null"),
        (ask("count", "resembles", 3), "condition must be one of ==, "),
        (ask("count", ">", 3, thresholds={"High": 3}), "both conditionValue and thresholds"),
        (ask("count", ">", thresholds={}), "thresholds must be an object with some of High, Warning, Info"),
        (ask("count", ">", thresholds={"Fatal": 1}), "thresholds must be an object with some of High, Warning, Info"),
        (ask("count", ">", thresholds={"High": "much"}), "must be a number"),
        (ask("count", ">", 3, key_columns="yes"), "key_columns must be true or false"),
        (ask("count", ">", 3, data_type=[]), "1 to 10000 values"),
        ({"metric": "rows_count", "condition": ">", "conditionValue": 3, "data_type": "int*"}, "cannot name a metric"),
        (ask("count", ">", 3, **{"except": ["tmp"]}), "except must be a list of objects with some of table, column"),
        (ask("count", ">", 3, **{"except": [{}]}), "except must be a list of objects"),
        (ask("count", ">", 3, **{"except": [{"colum": "x"}]}), "except must be a list of objects"),
        (ask("count", ">", 3, **{"except": [{"column": 1}]}), "patterns, which are texts"),
        (ask("count", ">", 3, **{"except": {"table": "*"}}), "set enabled to false"),
    ],
)
def test_what_makes_no_sense_is_an_error_of_its_rule(content: dict[str, Any], said: str) -> None:
    """Which says what is wrong; the other rules are judged."""
    scope = "table" if content["metric"] == "rows_count" else "column"
    found = book(content, ask("count", ">", 3), condition_scope=scope, alert_scope=scope)
    assert said in found.errors[1]
    assert 2 not in found.errors or scope == "table"


def test_a_rule_does_not_cover_its_exceptions() -> None:
    """They are left to the others of its family."""
    assert breached(ask("count", ">", 0, **{"except": {"table": "a"}})) == "yz"
    assert breached(ask("count", ">", 0, **{"except": [{"table": "a", "column": "v"}, {"column": "[zy]"}]})) == "wyz"
    assert breached(ask("count", ">", 0, **{"except": [{"column": "v"}]}), column="v") == ""
    family = book(ask("count", ">", 0), ask("count", ">", 400, **{"except": [{"column": "y"}]}), rule_name="same")
    patterns = [family.rules[0], family.rules[1]._replace(table="b")]
    judgement = pack.judge.judge(patterns, [], {"column": pack.relations.Objects(COLUMNS)})
    assert sorted(judgement.breaches.select("rule", "column").rows()) == [(0, "v"), (0, "w"), (0, "y"), (1, "z")]


@pytest.mark.parametrize(
    ("endpoint", "database", "without", "is_here"),
    [
        ("", "", None, True),
        ("heart:*", "", None, True),
        ("heart:*", "lungs", None, False),
        ("*:postgres:*", "h?art", None, True),
        ("Heart:*", "", None, False),
        ("", "he*", None, True),
        ("", "lungs*", None, False),
        (PLACE.slug, "lungs", None, True),
        ("", "", {"database": "heart"}, False),
        ("", "", {"endpoint": "*:mysql:*"}, True),
        ("", "", {"endpoint": "*:postgres:*"}, False),
        ("", "", {"endpoint": "*:postgres:*", "table": "tmp_*"}, True),
    ],
)
def test_patterns_choose_endpoints_and_databases(endpoint: str, database: str, without: Any, *, is_here: bool) -> None:
    """A rule that does not cover the endpoint is no error."""
    content = ask("count", ">", 3) | ({"except": without} if without else {})
    found = book(content, place=PLACE, endpoint=endpoint, database=database)
    assert (len(found.rules), found.errors, found.missing) == (int(is_here), {}, {})


def test_exceptions_of_other_endpoints_do_not_count() -> None:
    """Those of this one do."""
    content = ask(
        "count", ">", 3, **{"except": [{"endpoint": "lungs:*", "table": "a"}, {"database": "h*", "column": "x"}]}
    )
    (rule,) = book(content, place=PLACE).rules
    assert [(one.table, one.column) for one in rule.check.except_] == [("*", "x")]


def test_a_name_of_an_endpoint_is_more_specific_than_a_pattern() -> None:
    """And a longer pattern more than a shorter one."""
    endpoints = ["", "*", "heart:*", PLACE.slug]
    rows = [
        {
            **ROW,
            "id_rule": n,
            "rule_content": '{"metric": "count", "condition": ">", "conditionValue": 0}',
            "endpoint": one,
        }
        for n, one in enumerate(reversed(endpoints), 1)
    ]
    for count in range(1, len(rows) + 1):
        found = pack.rules.Parser(METRICS, {}, place=PLACE).book(pl.DataFrame(rows[-count:]))
        judgement = pack.judge.judge(found.rules, [], {"column": pack.relations.Objects(COLUMNS)})
        assert judgement.breached.tolist() == [4] + [0] * (count - 1)
