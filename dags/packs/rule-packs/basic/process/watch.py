"""Watch: the outcomes of some rules on some objects, of which alone more is kept than counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import wording

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from relations import Objects
    from rules import Rules

    Indices = np.ndarray[Any, np.dtype[np.int32]]
    Mask = np.ndarray[Any, np.dtype[np.bool_]]

OUTCOMES = ("ok", "breached", "no value", "no history", "not applicable", "unknown")
PLACE = ("table", "column", "other_table", "other_column")
ALONE = ("column", "table")  # objects that no other place identifies: a former name is none
SCHEMA: dict[str, Any] = {
    "rule": pl.Int32,
    "of": pl.String,
    **dict.fromkeys(PLACE, pl.String),
    "outcome": pl.String,
}


class Watch:
    """Is told all outcomes, and keeps those of some rules in some tables.

    Args:
        rules: all rules.
        objects: those that are judged.
        of_tables: indices of rules that are watched in these tables.
        tables: the tables. Objects without a table are in all of them.
        everywhere: indices of rules that are watched in all tables.
    """

    def __init__(
        self,
        rules: Rules,
        objects: Mapping[str, Objects],
        of_tables: Sequence[int],
        tables: Sequence[str],
        everywhere: Sequence[int],
    ) -> None:
        self._objects = objects
        self._of_tables, self._everywhere = _mask(of_tables, len(rules)), _mask(everywhere, len(rules))
        self._is_here: dict[str, Mask] = {}
        self._tables = pl.Series(tables, dtype=pl.String).unique()
        self._seen: list[tuple[str, Indices, Indices, Indices]] = []

    def see(self, of: str, rules: Indices | int, rows: Indices | None, outcomes: Mapping[str, Mask]) -> None:
        """Outcomes of rules on objects.

        Args:
            of: what the objects are.
            rules: the index of a rule: one per object, or one for all of them.
            rows: indices of objects; None: all.
            outcomes: per outcome, for which objects it is that.
        """
        if isinstance(rules, int) and not (self._of_tables[rules] or self._everywhere[rules]):
            return
        here = self._here(of) if rows is None else self._here(of)[rows]
        places = np.flatnonzero((here & self._of_tables[rules]) | self._everywhere[rules]).astype(np.int32)
        if not len(places):
            return
        codes = np.zeros(len(places), np.int32)
        for code, name in enumerate(OUTCOMES):
            if name in outcomes:
                codes[outcomes[name][places]] = code
        index = np.full(len(places), rules, np.int32) if isinstance(rules, int) else rules[places]
        self._seen.append((of, index, places if rows is None else rows[places], codes))

    def outcomes(self) -> pl.DataFrame:
        """What it has kept: columns of SCHEMA; a place that there is not is ''."""
        names = pl.Series(OUTCOMES, dtype=pl.String)
        parts = []
        for of, rules, rows, codes in self._seen:
            placed = wording.placed(of, self._objects[of].frame[rows], rules)
            found = placed.with_columns(pl.lit(of).alias("of"), names[codes].alias("outcome"))
            parts.append(found.select(pl.col(name).cast(kind) for name, kind in SCHEMA.items()))
        if not parts:
            return pl.DataFrame(schema=SCHEMA)
        return pl.concat(parts).with_columns(place(pl.col("of").is_in(ALONE)))

    def _here(self, of: str) -> Mask:
        if of not in self._is_here:
            frame = self._objects[of].frame
            in_tables = "table" in frame.columns
            self._is_here[of] = (
                frame["table"].is_in(self._tables.implode()).to_numpy()
                if in_tables
                else np.ones(frame.height, np.bool_)
            )
        return self._is_here[of]


def place(is_alone: pl.Expr) -> list[pl.Expr]:
    """The place of an object: '' instead of null, and instead of another place if it does not identify the object."""
    own = [pl.col(name).fill_null("") for name in ("table", "column")]
    others = [
        pl.when(is_alone).then(pl.lit("")).otherwise(pl.col(name).fill_null("")).alias(name)
        for name in ("other_table", "other_column")
    ]
    return [*own, *others]


def _mask(indices: Sequence[int], count: int) -> Mask:
    found = np.zeros(count, np.bool_)
    found[list(indices)] = True
    return found
