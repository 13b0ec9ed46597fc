"""The rights of the packs' role on the HDM base: what is its due, what it has beyond that, and what it lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hdm_airflow.base.migrate import VERSION_TABLE
from hdm_airflow.base.queries import queries

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.base.role.search_path import Place

#: What packs read: endpoints, activation, configuration, ledger.
READ = (
    "hdm_core_dblist",
    "hdm_core_table_corr_db_mp",
    "hdm_core_table_corr_db_rp",
    "hdm_pack_metric_conf",
    "hdm_pack_rule_conf",
    "hdm_endpoint",
    "hdm_activation",
    "hdm_configuration",
    "hdm_pack_run",
)
#: Of their scripts they keep the record themselves, in the script's transaction.
APPEND = ("hdm_pack_schema",)
WRITE = ("hdm_alerts",)
#: Nothing at all.
HIDDEN = ("hdm_audit", VERSION_TABLE)
TABLES = (*READ, *APPEND, *WRITE, *HIDDEN)
DUE = (
    (READ, ("SELECT",)),
    (APPEND, ("SELECT", "INSERT")),
    (WRITE, ("SELECT", "INSERT", "UPDATE", "DELETE")),
)


def powers(base: BaseConnection, place: Place, role: str) -> list[str]:
    """What no grant can outweigh, as words that follow the role's name. Call it, as all of these, within `looking`."""
    return column(base, "powers", values(place, role))


def excess(base: BaseConnection, place: Place, role: str) -> list[str]:
    """Rights on the base beyond what packs need; [] is as it should be."""
    return column(base, "excess", values(place, role))


def lacking(base: BaseConnection, place: Place, role: str) -> list[str]:
    """What a role lacks of what packs need."""
    return column(base, "lacking", values(place, role))


def granted(base: BaseConnection, place: Place, role: str) -> list[str]:
    """What was granted to a role itself, for the audit trail."""
    return column(base, "rights", values(place, role))


def settings(base: BaseConnection, role: str) -> list[str]:
    """Settings that sessions of a role begin with, other than its search path: each may stop packs, or change them."""
    return column(base, "settings", {"role": role})


def hidden(base: BaseConnection, place: Place, role: str) -> list[str]:
    """Tables of the base that packs do not find, since they have made tables of their own under these names."""
    return column(base, "hidden", values(place, role))


def astray(base: BaseConnection, packs: BaseConnection, place: Place, role: str) -> str:
    """Why packs do not find their tables or the base's, as words that follow `packs`; "" where they do.

    Tables that they have made under the same names are left to `hidden`.

    Args:
        base: a connection of the base's owner.
        packs: a session of the role as packs get it.
        place: of the base.
        role: its name.
    """
    asked = {"schema": place.schema, "tables": [*READ, *APPEND, *WRITE]}
    row = packs.execute(queries("role_rights")["path"], asked).fetchone()
    assert row is not None, "it always answers"  # noqa: S101
    looked = f"they look in {', '.join(row['searched']) or 'none'}"
    if row["searched"][:1] != [role]:
        return f"do not make their tables in the schema {role}: {looked}"
    missed = set(row["missed"]) - set(hidden(base, place, role))
    if place.schema not in row["searched"]:
        return f"do not find the base in the schema {place.schema}: {looked}"
    if missed:
        return f"do not find {', '.join(sorted(missed))} in the schema {place.schema}: {looked}"
    return ""


def whoami(base: BaseConnection) -> tuple[str, str]:
    """The role of a connection, and its database."""
    row = base.execute(queries("role_rights")["whoami"]).fetchone()
    assert row is not None, "it always answers"  # noqa: S101
    return row["role"], row["database"]


def values(place: Place, role: str) -> dict[str, Any]:
    """What the queries ask for."""
    due = [(name, privilege) for names, privileges in DUE for name in names for privilege in privileges]
    return {
        "schema": place.schema,
        "schemas": place.schemas,
        "role": role,
        "tables": list(TABLES),
        "due_tables": [name for name, _ in due],
        "due_privileges": [privilege for _, privilege in due],
    }


def column(base: BaseConnection, name: str, values: dict[str, Any], *, noun: str = "role_rights") -> list[str]:
    """The last column of a query's rows."""
    return [list(row.values())[-1] for row in base.execute(queries(noun)[name], values)]
