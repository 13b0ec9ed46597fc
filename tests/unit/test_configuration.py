"""Configuration: the options of a pack, in every form in which the base can store them."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hdm_airflow.base.configuration import NONE, Configuration, Configurations, decode, encode, merge
from hdm_airflow.errors import ConfigurationError

SLUG = "heart:mysql:db:3306:hdm:false"


def rows(*stored: tuple[str, str | None, str | None]) -> Configurations:
    """Configurations of the rule pack `basic` from (id without the pack, version, text)."""
    return Configurations.from_rows(
        "rule",
        "basic",
        [
            {
                "id_config": f"basic:{name}",
                "pack_version": version,
                "pack_config": None if text is None else encode(text),
            }
            for name, version, text in stored
        ],
    )


def external(value: Any) -> Configuration:
    return Configuration(value=value, source="external")


def endpoint(value: Any) -> Configuration:
    return Configuration(value=value, source="endpoint")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"limit": 5}', {"limit": 5}),
        ("[1, 2]", [1, 2]),
        ("7", 7),
        ('"dev"', "dev"),
        ("dev", "dev"),
        ("{not json}", "{not json}"),
        ("grüße", "grüße"),
        ("", {}),
        (" \n", {}),
        ("[" * 100_000, "[" * 100_000),
    ],
)
def test_text_is_decoded_as_json_if_it_is_json(text: str, value: object) -> None:
    """The configuration of a rule pack is sometimes just `dev`."""
    assert decode(encode(text), "here") == value


@settings(max_examples=50, deadline=None)
@given(text=st.text())
@example(text="Infinity")
def test_any_text_survives_being_stored(text: str) -> None:
    """The saved text comes back, as JSON or as the text itself; what only Python takes for JSON is refused."""
    try:
        value = decode(encode(text), "here")
    except ConfigurationError:
        assert isinstance(json.loads(text), (float, str, list, dict))
        return
    assert value == text or not isinstance(value, str) or text.strip().startswith('"')


def test_stored_text_may_be_wrapped() -> None:
    """Editors and the command base64 break lines at 76 characters."""
    stored = base64.encodebytes(b'{"key": "' + b"x" * 200 + b'"}').decode()
    assert "\n" in stored.strip()
    assert decode(stored, "here") == {"key": "x" * 200}


@pytest.mark.parametrize("stored", ['{"password": "x"}', "s3cret word", "Z", "/w==", "dev!"])
def test_text_that_cannot_be_decoded_is_an_error_that_names_its_row(stored: str) -> None:
    """The message does not contain the value, which may be a password."""
    with pytest.raises(ConfigurationError) as caught:
        decode(stored, "hdm_pack_rule_conf basic:1.0.0")
    assert caught.value.where == "hdm_pack_rule_conf basic:1.0.0"
    assert stored not in str(caught.value)


@settings(max_examples=40, deadline=None)
@given(stored=st.text(max_size=20))
@example(stored="größe")
def test_any_stored_text_decodes_or_is_a_configuration_error(stored: str) -> None:
    """Other programs write to the base: a row must not end the run with another kind of exception."""
    with suppress(ConfigurationError):
        decode(stored, "here")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (r'{"k": "\ud800"}', "k"),
        (r'{"a": {"b": [1, "x\udfffy"]}}', "a.b.1"),
        (r'{"a": {"\ud800": 1}}', "a.(a key)"),
        ('{"k": 1e999}', "k"),
        ('{"k": [-1e999]}', "k.0"),
        ('{"k": NaN}', "k"),
        ("Infinity", ""),
        (r'"\udc00"', ""),
        ('{"a": ' * 101 + "1" + "}" * 101, "a"),
        ("[" * 500 + "]" * 500, "0"),
    ],
)
def test_value_that_no_context_file_can_hold_is_an_error_at_its_place(text: str, place: str) -> None:
    """Python reads it; written, it is not JSON, or ends the run of every endpoint."""
    with pytest.raises(ConfigurationError) as caught:
        decode(encode(text), "here")
    assert caught.value.where == "here"
    assert (f" at {place}" if place else "") in caught.value.what
    assert text not in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(text=st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps))
@example(text=r'"\ud83d\ude00"')
def test_whatever_decodes_can_be_written_and_read_by_every_program(text: str) -> None:
    """The context file is strict JSON in UTF-8."""
    with suppress(ConfigurationError):
        value = decode(encode(text), "here")
        written = json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False).encode()
        assert json.loads(written) == value


def test_rows_are_distinguished_by_version() -> None:
    """A row with a version is external, a row without one is for an endpoint."""
    found = rows(("1.0.0", "1.0.0", '{"a": 1}'), (SLUG, None, '{"b": 2}'))
    assert found.for_version("1.0.0").value == {"a": 1}
    assert found.for_endpoint(SLUG).value == {"b": 2}
    assert found.for_endpoint("other:mysql:db:3306:hdm:false") == NONE


@pytest.mark.parametrize(
    ("wanted", "used"),
    [("1.0.0", "1.0.0"), ("0.10", "0.9"), ("2.0", "1.0.0"), ("0.9.5", "0.9"), ("0.8", None), ("master", "master")],
)
def test_version_without_configuration_uses_that_of_the_newest_lower_version(wanted: str, used: str | None) -> None:
    """With a warning. It never uses that of a newer version or of master."""
    found = rows(*((version, version, f'"{version}"') for version in ("0.9", "1.0.0", "master"))).for_version(wanted)
    if used is None:
        assert (found.value, found.source) == ({}, "")
        assert found.lost
        assert found.warning == (
            "version 0.8 has no external configuration: that of 1.0.0, which is not a lower version, is not used"
        )
    else:
        assert found.value == used
        assert found.source == f"hdm_pack_rule_conf basic:{used}"
        assert bool(found.warning) is (used != wanted)


def test_endpoint_is_found_under_an_old_form_of_its_slug() -> None:
    """Both sides are compared in their canonical form."""
    found = rows(("heart:mysql:::1:3306:hdm:False", None, "1"))
    assert found.for_endpoint("heart:mysql:%3A%3A1:3306:hdm:false").value == 1


def test_null_and_empty_text_is_an_empty_configuration() -> None:
    """An emptied row counts, but has no options."""
    assert rows(("1.0", "1.0", None)).for_version("1.0").value == {}
    assert rows((SLUG, None, None)).for_endpoint(SLUG).value == {}


def test_one_bad_row_affects_no_other() -> None:
    """Rows are decoded on demand."""
    good = {"id_config": "basic:1.0", "pack_version": "1.0", "pack_config": encode("1")}
    bad = {"id_config": f"basic:{SLUG}", "pack_version": None, "pack_config": "{}"}
    found = Configurations.from_rows("metric", "basic", [good, bad])
    assert found.for_version("1.0").value == 1
    with pytest.raises(ConfigurationError, match="hdm_pack_metric_conf basic:heart"):
        found.for_endpoint(SLUG)


@pytest.mark.parametrize(
    ("first", "second", "value", "sources"),
    [
        (NONE, NONE, {}, []),
        (external({"a": 1}), NONE, {"a": 1}, ["external"]),
        (NONE, endpoint({"a": 1}), {"a": 1}, ["endpoint"]),
        (external({"a": 1, "b": 1}), endpoint({"b": 2}), {"a": 1, "b": 2}, ["external", "endpoint"]),
        (external({"a": {"x": 1}}), endpoint({"a": {"y": 2}}), {"a": {"y": 2}}, ["external", "endpoint"]),
        (external("dev"), NONE, "dev", ["external"]),
        (external("dev"), endpoint({"a": 1}), {"a": 1}, ["endpoint"]),
        (external({"a": 1}), endpoint("dev"), "dev", ["endpoint"]),
        (external({"a": 1}), endpoint({}), {"a": 1}, ["external", "endpoint"]),
    ],
)
def test_keys_of_the_endpoint_override_external_ones(
    first: Configuration, second: Configuration, value: object, sources: list[str]
) -> None:
    """Objects are merged key by key; if one is not an object, the endpoint's replaces the external one."""
    assert merge(first, second) == (value, sources)


def test_merging_changes_neither() -> None:
    """The external configuration is merged once for each of a hundred endpoints."""
    both = external({"a": 1}), endpoint({"a": 2})
    merge(*both)
    assert [one.value for one in both] == [{"a": 1}, {"a": 2}]
