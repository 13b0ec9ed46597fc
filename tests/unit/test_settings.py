"""The Airflow Variable `hdm`: read as text, validated whole."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdm_airflow.errors import ConfigurationError
from hdm_airflow.runner.venvs.options import VenvOptions
from hdm_airflow.settings import Settings
from hdm_airflow.variable import WHERE

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)


#: Every key, with a value other than its default.
EVERY_KEY: dict[str, Any] = {
    "packs_dir": "quality",
    "environments": {
        "dev": {"conn_id": "hdm_dev"},
        "prod": {"conn_id": "hdm", "pack_conn_id": "hdm_packs", "fail_on": "none", "reopen_days": 0},
        "test": {"conn_id": "hdm_test", "notify": False},
    },
    "select": ["tag:nightly"],
    "exclude": ["mp_slow"],
    "pack_args": {"kind:rule": {"pool": "rules", "retries": 1}},
    "schedule": None,
    "timeout": 60,
    "require_reports": True,
    "venvs": {"folder": "/var/lib/hdm", "days": 30.5, "size": 20_000_000_000},
    "credentials": {
        "sources": ["vault", "keycloak"],
        "vault": {"conn_id": "vault", "path": "hdm/{name}"},
        "keycloak": {"conn_id": "keycloak", "realm": "hospital", "endpoints": ["*:trino:*"]},
        "conf_json": "refuse",
    },
    "limits": {"memory": 2_000_000_000, "cpu": 3600, "disk": 1, "output": 1, "processes": 10, "files": 100},
    "sandbox": {"mode": "required", "read": ["/srv"], "write": ["/data"], "hide": ["/var/log/airflow"]},
    "fail_on": "Warning",
    "reopen_days": 30,
    "notify": {"smtp_conn_id": "mail", "sender": "Quality <quality@hospital.example>", "language": "fr"},
}


def fault_of(value: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        Settings.parse(value if isinstance(value, str) else json.dumps(value))
    assert caught.value.where == WHERE
    assert caught.value.hint
    return caught.value.what


@pytest.mark.parametrize("text", [None, "", "  \n", "{}"])
def test_variable_that_says_nothing_gives_the_defaults(text: str | None) -> None:
    """A site with one base and one packs folder needs no Variable at all."""
    found = Settings.parse(text)
    assert found == Settings()
    assert (found.packs_dir, found.schedule) == ("packs", "0 2 * * *")
    assert {name: one.conn_id for name, one in found.environments.items()} == {"prod": "hdm"}


def test_every_key_can_be_set() -> None:
    """The written value counts."""
    assert EVERY_KEY.keys() == Settings.model_fields.keys()
    found = Settings.parse(json.dumps(EVERY_KEY))
    assert json.loads(json.dumps(found.model_dump(exclude_unset=True))) == EVERY_KEY


def test_every_fault_is_named_at_once() -> None:
    """One fault per save is one red Dag per fault."""
    what = fault_of(
        {
            "environments": {"dev": {"conn_id": "hdm"}, "prod": {"conn_id": "hdm"}},
            "timeout": "soon",
            "select": "basic",
            "schedule": "at two",
            "packsdir": "x",
            "venvs": {"folder": "cache"},
        }
    )
    faults = {line.strip().partition(":")[0] for line in what.splitlines()[1:]}
    assert faults == {"environments", "timeout", "select", "schedule", "packsdir", "venvs.folder"}


@pytest.mark.parametrize("sender", ["quality", "médecin@hospital.example", "a b", "a@b.example\nBcc: c@d.example"])
def test_sender_is_an_address(sender: str) -> None:
    """A mail server would refuse it every night."""
    assert "notify.sender: it must be an address" in fault_of({"notify": {"sender": sender}})


def test_environment_has_its_own_messages_or_none() -> None:
    """What it states replaces the setting as a whole."""
    own = {"smtp_conn_id": "other"}
    found = Settings.parse(
        json.dumps(
            {
                "notify": {"smtp_conn_id": "mail", "language": "fr"},
                "environments": {"a": {"conn_id": "a"}, "b": {"conn_id": "b", "notify": own}, "c": {"notify": False}},
            }
        )
    )
    options = {name: found.notify_for(one) for name, one in found.environments.items()}
    assert {name: one and (one.smtp_conn_id, one.language) for name, one in options.items()} == {
        "a": ("mail", "fr"),
        "b": ("other", "en"),
        "c": None,
    }


def test_unknown_key_is_an_error() -> None:
    """If a misspelt setting were ignored, users would still rely on it."""
    assert "  require_report: Extra inputs are not permitted" in fault_of({"require_report": True})
    assert "environments.prod.connid" in fault_of({"environments": {"prod": {"connid": "hdm"}}})


def test_two_environments_with_one_base_are_an_error() -> None:
    """Dev would overwrite prod's metrics every night; left out, conn_id is `hdm` in both."""
    for environments in ({"a": {"conn_id": "x"}, "b": {"conn_id": "x"}}, {"a": {}, "b": {}}):
        assert "two environments share a conn_id" in fault_of({"environments": environments})


@pytest.mark.parametrize(
    "environments",
    [
        {},
        {"": {}},
        {"a b": {}},
        {"a.b": {}},
        {"é": {}},
        {"e" * 51: {}},
        {"prod\n": {}},
        {"prod": {"conn_id": ""}},
        {"prod": {"conn_id": "a\0"}},
        {"prod": {"pack_conn_id": "a`|b"}},
        {"prod": {"conn_id": "x" * 251}},
    ],
)
def test_environment_that_cannot_be_a_task_group_is_an_error(environments: dict[str, Any]) -> None:
    """Airflow would refuse its id, and with it the Dag."""
    assert "environments" in fault_of({"environments": environments})


@pytest.mark.parametrize("text", ["{", "{'a': 1}", "not json", '{"a": 1,}', "[" * 100_000])
def test_text_that_is_not_json_is_called_that(text: str) -> None:
    """Airflow's own deserialize_json answers bad JSON with the default: the site would run without its settings."""
    assert fault_of(text).startswith("the Variable is not JSON")


@pytest.mark.parametrize("value", [[], "packs", 7, None, True])
def test_json_that_is_no_object_is_an_error(value: object) -> None:
    """It is the Variable as a whole that is wrong."""
    assert f"\n  {WHERE}: " in fault_of(json.dumps(value))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("timeout", 0),
        ("timeout", True),
        ("timeout", 1e300),
        ("timeout", float("inf")),
        ("timeout", float("nan")),
        ("require_reports", "yes"),
        ("schedule", ""),
        ("schedule", "99 * * * *"),
        ("schedule", "@nightly"),
        ("schedule", 3600),
        ("packs_dir", ""),
        ("packs_dir", "packs\0"),
        ("venvs", {"folder": ""}),
        ("venvs", {"folder": "~somebody/store"}),
        ("pack_args", {"basic": "pool"}),
        ("exclude", [1]),
    ],
)
def test_wrong_value_is_an_error_at_its_key(key: str, value: object) -> None:
    """Airflow would find some of them only after the Dag file has loaded, and take the whole Dag away."""
    assert f"\n  {key}" in fault_of({key: value})


@pytest.mark.parametrize("schedule", ["0 2 * * *", "*/15 8-18 * * MON-FRI", "@daily", "@once", "@quarterly", None])
def test_schedules_that_airflow_knows_are_taken(schedule: str | None) -> None:
    """Cron and all of its presets."""
    assert Settings.parse(json.dumps({"schedule": schedule})).schedule == schedule


def test_arguments_override_the_variable_key_by_key() -> None:
    """What the Dag file says of select leaves the Variable's environments alone."""
    found = Settings.parse('{"timeout": 60, "select": ["a"]}').override({"select": ["b"]})
    assert (found.timeout, found.select) == (60, ("b",))


def test_wrong_argument_is_not_blamed_on_the_variable() -> None:
    """It is written in a Dag file, and is corrected there."""
    with pytest.raises(ConfigurationError) as caught:
        Settings().override({"select": "basic"})
    assert caught.value.where == "arguments of HdmDag"


def test_store_follows_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """`~` is the worker's home, not the scheduler's."""
    monkeypatch.setenv("HOME", "/home/airflow")
    assert str(VenvOptions(folder="~/store").root) == "/home/airflow/store"


@settings(max_examples=30, deadline=None)
@given(value=st.fixed_dictionaries({}, optional=dict.fromkeys(Settings.model_fields, JSON)) | JSON)
def test_any_json_gives_settings_or_a_configuration_error(value: object) -> None:
    """Any other exception would take the Dag file away instead of showing a task with the reason."""
    with suppress(ConfigurationError):
        found = Settings.parse(json.dumps(value))
        assert found.override({}) == found
