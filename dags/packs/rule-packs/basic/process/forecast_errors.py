"""Errors: how far off one kind of forecast was on earlier dates, for a block of objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from usual_past import Flags, Floats, Numbers

KEPT = 56
MEDIAN, HIGH = 1.4826, 1.645
HIGH_SHARE = 0.9  # below so many deviations
LASTS = 7  # how many more errors a lower bound of the spread holds for


class Errors:
    """The newest errors of each object, without sign.

    Args:
        objects: their number.
    """

    def __init__(self, objects: int) -> None:
        self.size, self.share = np.full((KEPT, objects), np.nan), np.full((KEPT, objects), np.nan)
        self.count = np.zeros(objects, np.int64)
        # No spread is below `bound` until `count` reaches `bound_until`, if errors are compared as `bound_ratio` says
        self.bound, self.bound_until = np.zeros(objects), np.zeros(objects, np.int64)
        self.bound_ratio = np.zeros(objects, bool)

    def add(self, rows: Numbers | slice, size: Floats, scale: Floats) -> None:
        """Errors, and what they are a percentage of."""
        at = self.count[rows] % KEPT
        put(self.size, at, rows, size)
        put(self.share, at, rows, size / np.where(scale > 0, scale, 1.0))
        self.count[rows] += 1

    def forget(self, rows: Numbers) -> None:
        """The errors of some objects say nothing any more."""
        self.size[:, rows], self.share[:, rows] = np.nan, np.nan
        self.count[rows], self.bound[rows] = 0, 0.0

    def at_least(self, ratio: Flags) -> Floats:
        """What `spread` without `more` is at least; 0 where that is not known."""
        return np.where((self.count <= self.bound_until) & (self.bound_ratio == ratio), self.bound, 0.0)

    def spread(self, rows: Numbers, ratio: Flags, more: Floats | None = None) -> tuple[Floats, Numbers]:
        """The deviation of the normal distribution with the same median error or, if that is more, 95th percentile.

        Args:
            rows: which objects.
            ratio: whether errors are compared as a share of their scale.
            more: further errors, one row per object; NaN: none.

        Returns:
            The deviations, and the number of errors; NaN and 0 where there is none.
        """
        filled = int(np.clip(self.count[rows].max(initial=1), 1, KEPT))  # of the ring, by at least one object
        share, size = self.share[:filled], self.size[:filled]
        errors = share[:, rows].T if ratio.all() else np.where(ratio, share[:, rows], size[:, rows]).T
        if more is not None:
            errors = np.concatenate([errors, more], axis=1)
        errors = np.sort(errors, axis=1)
        count = (~np.isnan(errors)).sum(axis=1)
        at, last = np.arange(len(rows)), np.maximum(count - 1, 0)
        middle = errors[at, last // 2] / 2 + errors[at, np.minimum((last + 1) // 2, last)] / 2
        high = errors[at, np.maximum(np.ceil(HIGH_SHARE * count).astype(np.int64) - 1, 0)]
        if more is None:
            # Each new error moves a rank by one at most
            lasts = np.minimum(LASTS, last // 4)
            self.bound[rows] = MEDIAN * errors[at, last // 2 - lasts]
            self.bound_until[rows], self.bound_ratio[rows] = self.count[rows] + lasts, ratio
        return np.maximum(MEDIAN * middle, high / HIGH), count


def put(ring: Floats, at: Numbers, columns: Numbers | slice, values: Floats) -> None:
    """Put a value into a ring of each of some columns, at a place of its own."""
    if at.size and (at == at[0]).all():  # quicker
        ring[at[0], columns] = values
    else:
        ring[at, np.arange(ring.shape[1])[columns]] = values
