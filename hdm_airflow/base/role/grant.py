"""Grant: the steps by which the packs' role gets its rights, its schema, and the tables that packs have made.

The role works in a schema of its own name. It may create nothing in the base's schema, nor in any other schema that the
owner's sessions search: the owner's next statement could take a function there for PostgreSQL's own (CVE-2018-1058).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hdm_airflow.base import audit
from hdm_airflow.base.queries import queries
from hdm_airflow.base.role import foreign_code, rights
from hdm_airflow.base.role.foreign_code import ForeignCode
from hdm_airflow.base.role.grantee import Grantee
from hdm_airflow.base.role.hand_over import hand_over, remaining_tables
from hdm_airflow.base.role.rights import APPEND, READ, TABLES, WRITE
from hdm_airflow.base.role.search_path import unambiguous_names
from hdm_airflow.errors import ConfigurationError, HdmBaseError, HdmError

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection

_SERVER = "PostgreSQL server of the HDM base"


@dataclass(frozen=True, kw_only=True)
class GrantResult:
    """What a grant has done."""

    schema: str  # that holds the base's tables
    changed: bool
    moved: tuple[str, ...]  # tables that now belong to the role
    remaining: tuple[str, ...]  # tables in the base's schema that are neither the base's own nor were named
    left_by_packs: tuple[ForeignCode, ...]  # what packs may have left when they ran as the owner


def grant_rights(base: BaseConnection, role: str, *, move: Sequence[str] = (), actor: str) -> GrantResult:
    """Give a role the rights that packs need and take away all others, in one transaction.

    Args:
        base: a connection of the base's owner.
        role: exists, and may log in.
        move: tables that packs have made as the owner, to hand over with their rows.
        actor: for the audit trail.

    Raises:
        ConfigurationError: if the role does not exist, is too powerful, or a table cannot be handed over.
        HdmBaseError: if the base refuses, holds code of others, or the role would keep rights that it must not have.
    """
    with unambiguous_names(base) as schema:
        grantee = Grantee(base=base, schema=schema, role=role)
        base.execute(queries("role_grant")["limits"])
        base.execute(queries("role_grant")["lock"])
        _check_role(grantee)
        found = foreign_code.find(grantee)
        foreign_code.refuse(found)
        before = rights.granted(grantee)
        _make_schema(grantee)
        _close_schemas(grantee)
        _grant_database(grantee)
        _grant_tables(grantee)
        moved = tuple(name for name in move if hand_over(grantee, name, found))
        _set_search_path(grantee)
        _check_result(grantee)
        remaining = tuple(remaining_tables(grantee))
        changed = _record(grantee, before, moved, actor)
        return GrantResult(
            schema=schema.name,
            changed=changed,
            moved=moved,
            remaining=remaining,
            left_by_packs=tuple(foreign_code.left_by_packs(found)),
        )


def repeat_grants(base: BaseConnection, *, actor: str) -> tuple[list[str], dict[str, HdmError]]:
    """Give the rights that packs need now to every role that has had them: a migration may have added tables.

    Args:
        base: a connection of the base's owner.
        actor: for the audit trail.

    Returns:
        The roles whose rights have changed, and role -> why its rights could not be repeated.
    """
    with unambiguous_names(base) as schema:
        roles = rights.grantees(Grantee(base=base, schema=schema, role=schema.owner))
    changed, refused = [], {}
    for role in roles:
        try:
            if grant_rights(base, role, actor=actor).changed:
                changed.append(role)
        except HdmError as error:
            refused[role] = error
    return changed, refused


def _check_role(grantee: Grantee) -> None:
    role, quoted = grantee.role, grantee.text("{}", grantee.role)
    found = grantee.rows("role_grant", "role")
    if not found:
        hint = f"have an administrator run: CREATE ROLE {quoted} LOGIN; then in psql: \\password {role}"
        raise ConfigurationError(f"there is no role {role!r}", _SERVER, hint)
    if not found[0]["can_log_in"]:
        hint = f"have an administrator run: ALTER ROLE {quoted} LOGIN"
        raise ConfigurationError(f"the role {role!r} cannot log in", _SERVER, hint)
    if role == grantee.schema.name:
        what = f"the role {role!r} has the name of the base's schema: packs would create their tables among the base's"
        raise ConfigurationError(what, f"schema {role}", "use a role with another name")
    if powers := rights.powers(grantee):
        what = f"the role {role!r} is too powerful for packs: it {'; it '.join(powers)}"
        raise ConfigurationError(what, _SERVER, "create a separate role: CREATE ROLE hdm_packs LOGIN")


def _make_schema(grantee: Grantee) -> None:
    """The owner keeps the schema, the role owns what it makes in it: neither needs to be a member of the other."""
    role, base_schema = grantee.role, grantee.schema
    owners = grantee.column("role_grant", "schema_owner")
    if owners and owners[0] not in {base_schema.user, base_schema.owner, role}:
        what = f"the schema {role!r} already exists and belongs to {owners[0]!r}"
        raise ConfigurationError(what, f"database {base_schema.database}", "rename it, or use a role with another name")
    if not owners:
        grantee.run("CREATE SCHEMA {}", role)
    if owners != [role]:
        grantee.run("GRANT USAGE, CREATE ON SCHEMA {} TO {}", role, role)


def _close_schemas(grantee: Grantee) -> None:
    """Let only the owner create anything in the schemas that the owner's sessions search."""
    schema, role = grantee.schema, grantee.role
    for name in grantee.column("role_grant", "open_schemas"):
        grantee.run("REVOKE CREATE ON SCHEMA {} FROM PUBLIC", name)
    for name in set(schema.searched) - {schema.name, role}:
        grantee.run("REVOKE CREATE ON SCHEMA {} FROM {}", name, role)
    grantee.run("REVOKE ALL ON SCHEMA {} FROM {}", schema.name, role)
    grantee.run("GRANT USAGE ON SCHEMA {} TO {}", schema.name, role)


def _grant_database(grantee: Grantee) -> None:
    grantee.run("REVOKE CREATE ON DATABASE {} FROM {}", grantee.schema.database, grantee.role)
    grantee.run("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}", grantee.schema.database, grantee.role)


def _grant_tables(grantee: Grantee) -> None:
    schema, role = grantee.schema.name, grantee.role
    for name in TABLES:
        grantee.run("REVOKE ALL ON {}.{} FROM {}", schema, name, role)
    for name in READ:
        grantee.run("GRANT SELECT ON {}.{} TO {}", schema, name, role)
    for name in APPEND:
        grantee.run("GRANT SELECT, INSERT ON {}.{} TO {}", schema, name, role)
    for name in WRITE:
        grantee.run("GRANT SELECT, INSERT, UPDATE, DELETE ON {}.{} TO {}", schema, name, role)
    for name in grantee.column("role_grant", "sequences", tables=list(TABLES)):
        grantee.run("REVOKE ALL ON SEQUENCE {}.{} FROM {}", schema, name, role)


def _set_search_path(grantee: Grantee) -> None:
    """New tables go into the packs' schema; the base's are found behind it."""
    from psycopg.errors import InsufficientPrivilege

    role, schema = grantee.role, grantee.schema
    statement = "ALTER ROLE {} IN DATABASE {} SET search_path = {}, {}"
    names = (role, schema.database, role, schema.name)
    try:
        with grantee.base.transaction():  # a savepoint: only a superuser, or who made the role, may do this
            grantee.run(statement, *names)
    except InsufficientPrivilege:
        (path,) = grantee.rows("role_grant", "default_path")
        finds_both = schema.name == "public" and path["usual"] == '"$user", public'
        set_before = path["wanted"] in rights.granted(grantee)
        if not finds_both and not set_before:
            what = f"only an administrator can set the search path of the role {role!r}"
            hint = f"have one run: {grantee.text(statement, *names)}; then repeat this command"
            raise ConfigurationError(what, _SERVER, hint) from None


def _check_result(grantee: Grantee) -> None:
    """PostgreSQL only warns of a GRANT or REVOKE to which the owner has no right."""
    if left := rights.excess(grantee):
        what = f"the role {grantee.role!r} would still have: {', '.join(left)}"
        raise HdmBaseError(what, "HDM base", _hint(grantee))
    if missing := rights.lacking(grantee):
        what = f"the role {grantee.role!r} would still lack: {', '.join(missing)}"
        raise HdmBaseError(what, "HDM base", "use the connection of the database's owner")


def _hint(grantee: Grantee) -> str:
    """Say how the role can lose the rights in excess."""
    schema = grantee.schema
    if grantee.role in schema.searched:
        others = ", ".join(grantee.text("{}", name) for name in schema.searched if name != grantee.role)
        hint = f"sessions of {schema.user!r} must not search the packs' schema: set the search_path of the role"
        return f"{hint}, the database or the connection to: {others}"
    if opened := grantee.column("role_grant", "open_schemas"):
        revoked = "; ".join(grantee.text("REVOKE CREATE ON SCHEMA {} FROM PUBLIC", name) for name in opened)
        return f"have an administrator run: {revoked}"
    return "revoke these from PUBLIC and from the roles that it is a member of"


def _record(grantee: Grantee, before: list[str], moved: tuple[str, ...], actor: str) -> bool:
    """Write the audit row and return True if anything has changed. The last step: afterwards, names are ambiguous."""
    after = rights.granted(grantee)
    changed = before != after or bool(moved)
    if changed:
        old, new = {"rights": before}, {"rights": after, "moved": list(moved)}
        grantee.base.execute(queries("search_path")["use_base_schema"], {"schema": grantee.schema.name})
        audit.record(grantee.base, actor, "grant", f"role {grantee.role}", old, new)
    return changed
