"""JSON written by hand: each usual mistake is named, with what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdm_airflow.packs import files
from hdm_airflow.packs.json_fault import explain
from hdm_airflow.packs.reader import read

MISTAKES = [
    ('{"a": 1,}', "a comma follows the last entry"),
    ('{"a": [1,\n]}', "a comma follows the last entry"),
    ("{'a': 1}", "it has single quotes"),
    ("{\"a\": 'x'}", "it has single quotes"),
    ('{"a": 1 // x\n}', "it has a comment"),
    ('{"a": 1, # x\n}', "it has a comment"),
    ('/* x */ {"a": 1}', "it has a comment"),
    ("{a: 1}", "a key has no quotes"),
    ('{"a": True}', "True is not a word of JSON"),
    ('{"a": basic}', "a text has no quotes"),
    ('{"a": 1.0.0}', "a text has no quotes"),
    ('{"a": 2026-01-31}', "a text has no quotes"),
    ('{"a": 12:30}', "a text has no quotes"),
    ('{"a": 01}', "a text has no quotes"),
    ('{"a": 1\n "b": 2}', "a comma is missing"),
    ('{"a": [1 2]}', "a comma is missing"),
    ('{"a": [1}', "a bracket is of the wrong kind"),
    ('{"a": {"b": "c"]}', "a bracket is of the wrong kind"),
    ('{"a" 1}', "a colon is missing"),
    ('{"a": "x}', "a text is not closed"),
    ('{"a": "x\ny"}', "a text has a line break"),
    ('{"a": "C:\\dir"}', "a backslash in a text is not doubled"),
    ('{"a": 1}}', "something follows the end"),
    ('{"a": 1', "it ends too early"),
    (" \n", "it is empty"),
    ("{\u201ca\u201d: 1}", "it has typographic quotes"),
]


@pytest.mark.parametrize(("text", "cause"), MISTAKES)
def test_cause_of_a_mistake_is_named(text: str, cause: str) -> None:
    """Python's parser says `Expecting property name enclosed in double quotes` to a comma too many."""
    with pytest.raises(files.Unreadable) as caught:
        files.parse_object(text)
    assert caught.value.reason.startswith(f"is not JSON: {cause}")
    assert caught.value.place
    assert caught.value.hint != "correct it there"


@given(text=st.text("{}[]\",:'#/ab1.\n\\tT", max_size=12))
def test_any_text_is_json_or_is_explained(text: str) -> None:
    """No mistake ends in another exception."""
    explained = ("cause", "hint")
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        explained = explain(text, error)
    assert all(explained)


@pytest.mark.parametrize(
    ("manifest", "code", "hint"),
    [
        ('{"name": "x", "version": 1.10}', "version-bad", 'write it in quotes, as in "version": "1.0"'),
        ('{"name": 5, "version": "1"}', "name-bad", 'write it in quotes, as in "name": "basic"'),
        ('{"name": "x", "version": "1", "dependson": []}', "key-unknown", "did you mean 'depends_on'?"),
        ('{"name": "x", "version": "1", "Depends-On": []}', "key-unknown", "did you mean 'depends_on'?"),
        ('{"name": "x", "version": "1", "timeOut": 5}', "key-unknown", "did you mean 'timeout'?"),
        ('{"name": "x", "version": "1", "colour": 5}', "key-unknown", "remove it (docs: reference/properties)"),
        ('{"name": "x", "version": "1",}', "manifest-unreadable", "remove the comma before the closing bracket"),
    ],
)
def test_finding_of_a_manifest_says_what_was_meant(tmp_path: Path, manifest: str, code: str, hint: str) -> None:
    """Whoever wrote it can mend it without the documentation."""
    (tmp_path / "properties.json").write_text(manifest)
    found = {finding.code: finding.hint for finding in read("p", tmp_path, "metric").findings}
    assert found[code].startswith(hint)
