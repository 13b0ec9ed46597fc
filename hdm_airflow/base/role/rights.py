"""The rights of the packs' role on the HDM base: those it needs, those in excess, and those it lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hdm_airflow.base.migrate import VERSION_TABLE
from hdm_airflow.base.queries import queries

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.base.role.grantee import Grantee

#: Packs read endpoints, activation, configuration, the ledger and incidents.
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
    "hdm_whole",
    "hdm_incident",
    "hdm_incident_event",
    "hdm_incident_count",
)
#: Packs record their scripts themselves, in the script's transaction.
APPEND = ("hdm_pack_schema",)
WRITE = ("hdm_alerts", "hdm_not_judged")
#: Packs have no rights on these.
DENIED = (
    "hdm_pack",
    "hdm_pack_state",
    "hdm_audit",
    "hdm_core_mail_list",
    "hdm_mail_allowed",
    "hdm_digest",
    "hdm_told",
    "hdm_message",
    "hdm_message_recipient",
    VERSION_TABLE,
)
TABLES = (*READ, *APPEND, *WRITE, *DENIED)
#: (table, privilege) of all that packs need.
_NEEDED = [
    *((table, "SELECT") for table in (*READ, *APPEND, *WRITE)),
    *((table, "INSERT") for table in (*APPEND, *WRITE)),
    *((table, privilege) for table in WRITE for privilege in ("UPDATE", "DELETE")),
]


def powers(grantee: Grantee) -> list[str]:
    """What makes the role too powerful whatever is granted or revoked, as phrases that follow its name."""
    return grantee.column("role_rights", "powers", tables=list(TABLES))


def excess(grantee: Grantee) -> list[str]:
    """Rights on the base beyond those that packs need."""
    return grantee.column("role_rights", "excess", tables=list(TABLES), **_needed())


def lacking(grantee: Grantee) -> list[str]:
    """Rights that packs need and the role lacks."""
    return grantee.column("role_rights", "lacking", **_needed())


def granted(grantee: Grantee) -> list[str]:
    """Rights granted to the role itself, for the audit trail."""
    return grantee.column("role_rights", "granted")


def grantees(owner: Grantee) -> list[str]:
    """Roles that have the packs' rights on the base.

    Args:
        owner: the base's owner.
    """
    return owner.column("role_rights", "grantees")


def settings(grantee: Grantee) -> list[str]:
    """Settings with which the role's sessions begin, other than the search path: each may stop or change packs."""
    return grantee.column("role_rights", "settings")


def shadowed(grantee: Grantee) -> list[str]:
    """Tables of the base that packs do not find, because a table of their own has the same name."""
    return grantee.column("role_rights", "shadowed", tables=list(TABLES))


def path_fault(grantee: Grantee, packs: BaseConnection) -> str:
    """Say why packs do not find their tables or the base's, in words that follow `packs`; "" if they find them.

    Tables that are `shadowed` do not count.

    Args:
        grantee: the role.
        packs: a session of the role, as packs get it.
    """
    asked = {"schema": grantee.schema.name, "tables": [*READ, *APPEND, *WRITE]}
    row = packs.execute(queries("role_rights")["pack_search_path"], asked).fetchone()
    assert row is not None  # noqa: S101  # the query always returns a row
    looked = f"their search path is {', '.join(row['searched']) or 'empty'}"
    if row["searched"][:1] != [grantee.role]:
        return f"do not create their tables in the schema {grantee.role}: {looked}"
    missed = set(row["missed"]) - set(shadowed(grantee))
    if grantee.schema.name not in row["searched"]:
        return f"do not find the base in the schema {grantee.schema.name}: {looked}"
    if missed:
        return f"do not find {', '.join(sorted(missed))} in the schema {grantee.schema.name}: {looked}"
    return ""


def whoami(base: BaseConnection) -> tuple[str, str]:
    """The role of a connection, and its database."""
    row = base.execute(queries("role_rights")["whoami"]).fetchone()
    assert row is not None  # noqa: S101  # the query always returns a row
    return row["role"], row["database"]


def _needed() -> dict[str, list[str]]:
    tables, privileges = zip(*_NEEDED, strict=True)
    return {"needed_tables": list(tables), "needed_privileges": list(privileges)}
