"""`airflow hdm alerts list`: what was found, what of it is new, and what nobody has judged."""

from __future__ import annotations

import json
import re
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from hdm_airflow.base import runs
from hdm_airflow.base.hook import HdmHook
from tests.airflow.cli_harness import Done, Hdm

if TYPE_CHECKING:
    from demo.services import Database

HEART = "heart:postgres:db.example:5432:reader:true"
LUNG = "lung:postgres:db.example:5432:reader:true"
MONDAY = date(2024, 6, 3)
TUESDAY = MONDAY + timedelta(days=1)


@pytest.fixture
def hdm(capsys: pytest.CaptureFixture[str], base: Database, monkeypatch: pytest.MonkeyPatch) -> Hdm:
    """Commands in this process, with two endpoints, and rule pack basic on both."""
    monkeypatch.setenv("AIRFLOW_VAR_HDM", "{}")
    hdm = Hdm(capsys)
    for slug in (HEART, LUNG):
        hdm("endpoints", "add", slug)
    hdm("activate", "rp_basic", "--all")
    return hdm


def run(day: date, slug: str, status: Any = "success", reason: str = "", kind: Any = "rule") -> None:
    """A ledger row of pack basic."""
    attempt = runs.Attempt(
        kind=kind,
        pack="basic",
        pack_version="1.0",
        metric_date=day,
        environment="default",
        dag_id="hdm_pipeline",
        run_id=f"night {day}",
        task_id="basic",
        try_number=1,
    )
    with HdmHook().session() as base:
        runs.finish(base, attempt, [runs.Outcome(endpoint=slug, status=status, reason=reason)])


def alert(base: Database, day: date, slug: str, table: str, level: str = "High", **more: str) -> None:
    values = {
        "date": day,
        "endpoint": slug,
        "table": table,
        "alert_level": level,
        "alert_message": "The table has lost rows",
        "rule_id": "1",
        "rule_pack": "basic",
        **more,
    }
    with base.connect() as connection:
        names = ", ".join(f'"{name}"' for name in values)
        connection.execute(
            f"INSERT INTO hdm_alerts ({names}) VALUES ({', '.join(['%s'] * len(values))})", [*values.values()]
        )


def lines(done: Done) -> list[str]:
    return done.err.splitlines()


def test_newest_judged_date_of_each_endpoint_is_listed(hdm: Hdm, base: Database) -> None:
    """heart's second night was judged, lung's was gated: its alerts are the first night's, and stderr says why."""
    for slug in (HEART, LUNG):
        run(MONDAY, slug)
        alert(base, MONDAY, slug, "visits", "Warning")
    run(TUESDAY, HEART)
    run(TUESDAY, LUNG, "skipped", "mp_basic failed: no password was found")
    alert(base, TUESDAY, HEART, "visits", "Warning")
    alert(base, TUESDAY, HEART, "levels", column="code", observed="0", former="950 to 1,050", threshold="475")
    done = hdm("alerts", "list", "--output", "json")
    found = [(row["date"], row["endpoint"], row["level"], row["table"], row["new"]) for row in done.data]
    assert found == [
        ("2024-06-04", HEART, "High", "levels", True),
        ("2024-06-04", HEART, "Warning", "visits", False),
        ("2024-06-03", LUNG, "Warning", "visits", True),
    ]
    first = done.data[0]
    assert (first["observed"], first["former"], first["threshold"]) == ("0", "950 to 1,050", "475")
    assert (first["column"], first["rule_pack"], first["rule_id"]) == ("code", "basic", "1")
    reason = "rp_basic was skipped: mp_basic failed: no password was found"
    assert lines(done) == [
        f"metric date 2024-06-04, 1 endpoint: {HEART}",
        f"metric date 2024-06-03, 1 endpoint: {LUNG}",
        "3 alerts, 2 of them new",
        f"warning: {LUNG} was not judged on 2024-06-04: {reason}; judged last on 2024-06-03",
        "do: see why with airflow hdm runs list; there, no alert does not mean that all is well",
    ]
    plain = hdm("alerts", "list", "--output", "plain").out.splitlines()
    assert plain[0].split() == ["date", "endpoint", "level", "table", "column", "new", "message"]
    assert plain[1].split()[:6] == ["2024-06-04", HEART, "High", "levels", "code", "yes"]
    for output in ("table", "yaml"):
        assert "levels" in hdm("alerts", "list", "--output", output).out


def test_filters_narrow_the_list(hdm: Hdm, base: Database) -> None:
    """And the count on stderr says that there are filters."""
    run(MONDAY, HEART)
    run(TUESDAY, HEART)
    alert(base, MONDAY, HEART, "visits", "Info")
    for table, level in (("visits", "Info"), ("levels", "High"), ("labs", "Warning")):
        alert(base, TUESDAY, HEART, table, level)

    def tables(*words: str) -> list[str]:
        return [row["table"] for row in hdm.json("alerts", "list", *words)]

    assert tables() == ["levels", "labs", "visits"]
    assert tables("--level", "warning") == ["levels", "labs"]
    assert tables("--level", "High") == ["levels"]
    assert tables("--table", "labs") == ["labs"]
    assert tables("--new") == ["levels", "labs"]
    assert tables("--date", "2024-06-03") == ["visits"]
    assert tables("--endpoint", "heart", "--pack", "rp_basic") == tables("--pack", "basic") == tables()
    assert tables("--endpoint", "lung") == tables("--table", "nowhere") == []
    assert "0 alerts with these filters" in hdm("alerts", "list", "--table", "nowhere").err
    assert "2 new alerts with these filters" in hdm("alerts", "list", "--new").err
    done = hdm("alerts", "list", "--limit", "1", "--output", "json")
    assert [row["table"] for row in done.data] == ["levels"]
    assert "3 alerts; the list has the first 1: --limit shows more, --new only new ones" in lines(done)
    done = hdm("alerts", "list", "--limit", "1", "--new")
    assert "2 new alerts with these filters; the list has the first 1: --limit shows more" in lines(done)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--endpoint", "kidney"], "there is no endpoint 'kidney'"),
        (["--pack", "mp_basic"], "no rule pack 'mp_basic' is activated or has run"),
        (["--pack", "pulse"], "the rule packs are: rp_basic"),
        (["--level", "fatal"], "invalid choice"),
        (["--date", "yesterday"], "--date"),
        (["--limit", "0"], "--limit"),
        (["--colour", "red"], "unrecognized arguments"),
    ],
)
def test_unknown_filter_is_an_error(hdm: Hdm, words: list[str], what: str) -> None:
    """It is not an empty list, which would look like good news."""
    assert what in hdm("alerts", "list", *words, code=2).err


def test_what_was_not_judged_is_named(hdm: Hdm, base: Database) -> None:
    """Never run, failed, running, run in part, without a run on the newest date: each with its reason."""

    def said(slug: str = HEART, *words: str) -> str:
        (line,) = [line for line in lines(hdm("alerts", "list", *words)) if line.startswith("warning") and slug in line]
        return line

    assert said() == f"warning: {HEART} was not judged: rp_basic has no run"
    run(MONDAY, HEART, kind="metric")
    assert said() == f"warning: {HEART} was not judged: rp_basic has no run"
    run(MONDAY, HEART, "failed", "exit code 1")
    assert said() == f"warning: {HEART} was not judged on 2024-06-03: rp_basic failed: exit code 1"
    run(MONDAY, HEART, "partial", "1 rule has an error")
    assert said() == f"warning: {HEART} was judged only in part on 2024-06-03 by rp_basic: 1 rule has an error"
    run(TUESDAY, HEART, kind="metric")
    expected = "was not judged on 2024-06-04: rp_basic has no run for it; judged last on 2024-06-03"
    assert said() == f"warning: {HEART} {expected}"
    assert said(HEART, "--date", "2024-06-05").endswith("was not judged: rp_basic has no run for 2024-06-05")
    run(TUESDAY, HEART)
    assert not [line for line in lines(hdm("alerts", "list", "--endpoint", "heart")) if "warning" in line]
    with base.connect() as owner:
        owner.execute(
            "UPDATE hdm_pack_run SET status = 'running', finished_at = NULL WHERE metric_date = %s", [TUESDAY]
        )
    assert "rp_basic is still running; judged last on 2024-06-03" in said()


def test_endpoint_without_a_rule_pack_is_named(hdm: Hdm, base: Database) -> None:
    """Nobody judges it. The alerts that it has from before are still listed."""
    run(MONDAY, HEART)
    alert(base, MONDAY, HEART, "visits")
    hdm("deactivate", "rp_basic", "--all")
    done = hdm("alerts", "list", "--output", "json")
    assert len(done.data) == 1
    assert lines(done)[-2:] == [
        f"warning: no rule pack is activated on 2 endpoints: {HEART}, {LUNG}",
        "do: activate one, so that they are judged: airflow hdm activate rp_basic ENDPOINT",
    ]
    done = hdm("alerts", "list", "--pack", "basic", "--endpoint", "lung")
    assert f"warning: rp_basic is not activated on 1 endpoint: {LUNG}" in lines(done)


def test_removed_endpoint_is_listed_by_its_slug_or_a_date(hdm: Hdm, base: Database) -> None:
    """Its alerts stay, but are no news."""
    run(MONDAY, HEART)
    alert(base, MONDAY, HEART, "visits")
    hdm("endpoints", "remove", "heart", "--yes")
    assert hdm.json("alerts", "list") == []
    assert (
        len(hdm.json("alerts", "list", "--endpoint", HEART)) == len(hdm.json("alerts", "list", "--date", MONDAY)) == 1
    )


def test_empty_base_says_so(hdm: Hdm) -> None:
    """No endpoint at all: an empty list, and nothing that could be taken for a verdict."""
    for name in ("heart", "lung"):
        hdm("endpoints", "remove", name, "--yes")
    done = hdm("alerts", "list", "--output", "json")
    warning = ["warning: there are no endpoints: nothing was judged", "do: add one: airflow hdm endpoints add"]
    assert (done.data, lines(done)) == ([], ["0 alerts", *warning])


def test_base_of_an_older_version_is_refused(hdm: Hdm, base: Database) -> None:
    """With the command that upgrades it."""
    with base.connect() as owner:
        owner.execute("DROP VIEW hdm_whole; UPDATE hdm_alembic_version SET version_num = '0002'")
    done = hdm("alerts", "list", code=2)
    assert "the HDM base is at version 0002; this release needs 0006" in done.err
    assert "airflow hdm db upgrade" in done.err


CANARY = "\x1b]0;owned\x07\x1b[2J\u202e[red]\r\nPatient"


@pytest.mark.parametrize("output", ["table", "plain", "json", "yaml"])
def test_control_characters_are_made_visible(hdm: Hdm, base: Database, output: str) -> None:
    """In names, messages and reasons: nothing moves the cursor, hides text, or looks like another row."""
    run(MONDAY, HEART)
    run(MONDAY, LUNG, "failed", CANARY)
    alert(base, MONDAY, HEART, CANARY, CANARY, column=CANARY, alert_message=CANARY)
    done = hdm("alerts", "list", "--output", output)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", done.out + done.err)
    assert "owned" in done.out
    assert "owned" in done.err
    if output == "plain":
        assert len(done.out.splitlines()) == 2
    if output == "json":
        assert json.loads(done.out)[0]["message"] == CANARY
