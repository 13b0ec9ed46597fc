"""What a column's name suggests: persons, births, identifiers, codes.

Columns are recognized only by their names, ignoring case and accents, never by their values.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from patterns import plain_name, plain_patterns

if TYPE_CHECKING:
    from tables import Column

# Columns that identify something.
IDENTIFIER_NAMES = ("id", "*_id", "id_*", "*_key", "key", "uuid", "*_uuid", "guid", "number", "*_number", "mrn", "ssn")
CODE_NAMES = ("code", "*_code")
# A concept_id is a code of a vocabulary: it says what was observed, not on whom.
CONCEPT_NAMES = ("concept_id", "*_concept_id")
# Persons, in English and French. Not *_name: drug_name, concept_name and ward_name are not about persons.
BIRTH_NAMES = ("*birth*", "dob", "*_dob", "*naissance*", "ddn", "*_ddn")
PERSONAL_NAMES = (
    *("name", "*patient*name*", "*person*name*", "*full_name*", "*fullname*", "*first_name*", "*firstname*"),
    *("*last_name*", "*lastname*", "*surname*", "*forename*", "*middle_name*", "*middlename*", "*given_name*"),
    *("*givenname*", "*family_name*", "*familyname*", "*maiden_name*", "*maidenname*"),
    *("nom", "nom_*", "*prenom*", "*patient*nom*", "*nom_usuel*", "*nom_usage*", "*nom_famille*", "*nomfamille*"),
    *("*address*", "*adresse*", "street*", "*postcode*", "*postal*", "zip*", "*_zip", "*zipcode*", "*zip_code*"),
    *("*phone*", "tel", "tel_*", "*_tel", "mobile", "*email*", "mail", "*_mail", "*courriel*"),
    *BIRTH_NAMES,
    *("ipp", "*_ipp", "ipp_*", "iep", "*_iep", "iep_*", "nir", "*_nir", "nir_*", "nip", "*_nip", "nip_*"),
    *("patient", "*patient*code*", "*patient*num*", "*num*patient", "no_patient", "*name*patient*", "*patientid"),
    *("pid", "*_pid", "matricule", "*_matricule"),
    *("ins", "*_ins", "nss", "*_nss", "mrn", "*_mrn", "ssn", "*_ssn", "num_secu*", "numero_secu*"),
)


_IDENTIFIERS, _CODES = plain_patterns(IDENTIFIER_NAMES + CODE_NAMES), plain_patterns(CONCEPT_NAMES + CODE_NAMES)
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_PERSONS, _BIRTHS = plain_patterns(PERSONAL_NAMES), plain_patterns(BIRTH_NAMES)


class _Traits(NamedTuple):
    identifier: bool
    code: bool
    person: bool
    birth: bool


@lru_cache(maxsize=100_000)
def _traits_of(name: str) -> _Traits:
    names = (plain_name(name), plain_name(_HUMP.sub("_", name)))  # PatientId is also read as patient_id
    return _Traits(*(one.match(*names) for one in (_IDENTIFIERS, _CODES, _PERSONS, _BIRTHS)))


def is_identifier_like(column: Column) -> bool:
    """Whether the name suggests unique values: id, *_id, *_key, code, uuid, ..."""
    return _traits_of(column.name).identifier


def is_personal(column: Column) -> bool:
    """Whether the name suggests that the values describe a person: names, addresses, births, patients' numbers."""
    return _traits_of(column.name).person


def is_birth(column: Column) -> bool:
    """Whether the name suggests data about births."""
    return _traits_of(column.name).birth


def is_private(column: Column) -> bool:
    """Whether the column describes a person, or identifies persons or things: its levels must not be stored.

    Codes of a vocabulary are not private unless they have a key constraint: they say what was observed, not on whom.
    """
    traits = _traits_of(column.name)
    return traits.person or bool(column.key_constraint) or (not traits.code and (column.foreign or traits.identifier))
