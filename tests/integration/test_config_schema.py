"""config.schema.json: what it refuses, in which words, and that no schema and no value can hang its reader."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from hdm_airflow.cli.packs.new import TEMPLATES
from hdm_airflow.packs import config_schema, files
from hdm_airflow.packs.config_schema import Problem
from hdm_airflow.packs.json_schema import Schema
from tests.pack_modules import PROCESS
from tests.unit.metric_basic_harness import pack

ROOT = Path(__file__).parents[2]
PACKS = sorted((ROOT / "dags/packs").glob("*-packs/*"))
BASIC = json.loads((PROCESS.parent / "config.schema.json").read_text("utf-8"))
DEFAULTS = json.loads((PROCESS / "conf.json").read_text("utf-8"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 70) | st.floats(-3, 70) | st.text("ab ", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
#: Schemas of every supported keyword.
SCHEMAS = st.deferred(
    lambda: (
        st.booleans()
        | st.fixed_dictionaries(
            {},
            optional={
                "type": st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"]),
                "enum": st.lists(JSON, min_size=1, max_size=3),
                "const": JSON,
                "minimum": st.integers(-3, 70),
                "maximum": st.integers(-3, 70),
                "exclusiveMinimum": st.integers(-3, 70),
                "exclusiveMaximum": st.integers(-3, 70),
                "multipleOf": st.integers(1, 4),
                "minLength": st.integers(0, 3),
                "maxLength": st.integers(0, 3),
                "pattern": st.sampled_from(["^a", "b$", "[ab]{2}"]),
                "minItems": st.integers(0, 3),
                "maxItems": st.integers(0, 3),
                "uniqueItems": st.booleans(),
                "items": SCHEMAS,
                "prefixItems": st.lists(SCHEMAS, min_size=1, max_size=2),
                "contains": SCHEMAS,
                "minContains": st.integers(0, 2),
                "maxContains": st.integers(0, 2),
                "properties": st.dictionaries(st.sampled_from("abc"), SCHEMAS, max_size=2),
                "patternProperties": st.dictionaries(st.sampled_from(["^a", "c"]), SCHEMAS, max_size=2),
                "additionalProperties": SCHEMAS,
                "propertyNames": SCHEMAS,
                "required": st.lists(st.sampled_from("abc"), max_size=2, unique=True),
                "minProperties": st.integers(0, 2),
                "maxProperties": st.integers(0, 2),
                "dependentRequired": st.dictionaries(st.sampled_from("abc"), st.just(["b"]), max_size=1),
                "dependentSchemas": st.dictionaries(st.sampled_from("abc"), SCHEMAS, max_size=1),
                "allOf": st.lists(SCHEMAS, min_size=1, max_size=2),
                "anyOf": st.lists(SCHEMAS, min_size=1, max_size=2),
                "oneOf": st.lists(SCHEMAS, min_size=1, max_size=2),
                "not": SCHEMAS,
                "if": SCHEMAS,
                "then": SCHEMAS,
                "else": SCHEMAS,
            },
        )
    )
)


@settings(max_examples=150, deadline=None)
@given(schema=SCHEMAS, value=JSON)
def test_verdict_is_that_of_json_schema(schema: Any, value: Any) -> None:
    """The package jsonschema is the reference: it is only too slow to start before each pack."""
    assert not isinstance(schema, dict) or Schema(schema).faults() == []
    assert (not Schema(schema).problems(value)) == Draft202012Validator(schema).is_valid(value)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"identifing": ["name"]}, "identifing is unknown: did you mean identifying?"),
        ({"Identifying": []}, "Identifying is unknown: did you mean identifying?"),
        ({"identifying": ["a", 5]}, "identifying[1] must be a text"),
        ({"identifying": {"a": 1}}, "identifying must be a list or a text or null"),
        ({"round_dates": "week"}, 'round_dates must be one of "", "month", "year", null'),
        ({"parallel_tables": 65}, "parallel_tables must be a whole number from 1 to 64"),
        ({"parallel_tables": "x"}, "parallel_tables must match the pattern ^"),
        ({"xyz": 1}, "xyz is unknown: known keys are columns, connections_per_host, "),
        ("dev", "the configuration must be an object"),
        ([], "the configuration must be an object"),
        (None, "the configuration must be an object"),
        ({"min_count": True}, "min_count must be a whole number"),
        ({"min_count": -(10**400)}, "min_count must be a whole number"),
        ({"a" * 5000: 1}, "a" * 80 + "... is unknown"),
        ({"\ud800\n": 1}, r"\ud800\n is unknown"),
    ],
)
def test_wrong_configuration_is_named_by_its_key_and_what_it_may_be(value: Any, problem: str) -> None:
    """The mistyped key of a column that identifies persons must not pass: the column would be measured."""
    (fault,) = config_schema.faults(BASIC, [value])
    assert fault.startswith(problem)


def test_no_value_is_quoted() -> None:
    """It may be a password in the wrong place, and the reason goes into the ledger."""
    (fault,) = config_schema.faults(BASIC, [{"min_count": "s3cret", "tables": {"s3cret": 1}, "round_dates": "s3cret"}])
    assert sorted(part.split()[0] for part in fault.split("; ")) == ["min_count", "round_dates", "tables"]
    assert "s3cret" not in fault


def test_pack_without_schema_accepts_anything(tmp_path: Path) -> None:
    """Packs of the original have none."""
    assert config_schema.read(tmp_path) is None
    assert config_schema.faults(None, [{"a": 1}, "text", None]) == ["", "", ""]


def test_part_of_a_configuration_need_not_be_complete() -> None:
    """The other part may be external, or the endpoint's; but what is there must be right."""
    schema = {"required": ["a"], "properties": {"b": {"type": "object", "required": ["c"]}}}
    assert config_schema.faults(schema, [{}], parts=True) == [""]
    assert config_schema.faults(schema, [{}]) == ["the configuration lacks a"]
    assert config_schema.faults(schema, [{"b": {}}], parts=True) == ["b lacks c"]


def test_equal_configurations_are_checked_once_and_empty_ones_without_a_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Most packs have no configuration on most endpoints, and start at once."""
    asked = []

    def check(_schema: Any, values: list[str]) -> tuple[list[Problem], list[list[Problem]]]:
        asked.extend(values)
        return [], [[] for _ in values]

    monkeypatch.setattr(config_schema, "check", check)
    assert config_schema.faults(BASIC, [{}, {"min_count": 1}, {}, {"min_count": 1}]) == [""] * 4
    assert asked == ['{"min_count": 1}']
    config_schema.faults({"required": ["a"]}, [{}])
    assert asked[1:] == ["{}"]


# Schemas that are wrong, or hostile -----------------------------------------------------------------------------------

DOUBLING = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(40)} | {"a40": True}


@pytest.mark.parametrize(
    ("schema", "at", "message"),
    [
        ({"type": "objekt"}, "type", "must be one of null, boolean, "),
        ({"additionalPropertes": False}, "additionalPropertes", "did you mean additionalProperties?"),
        ({"unevaluatedProperties": False}, "unevaluatedProperties", "is not a supported keyword"),
        ({"$ref": "https://example.org/schema"}, "$ref", "is not a schema in this file"),
        ({"properties": {"a": {"$ref": "other.json#/a"}}}, "properties.a.$ref", "is not a schema in this file"),
        ({"$ref": "#/$defs/a"}, "$ref", "is not a schema in this file"),
        ({"properties": {"type": {"type": "string"}}, "$ref": "#/properties"}, "$ref", "is not a schema in this file"),
        ({"examples": [{"type": 5}], "$ref": "#/examples/0"}, "$ref", "is not a schema in this file"),
        ({"properties": {"a": {"pattern": "("}}}, "properties.a.pattern", "is not a regular expression"),
        ({"patternProperties": {"[": True}}, "patternProperties", "is not a regular expression"),
        ({"properties": ["a"]}, "properties", "must be an object with a schema for each name"),
        ({"items": 5}, "items", "must be a schema"),
        ({"enum": []}, "enum", "must be a list of values"),
        ({"required": "a"}, "required", "must be a list of names"),
        ({"minimum": "1"}, "minimum", "must be a number"),
        ({"minimum": float("nan")}, "minimum", "must be a number"),
        ({"multipleOf": 0}, "multipleOf", "must be a number greater than 0"),
        ({"type": "object", "default": []}, "default", "does not fit the schema: must be an object"),
        ({"properties": {"a": {"type": "string", "examples": ["x", 5]}}}, "properties.a.examples[1]", "does not fit"),
    ],
)
def test_wrong_schema_is_named_by_its_place(schema: dict[str, Any], at: str, message: str) -> None:
    """A keyword that is mistyped would check nothing."""
    (problem, *_), found = config_schema.check(schema, ["{}"])
    assert (problem.at, found) == (at, [])
    assert message in problem.message


def test_wrong_schema_is_the_fault_of_every_configuration() -> None:
    """What it was meant to protect is unknown."""
    faults = config_schema.faults({"type": "objekt"}, [{"a": 1}, {"b": 1}])
    assert all(fault.startswith("the pack's config.schema.json is wrong: type must be one of") for fault in faults)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"properties": {"a": {"pattern": "^(a+)+$"}}}, {"a": "a" * 60 + "!"}),
        ({"patternProperties": {"^(a|aa)+$": True}}, {"a" * 80 + "!": 1}),
        ({"$defs": DOUBLING, "$ref": "#/$defs/a0"}, {"a": 1}),
        ({"properties": {"a": {"pattern": "x{60000}{60000}"}}}, {"a": "x"}),
    ],
    ids=["pattern", "pattern of names", "references", "large pattern"],
)
def test_what_takes_too_long_is_ended_and_refused(schema: dict[str, Any], value: Any) -> None:
    """A pack's schema must not keep a worker busy for ever, whatever is in it."""
    began = time.monotonic()
    (fault,) = config_schema.faults(schema, [value])
    assert "cannot be checked" in fault or "regular expression" in fault
    assert time.monotonic() - began < 60


def test_one_configuration_that_takes_too_long_does_not_affect_the_others() -> None:
    """It is one endpoint's; the other endpoints are measured."""
    schema = {"properties": {"a": {"pattern": "^(a+)+$"}}}
    faults = config_schema.faults(schema, [{"a": "aa"}, {"a": "a" * 60 + "!"}, {"a": "b"}])
    assert faults[0] == ""
    assert "cannot be checked" in faults[1]
    assert faults[2] == "a must match the pattern ^(a+)+$"


def test_schema_that_refers_to_itself_is_refused() -> None:
    """It ends, and says so; a tree that refers to itself is correct."""
    assert "refers to itself" in config_schema.faults({"$ref": "#"}, [{"a": 1}])[0]
    tree = {"type": "object", "additionalProperties": {"$ref": "#"}}
    assert config_schema.faults(tree, [{"a": {"b": {}}}, {"a": {"b": 5}}]) == ["", "a.b must be an object"]


@pytest.mark.parametrize("depth", [200, sys.getrecursionlimit() - 200, 10**5])
def test_configuration_that_is_nested_too_deeply_is_refused_or_read(depth: int) -> None:
    """No exception leaves the check."""
    value: Any = 5
    for _ in range(depth):
        value = [value]
    (fault,) = config_schema.faults({"properties": {}}, [{"a": value}])
    assert fault == "" or "nested too deeply" in fault


@pytest.mark.parametrize("text", ["[]", "{", "", "x" * 200_000, "\ufeff[1]"])
def test_file_that_is_not_an_object_is_unreadable(tmp_path: Path, text: str) -> None:
    """With a reason, and without reading more than it needs."""
    (tmp_path / config_schema.FILE).write_text(text, "utf-8")
    with pytest.raises(files.Unreadable):
        config_schema.read(tmp_path)


# The packs and templates of this repository ---------------------------------------------------------------------------


@pytest.mark.parametrize("folder", [*PACKS, *sorted(TEMPLATES.iterdir())], ids=lambda path: path.name)
def test_every_reference_pack_and_template_has_a_schema_that_knows_all_its_keys(folder: Path) -> None:
    """A mistyped key of a new pack is refused from its first day."""
    schema = config_schema.read(folder)
    assert schema is not None
    assert config_schema.check(schema, ["{}"]) == ([], [[]])
    (fault,) = config_schema.faults(schema, [{"mistyped key": 1}])
    assert "mistyped key is unknown" in fault


@pytest.mark.parametrize("folder", PACKS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_schema_and_defaults_of_a_reference_pack_have_the_same_keys(folder: Path) -> None:
    """What the code reads is in conf.json, by the packs' own tests; and every key has a description."""
    properties = (config_schema.read(folder) or {}).get("properties", {})
    conf = folder / "process/conf.json"
    assert properties.keys() == (json.loads(conf.read_text("utf-8")).keys() if conf.exists() else set())
    assert all(one["description"] for one in properties.values())


@pytest.mark.parametrize("folder", sorted(TEMPLATES.iterdir()), ids=lambda path: path.name)
def test_schema_of_a_template_has_the_keys_that_its_program_reads(folder: Path) -> None:
    """And no other; the Readme lists them with the default."""
    code = "".join(path.read_text("utf-8") for path in (folder / "process").iterdir())
    read = {key for key in ("max_drop",) if f'.get("{key}"' in code}
    properties = (config_schema.read(folder) or {})["properties"]
    assert properties.keys() == read == ({"max_drop"} if folder.name.startswith("rule") else set())
    for key, one in properties.items():
        assert f"| `{key}` | {one['default']} |" in (folder / "Readme.md").read_text("utf-8")


#: Of each kind of key, values in and out of its range.
VALUES = [0, 1, 5, 15, 16, 64, 65, 1.0, 1.5, -1, 2_000_001, 2_000_000_001, True, False, None, "", " ", "5", "true", "x"]
VALUES += ["no", [], ["a"], [1], {}, {"a": 1}, "month", "0.5"]


LIMIT = {"limit_enabled", "search_results_limit"}
FLAGS = {key for key, value in DEFAULTS.items() if isinstance(value, bool)}


@pytest.mark.parametrize("key", sorted(DEFAULTS))
def test_schema_of_metric_pack_basic_accepts_what_its_code_accepts(key: str) -> None:
    """Numbers as texts may have any size: the code has the last word on them."""
    limited = {"limit_enabled": True, "search_results_limit": 9} if key in LIMIT else {}
    faults = config_schema.faults(BASIC, [{key: value} for value in VALUES])
    for value, fault in zip(VALUES, faults, strict=True):
        try:
            pack.settings.read({**limited, key: value})
            accepted = True
        except pack.settings.SettingsError:
            accepted = False
        assert not (accepted and fault) or (key in FLAGS | {"round_dates"} and value == " "), (value, fault)
        is_one = value == 1 and isinstance(value, float)  # JSON Schema takes it for 1, which stands for true
        # A key that only another key makes necessary; 0 is none.
        needed = key == "search_results_limit" and (value is None or (value == 0 and not isinstance(value, bool)))
        if not (isinstance(value, str) or needed or (is_one and key in FLAGS)):
            assert accepted == (fault == ""), (value, fault)


@pytest.mark.parametrize("value", [True, "true", "False", "TRUE", 0, "1"])
def test_rule_pack_basic_accepts_what_it_reads(value: Any) -> None:
    """Old configurations hold texts, in the spelling of Python too."""
    schema = config_schema.read(ROOT / "dags/packs/rule-packs/basic")
    assert config_schema.faults(schema, [{"generate": value}]) == [""]
