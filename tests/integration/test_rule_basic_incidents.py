"""The life of incidents of rule pack basic, night after night: none is resolved unless what it was about is well."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from hdm_airflow.base import incidents, runs
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.base.runs import Attempt, Outcome
from tests.integration.pack_harness import PACKS, Base
from tests.integration.store_harness import SLUG, Nights, column, measured, nights
from tests.integration.test_rule_basic_nights import ENDPOINT, MONDAY, ORPHANS, numbers, text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.services import Database
    from hdm_airflow.base.hook import BaseConnection

Life = list[tuple[int, str]]  # nights and what happened then


@dataclass
class Ward:
    """An endpoint, its nights, and the incidents that follow from them."""

    written: Nights
    session: BaseConnection
    incomplete: dict[int, tuple[str, ...]] = field(default_factory=dict)

    def night(self, number: int, *tables: Any, judge: bool = True, also: Any = None) -> dict[str, Any]:
        """Measure the tables, judge them, and derive the incidents. Returns: the alerts, as in `alerts`.

        `also` are tables that are there and were not measured.
        """
        date = MONDAY + dt.timedelta(number)
        self.written.write(str(date), list(tables), also)
        self.ledger("metric", number)
        return self.judge(number) if judge else {}

    def judge(self, number: int) -> dict[str, Any]:
        """Judge a night that is measured, and derive the incidents."""
        date = str(MONDAY + dt.timedelta(number))
        run = self.written.base.judge(date, {**ENDPOINT, "incomplete": list(self.incomplete.get(number, ()))})
        assert run.exit_code == 0, run.output
        report = run.only()
        assert "no incident can end" not in run.output, run.output
        self.ledger("rule", number, "success" if report["status"] == "ok" else report["status"], report)
        incidents.derive(self.session, "basic", reopen_days=7)
        return self.alerts(number)

    def ledger(self, kind: Any, number: int, status: Any = "", report: Any = None) -> None:
        """What an attempt writes into the ledger."""
        attempt = Attempt(
            kind=kind,
            pack="basic",
            pack_version="1.2.0",
            metric_date=MONDAY + dt.timedelta(number),
            environment="test",
            dag_id="hdm",
            run_id=f"night {number}",
            task_id="task",
            try_number=1,
        )
        missing = self.incomplete.get(number, ())
        names = tuple((report or {}).get("incomplete") or ()) or missing
        ids = runs.reserve(self.session, [SLUG])
        runs.start(self.session, attempt, ids)
        status = status or ("partial" if missing else "success")
        outcome = Outcome(endpoint=SLUG, status=status, reported=True, incomplete=names)
        runs.close(self.session, attempt, ids, [outcome])

    def alerts(self, number: int) -> dict[tuple[str, str, str], str]:
        """Level by rule, table and column."""
        rows = self.written.base.rows(
            """SELECT r.rule_name, coalesce(a."table", '') AS t, coalesce(a."column", '') AS c, a.alert_level
            FROM hdm_alerts a JOIN rule_basic r ON r.id_rule::text = a.rule_id WHERE a."date" = %s""",
            str(MONDAY + dt.timedelta(number)),
        )
        return {(row["rule_name"], row["t"], row["c"]): row["alert_level"] for row in rows}

    def lives(self) -> dict[tuple[str, str, str], Life]:
        """Derived events by rule, table and column: night and kind; of a closed one, as what."""
        rows = self.written.base.rows(
            """SELECT coalesce(r.rule_name, 'gone') AS rule, i."table", i."column", e."date", e.kind, e.closed_as
            FROM hdm_incident i JOIN hdm_incident_event e ON e.incident = i.id
            LEFT JOIN rule_basic r ON r.id_rule::text = i.rule_id
            WHERE e.actor IS NULL AND NOT e.withdrawn ORDER BY e."date", e.id"""
        )
        found: dict[tuple[str, str, str], Life] = {}
        for row in rows:
            kind = row["closed_as"] if row["kind"] == "closed" else row["kind"]
            life = found.setdefault((row["rule"], row["table"], row["column"]), [])
            life.append(((row["date"] - MONDAY).days, kind))
        return found

    def reasons(self, number: int) -> set[tuple[str, str, str]]:
        """Kind, table and column of what was not judged."""
        rows = self.written.base.rows(
            """SELECT kind, "table", "column" FROM hdm_not_judged WHERE "date" = %s""",
            str(MONDAY + dt.timedelta(number)),
        )
        return {(row["kind"], row["table"], row["column"]) for row in rows}


@pytest.fixture
def ward(base: Database, tmp_path: Path) -> Iterator[Ward]:
    """An endpoint in an HDM base."""
    made = Base(base, tmp_path, is_made=True)
    for script in sorted(PACKS.glob("*/*/create-table/*.sql")):
        made.execute(script.read_text())
    made.execute("INSERT INTO hdm_core_table_corr_db_rp VALUES ('basic', %s)", SLUG)
    with nights(made) as writer, HdmHook().session() as session:
        yield Ward(writer, session)


def stays(*nulls: int, **more: Any) -> Any:
    """A table of 100 rows, with a column per number of nulls: x0, x1, ..."""
    columns = {f"x{nth}": text(100, count) for nth, count in enumerate(nulls)}
    return measured("stays", {"id": numbers(100), **columns, **more}, rows=100)


EMPTY = ("empty column", "stays", "x0")
SUM = ("empty column", "stays", "")


def test_a_fault_that_stays_becomes_usual(ward: Ward) -> None:
    """It has alerts on three nights. Then it is closed, not resolved; and it is not opened again."""
    for number in range(10):
        ward.night(number, stays(100 if number >= 3 else 0))
    assert ward.lives() == {EMPTY: [(3, "opened"), (6, "usual")]}


def test_a_fault_that_goes_is_resolved(ward: Ward) -> None:
    """On the second night, or after it: whenever it is put right before it is usual."""
    for number in range(12):
        ward.night(number, stays(100 if number in {3, 6, 7, 8} else 0))
    life = ward.lives()[EMPTY]
    assert life == [(3, "opened"), (4, "resolved"), (6, "reopened"), (9, "resolved")]


def test_a_late_night_corrects_when_the_fault_ended(ward: Ward) -> None:
    """It was thought to have ended on the fifth night; the fourth arrives late, and is sound already."""
    for number in (0, 1, 2, 3, 5):
        ward.night(number, stays(100 if number == 3 else 0))
    assert ward.lives() == {EMPTY: [(3, "opened"), (5, "resolved")]}
    ward.night(4, stays(0))
    assert ward.lives() == {EMPTY: [(3, "opened"), (4, "resolved")]}


def test_a_rule_whose_metric_is_gone_resolves_nothing(ward: Ward) -> None:
    """Somebody changes its own rule to a metric that the metric pack does not have."""
    content = {"metric": "percent_na_values", "condition": ">", "conditionValue": 50}
    ward.written.base.execute(
        "INSERT INTO rule_basic (rule_name, condition_scope, rule_content) VALUES ('own', 'all', %s)",
        json.dumps(content),
    )
    for number in range(6):
        if number == 4:
            ward.written.base.execute(
                "UPDATE rule_basic SET rule_content = %s WHERE rule_name = 'own'",
                json.dumps({**content, "metric": "percent_of_nothing"}),
            )
        ward.night(number, stays(100 if number == 3 else 0))
    life = [event for event in ward.lives()["own", "stays", "x0"] if event[1] != "judged"]
    assert life == [(3, "opened"), (4, "not judged")]


def test_columns_keep_their_incident_when_others_join(ward: Ward) -> None:
    """One column, then two, then the first is filled again."""
    for number in range(8):
        ward.night(number, stays(100 if number in {3, 4} else 0, 100 if number in {4, 5} else 0))
    assert ward.lives() == {
        EMPTY: [(3, "opened"), (5, "resolved")],
        ("empty column", "stays", "x1"): [(4, "opened"), (6, "resolved")],
    }


def test_columns_of_one_alert_stay_in_it(ward: Ward) -> None:
    """Two columns, then one of them, then none."""
    for number in range(8):
        ward.night(number, stays(100 if number in {3, 4} else 0, 100 if number == 3 else 0))
        if number == 4:
            assert ward.alerts(4) == {SUM: "High"}
    assert ward.lives() == {SUM: [(3, "opened"), (5, "resolved")]}


def test_a_night_judged_again_gives_the_same_alerts(ward: Ward) -> None:
    found = {}
    for number in range(7):
        found[number] = ward.night(number, stays(100 if number in {3, 4} else 0, 100 if number == 4 else 0))
    before = ward.lives()
    for number in (4, 3, 5):
        assert ward.judge(number) == found[number]
    assert ward.lives() == before


@pytest.mark.parametrize("statement", ["UPDATE rule_basic SET enabled = false", "DELETE FROM rule_basic"])
def test_a_rule_that_is_off_resolves_nothing(ward: Ward, statement: str) -> None:
    for number in range(6):
        ward.night(number, stays(100 if number == 3 else 0))
        if number == 3:
            ward.written.base.execute(f"{statement} WHERE rule_name = 'empty column'")
    (life,) = [found for key, found in ward.lives().items() if key[1:] == ("stays", "x0")]
    assert life == [(3, "opened"), (4, "retired")]


def test_an_exception_retires_the_incident(ward: Ward) -> None:
    for number in range(6):
        ward.night(number, stays(100 if number == 3 else 0))
        if number == 3:
            ward.written.base.execute(
                """INSERT INTO rule_basic (rule_name, "table", enabled) VALUES ('*', 'stays', false)"""
            )
    assert ward.lives() == {EMPTY: [(3, "opened"), (4, "retired")]}


def test_a_dropped_column_is_gone(ward: Ward) -> None:
    for number in range(6):
        ward.night(number, stays(*([100] if number == 3 else [0] if number < 3 else [])))
    assert ward.lives()[EMPTY] == [(3, "opened"), (4, "gone")]


def test_a_table_that_is_excluded_is_gone_unless_metrics_are_missing(ward: Ward) -> None:
    """On the first night without it another table could not be measured, nor could part of it on the second."""
    visits = measured("visits", {"id": numbers(100)}, rows=100)
    ward.incomplete = {4: ("orders",), 5: ("ward.stays.x0",)}
    for number in range(8):
        also = {"stays": {"x0": column("text")}} if number in {4, 5} else None
        ward.night(number, visits, *([stays(100 if number == 3 else 0)] if number <= 3 else []), also=also)
    assert ward.lives()[EMPTY] == [(3, "opened"), (4, "not judged"), (6, "gone")]


def test_partial_metrics_resolve_nothing(ward: Ward) -> None:
    ward.incomplete = {4: ("stays.x0",)}
    for number in range(6):
        ward.night(number, stays(100 if number == 3 else 0))
    assert ward.lives() == {EMPTY: [(3, "opened"), (4, "not judged"), (5, "resolved")]}


def test_an_error_in_a_rule_resolves_nothing(ward: Ward) -> None:
    """It is said of the rule, with or without incidents."""
    content = {"metric": "percent_na_values", "condition": ">", "conditionValue": 50}
    ward.written.base.execute(
        "INSERT INTO rule_basic (rule_name, condition_scope, rule_content) VALUES ('own', 'all', %s)",
        json.dumps(content),
    )
    bad = "UPDATE rule_basic SET rule_content = %s WHERE rule_name = 'own'"
    for number in range(6):
        if number in {4, 5}:
            ward.written.base.execute(bad, "{" if number == 4 else json.dumps(content))
        ward.night(number, stays(100 if number == 3 else 0))
    own = ("own", "stays", "x0")
    assert [event for event in ward.lives()[own] if event[1] != "judged"] == [
        (3, "opened"), (4, "not judged"), (5, "resolved"),
    ]  # fmt: skip
    assert ("error", "", "") in ward.reasons(4)


def test_what_another_fault_would_explain_keeps_its_alert(ward: Ward) -> None:
    """Many nulls follow from lost rows. But these were there before, and are the same incident."""
    content = {"metric": "percent_na_values", "condition": ">", "conditionValue": 50}
    ward.written.base.execute(
        """INSERT INTO rule_basic (rule_name, condition_scope, rule_content, cause, yields_to)
        VALUES ('own', 'all', %s, 'shares', 'rows')""",
        json.dumps(content),
    )
    own = ("own", "stays", "x0")
    for number in range(6):
        rows, nulls = (40 if number == 4 else 100), (0 if number in {0, 1, 2, 5} else 30 if number == 4 else 100)
        columns = {"id": numbers(rows), "x0": text(rows, nulls)}
        found = ward.night(number, measured("stays", columns, rows=rows))
        assert (own in found) == (number in {3, 4})
        assert (("rows lost", "stays", "") in found) == (number == 4)
    assert ward.lives()[own] == [(3, "opened"), (5, "resolved")]


def test_orphans_of_two_tables_are_not_resolved_while_one_has_them(ward: Ward) -> None:
    """The alert is about the table that they refer to. What one of the two is compared with next has them, too."""
    for number in range(6):
        visits = [
            measured(name, {"id": numbers(1000), "patient": column(value_counts=1000, levels_count=50)}, rows=1000)
            for name in ("orders", "visits")
        ]
        ward.night(number, *visits, measured("patients", {"id": numbers(100)}, rows=100), judge=False)
        for nth, name in enumerate(("orders", "visits")):
            bad = number in {3, 4} if nth else number == 3
            ward.written.base.execute(ORPHANS, SLUG, name, str(MONDAY + dt.timedelta(number)), 1000, 200 * bad)
        ward.judge(number)
    assert ward.lives()["orphans", "patients", "id"] == [(3, "opened"), (4, "usual")]


def test_the_info_of_a_state_is_usual_on_the_next_night(ward: Ward) -> None:
    for number in range(3):
        ward.night(number, stays(100, 0))
    assert ward.lives() == {("columns always empty", "", ""): [(0, "opened"), (1, "usual")]}


def test_a_new_column_is_usual_and_a_table_that_is_back_is_resolved(ward: Ward) -> None:
    visits = measured("visits", {"id": numbers(100)}, rows=100)
    for number in range(6):
        tables = [stays(*([0] if number < 3 else [0, 0])), *([] if number == 3 else [visits])]
        ward.night(number, *tables)
    lives = ward.lives()
    assert lives["new column", "stays", "x1"] == [(3, "opened"), (4, "usual")]
    assert lives["dropped table", "visits", ""] == [(3, "opened"), (4, "resolved")]


def test_what_somebody_accepts_is_silent(ward: Ward) -> None:
    """The alert sums up two columns: both are accepted, and one that empties later is not."""
    for number in range(9):
        bad = 100 if number >= 3 else 0
        ward.night(number, stays(bad, bad, 100 if number >= 6 else 0))
        if number == 3:
            ward.written.base.execute(
                """WITH ended AS (
                    UPDATE hdm_incident SET state = 'closed', closed_as = 'accepted', ended_on = %(on)s
                    WHERE state = 'open' RETURNING id, level, opened_on
                )
                INSERT INTO hdm_incident_event (incident, kind, "date", actor, state, closed_as, level, opened_on)
                SELECT id, 'accepted', %(on)s, 'ada', 'closed', 'accepted', level, opened_on FROM ended""".replace(
                    "%(on)s", f"'{MONDAY + dt.timedelta(3)}'::date"
                )
            )
        if number in {4, 5}:
            assert ward.alerts(number) == {}
    lives = ward.lives()
    assert lives[SUM][0] == (3, "opened")
    (event,) = ward.written.base.rows("SELECT silent FROM hdm_incident_event WHERE kind = 'resolved'")
    assert event["silent"], "what is accepted is right: nobody is told of it"
    assert lives["empty column", "stays", "x2"][0] == (6, "opened")


def test_a_late_night_leaves_open_what_later_nights_were_silent_about(ward: Ward) -> None:
    """Judged before, they had no incident to look into. The next night in order has, and says what became of it."""

    def tables(number: int) -> list[Any]:
        rows = 100 if number < 3 else 40
        columns = {"x0": text(100, 100 if number == 3 else 0)} if number <= 3 else {}
        columns |= {"x1": text(100)} if number >= 3 else {}
        lost = measured("lost", {"id": numbers(rows)}, rows=rows)
        back = measured("back", {"id": numbers(100), "x": text(100, 100 if number == 3 else 0)}, rows=100)
        return [lost, back, measured("stays", {"id": numbers(100), **columns}, rows=100)]

    for number in range(6):
        ward.night(number, *tables(number), judge=number != 3)
    found = ward.judge(3)
    new = ("new column", "stays", "x1")
    lost, back = ("rows lost", "lost", ""), ("empty column", "back", "x")
    assert {new, lost, back, EMPTY} <= set(found)
    before = ward.lives()
    for key in (new, lost, back, EMPTY):
        assert before[key] == [(3, "opened"), (4, "not judged")]
    assert ward.judge(3) == found
    assert ward.lives() == before
    ward.judge(4)
    after = ward.lives()
    assert after[back] == [(3, "opened"), (4, "resolved")], "judged again, it looks into it"
    assert after[EMPTY] == [(3, "opened"), (4, "gone")]
    ward.night(6, *tables(6))
    life = ward.lives()
    assert life[new] == [(3, "opened"), (4, "usual")]
    assert life[lost][-1] == (6, "usual")


def test_a_base_of_an_older_release_has_no_incidents(ward: Ward) -> None:
    """The alerts are the same, and errors are in the log."""
    tables = "hdm_not_judged, hdm_incident_count, hdm_incident_event, hdm_incident"
    ward.written.write(str(MONDAY), [stays(100)])
    ward.ledger("metric", 0)
    with ward.session.transaction(force_rollback=False):
        ward.session.execute(f"DROP TABLE {tables} CASCADE".encode())
    run = ward.written.base.judge(str(MONDAY), ENDPOINT)
    assert (run.exit_code, run.only()["status"]) == (0, "ok"), run.output
    assert ward.alerts(0) == {("columns always empty", "", ""): "Info"}
