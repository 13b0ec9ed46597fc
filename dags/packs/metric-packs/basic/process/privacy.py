"""What a column's name suggests: persons, births, identifiers, codes.

Columns are recognized only by their names, ignoring case and accents, never by their values.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from patterns import HUMP, Specificity, plain_name, plain_patterns

if TYPE_CHECKING:
    from tables import Column

# Columns that identify something.
IDENTIFIER_NAMES = ("id", "*_id", "id_*", "*_key", "key", "uuid", "*_uuid", "guid", "number", "*_number", "mrn", "ssn")
CODE_NAMES = ("code", "*_code")
# A concept_id is a code of a vocabulary: it says what was observed, not on whom.
CONCEPT_NAMES = ("concept_id", "*_concept_id")
# Persons, in English and French. Not *_name: drug_name, concept_name and ward_name are not about persons.
BIRTH_NAMES = ("*birth*", "dob", "dob_*", "*_dob", "yob", "*_yob", "*naissance*", "ddn", "ddn_*", "*_ddn")
PERSONAL_NAMES = (
    *("name", "*patient*name*", "*person*name*", "*full_name*", "*fullname*", "*first_name*", "*firstname*"),
    *("*last_name*", "*lastname*", "*surname*", "*forename*", "*middle_name*", "*middlename*", "*given_name*"),
    *("*givenname*", "*family_name*", "*familyname*", "*maiden_name*", "*maidenname*"),
    *("nom", "nom_*", "*prenom*", "*patient*nom*", "*nom_usuel*", "*nom_usage*", "*nom_famille*", "*nomfamille*"),
    *("*address*", "*adresse*", "street*", "*postcode*", "*postal*", "zip*", "*_zip", "*zipcode*", "*zip_code*"),
    *("*phone*", "tel", "tel_*", "*_tel", "mobile", "*email*", "mail", "*_mail", "*courriel*"),
    *("ipp", "*_ipp", "ipp_*", "iep", "*_iep", "iep_*", "nir", "*_nir", "nir_*", "nip", "*_nip", "nip_*"),
    *("patient", "*patient*code*", "*patient*num*", "*num*patient", "no_patient", "*name*patient*", "*patientid"),
    *("pid", "*_pid", "matricule", "*_matricule"),
    *("ins", "*_ins", "nss", "*_nss", "mrn", "*_mrn", "ssn", "*_ssn", "num_secu*", "numero_secu*"),
)

# Births, but what happened at them, not when, where, or under which name.
BIRTH_EVENTS = (
    *("still_?birth", "live_?birth", "childbirth", "after_?birth", "birthing", "births($|_)", "term_?birth"),
    "(premature|multiple|singleton|twin|vaginal|cesarean|caesarean|home|water)_?birth",
    *(
        r"(weight|length|height|head|circumference|apgar|gestation|sex|gender)\w*birth",
        "type_of_birth",
        "mode_of_birth",
    ),
    "birth_?(weight|wt|length|height|head|circumference|sex|gender|control|order|rank|type|mode|method|outcome|status)",
    "birth_?(defect|anomal|injur|trauma|asphyxia|complication|plan|rate|count|position|presentation|mark|canal|attendant)",
    *("birth_?(spacing|interval)", "(^|_)(nb|num|n|total|number_of)_birth", "age_(at_)?birth"),
    *(r"(poids|taille|perimetre|terme|rang|ordre|sexe|apgar|mode|type)\w*naissance", "naissances($|_)"),
    "naissance_?(vivante|multiple|premature)",
)
_EVENT_DETAILS = (
    *(
        "date",
        "day",
        "year",
        "month",
        "time",
        "stamp",
        "name",
        "place",
        "city",
        "town",
        "count(r)?y",
        "state",
        "region",
    ),
    *("address", "postal", "zip", "certificate", "dttm", "(^|_)dat(_|$)", "(^|_)dt", "dt(_|$)", "_ts(_|$)"),
    *("annee", "mois", "jour", "heure", "lieu", "ville", "commune", "pays", "departement", "(^|_)nom(_|$)", "adresse"),
)
_UNRELATED = re.compile("(re)?connaissance|renaissance|rebirth")  # words that only contain those of births

_IDENTIFIERS, _CODES = plain_patterns(IDENTIFIER_NAMES + CODE_NAMES), plain_patterns(CONCEPT_NAMES + CODE_NAMES)
_PERSONS, _BIRTHS = plain_patterns(PERSONAL_NAMES), plain_patterns(BIRTH_NAMES)
_EVENTS, _DETAILS = (re.compile("|".join(words)) for words in (BIRTH_EVENTS, _EVENT_DETAILS))


class _Traits(NamedTuple):
    identifier: bool
    code: bool
    person: bool
    birth: bool
    event: bool  # a birth's, without its date: only columns of dates are private
    suggested_by: Specificity  # the most specific pattern that makes the column private


@lru_cache(maxsize=100_000)
def _traits_of(name: str) -> _Traits:
    names = (plain_name(name), plain_name(HUMP.sub("_", name)))  # PatientId is also read as patient_id
    related = tuple(_UNRELATED.sub("", one) for one in names)
    patterns = ((_IDENTIFIERS, names), (_PERSONS, names), (_BIRTHS, related))
    found = [one.specificity(*of) for one, of in patterns]
    birth = found[2] is not None
    return _Traits(
        identifier=found[0] is not None,
        code=_CODES.match(*names),
        person=found[1] is not None,
        birth=birth,
        event=birth and any(map(_EVENTS.search, related)) and not any(map(_DETAILS.search, related)),
        suggested_by=max(filter(None, found), default=Specificity()),
    )


def is_identifier_like(column: Column) -> bool:
    """Whether the name suggests unique values: id, *_id, *_key, code, uuid, ..."""
    return _traits_of(column.name).identifier


def is_code(column: Column) -> bool:
    """Whether the name suggests codes of a vocabulary: code, *_code, *_concept_id."""
    return _traits_of(column.name).code


def is_personal(column: Column) -> bool:
    """Whether the name suggests that the values describe a person: names, addresses, births, patients' numbers."""
    traits = _traits_of(column.name)
    return (traits.person and not column.not_identifying) or (traits.birth and is_birth(column))


def is_birth(column: Column) -> bool:
    """Whether the name suggests when or where persons were born. stillbirth and birth_weight do not, unless dates."""
    holds_dates = column.has_dates or column.may_be_births
    return concerns_births(column) and (not _traits_of(column.name).event or holds_dates)


def concerns_births(column: Column) -> bool:
    """Whether the name suggests births, or what happened at them: then large numbers may be dates."""
    return _traits_of(column.name).birth and not column.not_identifying


def is_private(column: Column) -> bool:
    """Whether the column describes a person, or identifies persons or things: its levels must not be stored.

    Codes of a vocabulary are not private unless they have a key constraint: they say what was observed, not on whom.
    """
    traits = _traits_of(column.name)
    names_things = not column.not_identifying and not traits.code and (column.foreign or traits.identifier)
    return bool(column.key_constraint) or is_personal(column) or names_things


def yields_to(pattern: Specificity, column: Column) -> bool:
    """Whether a pattern of `not_identifying` overrides what the column's name suggests.

    It names the column, or is more specific than the built-in pattern: `*` overrides nothing.
    """
    return pattern.is_exact or pattern > _traits_of(column.name).suggested_by
