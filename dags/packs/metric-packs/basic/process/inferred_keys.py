"""Candidates for foreign keys that the database does not declare: by their names, and by what the pass has measured.

A column is a candidate if its name leads to the key of one table, and no metric rules out that all its values occur
there. Whether they do is then counted (`key_reader`).
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import privacy
from foreign_keys import Declared, ForeignKey, described, fits
from patterns import plain_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from foreign_keys import Fact, Facts, Pair
    from tables import Column, Table

MIN_COVERED = 5  # different values that a candidate refers to: fewer may coincide by chance
MAX_CANDIDATES = 500  # of one endpoint and date
BASE_TABLES = frozenset({"table", "partitioned table"})  # views repeat the keys of their tables, and are slow to join

# drug_concept_id is the id of a drug_concept; id_patient and fk_patient are likewise read.
_SUFFIX = re.compile(r"(?:^|_)(id|key|code|nr|no|num|number|uuid|guid|sk|fk|ref)$")
_PREFIX = re.compile(r"^(id|key|code|fk|ref)_")
_NUMBER = re.compile(r"_?\d+$")  # concept_id_1
_TABLE_PREFIX = re.compile(r"^(dim|tbl|tab|t|ref|lookup|lkp)_")
_PLURALS = (("ies", "y"), ("ses", "s"), ("xes", "x"), ("s", ""))
_GENERIC = frozenset({"id", "key", "code", "nr", "no", "num", "number", "uuid", "guid"})  # keys without a table's name
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class _Parent(NamedTuple):
    """A column that others may refer to."""

    table: Table
    column: Column
    fact: Fact
    name: str


class _Match(NamedTuple):
    """How well a name leads to a parent; the greatest match counts."""

    length: int  # of the table's name within the column's; 0: the name of the key is the same, not the table's
    is_same_schema: bool
    is_exact: bool  # the table's name is not a plural, nor has a prefix
    is_same_name: bool  # patient_id -> patients.patient_id, not patients.id


def candidates(
    tables: Iterable[Table],
    facts: Facts,
    declared: Declared,
    known: Iterable[ForeignKey],
    paired: Callable[[Column, Column, str], Pair | None],
) -> list[ForeignKey]:
    """At most one candidate per column, and at most 500, those of the smallest tables.

    Args:
        tables: that are measured, with their columns.
        facts: of their columns.
        declared: the declared keys; columns that have one are no candidates.
        known: keys that were inferred on earlier dates, likewise.
        paired: of the engine.
    """
    places = declared.places | {(key.table.label, key.column) for key in known}
    usable = [table for table in tables if table.type in BASE_TABLES]
    parents = _Parents(usable, facts)
    found = []
    for table in usable:
        of_table = facts.get(table.label, {})
        for column in table.columns:
            fact = of_table.get(column.name)
            if fact is None or (table.label, column.name) in places or not _may_refer(fact):
                continue
            parent = parents.of(table, column, fact)
            pair = paired(column, parent.column, fact.kind) if parent is not None else None
            if parent is not None and pair is not None:
                key = described(table, parent.table, (pair,), facts, declared=False, is_candidate=True)
                found += [key] * fits(key)
    return sorted(found, key=lambda key: (key.rows, key.place))[:MAX_CANDIDATES]


class _Parents:
    """The keys of all tables, by the names that columns may have for them."""

    def __init__(self, tables: Iterable[Table], facts: Facts) -> None:
        self._of_tables: dict[str, list[tuple[_Parent, bool]]] = defaultdict(list)
        self._of_keys: dict[str, list[_Parent]] = defaultdict(list)
        for table in tables:
            nouns, of_table = _nouns(table.name), facts.get(table.label, {})
            for column in table.columns:
                fact = of_table.get(column.name)
                if fact is None or not (fact.is_unique or fact.is_key) or not fact.values:
                    continue
                parent = _Parent(table, column, fact, _snake(column.name))
                for noun, is_exact in nouns.items():
                    if _is_key_name(parent.name, noun):
                        self._of_tables[noun].append((parent, is_exact))
                if privacy.is_identifier_like(column) and parent.name not in _GENERIC:
                    self._of_keys[parent.name].append(parent)

    def of(self, table: Table, column: Column, fact: Fact) -> _Parent | None:
        """The parent that the column's name suggests, unless several are as likely."""
        name = _snake(column.name)
        matches = [
            (_Match(length, parent.table.schema == table.schema, is_exact, parent.name == tail), parent)
            for parent, length, is_exact, tail in self._named(name, table, column, fact)
            if _may_contain(parent.fact, fact)
        ]
        if not matches:
            return None
        best = max(match for match, _ in matches)
        found = [parent for match, parent in matches if match == best]
        return found[0] if len(found) == 1 else None

    def _named(self, name: str, table: Table, column: Column, fact: Fact) -> Iterator[tuple[_Parent, int, bool, str]]:
        is_key = fact.is_unique or fact.is_key
        tails = _tails(name)
        if is_key and not _nouns(table.name).keys().isdisjoint(noun for noun, _ in tails):
            return  # the key of its own table
        for noun, tail in tails:
            for parent, is_exact in self._of_tables.get(noun, ()):
                if parent.table is not table or parent.column.name != column.name:
                    yield parent, len(noun), is_exact, tail
        if is_key:
            return  # two tables with the same key: neither is the other's parent
        for parent in self._of_keys.get(name, ()):
            if parent.table is not table:
                yield parent, 0, False, name


@lru_cache(maxsize=100_000)
def _tails(name: str) -> tuple[tuple[str, str], ...]:
    """The names of tables that a column's name may contain, with the rest of the name from there on, longest first.

    drug_concept_id: (drug_concept, drug_concept_id), then (concept, concept_id).
    """
    plain = _NUMBER.sub("", name)
    stem = _SUFFIX.sub("", _PREFIX.sub("", plain))
    end = plain[plain.rindex(stem) + len(stem) :] if stem else ""
    words = stem.split("_")
    if plain == stem:  # no word says that it is an identifier: only the whole name counts
        words = [stem]
    is_whole = plain.startswith(("id_", "key_", "code_", "fk_", "ref_"))
    nouns = ("_".join(words[start:]) for start in range(len(words)))
    return tuple((noun, plain if is_whole and not start else noun + end) for start, noun in enumerate(nouns) if noun)


def _is_key_name(name: str, noun: str) -> bool:
    """Whether the key of such a table may have this name: the noun, a generic one, or both."""
    rest = name.removeprefix(f"{noun}_").removesuffix(f"_{noun}")
    return name == noun or (rest in _GENERIC and len(name) - len(rest) in {0, len(noun) + 1})


@lru_cache(maxsize=100_000)
def _nouns(table: str) -> dict[str, bool]:
    """What a table is about, in the words of a column; whether it is the table's own name."""
    name = _snake(table)
    found = {name: True}
    for noun in (name, _TABLE_PREFIX.sub("", name)):
        found.setdefault(noun, False)
        for plural, singular in _PLURALS:
            if noun.endswith(plural) and len(noun) > len(plural) + 1:
                found.setdefault(noun.removesuffix(plural) + singular, False)
    return found


@lru_cache(maxsize=100_000)
def _snake(name: str) -> str:
    """The name in lower case without accents; PatientId is patient_id."""
    return plain_name(_HUMP.sub("_", name)).replace(" ", "_").replace("-", "_")


def _may_refer(fact: Fact) -> bool:
    return fact.is_sample or fact.levels >= MIN_COVERED


def _may_contain(parent: Fact, child: Fact) -> bool:
    """Whether no metric shows that some value of the child is none of the parent's."""
    if parent.kind != child.kind:
        return False
    if parent.is_sample or child.is_sample:
        return True
    if child.levels > parent.levels:
        return False
    ends = (parent.least, child.least, child.greatest, parent.greatest)
    return None in ends or ends == tuple(sorted(ends))  # type: ignore[type-var]  # none of them is None
