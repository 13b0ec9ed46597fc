"""The answer to a command: whatever a pack leaves in its place, reading it ends soon and says what is wrong."""

from __future__ import annotations

import json
import os
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hdm_airflow.runner import answer
from hdm_airflow.runner.answer import DEPTH, LIMIT, Answer
from hdm_airflow.runner.masking import MASK, Masker

SECRET = "pa'ss-w0rd"
NOBODY, SOMEBODY = Masker([]), Masker([SECRET])

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the answer is expected."""
    return tmp_path / "answer.json"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(value=JSON)
def test_any_value_of_json_is_an_answer(path: Path, value: object) -> None:
    """Also null, and in both ways to write a character beyond ASCII."""
    for ascii_only in (True, False):
        path.write_text(json.dumps(value, ensure_ascii=ascii_only), "utf-8")
        assert answer.read(path, SOMEBODY) == Answer(value=value)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "no answer"),
        (b" \n", "no answer"),
        (b'{"a": 1', "is not one JSON value: Expecting ',' delimiter at line 1, column 8"),
        (b"1 2", "is not one JSON value: Extra data at line 1, column 3"),
        (b'{"a": 1}\n{"a": 2}\n', "is not one JSON value: Extra data at line 2, column 1"),
        (b'"\xff"', "is not UTF-8 text"),
        (b"[NaN]", "with NaN, which JSON does not have"),
        (b"-Infinity", "with -Infinity, which JSON does not have"),
        (b"1e999", "with a number that is too large"),
        (b"1" * 5000, "with a number that has too many digits"),
        (rb'["\ud800"]', "with half of a surrogate pair"),
        (rb'{"\udfff": 1}', "with half of a surrogate pair"),
        (b"[" * 1_000_000, "is nested too deeply"),
        (b"[" * (DEPTH + 1) + b"]" * (DEPTH + 1), f"is nested more than {DEPTH} deep"),
        (b'{"":' * 900 + b"1" + b"}" * 900, f"is nested more than {DEPTH} deep"),
    ],
    ids=lambda value: value[:12].decode("latin-1") if isinstance(value, bytes) else "",
)
def test_what_is_not_one_value_of_json_is_refused_with_the_reason(path: Path, content: bytes, fault: str) -> None:
    """The reason never quotes it."""
    path.write_bytes(content)
    found = answer.read(path, NOBODY)
    assert found.value is None
    assert found.fault.endswith(fault)


def test_answer_as_deep_as_allowed_and_with_a_byte_order_mark_is_read(path: Path) -> None:
    """Programs of Windows write the mark."""
    path.write_bytes(b"\xef\xbb\xbf" + b"[" * DEPTH + b"7" + b"]" * DEPTH)
    found = answer.read(path, NOBODY).value
    for _ in range(DEPTH):
        (found,) = found
    assert found == 7


def test_longer_answer_is_refused_without_reading_all_of_it(path: Path) -> None:
    """A sparse file of a terabyte takes no space on disk."""
    with path.open("wb") as file:
        file.truncate(1 << 40)
    tracemalloc.start()
    try:
        assert answer.read(path, NOBODY).fault == f"gave an answer of more than {LIMIT:,} bytes"
        assert tracemalloc.get_traced_memory()[1] < 3 * LIMIT
    finally:
        tracemalloc.stop()


def test_pipe_folder_link_and_unreadable_file_are_refused_at_once(path: Path, tmp_path: Path) -> None:
    """A pipe would wait for a writer forever, and a link could lead to any file of the worker."""
    assert answer.read(path, NOBODY).fault == "gave no answer"
    os.mkfifo(path)
    assert "not a regular file" in answer.read(path, NOBODY).fault
    path.unlink()
    path.mkdir()
    assert "not a regular file" in answer.read(path, NOBODY).fault
    path.rmdir()
    other = tmp_path / "other.json"
    other.write_text("1")
    path.symlink_to(other)
    assert answer.read(path, NOBODY) == Answer(fault="gave an answer that cannot be read: it is a link")


def test_secrets_are_masked_in_every_text_key_and_number(path: Path) -> None:
    """In each form that output is searched for; what holds no secret stays as it is, with its type."""
    mask = Masker([SECRET, "20260131"])
    value = {
        f"key {SECRET}": [f"a {SECRET} b", "fine", 3, None, True, 1.5],
        "number": [20260131, 202601310, "20260131"],
        "url": "postgresql://u:pa%27ss-w0rd@h/db",
        "deep": {"er": [{"text": f"\n{SECRET}"}]},
    }
    path.write_text(json.dumps(value))
    assert answer.read(path, mask).value == {
        f"key {MASK}": [f"a {MASK} b", "fine", 3, None, True, 1.5],
        "number": [MASK, 202601310, MASK],
        "url": f"postgresql://u:{MASK}@h/db",
        "deep": {"er": [{"text": f"\n{MASK}"}]},
    }


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(value=JSON, secret=st.text("abcdefgh0123", min_size=6, max_size=9))
def test_no_answer_holds_a_secret_wherever_it_was(path: Path, value: object, secret: str) -> None:
    """Among texts of any kind."""
    path.write_text(json.dumps([value, {secret: value, "x": f"{value}{secret}"}, [[secret]]]))
    found = answer.read(path, Masker([secret]))
    assert not found.fault
    assert secret not in json.dumps(found.value)


def test_repr_shows_nothing_of_the_value() -> None:
    """It may be in a traceback; the value may hold data of patients."""
    assert "Smith" not in repr(Answer(value=["Smith"]))


def test_long_answer_with_secrets_is_read_in_seconds(path: Path) -> None:
    """A hundred thousand rules, some of which quote a password."""
    rows = [{"rule": f"rule_{i}", "text": SECRET if i % 1000 == 0 else f"text {i}", "limit": i} for i in range(100_000)]
    path.write_text(json.dumps(rows))
    began = time.monotonic()
    found = answer.read(path, Masker([SECRET, "other"])).value
    assert time.monotonic() - began < 20
    assert sum(row["text"] == MASK for row in found) == 100
