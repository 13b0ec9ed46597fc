"""The demo's environment variables: a wrong one is reported before anything is created or started."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.__main__ import main, rows_from
from hdm_airflow.errors import HdmError


@pytest.mark.parametrize(("text", "rows"), [("", 10_000), ("1000", 1_000), (" 2345 ", 2_345), ("1000000", 1_000_000)])
def test_rows_is_the_size_of_the_hospital(text: str, rows: int) -> None:
    """Both ends of the range are allowed; an empty value means the default."""
    assert rows_from(text) == rows


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("500", "too small"),
        ("999", "too small"),
        ("-1", "too small"),
        ("1000001", "too large"),
        ("abc", "not a whole number"),
        ("1e5", "not a whole number"),
        ("9" * 5_000, "not a whole number"),  # more digits than Python converts
    ],
)
def test_wrong_rows_end_the_demo_before_anything_starts(
    text: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says what, where and what to do; not even the demo's folder is created."""
    folder = tmp_path / "demo"
    monkeypatch.setenv("ROWS", text)
    monkeypatch.setenv("DEMO_DIR", str(folder))
    with pytest.raises(HdmError, match=what) as raised:
        main()
    assert raised.value.where == "ROWS"
    assert "from 1000 to 1000000" in raised.value.hint
    assert not folder.exists()
