"""States that an object has had since its first date."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.rule_basic_harness import pack

DAYS = np.array([10, 11, 12, 13])


@pytest.mark.parametrize(
    ("breached", "usable", "since", "is_state", "is_first"),
    [
        ("1111", "1111", None, True, False),
        ("0001", "0001", None, True, True),  # measured for the first time
        ("0111", "1111", None, False, False),  # began later
        ("1011", "1111", None, False, False),  # was repaired once
        ("0101", "0101", None, True, False),  # dates without usable metrics do not count
        ("0011", "1111", 12, True, False),  # the baseline starts anew
        ("0001", "1111", 13, True, True),
        ("0001", "1111", 14, True, True),  # a later start does not hide the judged date
    ],
)
def test_a_state_is_a_breach_on_every_date_that_counts(
    breached: str, usable: str, since: int | None, is_state: bool, is_first: bool
) -> None:
    matrix = [np.array([[mark == "1" for mark in text]]) for text in (breached, usable)]
    start = None if since is None else np.array([since])
    found = pack.baseline.states(matrix[0], DAYS, matrix[1], start)
    assert (found.is_state.tolist(), found.is_first.tolist()) == ([is_state], [is_first])


@pytest.mark.parametrize(
    ("breached", "usable", "is_known", "is_usual"),
    [
        ("0001", "1111", False, False),
        ("1011", "1111", True, False),
        ("0111", "1111", True, False),  # the third date in a row
        ("1111", "1111", True, True),
        ("1101", "1101", True, False),
        ("0001", "0001", False, False),
    ],
)
def test_a_breach_that_was_one_before_is_no_news(breached: str, usable: str, is_known: bool, is_usual: bool) -> None:
    matrix = [np.array([[mark == "1" for mark in text]]) for text in (breached, usable)]
    found = pack.baseline.states(matrix[0], DAYS, matrix[1])
    assert (found.is_known.tolist(), found.is_usual.tolist()) == ([is_known], [is_usual])
