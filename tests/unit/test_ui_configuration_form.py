"""The form that a pack's config.schema.json gives."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdm_airflow.ui import configuration_form
from hdm_airflow.ui.configuration_form import Field

REFERENCE = Path(__file__).parents[2] / "dags" / "packs" / "metric-packs" / "basic" / "config.schema.json"


def fields(properties: Any, **more: Any) -> dict[str, Field]:
    form = configuration_form.fields({"type": "object", "properties": properties, **more})
    return {one.key: one for one in form.fields}


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "string"}, "string"),
        ({"type": ["integer", "null"]}, "integer"),
        ({"type": ["integer", "string"]}, ""),
        ({"enum": ["a", 1, None]}, "enum"),
        ({"const": 3}, "enum"),
        ({"enum": [[1]]}, ""),
        ({"type": "array", "items": {"type": "number"}}, "array"),
        ({"type": "array", "items": {"type": "object"}}, ""),
        ({"type": "array"}, ""),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, "object"),
        ({"type": "object"}, ""),
        ({"anyOf": [{"type": "object"}, {"type": "boolean"}, {"type": "string"}]}, "boolean"),
        ({"$ref": "#/$defs/a~1b"}, "number"),
        ({"$ref": "#/$defs/circle"}, ""),
        ({"$ref": "#/$defs/nothing"}, ""),
        ({"$ref": "http://elsewhere/x"}, ""),
        ({}, ""),
        (True, ""),
    ],
)
def test_kind_of_a_field(schema: Any, kind: str) -> None:
    """What a form cannot show is changed as JSON."""
    definitions = {"a/b": {"type": "number"}, "circle": {"$ref": "#/$defs/circle"}}
    assert fields({"key": schema}, **{"$defs": definitions})["key"].kind == kind


def test_field_has_what_the_schema_says() -> None:
    """Title, description, default and bounds, beside a reference or in it; of an object, one level."""
    stated = {
        "limit": {"$ref": "#/$defs/limit", "description": "Rows", "default": 5},
        "mode": {"enum": ["On", "on", "ON", "off", 1, "1", None]},
        "server": {"type": "object", "properties": {"port": {"type": "integer"}, "deep": {"properties": {}}}},
        "api_key": {"type": "string", "default": "s3cret"},
        "login": {"type": "object", "title": "Login", "properties": {"password": {"type": "string", "default": "x"}}},
    }
    limit = {"type": "integer", "title": "Limit", "minimum": 1, "maximum": float("inf"), "exclusiveMinimum": True}
    found = fields(stated, required=["limit", 3], **{"$defs": {"limit": limit}})
    one = found["limit"]
    assert (one.title, one.description, one.default, one.bounds) == ("Limit", "Rows", "5", {"minimum": 1})
    assert [field.required for field in found.values()] == [True, False, False, False, False]
    assert found["mode"].choices == ['"On"', '"off"', "1", "null"]
    assert [(field.key, field.kind) for field in found["server"].fields] == [("port", "integer"), ("deep", "")]
    assert (found["api_key"].secret, found["api_key"].default) == (True, None)
    assert [field.secret for field in found["login"].fields] == [True]
    assert found["login"].fields[0].default is None


def test_reference_pack_has_a_form_of_all_its_options() -> None:
    """Its options also accept texts, as the original wrote them; the form offers the first form."""
    form = configuration_form.fields(json.loads(REFERENCE.read_text("utf-8")))
    kinds = {one.key: one.kind for one in form.fields}
    assert len(kinds) > 20
    assert all(kinds.values())
    assert (kinds["min_count"], kinds["tables"], kinds["foreign_keys"]) == ("integer", "array", "boolean")


_SCHEMAS = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "properties", "items", "enum", "anyOf", "$ref", "required", "default", "title", "a"]
            ),
            inner | st.sampled_from(["string", "object", "array", "#/properties", "#"]),
            max_size=5,
        )
    ),
    max_leaves=30,
)


@given(_SCHEMAS)
def test_any_schema_gives_a_form_that_a_page_can_hold(schema: Any) -> None:
    """Packs ship whatever they like."""
    root = schema if isinstance(schema, dict) else {"properties": {"key": schema}}
    form = configuration_form.fields(root)
    assert json.loads(json.dumps([asdict(one) for one in form.fields], allow_nan=False)) is not None


def test_without_a_schema_there_is_no_form() -> None:
    assert configuration_form.fields(None).fields == []
    assert configuration_form.fields({"properties": []}).fields == []
