"""Which counts may be published, so that small ones cannot be computed from the others.

A count is small when it is at least 1 and less than `min_count`. Published in any case: how many values a column has,
and how many levels. So what is held back must be several levels with together enough values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FEW = 10  # a column with fewer levels is like a code: its mean tells how often each of them is there
FEWEST_HIDDEN = 2  # one would be the difference
# Mean, deviation and lengths of a column of many levels are published: sums, from which few hidden ones follow.
FEWEST_HIDDEN_OF_MANY = 5

Levels = dict[str, int]  # value as text -> frequency


def is_small(count: int, min_count: int) -> bool:
    """Whether so few would point at persons."""
    return 0 < count < min_count


def conceals(levels: int, values: int, min_count: int, fewest: int = FEWEST_HIDDEN) -> bool:
    """Whether so many levels, held back, with together so many values, keep their frequencies to themselves.

    They do not where there is but one way to divide the values: each level once, or each just below `min_count`. A
    `min_count` of 1 holds nothing back.
    """
    if levels == 0 or min_count == 1:
        return True
    return levels >= fewest and values >= min_count and values not in {levels, levels * (min_count - 1)}


def shown_levels(frequent: Levels, value_counts: int, levels_count: int, min_count: int) -> Levels:
    """The levels that may be shown: the smallest follow those that are hidden, until those are enough.

    Levels of one frequency go together: a choice by name would tell which of them is rarer.

    Args:
        frequent: the levels with a frequency of at least `min_count`.
        value_counts: values of the column that are not null.
        levels_count: its distinct values, >= len(frequent).
        min_count: the lowest frequency to show.
    """
    fewest = FEWEST_HIDDEN if levels_count < FEW else FEWEST_HIDDEN_OF_MANY
    shown = sorted(frequent.items(), key=lambda item: (-item[1], item[0]))
    hidden, hidden_values, last = levels_count - len(shown), value_counts - sum(frequent.values()), 0
    while shown and (shown[-1][1] == last or not conceals(hidden, hidden_values, min_count, fewest)):
        _, last = shown.pop()
        hidden, hidden_values = hidden + 1, hidden_values + last
    return dict(shown)


def shown_frequencies(top: Sequence[int], values: int, levels: int, min_count: int) -> int:
    """How many of the highest frequencies may be shown, by the law of the levels.

    Args:
        top: the highest frequencies, falling; as many as there are levels, but for more than the third.
        values: values of the column that are not null.
        levels: its distinct values.
        min_count: the lowest frequency to show.
    """
    top = top[:levels]
    if levels in {1, values}:
        return len(top)  # numbers of values and levels tell each of them
    if levels == len(top) + 1:
        top = [*top, values - sum(top)]  # what is left is the last one
    most = min(len(top), 3)
    for shown in range(most, 0, -1):
        rest, rest_values = levels - shown, values - sum(top[:shown])
        known = top[shown:] if levels == len(top) else None
        harmless = known is not None and not any(is_small(count, min_count) for count in known)
        if top[shown - 1] >= min_count and (harmless or conceals(rest, rest_values, min_count)):
            return shown
    return 0


def shown_cells(cells: Mapping[str, int], unpublished: int, min_count: int) -> set[str]:
    """Which of the counts that divide a column's values may be shown.

    Args:
        cells: counts to publish, by name; with `unpublished` they add up to the number of values.
        unpublished: the rest, which nobody publishes, but anybody can compute from all others.
        min_count: the lowest count to show, but for 0.
    """
    if not any(is_small(count, min_count) for count in (*cells.values(), unpublished)):
        return set(cells)
    hidden = {name for name, count in cells.items() if is_small(count, min_count)}
    others = sorted((count, name) for name, count in cells.items() if count and name not in hidden)
    parts = len(hidden) + (unpublished > 0)
    values = sum(cells[name] for name in hidden) + unpublished
    for count, name in others:
        if conceals(parts, values, min_count):
            break
        hidden.add(name)
        parts, values = parts + 1, values + count
    # All values in one count, or hardly any values: there, zeros would tell.
    return set(cells) - hidden if conceals(parts, values, min_count) else set()
