"""Which levels metric pack basic stores, and that the hidden ones cannot be computed."""

from __future__ import annotations

from collections import defaultdict
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.metric_basic_harness import column, counted, measured, pack, settings, table

FREQUENCIES = st.lists(st.integers(1, 14), max_size=16)


def levels(one: Any, values: list[Any], **config: Any) -> dict[str, int]:
    """The levels of a column with these values, in table lab.results."""
    owner = table("results", one, schema="lab")
    found = measured(one, values, **config)
    return pack.levels.of_column(owner, one, found, counted(values), settings(**config))


def test_rare_levels_are_hidden_with_the_smallest_frequent_one() -> None:
    """A level of one patient points at that patient, also as the difference to value_counts."""
    disease = ["rare"] + ["seldom"] * 8 + ["flu"] * 91
    assert levels(column(kind="text"), disease) == {"flu": 91}
    assert levels(column(kind="text"), ["in"] * 39 + ["out"] * 61) == {"in": 39, "out": 61}
    assert levels(column(kind="text"), ["x"] * 2 + ["y"] * 98) == {}
    assert levels(column(kind="text"), disease, min_count=1) == {"rare": 1, "seldom": 8, "flu": 91}


def test_hidden_levels_are_not_all_of_one_frequency() -> None:
    """Each once, or each twice: whoever knows the highest frequencies would know whose they are."""
    for rare in ("abcdef", "aabbcc", "aaaabbbb"):
        values = [*rare, *["g"] * 10, *["h"] * 20]
        assert levels(column(kind="text"), values) == {"h": 20}
        assert levels(column(kind="text"), [*values, "a"]) == {"g": 10, "h": 20}


def test_levels_of_one_frequency_are_hidden_together() -> None:
    """Were 'b' shown and 'a' hidden, 'a' could only be the rare one."""
    assert levels(column(kind="text"), [*"a", *["b"] * 9, *["c"] * 9]) == {}
    assert levels(column(kind="text"), [*"a", *["b"] * 9, *["c"] * 9, *["d"] * 10]) == {"d": 10}


def test_many_levels_need_more_hidden_ones() -> None:
    """Mean and deviation of such columns are published, which are sums over all levels."""
    values = [0] * 5000 + [i for i in range(1, 20) for _ in range(20 + i)] + [98] * 3 + [99] * 4
    assert set(levels(column(), values)) == {str(i) for i in range(20) if i not in {1, 2, 3}}


def test_booleans_are_told_as_words() -> None:
    """The engine counts them as 0 and 1."""
    assert levels(column(kind="boolean"), [0] * 9 + [1] * 8) == {"false": 9, "true": 8}
    assert levels(column(), [0] * 9 + [1] * 8) == {"0": 9, "1": 8}


NAMES = """
    name patient_full_name person_name fullname FirstName patient_last_name nom nom_usuel Prénom adresse_1
    telephone_mobile courriel_pro date_naissance birth_date year_of_birth postcode zip_code code_postal postal_code
    ipp patient_ipp iep nir ins nip numero_secu patient_mrn mrn dob ddn
    patient_id id_stay key ward_key uuid number bed_number
    PatientId patientid idPatient patient_code PatientCode numPatient num_patient no_patient
    name_of_patient pid matricule
    birth born_birth birthdate birth_dt birthDtTm BIRTH_TS birthdatetime birthday dateofbirth date_of_birth dob_year yob
    birth_year month_of_birth birth_place place_of_birth birth_city birthcountry birth_county birth_state birth_name
    stillbirth_date birthcontrol_start_dt livebirthDate birth_weight_day births_month birth_remarks birthinfo
    lieu_naissance ville_naissance annee_naissance nom_naissance naissance DateDeNaissance rang_jour_naissance"""
OTHER_NAMES = """
    drug_name concept_name ward_name nombre service unit inspection insurance tropical_zone sex
    gender_concept_id ward_code code wardCode rapid patient_sex PatientClass num_patients
    number_of_patients
    stillbirth still_birth lowbirthweight low_birth_weight birthWeight weight_at_birth birthcontrol birth_control
    live_births livebirth LiveBirth births nb_births childbirth preterm_birth multiple_birth birth_order birthtype
    birth_defect birthmark birthing_position apgar_at_birth sex_at_birth birthsex gestational_age_at_birth rebirth
    mother_age_at_birth birth_wt birth_attendant poids_naissance rang_de_naissance perte_connaissance reconnaissance
    naissances"""


@pytest.mark.parametrize(("names", "stored"), [(NAMES, False), (OTHER_NAMES, True)])
def test_levels_of_persons_and_identifiers_are_not_stored(names: str, *, stored: bool) -> None:
    """Known by the column's name, in English and French."""
    found = {name: levels(column(name, "text"), ["x"] * 9 + ["y"] * 9) for name in names.split()}
    assert {name for name, one in found.items() if bool(one) is not stored} == set()


def test_names_that_suggest_persons_are_overruled_by_a_more_specific_pattern() -> None:
    """One that names the column, or says more than the list of names; the rest stays private, and a key does anyway."""
    values = ["x"] * 9 + ["y"] * 9
    places = {
        "birth_remarks": (
            ["birth_remarks", "lab.results.birth_remarks", "birth_rem*", "*th_remark*"],
            ["*", "birth*", "b*"],
        ),
        "name": (["NAME", "lab.results.name"], ["*.*", "lab.results.*", "lab.results.n*", "*name*", "n?me", "[n]ame"]),
        "ward_id": (["ward_id", "ward_*", "*rd_id"], ["*_id", "*d", "wards_id"]),
    }
    for name, (clearing, useless) in places.items():
        one = table("results", column(name, "text"), schema="lab")
        for pattern in clearing + useless:
            config = settings(not_identifying=[pattern])
            scope = pack.tables.chosen([one], config)
            (found,) = scope.tables[0].columns
            shown = pack.levels.of_column(one, found, measured(found, values), counted(values), config)
            assert bool(shown) is (pattern in clearing), (name, pattern)
            overruled = any("overrules it: lab.results." in warning for warning in scope.warnings)
            assert overruled is (pattern not in clearing and pattern != "wards_id"), (name, pattern)
    for more in ({"key_constraint": "unique"}, {"foreign": True}):
        one = table("results", column("ward", "text", **more), schema="lab")
        (found,) = pack.tables.chosen([one], settings(not_identifying=["ward"])).tables[0].columns
        shown = pack.levels.of_column(one, found, measured(found, values), counted(values), settings())
        assert bool(shown) is ("foreign" in more)


def test_levels_of_keys_and_foreign_keys_are_not_stored_but_codes_are() -> None:
    """A vocabulary's code says what, not who, even where it points at the vocabulary."""
    values = ["x"] * 9 + ["y"] * 9
    for key in ("primary", "unique", "referenced"):
        assert not levels(column("ward_code", "text", key_constraint=key), values)
    assert not levels(column("ward", "text", foreign=True), values)
    assert levels(column("gender_concept_id", "text", foreign=True), values)


def test_excluded_free_and_unstorable_texts_are_not_stored() -> None:
    """What is no text for PostgreSQL counts among the hidden levels."""
    values = ["x"] * 9 + ["y"] * 9
    for pattern in ("MODÉ", "results.mod?", "Lab.Results.mode", "*"):
        expected = {} if pattern != "results.mod?" else {"x": 9, "y": 9}
        assert levels(column("mode", "text"), values, exclude_levels=[pattern]) == expected
    one = column("mode", "text")
    free = {"is_categorical": True, "value_counts": 18, "levels_count": 2}
    assert pack.levels.of_column(table("t", one), one, free, lambda: None, settings()) == {}
    assert levels(one, ["a\0"] * 9 + ["b\ufffd"] * 8 + ["c"] * 20) == {"c": 20}
    assert levels(one, ["a\0"] * 9 + ["c"] * 20) == {}
    assert levels(one, ["a\0"] * 9 + ["c"] * 20, min_count=1) == {"c": 20}


def test_frequencies_are_asked_for_categories_only() -> None:
    """To list thousands of levels that nobody stores takes time."""

    def asked() -> dict[str, int]:
        raise AssertionError

    one = column("weight", "float")
    values = {"is_categorical": False, "value_counts": 100, "levels_count": 100}
    assert pack.levels.of_column(table("t", one), one, values, asked, settings()) == {}


@given(frequencies=FREQUENCIES, min_count=st.integers(1, 10))
def test_what_is_hidden_is_several_levels_with_enough_values(frequencies: list[int], min_count: int) -> None:
    """The law of suppression, for any frequencies; and where nothing is rare, nothing is hidden."""
    every = {f"level {i}": n for i, n in enumerate(frequencies)}
    shown = pack.levels.shown_levels(every, min_count)
    hidden = [n for level, n in every.items() if level not in shown]
    assert shown == {level: n for level, n in every.items() if n > max(hidden, default=0)}
    if shown and hidden:
        assert len(hidden) >= (2 if len(every) < 10 else 5)
        assert sum(hidden) >= min_count <= min(shown.values())
        assert len(set(hidden)) > 1
    assert bool(hidden) is any(n < min_count for n in frequencies)


@pytest.mark.parametrize("min_count", [2, 3, 5])
def test_nobody_can_compute_the_frequency_of_a_hidden_level(min_count: int) -> None:
    """Every way to divide up to 13 values among four labels. Ways of which the same is known (labels, stored levels,
    number of values, highest frequencies) differ in each hidden level.

    Not where nothing is stored and all levels are alike: there, numbers of values and levels tell.
    """
    alike: dict[Any, list[tuple[int, ...]]] = defaultdict(list)
    for counts in product(range(14), repeat=4):
        if sum(counts) > 13:
            continue
        every = {label: n for label, n in zip("abcd", counts, strict=True) if n}
        stored = pack.levels.shown_levels(every, min_count)
        if stored or len(set(every.values())) > 1:
            known = sum(counts), tuple(every), tuple(sorted(stored.items())), tuple(sorted(counts)[1:])
            alike[known].append(counts)
    for (_, labels, stored, _), ways in alike.items():
        for label, possible in zip("abcd", zip(*ways, strict=True), strict=True):
            if label in labels and label not in dict(stored):
                assert len(set(possible)) > 1, ways
