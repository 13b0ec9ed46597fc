"""Rule pack basic against plain SQL, one rule and one object at a time."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from psycopg import sql

from tests.integration.pack_harness import Base, Row, postgres_endpoint

if TYPE_CHECKING:
    from pathlib import Path

    from demo.services import Database

TODAY, EARLIER = "2026-01-31", "2026-01-30"
TABLES = ("visits", "visit_details", "lab.results", "a\\b", "día", "line\nbreak", "tab\there", "Visits", "x.y")
COLUMNS = ("id", "visit_id", "Id", "value", "col umn", "nöme", "\\N", 'quote"d', "*", "v?")
PATTERNS = (
    "*",
    "*",
    "visit*",
    "*id",
    "?d",
    "*.*",
    "V*",
    "*s",
    "v*_*",
    "lab.results",
    "id",
    "value",
    "*\n*",
    "a\\b",
    "[a]*",
)
VALUES: dict[str, tuple[Any, ...]] = {
    "value_counts": (None, 0, 1, 4, 5, 10, 2**53 + 1, 2**63 - 1, -(2**63)),
    "na_values": (None, 0, 5, 6, 7),
    "levels_count": (None, 3, 5),
    "percent_na_values": (None, 0.0, 0.1, 5.0, 99.99999999999999, 100.0, float("inf")),
    "max_num_var": (None, -0.0, 5.0, 1e300, float("inf"), float("-inf"), float("nan"), 5e-324),
    "is_key": (None, True, False),
    "infered_data_type": (None, "", "text", "Text", "float", "\\N", "fl\to\nat", "été"),
    "min_date_var": (
        None,
        "0001-01-01",
        "1850-06-07 08:09:10.123456",
        "2026-01-31",
        "infinity",
        "-infinity",
        "0044-03-15 BC",
    ),
}
LIMITS: dict[str, tuple[Any, ...]] = {
    "value_counts": (0, 5, "5", 4.5, -0.5, 2**53 + 1, 1e19, -1e19, 10**20, 2**63 - 1, "-9223372036854775808"),
    "na_values": (0, 5, 7.0, "6.999"),
    "levels_count": (3, "3", 4),
    "percent_na_values": (0, 0.1, 5, "100", 1e308),
    "max_num_var": (0, 5, "1e300", -1e308, 5e-324),
    "is_key": (True, False, "true", "0"),
    "infered_data_type": ("", "text", " float ", "\\N", "z", "été"),
    "min_date_var": ("1850-06-07", "1850-06-07T08:09:10.123456", "2026-01-31", "0001-01-01"),
}
OPERATORS = {"==": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
TYPES = {"is_key": "boolean", "infered_data_type": "text", "min_date_var": "timestamp"}
BIGINTS = ("value_counts", "na_values", "levels_count")


@pytest.fixture
def base(database: Database, tmp_path: Path) -> Base:
    """An HDM base with an endpoint that nothing has measured yet."""
    made = Base(database, tmp_path)
    made.endpoints = [postgres_endpoint(database, config={"generate": False})]
    return made


def write_metrics(base: Base, chance: random.Random) -> list[Row]:
    """The metrics of some tables, with all kinds of values; the same objects have other values the day before."""
    endpoint = base.endpoints[0]
    names = ["endpoint", "database", "dbversion", "table", "column", "date", *VALUES]
    rows = [
        [endpoint["slug"], endpoint["database"], "1.0", table, column, date, *map(chance.choice, VALUES.values())]
        for table in TABLES
        for column in COLUMNS
        if chance.random() < 0.8
        for date in (TODAY, EARLIER)
    ]
    with base.database.connect() as connection:
        statement = sql.SQL("INSERT INTO metric_basic ({}) VALUES ({})").format(
            sql.SQL(", ").join(map(sql.Identifier, names)), sql.SQL(", ").join([sql.Placeholder()] * len(names))
        )
        connection.cursor().executemany(statement, rows)
    return [dict(zip(names, row, strict=True)) for row in rows if row[5] == TODAY]


def condition(chance: random.Random) -> Row:
    metric = chance.choice(list(VALUES))
    operator = chance.choice(["==", "!="] if metric == "is_key" else list(OPERATORS))
    return {"metric": metric, "condition": operator, "conditionValue": chance.choice(LIMITS[metric])}


def write_rules(base: Base, chance: random.Random, count: int) -> list[Row]:
    """Rules of a few families: names and patterns, of the endpoint, of its database, of all; some are disabled."""
    endpoint = base.endpoints[0]
    rules: dict[tuple[str, ...], Row] = {}
    while len(rules) < count:
        content = condition(chance)
        further = [condition(chance) for _ in range(chance.choice((0, 0, 0, 1, 2)))]
        if further:
            content["where"] = further[0] if len(further) == 1 else further
        scope = chance.choice(("all", "database", "table", "column", "column", "column"))
        row = {
            "rule_name": chance.choice(("a", "b", "c", f"own {len(rules)}")),
            "rule_content": json.dumps(content),
            "alert_message": "Look",
            "alert_scope": "column",
            "condition_scope": scope,
            "condition_trigger": chance.choice(("returnTrue", "returnTrue", "returnFalse")),
            "endpoint": chance.choice(("", "", endpoint["slug"], "other")),
            "database": chance.choice(("", "", endpoint["database"], "elsewhere")),
            "table": chance.choice(TABLES + PATTERNS),
            "column": chance.choice(COLUMNS + PATTERNS),
            "enabled": chance.random() < 0.85,
        }
        rules.setdefault(tuple(row[key] for key in ("endpoint", "database", "table", "column", "rule_name")), row)
    names = list(row)
    with base.database.connect() as connection:
        statement = sql.SQL("INSERT INTO rule_basic ({}) VALUES ({}) RETURNING id_rule").format(
            sql.SQL(", ").join(map(sql.Identifier, names)), sql.SQL(", ").join([sql.Placeholder()] * len(names))
        )
        for rule in rules.values():
            rule["id_rule"] = connection.execute(statement, list(rule.values())).fetchone()[0]
    return list(rules.values())


class Oracle:
    """Judges one rule and one object at a time: matching in Python, conditions in SQL."""

    def __init__(self, base: Base, rules: list[Row]) -> None:
        self.base, self.endpoint = base, base.endpoints[0]
        self.rules = [rule for rule in rules if self._is_about_endpoint(rule)]

    def outcomes(self, objects: list[Row]) -> dict[tuple[int, str, str], str]:
        """The outcome of each enabled rule on each object that it judges."""
        found = {}
        with self.base.database.connect() as connection:
            for one in objects:
                for rule in self._applying(one):
                    found[rule["id_rule"], one["table"], one["column"]] = self._outcome(connection, rule, one)
        return found

    def _is_about_endpoint(self, rule: Row) -> bool:
        if rule["endpoint"]:
            return bool(rule["endpoint"] == self.endpoint["slug"])
        return rule["database"] in {"", self.endpoint["database"]} or rule["condition_scope"] == "all"

    def _applying(self, one: Row) -> list[Row]:
        families: dict[str, list[Row]] = {}
        for rule in self.rules:
            table, column = places(rule)
            if matches(table, one["table"]) and matches(column, one["column"]):
                families.setdefault(rule["rule_name"], []).append(rule)
        best = [max(family, key=rank) for family in families.values()]
        return [rule for rule in best if rule["enabled"]]

    def _outcome(self, connection: Any, rule: Row, one: Row) -> str:
        content = json.loads(rule["rule_content"])
        where = content.get("where", [])
        for further in [where] if isinstance(where, dict) else where:
            if self._holds(connection, further, one) is not True:
                return "not applicable"
        holds = self._holds(connection, content, one)
        if holds is None:
            return "no value"
        return "breached" if holds is (rule["condition_trigger"] == "returnTrue") else "ok"

    def _holds(self, connection: Any, content: Row, one: Row) -> bool | None:
        metric, value = content["metric"], str(content["conditionValue"]).strip()
        kind = "numeric" if metric in BIGINTS else TYPES.get(metric, "float8")
        compared = sql.SQL("m.{}::{} {} %s::{}").format(
            sql.Identifier(metric), sql.SQL(kind), sql.SQL(OPERATORS[content["condition"]]), sql.SQL(kind)
        )
        if kind == "text":
            compared += sql.SQL(' COLLATE "C"')
        if kind == "float8":  # unlike in SQL, NaN differs from everything, and is neither less nor greater
            nan = sql.SQL("CASE WHEN m.{} = 'NaN' THEN {} ELSE {} END")
            compared = nan.format(sql.Identifier(metric), sql.Literal(content["condition"] == "!="), compared)
        statement = sql.SQL(
            'SELECT {} FROM metric_basic m WHERE endpoint = %s AND "date" = %s AND "table" = %s AND "column" = %s'
            " AND m.{} IS NOT NULL"
        ).format(compared, sql.Identifier(metric))
        values = [value, one["endpoint"], one["date"], one["table"], one["column"]]
        row = connection.execute(statement, values).fetchone()
        return None if row is None else row[0]


def places(rule: Row) -> tuple[str, str]:
    scope = rule["condition_scope"]
    return {"table": (rule["table"], "*"), "column": (rule["table"], rule["column"])}.get(scope, ("*", "*"))


def matches(pattern: str, name: str) -> bool:
    """Shell style, by recursion, without regular expressions."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(matches(pattern[1:], name[start:]) for start in range(len(name) + 1))
    return bool(name) and pattern[0] in {"?", name[0]} and matches(pattern[1:], name[1:])


def rank(rule: Row) -> tuple[Any, ...]:
    table, column = places(rule)
    exact = [not set(pattern) & {"*", "?"} for pattern in (column, table)]
    length = sum(one not in "*?" for one in table + column)
    return (rule["endpoint"] != "", rule["database"] != "", *exact, length, rule["id_rule"])


@pytest.mark.parametrize("seed", range(4))
def test_outcomes_are_those_of_one_sql_query_per_rule_and_object(base: Base, seed: int) -> None:
    """Alerts on the same objects, the same counts, and nothing of another date, endpoint or database."""
    chance = random.Random(seed)  # noqa: S311  # no secret
    objects = write_metrics(base, chance)
    rules = write_rules(base, chance, 160)
    expected = Oracle(base, rules).outcomes(objects)
    run = base.judge(TODAY)
    assert run.only()["status"] == "ok", run.output
    found = {(int(alert["rule_id"]), alert["table"], alert["column"]) for alert in base.alerts(TODAY)}
    assert found == {key for key, outcome in expected.items() if outcome == "breached"} != set()
    counts: dict[int, Counter[str]] = {}
    for (id_rule, _, _), outcome in expected.items():
        counts.setdefault(id_rule, Counter())[outcome] += 1
    stored = {row["id_rule"]: row for row in base.rows("SELECT * FROM rule_basic_result")}
    about = {rule["id_rule"] for rule in Oracle(base, rules).rules if rule["enabled"]}
    assert stored.keys() == about
    for id_rule, row in stored.items():
        count = counts.get(id_rule, Counter())
        reasons = {name: count[name] for name in ("no value", "not applicable") if count[name]}
        assert (row["ok"], row["breached"]) == (count["ok"], count["breached"]), id_rule
        assert row["reasons"] == (reasons if count else {"covers nothing": 1})
        assert row["not_judged"] == sum(reasons.values())
    assert base.rows("SELECT FROM hdm_not_judged WHERE kind = 'error'") == []
