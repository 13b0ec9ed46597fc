"""What to compute across the columns of a table: its event column, pairs, and numbers by the levels of codes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import events
import hdm_profile
from patterns import words
from privacy import is_code, is_identifier_like, is_personal, is_private
from tables import FLOAT, INTEGER, NUMBERS, OTHER, TEXT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from events import LastNight
    from tables import Column, Table

MAX_PAIRS = 28  # of a table: 8 columns of dates have that many
MAX_CODES, MAX_NUMBERS = 2, 8

# Two words of names that differ in nothing else: the column with the first one should not be greater.
LOW_HIGH = (
    *(("low", "high"), ("lower", "upper"), ("lo", "hi"), ("min", "max"), ("minimum", "maximum"), ("start", "end")),
    *(("start", "stop"), ("begin", "end"), ("from", "to"), ("from", "until"), ("from", "thru"), ("first", "last")),
    *(("onset", "end"), ("admission", "discharge"), ("admit", "discharge"), ("admitted", "discharged")),
    *(("diastolic", "systolic"), ("dia", "sys"), ("diast", "syst"), ("dbp", "sbp"), ("bas", "haut"), ("inf", "sup")),
    *(("diastolique", "systolique"), ("pad", "pas"), ("tad", "tas"), ("debut", "fin"), ("entree", "sortie")),
    *(("inferieure", "superieure"), ("mini", "maxi"), ("birth", "death"), ("opened", "closed"), ("created", "updated")),
)
_HIGH_OF: dict[str, tuple[str, ...]] = {
    low: tuple(high for one, high in LOW_HIGH if one == low) for low in dict(LOW_HIGH)
}
UNITS = frozenset({"unit", "units", "unite", "unites", "uom"})
CODES = frozenset({"concept", "code", "codes", "type", "category", "class", "kind", "test", "analyte", "categorie"})
VALUES = frozenset({"value", "values", "result", "valeur", "resultat"})
SIDE_CODES = frozenset({"type", "source", "operator", "status", "qualifier", "modifier"})


@dataclass(frozen=True, kw_only=True)
class RowPlan:
    """What to compute, by the names of columns."""

    event: str = ""  # '': the table has no event column
    pairs: tuple[tuple[str, str], ...] = ()  # dates, or numbers: the first one should not be greater, if names say so
    codes: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()  # by the levels of each code
    whole: bool = False  # count the rows that repeat an earlier one

    @property
    def compared(self) -> frozenset[str]:
        """The columns that have to be read together."""
        return frozenset({*(name for pair in self.pairs for name in pair), *self.codes, *self.numbers, self.event})

    def part(self, columns: Sequence[Column]) -> RowPlan:
        """The plan for some of the table's columns."""
        names = {column.name for column in columns}
        numbers = tuple(name for name in self.numbers if name in names)
        codes = tuple(name for name in self.codes if name in names) if numbers else ()
        return RowPlan(
            event=self.event if self.event in names else "",
            pairs=tuple(pair for pair in self.pairs if names.issuperset(pair)),
            codes=codes,
            numbers=numbers if codes else (),
            whole=self.whole,
        )

    def numbered(self, columns: Sequence[Column], first_day: int) -> hdm_profile.Plan | None:
        """The same for a profile of these columns; None if there is nothing to compute."""
        if self == RowPlan():
            return None
        places = {column.name: i for i, column in enumerate(columns)}
        return hdm_profile.Plan(
            first_day=first_day,
            event=places.get(self.event),
            pairs=tuple((places[one], places[other]) for one, other in self.pairs),
            codes=tuple(places[name] for name in self.codes),
            numbers=tuple(places[name] for name in self.numbers),
            whole=self.whole,
        )


def of_table(table: Table, known: Mapping[str, LastNight], *, is_sample: bool) -> RowPlan:
    """The plan of a table.

    Args:
        table: with the columns to read, of their kinds.
        known: of its columns, by name.
        is_sample: only some rows are read: a row may repeat another one that is not.
    """
    event = events.chosen(table.columns, known)
    numbers = _numbers(table)
    codes = _codes(table, known) if numbers else ()
    is_whole = table.is_whole and not any(column.kind == OTHER for column in table.columns)
    return RowPlan(
        event=event.name if event else "",
        pairs=_pairs(table.columns),
        codes=codes,
        numbers=numbers if codes else (),
        whole=bool(table.columns) and is_whole and not table.has_key and not is_sample,
    )


def _pairs(columns: Iterable[Column]) -> tuple[tuple[str, str], ...]:
    """Pairs whose names say which should be the lower one; then other dates in the table's order."""
    found: dict[frozenset[str], tuple[str, str]] = {}
    for kind in (NUMBERS, None):
        alike = [column.name for column in columns if (column.kind in kind if kind else column.has_dates)]
        by_words = {words(name): name for name in reversed(alike)}
        for name in alike if len(alike) > 1 else ():
            for other in _counterparts(words(name)):
                if other in by_words:
                    found.setdefault(frozenset((name, by_words[other])), (name, by_words[other]))
    dates = [column.name for column in columns if column.has_dates]
    for pair in combinations(dates, 2):
        found.setdefault(frozenset(pair), pair)
    return tuple(found.values())[:MAX_PAIRS]


def _counterparts(name: tuple[str, ...]) -> Iterable[tuple[str, ...]]:
    """The name with one word for a low value replaced by each of those for a high one."""
    if _HIGH_OF.keys().isdisjoint(name):
        return
    for i, word in enumerate(name):
        for high in _HIGH_OF.get(word, ()):
            yield (*name[:i], high, *name[i + 1 :])


def _codes(table: Table, known: Mapping[str, LastNight]) -> tuple[str, ...]:
    """A column of units and the table's main code, if there are; never a private column."""
    ranked = []
    for place, column in enumerate(table.columns):
        if column.kind not in {INTEGER, TEXT} or is_private(column):
            continue
        night, found = known.get(column.name), words(column.name)
        if night is not None and (night.levels_count or 0) > hdm_profile.MOST_CELLS:
            continue
        is_unit, is_named = not UNITS.isdisjoint(found), not CODES.isdisjoint(found) or is_code(column)
        if is_unit or is_named or (column.kind == TEXT and night is not None and night.is_categorical):
            rank = 2 * (not SIDE_CODES.isdisjoint(found)) + (not is_named)
            ranked.append((not is_unit, rank, place, column.name))
    units, others = ([one for one in sorted(ranked) if one[0] is flag] for flag in (False, True))
    best = [*units[:1], *others[:1], *units[1:], *others[1:]]
    return tuple(name for *_, name in best[:MAX_CODES])


def is_measure(column: Column) -> bool:
    """Whether its numbers may measure something: neither a person's number, nor a code, a key or an identifier.

    A name such as value_as_number suggests an identifier only if the numbers are whole.
    """
    if column.kind not in NUMBERS or column.key_constraint or column.foreign or is_personal(column) or is_code(column):
        return False
    return column.kind == FLOAT or not is_identifier_like(column) or bool(VALUES.intersection(words(column.name)))


def _numbers(table: Table) -> tuple[str, ...]:
    """Floats first."""
    found = sorted(filter(is_measure, table.columns), key=lambda column: column.kind != FLOAT)
    return tuple(column.name for column in found[:MAX_NUMBERS])
