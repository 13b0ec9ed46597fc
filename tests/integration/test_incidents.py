"""Incidents in the base: what the model does not show."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from psycopg import OperationalError

from demo.services import Database
from hdm_airflow.base import activation, assignments, endpoints, incident_fold, incident_lock, incidents, runs
from hdm_airflow.base.endpoints import Endpoint, Registered
from hdm_airflow.base.gate import Gate
from hdm_airflow.base.hook import BaseConnection, HdmHook
from hdm_airflow.errors import HdmBaseError
from hdm_airflow.packs.pack import Requirement
from hdm_airflow.runner.masking import Masker
from hdm_airflow.runner.report import ReportReader
from tests.integration.incident_harness import ALERT, HEART, NOT_JUDGED, TABLES, Pack, day, versions
from tests.integration.incident_model import UNPROCESSED, Key, Night
from tests.integration.test_whole import SLUGS, attempt, write

FAULT: Key = ("1", "visits", "start")
OTHER: Key = ("2", "visits", "")
FOUND, SOUND = Night("success", {FAULT: "Warning"}), Night("success")


@pytest.fixture
def session(base: Database) -> Iterator[BaseConnection]:
    with HdmHook().session() as opened:
        yield opened


@pytest.fixture
def pack(session: BaseConnection) -> Pack:
    made = Pack(session)
    made.activate(*SLUGS)
    return made


def told(pack: Pack, key: Key = FAULT) -> list[tuple[int, str]]:
    """The derived events: day and kind."""
    return [((one.date - day(0)).days, one.kind) for one in pack.events().get(key, [])]


def nights(pack: Pack, *found: Night) -> None:
    """Successive nights, each derived."""
    for number, night in enumerate(found):
        pack.judge(day(number), night)
        pack.derive()


# What a person reads in docs/explanation/incidents.md ----------------------------------------------------------------


def test_incident_is_opened_persists_untouched_and_is_resolved(pack: Pack) -> None:
    nights(pack, FOUND)
    before = [versions(pack.base)[: 2 * 2]]
    pack.judge(day(1), FOUND)
    assert pack.derive() == incidents.Derived()
    assert [versions(pack.base)[: 2 * 2]] == before  # the incident and its event
    pack.judge(day(2), SOUND)
    assert pack.derive().events == {"resolved": 1}
    assert told(pack) == [(0, "opened"), (2, "resolved")]


@pytest.mark.parametrize(
    ("night", "reason"),
    [
        (Night("failed", {OTHER: "High"}), None),
        (Night("skipped"), None),
        (Night("partial"), UNPROCESSED),
        (Night("partial", incomplete=("visits",)), UNPROCESSED),
        (Night("success", incomplete=("visits.start",)), UNPROCESSED),
        (Night("success", incomplete=("*",)), UNPROCESSED),
        (Night("success", incomplete=("1",)), UNPROCESSED),  # a rule
        (Night("partial", incomplete=("",)), UNPROCESSED),  # no name
        (Night("success", incomplete=("public.visits",)), UNPROCESSED),
        (Night("success", incomplete=("public.visits.start",)), UNPROCESSED),
        (Night("partial", {}, {("2", "", ""): ("error", "")}, ("visits",)), UNPROCESSED),  # whatever else it says
        (Night("success", {}, {("", "visits", ""): ("gone", "dropped")}, ("visits",)), UNPROCESSED),  # before `gone`
        (Night("success", not_judged={("1", "visits", "start"): ("explained", "rows are gone")}), "rows are gone"),
        (Night("success", {}, {("1", "", ""): ("error", "no"), ("1", "visits", "start"): ("usual", "")}), "no"),
        (Night("success", not_judged={("1", "", ""): ("error", "no such metric")}), "no such metric"),
        (Night("success", not_judged={("", "visits", ""): ("not applicable", "")}), "not applicable"),
        (Night("partial", not_judged={("", "", ""): ("no history", "first dates")}), "first dates"),
    ],
)
def test_night_that_proves_nothing_resolves_nothing(pack: Pack, night: Night, reason: str | None) -> None:
    nights(pack, FOUND, night)
    assert pack.states()[FAULT].state == "open"
    assert told(pack) == [(0, "opened"), *([(1, "not judged")] if reason else [])]
    assert OTHER not in pack.states()
    if reason:
        assert pack.events()[FAULT][-1].detail == reason
        assert pack.states()[FAULT].not_judged_since == day(1)


@pytest.mark.parametrize(
    "night",
    [
        Night("partial", incomplete=("levels",)),
        Night("partial", incomplete=("", "levels")),
        Night("partial", incomplete=("visits.end",)),
        Night("partial", not_judged={("2", "", ""): ("error", "")}),
        Night("success", not_judged={("1", "visits", "end"): ("error", "")}),
        Night("success", incomplete=("public.visits.end",)),
        Night("success", incomplete=("old_visits", "visits.start.old", "start", "11")),
        *(
            Night("success", not_judged={wide: (kind, "")})
            for kind in ("usual", "explained")  # they name one incident
            for wide in (("1", "visits", ""), ("1", "", ""), ("", "visits", "start"))
        ),
    ],
)
def test_night_that_judged_this_object_resolves_it(pack: Pack, night: Night) -> None:
    nights(pack, FOUND, night)
    assert told(pack) == [(0, "opened"), (1, "resolved")]


def test_name_as_a_pack_reports_it_is_the_one_of_its_alerts(pack: Pack, tmp_path: Path) -> None:
    """White space counts: the ledger has the name as it is, or the star."""
    keys: list[Key] = [("1", name, "") for name in ("lab  values", "lab\u00a0values", "lab\nvalues")]
    for number, key in enumerate(keys):
        reader = ReportReader(tmp_path / str(number), frozenset({HEART}), Masker([]))
        report = {"endpoint": HEART, "status": "partial", "incomplete": [key[1]]}
        reader.path.write_text(json.dumps(report), encoding="utf-8")
        incomplete = reader.close().endpoints[HEART].incomplete
        pack.judge(day(2 * number), Night("success", {key: "High"}))
        pack.judge(day(2 * number + 1), Night("partial", incomplete=incomplete))
        pack.derive()
        assert pack.states()[key].state == "open"


def test_night_without_any_metrics_resolves_nothing(session: BaseConnection) -> None:
    """Somebody deactivates the metric pack on the endpoint, and leaves the rule pack, which does not state its need."""
    session.execute("INSERT INTO hdm_core_table_corr_db_mp VALUES ('pulse', %s)", [HEART])
    pack = Pack(session, "judge")
    pack.activate(HEART)
    for number, night in enumerate((FOUND, SOUND)):
        if number == 0:
            write(session, attempt("pulse", day(number)), HEART, "success")
        one = attempt("judge", day(number), "rule")
        assigned = assignments.read(session, "rule", "judge", ["pulse"], version="1.0")
        gate = Gate(
            requires=(Requirement(name="pulse", explicit=False),),
            activated=assigned.required,
            runs={(run.pack, run.endpoint): run for run in runs.newest(session, one, ["pulse"], [HEART])},
            accepts_partial=False,
            require_reports=False,
        )
        verdict = gate.judge(HEART)
        assert verdict.passed
        pack.judge(day(number), replace(night, incomplete=verdict.unproven))
        pack.derive()
        session.execute("DELETE FROM hdm_core_table_corr_db_mp")
    assert told(pack) == [(0, "opened"), (1, "not judged")]


@pytest.mark.parametrize(("gap", "kind"), [(7, "reopened"), (8, "opened")])
def test_found_again_within_the_days_it_is_reopened(pack: Pack, gap: int, kind: str) -> None:
    nights(pack, FOUND, SOUND)
    pack.judge(day(1 + gap), FOUND)
    pack.derive()
    assert told(pack)[2:] == [(1 + gap, kind)]
    assert pack.states()[FAULT].first_on == day(0)


def test_closed_for_good_reasons_are_not_called_resolved(pack: Pack) -> None:
    nights(pack, FOUND, Night("success", not_judged={("1", "", ""): ("retired", "the rule is off")}))
    assert (pack.states()[FAULT].state, pack.states()[FAULT].closed_as) == ("closed", "retired")
    assert pack.events()[FAULT][-1].detail == "the rule is off"


@pytest.mark.parametrize(
    "night",
    [
        Night("success", {}, {("", "", ""): ("retired", "off"), ("1", "visits", "start"): ("error", "")}, ("visits",)),
        Night("success", {}, {("1", "visits", "start"): ("usual", "off"), ("2", "", ""): ("error", "")}),
        Night("success", {}, {("", "visits", ""): ("gone", "off"), ("1", "visits", "start"): ("usual", "")}),
    ],
)
def test_of_several_reasons_the_one_that_closes_counts_if_nothing_leaves_it_open(pack: Pack, night: Night) -> None:
    """`retired` counts in any case, `gone` before `usual`."""
    nights(pack, FOUND, night)
    assert (pack.states()[FAULT].state, pack.events()[FAULT][-1].detail) == ("closed", "off")


def test_incident_of_a_whole_table_needs_its_columns_and_one_of_the_database_needs_all(pack: Pack) -> None:
    database: Key = ("3", "", "")
    for number, (name, states) in enumerate(
        (
            ("visits.end", ["open", "open"]),
            ("public.visits.end", ["open", "open"]),
            ("levels", ["resolved", "open"]),
            ("other.levels", ["resolved", "open"]),
        )
    ):
        pack.judge(day(2 * number), Night("success", {OTHER: "High", database: "Info"}))
        pack.judge(day(2 * number + 1), Night("success", incomplete=(name,)))
        pack.derive()
        assert [pack.states()[key].state for key in (OTHER, database)] == states


def test_late_night_corrects_history_silently(pack: Pack) -> None:
    """Opened by a later date, it turns out to have been open before; the number of its row stays."""
    pack.judge(day(2), FOUND)
    pack.derive()
    ids = pack.base.execute("SELECT id FROM hdm_incident").fetchall()
    pack.judge(day(1), FOUND)
    assert pack.derive().events == {"opened": 1}
    assert told(pack) == [(1, "opened")]
    assert pack.events()[FAULT][0].silent
    assert pack.base.execute("SELECT id FROM hdm_incident").fetchall() == ids


@pytest.mark.parametrize(("kind", "closed_as"), [("closed", "by hand"), ("accepted", "accepted")])
def test_repeated_night_keeps_what_people_did_before_it(pack: Pack, kind: str, closed_as: str) -> None:
    """Closed on the date that opened it, and found again, worse: a repetition of that night starts from there."""
    nights(pack, FOUND)
    pack.people(HEART, FAULT, kind, closed_as, day(0))
    for _ in range(2):
        pack.judge(day(1), Night("success", {FAULT: "High"}))
        pack.derive()
        assert told(pack) == [(0, "opened"), (1, "reopened")]
    pack.judge(day(1), Night("failed"))  # nothing is known of it any more, but it was opened
    pack.derive()
    assert told(pack) == [(0, "opened"), (1, "reopened")]
    pack.judge(day(0), SOUND)
    pack.derive()
    assert told(pack) == [(0, "opened"), (0, "resolved"), (1, "reopened")]


def test_late_night_corrects_the_totals_of_later_ones(pack: Pack) -> None:
    """What people close with a date at hand counts from the next one on; the fault had ended before, it turns out."""
    for number, night in ((0, FOUND), (2, Night("partial")), (4, Night("success", {OTHER: "High"}))):
        pack.judge(day(number), night)
        pack.derive()
        if number == 2:
            pack.people(HEART, FAULT, "closed", "by hand", day(2))
    pack.judge(day(3), Night("success", {OTHER: "High"}))
    pack.derive()
    shown = {
        when: (one["High"]["opened"], one["High"]["open"], one["Warning"]["open"], one["Warning"]["not_judged"])
        for when, one in pack.counts().items()
    }
    assert shown == {day(0): (0, 0, 1, 0), day(2): (0, 0, 1, 1), day(3): (1, 1, 0, 0), day(4): (0, 1, 0, 0)}
    pack.judge(day(1), SOUND)
    pack.derive()
    totals = pack.counts()[day(2)]["Warning"]
    assert (totals["open"], totals["not_judged"], totals["closed"]) == (0, 0, 0)
    assert pack.counts()[day(1)]["Warning"]["resolved"] == 1
    assert pack.states()[FAULT].state == "resolved"


def test_repaired_and_repeated_on_the_same_date_it_is_resolved_not_forgotten(pack: Pack) -> None:
    pack.judge(day(0), FOUND)
    pack.derive()
    pack.judge(day(0), SOUND)
    pack.derive()
    assert told(pack) == [(0, "opened"), (0, "resolved")]
    assert not any(one.silent for one in pack.events()[FAULT])
    pack.judge(day(0), FOUND)
    pack.derive()
    assert told(pack) == [(0, "opened")]


def rows(pack: Pack) -> list[dict[str, Any]]:
    query = 'SELECT id, at, kind, "date", level, silent, withdrawn FROM hdm_incident_event ORDER BY id'
    return pack.base.execute(query).fetchall()


def test_event_that_does_not_come_out_again_is_withdrawn_and_may_come_back(pack: Pack) -> None:
    """With its id, its time and whether it is news: whoever has told of it knows that they have."""
    pack.judge(day(2), FOUND)
    pack.derive()
    (first,) = rows(pack)
    pack.judge(day(1), FOUND)  # it was open before
    pack.derive()
    assert [(one["date"], one["withdrawn"]) for one in rows(pack)] == [(day(2), True), (day(1), False)]
    pack.judge(day(1), SOUND)
    assert pack.derive().events == {"resolved": 1, "reopened": 1}
    pack.judge(day(1), Night("failed"))
    pack.judge(day(0), Night("success", {FAULT: "High"}))
    pack.judge(day(1), Night("success"))
    pack.reopen_days = 0
    assert pack.derive().events == {"opened": 2}  # on day 0, and again on day 2
    assert rows(pack)[0] == first
    assert [(one["kind"], one["silent"]) for one in rows(pack)[1:]] == [
        ("opened", True),
        ("resolved", True),
        ("reopened", True),
        ("opened", True),
    ]


def test_repetition_with_another_level_corrects_the_event_in_place(pack: Pack) -> None:
    pack.judge(day(0), FOUND)
    pack.derive()
    (first,) = rows(pack)
    pack.judge(day(0), Night("success", {FAULT: "High"}))
    assert pack.derive().events == {}
    assert rows(pack) == [{**first, "level": "High"}]


def test_what_was_once_opened_stays_so_if_its_event_is_withdrawn_meanwhile(pack: Pack) -> None:
    """An earlier date opened it, so this one did not; then both are repaired and repeated."""
    for number, night in ((2, FOUND), (1, FOUND), (2, SOUND), (1, SOUND)):
        pack.judge(day(number), night)
        pack.derive()
    assert told(pack) == [(1, "opened"), (1, "resolved"), (2, "opened"), (2, "resolved")]


def test_end_of_what_was_accepted_is_no_news(pack: Pack) -> None:
    nights(pack, FOUND)
    pack.people(HEART, FAULT, "accepted", "accepted", day(0))
    pack.judge(day(1), SOUND)
    pack.derive()
    assert [(one.kind, one.silent) for one in pack.events()[FAULT]] == [("opened", False), ("resolved", True)]


def test_close_has_no_effect_if_a_late_date_had_resolved_it(pack: Pack) -> None:
    """It has one again if that date is repeated, and finds the fault."""
    for number, night in ((0, FOUND), (2, Night("partial"))):
        pack.judge(day(number), night)
        pack.derive()
    pack.people(HEART, FAULT, "closed", "by hand", day(2))
    for night, state, effect in ((SOUND, "resolved", False), (FOUND, "closed", True)):
        pack.judge(day(1), night)
        pack.derive()
        assert [act.withdrawn for act in pack.acts()[FAULT]] == [not effect]
        assert pack.states()[FAULT].state == state
        pack.judge(day(3), SOUND)  # folded from the states before
        pack.derive()
        assert pack.states()[FAULT].state == state
    assert pack.acts()[FAULT][0].last_on == day(1)


def test_accepting_without_effect_has_none_on_later_nights_either(pack: Pack) -> None:
    """Of the same level as before, it would stay closed: but a late date had resolved it before it was accepted."""
    for number, night in ((0, FOUND), (2, Night("partial"))):
        pack.judge(day(number), night)
        pack.derive()
    pack.people(HEART, FAULT, "accepted", "accepted", day(2))
    for number, night in ((1, SOUND), (3, FOUND), (3, FOUND)):
        pack.judge(day(number), night)
        pack.derive()
    assert told(pack)[-1] == (3, "reopened")
    assert pack.states()[FAULT].state == "open"


def test_date_of_the_last_alert(pack: Pack) -> None:
    """Null while the newest night has one; a late date corrects it."""
    nights(pack, FOUND, FOUND)
    assert pack.states()[FAULT].last_on is None
    pack.judge(day(4), Night("partial"))
    pack.derive()
    assert (pack.states()[FAULT].not_judged_since, pack.states()[FAULT].last_on) == (day(4), day(1))
    pack.judge(day(3), FOUND)
    pack.derive()
    assert pack.states()[FAULT].last_on == day(3)
    pack.judge(day(5), SOUND)
    pack.derive()
    assert [(one.kind, one.last_on) for one in pack.events()[FAULT]][1:] == [
        ("not judged", day(3)),
        ("resolved", day(3)),
    ]


def test_faults_that_stood_at_an_upgrade_are_no_news(pack: Pack) -> None:
    """Nor is it that they are closed at once, because the pack no longer runs there."""
    gone = SLUGS[1]
    pack.base.execute("DELETE FROM hdm_core_table_corr_db_rp WHERE db_key = %s", [gone])
    for slug in (HEART, gone):
        pack.judge(day(0), FOUND, slug)
    pack.base.execute("UPDATE hdm_pack_run SET derived = NULL")  # as the migration leaves them
    pack.judge(day(1), Night("success", {FAULT: "High", OTHER: "High"}))
    assert pack.derive().events == {"opened": 3, "level": 1, "closed": 1}
    found = [(one["kind"], one["date"], one["silent"]) for one in rows(pack) if one["kind"] != "closed"]
    assert sorted(found) == [
        ("level", day(1), False),
        ("opened", day(0), True),
        ("opened", day(0), True),
        ("opened", day(1), False),
    ]
    assert [one["silent"] for one in rows(pack) if one["kind"] == "closed"] == [True]
    assert incidents.opened(pack.base, "basic", [HEART], day(1), "Info")[0].rule_id == "2"
    assert pack.derive() == incidents.Derived()


# What interrupts -----------------------------------------------------------------------------------------------------


def contents(base: BaseConnection) -> list[Any]:
    """Every row of incidents and of the ledger, as text."""
    return [
        base.execute(f"SELECT one::text AS row FROM {table} AS one ORDER BY 1".encode()).fetchall()
        for table in (*TABLES, "hdm_pack_run")
    ]


def _leave_much_to_derive(pack: Pack) -> None:
    """Nights that are derived, of which people have accepted something, then late and new ones that are not."""
    nights(pack, FOUND, Night("success", {OTHER: "High"}))
    pack.people(HEART, OTHER, "accepted", "accepted", day(1))
    for number, night in ((2, FOUND), (3, SOUND)):
        pack.judge(day(number), night)
        pack.derive()
    for number, night in ((1, Night("success", {FAULT: "High", OTHER: "Info"})), (4, Night("partial")), (5, FOUND)):
        pack.judge(day(number), night)


def end(watcher: BaseConnection, pid: int) -> None:
    """End a session, and wait until it has."""
    watcher.execute("SELECT pg_terminate_backend(%s)", [pid])
    deadline = time.monotonic() + 30
    while watcher.execute("SELECT FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_killed_between_any_two_statements_it_leaves_everything_as_before(base: Database) -> None:
    """The server ends the session before the first, the second, ... statement; the next derivation does the work."""
    with HdmHook().session() as watcher:
        pack = Pack(watcher)
        pack.activate(HEART)
        _leave_much_to_derive(pack)
        before, killed = contents(watcher), 0
        while True:
            with HdmHook().session() as doomed:
                execute, left = doomed.execute, [killed]

                def counted(*args: Any, execute: Any = execute, left: list[int] = left, **kwargs: Any) -> Any:
                    if left[0] == 0:
                        end(watcher, doomed.info.backend_pid)
                    left[0] -= 1
                    return execute(*args, **kwargs)

                doomed.execute = counted  # type: ignore[method-assign]  # to count the statements
                try:
                    incidents.derive(doomed, "basic", reopen_days=7)
                except OperationalError:
                    assert contents(watcher) == before
                    killed += 1
                    continue
            break
        assert killed > 60
        whole = Pack(watcher, "undisturbed")
        whole.activate(HEART)
        _leave_much_to_derive(whole)
        whole.derive()
        assert (pack.states(), pack.events(), pack.counts()) == (whole.states(), whole.events(), whole.counts())


def test_attempt_that_begins_meanwhile_does_the_work_itself(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its alerts may have been read although it fails later: all is rolled back, and the endpoint left to it."""
    nights(pack, FOUND, FOUND)
    pack.judge(day(1), SOUND)
    fold_date = incident_fold._Fold._fold_date
    started: list[dict[str, int]] = []

    def begin(self: Any, when: date) -> None:
        if not started:
            with HdmHook().session() as other:
                started.append(Pack(other).start(day(1), HEART))
        fold_date(self, when)

    monkeypatch.setattr(incident_fold._Fold, "_fold_date", begin)
    before = versions(pack.base)[:6]  # the incident, its event, and a part of the totals
    assert pack.derive() == incidents.Derived()
    assert len(started) == 1
    assert versions(pack.base)[:6] == before
    pack.write(day(1), Night("success", {FAULT: "High"}))
    pack.close(started[0], day(1), Night("success"))
    pack.derive()
    assert told(pack) == [(0, "opened"), (1, "level")]


def test_attempt_that_begins_meanwhile_leaves_other_endpoints_to_this_derivation(
    pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if it has ended again before the derivation is repeated: its own will follow."""
    for slug in SLUGS[:2]:
        pack.judge(day(0), FOUND, slug)
    fold_date = incident_fold._Fold._fold_date
    tries: list[int] = []

    def begin(self: Any, when: date) -> None:
        tries.append(1)
        if len(tries) == 1:
            with HdmHook().session() as other:
                Pack(other).judge(when, Night("success", {OTHER: "High"}))
        fold_date(self, when)

    monkeypatch.setattr(incident_fold._Fold, "_fold_date", begin)
    assert pack.derive().events == {"opened": 1}
    assert (list(pack.states(SLUGS[0])), list(pack.states(SLUGS[1]))) == ([], [FAULT])
    assert pack.derive().events == {"opened": 1}
    assert list(pack.states(SLUGS[0])) == [OTHER]


def test_endpoint_that_the_base_refuses_does_not_hinder_others(pack: Pack) -> None:
    """The error names it, without what the server says of its rows; once that is mended, it is derived too."""
    pack.base.execute("DELETE FROM hdm_core_table_corr_db_rp WHERE db_key = %s", [SLUGS[2]])
    for slug in SLUGS[:3]:
        pack.judge(day(0), FOUND, slug)
    pack.base.execute(
        """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            RAISE 'row of "Canary-4711"' USING ERRCODE = 'data_exception'; END $$"""
    )
    refused = pack.base.execute("SELECT format('WHEN (NEW.endpoint = %%L)', %s::text) AS filter", [HEART]).fetchone()
    assert refused
    trigger = f"CREATE TRIGGER refused BEFORE INSERT ON hdm_incident FOR EACH ROW {refused['filter']}"
    pack.base.execute(f"{trigger} EXECUTE FUNCTION refuse()".encode())
    with pytest.raises(HdmBaseError, match=r"could not be derived on 1 endpoint\(s\): ") as failure:
        pack.derive()
    assert HEART in failure.value.what
    assert "Canary" not in str(failure.value)
    assert [len(pack.states(slug)) for slug in SLUGS[:3]] == [0, 1, 1]
    assert pack.states(SLUGS[2])[FAULT].closed_as == "deactivated"
    pack.base.execute("DROP TRIGGER refused ON hdm_incident")
    assert pack.derive().events == {"opened": 1}


def test_why_all_endpoints_could_not_be_derived_together_is_a_warning(pack: Pack) -> None:
    """Although each of them can, by itself."""
    for slug in SLUGS[:2]:
        pack.judge(day(0), FOUND, slug)
    pack.base.execute(
        """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF (SELECT count(DISTINCT endpoint) FROM fresh) > 1 THEN
                RAISE 'row of "Canary-4711"' USING ERRCODE = 'data_exception';
            END IF; RETURN NULL; END $$"""
    )
    pack.base.execute(
        """CREATE TRIGGER refused AFTER INSERT ON hdm_incident REFERENCING NEW TABLE AS fresh
        FOR EACH STATEMENT EXECUTE FUNCTION refuse()"""
    )
    derived = pack.derive()
    assert derived.events == {"opened": 2}
    what = "its incidents could not be derived for all endpoints at once, so they were for each: "
    (warning,) = derived.warnings
    assert warning.startswith(f"rule pack basic: {what}DataException (22000): ")
    assert "Canary" not in warning


def test_running_attempt_on_an_uncounted_date_hinders_nothing(pack: Pack) -> None:
    nights(pack, FOUND)
    pack.start(day(2), HEART)
    pack.judge(day(1), SOUND)
    pack.derive()
    assert told(pack) == [(0, "opened"), (1, "resolved")]


def test_lock_that_is_not_free_is_a_clear_error(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incident_lock, "_PATIENCE", "100ms")
    pack.judge(day(0), FOUND)
    with HdmHook().session() as other, other.transaction():
        incident_lock.take(other, "basic")
        with pytest.raises(HdmBaseError, match="incidents of rule pack basic could not be derived") as failure:
            pack.derive()
    assert "the results are stored" in failure.value.hint
    assert pack.derive().events == {"opened": 1}


def test_what_is_derived_without_news_costs_two_queries(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    nights(pack, FOUND)
    monkeypatch.setattr(incident_lock, "take", lambda *_: pytest.fail("a transaction was begun"))
    assert pack.derive() == incidents.Derived()


# Alerts that are not as they should be -------------------------------------------------------------------------------


def test_each_flaw_is_a_message_with_pack_and_rule_and_all_others_go_on(pack: Pack) -> None:
    """None of them repeats a message of an alert, which could quote a value."""
    canary = "Canary-4711"
    pack.judge(day(0), Night("success", {FAULT: "Warning", ("3", "t", ""): "Terrible", ("", "u", ""): "Info"}))
    for slug, when, rule in ((SLUGS[1], day(0), "4"), (HEART, day(9), "5"), (HEART, None, "6")):
        pack.base.execute(ALERT, ["basic", slug, when, rule, "t", "", "High"])
    pack.base.execute(
        """INSERT INTO hdm_alerts (rule_pack, endpoint, "date", rule_id, "table", "column", alert_level)
        SELECT 'basic', %s, %s, '7', 't', 'c' || number, 'Info' FROM generate_series(1, %s) AS number""",
        [HEART, day(0), incident_fold.MANY + 1],
    )
    pack.base.execute("UPDATE hdm_alerts SET alert_message = %s, observed = %s", [canary, canary])
    derived = pack.derive()
    assert derived.events == {"opened": incident_fold.MANY + 4}
    where = f"on {HEART}, metric date {day(0)}"
    none = "they become no incidents"
    other = "with a level other than High, Warning and Info"
    assert derived.warnings == [
        f"rule pack basic: 1 alert(s) without a rule id {where}; they count as one rule",
        f"rule pack basic, rule 3: 1 alert(s) {other} {where}; they count as High",
        f"rule pack basic, rule 7: 10,001 alerts {where}, more than 10,000: nobody can look at so many incidents",
        f"rule pack basic, rule 4: 1 alert(s) for {SLUGS[1]}, metric date {day(0)}, where it did not run; {none}",
        f"rule pack basic, rule 5: 1 alert(s) with the date {day(9)}, on which it never ran; {none}",
        f"rule pack basic, rule 6: 1 alert(s) without a date; {none}",
    ]
    assert pack.states()["3", "t", ""].level == "High"
    assert not any(canary in one for one in derived.warnings)
    assert not any(canary in row["row"] for part in contents(pack.base) for row in part)


def test_strays_without_a_rule_id_are_named_as_others_without_one(pack: Pack) -> None:
    for slug, when in ((SLUGS[1], day(0)), (HEART, day(9)), (HEART, None)):
        pack.base.execute(ALERT, ["basic", slug, when, "", "t", "", "High"])
    pack.judge(day(0), FOUND)
    without, none = "1 alert(s) without a rule id", "they become no incidents"
    assert pack.derive().warnings == [
        f"rule pack basic: {without} for {SLUGS[1]}, metric date {day(0)}, where it did not run; {none}",
        f"rule pack basic: {without} with the date {day(9)}, on which it never ran; {none}",
        f"rule pack basic: {without} without a date; {none}",
    ]


def test_names_that_a_pack_makes_up_are_cut_in_messages(pack: Pack) -> None:
    """They come as long as the pack writes them; a message is for a log."""
    rule, slug = "r" * 2_000, "s" * 2_000
    for where, when in ((slug, day(0)), (HEART, day(9)), (HEART, None)):
        pack.base.execute(ALERT, ["basic", where, when, rule, "t", "", "High"])
    pack.judge(day(0), Night("success", {(rule, "t", "c"): "Terrible"}))
    warnings = pack.derive().warnings
    assert len(warnings) == 4
    assert all(f"rule {'r' * 200}...: " in one for one in warnings)
    assert f"for {'s' * 200}..., metric date" in warnings[1]


def test_alerts_with_dates_that_python_does_not_know_are_strays_as_others(pack: Pack) -> None:
    """No message is lost for them."""
    for when, rule in (("infinity", "4"), ("-infinity", "5"), (day(9), "6"), (None, "7")):
        pack.base.execute(ALERT, ["basic", HEART, when, rule, "t", "", "High"])
    pack.judge(day(0), FOUND)
    ran, none = "on which it never ran", "they become no incidents"
    assert pack.derive().warnings == [
        f"rule pack basic, rule 5: 1 alert(s) with the date -infinity, {ran}; {none}",
        f"rule pack basic, rule 6: 1 alert(s) with the date {day(9)}, {ran}; {none}",
        f"rule pack basic, rule 4: 1 alert(s) with the date infinity, {ran}; {none}",
        f"rule pack basic, rule 7: 1 alert(s) without a date; {none}",
    ]


def test_of_dates_of_other_packs_the_newest_and_the_oldest_are_looked_at(pack: Pack) -> None:
    """A pack that runs monthly among daily ones: each of its runs would read what these have ever found."""
    pack.base.execute(
        """INSERT INTO hdm_alerts (rule_pack, endpoint, "date", rule_id, "table", "column", alert_level)
        SELECT 'other', 'slug', %s::date + number, '7', 't', '', 'Info' FROM generate_series(1, 50) AS number""",
        [day(0)],
    )
    for number, rule in ((1, "5"), (10, "too old"), (49, "6")):
        pack.base.execute(ALERT, ["basic", HEART, day(number), rule, "t", "", "High"])
    pack.judge(day(0), FOUND)
    assert [one.split(":")[0] for one in pack.derive().warnings] == [
        "rule pack basic, rule 5",
        "rule pack basic, rule 6",
    ]


def test_thousands_of_rows_of_what_was_not_judged_are_joined_not_compared_one_by_one(pack: Pack) -> None:
    """A pack may name each object: 3,000 incidents and 3,000 rows, within seconds."""
    count = 3_000
    keys: list[Key] = [("1", "t", f"c{number}") for number in range(count)]
    pack.judge(day(0), Night("success", dict.fromkeys(keys, "Info")))
    pack.derive()
    pack.base.execute("SET statement_timeout = '20s'")
    pack.judge(day(1), Night("success", not_judged=dict.fromkeys(keys, ("gone", "dropped"))))
    assert pack.derive().events == {"closed": count}


def test_not_judged_rows_need_a_known_kind(session: BaseConnection) -> None:
    from psycopg.errors import CheckViolation

    with pytest.raises(CheckViolation):
        session.execute(NOT_JUDGED, ["basic", HEART, day(0), "", "", "", "a whim", ""])


# Opened, deactivated -------------------------------------------------------------------------------------------------


def opened(pack: Pack, number: int, level: str = "Info") -> list[tuple[str, str, str]]:
    found = incidents.opened(pack.base, "basic", [HEART], day(number), level)
    return [(one.rule_id, one.kind, one.level) for one in found]


def test_opened_ones_are_listed_by_level_while_they_have_an_alert(pack: Pack) -> None:
    nights(pack, Night("success", {FAULT: "Warning", OTHER: "High"}), Night("success", {OTHER: "High"}), FOUND)
    for night, listed in ((SOUND, []), (FOUND, [("1", "reopened", "Warning")])):
        pack.judge(day(2), night)
        pack.derive()
        assert opened(pack, 0) == [("2", "opened", "High"), ("1", "opened", "Warning")]
        assert opened(pack, 0, "High") == [("2", "opened", "High")]
        assert opened(pack, 1) == []
        assert opened(pack, 2) == listed
    (one,) = incidents.opened(pack.base, "basic", [HEART], day(0), "High")
    assert (one.endpoint, one.table, one.column, one.message) == (HEART, "visits", "", "message")
    assert incidents.opened(pack.base, "basic", [SLUGS[1]], day(0), "Info") == []


@pytest.mark.parametrize(
    ("until", "on", "silent"),
    [
        (day(2), day(1), True),
        (day(2), day(2), False),  # muted after the night was red
        (day(1), day(0), False),
        ("infinity", day(0), False),  # it was resolved in between
        ("infinity", day(2), False),
        (None, None, False),
    ],
)
def test_muted_ones_are_not_listed(pack: Pack, until: Any, on: Any, silent: bool) -> None:
    nights(pack, FOUND, SOUND, FOUND)
    pack.base.execute("UPDATE hdm_incident SET muted_until = %s, muted_on = %s", [until, on])
    assert opened(pack, 2) == ([] if silent else [("1", "reopened", "Warning")])


HOSPITAL = Endpoint(name="hospital", type="postgres", host="db.example.org", port="5432", user="reader")


def test_deactivation_closes_and_a_new_alert_reopens(session: BaseConnection) -> None:
    endpoints.add(session, HOSPITAL, None, actor="ada")
    place = Registered(id=0, endpoint=HOSPITAL, conn_id=None)
    activation.change(session, [("rule", "basic", place.endpoint.slug)], active=True, actor="ada")
    pack = Pack(session)
    pack.judge(day(0), FOUND, HOSPITAL.slug)
    pack.derive()
    assert activation.change(session, [("rule", "basic", place.endpoint.slug)], active=False, actor="ada").cells
    assert (pack.states(HOSPITAL.slug)[FAULT].closed_as, pack.states(HOSPITAL.slug)[FAULT].ended_on) == (
        "deactivated",
        day(0),
    )
    (act,) = pack.acts(HOSPITAL.slug)[FAULT]
    assert (act.closed_as, act.last_on) == ("deactivated", day(0))
    activation.change(session, [("rule", "basic", place.endpoint.slug)], active=True, actor="ada")
    pack.judge(day(1), FOUND, HOSPITAL.slug)
    assert pack.derive().events == {"reopened": 1}


def test_removing_an_endpoint_closes_the_incidents_of_all_packs(session: BaseConnection) -> None:
    endpoints.add(session, HOSPITAL, None, actor="ada")
    place = endpoints.find(session, "hospital")
    for name in ("basic", "other"):
        activation.change(session, [("rule", name, place.endpoint.slug)], active=True, actor="ada")
        Pack(session, name).judge(day(0), FOUND, HOSPITAL.slug)
        Pack(session, name).derive()
    endpoints.remove(session, place, actor="ada")
    for name in ("basic", "other"):
        assert Pack(session, name).states(HOSPITAL.slug)[FAULT].closed_as == "deactivated"


def test_deactivation_that_nobody_told_is_found_by_the_next_derivation(pack: Pack) -> None:
    """Old forms of a slug count; an endpoint whose rename was interrupted is left alone: its activation comes last."""
    old = Endpoint(name="old", type="postgres", ssl=True).slug
    pack.activate(old.replace(":true", ":True"))
    for slug in (HEART, SLUGS[1], old):
        pack.judge(day(0), FOUND, slug)
    pack.derive()
    pack.base.execute("DELETE FROM hdm_core_table_corr_db_rp WHERE db_key = ANY(%s)", [SLUGS[:2]])
    pack.base.execute(
        """INSERT INTO hdm_audit (actor, action, object, old, new)
        VALUES ('ada', 'endpoint rename', 'x', '{"slug": "former"}', jsonb_build_object('slug', %s::text))""",
        [SLUGS[1]],
    )
    assert pack.derive().events == {"closed": 1}
    assert [pack.states(slug)[FAULT].state for slug in (HEART, SLUGS[1], old)] == ["closed", "open", "open"]
    row = pack.base.execute("SELECT actor FROM hdm_incident_event WHERE kind = 'closed'").fetchone()
    assert row == {"actor": "hdm"}


def test_runs_of_metric_packs_are_not_its_business(session: BaseConnection) -> None:
    write(session, attempt("basic", day(0)), HEART, "success")
    assert incidents.derive(session, "basic", reopen_days=7) == incidents.Derived()
