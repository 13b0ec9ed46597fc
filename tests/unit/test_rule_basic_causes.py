"""One fault is one alert: which breach explains which."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.unit.rule_basic_harness import pack, rule

SCHEMA, ROWS, NULLS, VALUES, REFERENCES = range(5)
RULES = [
    rule(1, "table", level="High"),
    rule(2, "rows", "table", level="High"),
    rule(3, "nulls", "table,rows", level="High"),
    rule(4, "values", "table,rows,nulls"),
    rule(5, "references", "table,rows,nulls"),
]


def breaches(*found: tuple[Any, ...]) -> pl.DataFrame:
    """Rows of rule, table, column, other_table, other_column."""
    rows = [
        (number, "0.0", *place, *[None] * (4 - len(place)), "9", "1", "> 2", "words", None) for number, *place in found
    ]
    return pl.DataFrame(rows, schema=pack.judge.BREACHES, orient="row")


def explained_by(*found: tuple[Any, ...]) -> list[int | None]:
    """Which explains each."""
    answer: list[int | None] = pack.causes.explain(breaches(*found), RULES).to_list()
    return answer


def test_nothing_explains_nothing() -> None:
    assert explained_by() == []
    assert explained_by((VALUES, "stays", "age")) == [None]


def test_an_emptied_column_is_not_also_a_changed_mean() -> None:
    assert explained_by((VALUES, "stays", "age"), (NULLS, "stays", "age")) == [1, None]


def test_another_column_or_table_explains_nothing() -> None:
    found = ((VALUES, "stays", "age"), (NULLS, "stays", "ward"), (NULLS, "visits", "age"))
    assert explained_by(*found) == [None, None, None]


def test_what_is_said_of_a_table_explains_its_columns() -> None:
    found = ((ROWS, "stays", None), (NULLS, "stays", "age"), (VALUES, "stays", "cost"), (VALUES, "visits", "cost"))
    assert explained_by(*found) == [None, 0, 0, None]


def test_columns_do_not_explain_a_class_that_does_not_yield_to_theirs() -> None:
    assert explained_by((ROWS, "stays", None), (VALUES, "stays", "age")) == [None, 0]


@pytest.mark.parametrize(
    ("place", "cause"),
    [
        (("stays", "patient_id", "patients", "id"), (ROWS, "patients", None)),
        (("stays", "patient_id", "patients", "id"), (NULLS, "patients", "id")),
        (("stays", "patient_id", "patients", "id"), (NULLS, "stays", "patient_id")),
        (("stays", "a, b", "patients", "c, d"), (NULLS, "patients", "d")),
    ],
)
def test_orphans_follow_from_either_end_of_a_foreign_key(place: tuple[str, ...], cause: tuple[Any, ...]) -> None:
    assert explained_by((REFERENCES, *place), cause) == [1, None]


def test_another_column_of_the_parent_does_not_explain_orphans() -> None:
    found = ((REFERENCES, "stays", "patient_id", "patients", "id"), (NULLS, "patients", "name"))
    assert explained_by(*found) == [None, None]


def test_of_one_class_at_one_place_the_gravest_is_the_alert() -> None:
    two = [rule(1, "nulls"), rule(2, "nulls", level="High")]
    found = breaches((0, "stays", "age"), (1, "stays", "age"), (0, "stays", "ward"))
    assert pack.causes.explain(found, two).to_list() == [1, None, None]


def test_an_info_explains_no_alert() -> None:
    two = [rule(1, "nulls", level="Info"), rule(2, "values", "nulls"), rule(3, "levels", "nulls", level="Info")]
    found = breaches((0, "stays", "age"), (1, "stays", "age"), (2, "stays", "age"))
    assert pack.causes.explain(found, two).to_list() == [None, None, 0]


def test_children_of_one_parent_are_one_alert() -> None:
    found = breaches(
        (REFERENCES, "stays", "patient_id", "patients", "id"), (REFERENCES, "visits", "patient_id", "patients", "id")
    )  # fmt: skip
    assert pack.causes.explain(found, RULES).to_list() == [None, 0]


def test_a_child_whose_orphans_have_a_cause_does_not_explain_those_of_another() -> None:
    """Rows of stays are lost; visits refers to the same parent, and nothing else is wrong with it."""
    found = breaches(
        (REFERENCES, "stays", "patient_id", "patients", "id"),
        (REFERENCES, "visits", "patient_id", "patients", "id"),
        (ROWS, "stays", None),
    )  # fmt: skip
    assert pack.causes.explain(found, RULES).to_list() == [2, None, None]
    settled = pack.causes.settled(judgement(found, RULES)).breaches
    assert settled.select("table", "column").rows() == [("visits", "patient_id"), ("stays", None)]


def test_what_explains_graver_breaches_is_as_grave() -> None:
    rules = [rule(1, "rows"), rule(2, "nulls", "rows", level="High")]
    whole = pl.concat(
        pack.alerts.alerts(pack.causes.settled(judgement(breaches((0, "stays"), (1, "stays", "age")), rules)))
    )
    assert whole.select("alert_level", "alert_message").rows() == [("High", "Message 1: words; also changed: age")]


def test_a_breach_may_be_less_than_its_rule_says() -> None:
    """What may be a weekend is an Info: it explains no alert, is explained by one, and shares none."""
    info = pl.col("row").replace_strict({1: "Info"}, default=None).alias("level")
    rules = [rule(1, "rows"), rule(2, "nulls", "rows", level="High"), rule(3, "values")]
    found = breaches((1, "stays", "age"), (0, "stays")).with_row_index("row").with_columns(info).drop("row")
    whole = pl.concat(pack.alerts.alerts(pack.causes.settled(judgement(found, rules))))
    assert sorted(whole.select("alert_level", "rule_id").rows()) == [("High", "2"), ("Info", "1")]
    found = breaches((1, "stays", "age"), (1, "stays", "age")).with_row_index("row").with_columns(info).drop("row")
    assert pack.causes.explain(found, rules).to_list() == [None, 0]
    found = breaches((2, "stays", "age"), (2, "stays", "cost")).with_row_index("row").with_columns(info).drop("row")
    whole = pl.concat(pack.alerts.alerts(pack.causes.settled(judgement(found, rules))))
    assert whole.select("alert_level", "column").rows() == [("Warning", "age"), ("Info", "cost")]


def test_of_many_explained_columns_five_are_named() -> None:
    found = breaches((ROWS, "stays"), *((VALUES, "stays", f"c{number}") for number in range(7)))
    settled = pack.causes.settled(judgement(found, RULES))
    assert settled.breaches["others"].to_list() == ["; also changed: c0, c1, c2, c3, c4 and 2 more"]


def test_rules_without_a_class_explain_nothing() -> None:
    two = [rule(1, ""), rule(2, "", level="High")]
    assert pack.causes.explain(breaches((0, "stays", "age"), (1, "stays", "age")), two).to_list() == [None, None]


def test_explanations_lead_to_what_is_not_explained_itself() -> None:
    chain = [rule(1, "a"), rule(2, "b", "a"), rule(3, "c", "b")]
    found = breaches((2, "stays", "age"), (1, "stays", "age"), (0, "stays", None))
    assert pack.causes.explain(found, chain).to_list() == [2, 2, None]


def test_rules_that_yield_to_each_other_lose_no_alert() -> None:
    circle = [rule(1, "a", "b"), rule(2, "b", "a")]
    found = pack.causes.explain(breaches((0, "stays", "age"), (1, "stays", "age")), circle).to_list()
    assert found == [None, None]


def judgement(found: pl.DataFrame, rules: list[Any]) -> Any:
    """What judge gives for these breaches."""
    zeros = np.zeros(len(rules), np.int64)
    counts = np.bincount(found["rule"].to_numpy(), minlength=len(rules))
    return pack.judge.Judgement(rules, zeros, counts, zeros, {}, found, {})


def test_what_explains_others_says_so_and_they_are_counted() -> None:
    found = breaches(
        (ROWS, "stays", None), (NULLS, "stays", "age"), (VALUES, "stays", "age"), (VALUES, "stays", "cost"),
        (REFERENCES, "visits", "stay_id", "stays", "id"),
    )  # fmt: skip
    settled = pack.causes.settled(judgement(found, RULES))
    assert settled.breaches["others"].to_list() == ["; also changed: age, cost, visits.stay_id"]
    assert settled.explained.tolist() == [0, 0, 1, 2, 1]
    assert settled.breached.tolist() == [0, 1, 1, 2, 1]


def test_what_is_in_the_values_of_one_table_is_one_alert() -> None:
    """Two columns that changed places: codes in one are new, in the other the mean is another."""
    two = [rule(1, "values"), rule(2, "levels"), rule(3, "dates")]
    found = breaches((0, "stays", "age"), (1, "stays", "ward"), (2, "stays", "begin"))
    alerts = pl.concat(pack.alerts.alerts(pack.causes.settled(judgement(found, two))))
    assert sorted(alerts["column"].to_list(), key=str) == [None, "begin"]
    assert "2 columns have changed: age (rule 1), ward (rule 2)" in alerts["alert_message"].to_list()


def test_one_class_in_one_table_is_one_alert() -> None:
    two = [rule(1, "values"), rule(2, "values", level="High")]
    found = breaches((0, "stays", "age"), (1, "stays", "cost"), (0, "visits", "age"))
    settled = pack.causes.settled(judgement(found, two))
    alerts = pl.concat(pack.alerts.alerts(settled)).sort("table")
    assert alerts["table"].to_list() == ["stays", "visits"]
    assert alerts["column"].to_list() == [None, "age"]
    assert alerts["alert_message"][0] == "2 columns have changed: age (rule 1), cost (rule 2)"
    assert alerts["alert_level"].to_list() == ["High", "Warning"]


def alerts_of(rules: list[Any], *found: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """Table, column and message of the alerts."""
    settled = pack.causes.settled(judgement(breaches(*found), rules))
    whole = pl.concat(pack.alerts.alerts(settled))
    return sorted(whole.select("table", "column", "alert_message").rows())


def test_orphans_of_several_children_are_about_the_parent() -> None:
    found = alerts_of(
        [rule(1, "references", of="foreign_key")],
        (0, "stays", "patient_id", "patients", "id"),
        (0, "visits", "patient_id", "patients", "id"),
    )
    assert found == [
        ("patients", "id", "Message 1: in stays.patient_id and 1 more, words; also changed: visits.patient_id")
    ]


def test_orphans_of_one_child_are_about_it() -> None:
    found = alerts_of([rule(1, "references", of="foreign_key")], (0, "stays", "patient_id", "patients", "id"))
    assert found == [("stays", "patient_id", "Message 1: words")]


def test_several_numbers_by_one_column_are_about_it() -> None:
    rules = [rule(1, "values by level", of="number_by_level")]
    found = alerts_of(rules, (0, "labs", "result", None, "unit"), (0, "labs", "upper_limit", None, "unit"))
    assert found == [("labs", "unit", "Message 1: words")]
    assert alerts_of(rules, (0, "labs", "result", None, "unit")) == [("labs", "result", "Message 1: words")]


def test_a_pair_names_both_columns() -> None:
    rules = [rule(1, "pairs", of="pair")]
    found = alerts_of(rules, (0, "stays", "begin", None, "end"))
    assert found == [("stays", None, "Message 1: begin and end, words")]
    both = alerts_of(rules, (0, "stays", "begin", None, "end"), (0, "stays", "begin", None, "noted"))
    assert both == found  # of one place, the first


def test_a_renamed_column_is_no_pair() -> None:
    found = alerts_of([rule(1, "column renamed")], (0, "stays", "ward_new", None, "ward"))
    assert found == [("stays", "ward_new", "Message 1: words")]
