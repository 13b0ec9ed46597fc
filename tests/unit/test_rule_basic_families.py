"""Which rule of a family applies to which object, and how patterns match."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.pack_modules import load

pack = load(("transfer", "relations", "conditions", "checks", "rules", "families"), "rule-packs/basic")
PLACES = [("a", "id"), ("a", "x"), ("b", "id"), ("b", "x"), ("bb", "id")]


def rule(
    table: str, column: str = "*", name: str = "r", endpoint: str = "", database: str = "", cause: str = ""
) -> Any:
    check = SimpleNamespace(of="column")
    return pack.rules.Rule(0, name, "High", "", "column", endpoint, database, table, column, check, cause)


def objects(of: str = "column", places: list[tuple[str, ...]] = PLACES) -> Any:
    keys = pack.relations.SOURCES[of].keys
    return pack.relations.Objects(pl.DataFrame(places, schema=list(keys), orient="row").sort(keys))


def assigned(rules: list[Any], exempt: tuple[Any, ...] = (), of: str = "column", found: Any = None) -> list[set[int]]:
    """The objects of each rule, by their numbers; no object twice."""
    found = found or objects(of)
    rules = [one._replace(id_rule=number) for number, one in enumerate(rules)]
    off = [pack.rules.Exempt(len(rules) + i, one.name, *one[5:9], one.cause) for i, one in enumerate(exempt)]
    rows: list[list[int]] = [[] for _ in rules]
    for assignment in pack.families.assign(rules, range(len(rules)), off, of, found):
        places = range(found.frame.height) if assignment.rows is None else assignment.rows.tolist()
        numbers = np.broadcast_to(assignment.rules, len(places)).tolist()
        for index, place in zip(numbers, places, strict=True):
            rows[index].append(place)
    assert all(len(set(one)) == len(one) for one in rows)
    return [set(one) for one in rows]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([rule("*")], [{0, 1, 2, 3, 4}]),
        ([rule("b*"), rule("*", "id", name="other")], [{2, 3, 4}, {0, 2, 4}]),
        ([rule("*"), rule("b*"), rule("b")], [{0, 1}, {4}, {2, 3}]),
        ([rule("a"), rule("*", "id")], [{1}, {0, 2, 4}]),  # a column's name is more specific than a table's
        ([rule("*", "id"), rule("a", "id")], [{2, 4}, {0}]),
        ([rule("a", "id"), rule("a", "id", database="d")], [set(), {0}]),
        ([rule("a", "id"), rule("*", endpoint="e")], [set(), {0, 1, 2, 3, 4}]),
        ([rule("*", database="d"), rule("*", endpoint="e"), rule("a", "x", endpoint="e")], [set(), {0, 2, 3, 4}, {1}]),
        ([rule("?", "?d"), rule("b?", "id", name="other")], [{0, 2}, {4}]),
        ([rule("c", "id"), rule("a", "ID"), rule("A"), rule("a.")], [set(), set(), set(), set()]),
    ],
)
def test_of_a_family_the_most_specific_rule_applies(rules: list[Any], expected: list[set[int]]) -> None:
    """Rules of other names judge the same objects independently."""
    assert assigned(rules) == expected
    assert assigned(rules[::-1]) == expected[::-1]


def test_a_disabled_rule_leaves_what_it_matches_to_nobody() -> None:
    """Of its own family, and unless another one is more specific."""
    rules = [rule("*"), rule("a", "x"), rule("*", name="other")]
    assert assigned(rules, (rule("a"),)) == [{2, 3, 4}, {1}, {0, 1, 2, 3, 4}]
    assert assigned([rule("a", "id")], (rule("a", "id", endpoint="e"),)) == [set()]
    assert assigned([rule("a", "id")], (rule("*"),)) == [{0}]
    assert assigned([rule("a", "id")], (rule("a", "id", name="other"),)) == [{0}]


def test_an_exception_of_many_families() -> None:
    """One named *: of all families, or of those of some classes."""
    rules = [rule("*", name="one", cause="nulls"), rule("*", name="two", cause="keys"), rule("*", name="own")]
    of_table = rule("a", name="*")
    assert assigned(rules, (of_table,)) == [{2, 3, 4}] * 3
    assert assigned(rules, (rule("*", "id", name="*", cause="nulls"),)) == [{1, 3}, {0, 1, 2, 3, 4}, {0, 1, 2, 3, 4}]
    of_two = rule("*", "id", name="*", cause="nulls, keys")
    assert assigned(rules, (of_two,)) == [{1, 3}, {1, 3}, {0, 1, 2, 3, 4}]
    assert assigned(rules, (rule("a", name="*", cause="rows"),)) == [{0, 1, 2, 3, 4}] * 3
    assert assigned([*rules, rule("a", "x", name="own")], (of_table,))[2:] == [{2, 3, 4}, {1}]
    tables = objects("table", [("a",), ("b",)])
    assert assigned([rule("*")], (of_table,), of="table", found=tables) == [{1}]


def test_rules_on_tables_and_databases_match_tables_and_databases() -> None:
    """A disabled rule on a column says nothing about its table."""
    tables = objects("table", [("a",), ("b",), ("bb",)])
    assert assigned([rule("b*"), rule("b")], of="table", found=tables) == [{2}, {1}]
    assert assigned([rule("*")], (rule("b", "x"), rule("bb")), of="table", found=tables) == [{0, 1}]
    database = pack.relations.Objects(pl.DataFrame({"dbversion": ["1.0", "2.0"]}))
    assert assigned([rule("*")], (rule("b"), rule("a", "x")), of="version", found=database) == [{0, 1}]
    assert assigned([rule("*")], (rule("*", endpoint="e"),), of="version", found=database) == [set()]


def test_several_objects_in_one_column_belong_to_the_same_rule() -> None:
    """Such as its days."""
    days = objects("day", [("a", "at", "2026-01-01"), ("a", "at", "2026-01-02"), ("b", "at", "2026-01-01")])
    assert assigned([rule("*"), rule("a", "at")], of="day", found=days) == [{2}, {0, 1}]


def test_without_objects_rules_cover_nothing() -> None:
    """An empty database."""
    found = objects("column", []).frame.cast(pl.String)
    empty = pack.relations.Objects(found)
    assert assigned([rule("*"), rule("a", "x"), rule("a*"), rule("a")], found=empty) == [set()] * 4


@pytest.mark.parametrize("name", ["a", "a.b", "a+b", "(", "[a]", "a\nb", "", "é", "\\", "a*b", "a?b", "^$"])
def test_patterns_match_whole_names_literally(name: str) -> None:
    """No character but * and ? means anything but itself."""
    names = pl.Series([name])
    assert names.str.contains(pack.families.expression(name)).all()
    assert names.str.contains(pack.families.expression("*")).all()
    assert not names.str.contains(pack.families.expression(f"{name}x")).any()
    assert not (names + "x").str.contains(pack.families.expression(name)).any()
    assert not ("x" + names).str.contains(pack.families.expression(name)).any()


def test_many_rules_and_large_ones_are_assigned_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """However they are divided into batches."""
    rules = [rule("a"), rule("*"), rule("b*", "x"), rule("*", "id", name="other"), rule("a", "x", name="third")]
    expected = assigned(rules)
    for few, batch in ((0, 1), (1, 2), (3, 4), (100, 100)):
        monkeypatch.setattr(pack.families, "FEW", few)
        monkeypatch.setattr(pack.families, "BATCH", batch)
        assert assigned(rules) == expected
