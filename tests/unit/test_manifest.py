"""The manifest: properties.json as people write it, and its schema."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from hdm_airflow.packs.finding import CODES
from hdm_airflow.packs.manifest import Manifest, json_schema, parse_dependency
from hdm_airflow.packs.reader import Draft, read
from tests.packs.zoo import whole

SCHEMA = Draft202012Validator(json_schema())
WRONG_KEY = {
    "name-bad",
    "version-bad",
    "dependency-unknown",
    "kind-bad",
    "value-bad",
    "name-missing",
    "version-missing",
}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.from_regex(r"[a-zà-ž0-9_][a-zà-ž0-9_.-]{0,8}", fullmatch=True)
#: For each key values of which most are right, so that whole manifests come out right often enough.
LIKELY: dict[str, st.SearchStrategy[Any]] = {
    "name": NAMES,
    "version": st.sampled_from(["1.0.0", "0.10", "1.0rc1", "master", "2024.1+local"]),
    "author": st.text(max_size=8),
    "description": st.text(max_size=8),
    "mainscript": st.text(max_size=8),
    "kind": st.sampled_from(["metric", "rule", None]),
    "depends_on": st.lists(NAMES | NAMES.map(lambda name: f"{name}>=0.3"), max_size=3) | st.none(),
    "tags": st.lists(NAMES, max_size=3),
    "timeout": st.floats(1, 90_000) | st.integers(1, 90_000) | st.none(),
    "retries": st.integers(0, 10) | st.none(),
    "pool": st.text(min_size=1, max_size=5) | st.none(),
    "queue": st.text(min_size=1, max_size=5) | st.none(),
    "python": st.sampled_from(["3.12", ">=3.10,<3.14", "python3.12", "pypy", "cpython-3.12-linux-x86_64-gnu", None]),
    "partial": st.booleans(),
    "backfill": st.booleans(),
    "variables": st.lists(st.from_regex(r"[A-Z_][A-Z0-9_]{0,5}", fullmatch=True), max_size=3),
    "commands": st.sampled_from([[], ["check"], ["check", "test-2"]]),
    "limits": st.sampled_from([None, {}, {"memory": "2 GB", "cpu": 60}, {"disk": 1, "processes": 5, "files": 20}]),
}
OBJECTS = st.fixed_dictionaries({}, optional={key: likely | JSON for key, likely in LIKELY.items()}).flatmap(
    lambda known: st.dictionaries(st.text(max_size=5), JSON, max_size=2).map(lambda unknown: {**unknown, **known})
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack whose manifest is rewritten many times."""
    path = tmp_path_factory.mktemp("packs") / "pack"
    whole(path, kind="metric")
    return path


def draft_of(folder: Path, text: str) -> Draft:
    (folder / "properties.json").write_text(text, "utf-8")
    return read("pack", folder, "metric")


def test_every_key_has_a_strategy() -> None:
    """A key added to the model is put to the same tests."""
    assert LIKELY.keys() == Manifest.model_fields.keys()


@settings(max_examples=30, deadline=None)
@given(value=OBJECTS)
def test_any_object_gives_a_manifest_or_findings(folder: Path, value: dict[str, Any]) -> None:
    """Never an exception: it would take every pack of the Dag file down."""
    draft = draft_of(folder, json.dumps(value))
    codes = {finding.code for finding in draft.findings}
    assert codes <= CODES.keys()
    assert (draft.manifest is not None) == (not codes & {"name-bad", "name-missing", "version-bad", "version-missing"})
    try:
        right = Manifest.model_validate({key: one for key, one in value.items() if key in LIKELY})
    except ValidationError:
        assert codes & WRONG_KEY
    else:
        assert draft.manifest == right
        assert not codes & WRONG_KEY


@settings(max_examples=30, deadline=None)
@given(value=OBJECTS)
def test_schema_takes_what_the_model_takes(value: dict[str, Any]) -> None:
    """An editor that uses the schema must not mark valid manifests."""
    value = json.loads(json.dumps(value))
    try:
        Manifest.model_validate(value)
    except ValidationError:
        return
    SCHEMA.validate(value)


@settings(max_examples=25, deadline=None)
@given(value=OBJECTS, wrong=st.sampled_from(sorted(LIKELY)), by=JSON)
def test_wrong_optional_key_spoils_no_other(folder: Path, value: dict[str, Any], wrong: str, by: object) -> None:
    """A pack with a bad timeout still has its tags, its pool and its dependencies."""
    stated = {**value, "name": "n", "version": "1.0"}
    without = draft_of(folder, json.dumps({key: one for key, one in stated.items() if key != wrong}))
    draft = draft_of(folder, json.dumps({**stated, wrong: by} if wrong not in {"name", "version"} else stated))
    assert draft.manifest is not None
    assert without.manifest is not None or wrong in {"name", "version"}
    if without.manifest is not None:
        assert draft.manifest.model_dump(exclude={wrong}) == without.manifest.model_dump(exclude={wrong})


def test_schema_is_a_schema() -> None:
    """And of the draft it says it is of."""
    Draft202012Validator.check_schema(json_schema())
    assert json_schema()["$schema"] == Draft202012Validator.META_SCHEMA["$id"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", None),
        ("version", 1.0),
        ("kind", "metrics"),
        ("depends_on", "basic"),
        ("tags", "nightly"),
        ("timeout", "soon"),
        ("timeout", 0),
        ("timeout", 1e300),
        ("python", "/opt/python3"),
        ("python", "process/python"),
        ("python", "--help"),
        ("python", "sudo"),
        ("retries", -1),
        ("retries", 10**30),
        ("pool", ""),
        ("pool", "x" * 251),
        ("queue", "x" * 251),
        ("partial", "yes"),
        ("backfill", 1),
        ("variables", ["A=B"]),
        ("author", "a\0b"),
    ],
)
def test_model_and_schema_refuse_the_same(key: str, value: object) -> None:
    """What would fail at night is underlined while it is being written."""
    stated = {"name": "n", "version": "1.0", key: value}
    with pytest.raises(ValidationError):
        Manifest.model_validate(stated)
    assert not SCHEMA.is_valid(stated)


@pytest.mark.parametrize("name", ["basic", "row-count", "a.b_c-1", "Herz", "größe", "0", "n" * 190])
def test_name_that_airflow_takes_in_a_task_id_is_taken(name: str) -> None:
    """A hospital names its packs in its own language."""
    assert Manifest(name=name, version="1").name == name


@pytest.mark.parametrize("name", ["", " basic", "a b", "a/b", "a:b", "-a", ".a", "a\n", "n" * 191, "a\ud800"])
def test_name_that_airflow_refuses_in_a_task_id_is_refused(name: str) -> None:
    """Airflow would refuse it too, and the whole Dag with it."""
    with pytest.raises(ValidationError):
        Manifest(name=name, version="1")


@settings(max_examples=25, deadline=None)
@given(text=st.text(max_size=20) | st.from_regex(r"[a-z.]+ ?([<>=!~]{1,3}[0-9.]+,?)*"))
def test_dependency_is_a_name_with_specifiers_or_a_value_error(text: str) -> None:
    """Whatever packaging raises, the manifest shows one kind of error."""
    with suppress(ValueError):
        name, specifier = parse_dependency(text)
        assert text.strip().startswith(name)
        specifier.contains("1.0", prereleases=True)


def test_lists_are_called_lists(folder: Path) -> None:
    """JSON has no tuples: the message speaks the language of the file."""
    draft = draft_of(folder, '{"name": "n", "version": "1", "tags": "x"}')
    (message,) = [finding.message for finding in draft.findings if finding.code == "value-bad"]
    assert message == "tags: Input should be a list"


@pytest.mark.parametrize("name", ["AIRFLOW__CORE__FERNET_KEY", "AIRFLOW_CONN_HDM", "_AIRFLOW_X", "airflow__a"])
def test_no_manifest_may_ask_for_airflows_own_variables(name: str) -> None:
    """They hold the keys to every connection."""
    with pytest.raises(ValidationError, match="not one of Airflow's own"):
        Manifest.model_validate({"name": "a", "version": "1", "variables": [name]})
    assert not Draft202012Validator(json_schema()).is_valid({"name": "a", "version": "1", "variables": [name]})


@pytest.mark.parametrize("wrong", [["Check"], ["check", "check"], ["a b"], [""], [1], "check", {"check": 1}, ["-a"]])
def test_commands_are_distinct_words_and_a_wrong_list_declares_none(folder: Path, wrong: object) -> None:
    """A pack that declares no command is started for none."""
    assert Manifest(name="n", version="1", commands=["check", "test-2"]).commands == ("check", "test-2")
    draft = draft_of(folder, json.dumps({"name": "n", "version": "1", "commands": wrong}))
    (finding,) = [one for one in draft.findings if one.code == "value-bad"]
    assert finding.place.startswith("commands")
    assert draft.manifest is not None
    assert draft.manifest.commands == ()
