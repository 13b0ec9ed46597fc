"""`fail_on`: a rule task is red because of what it found, after all of it is stored; each try says the same."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from hdm_airflow.base import runs
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.errors import HdmBaseError, PackFailedError
from tests.airflow.cli_harness import ROOT, Hdm
from tests.airflow.stage import MONDAY, REPORT_ALL, endpoint
from tests.airflow.test_dag import run_dag

if TYPE_CHECKING:
    from tests.airflow.stage import Stage

HEART, LUNG = endpoint("heart"), endpoint("lung")
TUESDAY, WEDNESDAY = MONDAY + timedelta(days=1), MONDAY + timedelta(days=2)
ALL_OK = REPORT_ALL.format("ok")
#: Prints the SQL that replaces the alerts of a metric date by those in a file, of which each endpoint has its own.
ALERTS = """
import hdm, json, pathlib
run = hdm.load()
for e in run.endpoints:
    key = f"'{run.pack}', '{e.slug}', '{run.date}'"
    print(f"DELETE FROM hdm_alerts WHERE (rule_pack, endpoint, \\"date\\") = ({key});")
    for rule, table, column, level in json.loads(pathlib.Path("FAULTS").read_text()).get(e.database, []):
        cells = ", ".join(f"nullif('{cell}', '')" for cell in (rule, table, column, level))
        print(
            "INSERT INTO hdm_alerts "
            '(rule_pack, endpoint, "date", rule_id, "table", "column", alert_level, alert_message) '
            f"VALUES ({key}, {cells}, 'too many in {table}\\n{column}');"
        )
"""
DATES = ("dates", "stays", "start", "High")
NULLS = ("nulls", "patients", "postcode", "Warning")


class Ward:
    """One metric pack, and one rule pack that finds what a file says."""

    def __init__(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stage, self.monkeypatch = stage, monkeypatch
        self.faults = stage.folder.parent / "faults.json"
        self.find()
        stage.pack("basic", ALL_OK)
        self.judge()
        stage.activate("mp_basic", HEART, LUNG)
        stage.activate("rp_basic", HEART, LUNG, register=False)
        monkeypatch.setenv("PATH", f"{stage.base.server.bin_dir}:/usr/bin:/bin")

    def judge(self, end: str = ALL_OK) -> None:
        """Write the rule pack, with the end of its script."""
        store = f"set -e -o pipefail\npython alerts.py | psql -q -v ON_ERROR_STOP=1 --single-transaction\n{end}"
        files = {"alerts.py": ALERTS.replace("FAULTS", str(self.faults))}
        self.stage.pack("basic", store, kind="rule", files=files)

    def find(self, *heart: tuple[str, ...], lung: tuple[tuple[str, ...], ...] = ()) -> None:
        """What the rule pack finds from now on."""
        self.faults.write_text(json.dumps({"heart": heart, "lung": lung}))

    def night(self, day: date = MONDAY, fail_on: str = "High") -> str:
        """Measure, then judge as another try of the task; the message of its failure, or ''."""
        self.stage.run("mp_basic", day=day)
        return self.again(day, fail_on)

    def again(self, day: date = MONDAY, fail_on: str = "High") -> str:
        """Judge."""
        try:
            self.stage.run("rp_basic", day=day, fail_on=fail_on)
        except AirflowFailException as failure:
            return str(failure)
        return ""

    def dag(self, day: date, **settings: Any) -> dict[str, str]:
        """The states after a run of the Dag."""
        sandbox = {"write": [str(self.stage.folder.parent)], "read": [str(ROOT)]}
        states = run_dag(self.stage, self.monkeypatch, {"metric_date": day.isoformat()}, sandbox=sandbox, **settings)
        return {name.removeprefix("hdm-prod."): state for name, state in states.items()}

    def execute(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.stage.base.connect() as connection:
            done = connection.execute(query, values)
            return done.fetchall() if done.description else []

    def mute(self, until: date, seen: date) -> None:
        """As `airflow hdm incidents mute` does."""
        self.execute("UPDATE hdm_incident SET muted_until = %s, muted_on = %s", until, seen)


@pytest.fixture
def ward(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Ward:
    return Ward(stage, monkeypatch)


@pytest.mark.usefixtures("metadata")
def test_dag_run_is_red_until_the_fault_is_put_right(ward: Ward) -> None:
    """Red at first and when it is cleared, without a retry; green when data are repaired and the night is repeated."""
    ward.find(DATES)
    settings = {"fail_on": "High", "pack_args": {"rp_basic": {"retries": 3}}}
    for _ in range(2):
        states = ward.dag(MONDAY, **settings)
        assert (states["mp_basic"], states["rp_basic"], states["end"]) == ("success", "failed", "upstream_failed")
        assert states["run"] == "failed"
    assert ward.stage.ledger("rp_basic") == [("heart", "success"), ("lung", "success")] * 2
    ward.find()
    states = ward.dag(MONDAY, **settings)
    assert set(states.values()) == {"success"}
    assert ward.execute("SELECT state, ended_on FROM hdm_incident") == [("resolved", MONDAY)]


@pytest.mark.usefixtures("metadata")
def test_dag_run_is_green_if_what_comes_back_is_muted(ward: Ward) -> None:
    """Somebody knows it; without the mute, the same night is red."""
    ward.find(DATES)
    assert ward.night(MONDAY)
    ward.mute(WEDNESDAY, MONDAY)
    ward.find()
    assert not ward.night(TUESDAY)
    ward.find(DATES)
    assert ward.dag(WEDNESDAY, fail_on="High")["rp_basic"] == "success"
    assert ward.execute("SELECT state, opened_on FROM hdm_incident") == [("open", WEDNESDAY)]
    ward.mute(TUESDAY, MONDAY)
    assert ward.dag(WEDNESDAY, fail_on="High")["rp_basic"] == "failed"


def test_late_earlier_date_does_not_make_a_later_one_green(ward: Ward) -> None:
    """It shows that the fault is older; the later date was red, and each try of it says the same."""
    ward.find(DATES)
    assert ward.night(TUESDAY)
    assert ward.night(MONDAY)
    assert ward.again(TUESDAY)
    query = 'SELECT "date", withdrawn FROM hdm_incident_event ORDER BY 1'
    assert ward.execute(query) == [(MONDAY, False), (TUESDAY, True)]


def test_message_lists_incidents_the_most_severe_first_and_the_command_that_shows_all(ward: Ward) -> None:
    """Ten lines are read; what a rule pack wrote is shown in one line, without control characters."""
    ward.find(
        *((f"r{number}", "stays", f"c{number}", "Warning") for number in range(9)), lung=(DATES, ("", "", "", "High"))
    )
    message = ward.night(fail_on="Warning").splitlines()
    assert message[0] == (
        "rp_basic opened or reopened 11 incident(s) of level Warning or above on the metric date 2026-01-05:"
    )
    assert message[1] == f"  High: opened: {LUNG.slug}: too many in"
    assert message[2] == f"  High: opened: {LUNG.slug}: stays.start: rule dates: too many in stays start"
    assert message[3] == f"  Warning: opened: {HEART.slug}: stays.c0: rule r0: too many in stays c0"
    assert message[11:13] == ["  ... and 1 more", "in: setting fail_on, Warning"]
    command = (
        "airflow hdm incidents list --environment prod --state all --pack rp_basic --level Warning --since 2026-01-05"
    )
    assert message[13].startswith(f"do: see all: {command}; ")
    assert len(message) == 14


@pytest.mark.parametrize(("fail_on", "red"), [("none", False), ("High", False), ("Warning", True), ("Info", True)])
def test_level_counts_with_those_above_it(ward: Ward, fail_on: str, red: bool) -> None:
    """And without the setting, no task is red because of what it found."""
    ward.find(NULLS)
    assert bool(ward.night(fail_on=fail_on)) is red
    assert ward.execute("SELECT level FROM hdm_incident") == [("Warning",)]


def test_fault_that_stays_is_no_news(ward: Ward) -> None:
    """Red on the night on which it comes or comes back, green in between."""
    found = []
    for number, here in enumerate([True, True, False, True]):
        ward.find(*([DATES] if here else []))
        found.append(ward.night(MONDAY + timedelta(days=number)).partition(": heart")[0].rpartition("\n")[2])
    assert found == ["  High: opened", "", "", "  High: reopened"]


def test_mute_that_comes_after_the_night_or_until_it_is_resolved_changes_nothing(ward: Ward) -> None:
    """Each try says the same; and what comes back has been resolved before."""
    ward.find(DATES)
    message = ward.night()
    ward.mute(WEDNESDAY, MONDAY)
    assert ward.again() == message
    ward.find()
    ward.night(TUESDAY)
    ward.execute("UPDATE hdm_incident SET muted_until = 'infinity'")
    ward.find(DATES)
    assert "High: reopened" in ward.night(WEDNESDAY)


def test_level_is_that_of_the_alert_now(ward: Ward) -> None:
    """A repetition finds less; made-up levels count as High."""
    ward.find(DATES)
    assert ward.night()
    ward.find((*DATES[:3], "Info"))
    assert not ward.again()
    ward.find((*DATES[:3], "urgent"))
    assert "High: opened" in ward.again()


def test_endpoint_that_does_not_run_again_makes_the_next_try_red_too(ward: Ward) -> None:
    """The first try fails on another endpoint and may be repeated; the second judges that one only."""
    ward.find(DATES)
    half = 'python -c "import hdm; run = hdm.load(); [run.report(e, s) for e, s in zip(run.endpoints, {})]"\n'
    ward.judge(half.format("['ok', 'failed']"))
    ward.stage.run("mp_basic")
    with pytest.raises(PackFailedError):
        ward.again()
    assert f"High: opened: {HEART.slug}" in ward.stage.log
    ward.judge()
    assert f"High: opened: {HEART.slug}" in ward.again()
    assert ward.stage.ledger("rp_basic") == [("heart", "success"), ("lung", "failed"), ("lung", "success")]


def test_night_that_the_gate_stops_stays_red_and_one_without_news_is_skipped(ward: Ward) -> None:
    """The alert is still there: nobody has judged the date anew."""
    ward.find(DATES)
    assert ward.night()
    ward.stage.pack("basic", "exit 1\n")
    for day in (MONDAY, TUESDAY):
        with pytest.raises(PackFailedError):
            ward.stage.run("mp_basic", day=day)
    assert ward.again()
    with pytest.raises(AirflowSkipException):
        ward.again(TUESDAY)


def test_night_whose_incidents_another_run_derives_is_not_green_before_it_has(ward: Ward) -> None:
    """The next night is being repeated: what is new on this one is unknown until that has ended. A retry helps."""
    assert not ward.night(MONDAY)
    assert not ward.night(TUESDAY)
    ward.find(DATES)
    repeated = runs.Attempt(
        kind="rule",
        pack="basic",
        pack_version="1.0.0",
        metric_date=TUESDAY,
        environment="prod",
        dag_id="stage",
        run_id="again",
        task_id="hdm-prod.rp_basic",
        try_number=1,
    )
    with HdmHook().session() as base:
        assert runs.try_lock(base, repeated)
        ids = runs.reserve(base, [HEART.slug])
        runs.start(base, repeated, ids)
        with pytest.raises(HdmBaseError, match="not derived yet on 1 endpoint") as failure:
            ward.night(MONDAY)
        assert HEART.slug in failure.value.what
        assert LUNG.slug not in failure.value.what
        with pytest.raises(HdmBaseError, match="not derived yet on 1 endpoint"):
            ward.again(MONDAY)
        before = len(ward.stage.lines)
        assert not ward.again(MONDAY, "none")
        told = "\n".join(ward.stage.lines[before:])
        assert (
            f"incidents are not derived yet on 1 endpoint(s), where another run of the pack does it: {HEART.slug}"
            in told
        )
        runs.close(base, repeated, ids, [runs.Outcome(endpoint=HEART.slug, status="success")])
    assert "High: opened" in ward.again(MONDAY)


def test_metric_packs_ignore_the_setting(ward: Ward) -> None:
    """They find nothing; a pack of the same name may."""
    ward.find(DATES)
    assert ward.night()
    assert ward.stage.run("mp_basic", fail_on="Info")["success"] == 2


@pytest.mark.usefixtures("metadata")
def test_command_ends_with_the_same_words_and_exit_code_1(
    ward: Ward, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script sees it as a task does; with --endpoint, only the incidents of this one count."""
    ward.find(DATES)
    message = ward.night()
    settings = {
        "venvs": {"folder": str(ward.stage.store)},
        "sandbox": {"write": [str(ward.stage.folder.parent)], "read": [str(ROOT)]},
        "pack_args": {"kind:rule": {"fail_on": "High"}},
    }
    monkeypatch.setenv("AIRFLOW_VAR_HDM", json.dumps(settings))
    hdm = Hdm(capsys)
    run = ("packs", "run", "rp_basic", "--packs-dir", ward.stage.folder, "--date", MONDAY, "--output", "json")
    done = hdm(*run, code=1)
    assert done.err.endswith(f"{message}\n")
    assert [row["status"] for row in done.data] == ["success", "success"]
    assert hdm(*run, "--endpoint", "lung").err.count("opened") == 0
    ward.find()
    assert "incidents: 1 resolved" in hdm(*run).err
