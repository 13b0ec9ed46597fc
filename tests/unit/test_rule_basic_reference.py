"""The shipped rules and derived metrics: consistent, and as the reference lists them.

`.venv/bin/python -m tests.unit.test_rule_basic_reference` rewrites the reference.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.unit.rule_basic_harness import pack

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "rule-pack-basic.md"
SHIPPED: list[dict[str, Any]] = [
    {
        "name": row["rule_name"],
        "level": row["alert_level"],
        "message": row["alert_message"],
        "cause": row["cause"],
        "yields_to": row["yields_to"],
        "content": json.loads(row["rule_content"]),
    }
    for row in pack.generator.shipped()
]
METRICS = pack.derived.METRICS
CLASSES = {rule["cause"] for rule in SHIPPED}
SIGNS = {"==": "=", "!=": "≠", "<=": "≤", ">=": "≥"}


def derived_table() -> str:
    """One row per derived metric."""
    rows = [
        f"| `{of}` | `{name}` | {one.unit or 'true or false'} | {one.about} |"
        for (of, name), one in sorted(METRICS.items())
    ]
    return "\n".join(["| `of` | metric | unit | what it is |", "|---|---|---|---|", *rows])


def rules_table() -> str:
    """One row per shipped rule."""
    rows = [
        f"| {rule['name']} | {rule['level']} | {_asked(rule['content'])} | {rule['cause']} | {rule['yields_to']} |"
        for rule in SHIPPED
    ]
    return "\n".join(["| rule | level | alert if | class | yields to |", "|---|---|---|---|---|", *rows])


def _asked(content: dict[str, Any]) -> str:
    if "usual" in content:
        law = content["usual"]
        limits = ", ".join(f"{name} {law[name]}" for name in ("floor", "percent", "limit") if name in law)
        sides = {"low": "unusually low", "high": "unusually high", "both": "unusual"}
        text = f"`{content['metric']}` is {sides[law['side']]} ({limits})"
    else:
        text = _condition(content)
    where = "".join(f"; where {_condition(one)}" for one in content.get("where", []))
    return text + where + ("; a baseline" if content.get("baseline") else "")


def _condition(one: dict[str, Any]) -> str:
    value = json.dumps(one["conditionValue"]).strip('"') or "empty"
    return f"`{one['metric']}` {SIGNS.get(one['condition'], one['condition'])} {value}"


def page() -> str:
    """The reference with both tables."""
    text = PAGE.read_text("utf-8")
    for name, table in (("derived metrics", derived_table()), ("shipped rules", rules_table())):
        begin = f"<!-- generated: {name} -->\n"
        pattern = re.escape(begin) + r".*?(?=<!-- generated: end -->)"
        text, count = re.subn(pattern, lambda _, begin=begin, table=table: f"{begin}{table}\n", text, flags=re.DOTALL)
        assert count == 1, name
    return text


def test_the_reference_lists_all_rules_and_derived_metrics() -> None:
    assert page() == PAGE.read_text("utf-8"), f"run `.venv/bin/python -m {__spec__.name}`"


@pytest.mark.parametrize("rule", SHIPPED, ids=[rule["name"] for rule in SHIPPED])
def test_a_shipped_rule_is_complete(rule: dict[str, Any]) -> None:
    """It has a class, yields only to classes that exist, and names derived metrics that exist."""
    yields_to = [one.strip() for one in rule["yields_to"].split(",") if one.strip()]
    assert rule["level"] in {"High", "Warning", "Info"}
    assert {*yields_to} <= CLASSES - {rule["cause"]}
    assert rule["message"][0].isupper()
    assert not rule["message"].endswith(".")
    for one in (rule["content"], *rule["content"].get("where", [])):
        name = one["metric"]
        if name.startswith(("step_", "new_", "load_", "is_measure", "is_weekend")):
            assert (one.get("of", rule["content"]["of"]), name) in METRICS


def test_classes_do_not_explain_each_other_in_a_circle() -> None:
    yields: dict[str, set[str]] = {}
    for rule in SHIPPED:
        yields.setdefault(rule["cause"], set()).update({one.strip() for one in rule["yields_to"].split(",")} - {""})
    for cause, others in yields.items():
        for other in others:
            assert cause not in yields[other], (cause, other)


def test_names_are_unique() -> None:
    assert len({rule["name"] for rule in SHIPPED}) == len(SHIPPED)


def test_every_derived_metric_is_judged_or_a_condition() -> None:
    """A metric that no rule names would be computed for nobody."""
    named = {(rule["content"]["of"], rule["content"]["metric"]) for rule in SHIPPED}
    named |= {(rule["content"]["of"], one["metric"]) for rule in SHIPPED for one in rule["content"].get("where", [])}
    assert METRICS.keys() - named == set()


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
