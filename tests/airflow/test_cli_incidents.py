"""`airflow hdm incidents`: what is open, what nobody judges, and what people do with it."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from hdm_airflow.base import incidents
from hdm_airflow.base.hook import HdmHook
from tests.airflow.cli_harness import Done, Hdm
from tests.airflow.test_cli_alerts import CANARY, HEART, LUNG, MONDAY, TUESDAY, alert, lines, run

if TYPE_CHECKING:
    from demo.services import Database

WEDNESDAY = TUESDAY + timedelta(days=1)
COLUMNS = ["id", "level", "state", "since", "endpoint", "table", "column", "message"]


@pytest.fixture
def hdm(capsys: pytest.CaptureFixture[str], base: Database, monkeypatch: pytest.MonkeyPatch) -> Hdm:
    """Commands in this process, with two endpoints, and rule pack basic on both."""
    monkeypatch.setenv("AIRFLOW_VAR_HDM", "{}")
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    hdm = Hdm(capsys)
    for slug in (HEART, LUNG):
        hdm("endpoints", "add", slug)
    hdm("activate", "rp_basic", "--all")
    return hdm


def night(base: Database, day: date, slug: str, *found: tuple[str, str, str], status: str = "success") -> None:
    """A night of rule pack basic on an endpoint, whose alerts are (table, column, level)."""
    for table, column, level in found:
        alert(base, day, slug, table, level, column=column)
    run(day, slug, status)
    with HdmHook().session() as session:
        incidents.derive(session, "basic", reopen_days=7)


def bad_week(base: Database) -> None:
    """Monday: two faults in visits of heart, one in labs of lung. Tuesday: one more in heart; lung fails."""
    night(base, MONDAY, HEART, ("visits", "ward", "Warning"), ("visits", "day", "Warning"))
    night(base, MONDAY, LUNG, ("labs", "value", "High"))
    night(base, TUESDAY, HEART, ("visits", "ward", "Warning"), ("visits", "day", "Warning"), ("levels", "code", "High"))
    night(base, TUESDAY, LUNG, status="failed")


def rows(hdm: Hdm, *words: object) -> list[tuple[str, str]]:
    return [(row["table"], row["column"]) for row in hdm.json("incidents", "list", *words)]


def id_of(hdm: Hdm, column: str) -> int:
    return next(int(row["id"]) for row in hdm.json("incidents", "list", "--state", "all") if row["column"] == column)


def one(hdm: Hdm, incident: int) -> dict[str, Any]:
    found: dict[str, Any] = hdm.json("incidents", "show", incident)
    return found


def test_open_incidents_are_listed_the_most_severe_and_newest_first(hdm: Hdm, base: Database) -> None:
    """Those of one group together; what nobody could judge says so; stderr says what has changed, and what to do."""
    bad_week(base)
    done = hdm("incidents", "list", "--output", "plain")
    head, *body = done.out.splitlines()
    assert head.split() == COLUMNS
    assert [re.split(r"  +", line.strip())[1:7] for line in body] == [
        ["High", "open", "2024-06-04", HEART, "levels", "code"],
        ["High", "open, not judged since 2024-06-04", "2024-06-03", LUNG, "labs", "value"],
        ["Warning", "open", "2024-06-03", HEART, "visits", "day"],
        ["Warning", "open", "2024-06-03", HEART, "visits", "ward"],
    ]
    assert all(line.endswith("The table has lost rows") for line in body)
    assert lines(done) == [
        "metric date 2024-06-04, 1 endpoint: 1 opened, 0 reopened, 0 resolved, 0 closed",
        f"metric date 2024-06-03, 1 endpoint ({LUNG}): 1 opened, 0 reopened, 0 resolved, 0 closed",
        "4 open incidents in 3 groups",
        "1 of them has not been judged since 2024-06-04: see list --judged no",
        "next: airflow hdm incidents show ID, then ack, assign, comment, mute, accept or close",
        f"warning: {LUNG} was not judged on 2024-06-04: rp_basic failed; judged last on 2024-06-03",
    ]
    table = hdm("incidents", "list", "--output", "table").out
    assert table.count("visits") == 1  # the second of the group says "


def test_newest_alert_goes_with_an_incident(hdm: Hdm, base: Database) -> None:
    """Also with one that is over, and with one whose rule has no id."""
    alert(base, MONDAY, HEART, "visits", alert_message="former", observed="3")
    run(MONDAY, HEART)
    alert(base, TUESDAY, HEART, "visits", alert_message="newest", observed="4")
    alert(base, TUESDAY, HEART, "labs", rule_id=None, alert_message="without a rule")  # type: ignore[arg-type]  # as of a careless pack
    night(base, TUESDAY, HEART)
    night(base, WEDNESDAY, HEART)
    found = hdm.json("incidents", "list", "--state", "resolved")
    assert [(row["table"], row["message"], row["observed"], row["alert_on"]) for row in found] == [
        ("labs", "without a rule", None, "2024-06-04"),
        ("visits", "newest", "4", "2024-06-04"),
    ]
    assert [row["state"] for row in found] == ["resolved"] * 2


def test_filters_narrow_the_list(hdm: Hdm, base: Database) -> None:
    bad_week(base)
    code, ward, day, value = (("levels", "code"), ("visits", "ward"), ("visits", "day"), ("labs", "value"))
    assert rows(hdm) == [code, value, day, ward]
    assert rows(hdm, "--level", "high") == [code, value]
    assert rows(hdm, "--endpoint", "heart") == [code, day, ward]
    assert rows(hdm, "--pack", "rp_basic", "--rule", "1") == [code, value, day, ward]
    assert rows(hdm, "--rule", "2") == rows(hdm, "--table", "") == rows(hdm, "--state", "resolved") == []
    assert rows(hdm, "--table", "visits") == rows(hdm, "--group", id_of(hdm, "ward")) == [day, ward]
    assert rows(hdm, "--since", "2024-06-04") == [code]
    assert rows(hdm, "--judged", "no") == [value]
    assert rows(hdm, "--judged", "yes", "--limit", "2") == [code, day]
    assert (
        "4 open incidents in 3 groups; the list has the first 2 (--limit)" in hdm("incidents", "list", "--limit", 2).err
    )
    assert "1 open incident with these filters" in hdm("incidents", "list", "--judged", "no").err
    hdm("incidents", "ack", id_of(hdm, "ward"))
    hdm("incidents", "assign", id_of(hdm, "day"), "--to", "bob")
    hdm("incidents", "mute", id_of(hdm, "code"), "--until-resolved")
    assert rows(hdm, "--acknowledged", "yes") == [ward]
    assert rows(hdm, "--acknowledged", "no") == [code, value, day]
    assert rows(hdm, "--assignee", "bob") == [day]
    assert rows(hdm, "--assignee", "") == [code, value, ward]
    assert rows(hdm, "--muted", "yes") == [code]
    assert rows(hdm, "--muted", "no") == [value, day, ward]
    states = {row.split()[0]: row for row in hdm("incidents", "list", "--output", "plain").out.splitlines()[1:]}
    assert "open, acknowledged by ada" in states[str(id_of(hdm, "ward"))]
    assert "open, assigned to bob" in states[str(id_of(hdm, "day"))]
    assert "open, muted until resolved" in states[str(id_of(hdm, "code"))]


def test_groups_are_one_row_each(hdm: Hdm, base: Database) -> None:
    bad_week(base)
    found = hdm.json("incidents", "list", "--groups")
    assert [(row["level"], row["incidents"], row["not_judged"], row["endpoint"], row["table"]) for row in found] == [
        ("High", 1, 0, HEART, "levels"),
        ("High", 1, 1, LUNG, "labs"),
        ("Warning", 2, 0, HEART, "visits"),
    ]
    assert rows(hdm, "--group", found[2]["id"]) == [("visits", "day"), ("visits", "ward")]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["list", "--endpoint", "kidney"], "there is no endpoint 'kidney'"),
        (["list", "--pack", "pulse"], "the rule packs are: rp_basic"),
        (["list", "--level", "fatal"], "invalid choice"),
        (["list", "--since", "yesterday"], "--since"),
        (["list", "--group", "9"], "there is no incident 9"),
        (["show", "9"], "there is no incident 9"),
        (["show", "9" * 20], "invalid incident_id value"),
        (["ack", "0"], "invalid incident_id value"),
        (["ack", "9"], "there is no incident 9"),
        (["ack"], "no incident is named"),
        (["close", "1", "--all"], "ids are combined with --all"),
        (["close", "1", "--table", "visits"], "ids are combined with --table"),
        (["comment", "1", "-m", " "], "the comment is empty"),
        (["comment", "1"], "required: -m/--comment"),
        (["comment", "1", "-m", "x" * 2001], "the comment has 2,001 characters"),
        (["comment", "1", "-m", "caf\udce9"], "the comment is not valid text"),
        (["assign", "1", "--to", "x" * 201], "the assignee has 201 characters"),
        (["mute", "1"], "it does not say until when"),
        (["mute", "1", "--until", "2099-01-01", "--until-resolved"], "exclude each other"),
        (["mute", "1", "--until", "2024-06-04"], "2024-06-04 is not after 2024-06-04, the newest metric date"),
        (["ack", "--table", "visits"], "cannot ask for confirmation (stdin is not a terminal)"),
        (["ack", "1", "2"], "cannot ask for confirmation (stdin is not a terminal)"),
    ],
)
def test_misuse_changes_nothing_and_says_why(hdm: Hdm, base: Database, words: list[str], what: str) -> None:
    bad_week(base)
    before = stored(base)
    assert what in hdm("incidents", *words, code=2).err
    assert stored(base) == before


def stored(base: Database) -> list[Any]:
    with base.connect() as owner:
        return [
            owner.execute(f"SELECT * FROM {table} ORDER BY id").fetchall()
            for table in ("hdm_incident", "hdm_incident_event", "hdm_audit")
        ]


def test_only_open_incidents_are_closed_and_all_or_none(hdm: Hdm, base: Database) -> None:
    """One of two is closed already: the other stays open."""
    bad_week(base)
    ward, day = id_of(hdm, "ward"), id_of(hdm, "day")
    hdm("incidents", "close", ward)
    before = stored(base)
    for action in ("ack", "accept", "close"):
        done = hdm("incidents", action, ward, day, "--yes", code=2)
        assert f"not open: {ward} (closed as by hand on 2024-06-04)" in done.err
    done = hdm("incidents", "mute", ward, "--until-resolved", code=2)
    assert "only open incidents can be muted until they are resolved" in done.err
    assert stored(base) == before


def test_show_tells_the_life_of_an_incident(hdm: Hdm, base: Database) -> None:
    """Its newest alert, what nights and people did, and what a late date has corrected."""
    night(base, TUESDAY, HEART, ("visits", "ward", "Info"))
    ward = id_of(hdm, "ward")
    hdm("incidents", "ack", ward, ward, "-m", "asked the ward")  # one incident: it does not ask
    night(base, WEDNESDAY, HEART, ("visits", "ward", "High"))
    night(base, MONDAY, HEART, ("visits", "ward", "Info"))
    found = one(hdm, ward)
    assert (found["first_on"], found["level"], found["message"]) == ("2024-06-03", "High", "The table has lost rows")
    events = [(event["date"], event["kind"], event["actor"], event["detail"]) for event in found["events"]]
    assert events[:1] == [("2024-06-03", "opened", None, "")]
    assert events[-3:] == [
        ("2024-06-04", "acknowledged", "ada", ""),
        ("2024-06-04", "commented", "ada", "asked the ward"),
        ("2024-06-05", "level", None, "Info"),
    ]
    plain = hdm("incidents", "show", ward, "--output", "plain").out
    assert re.search(r"^2024-06-04 .* commented +ada +(High|Info) +asked the ward", plain, re.MULTILINE)
    assert "open, acknowledged by ada" in plain
    assert "warning" not in hdm("incidents", "show", ward).err
    run(WEDNESDAY + timedelta(days=1), HEART, "failed", "exit code 1")
    assert "rp_basic failed: exit code 1; judged last on 2024-06-05" in hdm("incidents", "show", ward).err
    for output in ("table", "yaml"):
        shown = hdm("incidents", "show", ward, "--output", output).out
        assert "asked the ward" in shown
        assert "silent" in shown


def test_people_act_and_each_act_is_an_event_and_in_the_audit_trail(hdm: Hdm, base: Database) -> None:
    bad_week(base)
    ward = id_of(hdm, "ward")

    def acted(*words: object) -> str:
        return hdm("incidents", words[0], ward, *words[1:]).err.strip()

    assert acted("ack") == "1 incident acknowledged"
    assert acted("ack") == "1 incident unchanged: it was so already"
    unchanged = "1 incident unchanged: it was so already; the comment is in their history"
    assert acted("ack", "-m", "nothing new") == unchanged
    assert acted("assign", "--to", "bob") == "1 incident assigned to bob"
    assert acted("mute", "--until", "2024-06-05") == "1 incident muted until 2024-06-05"
    assert one(hdm, ward)["muted_until"] == "2024-06-05"
    assert acted("mute", "--until-resolved") == "1 incident muted until resolved"
    assert acted("unmute") == "1 incident no longer muted"
    assert acted("unmute") == "1 incident unchanged: it was so already"
    assert acted("assign", "--to", "") == "1 incident assigned to nobody"
    assert acted("comment", "-m", "asked the ward") == "1 incident commented on"
    assert "comes back only after a night without it" in acted("accept", "-m", "moved")
    found = one(hdm, ward)
    assert (found["state"], found["closed_as"], found["ended_on"]) == ("closed", "accepted", "2024-06-04")
    events = [(event["kind"], event["detail"]) for event in found["events"] if event["actor"] == "ada"]
    assert events == [
        ("acknowledged", ""),
        ("commented", "nothing new"),
        ("assigned", "bob"),
        ("muted", "until 2024-06-05"),
        ("muted", "until it is resolved"),
        ("unmuted", ""),
        ("assigned", ""),
        ("commented", "asked the ward"),
        ("accepted", ""),
        ("commented", "moved"),
    ]
    assert "finds again is reopened" in hdm("incidents", "close", id_of(hdm, "day")).err
    with base.connect() as owner:
        trail = owner.execute(
            "SELECT action, object FROM hdm_audit WHERE action LIKE 'incident%' AND actor = 'ada' ORDER BY id"
        ).fetchall()
    kinds = [
        "acknowledged",
        "acknowledged",
        "assigned",
        "muted",
        "muted",
        "unmuted",
        "assigned",
        "commented",
        "accepted",
    ]
    expected = [(f"incident {kind}", f"hdm_incident {ward}") for kind in kinds]
    assert trail == [*expected, ("incident closed", f"hdm_incident {id_of(hdm, 'day')}")]


def test_bulk_action_asks_and_takes_no_for_an_answer(hdm: Hdm, base: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    bad_week(base)
    asked: list[str] = []
    answers = iter([False, True])

    def agreed(question: str, _where: str) -> bool:
        asked.append(question)
        return next(answers)

    monkeypatch.setattr("hdm_airflow.cli.incident_actions.agreed", agreed)
    words = ("incidents", "close", "--table", "visits")
    ids = [row["id"] for row in hdm.json("incidents", "list", "--table", "visits")]
    assert "nothing was changed" in hdm(*words, code=1).err
    assert len(rows(hdm)) == 4
    assert "2 incidents closed" in hdm(*words).err
    assert asked == ["Close 2 open incidents?"] * 2
    assert rows(hdm) == [("levels", "code"), ("labs", "value")]
    assert "no open incident matches: nothing was changed" in hdm(*words).err
    assert "2 incidents acknowledged" in hdm("incidents", "ack", "--all", "--yes").err
    assert "2 incidents commented on" in hdm("incidents", "comment", "-m", "late", "--yes", *ids).err  # ids come last


def test_silence_is_explained(hdm: Hdm, base: Database) -> None:
    """No incident is no good news where nobody judged, or where the incidents lag behind the ledger."""
    done = hdm("incidents", "list", "--output", "json")
    assert done.data == []
    assert f"warning: {HEART} was not judged: rp_basic has no run" in lines(done)
    alert(base, MONDAY, HEART, "visits")
    run(MONDAY, HEART)
    behind = "the newest runs of rp_basic on 1 endpoint are not in these incidents yet: its next run brings them in"
    done = hdm("incidents", "list", "--output", "json")
    assert (done.data, f"warning: {behind}" in lines(done)) == ([], True)
    hdm("deactivate", "rp_basic", "--all")
    assert f"warning: no rule pack is activated on 2 endpoints: {HEART}, {LUNG}" in lines(hdm("incidents", "list"))


@pytest.mark.parametrize("output", ["table", "plain", "json", "yaml"])
def test_control_characters_are_made_visible(hdm: Hdm, base: Database, output: str) -> None:
    """In names, messages and comments: nothing moves the cursor, hides text, or looks like another row."""
    alert(base, MONDAY, HEART, CANARY, CANARY, column=CANARY, alert_message=CANARY)
    run(MONDAY, LUNG, "failed", CANARY)
    night(base, MONDAY, HEART)
    (row,) = hdm.json("incidents", "list")
    hdm("incidents", "assign", row["id"], "--to", CANARY, "-m", CANARY)

    def check(done: Done) -> None:
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", done.out + done.err)
        assert "owned" in done.out

    listed = hdm("incidents", "list", "--output", output)
    check(listed)
    assert output != "plain" or len(listed.out.splitlines()) == 2
    check(hdm("incidents", "list", "--groups", "--output", output))
    check(hdm("incidents", "show", row["id"], "--output", output))
