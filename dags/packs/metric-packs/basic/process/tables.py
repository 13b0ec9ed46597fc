"""What an endpoint holds: its tables and their columns, as the dialects describe them."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

# The kinds of columns, which are the values of infered_data_type.
INTEGER, FLOAT, TEXT = "integer", "float", "text"
DATE, DATETIME, TIME, BOOLEAN, OTHER = "date", "datetime", "time", "boolean", "other"
NUMBERS = frozenset({INTEGER, FLOAT})
DATES = frozenset({DATE, DATETIME})

# Names of columns that identify something, without regard to case and accents.
IDENTIFIER_NAMES = ("id", "*_id", "id_*", "*_key", "key", "uuid", "*_uuid", "guid", "number", "*_number", "mrn", "ssn")
CODE_NAMES = ("code", "*_code")
# A concept_id says what was observed, not who was: a code of a vocabulary.
CONCEPT_NAMES = ("concept_id", "*_concept_id")
# Persons, in English and French. Not *_name: drug_name, concept_name and ward_name say what, not who.
PERSONAL_NAMES = (
    *("name", "*patient*name*", "*person*name*", "*full_name*", "*fullname*", "*first_name*", "*firstname*"),
    *("*last_name*", "*lastname*", "*surname*", "*forename*", "*middle_name*", "*middlename*", "*given_name*"),
    *("*givenname*", "*family_name*", "*familyname*", "*maiden_name*", "*maidenname*"),
    *("nom", "nom_*", "*prenom*", "*patient*nom*", "*nom_usuel*", "*nom_usage*", "*nom_famille*", "*nomfamille*"),
    *("*address*", "*adresse*", "street*", "*postcode*", "*postal*", "zip*", "*_zip", "*zipcode*", "*zip_code*"),
    *("*phone*", "tel", "tel_*", "*_tel", "mobile", "*email*", "mail", "*_mail", "*courriel*"),
    *("*birth*", "dob", "*_dob", "*naissance*", "ddn", "*_ddn"),
    *("ipp", "*_ipp", "ipp_*", "iep", "*_iep", "iep_*", "nir", "*_nir", "nir_*", "nip", "*_nip", "nip_*"),
    *("ins", "*_ins", "nss", "*_nss", "*_mrn", "*_ssn", "num_secu*", "numero_secu*"),
)

MOST_CODE_CHARACTERS = 64  # longer texts are no codes, even when unique and without blanks
MOST_LEVEL_CHARACTERS = 50  # longer texts are free text
MOST_LEVEL_BLANKS = 4


@dataclass(frozen=True)
class Column:
    """One column, as declared."""

    name: str
    data_type: str  # the database's own spelling, e.g. numeric(10,2)
    kind: str
    base: str  # the engine's type below it, without lengths and domains, e.g. numeric
    key_constraint: str = ""  # primary, unique or referenced, when a constraint of this column alone says so
    foreign: bool = False  # it points at another table


@dataclass(frozen=True)
class Table:
    """One table or view."""

    schema: str  # "" where the engine has none
    name: str
    label: str  # as stored: the plain name in the default schema, else schema.table
    columns: tuple[Column, ...]

    def with_kinds(self, kinds: dict[str, str]) -> Table:
        """The same table, with what its values say about the kinds of some columns."""
        return replace(self, columns=tuple(replace(c, kind=kinds.get(c.name, c.kind)) for c in self.columns))


def chosen(tables: list[Table], schemas: tuple[str, ...], exclude: tuple[str, ...]) -> list[Table]:
    """The tables that the configuration leaves: of these schemas (none given: all), not of these patterns."""
    return [
        table
        for table in tables
        if (not schemas or not table.schema or table.schema in schemas)
        and not any(fnmatchcase(table.label, pattern) for pattern in exclude)
    ]


def is_identifier_like(column: Column) -> bool:
    """Whether the column's name promises a value that is there once: id, *_id, *_key, code, uuid, ..."""
    return _named(column, IDENTIFIER_NAMES + CODE_NAMES)


def is_private(column: Column) -> bool:
    """Whether the column points at persons or things, or describes a person: its levels are not for storing."""
    if _named(column, PERSONAL_NAMES) or column.key_constraint:
        return True
    if _named(column, CONCEPT_NAMES + CODE_NAMES):
        return False
    return column.foreign or _named(column, IDENTIFIER_NAMES)


def has_excluded_levels(table: Table, column: Column, exclude: tuple[str, ...]) -> bool:
    """Whether a pattern of the configuration names the column, or table.column with the table's name as stored."""
    name = _plain(column.name)
    names = (name, f"{_plain(table.label)}.{name}")
    return any(fnmatchcase(one, _plain(pattern)) for one in names for pattern in exclude)


def _named(column: Column, patterns: tuple[str, ...]) -> bool:
    name = _plain(column.name)
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _plain(name: str) -> str:
    """The name in lower case without accents: PRÉNOM is prenom."""
    return "".join(char for char in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(char))
