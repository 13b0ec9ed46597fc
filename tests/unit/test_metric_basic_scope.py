"""Which tables and columns of an endpoint metric pack basic measures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.metric_basic_harness import column, pack, settings, table

STAYS = table("stays", column("stay_id"), column("Prénom"), column("ward"), schema="public")
RESULTS = table("results", column("ward"), column("value"), schema="lab")
SCRATCH = table("tmp_1", column("a"), schema="lab")
EVERYTHING = [STAYS, RESULTS, SCRATCH]


def chosen(config: dict[str, Any], tables: list[Any] | None = None) -> dict[str, list[str]]:
    """Label -> names of the chosen columns."""
    scope = pack.tables.chosen(tables or EVERYTHING, settings(**config))
    return {one.label: [c.name for c in one.columns] for one in scope.tables}


def test_everything_is_chosen_unless_configured() -> None:
    """In the order of the catalogue."""
    assert list(chosen({})) == ["stays", "lab.results", "lab.tmp_1"]
    assert pack.tables.chosen([], settings()).tables == ()


@pytest.mark.parametrize(
    ("config", "labels"),
    [
        ({"schemas": ["lab"]}, "lab.results lab.tmp_1"),
        ({"schemas": ["l?b", "pub*"]}, "stays lab.results lab.tmp_1"),
        ({"schemas": ["LAB"]}, ""),
        ({"exclude_schemas": ["lab"]}, "stays"),
        ({"schemas": ["*"], "exclude_schemas": ["public"]}, "lab.results lab.tmp_1"),
        ({"tables": ["stays"]}, "stays"),
        ({"tables": ["public.stays"]}, "stays"),
        ({"tables": ["lab.*"]}, "lab.results lab.tmp_1"),
        ({"tables": ["results", "Stays"]}, ""),
        ({"exclude_tables": ["*.tmp_*"]}, "stays lab.results"),
        ({"tables": ["lab.*"], "exclude_tables": ["lab.tmp_*"]}, "lab.results"),
        ({"tables": ["stays"], "schemas": ["lab"]}, ""),
    ],
)
def test_schemas_and_tables_are_chosen_as_stored_and_exclusion_counts(config: dict[str, Any], labels: str) -> None:
    """A pattern of tables means the label, or schema.table."""
    assert list(chosen(config)) == labels.split()


def test_schemas_say_nothing_of_tables_without_one() -> None:
    """MySQL and SQLite have none, and external configuration is for all endpoints."""
    assert list(chosen({"schemas": ["lab"], "exclude_schemas": ["*"]}, [table("t", column())])) == ["t"]


@pytest.mark.parametrize(
    ("config", "stays", "results"),
    [
        ({"columns": ["ward"]}, "ward", "ward"),
        ({"columns": ["STAYS.WARD", "value"]}, "ward", "value"),
        ({"columns": ["public.stays.w*"]}, "ward", ""),
        ({"exclude_columns": ["PRENOM"]}, "stay_id ward", "ward value"),
        ({"exclude_columns": ["lab.results.*"]}, "stay_id Prénom ward", ""),
        ({"identifying": ["prenom", "stays.*_id"]}, "ward", "ward value"),
        ({"columns": ["ward", "prénom"], "identifying": ["prenom"]}, "ward", "ward"),
        ({"columns": ["w*"], "exclude_columns": ["results.ward", "*.results.ward"]}, "ward", ""),
    ],
)
def test_columns_are_chosen_without_regard_to_case_and_accents(
    config: dict[str, Any], stays: str, results: str
) -> None:
    """A table whose columns are all left out stays: its rows are counted."""
    found = chosen(config)
    assert (found["stays"], found["lab.results"]) == (stays.split(), results.split())


def test_columns_that_the_database_tags_are_left_out_and_unreadable_ones_are_named() -> None:
    """Unless they are not wanted: nobody misses those."""
    one = table("t", column("a"), column("b", identifying=True), column("c", readable=False), schema="lab")
    scope = pack.tables.chosen([one], settings())
    assert ([c.name for c in scope.tables[0].columns], scope.unreadable) == (["a"], ("lab.t.c",))
    for config in ({"exclude_columns": ["c"]}, {"exclude_tables": ["*.t"]}, {"identifying": ["c"]}):
        assert pack.tables.chosen([one], settings(**config)).unreadable == ()


@pytest.mark.parametrize(
    ("identifying", "not_identifying", "is_read"),
    [
        (["*"], ["ward"], True),
        (["w*"], ["wa*"], True),
        (["ward"], ["stays.ward"], True),
        (["stays.*"], ["ward"], True),
        (["ward"], ["WARD"], False),
        (["ward"], ["*"], False),
        (["ward"], ["w*", "stays.*d"], False),
        (["stays.ward"], ["ward"], False),
        (["w*", "wa*"], ["w*", "*"], False),
    ],
)
def test_the_more_specific_of_two_patterns_counts(
    identifying: list[str], not_identifying: list[str], *, is_read: bool
) -> None:
    """Of two equal ones `identifying` does."""
    scope = pack.tables.chosen([STAYS], settings(identifying=identifying, not_identifying=not_identifying))
    (one,) = scope.tables
    assert ("ward" in [c.name for c in one.columns]) is is_read
    assert any("stays.ward" in warning for warning in scope.warnings) is not is_read


def test_no_configuration_overrules_a_tag() -> None:
    """Whoever defines the column knows best; also in a view."""
    people = table("people", column("kind", identifying=True), column("sex"))
    seen = replace(table("seen", column("kind"), column("sex")), type="view")
    config = {"not_identifying": ["kind", "people.kind", "seen.kind", "sex"]}
    assert chosen(config, [people, seen]) == {"people": ["sex"], "seen": ["sex"]}
    (warning,) = pack.tables.chosen([people, seen], settings(**config)).warnings
    assert warning.endswith("overrules it: people.kind, seen.kind")


@pytest.mark.parametrize("kind", ["view", "materialized view", "foreign table"])
def test_names_that_are_tagged_anywhere_are_left_out_of_views(kind: str) -> None:
    """A view has no comments of the table's; a table that happens to use the name is not meant. Case is none."""
    people = table("people", column("Numéro", identifying=True), column("sex"))
    seen = replace(table("seen", column("NUMERO"), column("sex")), type=kind)
    other = table("other", column("numero"))
    assert chosen({}, [people, seen, other]) == {"people": ["sex"], "seen": ["sex"], "other": ["numero"]}
    assert chosen({"tables": ["seen"]}, [people, seen])["seen"] == ["sex"]


def test_a_name_that_no_index_takes_is_named_as_incomplete() -> None:
    """Cut, since it may be longer than a page; SQLite takes expressions for names."""
    one = table("v", column("é" * 250), column("é" * 251), column("x" * 9000))
    scope = pack.tables.chosen([one], settings())
    assert [c.name for c in scope.tables[0].columns] == ["é" * 250]
    assert scope.unreadable == (f"v.{'é' * 251}", f"v.{'x' * 498}")


def test_a_pattern_that_matches_nothing_is_named_with_its_key() -> None:
    """It is a spelling mistake, or meant for another endpoint: no error."""
    config = {
        "schemas": ["lab", "labo"],
        "exclude_tables": ["TMP_*", "lab.tmp_1"],
        "columns": ["ward", "wards"],
        "exclude_levels": [f"x{i}" for i in range(7)],
    }
    assert pack.tables.chosen(EVERYTHING, settings(**config)).warnings == (
        "schemas: nothing matches 'labo'",
        "exclude_tables: nothing matches 'TMP_*'",
        "columns: nothing matches 'wards'",
        "exclude_levels: nothing matches 'x0', 'x1', 'x2', 'x3', 'x4' and 2 more",
    )
    without_schemas = pack.tables.chosen([table("t", column())], settings(schemas=["lab"]))
    assert without_schemas.warnings == ()


def test_what_is_matched_but_excluded_otherwise_is_no_spelling_mistake() -> None:
    """The pattern of a table in a schema that is left out does match."""
    config = {"exclude_schemas": ["lab"], "tables": ["stays", "lab.results"]}
    assert pack.tables.chosen(EVERYTHING, settings(**config)).warnings == ()


WORDS = st.text("aAé.*?[", max_size=4)
PATTERNS = st.lists(WORDS, max_size=3)


@given(
    names=st.lists(WORDS.filter(bool), min_size=1, max_size=4, unique=True),
    included=PATTERNS,
    excluded=PATTERNS,
)
def test_what_is_excluded_is_never_chosen(names: list[str], included: list[str], excluded: list[str]) -> None:
    """For any names and patterns; and excluding less never chooses less."""
    tables = [table(name, *(column(inner) for inner in names)) for name in names]
    wide = chosen({"tables": included, "columns": included}, tables)
    narrow = chosen(
        {"tables": included, "exclude_tables": excluded, "columns": included, "exclude_columns": excluded}, tables
    )
    assert all(set(columns) <= set(wide[label]) for label, columns in narrow.items())
    for label, columns in chosen({"exclude_tables": names[:1], "exclude_columns": names[:1]}, tables).items():
        if not set(names[0]) & set("*?["):
            assert names[0] != label
            assert names[0] not in columns
