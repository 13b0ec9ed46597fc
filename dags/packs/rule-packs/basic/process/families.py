"""Which rule applies to which object.

`table` and `column` of a rule are patterns: `*` stands for any text, `?` for any character. Rules of one name are a
family: of those that match an object only the most specific applies, and a disabled one leaves what it matches to no
rule. A disabled one named `*` is of every family, or with a `cause` of those that have a rule of one of these classes.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl
from conditions import expression
from relations import SOURCES
from rules import PLACE, TYPES_OF_PLACE, Rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from checks import Except
    from relations import Objects
    from rules import Exempt, Rule

    Indices = np.ndarray[Any, np.dtype[np.int32]]
    Mask = np.ndarray[Any, np.dtype[np.bool_]]

ANY = "*"
NOBODY = -1  # instead of the index of a rule
FEW = 10_000  # a rule with more objects is judged by itself, the others together
BATCH = 1_000_000  # objects that are judged at a time


class Assignment(NamedTuple):
    """Rules and the objects that they judge."""

    rules: Indices | int  # the index of a rule: one per object, or one for all of them
    rows: Indices | None  # indices of objects; None: all objects


def is_exact(pattern: str) -> bool:
    """Whether a pattern matches one name only."""
    return ANY not in pattern and "?" not in pattern


def assign(
    rules: Sequence[Rule], indices: Sequence[int] | Indices, exempt: Sequence[Exempt], of: str, objects: Objects
) -> Iterator[Assignment]:
    """The objects of each rule. Those of one rule can be spread over several assignments.

    Args:
        rules: all rules.
        indices: of those on objects of this kind.
        exempt: the disabled rules.
        of: what those rules are about.
        objects: the objects.
    """
    known = Rules.of(rules)
    places = _Places(of, objects, known.excepted())
    entries = _ranked(known.frame.with_columns(known.causes()), indices, exempt, places)
    has_patterns = (~pl.col("is_exact")).any().over("family")
    exact, others = entries.filter(~has_patterns), entries.filter(has_patterns)
    yield from _batches(_exact(exact, places))
    yield from _batches(
        pair for _, family in others.group_by("family", maintain_order=True) for pair in _resolved(family, places)
    )


def _ranked(
    rules: pl.DataFrame, indices: Sequence[int] | Indices, exempt: Sequence[Exempt], places: _Places
) -> pl.DataFrame:
    """All rules, the more specific ones last: number (index or NOBODY), family, table, column, is_exact, check.

    An endpoint counts most (a name more than a pattern), then a database, a column's name, a table's name, and the
    length of the patterns.
    """
    judged = rules.with_row_index("number")[indices]
    check = pl.col("check").cast(pl.Int32)
    enabled = judged.select(pl.col("number").cast(pl.Int32), *PLACE, check)
    disabled = _exceptions(exempt, judged.select("name", "cause").unique())
    disabled = disabled.select(
        pl.lit(NOBODY, pl.Int32).alias("number"), *PLACE, pl.lit(NOBODY, pl.Int32).alias("check")
    )
    frame = pl.concat([enabled, disabled]).rename({"name": "family"})
    named = {key: ~pl.col(key).str.contains(r"[*?]") for key in ("table", "column")}
    names = [named[key] for key in places.keys]
    is_exact = pl.all_horizontal(names) if names else pl.lit(value=False)
    if "column" not in places.keys:
        is_exact &= pl.col("column") == ANY
    is_exact &= ~pl.col("check").is_in(list(places.excepted))
    ranked = frame.with_columns(is_exact=is_exact).sort(
        *_rank("endpoint"),
        *_rank("database"),
        named["column"],
        named["table"],
        (pl.col("table") + pl.col("column")).str.replace_all(r"[*?]", "").str.len_chars(),
        "id_rule",
    )
    is_judged = (pl.col("number") != NOBODY).any().over("family")
    return ranked.filter(is_judged).select("number", "family", "table", "column", "is_exact", "check")


def _rank(name: str) -> tuple[pl.Expr, pl.Expr]:
    """Order of endpoints or databases: all, then patterns, those with more characters last, then names."""
    length = pl.col(name).str.replace_all(r"[*?]", "").str.len_chars()
    is_pattern = pl.col(name).str.contains(r"[*?]")
    kind = pl.when(pl.col(name) == "").then(0).when(is_pattern).then(1).otherwise(2)
    return kind, pl.when(is_pattern).then(length).otherwise(0)


def _exceptions(exempt: Sequence[Exempt], families: pl.DataFrame) -> pl.DataFrame:
    """The disabled rules by family: those named ANY once per family that they are of.

    Args:
        exempt: the disabled rules.
        families: name and cause of the rules that are judged, each once.
    """
    disabled = pl.DataFrame(list(exempt), schema={**TYPES_OF_PLACE, "cause": pl.String}, orient="row")
    named, of_many = disabled.filter(pl.col("name") != ANY), disabled.filter(pl.col("name") == ANY).drop("name")
    of_all = of_many.filter(pl.col("cause") == "").join(families.select("name").unique(), how="cross")
    of_classes = of_many.filter(pl.col("cause") != "").with_columns(pl.col("cause").str.split(",")).explode("cause")
    of_class = of_classes.with_columns(pl.col("cause").str.strip_chars()).join(families, on="cause")
    return pl.concat([one.select(*PLACE) for one in (named, of_all, of_class)])


def _batches(pairs: Iterable[tuple[Indices | int, Indices | None]]) -> Iterator[Assignment]:
    """Rules with many objects alone, the others together."""
    pending: list[tuple[Indices, Indices]] = []
    size = 0
    for index, rows in pairs:
        if rows is None or (isinstance(index, int) and len(rows) > FEW):
            yield Assignment(index, rows)
            continue
        pending.append((np.broadcast_to(np.asarray(index, np.int32), rows.shape), rows))
        size += len(rows)
        if size >= BATCH:
            yield _together(pending)
            pending, size = [], 0
    if size:
        yield _together(pending)


def _together(pending: list[tuple[Indices, Indices]]) -> Assignment:
    return Assignment(np.concatenate([one for one, _ in pending]), np.concatenate([rows for _, rows in pending]))


def _exact(entries: pl.DataFrame, places: _Places) -> Iterator[tuple[Indices, Indices]]:
    """The objects of families whose rules all name one place each."""
    if entries.height:
        found = places.exact(entries)
        found = found.unique(["family", "row"], keep="last", maintain_order=True).filter(pl.col("number") != NOBODY)
        yield found["number"].to_numpy(), found["row"].to_numpy().astype(np.int32)


def _resolved(family: pl.DataFrame, places: _Places) -> Iterator[tuple[Indices | int, Indices | None]]:
    """The objects of one family in which at least one rule has a pattern."""
    patterns = family.with_row_index("order").filter(~pl.col("is_exact"))
    if family.height == 1:
        yield family["number"][0], places.covered(family["table"][0], family["column"][0], family["check"][0])
        return
    owner = np.full(places.count, NOBODY, np.int32)
    low = 0
    for order, number, table, column, check in patterns.select(
        "order", "number", "table", "column", "check"
    ).iter_rows():
        _own(owner, family[low:order], places)
        matching = places.covered(table, column, check)
        owner[slice(None) if matching is None else matching] = number
        low = order + 1
    _own(owner, family[low:], places)
    owned = np.flatnonzero(owner != NOBODY).astype(np.int32)
    owners, counts = np.unique(owner[owned], return_counts=True)
    large = owners[counts > FEW]
    for index in large:
        yield int(index), np.flatnonzero(owner == index).astype(np.int32)
    few = owned[~np.isin(owner[owned], large)]
    yield owner[few], few


def _own(owner: Indices, exact: pl.DataFrame, places: _Places) -> None:
    """Give each rule that names a place its objects."""
    if exact.height:
        found = places.exact(exact).unique("row", keep="last", maintain_order=True)
        owner[found["row"].to_numpy()] = found["number"].to_numpy()


class _Places:
    """Finds objects by patterns."""

    def __init__(self, of: str, objects: Objects, excepted: Mapping[int, Sequence[Except]]) -> None:
        self._objects, self.excepted = objects, excepted
        self.keys = SOURCES[of].keys[:2]  # none, table, or table and column
        self._matched: dict[tuple[str, str], Mask] = {}
        self.count = objects.frame.height

    def exact(self, entries: pl.DataFrame) -> pl.DataFrame:
        """The objects of rules that name places: number, family and row, in the order of the rules."""
        objects = self._objects.frame.select(self.keys).with_row_index("row")
        found = entries.join(objects, on=self.keys, how="inner", maintain_order="left_right")
        return found.select("number", "family", "row")

    def covered(self, table: str, column: str, check: int) -> Indices | None:
        """The objects that a rule with these patterns covers; None: all."""
        matching = self.matching(table, column)
        for one in self.excepted.get(check, ()):
            without = self.matching(one.table, one.column)
            own = np.arange(self.count, dtype=np.int32) if matching is None else matching
            matching = own[:0] if without is None else np.setdiff1d(own, without, assume_unique=True)
        return matching

    def matching(self, table: str, column: str) -> Indices | None:
        """The objects that a rule with these patterns matches; None: all."""
        if ("column" not in self.keys and column != ANY) or (not self.keys and table != ANY):
            return np.empty(0, np.int32)  # it is about columns, or tables
        if table == column == ANY:
            return None
        if is_exact(table):
            low, high = self._slices.get(table, (0, 0))
            rows = np.arange(low, high, dtype=np.int32)
            return rows if column == ANY else rows[self._mask("column", column)[self._objects.columns[1][low:high]]]
        if is_exact(column) and column != ANY:
            rows = self._rows_by_column.get(column, np.empty(0, np.int32))
            return rows if table == ANY else rows[self._mask("table", table)[self._objects.tables[1][rows]]]
        matching = np.ones(self.count, np.bool_)
        if table != ANY:
            matching &= self._mask("table", table)[self._objects.tables[1]]
        if column != ANY:
            matching &= self._mask("column", column)[self._objects.columns[1]]
        return np.flatnonzero(matching).astype(np.int32)

    def _mask(self, key: str, pattern: str) -> Mask:
        """Which names of tables or columns a pattern matches."""
        found = self._matched.get((key, pattern))
        if found is None:
            names = (self._objects.tables if key == "table" else self._objects.columns)[0]
            found = names.str.contains(expression(pattern)).to_numpy()
            self._matched[key, pattern] = found
        return found

    @cached_property
    def _slices(self) -> dict[str, tuple[int, int]]:
        """The first object of each table, and the one after its last: objects are ordered by table."""
        names, codes = self._objects.tables
        borders = np.searchsorted(codes, np.arange(len(names) + 1)).tolist()
        return {name: (borders[i], borders[i + 1]) for i, name in enumerate(names)}

    @cached_property
    def _rows_by_column(self) -> dict[str, Indices]:
        """The objects of each column name."""
        names, codes = self._objects.columns
        order = np.argsort(codes, kind="stable").astype(np.int32)
        return dict(zip(names, np.split(order, np.cumsum(np.bincount(codes, minlength=len(names)))[:-1]), strict=True))
