"""Rules of the classes DATA, SCHEMA, METRICCOMPARE and FRESHNESS, on nights in a real base."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.pack_harness import Base
from tests.integration.store_harness import SLUG, Nights, column, measured, nights

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.services import Database

DATES = ("2026-03-02", "2026-03-03", "2026-03-04")
OTHER = "copy:postgres:db2.example:5432:reader:false"
ENDPOINT: dict[str, Any] = {
    "slug": SLUG,
    "database": "ward",
    "type": "postgres",
    "host": "db.example",
    "port": 5432,
    "user": "reader",
    "password": "x",
    "ssl": False,
    "config": {"generate": False},
}


@pytest.fixture
def written(database: Database, tmp_path: Path) -> Iterator[tuple[Base, Nights]]:
    """An empty base, into which nights are written."""
    base = Base(database, tmp_path)
    with nights(base) as made:
        yield base, made


def rule(base: Base, alert_class: str, content: Any, table: str = "*", name: str = "", **columns: Any) -> str:
    """Write a rule on columns, or with a table only; its number as alerts have it."""
    values = {
        "rule_name": f"{alert_class} {json.dumps(content)} {table} {name}",
        "alert_class": alert_class,
        "alert_message": "Look",
        "table": table,
        "column": name,
        "condition_scope": "column" if name else "table" if table != "*" else "all",
        "rule_content": content if isinstance(content, str) else json.dumps(content),
        **columns,
    }
    names = ", ".join(f'"{one}"' for one in values)
    marks = ", ".join(["%s"] * len(values))
    (row,) = base.rows(f"INSERT INTO rule_basic ({names}) VALUES ({marks}) RETURNING id_rule", *values.values())
    return str(row["id_rule"])


def found(base: Base, date: str, **more: Any) -> dict[str, list[tuple[str | None, str | None, str]]]:
    """Judge a date: table, column and message of the alerts by rule."""
    run = base.judge(date, {**ENDPOINT, **more})
    assert run.only()["status"] == "ok", run.output
    alerts: dict[str, list[tuple[str | None, str | None, str]]] = {}
    for one in base.alerts(date):
        alerts.setdefault(one["rule_id"], []).append((one["table"], one["column"], one["alert_message"]))
    return alerts


def reasons(base: Base, date: str, *rules: str) -> list[dict[str, int]]:
    """Why rules were not judged."""
    query = 'SELECT reasons FROM rule_basic_result WHERE "date" = %s AND id_rule = %s AND endpoint = %s'
    return [base.rows(query, date, int(one), SLUG)[0]["reasons"] for one in rules]


def levels(*names: str, count: int | None = None) -> dict[str, Any]:
    """A column with these levels of ten rows each; `count`: how many it has, if not all are stored."""
    return column("text", value_counts=10 * len(names), levels_count=len(names) if count is None else count)


def night(written: Nights, date: str, **stored: tuple[str, ...]) -> None:
    """One table, each column of which has these levels; a name that ends with `_` has one more, which is suppressed."""
    columns = {name: levels(*names, count=len(names) + name.endswith("_")) for name, names in stored.items()}
    shown = {name: dict.fromkeys(names, 10) for name, names in stored.items()}
    written.write(date, [measured("stays", columns, rows=100, levels=shown)])


def test_data_rules_say_which_levels_a_column_may_have(written: tuple[Base, Nights]) -> None:
    """A suppressed level is unknown: neither missing nor absent. Alerts name no level."""
    base, made = written
    night(made, DATES[0], sex=("F", "M"), ward=("A", "B"), code_=("x", "y"), unit_=("g",))
    sexes = ["F", "M", "X"]
    rules = {
        "forbidden": rule(base, "DATA", {"forbidden": ["M", "Z"]}, "stays", "*"),
        "allowed": rule(base, "DATA", {"allowed": ["F", "M", "x", "y", "g"]}, "stays", "*"),
        "required": rule(base, "DATA", {"required": sexes}, "stays", "sex"),
        "both": rule(base, "data", {"required": ["A", "B"]}, "stays", "ward", alert_level="High"),
        "unknown": rule(base, "DATA", {"required": ["x", "z"]}, "stays", "code_"),
    }
    alerts = found(base, DATES[0])
    assert alerts == {
        rules["forbidden"]: [("stays", "sex", "Look: 1 level in 10 rows; codes are not shown")],
        rules["allowed"]: [("stays", "ward", "Look: 2 levels in 20 rows; codes are not shown")],
        rules["required"]: [("stays", "sex", "Look: 1 level is missing")],
    }
    assert {one["alert_class"] for one in base.alerts(DATES[0])} == {"DATA"}
    assert reasons(base, DATES[0], *rules.values()) == [{"unknown": 2}, {"unknown": 2}, {}, {}, {"unknown": 1}]


def test_a_level_is_new_if_the_former_date_knew_all_of_its_own(written: tuple[Base, Nights]) -> None:
    """On the first night nothing is; on the third, what came on the second is not."""
    base, made = written
    night(made, DATES[0], sex=("F", "M"), ward=("A",), code_=("x",))
    new = rule(base, "DATA", {"new": True}, "stays", "*")
    assert found(base, DATES[0]) == {}
    assert reasons(base, DATES[0], new) == [{"no history": 3}]
    night(made, DATES[1], sex=("F",), ward=("A", "B", "C"), code_=("x", "y"), added=("1",))
    assert found(base, DATES[1]) == {new: [("stays", "ward", "Look: 2 levels in 20 rows; codes are not shown")]}
    assert reasons(base, DATES[1], new) == [{"no history": 1, "unknown": 1}]
    night(made, DATES[2], sex=("F",), ward=("B", "C"), code_=("x", "y"), added=("1",))
    assert found(base, DATES[2]) == {}
    states = base.rows("SELECT state FROM hdm_incident")
    assert {one["state"] for one in states} <= {"resolved"}


def test_schema_rules_say_what_must_be_there(written: tuple[Base, Nights]) -> None:
    """Tables, columns and types; what must not be there; what has changed. What was not measured may be there."""
    base, made = written
    columns = {"id": column("bigint"), "name": column("text"), "born": column("timestamp")}
    made.write(DATES[0], {"stays": columns, "tmp_x": {"a": column()}})
    rules = {
        "tables": rule(base, "SCHEMA", {"tables": ["stays", "visits", "labs"]}),
        "unmeasured": rule(base, "SCHEMA", {"tables": ["labs"]}),
        "columns": rule(base, "SCHEMA", {"columns": {"id": "int*", "born": "TIME*", "sex": "*"}}, "stays"),
        "exactly": rule(base, "SCHEMA", {"columns": ["id", "name"], "others": False}, "stays"),
        "holds": rule(base, "SCHEMA", {"columns": ["id", "name", "born"], "others": False}, "stays"),
        "type": rule(base, "SCHEMA", {"type": ["bigint", "text"]}, "stays", "*"),
        "temporary": rule(base, "SCHEMA", {"exists": False, "of": "table"}, "tmp_*"),
        "name": rule(base, "SCHEMA", {"exists": False}, "*", "na?e"),
    }
    run = base.judge(DATES[0], {**ENDPOINT, "incomplete": ["labs"]})
    assert run.only()["status"] == "partial", run.output
    alerts = {one["rule_id"]: (one["table"], one["column"], one["alert_message"]) for one in base.alerts(DATES[0])}
    assert alerts == {
        rules["tables"]: (None, None, "Look: missing table: visits"),
        rules["columns"]: ("stays", None, "Look: missing column: sex; id is bigint"),
        rules["exactly"]: ("stays", None, "Look: not expected: born"),
        rules["type"]: ("stays", "born", "Look: data_type = timestamp"),
        rules["temporary"]: ("tmp_x", None, alerts[rules["temporary"]][2]),
        rules["name"]: ("stays", "name", "Look: data_type = text"),
    }
    assert reasons(base, DATES[0], rules["unmeasured"]) == [{"unknown": 1}]
    change = rule(base, "SCHEMA", {"change": ["dropped", "retyped"]}, "stays", "*")
    made.write(DATES[1], {"stays": {"id": column("text"), "born": column("timestamp"), "fresh": column()}})
    assert sorted(one for one in found(base, DATES[1])[change]) == [
        ("stays", "id", "Look"),
        ("stays", "name", "Look"),
    ]


def test_metrics_of_two_endpoints_dates_or_versions_are_compared(written: tuple[Base, Nights]) -> None:
    """Within a tolerance; both sides must be whole, as the ledger says, if it knows the endpoint."""
    base, made = written
    copy = replace(made, database="copy", slug=OTHER)

    def write(at: Nights, date: str, rows: int, version: str = "1.0", **more: Any) -> None:
        at.write(date, [measured("stays", {"a": column(**more)}, rows=rows)], version=version)

    write(made, DATES[0], 100)
    write(made, DATES[1], 90, version="2.0", data_type="text")
    write(copy, DATES[1], 95)
    rows = {"metric": "rows_count", "of": "table"}
    there = {"with": {"endpoint": OTHER}}
    rules = {
        "differs": rule(base, "METRICCOMPARE", rows | there, "stays"),
        "tolerated": rule(base, "METRICCOMPARE", rows | there | {"tolerance": 5}, "stays"),
        "percent": rule(base, "METRICCOMPARE", rows | there | {"percent": 5.3}, "stays"),
        "at least": rule(base, "METRICCOMPARE", rows | there | {"condition": ">="}, "stays"),
        "at most": rule(base, "METRICCOMPARE", rows | there | {"condition": "<="}, "stays"),
        "yesterday": rule(base, "METRICCOMPARE", rows | {"with": {"date": -1}, "percent": 9}, "stays"),
        "date": rule(base, "METRICCOMPARE", rows | {"with": {"date": DATES[0]}, "percent": 10}, "stays"),
        "version": rule(base, "METRICCOMPARE", rows | {"with": {"version": "former"}}, "stays"),
        "named": rule(base, "METRICCOMPARE", rows | {"with": {"version": "1.0"}, "tolerance": 10}, "stays"),
        "type": rule(base, "METRICCOMPARE", {"metric": "data_type"} | there, "stays", "a"),
        "no date": rule(base, "METRICCOMPARE", rows | {"with": {"date": -7}}, "stays"),
        "no table": rule(base, "METRICCOMPARE", rows | {"with": {"table": "gone"}}, "stays"),
        "hidden": rule(base, "METRICCOMPARE", {"metric": "max_num_var"} | there, "stays", "a"),
    }
    alerts = found(base, DATES[1])
    breached = {name: alerts[number][0][2] for name, number in rules.items() if number in alerts}
    assert breached == {
        "differs": "Look: rows_count = 90, there 95",
        "at least": "Look: rows_count = 90, there 95",
        "yesterday": "Look: rows_count = 90, there 100",
        "version": "Look: rows_count = 90, there 100",
        "type": "Look: data_type = text, there integer",
    }
    assert reasons(base, DATES[1], rules["no date"], rules["no table"], rules["differs"]) == [
        {"unknown": 1},
        {"unknown": 1},
        {},
    ]
    assert [one["threshold"] for one in base.alerts(DATES[1]) if one["rule_id"] == rules["differs"]] == ["== 95"]
    for date, expected in ((DATES[0], {"unknown": 1}), (DATES[1], {})):
        base.execute(
            """INSERT INTO hdm_pack_run (kind, pack, pack_version, environment, endpoint, metric_date, dag_id, run_id,
                task_id, try_number, status, started_at, finished_at)
            VALUES ('metric', 'basic', '1.2.0', 'prod', %s, %s, 'd', 'r', 't', 1, 'success', now(), now())""",
            *(OTHER, dt.date.fromisoformat(date)),
        )
        found(base, DATES[1])
        assert reasons(base, DATES[1], rules["differs"]) == [expected], date


def test_a_column_is_stale_if_its_newest_date_is_too_old(written: tuple[Base, Nights]) -> None:
    """Counted back from the beginning of the metric date. The date itself is not told."""
    base, made = written
    newest = {"fresh": "2026-03-01 00:00", "old": "2026-02-28 23:59:59"}
    made.write(
        DATES[0],
        {"stays": {n: column("timestamp", max_date_var=dt.datetime.fromisoformat(v)) for n, v in newest.items()}},
    )
    day = rule(base, "FRESHNESS", {"days": 1}, "stays", "*")
    rule(base, "FRESHNESS", {"hours": 24.1}, "stays", "*")
    assert found(base, DATES[0])[day] == [("stays", "old", "Look: max_date_var")]
    (alert,) = [one for one in base.alerts(DATES[0]) if one["rule_id"] == day]
    assert (alert["alert_class"], alert["observed"], alert["threshold"]) == ("FRESHNESS", None, "< 2026-03-01 00:00:00")


def test_alerts_carry_owner_and_tags_of_their_rule(written: tuple[Base, Nights]) -> None:
    """Tags as a list, whatever they contain; nothing where the rule has none."""
    base, made = written
    made.write(DATES[0], {"stays": {"a": column()}})
    content = {"exists": False, "of": "table"}
    tags = 'icu, "night", back\\slash, icu,'
    owned = rule(base, "SCHEMA", content, "stays", owner="data team", tags=tags, rule_key="icu/stays")
    other = rule(base, "SCHEMA", content, "st*")
    found(base, DATES[0])
    rows = {one["rule_id"]: (one["owner"], one["tags"]) for one in base.alerts(DATES[0])}
    assert rows == {owned: ("data team", ["icu", '"night"', "back\\slash"]), other: (None, None)}


BAD = {
    "DATA": [
        ({}, "may have only allowed, data_type, except, forbidden, key_columns, new, required, where"),
        ({"forbidden": ["a"], "allowed": ["b"]}, "exactly one of forbidden, allowed, required, new"),
        ({"forbidden": []}, "a list of 1 to"),
        ({"forbidden": [None]}, "a list of texts"),
        ({"new": 1}, "new must be true"),
        ({"metric": "rows_count", "condition": ">", "conditionValue": 1}, "may have only"),
    ],
    "SCHEMA": [
        ({"exists": True}, "exists must be false"),
        ({"change": "moved"}, "change must be one of new, dropped, retyped, renamed"),
        ({"type": "text", "of": "table"}, "a type is that of a column"),
        ({"columns": []}, "a list of names"),
        ({"columns": {"a": 1}}, "must be a text"),
        ({"tables": ["a"], "others": False}, "others belongs to columns"),
    ],
    "FRESHNESS": [
        ({"days": "2"}, "a number from 0"),
        ({"days": 2, "hours": 3}, "exactly one of days, hours"),
        ({"days": -1}, "a number from 0"),
    ],
    "METRICCOMPARE": [
        ({"metric": "rows_count"}, "with must be an object"),
        ({"metric": "rows_count", "with": {}}, "with must be an object"),
        ({"metric": "rows_count", "with": {"date": 1}}, "a number of days such as -7"),
        ({"metric": "rows_count", "with": {"date": -1, "version": "1"}}, "both date and version"),
        ({"metric": "rows_count", "with": {"endpoint": 3}}, "must be texts"),
        ({"metric": "rows_count", "with": {"date": -1}, "tolerance": -1}, "numbers from 0"),
        ({"metric": "rows_count", "with": {"date": -1}, "condition": "!="}, "condition must be one of"),
        ({"metric": "rows", "with": {"date": -1}}, "names no known metric"),
        ({"metric": "step_na", "with": {"date": -1}}, "follows from others"),
    ],
    "KPI": [({}, "alert_class 'KPI' is unknown")],
}


def test_what_makes_no_sense_is_an_error_of_its_rule(written: tuple[Base, Nights]) -> None:
    """Each says what is wrong; a good rule beside them is judged."""
    base, made = written
    made.write(DATES[0], {"stays": {"a": column()}})
    expected = {
        rule(base, name, content, "stays"): said for name, contents in BAD.items() for content, said in contents
    }
    turned = rule(base, "SCHEMA", {"tables": ["b"]}, condition_trigger="returnFalse")
    good = rule(base, "SCHEMA", {"exists": False, "of": "table"}, "stays")
    run = base.judge(DATES[0], ENDPOINT)
    assert [one["rule_id"] for one in base.alerts(DATES[0])] == [good]
    rows = base.rows('SELECT rule_id, reason FROM hdm_not_judged WHERE "date" = %s', DATES[0])
    errors = {row["rule_id"]: row["reason"] for row in rows}
    assert "needs a condition" in errors.pop(turned)
    assert errors.keys() == expected.keys()
    assert [said for number, said in expected.items() if said not in errors[number]] == []
    assert run.only()["status"] == "partial"
