"""Laws of versions: how they compare, and which configuration serves which version."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version

from hdm_airflow.packs.versions import is_version, newest_not_above, parse

NUMBERS = st.lists(st.integers(0, 12), min_size=1, max_size=3).map(lambda parts: ".".join(map(str, parts)))
PEP440 = st.builds("".join, st.tuples(NUMBERS, st.sampled_from(["", "rc1", "a2", ".dev3", ".post1", "+local"])))
OTHERS = st.sampled_from(["master", "main", "latest", "2024-final", "v"])
TEXTS = PEP440 | OTHERS


@pytest.mark.parametrize("text", ["1.0.0", "0.10", "master", "1.0+local.1", "1!2.0", "2024-01_final", "9" * 64])
def test_text_without_spaces_and_colons_can_name_a_version(text: str) -> None:
    """Versions of the wild are not all of PEP 440."""
    assert is_version(text)


@pytest.mark.parametrize("text", ["", " 1.0", "1.0 ", "1 0", "1:0", "1/0", ".1", "1.0\n", "9" * 65, "é"])
def test_text_that_would_break_a_key_cannot(text: str) -> None:
    """A configuration is stored under pack:version."""
    assert not is_version(text)


@settings(max_examples=40, deadline=None)
@given(text=st.text(max_size=30) | st.integers(0, 10**6).map(lambda n: "9" * (n % 6000)) | st.none())
def test_any_text_is_a_version_or_none(text: str | None) -> None:
    """The base can contain any text as a version, even numbers of 5,000 digits."""
    found = parse(text)
    assert found is None or found == Version(text or "")


@settings(max_examples=40, deadline=None)
@given(wanted=TEXTS, available=st.lists(TEXTS, max_size=6))
def test_what_serves_is_itself_or_the_newest_below(wanted: str, available: list[str]) -> None:
    """Never a newer one, never one that cannot be compared, and none where a better one is there."""
    found = newest_not_above(wanted, available)
    lower = [one for one in available if parse(one) and parse(wanted) and Version(one) <= Version(wanted)]
    if wanted in available:
        assert found == wanted
    elif not lower:
        assert found is None
    else:
        assert found in lower
        assert all(Version(one) <= Version(found or "") for one in lower)


@settings(max_examples=40, deadline=None)
@given(wanted=TEXTS, available=st.lists(TEXTS, max_size=6), data=st.data())
def test_order_of_the_rows_does_not_matter(wanted: str, available: list[str], data: st.DataObject) -> None:
    """A database gives rows in any order, 1.0 and 1.0.0 among them: tonight's choice is last night's."""
    other = data.draw(st.permutations(available))
    assert newest_not_above(wanted, available) == newest_not_above(wanted, other)


@pytest.mark.parametrize(
    ("wanted", "available", "expected"),
    [
        ("0.10", ["0.9", "0.8"], "0.9"),
        ("0.9", ["0.10"], None),
        ("1.0", ["1.0rc1", "0.9"], "1.0rc1"),
        ("1.0rc1", ["1.0", "0.9"], "0.9"),
        ("1.0", ["master"], None),
        ("master", ["0.9"], None),
        ("master", ["0.9", "master"], "master"),
        ("1.0", [], None),
        ("1.0.1", ["1.0", "1.0.0"], "1.0.0"),
    ],
)
def test_examples(wanted: str, available: list[str], expected: str | None) -> None:
    """The original compared versions as texts, and took 0.9 for newer than 0.10."""
    assert newest_not_above(wanted, available) == expected
