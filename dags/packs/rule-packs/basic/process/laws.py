"""Laws: each decides for the rules that state one, such as `"usual"`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import polars as pl
from rule_error import RuleError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from checks import Check

    Indices = np.ndarray[Any, np.dtype[np.int32]]
    Numbers = np.ndarray[Any, np.dtype[np.int64]]

OK, BREACHED, NOT_JUDGED, UNKNOWN = 0, 1, 2, 3  # outcomes; NOT_JUDGED: too few dates
DESCRIBED = ("observed", "former", "threshold", "detail", "level")  # columns of a description, texts


class Verdict(Protocol):
    """What a law says about some objects."""

    @property
    def outcome(self) -> np.ndarray[Any, np.dtype[np.int8]]:
        """Of each object."""

    def described(self, breached: Indices, check: Check, /) -> pl.DataFrame:
        """Columns DESCRIBED of some of these objects: see judge.BREACHES."""


class Law(Protocol):
    """Decides for the rules of one law."""

    def __call__(self, check: Check, id_rules: Numbers, objects: pl.DataFrame, /) -> Verdict:
        """Judge a metric of some objects.

        Args:
            check: what the rules ask: metric and law.
            id_rules: the rule of each object, whose own baseline counts.
            objects: dbversion, their keys, and the metric, which is not null.
        """


class Laws:
    """All laws: each check goes to that of its own."""

    def __init__(self, by_kind: Mapping[type, Law]) -> None:
        self._by_kind = by_kind

    def __call__(self, check: Check, id_rules: Numbers, objects: pl.DataFrame) -> Verdict:
        """Judge a metric of some objects: see Law.

        Raises:
            RuleError: if the law cannot judge them.
        """
        law = self._by_kind.get(type(check.law))
        if law is None:
            raise RuleError("the rule has a condition instead of a law")
        return law(check, id_rules, objects)


class Told(NamedTuple):
    """Outcomes, and what is said about breaches."""

    outcome: np.ndarray[Any, np.dtype[np.int8]]
    words: pl.DataFrame  # one row per object: some of DESCRIBED

    def described(self, breached: Indices, _: Check, /) -> pl.DataFrame:
        """Columns DESCRIBED of some of these objects."""
        rows = self.words[breached]
        nothing = (pl.lit(None, pl.String).alias(name) for name in DESCRIBED if name not in rows.columns)
        return rows.with_columns(*nothing).select(*DESCRIBED)
