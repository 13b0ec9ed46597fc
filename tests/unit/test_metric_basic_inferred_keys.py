"""Which key of which table the name of a column leads to, and what rules a candidate out."""

from __future__ import annotations

from typing import Any

import pytest

from tests.pack_modules import load

pack = load(("patterns", "privacy", "tables", "settings", "foreign_keys", "inferred_keys"))


def fact(**changes: Any) -> Any:
    """A column of a hundred whole numbers, all different."""
    values = {
        "kind": "integer",
        "key_constraint": "",
        "is_key": False,
        "values": 100,
        "rows": 100,
        "levels": 100,
        "is_sample": False,
        "least": 1.0,
        "greatest": 100.0,
    }
    return pack.foreign_keys.Fact(**{**values, **changes})


KEY = fact(key_constraint="primary", is_key=True)


def table(name: str, *columns: str, schema: str = "public", kind: str = "table") -> Any:
    """A table of whole numbers."""
    found = tuple(pack.tables.Column(column, "int", "integer", "int4") for column in columns)
    return pack.tables.Table(schema, name, name if schema == "public" else f"{schema}.{name}", found, type=kind)


def found(tables: list[Any], facts: dict[tuple[str, str], Any], declared: Any = None) -> dict[str, str]:
    """The candidates: `table.column` -> `table.column`. Columns without a fact have that of a child."""
    child = fact(key_constraint="", values=300, rows=300, levels=50, least=2.0, greatest=90.0)
    known = {
        one.label: {column.name: facts.get((one.label, column.name), child) for column in one.columns} for one in tables
    }
    nothing = pack.foreign_keys.Declared([], tables, known)
    keys = pack.inferred_keys.candidates(
        tables, known, declared or nothing, [], lambda one, other, _: pack.foreign_keys.Pair(one.name, other.name)
    )
    return {f"{key.table.label}.{key.column}": f"{key.parent.label}.{key.parent_column}" for key in keys}


@pytest.mark.parametrize(
    ("child", "parent", "key"),
    [
        ("patient_id", "patients", "patient_id"),
        ("patient_id", "patients", "id"),
        ("PatientId", "Patient", "PatientId"),
        ("id_patient", "patient", "id_patient"),
        ("fk_patient", "patient", "id"),
        ("attending_provider_id", "provider", "provider_id"),
        ("drug_source_concept_id", "concept", "concept_id"),
        ("concept_id_2", "concept", "concept_id"),
        ("ward", "wards", "ward"),
        ("ward", "ward", "id"),
        ("ward_code", "wards", "code"),
        ("category_key", "dim_categories", "category_key"),
        ("box_id", "boxes", "id"),
        ("diagnosis_id", "diagnosis", "diagnosis_id"),
        ("Prénom_id", "prenoms", "id"),
        ("visit_occurrence_id", "tbl_visit_occurrence", "visit_occurrence_id"),
        ("mrn", "people", "mrn"),  # the same name, and an identifier
        ("case_number", "admin", "case_number"),
    ],
)
def test_a_name_leads_to_the_key_of_a_table(child: str, parent: str, key: str) -> None:
    """In English, with the words that databases are full of."""
    tables = [table("events", "event_no", child), table(parent, key)]
    assert found(tables, {(parent, key): KEY})[f"events.{child}"] == f"{parent}.{key}"


@pytest.mark.parametrize(
    ("child", "parent", "key"),
    [
        ("id", "patients", "id"),
        ("code", "wards", "code"),
        ("weight", "weights_of_day", "id"),
        ("patient_id", "wards", "id"),
        ("patient_name", "patients", "patient_id"),
        ("rank", "places", "rank"),  # unique by chance
        ("mother_ward", "ward", "id"),  # nothing says that it is an identifier
        ("outpatient_id", "patient", "id"),  # another word
        ("_id", "s", "id"),
        ("", "patients", "id"),
    ],
)
def test_other_names_lead_nowhere(child: str, parent: str, key: str) -> None:
    """However well the values fit."""
    assert found([table("events", child), table(parent, key)], {(parent, key): KEY}) == {}


def test_the_likeliest_table_counts() -> None:
    """The longest name, then the same schema, then the table's own name, then the key's."""
    tables = [
        table("events", "drug_concept_id", "patient_id", "ward_id"),
        *(table("concept", "concept_id"), table("drug_concept", "drug_concept_id")),
        *(table("patient", "id", "patient_id"), table("patient", "patient_id", schema="old")),
        *(table("ward", "ward_id"), table("wards", "ward_id")),
    ]
    keys = {(one.label, column.name): KEY for one in tables[1:] for column in one.columns}
    assert found(tables, keys) == {
        "events.drug_concept_id": "drug_concept.drug_concept_id",
        "events.patient_id": "patient.patient_id",
        "events.ward_id": "ward.ward_id",
    }


def test_two_tables_as_likely_are_none() -> None:
    """A guess would raise alerts about rows that nothing is wrong with."""
    tables = [table("events", "ward_id", "mrn"), table("t_ward", "id"), table("wards", "id")]
    tables += [table("people", "mrn"), table("staff", "mrn")]
    assert found(tables, {(one.label, column.name): KEY for one in tables[1:] for column in one.columns}) == {}


def test_tables_that_share_a_key_refer_to_the_one_that_it_is_named_after() -> None:
    """A death is of a person, a person not of a death; of two tables without that name, neither is the parent."""
    tables = [table("death", "person_id"), table("person", "person_id"), table("a", "case_id"), table("b", "case_id")]
    keys = {(one.label, one.columns[0].name): KEY for one in tables}
    assert found(tables, keys) == {"death.person_id": "person.person_id"}


@pytest.mark.parametrize(
    ("child", "parent", "is_candidate"),
    [
        (fact(levels=50), KEY, True),
        (fact(levels=101), KEY, False),
        (fact(levels=50, least=0.0), KEY, False),
        (fact(levels=50, greatest=101.0), KEY, False),
        (fact(levels=50, least=None, greatest=None), KEY, True),
        (fact(levels=4), KEY, False),
        (fact(levels=5), KEY, True),
        (fact(levels=50, kind="text"), KEY, False),
        (fact(levels=101, is_sample=True), KEY, True),
        (fact(levels=50), KEY._replace(key_constraint=""), True),
        (fact(levels=50), fact(), False),
        (fact(levels=50), fact(key_constraint="referenced"), False),
        (fact(levels=50), KEY._replace(values=0, rows=0, levels=0), False),
    ],
)
def test_metrics_rule_candidates_out(child: Any, parent: Any, is_candidate: bool) -> None:
    """More values than parents, lower or higher ones, fewer than five; only a key is a parent."""
    tables = [table("stays", "ward_id"), table("wards", "ward_id")]
    assert bool(found(tables, {("stays", "ward_id"): child, ("wards", "ward_id"): parent})) is is_candidate


def test_views_are_neither_parents_nor_children() -> None:
    """They repeat the columns of their tables."""
    tables = [table("shown", "ward_id", kind="view"), table("wards", "ward_id"), table("stays", "unit_id")]
    tables.append(table("units", "unit_id", kind="materialized view"))
    assert found(tables, {("wards", "ward_id"): KEY, ("units", "unit_id"): KEY}) == {}


def test_there_are_at_most_500_candidates() -> None:
    """Those of the smallest tables."""
    tables = [table("wards", "ward_id"), *(table(f"t{i}", "ward_id") for i in range(600))]
    facts = {("wards", "ward_id"): KEY, **{(f"t{i}", "ward_id"): fact(levels=50, rows=i) for i in range(600)}}
    assert set(found(tables, facts)) == {f"t{i}.ward_id" for i in range(500)}


def test_a_declared_key_leaves_nothing_to_infer() -> None:
    """Also when its parent is not measured."""
    tables = [table("stays", "ward_id"), table("wards", "ward_id")]
    pairs = (pack.foreign_keys.Pair("ward_id", "ward_id"),)
    reference = pack.foreign_keys.Reference(("public", "stays"), ("elsewhere", "wards"), pairs)
    declared = pack.foreign_keys.Declared([reference], tables, {})
    assert declared.keys == []
    assert found(tables, {("wards", "ward_id"): KEY}, declared) == {}
