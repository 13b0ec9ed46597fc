"""Rules of type sql: one query each, on the endpoint, read-only and within limits."""

from __future__ import annotations

import base64
import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.pack_harness import Base, mariadb_endpoint, postgres_endpoint, sqlite_endpoint
from tests.integration.store_harness import column, measured, nights

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from demo.services import Database, MariaDB

DATE = "2026-03-02"
ROWS = ["CREATE TABLE stays (id int, age int)", "INSERT INTO stays VALUES (1, 30), (2, 141), (3, 150), (4, NULL)"]


class Place:
    """An endpoint with a table, and a base with one night of it."""

    def __init__(self, base: Base, endpoint: dict[str, Any], counts: Callable[[], int]) -> None:
        self.base, self.counts = base, counts
        self.endpoint = {**endpoint, "config": {"generate": False}}
        self.engine = endpoint["type"].lower().rstrip("3")
        self.names: dict[str, str] = {}
        with nights(base) as made:
            made.slug, made.database = endpoint["slug"], endpoint["database"]
            made.write(DATE, [measured("stays", {"id": column()}, rows=4)])

    def rule(self, content: Any, trigger: str = "returnNotNull", **columns: Any) -> str:
        """Write an sql rule; its number."""
        text = content if isinstance(content, str) else json.dumps(content)
        values = {
            "rule_name": f"rule {len(self.names)}",
            "rule_type": "sql",
            "alert_message": "Look",
            "condition_trigger": trigger,
            "condition_scope": "all",
            "rule_content": text,
            **columns,
        }
        names = ", ".join(f'"{one}"' for one in values)
        marks = ", ".join(["%s"] * len(values))
        (row,) = self.base.rows(
            f"INSERT INTO rule_basic ({names}) VALUES ({marks}) RETURNING id_rule", *values.values()
        )
        self.names[str(row["id_rule"])] = text
        return str(row["id_rule"])

    def judge(self, **config: Any) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
        """The alerts by rule, and why rules were not judged."""
        run = self.base.judge(DATE, {**self.endpoint, "config": {"generate": False, **config}})
        assert run.only()["status"] in {"ok", "partial"}, run.output
        errors = self.base.rows('SELECT rule_id, reason FROM hdm_not_judged WHERE "date" = %s', DATE)
        return {one["rule_id"]: one for one in self.base.alerts(DATE)}, {
            one["rule_id"]: one["reason"] for one in errors
        }


@pytest.fixture(params=["postgres", "mariadb", "sqlite"])
def place(request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> Place:
    """An endpoint of each engine."""
    base = Base(database, tmp_path)
    if request.param == "sqlite":
        path = tmp_path / "ward.db"
        with sqlite3.connect(path) as connection:
            for statement in ROWS:
                connection.execute(statement)
        connection.close()
        return Place(base, sqlite_endpoint(path), lambda: _sqlite_count(path))
    if request.param == "mariadb":
        server: MariaDB = request.getfixturevalue("mariadb")
        name: str = request.getfixturevalue("mariadb_database")
        with server.connect(name, autocommit=True) as connection, connection.cursor() as cursor:
            for statement in ROWS:
                cursor.execute(statement)

        def counted() -> int:
            with server.connect(name) as connection, connection.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM stays")
                return int(cursor.fetchone()[0])

        return Place(base, mariadb_endpoint(server, name), counted)
    for statement in ROWS:
        base.execute(statement)
    return Place(base, postgres_endpoint(database), lambda: int(base.rows("SELECT count(*) AS n FROM stays")[0]["n"]))


def _sqlite_count(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("SELECT count(*) FROM stays").fetchone()[0])
    finally:
        connection.close()


def test_rows_and_numbers_are_judged_as_the_rules_say(place: Place) -> None:
    """Both forms of the text, plain and in base64; the first value is shown only if the rule says so."""
    old = "SELECT id FROM stays WHERE age > 120"
    count = "SELECT count(*) FROM stays WHERE age > 120"
    oldest = {"sql": "SELECT max(age) FROM stays", "condition": ">", "conditionValue": 120}
    levels = {"sql": f"{count} -- more", "condition": ">=", "thresholds": {"High": 3, "Warning": 2}, "show": True}
    rules = {
        "rows": place.rule(old),
        "spaces": place.rule(f"  -- of age\n({old});  ".replace("(", "").replace(")", "")),
        "coded": place.rule(base64.b64encode(f"{old} AND id > 2".encode()).decode()),
        "none": place.rule("SELECT id FROM stays WHERE age > 200", "returnNone"),
        "some": place.rule({"sql": f"{old} AND 1 = 1"}, "returnNone"),
        "sound": place.rule("SELECT id FROM stays WHERE age > 200"),
        "number": place.rule(oldest, "returnTrue"),
        "levels": place.rule(levels, "returnTrue"),
        "false": place.rule({**oldest, "conditionValue": 200}, "returnFalse"),
        "null": place.rule({"sql": "SELECT max(age) FROM stays WHERE id = 4", "condition": "is null"}, "returnTrue"),
        "unknown": place.rule({**oldest, "sql": "SELECT max(age) FROM stays WHERE id = 4"}, "returnTrue"),
    }
    alerts, errors = place.judge()
    assert errors == {}
    assert {name: alerts[number]["alert_message"] for name, number in rules.items() if number in alerts} == {
        "rows": "Look: the query has returned 2 rows",
        "spaces": "Look: the query has returned 2 rows",
        "coded": "Look: the query has returned 1 row",
        "none": "Look: the query has returned nothing",
        "number": "Look: the number is not shown",
        "levels": "Look: the query has returned 2",
        "false": "Look: the number is not shown",
        "null": "Look: the number is not shown",
    }
    assert (alerts[rules["rows"]]["observed"], alerts[rules["number"]]["observed"]) == ("2", None)
    found = alerts[rules["levels"]]
    assert (found["alert_level"], found["observed"], found["threshold"]) == ("Warning", "2", ">= 2")
    (row,) = place.base.rows("SELECT reasons FROM rule_basic_result WHERE id_rule = %s", int(rules["unknown"]))
    assert row["reasons"] == {"unknown": 1}


def test_an_incident_ends_when_its_query_returns_nothing_any_more(place: Place) -> None:
    """Not when the query fails."""
    number = place.rule("SELECT id FROM stays WHERE age > 120")
    place.judge()
    place.base.execute("UPDATE rule_basic SET rule_content = 'SELECT missing FROM nowhere'")
    _, errors = place.judge()
    assert "a table does not exist" in errors[number]
    place.base.execute("UPDATE rule_basic SET rule_content = 'SELECT 1 FROM stays WHERE age > 200'")
    assert place.judge() == ({}, {})


#: What is not one harmless query -> what its error says.
BAD = {
    "SELECT 1; SELECT 2": "more than one statement",
    "DELETE FROM stays": "one query that starts with SELECT",
    "SELECT id FROM nowhere": "a table does not exist",
    "SELECT missing FROM stays": "a column does not exist",
    "SELECT nosuch(id) FROM stays": "a function does not exist",
    "SELECT FROM WHERE": "a syntax error",
    "PRAGMA user_version = 3": "one query that starts with SELECT",
    "": "one query that starts with SELECT",
}


def test_bad_queries_are_errors_of_their_rules_and_the_others_go_on(place: Place) -> None:
    """None of them changes anything. No error quotes a row."""
    rules = {place.rule(query): said for query, said in BAD.items()}
    bad_number = place.rule({"sql": "SELECT 'Dupont'", "condition": ">", "conditionValue": 1}, "returnTrue")
    writes = {
        "postgres": ["WITH x AS (DELETE FROM stays RETURNING id) SELECT * FROM x", "SELECT * INTO other FROM stays"],
        "mariadb": ["SELECT writes()"],
        "sqlite": ["WITH x AS (SELECT 1) DELETE FROM stays"],
    }[place.engine]
    if place.engine == "postgres":
        place.base.execute(
            "CREATE FUNCTION writes() RETURNS int LANGUAGE plpgsql AS"
            " $$BEGIN PERFORM set_config('transaction_read_only', 'off', false); DELETE FROM stays; RETURN 1; END$$"
        )
        place.base.execute(
            "CREATE FUNCTION opens() RETURNS int LANGUAGE plpgsql AS $$BEGIN"
            " PERFORM set_config('default_transaction_read_only', 'off', false); RETURN 1; END$$"
        )
        writes += ["SELECT writes()"]
        place.rule("SELECT opens() FROM stays WHERE id < 0 OR opens() = 0", "returnNotNull")
        rules |= {place.rule("SELECT id / 0 FROM stays"): "a division by zero"}
    before = [place.rule(query) for query in writes]
    good = place.rule("SELECT id FROM stays")
    for connections in (1, 8):
        alerts, errors = place.judge(sql_connections=connections)
        assert good in alerts
        assert [(place.names[one], errors[one]) for one, said in rules.items() if said not in errors[one]] == []
        assert "must return a number" in errors[bad_number]
        assert {*before} <= errors.keys()
        assert place.counts() == 4
    assert "Dupont" not in str(errors) + str(alerts)


def test_an_endless_query_and_a_million_rows_stay_within_limits(place: Place) -> None:
    """They hold up no other rule, and no memory."""
    numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT i FROM n"
    endless = {
        "postgres": "SELECT pg_sleep(60)",
        "mariadb": "SELECT sleep(60) FROM stays",
        "sqlite": f"SELECT count(*) FROM ({numbers.format('i + 1')})",
    }[place.engine]
    slow = place.rule(endless)
    many = place.rule(numbers.format(900) if place.engine == "mariadb" else numbers.format(1_000_000))
    good = place.rule("SELECT id FROM stays")
    alerts, errors = place.judge(sql_seconds=1, sql_rows=10, sql_connections=1)
    assert errors.keys() <= {slow}
    if place.engine != "mariadb":  # where sleep ends early, with 1, instead of failing
        assert "it took too long: more than 1 s" in errors[slow]
    assert alerts[many]["alert_message"] == "Look: the query has returned at least 10 rows"
    assert alerts[many]["observed"] == "10+"
    assert alerts[good]["observed"] == "4"


def test_an_endpoint_that_cannot_be_reached_fails_its_sql_rules_only(database: Database, tmp_path: Path) -> None:
    """Without the password in any message."""
    base = Base(database, tmp_path)
    place = Place(base, {**postgres_endpoint(database), "password": "s3cretword", "port": 1}, lambda: 0)
    number = place.rule("SELECT 1")
    other = place.rule(
        {"metric": "rows_count", "condition": ">", "conditionValue": 1}, "returnTrue", rule_type="conditional"
    )
    place.endpoint["password"] = "s3cretword"
    alerts, errors = place.judge()
    assert "the endpoint cannot be reached" in errors[number]
    assert "s3cretword" not in errors[number]
    assert alerts.keys() == {other}


@pytest.fixture
def plain(database: Database, tmp_path: Path) -> Place:
    """A PostgreSQL endpoint."""
    return Place(Base(database, tmp_path), postgres_endpoint(database), lambda: 0)


def test_malformed_contents_are_errors_of_their_rules(plain: Place) -> None:
    """Each says what is wrong."""
    number = {"sql": "SELECT 1", "condition": ">", "conditionValue": 1}
    bad: dict[str, tuple[Any, str]] = {
        "or one of them in base64": ("%%", "returnNone"),
        "is not valid JSON": ('{"sql"', "returnNone"),
        "starts with SELECT": ({"query": "SELECT 1"}, "returnNone"),
        "may have only": ({"sql": "SELECT 1", "rows": 3}, "returnNone"),
        "must be returnTrue or returnFalse": (number, "returnNone"),
        "must be returnNone or returnNotNull": ("SELECT 1", "returnTrue"),
        "must be one of returntrue": ("SELECT 1", "always"),
        "both conditionValue and thresholds": ({**number, "thresholds": {"High": 1}}, "returnTrue"),
        "conditionValue must be a number": ({**number, "conditionValue": "x"}, "returnTrue"),
        "condition must be one of": ({**number, "condition": "~"}, "returnTrue"),
        "show is true or false": ({**number, "show": "yes"}, "returnTrue"),
    }
    rules = {plain.rule(content, trigger): said for said, (content, trigger) in bad.items()}
    _, errors = plain.judge()
    assert [(said, errors.get(one)) for one, said in rules.items() if said not in errors.get(one, "")] == []
