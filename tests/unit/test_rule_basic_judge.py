"""Outcomes and alerts of rule pack basic, on made-up metrics."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.pack_modules import load

MODULES = ("transfer", "relations", "conditions", "checks", "rules", "families", "wording", "judge", "alerts")
pack = load(MODULES, "rule-packs/basic")
Metric = pack.relations.Metric
METRICS = {
    ("column", "count"): Metric("number", "metric_basic", is_quotable=True, dtype=pl.Int64),
    ("column", "delta_count"): Metric("number", "metric_basic", is_quotable=True, dtype=pl.Int64),
    ("column", "evol_count"): Metric("number", "metric_basic", is_quotable=True),
    ("column", "share"): Metric("number", "metric_basic", is_quotable=True),
    ("column", "is_key"): Metric("boolean", "metric_basic", is_quotable=True, dtype=pl.Int8),
    ("column", "last"): Metric("date", "metric_basic", is_quotable=True, dtype=pl.Int64),
    ("column", "mean"): Metric("number", "metric_basic"),
    ("pair", "greater_count"): Metric("number", "metric_basic_pair", is_quotable=True, dtype=pl.Int64),
    ("foreign_key", "orphans"): Metric("number", "metric_basic_foreign_key", is_quotable=True, dtype=pl.Int64),
    ("level", "frequency"): Metric("number", "metric_basic_levels", is_quotable=True, dtype=pl.Int64),
}
NAN, INFINITY, EVER = float("nan"), float("inf"), 2**63 - 1
COLUMNS = pl.DataFrame(
    {
        "dbversion": "1.0",
        "table": ["a", "a", "a", "b", "b"],
        "column": ["x", "y", "z", "x", "y"],
        "count": [1, 2, None, 4, 5],
        "delta_count": [0, -1, None, 2, None],
        "share": [0.5, NAN, INFINITY, 100.0, None],
        "is_key": pl.Series([1, 0, None, 1, 0], dtype=pl.Int8),
        "last": [0, 86_400_000_000, EVER, -EVER, None],
        "mean": [71.5, 72.5, 73.5, 74.5, 75.5],
    }
)


def rules(*contents: Any, **columns: Any) -> list[Any]:
    """One rule per content."""
    common = {
        "enabled": 1,
        "rule_type": "conditionnelle",
        "alert_level": "High",
        "alert_class": "METRIQUE",
        "alert_message": "Look",
        "alert_scope": "column",
        "condition_trigger": "returnTrue",
        "condition_scope": "column",
        "endpoint": "",
        "database": "",
        "table": "*",
        "column": "*",
        "cause": "",
        "yields_to": "",
        **columns,
    }
    rows = [
        {**common, "id_rule": 10 + n, "rule_name": f"r{n}", "rule_content": json.dumps(content)}
        for n, content in enumerate(contents)
    ]
    book = pack.rules.Parser(METRICS, {}).book(pl.DataFrame(rows))
    assert book.errors == {}
    return list(book.rules)


def ask(metric: str, condition: str, value: Any, **more: Any) -> dict[str, Any]:
    return {"metric": metric, "condition": condition, "conditionValue": value, **more}


def judge(found: list[Any], usual: Any = None, **objects: pl.DataFrame) -> Any:
    by_kind = {of: pack.relations.Objects(frame) for of, frame in (objects or {"column": COLUMNS}).items()}
    return pack.judge.judge(found, [], by_kind, usual)


def alerts(judgement: Any) -> list[dict[str, Any]]:
    return [row for frame in pack.alerts.alerts(judgement) for row in frame.to_dicts()]


def messages(*contents: Any, **objects: pl.DataFrame) -> list[str]:
    return [alert["alert_message"] for alert in alerts(judge(rules(*contents), **objects))]


@pytest.mark.parametrize(
    ("metric", "condition", "value", "shown"),
    [
        ("count", ">", 3, ["count = 4", "count = 5"]),
        ("share", ">", 99, ["share = inf", "share = 100"]),
        ("share", "!=", 100, ["share = 0.5", "share = nan", "share = inf"]),
        ("is_key", "==", True, ["is_key = true", "is_key = true"]),
        ("last", "<", "1970-01-01", ["last = -infinity"]),
        ("last", ">", "1970-01-01", ["last = 1970-01-02 00:00:00", "last = infinity"]),
        ("mean", ">", 74, ["mean", "mean"]),
    ],
)
def test_messages_show_the_metric_unless_it_may_be_a_value(
    metric: str, condition: str, value: Any, shown: list[str]
) -> None:
    """In the form of its kind."""
    assert messages(ask(metric, condition, value)) == [f"Look: {one}" for one in shown]


def test_alerts_carry_observed_and_former_value_and_threshold() -> None:
    """The former value only if it was compared; none of what may be a patient's."""
    found = alerts(judge(rules(ask("count", ">", 3), ask("mean", ">=", 75.5))))
    values = [(one["table"], one["column"], one["observed"], one["former"], one["threshold"]) for one in found]
    assert values == [("b", "x", "4", "2", "> 3"), ("b", "y", "5", None, "> 3"), ("b", "y", None, None, ">= 75.5")]
    (alert,) = alerts(judge(rules(ask("count", "!=", 1), alert_scope="all")))
    assert (alert["observed"], alert["former"], alert["threshold"]) == (None, None, "!= 1")
    (inverted, *_) = alerts(judge(rules(ask("count", ">", 1), condition_trigger="returnFalse")))
    assert (inverted["observed"], inverted["threshold"]) == ("1", "not > 1")


@pytest.mark.parametrize(
    ("metric", "condition", "trigger", "threshold"),
    [
        ("mean", "==", "returnTrue", None),
        ("mean", "!=", "returnFalse", None),
        ("mean", "!=", "returnTrue", "!= 75.5"),
        ("count", "==", "returnTrue", "== 5"),
    ],
)
def test_a_threshold_that_a_value_is_equal_to_is_not_told(
    metric: str, condition: str, trigger: str, threshold: str | None
) -> None:
    """It would be the value of a patient."""
    value = 5 if metric == "count" else 75.5
    found = alerts(judge(rules(ask(metric, condition, value), condition_trigger=trigger)))
    assert {one["threshold"] for one in found} == {threshold}


def test_an_alert_of_scope_table_is_on_its_only_column_or_names_several() -> None:
    """Up to five."""
    found = alerts(judge(rules(ask("count", ">", 1), alert_scope="table")))
    assert [(one["table"], one["column"], one["alert_message"]) for one in found] == [
        ("a", "y", "Look: count = 2"),
        ("b", None, "Look: x, y"),
    ]
    wide = pl.DataFrame({"dbversion": "1", "table": "w", "column": [f"c{n}" for n in range(7)], "count": range(7)})
    wide = wide.with_columns(pl.lit(None, pl.Int64).alias("delta_count"))
    (alert,) = alerts(judge(rules(ask("count", ">=", 0), alert_scope="table"), column=wide))
    assert alert["alert_message"] == "Look: c0, c1, c2, c3, c4 and 2 more"


def test_objects_with_more_than_a_column_are_told_without_values_from_the_data() -> None:
    """Of several in one column there is one alert; the value of a level is nowhere."""
    place = {"dbversion": "1", "table": "t"}
    pairs = pl.DataFrame({**place, "column": "start", "other_column": ["end", "paid"], "greater_count": [7, 0]})
    content = ask("greater_count", ">", 0)
    assert messages(content, pair=pairs) == ["Look: greater_count = 7"]
    keys = pl.DataFrame({**place, "column": "ward", "parent_table": ["wards"], "parent_column": "id", "orphans": [3]})
    assert messages(ask("orphans", ">", 0), foreign_key=keys) == ["Look: now 3; they refer to wards.id"]
    levels = pl.DataFrame(
        {**place, "column": ["sex", "sex", "ward"], "value": ["f", "m", "heart"], "frequency": [9, 8, 5]}
    )
    found = alerts(judge(rules(ask("frequency", ">", 0)), level=levels))
    assert [(one["column"], one["alert_message"]) for one in found] == [
        ("sex", "Look: sex"),
        ("ward", "Look: frequency = 5"),
    ]


def test_breaches_say_which_other_column_is_concerned() -> None:
    """So that a fault there can explain them."""
    keys = pl.DataFrame(
        {"dbversion": "1", "table": "t", "column": "w", "parent_table": ["p"], "parent_column": "id", "orphans": [3]}
    )
    (breach,) = judge(rules(ask("orphans", ">", 0)), foreign_key=keys).breaches.to_dicts()
    assert (breach["rule"], breach["table"], breach["column"]) == (0, "t", "w")
    assert (breach["other_table"], breach["other_column"]) == ("p", "id")


@pytest.mark.parametrize("scope", ["column", "table", "database"])
def test_blocks_do_not_divide_alerts(scope: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However small they are."""
    found = rules(*(ask("count", ">", value) for value in range(4)), alert_scope=scope)
    whole = alerts(judge(found))
    for size in (1, 2, 3):
        monkeypatch.setattr(pack.alerts, "BLOCK", size)
        assert alerts(judge(found)) == whole


def test_each_outcome_is_counted_and_an_explained_breach_raises_no_alert() -> None:
    """Outcomes add up to the objects."""
    found = judge(rules(ask("count", ">", 3, where=ask("share", "<", 101)), ask("count", ">", 9)))
    assert (found.ok.tolist(), found.breached.tolist()) == ([1, 4], [1, 0])
    assert found.not_judged["not applicable"].tolist() == [3, 0]
    assert found.not_judged["no value"].tolist() == [0, 1]
    explained = found.without(pl.Series([True]))
    assert (explained.breached.tolist(), explained.explained.tolist()) == ([1, 0], [1, 0])
    assert alerts(explained) == []
    assert found.covers_nothing.tolist() == [False, False]
    nowhere = rules(ask("count", ">", 3), table="nowhere")
    assert judge(nowhere).covers_nothing.tolist() == [True]


def test_usual_values_are_asked_for_once_and_described_if_unusual() -> None:
    """The plug: it gets the rule and the metric of each object that has one."""
    asked = []

    def usual(check: Any, id_rules: Any, objects: pl.DataFrame) -> Any:
        asked.append((check.metric, id_rules.tolist(), objects["table"].to_list(), objects["count"].to_list()))
        words = pl.DataFrame(
            {"observed": ["4"], "former": ["2"], "threshold": ["1 to 3"], "detail": ["count = 4; ..."]}
        )
        return SimpleNamespace(
            outcome=np.array([0, 2, 1, 0], np.int8), described=lambda places, _: words[: len(places)]
        )

    found = judge(rules({"metric": "count", "usual": True}), usual)
    assert asked == [("count", [10] * 4, ["a", "a", "b", "b"], [1, 2, 4, 5])]
    assert (found.ok.tolist(), found.breached.tolist()) == ([2], [1])
    assert {reason: counts.tolist() for reason, counts in found.not_judged.items()} == {
        "no value": [1],
        "no history": [1],
        "not applicable": [0],
        "unknown": [0],
    }
    (alert,) = alerts(found)
    assert (alert["table"], alert["column"], alert["alert_message"]) == ("b", "x", "Look: count = 4; ...")
    assert (alert["observed"], alert["former"], alert["threshold"]) == ("4", "2", "1 to 3")


def test_without_history_usual_values_are_not_judged() -> None:
    """Neither ok nor in breach."""
    found = judge(rules({"metric": "count", "usual": "low"}))
    assert found.not_judged["no history"].tolist() == [4]
    assert (found.ok.tolist(), found.breached.tolist()) == ([0], [0])


@pytest.mark.parametrize("place", [{"table": "*"}, {"table": "b", "column": "x"}])
def test_a_rule_that_fails_while_others_are_judged_with_it_fails_alone(place: dict[str, str]) -> None:
    """And leaves neither counts nor breaches."""

    def usual(check: Any, id_rules: Any, objects: pl.DataFrame) -> Any:
        if 11 in id_rules:
            raise ZeroDivisionError
        words = dict.fromkeys(("observed", "former", "threshold", "detail"), "?")
        count = objects.height
        return SimpleNamespace(outcome=np.ones(count, np.int8), described=lambda _, __: pl.DataFrame([words] * count))

    content = {"metric": "count", "usual": True}
    found = judge(rules(content, content, content, ask("count", ">", 3), **place), usual)
    assert found.errors == {1: "unexpected error: ZeroDivisionError"}
    assert (found.breached > 0).tolist() == [True, False, True, True]
    assert set(found.breaches["rule"]) == {0, 2, 3}
    assert not found.covers_nothing.any()
