"""What one task does with its endpoints: gate, reports, exit codes, retries, configuration, credentials."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import date, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pendulum
import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from hdm_airflow.errors import HdmBaseError, PackFailedError
from tests.airflow.stage import MONDAY, REPORT_ALL, endpoint

if TYPE_CHECKING:
    from pathlib import Path

    from tests.airflow.stage import Stage

HEART, LUNG, LIVER = endpoint("heart"), endpoint("lung"), endpoint("liver")
ALL_OK = REPORT_ALL.format("ok")
#: A bootstrap script that does something with each endpoint `e` of the `run`, and reports it.
EACH = 'python -c "import hdm; run = hdm.load(); [{} for e in run.endpoints]"\n'


def report(place: object, status: str = "ok", **more: object) -> str:
    """A line of shell that reports one endpoint."""
    line = json.dumps({"endpoint": place.slug, "status": status, **more})
    return f"echo '{line}' >> \"$HDM_REPORT\"\n"


def test_task_without_an_activated_endpoint_is_skipped_and_says_so(stage: Stage) -> None:
    """Zero endpoints is never a green success without a word (fault 1)."""
    stage.pack("basic", ALL_OK)
    with pytest.raises(AirflowSkipException, match=r"no endpoint is activated for mp_basic.*airflow hdm activate"):
        stage.run("mp_basic")


def test_slug_that_matches_no_endpoint_fails_there_while_the_others_run(stage: Stage) -> None:
    """A typing error in the matrix is an error, not an endpoint less (fault 1)."""
    stage.pack("basic", ALL_OK)
    stage.activate("mp_basic", HEART)
    stage.activate("mp_basic", LUNG, register=False)
    with pytest.raises(PackFailedError, match=r"matches no endpoint .*: lung:"):
        stage.run("mp_basic")
    assert stage.ledger("mp_basic") == [("lung", "failed"), ("heart", "success")]


def test_last_report_of_an_endpoint_counts_and_the_others_are_failed_as_not_reported(stage: Stage) -> None:
    """One failed database neither fails nor hides the others (fault 20)."""
    script = (
        report(HEART, "failed")
        + report(HEART, "ok", metrics=12, version="5.4")
        + report(LUNG, "partial", incomplete=["t"])
    )
    stage.pack("basic", script + report(endpoint("nowhere")))
    stage.activate("mp_basic", HEART, LUNG, LIVER)
    with pytest.raises(PackFailedError, match="did not succeed on 2 of 3"):
        stage.run("mp_basic")
    bad = "report line 4: the endpoint is not part of this run"
    assert sorted(stage.ledger("mp_basic", "reason", "metrics", "dbversion", "incomplete")) == [
        ("heart", "success", None, 12, "5.4", []),
        ("liver", "failed", f"not reported: 1 bad report line(s), first: {bad}", None, None, []),
        ("lung", "partial", None, None, None, ["t"]),
    ]
    assert "the endpoint is not part of this run" in stage.log


@pytest.mark.parametrize(
    ("script", "status", "reason"),
    [
        ("exit 0", "success", "unreported: judged by the exit code alone"),
        ("exit 3", "failed", "the bootstrap script ended with exit code 3"),
        ("exit 99", "skipped", "the pack had nothing to do (exit code 99)"),
        ("kill -SEGV $$", "failed", "the bootstrap script ended with exit code 139 (SIGSEGV)"),
        ("no-such-program", "failed", "the bootstrap script ended with exit code 127"),
    ],
)
def test_exit_code_speaks_for_a_pack_that_reports_nothing(stage: Stage, script: str, status: str, reason: str) -> None:
    """Packs of the original do not write a report file."""
    stage.pack("basic", script + "\n")
    stage.activate("mp_basic", HEART)
    try:
        stage.run("mp_basic")
    except (PackFailedError, AirflowSkipException):
        assert status != "success"
    assert stage.ledger("mp_basic", "reason", "reported") == [("heart", status, reason, False)]


@pytest.mark.parametrize(
    "line",
    [
        '{"endpoint": "heart:127.0.0.1:postgres:5432:reader:false", "status": "failed"}',
        '{"endpoint": "heart:postgres:127.0.0.1:5432:reader:false", "status": "FAILED"}',
        "heart failed",
    ],
)
def test_pack_whose_reports_cannot_be_read_is_not_taken_at_its_exit_code(stage: Stage, line: str) -> None:
    """The pack tried to report: a slug in the wrong order (fault 1) or a misspelt status is not a success."""
    stage.pack("basic", f"echo '{line}' >> \"$HDM_REPORT\"\n")
    stage.activate("mp_basic", HEART)
    with pytest.raises(PackFailedError, match="not reported: 1 bad report line"):
        stage.run("mp_basic")


def test_two_environments_on_one_base_are_refused(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two connections to one database: each would take the other's runs for its own."""
    stage.pack("basic", ALL_OK)
    stage.activate("mp_basic", HEART)
    stage.run("mp_basic", environment="prod")
    monkeypatch.setenv("AIRFLOW_CONN_HDM_TOO", stage.base.dsn)
    with pytest.raises(AirflowFailException, match=r"already has runs of basic .* from environment prod"):
        stage.run("mp_basic", environment="dev", conn_id="hdm_too")


def test_stale_metric_run_is_closed_by_the_rule_pack_that_waits_for_it(stage: Stage) -> None:
    """A `running` row whose lock is free belongs to a dead worker."""
    stage.pack("basic", ALL_OK)
    stage.pack("basic", ALL_OK, kind="rule")
    for task_id in ("mp_basic", "rp_basic"):
        stage.activate(task_id, HEART)
    stage.run("mp_basic")
    with stage.base.connect(autocommit=True) as connection:
        connection.execute("UPDATE hdm_pack_run SET status = 'running', finished_at = NULL, reported = false")
    with pytest.raises(AirflowSkipException):
        stage.run("rp_basic")
    assert stage.ledger("mp_basic", "reason") == [("heart", "failed", "the worker died or lost the HDM base")]


def test_pack_args_count_before_the_manifests_timeout(stage: Stage) -> None:
    """The administrator has the last word, as for retries, pool and queue."""
    stage.pack("basic", ALL_OK, timeout=100)
    assert stage.operator("mp_basic").limit == 100
    assert stage.operator("mp_basic", timeout=5).limit == 5


def test_nonzero_exit_fails_whatever_was_not_reported_ok(stage: Stage) -> None:
    """A pack that crashed after a good endpoint has still measured that one."""
    stage.pack("basic", report(HEART) + report(LUNG, "partial") + "exit 7\n")
    stage.activate("mp_basic", HEART, LUNG, LIVER)
    with pytest.raises(PackFailedError):
        stage.run("mp_basic")
    statuses = [(name, status) for name, status in sorted(stage.ledger("mp_basic"))]
    assert statuses == [("heart", "success"), ("liver", "failed"), ("lung", "failed")]


def test_rule_pack_judges_only_endpoints_whose_metrics_are_of_this_date(stage: Stage) -> None:
    """No alert from missing or stale metrics; one bad endpoint does not stop the rules on the others."""
    stage.pack("basic", ALL_OK)
    stage.pack("basic", ALL_OK, kind="rule")
    stage.activate("mp_basic", HEART, LUNG)
    stage.activate("rp_basic", HEART, LUNG)
    stage.run("mp_basic", day=MONDAY - timedelta(days=1))
    with pytest.raises(AirflowSkipException, match="no endpoint passed the gate"):
        stage.run("rp_basic")
    assert stage.ledger("rp_basic", "reason") == [
        ("heart", "skipped", "mp_basic has not run for this date"),
        ("lung", "skipped", "mp_basic has not run for this date"),
    ]
    stage.pack("basic", report(HEART) + report(LUNG, "failed"))
    with pytest.raises(PackFailedError):
        stage.run("mp_basic")
    summary = stage.run("rp_basic")
    assert (summary["success"], summary["gated"]) == (1, 1)
    assert stage.ledger("rp_basic")[-2:] == [("lung", "skipped"), ("heart", "success")]


def test_partial_metrics_reach_only_a_rule_pack_that_asks_for_them_with_their_gaps(stage: Stage) -> None:
    """A rule on a table that was not measured would alert on nothing."""
    stage.pack("basic", report(HEART, "partial", incomplete=["public.stays"]))
    show = EACH.format("print(e.incomplete) or run.report(e, 'ok')")
    stage.pack("basic", show, kind="rule")
    stage.pack("lenient", show, kind="rule", partial=True, depends_on=["basic"])
    for task_id in ("mp_basic", "rp_basic", "rp_lenient"):
        stage.activate(task_id, HEART)
    with pytest.raises(PackFailedError):
        stage.run("mp_basic")
    with pytest.raises(AirflowSkipException):
        stage.run("rp_basic")
    assert stage.ledger("rp_basic", "reason") == [("heart", "skipped", "mp_basic is partial: public.stays")]
    assert stage.run("rp_lenient")["success"] == 1
    assert "public.stays" in stage.log


@pytest.mark.parametrize(
    ("metrics", "told"),
    [
        (report(HEART, "partial", incomplete=["public.stays"]), ["public.stays"]),
        (report(HEART, "partial"), ["*"]),
        (report(HEART, metrics=0), ["*"]),
        (report(HEART, metrics=3), []),
        (report(HEART), []),
    ],
)
def test_ledger_of_a_rule_pack_says_where_its_silence_proves_nothing(
    stage: Stage, metrics: str, told: list[str]
) -> None:
    """Whatever the pack reports, and also if it fails; the pack itself gets names only."""
    stage.pack("basic", metrics)
    show = EACH.format("print('got', *e.incomplete, 'only') or run.report(e, 'ok', incomplete=['beds', *e.incomplete])")
    stage.pack("reports", show, kind="rule", partial=True, depends_on=["basic"])
    stage.pack("silent", "exit 0\n", kind="rule", partial=True, depends_on=["basic"])
    stage.pack("fails", "exit 7\n", kind="rule", partial=True, depends_on=["basic"])
    for task_id in ("mp_basic", "rp_reports", "rp_silent", "rp_fails"):
        stage.activate(task_id, HEART, register=task_id == "mp_basic")
    with suppress(PackFailedError):
        stage.run("mp_basic")
    measured = stage.ledger("mp_basic", "incomplete")
    stage.run("rp_reports")
    stage.run("rp_silent")
    with pytest.raises(PackFailedError):
        stage.run("rp_fails")
    assert stage.ledger("rp_reports", "incomplete") == [("heart", "success", ["beds", *told])]
    assert stage.ledger("rp_silent", "incomplete") == [("heart", "success", told)]
    assert stage.ledger("rp_fails", "incomplete") == [("heart", "failed", told)]
    assert " ".join(["got", *(name for name in told if name != "*"), "only"]) in stage.log
    assert stage.ledger("mp_basic", "incomplete") == measured


def test_explicit_dependency_counts_also_where_it_is_not_activated(stage: Stage) -> None:
    """A defaulted one does not: rules on data need no metrics there."""
    stage.pack("basic", ALL_OK)
    stage.pack("default", ALL_OK, kind="rule")
    stage.pack("strict", ALL_OK, kind="rule", depends_on=["basic"])
    stage.activate("rp_default", HEART)
    stage.activate("rp_strict", HEART)
    assert stage.run("rp_default")["success"] == 1
    with pytest.raises(AirflowSkipException):
        stage.run("rp_strict")
    assert stage.ledger("rp_strict", "reason") == [("heart", "skipped", "mp_basic is not activated here")]


def test_retry_runs_only_what_has_not_succeeded_and_a_cleared_success_runs_again(stage: Stage) -> None:
    """Ninety-nine good databases are not measured twice because the hundredth was down."""
    mark = stage.folder / "mark"
    stage.pack("basic", f"{report(HEART)}test -e {mark} && {report(LUNG)}touch {mark}\n")
    stage.activate("mp_basic", HEART, LUNG)
    with pytest.raises(PackFailedError):
        stage.run("mp_basic")
    summary = stage.run("mp_basic")
    assert (summary["success"], summary["kept"]) == (1, 1)
    assert [name for name, _ in stage.ledger("mp_basic")] == ["heart", "lung", "lung"]
    assert stage.run("mp_basic")["success"] == 2


def test_rules_run_again_when_the_metrics_they_rest_on_are_newer(stage: Stage) -> None:
    """Yesterday's verdict on today's numbers would be stale."""
    stage.pack("basic", ALL_OK)
    stage.pack("basic", ALL_OK, kind="rule")
    for task_id in ("mp_basic", "rp_basic"):
        stage.activate(task_id, HEART, LUNG)
    stage.run("mp_basic")
    stage.run("rp_basic")
    with stage.base.connect(autocommit=True) as connection:
        connection.execute(
            "UPDATE hdm_pack_run SET status = 'failed' WHERE kind = 'metric' AND endpoint = %s", [HEART.slug]
        )
    stage.run("mp_basic")
    summary = stage.run("rp_basic")
    assert (summary["success"], summary["kept"]) == (1, 1)
    assert stage.ledger("rp_basic")[-1] == ("heart", "success")


def test_quarantined_pack_fails_at_once_with_its_findings(stage: Stage) -> None:
    """Its error is on screen, in the task that it would have been."""
    stage.pack("broken", "exit 0\n", version="")
    stage.activate("mp_broken", HEART)
    operator = stage.operator("mp_broken", retries=3)
    assert operator.retries == 0
    with pytest.raises(AirflowFailException, match=r"properties.json:version: error \[version-missing\]"):
        stage.execute(operator)


def test_quarantined_pack_that_is_activated_nowhere_is_skipped_with_its_findings(stage: Stage) -> None:
    """It would run on nothing, so the night is not red for it; in another environment it may be activated."""
    stage.pack("broken", "exit 0\n", version="")
    stage.pack("good", ALL_OK)
    stage.activate("mp_good", HEART)
    with pytest.raises(AirflowSkipException, match=r"(?s)^quarantined, but activated on no endpoint.*version-missing"):
        stage.run("mp_broken")
    stage.pack("other", "exit 0\n", kind="rule", version="")
    stage.activate("mp_other", HEART, register=False)  # a metric pack of the same name
    with pytest.raises(AirflowSkipException):
        stage.run("rp_other")


@pytest.mark.parametrize("text", ["{", '{"version": "1.0.0"}', None, '{"name": "-", "version": "1.0.0"}'])
def test_quarantined_pack_of_unknown_name_is_red_if_an_activated_pack_is_missing(
    stage: Stage, text: str | None
) -> None:
    """Its folder has another name than the pack: by the folder's name alone, it would be activated nowhere."""
    stage.pack("basic", ALL_OK)
    stage.pack("good", ALL_OK)
    stage.activate("mp_basic", HEART)
    folder = stage.folder / "metric-packs" / "basic"
    manifest = folder / "properties.json"
    manifest.unlink() if text is None else manifest.write_text(text)
    folder.rename(folder.with_name("hospital-basics"))
    with pytest.raises(AirflowFailException, match="is quarantined"):
        stage.run("mp_hospital-basics")
    stage.pack("basic", ALL_OK)
    with pytest.raises(AirflowSkipException, match="activated on no endpoint"):
        stage.run("mp_hospital-basics")


def test_quarantined_pack_is_red_if_the_base_cannot_be_asked(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether somebody needs it is unknown then."""
    stage.pack("broken", "exit 0\n", version="")
    monkeypatch.setenv("AIRFLOW_CONN_HDM", "postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(AirflowFailException, match="version-missing"):
        stage.run("mp_broken")
    assert "it is unknown whether the pack is activated" in stage.log


def test_log_of_a_failed_task_quotes_the_last_lines_of_the_pack(stage: Stage) -> None:
    """They are the reason in most cases. The error, which Airflow may send by mail, quotes nothing."""
    stage.pack("basic", "seq 100; echo >&2 \"ValueError: no such table\"; printf 'x%.0s' {1..3000}; exit 7\n")
    stage.activate("mp_basic", HEART, LUNG)
    with pytest.raises(PackFailedError) as caught:
        stage.run("mp_basic")
    lines = caught.value.what.splitlines()
    assert lines[0] == "mp_basic did not succeed on 2 of 2 endpoint(s):"
    reason = "  failed: the bootstrap script ended with exit code 7"
    assert lines[1:] == [f"{reason}: {HEART.slug}, {LUNG.slug}"]
    quoted = stage.log.partition("the last lines of the pack's output:")[2].splitlines()
    assert quoted[1:3] == ["  93", "  94"]
    assert quoted[9] == "  ValueError: no such table"
    assert len(quoted[10]) < 600


def test_skipped_task_says_why_first_and_where_last(stage: Stage) -> None:
    """The reason is in view in Airflow's list, the long slugs are not."""
    stage.pack("basic", ALL_OK)
    stage.pack("basic", ALL_OK, kind="rule")
    stage.activate("mp_basic", HEART, LUNG)
    stage.activate("rp_basic", HEART, LUNG)
    with pytest.raises(AirflowSkipException) as caught:
        stage.run("rp_basic")
    reason = "mp_basic has not run for this date"
    assert str(caught.value) == f"no endpoint passed the gate:\n  {reason}: {HEART.slug}, {LUNG.slug}"
    assert f"not run: {reason}: {HEART.slug}" in stage.log


def test_rule_pack_never_passes_the_gate_of_a_quarantined_metric_pack(stage: Stage) -> None:
    """Not even with a good run of the same date from before it broke."""
    stage.pack("basic", ALL_OK)
    stage.pack("basic", ALL_OK, kind="rule")
    for task_id in ("mp_basic", "rp_basic"):
        stage.activate(task_id, HEART)
    stage.run("mp_basic")
    stage.pack("basic", ALL_OK, version="")
    with pytest.raises(AirflowSkipException):
        stage.run("rp_basic")
    assert stage.ledger("rp_basic", "reason") == [("heart", "skipped", "mp_basic is quarantined")]


def test_backfill_does_not_file_today_under_a_past_date(stage: Stage) -> None:
    """A metric pack that can measure the past says so in its manifest."""
    backfill = {"dag_run": SimpleNamespace(run_type="backfill", logical_date=pendulum.now(), run_after=pendulum.now())}
    stage.pack("basic", ALL_OK)
    stage.pack("past", ALL_OK, backfill=True)
    stage.activate("mp_basic", HEART)
    stage.activate("mp_past", HEART)
    with pytest.raises(AirflowSkipException, match="a backfill would store today's state under a past date"):
        stage.run("mp_basic", context=backfill)
    assert stage.run("mp_past", context=backfill)["success"] == 1


@pytest.mark.parametrize(
    ("param", "logical", "zone", "expected"),
    [
        ("2025-12-31", "2026-01-05T23:30:00Z", "UTC", date(2025, 12, 31)),
        (None, "2026-01-05T23:30:00Z", "UTC", date(2026, 1, 5)),
        (None, "2026-01-05T23:30:00Z", "Europe/Paris", date(2026, 1, 6)),
        (None, None, "Pacific/Auckland", date(2026, 2, 2)),
    ],
)
def test_metric_date_is_the_param_else_the_logical_date_else_when_the_run_was_due(
    stage: Stage, param: str | None, logical: str | None, zone: str, expected: date
) -> None:
    """A date of the Dag's timezone, the same for every try (fault 10: UTC and local dates mixed)."""
    stage.pack("basic", 'echo "date is $HDM_DATE"\n' + ALL_OK)
    stage.activate("mp_basic", HEART)
    run = SimpleNamespace(
        run_type="manual",
        logical_date=logical and pendulum.parse(logical),
        run_after=pendulum.parse("2026-02-01T20:00:00Z"),
    )
    context = {
        "params": {"metric_date": param},
        "dag_run": run,
        "dag": SimpleNamespace(timezone=pendulum.timezone(zone)),
    }
    assert stage.run("mp_basic", context=context)["metric_date"] == expected.isoformat()
    assert stage.ledger("mp_basic", "metric_date") == [("heart", "success", expected)]
    assert f"date is {expected}" in stage.log


def test_metric_date_that_is_no_date_is_refused(stage: Stage) -> None:
    """Bad input gets a clear error."""
    stage.pack("basic", ALL_OK)
    with pytest.raises(AirflowFailException, match="metric_date 'soon' is not a date"):
        stage.run("mp_basic", context={"params": {"metric_date": "soon"}})


def test_pack_gets_both_configurations_merged_and_the_endpoint_wins(stage: Stage) -> None:
    """Per-endpoint configuration is not only stored, it is read (fault 9); rule packs read their own (fault 8)."""
    show = EACH.format("print('got', sorted(e.config.items())) or run.report(e, 'ok')")
    stage.pack("basic", show, version="1.10.0")
    stage.activate("mp_basic", HEART)
    stage.configure("mp_basic", {"a": 1, "b": 1}, version="1.9.0")
    stage.configure("mp_basic", {"a": 0}, version="1.2.0")
    stage.configure("mp_basic", {"b": 2}, place=HEART)
    stage.configure("rp_basic", {"a": "rule"}, version="1.10.0")
    stage.run("mp_basic")
    assert "got [('a', 1), ('b', 2)]" in stage.log
    assert "version 1.10.0 has no external configuration: that of 1.9.0 is used" in stage.log


SCHEMA = json.dumps({"type": "object", "properties": {"identifying": {}}, "additionalProperties": False})


def test_endpoint_with_a_mistyped_key_is_not_touched_and_the_others_run(stage: Stage) -> None:
    """With `identifing`, the identifying columns would be measured."""
    stage.pack("basic", ALL_OK, files={"config.schema.json": SCHEMA})
    stage.activate("mp_basic", HEART, LUNG, LIVER)
    stage.configure("mp_basic", {"identifing": ["s3cret"]}, place=HEART)
    stage.configure("mp_basic", {"identifying": ["name"]}, place=LUNG)
    with pytest.raises(PackFailedError):
        stage.run("mp_basic")
    rows = {name: (status, reason) for name, status, reason in stage.ledger("mp_basic", "reason")}
    reason = f"identifing is unknown: did you mean identifying? (hdm_pack_metric_conf basic:{HEART.slug})"
    assert rows["heart"] == ("failed", reason)
    assert {rows["lung"][0], rows["liver"][0]} == {"success"}
    assert "s3cret" not in stage.log


def test_schema_that_is_wrong_fails_every_endpoint_with_a_configuration(stage: Stage) -> None:
    """What it was meant to protect is unknown."""
    stage.pack("basic", ALL_OK, files={"config.schema.json": '{"additionalPropertes": false}'})
    stage.activate("mp_basic", HEART)
    stage.configure("mp_basic", {"a": 1}, place=HEART)
    with pytest.raises(PackFailedError, match="did you mean additionalProperties"):
        stage.run("mp_basic")


def test_attempt_records_its_pack_once_per_content(stage: Stage) -> None:
    """Commands and pages know the pack where they cannot read the packs folder."""
    query = "SELECT name, version, readme, config_schema, findings, recorded_at, sha256 FROM hdm_pack ORDER BY version"

    def recorded() -> list[tuple[Any, ...]]:
        with stage.base.connect() as connection:
            return connection.execute(query).fetchall()

    stage.pack("basic", ALL_OK, files={"config.schema.json": SCHEMA, "Readme.md": "# Basic\n"})
    stage.activate("mp_basic", HEART)
    stage.run("mp_basic")
    (first,) = recorded()
    assert first[:4] == ("basic", "1.0.0", "# Basic\n", SCHEMA)
    assert {one["code"] for one in first[4]} <= {"author-missing", "description-missing"}
    stage.run("mp_basic")
    assert recorded() == [first]
    stage.pack("basic", ALL_OK, files={"Readme.md": "# Other\n", "config.schema.json": SCHEMA})
    stage.run("mp_basic")
    ((*_, readme, _schema, _findings, at, sha256),) = recorded()
    assert (readme, at > first[5], sha256 != first[6]) == ("# Other\n", True, True)
    stage.pack("basic", ALL_OK, version="2.0")
    stage.run("mp_basic")
    assert [row[1] for row in recorded()] == ["1.0.0", "2.0"]


def test_step_back_to_a_lower_version_says_that_its_configuration_is_lost(stage: Stage) -> None:
    """Without `min_count`, rare levels would be stored, and nothing would say so."""
    stage.pack("basic", ALL_OK, version="1.0")
    stage.activate("mp_basic", HEART)
    stage.configure("mp_basic", {"min_count": 10}, version="1.1")
    stage.run("mp_basic")
    warning = "version 1.0 has no external configuration: that of 1.1, which is not a lower version, is not used"
    assert warning in stage.log
    ((_, status, reason),) = stage.ledger("mp_basic", "reason")
    assert (status, warning in reason) == ("success", True)
    stage.configure("mp_basic", {"min_count": 10}, version="1.0")
    stage.run("mp_basic")
    assert stage.ledger("mp_basic", "reason")[-1][2] is None


def test_configuration_that_does_not_decode_fails_its_endpoint_or_all(stage: Stage) -> None:
    """An endpoint's is that endpoint's fault; the external one is everybody's."""
    stage.pack("basic", ALL_OK)
    stage.activate("mp_basic", HEART, LUNG)
    stage.configure("mp_basic", {}, place=HEART)
    with stage.base.connect(autocommit=True) as connection:
        connection.execute("UPDATE hdm_pack_metric_conf SET pack_config = '{not base64}'")
        with pytest.raises(PackFailedError, match=r"not base64 .*: heart:"):
            stage.run("mp_basic")
        assert sorted(stage.ledger("mp_basic")) == [("heart", "failed"), ("lung", "success")]
        connection.execute("INSERT INTO hdm_pack_metric_conf VALUES ('basic:1.0.0', 'basic', '1.0.0', '%')")
        with pytest.raises(PackFailedError):
            stage.run("mp_basic", day=MONDAY + timedelta(days=1))
    assert sorted(stage.ledger("mp_basic")[2:]) == [("heart", "failed"), ("lung", "failed")]


def test_password_comes_from_the_connection_and_its_host_must_be_the_endpoints(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection for another server would try its password there."""
    show = EACH.format("run.report(e, 'ok', message=str(len(e.password or '')))")
    stage.pack("basic", show)
    monkeypatch.setenv("AIRFLOW_CONN_HDM_HEART", "generic://:s3cret!@127.0.0.1")
    monkeypatch.setenv("AIRFLOW_CONN_HDM_LUNG", "generic://:s3cret!@elsewhere")
    stage.activate("mp_basic", HEART, LUNG, LIVER)
    stage.activate("mp_basic", endpoint("kidney"), conn_id="shared_reader")
    with pytest.raises(PackFailedError):
        stage.run("mp_basic")
    rows = {name: (status, reason) for name, status, reason in stage.ledger("mp_basic", "reason")}
    assert rows["heart"] == ("success", str(len("s3cret!")))
    assert rows["liver"] == ("success", "0")
    assert rows["lung"][0] == "failed"
    assert "is for a host other than the endpoint's" in rows["lung"][1]
    assert "there is no connection 'shared_reader'" in rows["kidney"][1]


def test_missing_connection_and_unreachable_base_fail_with_what_to_do(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unreachable base never ends as a success (fault 14)."""
    stage.pack("basic", ALL_OK)
    with pytest.raises(AirflowFailException, match="there is no connection 'nowhere'"):
        stage.run("mp_basic", conn_id="nowhere")
    monkeypatch.setenv("AIRFLOW_CONN_DOWN", "postgres://u:hidden@127.0.0.1:1/hdm")
    with pytest.raises(HdmBaseError, match="cannot be reached") as caught:
        stage.run("mp_basic", conn_id="down")
    assert "hidden" not in str(caught.value)
    monkeypatch.setenv("AIRFLOW_CONN_EMPTY", stage.base.server.dsn("postgres"))
    with pytest.raises(HdmBaseError, match="airflow hdm db upgrade"):
        stage.run("mp_basic", conn_id="empty")


def test_create_table_scripts_run_once_per_content(stage: Stage) -> None:
    """And a failing one fails the run, names its file, and leaves nothing."""
    sql = "CREATE TABLE seen (n int); INSERT INTO seen VALUES (1);"
    stage.pack("basic", ALL_OK, files={"create-table/create.sql": sql})
    stage.activate("mp_basic", HEART)
    stage.run("mp_basic")
    stage.run("mp_basic")
    stage.pack("basic", ALL_OK, files={"create-table/create.sql": "INSERT INTO seen VALUES (2);"})
    stage.run("mp_basic")
    stage.pack("basic", ALL_OK, files={"create-table/create.sql": "INSERT INTO seen VALUES (3); SELECT 1/0;"})
    with pytest.raises(HdmBaseError, match=r"(?s)DivisionByZero.*basic/create-table/create.sql"):
        stage.run("mp_basic")
    with stage.base.connect() as connection:
        assert connection.execute("SELECT n FROM seen ORDER BY n").fetchall() == [(1,), (2,)]
    assert stage.ledger("mp_basic")[-1] == ("heart", "failed")


def test_metrics_that_only_an_exit_code_vouches_for_can_be_refused(stage: Stage) -> None:
    """The setting require_reports."""
    stage.pack("basic", "exit 0\n")
    stage.pack("basic", ALL_OK, kind="rule")
    for task_id in ("mp_basic", "rp_basic"):
        stage.activate(task_id, HEART)
    stage.run("mp_basic")
    with pytest.raises(AirflowSkipException):
        stage.run("rp_basic", require_reports=True)
    assert stage.run("rp_basic")["success"] == 1
    assert stage.folder.exists()


def test_script_saved_on_windows_runs(stage: Stage, tmp_path: Path) -> None:
    """The run's copy has Unix line ends and no byte order mark; the pack itself is not touched."""
    stage.pack("basic", ALL_OK)
    script = stage.folder / "metric-packs" / "basic" / "bootstrap-script.sh"
    content = b"\xef\xbb\xbf" + script.read_bytes().replace(b"\n", b"\r\n")
    script.write_bytes(content)
    stage.activate("mp_basic", HEART)
    assert stage.run("mp_basic")["success"] == 1
    assert script.read_bytes() == content
    assert not list((tmp_path / "tmp").iterdir())
