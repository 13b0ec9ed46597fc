"""The configuration of metric pack basic: every key, what it may be, and what is said of the rest."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdm_airflow.packs import config_schema
from tests.pack_modules import PROCESS
from tests.unit.metric_basic_harness import pack, settings

DEFAULTS = json.loads((PROCESS / "conf.json").read_text("utf-8"))
PATTERNS = [key for key, value in DEFAULTS.items() if value == []]
WORDS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def test_defaults_are_those_of_conf_json() -> None:
    """Nothing is limited, five are too few to show, and a locked table is waited for a minute."""
    found = settings()
    assert (found.min_count, found.row_limit, found.table_seconds, found.endpoint_seconds) == (5, None, None, None)
    assert (found.statement_seconds, found.lock_seconds, found.memory_mb) == (3600, 60, 512)
    assert (found.parallel_tables, found.connections_per_host) == (1, 4)
    assert (found.round_numbers, found.round_dates, found.ssl_verify, found.warnings) == (None, "", True, ())
    assert all(getattr(found, key) == () for key in PATTERNS)


def test_every_key_is_a_field_and_stands_in_the_readme() -> None:
    """With its default, in the table of the section Configuration."""
    named = {field.name for field in fields(pack.settings.Settings)} - {"row_limit", "warnings"}
    assert set(DEFAULTS) == named | {"limit_enabled", "search_results_limit"}
    readme = (PROCESS.parent / "Readme.md").read_text("utf-8")
    section = readme.split("## Configuration")[1].split("\n## ")[0]
    stated = dict(re.findall(r"^\| `(\w+)` \| ([^|]*) \|", section, re.MULTILINE))
    all_of = dict.fromkeys(("schemas", "tables", "columns"), "all")
    words = {key: "none" if value in (None, "", []) else json.dumps(value) for key, value in DEFAULTS.items()}
    assert stated == words | all_of


@pytest.mark.parametrize(
    ("config", "key", "wanted"),
    [
        ({"min_count": "11"}, "min_count", 11),
        ({"min_count": 11.0}, "min_count", 11),
        ({"tables": "stays"}, "tables", ("stays",)),
        ({"tables": ["a*", " ", "b"]}, "tables", ("a*", "b")),
        ({"tables": None}, "tables", ()),
        ({"limit_enabled": "true", "search_results_limit": "1000"}, "row_limit", 1000),
        ({"limit_enabled": False, "search_results_limit": "many"}, "row_limit", None),
        ({"table_seconds": "0.5"}, "table_seconds", 0.5),
        ({"endpoint_seconds": " "}, "endpoint_seconds", None),
        ({"round_numbers": 2}, "round_numbers", 2),
        ({"round_dates": "Month"}, "round_dates", "month"),
        ({"round_dates": None}, "round_dates", ""),
        ({"ssl_verify": "no"}, "ssl_verify", False),
        ({"ssl_verify": "False"}, "ssl_verify", False),
        ({"limit_enabled": "FALSE", "search_results_limit": 0}, "row_limit", None),
        ({"table_seconds": "1e3"}, "table_seconds", 1000),
        ({"esHost": {"any": "thing"}}, "min_count", 5),
    ],
)
def test_values_are_understood(config: dict[str, Any], key: str, wanted: Any) -> None:
    """Also as texts, which forms and old configurations hold. The schema, which comes first, refuses none of them."""
    assert getattr(settings(**config), key) == wanted
    assert config_schema.faults(config_schema.read(PROCESS.parent), [config]) == [""]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"min_count": 0}, "min_count must be a whole number, at least 1"),
        ({"min_count": True}, "min_count must be"),
        ({"min_count": "9" * 5000}, "min_count must be"),
        ({"schemas": 3}, "schemas must be a list of patterns"),
        ({"exclude_columns": [1]}, "exclude_columns must be a list of patterns"),
        ({"limit_enabled": True}, "search_results_limit must be a whole number, at least 1, when limit_enabled"),
        ({"limit_enabled": True, "search_results_limit": 0}, "search_results_limit must be"),
        ({"limit_enabled": "perhaps"}, "limit_enabled must be true or false"),
        ({"table_seconds": 0}, "table_seconds must be a number of seconds greater than 0"),
        ({"table_seconds": float("nan")}, "table_seconds must be"),
        ({"endpoint_seconds": True}, "endpoint_seconds must be"),
        ({"statement_seconds": None}, "statement_seconds must be a whole number from 1 to"),
        ({"lock_seconds": 1.5}, "lock_seconds must be"),
        ({"parallel_tables": 65}, "parallel_tables must be a whole number from 1 to 64"),
        ({"memory_mb": 15}, "memory_mb must be a whole number from 16 to"),
        ({"round_numbers": 16}, "round_numbers must be a whole number from 1 to 15"),
        ({"round_dates": "week"}, "round_dates must be one of: empty, month, year"),
        ({"ssl_verify": "x"}, "ssl_verify must be true or false"),
    ],
)
def test_a_wrong_value_is_named_by_its_key(config: dict[str, Any], message: str) -> None:
    """And the sentence says what it may be."""
    with pytest.raises(pack.settings.SettingsError, match=re.escape(message)):
        settings(**config)


def test_all_errors_come_at_once_and_quote_no_value() -> None:
    """Whoever mends a configuration does it in one go; a password in the wrong place is not repeated."""
    with pytest.raises(pack.settings.SettingsError) as error:
        settings(min_count="s3cret", tables={"s3cret": 1}, round_dates="s3cret", table_seconds="s3cret")
    assert [part.split()[0] for part in str(error.value).split("; ")] == [
        "min_count",
        "tables",
        "table_seconds",
        "round_dates",
    ]
    assert "s3cret" not in str(error.value)


@given(config=st.fixed_dictionaries({}, optional=dict.fromkeys(DEFAULTS, WORDS)))
def test_any_json_is_read_or_refused(config: dict[str, Any]) -> None:
    """No other exception, whatever stands in the configuration."""
    with suppress(pack.settings.SettingsError):
        settings(**config)


def test_what_is_odd_but_no_error_is_said() -> None:
    """Plain text is ignored, and more tables at once than connections cannot be."""
    assert pack.settings.read("dev").warnings == ("ignoring the configuration: it is plain text, not JSON",)
    assert pack.settings.read(" ").warnings == ()
    (warning,) = settings(parallel_tables=8).warnings
    assert warning == "parallel_tables is greater than connections_per_host, which takes precedence"


def test_digest_tells_configurations_apart_that_measure_other_things() -> None:
    """A retry with more time goes on where the last one stopped; with another choice it begins anew."""
    other = {**{key: ["x"] for key in PATTERNS}, "min_count": 7, "round_numbers": 2, "round_dates": "year"}
    seconds = dict.fromkeys(("table_seconds", "endpoint_seconds", "statement_seconds", "lock_seconds"), 9)
    pace = {**seconds, "parallel_tables": 2, "connections_per_host": 2, "memory_mb": 99, "ssl_verify": False}
    pace["foreign_keys"] = False  # each attempt counts them again
    assert set(other) | set(pace) | {"limit_enabled", "search_results_limit"} == set(DEFAULTS)
    digests = {settings(**{key: value}).digest for key, value in other.items()}
    digests |= {settings(limit_enabled=True, search_results_limit=limit).digest for limit in (1, 2)}
    assert len(digests | {settings().digest}) == len(other) + 3
    assert {settings(**{key: value}).digest for key, value in pace.items()} == {settings().digest}


@pytest.mark.parametrize("config", [[], ["secret"], 7, True])
def test_configuration_that_is_no_object_is_an_error(config: object) -> None:
    """It may have been meant to name identifying columns: the defaults would measure them."""
    with pytest.raises(pack.settings.SettingsError, match="a list or a single value, not an object"):
        pack.settings.read(config)
