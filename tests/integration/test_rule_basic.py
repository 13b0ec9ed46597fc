"""Rule pack basic, run for real on what metric pack basic found."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests.integration.pack_harness import Base, Row, postgres_endpoint
from tests.integration.store_harness import Nights, column, measured, nights

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.services import Database, Postgres

TODAY = "2026-01-31"
LATER = "2026-02-03"


HOSPITAL, WARD, MEASURED = "rule_basic_hospital", "rule_basic_ward", "rule_basic_measured"
OF_WARD = {"ward", "quiet"}  # fixtures that need its metrics


@pytest.fixture(scope="module")
def measured_base(postgres: Postgres, pack_base: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a base with one night of the hospital, to be copied."""
    created = postgres.create_database(WARD)
    execute(
        created,
        "CREATE TABLE patients (patient_id int PRIMARY KEY, name text, nothing text, alive boolean)",
        "INSERT INTO patients SELECT i, 'Dupont ' || i, NULL, i > 2 FROM generate_series(1, 10) i",
        "CREATE TABLE stays (stay_id int, patient_id int REFERENCES patients, weight float)",
        "INSERT INTO stays SELECT i, 1 + i % 10, 70.5 + i FROM generate_series(1, 20) i",
    )
    database = postgres.create_database(MEASURED, pack_base.name)
    base = Base(database, tmp_path_factory.mktemp("measured"), [postgres_endpoint(created)], is_made=True)
    assert base.measure(TODAY).exit_code == 0
    postgres.create_database(HOSPITAL, WARD)
    postgres.drop_database(WARD)
    yield MEASURED
    for name in (MEASURED, HOSPITAL):
        postgres.drop_database(name)


@pytest.fixture
def base(request: pytest.FixtureRequest, postgres: Postgres, pack_base: Database, tmp_path: Path) -> Iterator[Base]:
    """An HDM base; with the metrics of TODAY, if the test is about the ward."""
    template = pack_base.name
    if OF_WARD & {*request.fixturenames}:
        template = request.getfixturevalue("measured_base")
    created = postgres.create_database(f"test_{uuid4().hex}", template)
    yield Base(created, tmp_path, is_made=True)
    postgres.drop_database(created.name)


@pytest.fixture
def hospital(postgres: Postgres, measured_base: str) -> Iterator[Database]:
    """A second database, which is the endpoint: ten patients, twenty stays, an empty column."""
    assert measured_base
    yield postgres.create_database(WARD, HOSPITAL)
    postgres.drop_database(WARD)


@pytest.fixture
def ward(base: Base, hospital: Database) -> Row:
    """The hospital as the only endpoint, measured today."""
    base.endpoints = [postgres_endpoint(hospital)]
    return base.endpoints[0]


@pytest.fixture
def quiet(base: Base, ward: Row) -> Row:
    """The same endpoint without generated rules."""
    base.endpoints = [{**ward, "config": {"generate": False}}]
    return base.endpoints[0]


def execute(database: Database, *statements: str) -> None:
    with database.connect(autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def write_rule(base: Base, metric: str, condition: str, value: object, **columns: Any) -> int:
    """Put a rule in the table; its id. Keywords are its columns."""
    row: Row = {
        "rule_name": f"{metric} {condition} {value} {sorted(columns.items())}",
        "rule_content": json.dumps({"metric": metric, "condition": condition, "conditionValue": value}),
        "condition_scope": "column" if columns.get("column") else "table" if columns.get("table") else "all",
        **columns,
    }
    names = ", ".join(f'"{name}"' for name in row)
    marks = ", ".join(["%s"] * len(row))
    return base.rows(f"INSERT INTO rule_basic ({names}) VALUES ({marks}) RETURNING id_rule", *row.values())[0][
        "id_rule"
    ]


def result(base: Base, date: str, id_rule: int) -> Row:
    """The counts of one rule."""
    (row,) = base.rows('SELECT * FROM rule_basic_result WHERE "date" = %s AND id_rule = %s', date, id_rule)
    return row


def places(alerts: list[Row]) -> list[tuple[str, str | None, str | None]]:
    return [(alert["rule_id"], alert["table"], alert["column"]) for alert in alerts]


def loud(base: Base) -> list[Row]:
    """Today's alerts without Infos."""
    return [alert for alert in base.alerts(TODAY) if alert["alert_level"] != "Info"]


# The generator ----------------------------------------------------------------------------------------------


def test_a_healthy_database_raises_no_alert_for_its_keys(base: Base, ward: Row) -> None:
    """The original's rule about duplicates sat on foreign keys too, and fired on every healthy one. An empty column is
    a state since the first date: one Info, and no more of it the night after."""
    run = base.judge(TODAY)
    assert (run.exit_code, run.only()["status"]) == (0, "ok"), run.output
    (alert,) = base.alerts(TODAY)
    assert (alert["table"], alert["column"], alert["alert_level"]) == (None, None, "Info")
    assert alert["alert_message"] == "All values are null (since the first date, 1 column): patients.nothing"
    assert (alert["endpoint"], alert["database"], alert["rule_pack"]) == (ward["slug"], ward["database"], "basic")
    assert (alert["alert_class"], alert["alert_scope"], alert["dbversion"]) == ("METRIQUE", "all", "0.0")
    assert run.only()["alerts"] == 1
    base.measure(LATER)
    base.judge(LATER)
    assert base.alerts(LATER) == []


def test_the_shipped_rules_cover_all_columns_by_patterns(base: Base, ward: Row) -> None:
    """One row each for all endpoints. Duplicates: only in what was a key, by a constraint or on an earlier date."""
    base.judge(TODAY)
    rules = {row["rule_name"]: row for row in base.rows("SELECT * FROM rule_basic")}
    for name in ("duplicates in key column", "empty column", "columns always empty"):
        rule = rules[name]
        assert (rule["endpoint"], rule["database"], rule["table"], rule["column"]) == ("", "", "*", "*")
        assert (rule["enabled"], rule["shipped"]) == (True, name)
    keys = result(base, TODAY, rules["duplicates in key column"]["id_rule"])
    assert (keys["ok"], keys["breached"], keys["reasons"]) == (0, 0, {"no value": 7})  # of a former date
    empty = result(base, TODAY, rules["columns always empty"]["id_rule"])
    assert (empty["ok"], empty["breached"], empty["explained"], empty["not_judged"], empty["errors"]) == (6, 1, 1, 0, 0)


def test_a_key_that_stops_being_unique_is_alerted(base: Base, ward: Row, hospital: Database) -> None:
    """stay_id is declared nowhere: it was unique once, and that is remembered."""
    execute(hospital, "INSERT INTO stays SELECT * FROM stays WHERE stay_id < 3")
    base.judge(TODAY)
    base.measure(LATER)
    base.judge(LATER)
    (alert,) = base.alerts(LATER)
    assert (alert["table"], alert["column"], alert["alert_level"]) == ("stays", "stay_id", "High")
    assert alert["alert_message"].startswith(
        "Values of a key appear more than once: 9.09 % of all values repeat another one"
    )
    assert (alert["observed"], alert["former"], alert["threshold"]) == ("2", "1", "> 0")


def test_rule_ids_stay_the_same_night_after_night(base: Base, ward: Row) -> None:
    """Fault 12: ids changed every night, so that old alerts pointed at other rules."""
    base.judge(TODAY)
    ids = base.rows("SELECT * FROM rule_basic ORDER BY id_rule")
    base.measure(LATER)
    assert "generated" not in base.judge(LATER).only()["message"]
    base.judge(LATER)
    assert base.rows("SELECT * FROM rule_basic ORDER BY id_rule") == ids
    added = write_rule(base, "value_counts", ">", 0)
    assert added == max(rule["id_rule"] for rule in ids) + 1  # no id is used up by rules that were there


def test_a_shipped_rule_that_somebody_edited_or_switched_off_stays_so(base: Base, ward: Row) -> None:
    """The generator adds; it never takes back."""
    base.judge(TODAY)
    base.execute("UPDATE rule_basic SET enabled = false WHERE rule_name = 'columns always empty'")
    base.execute("UPDATE rule_basic SET alert_level = 'Info' WHERE rule_name = 'duplicates in key column'")
    base.judge(TODAY)
    assert base.alerts(TODAY) == []
    found = {row["rule_name"]: (row["alert_level"], row["enabled"]) for row in base.rows("SELECT * FROM rule_basic")}
    assert (found["duplicates in key column"], found["columns always empty"]) == (("Info", True), ("Info", False))


OLD = {
    "duplicates in key column": (
        '{"metric": "highest_frequency", "condition": ">", "conditionValue": 1}',
        "A value of a key column appears more than once",
    ),
    "empty column": (
        '{"metric": "percent_na_values", "condition": "==", "conditionValue": 100}',
        "The column is empty",
    ),
}


def write_old_rules(base: Base, slug: str, name: str, *columns: tuple[str, str]) -> list[int]:
    """Rules as the generator of version 1.1 wrote them."""
    content, message = OLD[name]
    return [
        write_rule(
            *(base, "", "", ""),
            rule_name=name,
            rule_content=content,
            alert_message=message,
            alert_level="High",
            endpoint=slug,
            database="ward",
            table=table,
            column=column,
        )
        for table, column in columns
    ]


def test_the_rows_of_older_versions_give_way_to_their_successors(base: Base, ward: Row) -> None:
    """Those that alerts refer to stay and name it, the others go; nothing is alerted twice."""
    alerted, gone = write_old_rules(base, ward["slug"], "empty column", ("patients", "nothing"), ("patients", "name"))
    (key,) = write_old_rules(base, ward["slug"], "duplicates in key column", ("patients", "patient_id"))
    (elsewhere,) = write_old_rules(base, "other", "empty column", ("patients", "name"))
    base.execute(
        'INSERT INTO hdm_alerts (endpoint, "date", rule_id, rule_pack) VALUES (%s, %s, %s, %s), (%s, %s, %s, %s)',
        *(ward["slug"], "2026-01-30", str(alerted), "basic"),
        *(ward["slug"], "2026-01-30", str(gone), "other pack"),
    )
    for _ in range(2):
        base.judge(TODAY)
        rules = {row["id_rule"]: row for row in base.rows("SELECT * FROM rule_basic")}
        (successor,) = (row for row in rules.values() if row["shipped"] == "empty column")
        assert rules[alerted]["replaced_by"] == successor["id_rule"]
        assert not {gone, key} & rules.keys()
        assert rules[elsewhere]["replaced_by"] is None
        assert loud(base) == []  # it has been empty since the first date
    assert base.rows("SELECT FROM rule_basic_result WHERE id_rule = %s", alerted) == []


def test_old_rows_that_somebody_changed_are_exceptions(base: Base, ward: Row) -> None:
    """A disabled one switches the rule off for its column, an edited one is judged in its place."""
    disabled, edited = write_old_rules(
        base, ward["slug"], "empty column", ("patients", "nothing"), ("patients", "name")
    )
    base.execute("UPDATE rule_basic SET enabled = false WHERE id_rule = %s", disabled)
    content = {"metric": "percent_na_values", "condition": "<", "conditionValue": 100}
    base.execute("UPDATE rule_basic SET rule_content = %s WHERE id_rule = %s", json.dumps(content), edited)
    before = base.rows("SELECT * FROM rule_basic ORDER BY id_rule")
    base.judge(TODAY)
    assert base.rows("SELECT * FROM rule_basic ORDER BY id_rule")[:2] == before
    assert places(loud(base)) == [(str(edited), "patients", "name")]


def test_a_new_release_updates_shipped_rules_that_nobody_edited(base: Base, ward: Row) -> None:
    """As if the installed ones came from an older release."""
    base.judge(TODAY)
    installed = base.rows("SELECT * FROM rule_basic ORDER BY id_rule")
    old = sha256_of({**installed[0], "alert_message": "As before"})
    statement = "UPDATE rule_basic SET alert_message = 'As before', shipped_as = %s WHERE id_rule = %s"
    base.execute(statement, old, installed[0]["id_rule"])
    base.execute(statement, old, installed[1]["id_rule"])  # not its digest: somebody edited it
    base.judge(TODAY)
    found = base.rows("SELECT * FROM rule_basic ORDER BY id_rule")
    assert found[0] == installed[0]
    assert (found[1]["alert_message"], found[1]["shipped_as"]) == ("As before", old)


def test_an_older_version_of_the_pack_leaves_the_rules_of_a_newer_one(base: Base, ward: Row) -> None:
    """Two workers share a base during an upgrade: neither takes back what the newer one has installed."""
    base.judge(TODAY)
    rows = base.rows("SELECT * FROM rule_basic ORDER BY id_rule")
    changed, only_newer, dropped = rows[0], rows[1], rows[2]
    base.execute(
        "UPDATE rule_basic SET alert_message = 'Newer', shipped_as = %s, shipped_by = '99.10' WHERE id_rule = %s",
        *(sha256_of({**changed, "alert_message": "Newer"}), changed["id_rule"]),
    )
    base.execute(
        """UPDATE rule_basic SET rule_name = 'newer', shipped = 'newer', shipped_as = %s, shipped_by = '99.10'
        WHERE id_rule = %s""",
        *(sha256_of({**only_newer, "rule_name": "newer"}), only_newer["id_rule"]),
    )
    base.execute("DELETE FROM rule_basic WHERE id_rule = %s", dropped["id_rule"])
    newer = base.rows("SELECT * FROM rule_basic ORDER BY id_rule")
    run = base.judge(TODAY)
    assert base.rows("SELECT * FROM rule_basic ORDER BY id_rule") == newer
    assert "a newer version of this pack has installed the shipped rules: they stay as they are" in run.output
    base.execute("UPDATE rule_basic SET shipped_by = '0.9'")  # now this version is the newer one
    run = base.judge(TODAY)
    found = base.rows("SELECT * FROM rule_basic WHERE shipped <> '' AND replaced_by IS NULL ORDER BY id_rule")
    assert {row["shipped"] for row in found} == {row["shipped"] for row in rows}
    assert found[0] == changed
    assert "newer version of this pack" not in run.output


def test_an_old_row_that_the_editor_saved_unchanged_is_not_edited(base: Base, ward: Row) -> None:
    """The editor writes base64, with blanks where it likes."""
    (opened,) = write_old_rules(base, ward["slug"], "empty column", ("patients", "nothing"))
    same = json.dumps(json.loads(OLD["empty column"][0]), indent=1).encode()
    base.execute("UPDATE rule_basic SET rule_content = %s WHERE id_rule = %s", base64.b64encode(same).decode(), opened)
    base.judge(TODAY)
    assert base.rows("SELECT FROM rule_basic WHERE id_rule = %s", opened) == []
    assert loud(base) == []


@pytest.mark.parametrize("alerted", [True, False])
def test_a_shipped_rule_that_a_release_drops_goes(base: Base, ward: Row, alerted: bool) -> None:
    """It stays for its alerts, and comes back if a later release has it again. An edited one is somebody's own."""
    base.judge(TODAY)
    (row,) = base.rows("SELECT * FROM rule_basic WHERE shipped = 'columns always empty'")
    names = ("shipped", "rule_name")
    for name in names:
        base.execute(f"UPDATE rule_basic SET {name} = 'dropped' WHERE id_rule = %s", row["id_rule"])
    base.execute(
        "UPDATE rule_basic SET shipped_as = %s WHERE id_rule = %s",
        *(sha256_of({**row, "rule_name": "dropped"}), row["id_rule"]),
    )
    base.execute("UPDATE rule_basic SET shipped = 'edited', rule_name = 'edited' WHERE shipped = 'future dates'")
    base.execute("DELETE FROM hdm_alerts")
    if alerted:
        base.execute(
            'INSERT INTO hdm_alerts (endpoint, "date", rule_id, rule_pack) VALUES (%s, %s, %s, %s)',
            *("other", "2026-01-30", str(row["id_rule"]), "basic"),
        )
    base.judge(TODAY)
    found = base.rows("SELECT id_rule, replaced_by FROM rule_basic WHERE shipped = 'dropped'")
    assert found == ([{"id_rule": row["id_rule"], "replaced_by": row["id_rule"]}] if alerted else [])
    assert base.rows("SELECT FROM rule_basic_result WHERE id_rule = %s", row["id_rule"]) == []
    assert base.rows("SELECT replaced_by FROM rule_basic WHERE shipped = 'edited'") == [{"replaced_by": None}]


def test_a_dropped_rule_comes_back_with_a_release_that_has_it(base: Base, ward: Row) -> None:
    base.judge(TODAY)
    base.execute("UPDATE rule_basic SET replaced_by = id_rule WHERE shipped = 'columns always empty'")
    base.judge(TODAY)
    assert base.rows("SELECT replaced_by FROM rule_basic WHERE shipped = 'columns always empty'") == [
        {"replaced_by": None}
    ]


def sha256_of(rule: Row) -> str:
    """The digest of a shipped rule."""
    names = (
        *("rule_name", "rule_type", "alert_level", "alert_class", "alert_message", "alert_scope", "condition_trigger"),
        *(
            "condition_scope",
            "endpoint",
            "database",
            "table",
            "column",
            "rule_content",
            "enabled",
            "cause",
            "yields_to",
        ),
    )
    return hashlib.sha256(json.dumps([rule[name] for name in names], ensure_ascii=False).encode()).hexdigest()


def test_two_simultaneous_runs_install_one_set_of_rules(base: Base, ward: Row, hospital: Database) -> None:
    """Of two endpoints, both with rows of an older version."""
    other = {**ward, "slug": "other:postgres:127.0.0.1:1:hdm:false"}
    for relation in ("metric_basic", "metric_basic_version"):
        names = ", ".join(f'"{name}"' for name in columns_in_order(base, relation) if name != "endpoint")
        base.execute(f"INSERT INTO {relation} (endpoint, {names}) SELECT %s, {names} FROM {relation}", other["slug"])
    for one in (ward, other):
        write_old_rules(base, one["slug"], "empty column", ("patients", "name"), ("patients", "nothing"))
    started = [base.start("rule-packs/basic", "rule_basic.py", TODAY, [one]) for one in (ward, other)]
    assert {run.finish().only()["status"] for run in started} == {"ok"}
    rules = base.rows("SELECT rule_name, endpoint FROM rule_basic")
    assert len({row["rule_name"] for row in rules}) == len(rules)
    assert {row["endpoint"] for row in rules} == {""}
    assert len(base.alerts(TODAY)) == 2


def columns_in_order(base: Base, relation: str) -> list[str]:
    """The columns of a table."""
    query = "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
    return [row["attname"] for row in base.rows(query, relation)]


def test_the_generator_can_be_switched_off(base: Base, quiet: Row) -> None:
    """Configuration `generate`."""
    base.judge(TODAY)
    assert base.rows("SELECT * FROM rule_basic") == []


# Judging ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "condition", "value", "columns"),
    [
        ("value_counts", "==", 20, {"stay_id", "patient_id", "weight"}),
        ("value_counts", "==", "20", {"stay_id", "patient_id", "weight"}),
        ("value_counts", "!=", 20, set()),
        ("levels_count", "<", 15, {"patient_id"}),
        ("levels_count", "<=", 10, {"patient_id"}),
        ("levels_count", ">", 10.5, {"stay_id", "weight"}),
        ("max_num_var", ">=", "90.5", {"weight"}),
        ("levels_count", "<", 100, {"stay_id", "patient_id", "weight"}),  # as text, "20" would be greater than "100"
        ("is_key", "==", "true", {"stay_id"}),
        ("is_key", "==", True, {"stay_id"}),
        ("is_key", "!=", "True", {"patient_id", "weight"}),
        ("infered_data_type", "==", "float", {"weight"}),
        ("schema_change", "!=", "", set()),
        ("sndHighestFrequency", ">", 1, {"patient_id"}),
        ("delta_value_counts", "!=", 0, set()),  # null on a first date
    ],
)
def test_conditions_compare_numbers_as_numbers_and_the_rest_as_such(
    base: Base, quiet: Row, metric: str, condition: str, value: object, columns: set[str]
) -> None:
    """One alert per column that meets the condition."""
    write_rule(base, metric, condition, value, database=quiet["database"], table="stays", alert_scope="column")
    run = base.judge(TODAY)
    assert run.only()["status"] == "ok", run.output
    assert {alert["column"] for alert in base.alerts(TODAY)} == columns


def test_dates_compare_as_dates(base: Base, quiet: Row, hospital: Database) -> None:
    """min_date_var and max_date_var are metrics like the others; an alert does not repeat them."""
    execute(hospital, "CREATE TABLE births (born date)", "INSERT INTO births VALUES ('2101-02-03')")
    base.measure(TODAY)
    write_rule(base, "max_date_var", ">", "2026-01-31", alert_message="Somebody is not born yet")
    base.judge(TODAY)
    (alert,) = base.alerts(TODAY)
    assert alert["alert_message"] == "Somebody is not born yet: max_date_var"


def test_content_may_be_plain_or_base64(base: Base, quiet: Row) -> None:
    """The original's editor stores base64, its generator plain JSON."""
    content = json.dumps({"metric": "value_counts", "condition": "==", "conditionValue": "0"})
    wrapped = base64.encodebytes(content.encode()).decode()
    plain = write_rule(base, "", "", "", rule_content=content, rule_name="plain")
    encoded = write_rule(base, "", "", "", rule_content=wrapped, rule_name="base64")
    base.judge(TODAY)
    assert places(base.alerts(TODAY)) == [(str(r), "patients", "nothing") for r in (plain, encoded)]


def test_the_trigger_says_which_outcome_alerts(base: Base, quiet: Row) -> None:
    """Fault 3: triggers were ignored. A null metric is no outcome."""
    write_rule(base, "min_num_var", ">", 0, condition_trigger="returnFalse")
    false = write_rule(base, "min_num_var", ">", 50, condition_trigger="RETURNFALSE")
    true = write_rule(base, "min_num_var", ">", 50, condition_trigger="returnTrue")
    run = base.judge(TODAY)
    assert places(base.alerts(TODAY)) == [
        (str(false), "patients", "patient_id"),
        (str(false), "stays", "patient_id"),
        (str(false), "stays", "stay_id"),
        (str(true), "stays", "weight"),
    ]
    assert "9 outcomes are missing: the metrics are null" in run.output


@pytest.mark.parametrize(
    ("alert_scope", "alerts"),
    [
        ("column", [("patients", "alive"), ("patients", "name"), ("patients", "patient_id")]),
        ("table", [("patients", None)]),
        ("Database", [(None, None)]),
        ("all", [(None, None)]),
    ],
)
def test_the_alert_is_put_where_alert_scope_says(
    base: Base, quiet: Row, alert_scope: str, alerts: list[tuple[str, str]]
) -> None:
    """One alert per column, per table, or per endpoint."""
    write_rule(base, "value_counts", "==", 10, alert_scope=alert_scope, alert_message="Ten")
    base.judge(TODAY)
    found = base.alerts(TODAY)
    assert [(a["table"], a["column"]) for a in found] == alerts
    assert {a["alert_scope"] for a in found} == {alert_scope.lower()}
    if alert_scope == "table":
        assert found[0]["alert_message"] == "Ten: alive, name, patient_id"


@pytest.mark.parametrize(
    ("scope", "columns", "tables"),
    [
        ("all", {}, {"patients", "stays"}),
        ("database", {}, {"patients", "stays"}),
        ("table", {"table": "stays"}, {"stays"}),
        ("column", {"table": "stays", "column": "weight"}, {"stays"}),
        ("table", {"table": "elsewhere"}, set()),
    ],
)
def test_condition_scope_says_which_metrics_are_judged(
    base: Base, quiet: Row, scope: str, columns: Row, tables: set[str]
) -> None:
    """A rule about an object that has no metrics judges nothing, and is counted."""
    write_rule(base, "value_counts", ">", 5, condition_scope=scope, alert_scope="table", **columns)
    run = base.judge(TODAY)
    assert {alert["table"] for alert in base.alerts(TODAY)} == tables
    assert ("1 rule names objects without metrics" in run.output) == (not tables)


def test_a_rule_may_leave_the_endpoint_open_or_name_one(base: Base, quiet: Row) -> None:
    """Without an endpoint the database's name decides; scope all needs neither."""
    other = {"rule_name": "other"}
    mine = [
        write_rule(base, "value_counts", "==", 0, endpoint=quiet["slug"]),
        write_rule(base, "value_counts", "==", 0, database=quiet["database"], condition_scope="database"),
        write_rule(base, "value_counts", "==", 0, database="elsewhere", condition_scope="all"),
        write_rule(base, "value_counts", "==", 0, condition_scope="database"),
    ]
    write_rule(base, "value_counts", "==", 0, database="elsewhere", condition_scope="database", **other)
    write_rule(base, "value_counts", "==", 0, endpoint="elsewhere:mysql:::false", **other)
    write_rule(base, "value_counts", "==", 0, enabled=False, rule_name="off")
    base.judge(TODAY)
    assert [alert["rule_id"] for alert in base.alerts(TODAY)] == [str(rule) for rule in mine]


def test_alerts_hold_no_value_out_of_the_data(base: Base, quiet: Row) -> None:
    """Fault 17: the smallest weight is somebody's weight; a count is a count."""
    for metric in ("min_num_var", "max_num_var", "median_num_var", "mean_num_var"):
        write_rule(base, metric, ">", 3, table="stays", column="weight", alert_message="Too heavy")
    write_rule(base, "highest_frequency", "==", 2, table="stays", column="patient_id", alert_message="Twice")
    run = base.judge(TODAY)
    messages = [alert["alert_message"] for alert in base.alerts(TODAY)]
    assert messages[:2] == ["Too heavy: min_num_var", "Too heavy: max_num_var"]
    assert messages[-1] == "Twice: highest_frequency = 2"
    assert not any(value in "".join(messages) for value in ("71.5", "90.5", "81", "Dupont"))
    assert not any(value in run.text for value in ("71.5", "90.5", "81.0", "Dupont"))


# Bad rules, failures, other days ----------------------------------------------------------------------------


def content(metric: str, condition: str, value: object) -> Row:
    return {"rule_content": json.dumps({"metric": metric, "condition": condition, "conditionValue": value})}


# What the error says -> the columns of the rule
BAD = {
    "neither JSON nor base64": {"rule_content": "%%%"},
    "is not valid JSON": {"rule_content": base64.b64encode(b"no json").decode()},
    "must be a JSON object with": {"rule_content": base64.b64encode(b"[1]").decode()},
    "names no known metric": content("endpoint", "==", 1),
    "condition must be one of": content("value_counts", "RESEMBLES", 1),
    "conditionValue must be a number": content("value_counts", "==", "NaN"),
    "conditionValue is missing": content("value_counts", "==", None),
    "must be true or false": content("is_key", "==", 3),
    "only with ==, !=, in": content("is_key", "<", True),
    "must be a date": content("max_date_var", "<", 7),
    "rule_type 'python' is unknown": {"rule_type": "python"},
    "alert_class 'KPI' is unknown": {"alert_class": "KPI"},
    "alert_level must be": {"alert_level": "Panic"},
    "condition_trigger must be": {"condition_trigger": "returnNone"},
    "alert_scope must be": {"alert_scope": "row"},
    "condition_scope must be": {"condition_scope": "row"},
    "needs the name of a column": {"condition_scope": "column", "table": "stays"},
}


def test_a_bad_rule_is_an_error_of_its_own_and_never_affects_another(base: Base, quiet: Row) -> None:
    """Faults 2 and 3: one malformed rule killed the others; an error was taken for an alert, or for nothing."""
    good = write_rule(base, "percent_na_values", "==", 100)
    bad = {
        write_rule(base, "value_counts", ">", 0, rule_name=f"bad {i}", **columns): error
        for i, (error, columns) in enumerate(BAD.items())
    }
    last = write_rule(base, "value_counts", "==", 0)
    run = base.judge(TODAY)
    assert places(base.alerts(TODAY)) == [(str(rule), "patients", "nothing") for rule in (good, last)]
    report = run.only()
    assert (report["status"], run.exit_code) == ("partial", 0)
    stored = {
        row["id_rule"]: row["error"]
        for row in base.rows("SELECT rule_id::bigint AS id_rule, reason AS error FROM hdm_not_judged")
    }
    assert stored.keys() == bad.keys()
    for rule, error in bad.items():
        assert error in stored[rule]
        assert f") not judged: {stored[rule]}" in run.output
        assert any(
            line.startswith(f"rule {rule} (bad ") and line.endswith(stored[rule]) for line in report["incomplete"]
        )
    base.execute("DELETE FROM rule_basic WHERE rule_name LIKE 'bad %'")
    assert base.judge(TODAY).only()["status"] == "ok"
    assert base.rows("SELECT rule_id::bigint AS id_rule, reason AS error FROM hdm_not_judged") == []


def test_a_failure_while_storing_leaves_the_former_alerts(base: Base, ward: Row) -> None:
    """Fault 2: that day's alerts were deleted first."""
    base.judge(TODAY)
    before = base.alerts(TODAY)
    base.execute("ALTER TABLE hdm_alerts ADD CONSTRAINT broken CHECK (false) NOT VALID")
    run = base.judge(TODAY)
    assert (run.exit_code, run.only()["status"]) == (1, "failed")
    assert base.alerts(TODAY) == before != []


def test_judging_twice_replaces_that_date_and_no_other(base: Base, ward: Row) -> None:
    """Faults 6 and 13: a condition without brackets deleted the history of all days; a second run doubled the rows."""
    insert = 'INSERT INTO hdm_alerts (endpoint, "date", rule_id, rule_pack) VALUES (%s, %s, %s, %s)'
    others = [
        (ward["slug"], "2026-01-30", "1", "basic"),
        ("other", TODAY, "1", "basic"),
        (ward["slug"], TODAY, "1", "other"),
        ("", TODAY, "1", "basic"),  # a row of the original
    ]
    for values in others:
        base.execute(insert, *values)
    base.judge(TODAY)
    once = base.rows("SELECT * FROM hdm_alerts")
    base.judge(TODAY)
    assert base.rows("SELECT * FROM hdm_alerts ORDER BY ctid") == once
    assert len(once) == len(others) + 1


def test_alerts_that_no_longer_hold_are_gone_after_the_next_run_of_that_date(
    base: Base, ward: Row, hospital: Database
) -> None:
    """A corrected database, measured and judged again."""
    base.judge(TODAY)
    execute(hospital, "UPDATE patients SET nothing = 'something'")
    base.measure(TODAY)
    assert base.judge(TODAY).only()["alerts"] == 0
    assert base.alerts(TODAY) == []


def test_metrics_of_another_date_are_never_judged(base: Base, ward: Row) -> None:
    """Without metrics of the date the endpoint is skipped, and says so; former alerts stay."""
    base.judge(TODAY)
    run = base.judge(LATER)
    report = run.only()
    assert (run.exit_code, report["status"]) == (0, "skipped")
    assert f"no metrics for {LATER}" in report["message"]
    assert base.alerts(LATER) == []
    assert len(base.alerts(TODAY)) == 1


def test_one_failed_endpoint_does_not_stop_the_others(base: Base, ward: Row) -> None:
    """Fault 20."""
    wrong = {**ward, "slug": "wrong", "config": {"generate": "perhaps"}}
    run = base.judge(TODAY, wrong, ward)
    assert run.reports["wrong"]["status"] == "failed"
    assert "generate must be true or false" in run.reports["wrong"]["message"]
    assert run.reports[ward["slug"]]["status"] == "ok"
    assert run.exit_code == 0


@pytest.mark.parametrize("variable", ["HDM_CONTEXT", "HDM_REPORT"])
def test_a_missing_environment_never_ends_with_exit_0(base: Base, ward: Row, variable: str) -> None:
    """Fault 14, through the bootstrap script."""
    run = base.run("rule-packs/basic", "", TODAY, base.endpoints, bootstrap=True, variables={variable: None})
    assert run.exit_code == 1
    assert f"{variable} is not set" in run.output


def test_an_unreachable_base_never_ends_with_exit_0(base: Base, ward: Row) -> None:
    """Fault 14, the other half."""
    run = base.judge(TODAY, variables={"PGPORT": "1"})
    assert (run.exit_code, run.only()["status"]) == (1, "failed")
    assert base.run("rule-packs/basic", "rule_basic.py", TODAY, []).exit_code == 99


def test_objects_without_metrics_are_named_and_not_judged(base: Base, ward: Row) -> None:
    """A partial metric run is judged as far as it goes, and no further; the endpoint stays partial."""
    run = base.judge(TODAY, {**ward, "incomplete": ["lab_results"]})
    assert (run.only()["status"], run.only()["incomplete"]) == ("partial", ["lab_results"])
    assert run.only()["alerts"] == 1


def test_configuration_that_is_no_json_is_ignored_with_a_warning(base: Base, ward: Row) -> None:
    """A rule pack's configuration was sometimes just `dev`."""
    run = base.judge(TODAY, {**ward, "config": "dev"})
    assert run.only()["status"] == "ok"
    assert "ignoring the configuration: it is plain text, not JSON" in run.output + run.only()["message"]


def test_a_dropped_column_can_be_alerted(base: Base, quiet: Row, hospital: Database) -> None:
    """Fault 10: schema_change is a metric that a rule without code can judge."""
    rule = write_rule(base, "schema_change", "==", "dropped", alert_scope="table", alert_level="warning")
    execute(hospital, "ALTER TABLE patients DROP name, DROP alive")
    base.measure(LATER)
    base.judge(LATER)
    (alert,) = base.alerts(LATER)
    assert (alert["rule_id"], alert["table"], alert["alert_level"]) == (str(rule), "patients", "Warning")
    assert alert["alert_message"].endswith(": alive, name")


def test_further_conditions_and_former_values(base: Base, quiet: Row, hospital: Database) -> None:
    """`where` looks at the object's own metrics and its table's; an alert says what was observed, and what before."""
    rows = {"metric": "rows_count", "of": "table", "condition": ">", "conditionValue": 15}
    numbers = {"metric": "infered_data_type", "condition": "==", "conditionValue": "float"}
    content = {"metric": "value_counts", "condition": ">=", "conditionValue": 10, "where": [rows, numbers]}
    rule = write_rule(base, "", "", "", rule_content=json.dumps(content), alert_message="Many")
    execute(hospital, "DELETE FROM stays WHERE stay_id = 20")
    base.measure(LATER)
    base.judge(LATER)
    (alert,) = base.alerts(LATER)
    assert (alert["rule_id"], alert["table"], alert["column"]) == (str(rule), "stays", "weight")
    assert alert["alert_message"] == "Many: value_counts = 19"
    assert (alert["observed"], alert["former"], alert["threshold"]) == ("19", "20", ">= 10")
    assert result(base, LATER, rule)["reasons"] == {"not applicable": 6}


def test_values_of_patients_are_neither_observed_nor_former(base: Base, quiet: Row, hospital: Database) -> None:
    """Not in the message, and not in the columns beside it."""
    base.measure(LATER)
    write_rule(base, "max_num_var", ">", 3, table="stays", column="weight")
    base.judge(LATER)
    (alert,) = base.alerts(LATER)
    assert (alert["observed"], alert["former"], alert["threshold"]) == (None, None, "> 3")


def test_alerts_are_stored_in_a_base_that_has_no_observed_values_yet(base: Base, ward: Row) -> None:
    """Before `airflow hdm db upgrade`."""
    base.execute("ALTER TABLE hdm_alerts DROP observed, DROP former, DROP threshold")
    assert base.judge(TODAY).only()["alerts"] == len(base.alerts(TODAY)) == 1


def test_a_metric_that_an_older_metric_pack_does_not_have_is_named(base: Base, quiet: Row) -> None:
    """Neither an error nor silence: the rule, the metric and the version that has it."""
    base.execute("ALTER TABLE metric_basic DROP COLUMN IF EXISTS decimals_max CASCADE")
    missing = write_rule(base, "decimals_max", ">", 2)
    good = write_rule(base, "percent_na_values", "==", 100)
    run = base.judge(TODAY)
    assert run.only()["status"] == "ok", run.output
    assert f"rule {missing} (decimals_max > 2 []) not judged: decimals_max needs metric pack basic 1.2" in run.output
    assert "1 rule needs a newer version of metric pack basic" in run.only()["message"]
    assert places(base.alerts(TODAY)) == [(str(good), "patients", "nothing")]
    assert result(base, TODAY, missing)["reasons"] == {"metric missing": 1}


def test_a_rule_that_asks_for_usual_values_is_not_judged_without_history(base: Base, quiet: Row) -> None:
    """On the first date."""
    usual = write_rule(base, "", "", "", rule_content=json.dumps({"metric": "value_counts", "usual": True}))
    assert base.judge(TODAY).only()["status"] == "ok"
    found = result(base, TODAY, usual)
    assert (found["ok"], found["breached"], found["reasons"]) == (0, 0, {"no history": 7})


def test_judging_twice_leaves_one_set_of_results(base: Base, ward: Row) -> None:
    """One row per rule, of this date only."""
    base.judge(TODAY)
    once = base.rows("SELECT * FROM rule_basic_result ORDER BY id_rule")
    base.judge(TODAY)
    assert base.rows("SELECT * FROM rule_basic_result ORDER BY id_rule") == once != []


# Metrics of tables, versions and databases; trends ---------------------------------------------------------------

MONDAY, TUESDAY = "2026-02-02", "2026-02-03"


@pytest.fixture
def written(base: Base) -> Iterator[Nights]:
    """Two nights of an endpoint as the metric pack stores them, and the endpoint for the rule pack."""
    endpoint = postgres_endpoint(base.database, config={"generate": False})
    base.endpoints = [endpoint]
    with nights(base) as made:
        made.slug, made.database = endpoint["slug"], endpoint["database"]
        made.write(MONDAY, [measured(label, {"a": column(), "b": column()}, rows=10) for label in ("beds", "stays")])
        beds = measured("beds", {"a": column(value_counts=30), "c": column("text")}, rows=40)
        made.write(TUESDAY, [beds, measured("wards", {"x": column()}, rows=10)])
        yield made


def write_rule_of(base: Base, of: str, metric: str, condition: str, value: object, **columns: Any) -> int:
    """A rule that says what its metric is of."""
    content = {"metric": metric, "condition": condition, "conditionValue": value, "of": of}
    return write_rule(base, metric, condition, value, rule_content=json.dumps(content), rule_name=of, **columns)


@pytest.mark.parametrize(
    ("metric", "condition", "value", "columns", "table", "message"),
    [
        ("rows_count", ">", 20, {}, "beds", "now 40"),
        ("rows_count", ">", 20, {"table": "beds", "alert_scope": "table"}, "beds", "now 40"),
        ("rows_count", ">", 0, {"alert_scope": "database"}, None, "beds, wards"),
        ("evol_rows_count", ">=", 4, {}, "beds", "evol_rows_count = 4"),
        ("columns_retyped", "==", 0, {"table": "beds"}, "beds", "columns_retyped = 0"),
        ("delta_mean7_rows_count", ">", 5, {}, "beds", "delta_mean7_rows_count = 30"),
        ("tables_dropped", ">", 0, {}, None, "tables_dropped = 1"),
        ("unreadable_count", "==", 0, {"condition_scope": "database"}, None, "unreadable_count = 0"),
        ("dates_count", "==", 2, {"alert_scope": "all"}, None, "dates_count = 2"),
        ("version_changed", "!=", 1, {}, None, "version_changed = 0"),
    ],
)
def test_metrics_of_tables_versions_and_databases_are_judged(
    written: Nights, metric: str, condition: str, value: object, columns: Row, table: str | None, message: str
) -> None:
    """A rule judges the rows of what its metric is of; the alert is on the table, or on the database."""
    rule = write_rule(written.base, metric, condition, value, alert_message="Look", **columns)
    run = written.base.judge(TUESDAY)
    assert run.only()["status"] == "ok", run.output
    (alert,) = written.base.alerts(TUESDAY)
    assert (alert["rule_id"], alert["table"], alert["column"]) == (str(rule), table, None)
    assert alert["alert_message"] == f"Look: {message}"
    assert alert["alert_scope"] == columns.get("alert_scope", "database" if table is None else "table")


def test_trends_of_columns_are_judged_beside_their_metrics(written: Nights) -> None:
    """From the view, which a rule must name before it is read."""
    high = write_rule(written.base, "evol_mean7_value_counts", ">", 2, alert_message="Three times as many")
    plain = write_rule(written.base, "value_counts", "==", 30)
    few = write_rule(written.base, "dates_7", "==", 1, table="beds", column="a")
    written.base.judge(TUESDAY)
    alerts = written.base.alerts(TUESDAY)
    assert places(alerts) == [(str(rule), "beds", "a") for rule in (high, plain, few)]
    assert alerts[0]["alert_message"] == "Three times as many: evol_mean7_value_counts = 3"
    written.base.execute("DROP VIEW metric_basic_trend")
    run = written.base.judge(TUESDAY)
    assert run.only()["status"] == "partial"
    assert places(written.base.alerts(TUESDAY)) == [(str(plain), "beds", "a")]


def test_a_name_on_several_levels_is_the_finest_unless_the_rule_says_of_what(written: Nights) -> None:
    """schema_change is of columns and of tables, columns_count of tables, versions and databases."""
    column_rule = write_rule(written.base, "schema_change", "==", "dropped", table="stays")
    table_rule = write_rule_of(written.base, "table", "schema_change", "==", "dropped", condition_scope="database")
    version_rule = write_rule_of(written.base, "version", "columns_count", "==", 3)
    written.base.judge(TUESDAY)
    assert places(written.base.alerts(TUESDAY)) == [
        (str(column_rule), "stays", "a"),
        (str(column_rule), "stays", "b"),
        (str(table_rule), "stays", None),
        (str(version_rule), None, None),
    ]


@pytest.mark.parametrize(
    ("error", "of", "metric", "columns"),
    [
        ("scope column is too fine for a metric of a table", "table", "rows_count", {"table": "beds", "column": "a"}),
        ("condition_scope table is too fine for a metric of a version", "version", "tables_new", {"table": "beds"}),
        ("names no known metric of a table", "table", "value_counts", {}),
        ("of must be one of column, table, version, database", "row", "value_counts", {}),
        ("names no known metric of a table", "table", "run_id", {}),
    ],
)
def test_a_rule_that_asks_a_thing_for_what_it_does_not_have_is_an_error(
    written: Nights, error: str, of: str, metric: str, columns: Row
) -> None:
    """Neither an alert nor silence."""
    rule = write_rule_of(written.base, of, metric, "==", 1, **columns)
    run = written.base.judge(TUESDAY)
    assert run.only()["status"] == "partial"
    ((stored),) = written.base.rows("SELECT rule_id::bigint AS id_rule, reason AS error FROM hdm_not_judged")
    assert stored["id_rule"] == rule
    assert error in stored["error"]


def test_percentiles_are_values_out_of_the_data(written: Nights) -> None:
    """The 99th percentile of ten weights is somebody's weight; so is a mean of such."""
    written.write(TUESDAY, [measured("beds", {"a": column(p99_num_var=71.5)})], run_id="again")
    write_rule(written.base, "p99_num_var", ">", 3, alert_message="Too heavy")
    written.base.judge(TUESDAY)
    assert written.base.alerts(TUESDAY)[0]["alert_message"] == "Too heavy: p99_num_var"


def test_a_database_without_columns_is_judged(written: Nights) -> None:
    """Its date is complete: that it has no tables any more is a finding."""
    written.write("2026-02-05", {})
    written.write("2026-02-06", {})
    rule = write_rule(written.base, "tables_count", "==", 0)
    assert written.base.judge("2026-02-06").only()["alerts"] == 1
    assert places(written.base.alerts("2026-02-06")) == [(str(rule), None, None)]


# What alerts quote ------------------------------------------------------------------------------------------

NOT_JUDGED = {"endpoint", "database", "dbversion", "table", "column", "date", "run_id", "measured_at"}


def columns_of(base: Base, relation: str) -> set[str]:
    """The columns that rules may name."""
    rows = base.rows(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
        " AND (atttypid <> 'date'::regtype OR attname = 'newest_day')",
        relation,
    )
    return {row["attname"] for row in rows} - NOT_JUDGED


def test_every_column_that_a_rule_may_name_is_declared(base: Base) -> None:
    """In the four tables and both views; what is a value is not quoted, nor are its comparisons."""
    declared = base.rows("SELECT * FROM metric_basic_metric")
    quotable = {(row["describes"], row["metric"]) for row in base.rows("SELECT * FROM metric_basic_quotable")}
    for describes, table in (
        *(("column", "metric_basic"), ("table", "metric_basic_table"), ("version", "metric_basic_version")),
        ("database", "metric_basic_database"),
    ):
        metrics = [row for row in declared if row["describes"] == describes]
        expected = {row["metric"] for row in metrics}
        expected |= {f"delta_{row['metric']}" for row in metrics if row["compared"]}
        expected |= {f"evol_{row['metric']}" for row in metrics if row["compared"] in {"count", "measure"}}
        assert columns_of(base, table) == expected
        values = {row["metric"] for row in metrics if row["is_value"]}
        assert {name for name in expected if (describes, name) not in quotable} == {
            name for name in expected if name.removeprefix("delta_").removeprefix("evol_") in values
        }
    assert {row["metric"] for row in declared if row["is_value"]} >= {
        *("min_num_var", "max_num_var", "mean_num_var", "median_num_var", "std_num_var", "p01_num_var", "p99_num_var"),
        *("min_date_var", "max_date_var"),
    }
    for describes in ("column", "table"):
        view = f"metric_basic{'_table' * (describes == 'table')}_trend"
        compared = {row["metric"] for row in declared if row["describes"] == describes and row["compared"] != ""}
        trends = columns_of(base, view) - {"dates_7", "dates_28"}
        assert trends
        for name in trends:
            metric = re.sub(r"^(delta_|evol_)?(weekday|mean7|mean28)_", "", name)
            assert metric in compared
            is_value = any(row["is_value"] for row in declared if row["metric"] == metric)
            assert ((describes, name) in quotable) is not is_value, name


def test_a_metric_that_nobody_has_classified_is_not_quoted(base: Base, quiet: Row) -> None:
    """By whatever way its column came into the base; and nothing is quoted where nothing is classified."""
    base.execute(
        "ALTER TABLE metric_basic ADD COLUMN unclassified double precision, ADD COLUMN new_value_counts bigint"
    )
    base.execute("UPDATE metric_basic SET unclassified = 71.5, new_value_counts = 715")
    place = {"table": "stays", "column": "weight", "alert_message": "Odd"}
    for metric in ("unclassified", "new_value_counts", "value_counts"):
        write_rule(base, metric, ">", 3, **place)
    run = base.judge(TODAY)
    messages = [alert["alert_message"] for alert in base.alerts(TODAY)]
    assert messages == ["Odd: unclassified", "Odd: new_value_counts", "Odd: value_counts = 20"]
    assert "71" not in run.text.replace(quiet["slug"], "")
    base.execute("DROP VIEW metric_basic_quotable")
    base.judge(TODAY)
    assert base.alerts(TODAY)[-1]["alert_message"] == "Odd: value_counts"
