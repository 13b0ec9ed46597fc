"""Every option of runs reaches every attempt: a new one is a field of RunOptions, and no other line of code."""

from __future__ import annotations

import copy
import json
import pickle
import runpy
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pendulum
import pytest
from airflow.sdk.exceptions import AirflowFailException

from hdm_airflow.errors import ConfigurationError
from hdm_airflow.operators.attempt import PackAttempt
from hdm_airflow.operators.pack import PackOperator
from hdm_airflow.operators.problem import ProblemOperator
from hdm_airflow.packs.catalog import Catalog
from hdm_airflow.settings import RunOptions
from tests.airflow.cli_harness import Hdm
from tests.unit.test_settings import EVERY_KEY

if TYPE_CHECKING:
    from pathlib import Path

#: A value other than the default for every option there is.
STATED = {name: EVERY_KEY[name] for name in RunOptions.model_fields}
OPTIONS = RunOptions.model_validate(STATED)
MOMENT = datetime(2026, 1, 5, 2, tzinfo=timezone.utc)


class Site:
    """A packs folder with the pack `mp_pulse`, and its attempts, which end as soon as they have their options."""

    def __init__(self, folder: Path, hdm: Hdm, seen: list[RunOptions]) -> None:
        self.folder = folder
        self.hdm = hdm
        self.seen = seen

    def manifest(self, **keys: Any) -> None:
        """Add keys to the pack's manifest."""
        file = self.folder / "packs/metric-packs/pulse/properties.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **keys}))

    def task(self, pack_args: dict[str, Any] | None = None) -> Any:
        """The pack's task in the Dag that the folder becomes."""
        file = self.folder / "hdm.py"
        arguments = {"mp_pulse": pack_args} if pack_args is not None else None
        file.write_text(f"from hdm_airflow import HdmDag\n\ndag = HdmDag('d', pack_args={arguments!r})\n")
        return runpy.run_path(str(file))["dag"].get_task("hdm-prod.mp_pulse")

    def of_dag(self, pack_args: dict[str, Any] | None = None) -> RunOptions:
        """The options of the attempt that this task makes."""
        return self.of(self.task(pack_args))

    def of(self, operator: PackOperator) -> RunOptions:
        """The options of the attempt that an operator makes."""
        context: Any = {
            "ti": SimpleNamespace(dag_id="d", run_id="r", task_id=operator.task_id, try_number=1),
            "dag_run": SimpleNamespace(logical_date=MOMENT, run_after=MOMENT, run_type="scheduled"),
            "dag": SimpleNamespace(timezone=pendulum.timezone("UTC")),
            "params": {},
        }
        with pytest.raises(AirflowFailException, match="far enough"):
            operator.execute(context)
        return self.seen.pop()

    def of_command(self) -> RunOptions:
        """The options of the attempt that `airflow hdm packs run` makes."""
        assert "far enough" in self.hdm("packs", "run", "mp_pulse", "--packs-dir", self.folder / "packs", code=2).err
        return self.seen.pop()


@pytest.fixture
def site(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """No server: an attempt ends before it asks one for anything."""
    seen: list[RunOptions] = []

    def run(attempt: PackAttempt) -> None:
        seen.append(attempt.conditions.options)
        raise ConfigurationError("far enough")

    monkeypatch.setattr(PackAttempt, "run", run)
    monkeypatch.setenv("AIRFLOW_VAR_HDM", "{}")
    hdm = Hdm(capsys)
    hdm("packs", "new", "pulse", tmp_path / "packs")
    return Site(tmp_path, hdm, seen)


def test_settings_reach_the_attempts_of_tasks_and_of_the_command(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them, whatever they are called; and each of them is stated, or this would say nothing."""
    monkeypatch.setenv("AIRFLOW_VAR_HDM", json.dumps(STATED))
    assert [name for name, value in OPTIONS if value == getattr(RunOptions(), name)] == []
    assert site.of_dag() == OPTIONS
    assert site.of_command() == OPTIONS


@pytest.mark.parametrize("name", RunOptions.model_fields)
def test_pack_args_replace_one_option_of_the_settings(site: Site, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Their keys are flat: options stand next to the arguments of Airflow's operators."""
    others = {key: value for key, value in STATED.items() if key != name}
    monkeypatch.setenv("AIRFLOW_VAR_HDM", json.dumps(others))
    task = site.task({name: STATED[name], "pool": "x"})
    assert task.pool == "x"
    assert site.of(task) == OPTIONS


def test_value_of_pack_args_replaces_the_option_as_a_whole(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the settings' limits or sandbox is left; limits that are not stated are the default ones."""
    stated = {"limits": {"memory": 1, "processes": 5}, "sandbox": {"mode": "required", "hide": ["/srv"]}}
    monkeypatch.setenv("AIRFLOW_VAR_HDM", json.dumps(stated))
    found = site.of_dag({"limits": {"memory": "2 GB"}, "sandbox": {"read": ["/data"]}})
    assert found == RunOptions.model_validate({"limits": {"memory": 2 * 10**9}, "sandbox": {"read": ["/data"]}})
    assert found.limits.processes == RunOptions().limits.processes


@pytest.mark.parametrize(
    ("setting", "manifest", "pack_args", "timeout"),
    [
        (None, None, {}, 6 * 3600),
        (60, None, {}, 60),
        (60, 100, {}, 100),
        (None, 100, {}, 100),
        (60, 100, {"timeout": 5}, 5),
        (60, None, {"timeout": 5}, 5),
        (60, 100, {"timeout": None}, 100),
        (60, None, {"timeout": None}, 6 * 3600),
        (60, 100, {"execution_timeout": 50}, 40),
    ],
)
def test_timeout_of_the_manifest_is_between_the_setting_and_pack_args(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    setting: float | None,
    manifest: float | None,
    pack_args: dict[str, Any],
    timeout: float,
) -> None:
    """The manifest's author knows the pack and overrides the settings of the site; pack_args override both."""
    if manifest:
        site.manifest(timeout=manifest)
    monkeypatch.setenv("AIRFLOW_VAR_HDM", json.dumps({"timeout": setting} if setting else {}))
    assert site.of_dag(pack_args).timeout == timeout
    monkeypatch.setenv(
        "AIRFLOW_VAR_HDM",
        json.dumps({**({"timeout": setting} if setting else {}), "pack_args": {"mp_pulse": pack_args}}),
    )
    assert site.of_command().timeout == timeout


@pytest.mark.parametrize(
    ("variable", "found"),
    [
        ({}, ("none", 7)),
        ({"fail_on": "High", "reopen_days": 3}, ("High", 3)),
        ({"fail_on": "High", "environments": {"prod": {"reopen_days": 0}}}, ("High", 0)),
        ({"fail_on": "High", "environments": {"prod": {"fail_on": "none"}}}, ("none", 7)),
        (
            {
                "environments": {"prod": {"fail_on": "none", "reopen_days": 3}},
                "pack_args": {"mp_pulse": {"fail_on": "Info"}},
            },
            ("Info", 3),
        ),
        (
            {"environments": {"prod": {"fail_on": "High"}}, "pack_args": {"mp_*": {"reopen_days": 365, "pool": "x"}}},
            ("High", 365),
        ),
    ],
)
def test_environment_is_between_the_setting_and_pack_args(
    site: Site, monkeypatch: pytest.MonkeyPatch, variable: dict[str, Any], found: tuple[str, int]
) -> None:
    """A test base may be quiet where the hospital's is strict; task and command agree."""
    monkeypatch.setenv("AIRFLOW_VAR_HDM", json.dumps(variable))
    for options in (site.of_dag(), site.of_command()):
        assert (options.fail_on, options.reopen_days) == found


@pytest.mark.parametrize(("name", "value"), [("fail_on", "high"), ("fail_on", None), ("reopen_days", 366)])
def test_wrong_value_of_an_environment_is_a_mistake_of_the_variable(
    site: Site, monkeypatch: pytest.MonkeyPatch, name: str, value: Any
) -> None:
    """None is no value: `none` switches it off."""
    stated = {"environments": {"prod": {name: value}}} if value else {name: value}
    monkeypatch.setenv("AIRFLOW_VAR_HDM", json.dumps(stated))
    err = site.hdm("packs", "run", "mp_pulse", "--packs-dir", site.folder / "packs", code=2).err
    assert f"{name}: " in err


def test_wrong_pack_args_keep_the_command_from_running_the_pack(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they do with its task."""
    monkeypatch.setenv("AIRFLOW_VAR_HDM", json.dumps({"pack_args": {"mp_pulse": {"fail_on": "all"}}}))
    err = site.hdm("packs", "run", "mp_pulse", "--packs-dir", site.folder / "packs", code=2).err
    assert "mp_pulse has wrong arguments: the settings are wrong:\n  fail_on: " in err


@pytest.mark.parametrize(
    ("pack_args", "fault"),
    [
        ({"timeout": "soon"}, "timeout: Input should be a valid number"),
        ({"sandbox": {"mode": "on"}}, "sandbox.mode: "),
        ({"venvs": {"folder": "here"}}, "venvs.folder: "),
    ],
)
def test_wrong_option_of_pack_args_fails_that_task_with_the_reason(
    site: Site, pack_args: dict[str, Any], fault: str
) -> None:
    """Before the night, and not after three tries."""
    task = site.task(pack_args)
    assert isinstance(task, ProblemOperator)
    assert f"mp_pulse has wrong arguments: the settings are wrong:\n  {fault}" in task.reason
    assert "in: pack_args\n" in task.reason


def test_operator_takes_options_as_object_or_mapping_or_not_at_all(site: Site) -> None:
    """As the Variable has them; None counts as left out. Only a timeout that is stated overrides the manifest's."""
    site.manifest(timeout=100)
    pack = Catalog.scan(site.folder / "packs").find("mp_pulse")
    assert site.of(PackOperator(task_id="t", pack=pack, options=STATED)) == OPTIONS
    assert site.of(PackOperator(task_id="t", pack=pack, options=OPTIONS)) == OPTIONS
    default = RunOptions(timeout=100)
    for options in (None, {}, {"limits": None}, RunOptions()):
        assert site.of(PackOperator(task_id="t", pack=pack, options=options)) == default
    with pytest.raises(ConfigurationError, match=r"  limits.cpu: .*\n  timout: Extra inputs.*\nin: options of t\n"):
        PackOperator(task_id="t", pack=pack, options={"timout": 1, "limits": {"cpu": "1"}})


def test_options_survive_what_airflow_does_to_operators(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies of tasks for a run or a part of the Dag; options are the same, stated or not."""
    monkeypatch.setenv("AIRFLOW_VAR_HDM", json.dumps(STATED))
    task = site.task()
    copies = [copy.deepcopy(task), copy.copy(task), task.prepare_for_execution()]
    assert [site.of(one) for one in copies] == [OPTIONS] * 3
    for options in (OPTIONS, RunOptions()):
        again = pickle.loads(pickle.dumps(options))  # noqa: S301  # our own
        assert (again, again.model_fields_set) == (options, options.model_fields_set)


def test_airflows_timeout_ends_the_attempt_before_a_longer_option(site: Site) -> None:
    """There must be time to write the ledger."""
    pack = Catalog.scan(site.folder / "packs").find("mp_pulse")
    operator = PackOperator(task_id="t", pack=pack, options={"timeout": 500}, execution_timeout=timedelta(seconds=100))
    assert site.of(operator).timeout == 90
