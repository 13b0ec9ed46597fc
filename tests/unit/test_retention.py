"""Which venvs go."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from hdm_airflow.runner.venvs.options import VenvOptions
from hdm_airflow.runner.venvs.retention import Entry, surplus

NOW = datetime(2026, 1, 5, tzinfo=timezone.utc)


def entry(key: str, days: float, size: int = 10, *, in_use: bool = False, fault: str = "") -> Entry:
    return Entry(
        key=key,
        python="3.12",
        packages=1,
        requirements="",
        size=size,
        last_used=NOW - timedelta(days=days),
        in_use=in_use,
        fault=fault,
    )


@pytest.mark.parametrize(
    ("options", "gone"),
    [
        (VenvOptions(), ["old", "damaged"]),
        (VenvOptions(days=None), ["damaged"]),
        (VenvOptions(days=1), ["old", "month", "damaged"]),
        (VenvOptions(days=0), ["old", "month", "damaged", "today"]),
        (VenvOptions(days=None, size=40), ["old", "damaged"]),
        (VenvOptions(days=None, size=39), ["old", "month", "damaged"]),
        (VenvOptions(days=None, size=1), ["old", "month", "damaged", "today"]),
    ],
)
def test_unused_longest_goes_first_and_what_is_used_stays(options: VenvOptions, gone: list[str]) -> None:
    """The one in use counts for the size of the store all the same."""
    entries = [
        entry("today", 0.5),
        entry("month", 30),
        entry("damaged", 2, fault="its Python is gone"),
        entry("used", 400, in_use=True),
        entry("old", 100),
    ]
    assert [one.key for one in surplus(entries, options, NOW)] == gone
