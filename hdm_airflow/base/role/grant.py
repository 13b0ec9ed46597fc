"""The packs' own role on the HDM base: how it gets its rights, its schema, and the tables that packs have made.

The role works in a schema of its own name. It may create nothing in the base's schema, nor in any other in which the
owner's sessions look: a function planted there could be taken for PostgreSQL's own by the owner's next statement
(CVE-2018-1058).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hdm_airflow.base import audit
from hdm_airflow.base.queries import queries
from hdm_airflow.base.role import foreign_code, rights
from hdm_airflow.base.role.foreign_code import Planted
from hdm_airflow.base.role.rights import APPEND, READ, TABLES, WRITE, column, values
from hdm_airflow.base.role.search_path import Place, looking
from hdm_airflow.errors import ConfigurationError, HdmBaseError

if TYPE_CHECKING:
    from psycopg.sql import Composed
    from typing_extensions import LiteralString

    from hdm_airflow.base.hook import BaseConnection

_ORDINARY = {"r", "p", "v"}  # pg_class.relkind of tables, partitioned ones and views included


@dataclass(frozen=True, kw_only=True)
class Granted:
    """What a grant has done."""

    schema: str  # where the base's tables are
    changed: bool
    moved: tuple[str, ...]  # tables that now belong to the packs
    left: tuple[str, ...]  # tables in the base's schema that are neither ours nor were named
    planted: tuple[Planted, ...]  # what packs may have left behind while they were the owner


def grant(base: BaseConnection, role: str, *, move: Sequence[str] = (), actor: str) -> Granted:
    """Give a role what packs need, and take from it what they must not have; all of it, or nothing.

    Args:
        base: a connection of the base's owner.
        role: it exists, and may log in.
        move: tables that packs have made as the owner, to hand over with their rows.
        actor: for the audit trail.

    Raises:
        ConfigurationError: there is no such role, it is too mighty, or a table cannot be handed over.
        HdmBaseError: the base refuses, it holds code of others, or the role would keep rights it must not have.
    """
    with looking(base) as place:
        base.execute(queries("role_grant")["limits"])
        base.execute(queries("role_grant")["lock"])
        _check_role(base, place, role)
        found = foreign_code.find(base, place, role)
        foreign_code.refuse(found)
        before = rights.granted(base, place, role)
        _make_schema(base, place, role)
        _grant_tables(base, place, role)
        moved = tuple(name for name in move if _move(base, place, role, name, found))
        _set_search_path(base, place, role)
        _check_result(base, place, role)
        after = rights.granted(base, place, role)
        left = tuple(one["name"] for one in _relations(base, place, role) if one["schema"] == place.schema)
        changed = before != after or bool(moved)
        if changed:
            old, new = {"rights": before}, {"rights": after, "moved": list(moved)}
            base.execute(queries("search_path")["base_names"], {"schema": place.schema})
            audit.record(base, actor, "grant", f"role {role}", old, new)
        return Granted(
            schema=place.schema,
            changed=changed,
            moved=moved,
            left=tuple(name for name in left if name not in TABLES),
            planted=tuple(foreign_code.left_by_packs(found)),
        )


# The steps of a grant --------------------------------------------------------------------------------------------


def _check_role(base: BaseConnection, place: Place, role: str) -> None:
    found = base.execute(queries("role_grant")["role"], {"role": role}).fetchone()
    quoted = _text(base, "{}", role)
    if found is None:
        hint = f"let an administrator run: CREATE ROLE {quoted} LOGIN; then set its password in psql: \\password {role}"
        raise ConfigurationError(f"there is no role {role!r}", "PostgreSQL server of the HDM base", hint)
    if not found["rolcanlogin"]:
        hint = f"let an administrator run: ALTER ROLE {quoted} LOGIN"
        raise ConfigurationError(f"the role {role!r} may not log in", "PostgreSQL server of the HDM base", hint)
    if role == place.schema:
        what = f"the role {role!r} has the name of the base's schema: packs would make their tables among the base's"
        raise ConfigurationError(what, f"schema {role}", "take a role of another name")
    if powers := rights.powers(base, place, role):
        what = f"the role {role!r} is too mighty for packs: it {'; it '.join(powers)}"
        hint = "make a role of their own: CREATE ROLE hdm_packs LOGIN"
        raise ConfigurationError(what, "PostgreSQL server of the HDM base", hint)


def _make_schema(base: BaseConnection, place: Place, role: str) -> None:
    """The owner keeps the schema, the role owns what it makes in it: nobody needs to be a member of anybody."""
    found = base.execute(queries("role_grant")["schema_owner"], {"role": role}).fetchone()
    if found is not None and found["owner"] not in {place.me, place.owner, role}:
        what = f"there is a schema {role!r} already, which belongs to {found['owner']!r}"
        raise ConfigurationError(what, f"database {place.database}", "rename it, or take a role of another name")
    if found is None:
        _run(base, "CREATE SCHEMA {}", role)
    if found is None or found["owner"] != role:
        _run(base, "GRANT USAGE, CREATE ON SCHEMA {} TO {}", role, role)


def _grant_tables(base: BaseConnection, place: Place, role: str) -> None:
    schema, database = place.schema, place.database
    for name in _column(base, "open", values(place, role)):
        _run(base, "REVOKE CREATE ON SCHEMA {} FROM PUBLIC", name)
    for name in set(place.searched) - {schema, role}:
        _run(base, "REVOKE CREATE ON SCHEMA {} FROM {}", name, role)
    _run(base, "REVOKE ALL ON SCHEMA {} FROM {}", schema, role)
    _run(base, "GRANT USAGE ON SCHEMA {} TO {}", schema, role)
    _run(base, "REVOKE CREATE ON DATABASE {} FROM {}", database, role)
    _run(base, "GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}", database, role)
    for name in TABLES:
        _run(base, "REVOKE ALL ON {}.{} FROM {}", schema, name, role)
    for names, statement in (
        (READ, "GRANT SELECT ON {}.{} TO {}"),
        (APPEND, "GRANT SELECT, INSERT ON {}.{} TO {}"),
        (WRITE, "GRANT SELECT, INSERT, UPDATE, DELETE ON {}.{} TO {}"),
    ):
        for name in names:
            _run(base, statement, schema, name, role)
    for name in _column(base, "sequences", values(place, role)):
        _run(base, "REVOKE ALL ON SEQUENCE {}.{} FROM {}", schema, name, role)


def _move(base: BaseConnection, place: Place, role: str, name: str, tied: Sequence[Planted]) -> bool:
    """Hand one table over, with its rows, indexes and sequences; False where that was done before."""
    where = f"--move {name}"
    if name in TABLES:
        raise ConfigurationError(f"{name!r} is a table of the base itself", where, "name tables of packs only")
    found = {(one["schema"], one["name"]): one for one in _relations(base, place, role)}
    old, new = found.get((place.schema, name)), found.get((role, name))
    if old is None and new is not None and new["owner"] == role:
        return False
    if old is None and new is None:
        raise ConfigurationError(f"there is no table {name!r} in schema {place.schema}", where, "correct the name")
    if old is not None and new is not None:
        what = f"there is a table {name!r} in schema {role}, too: the packs have made it anew"
        raise ConfigurationError(what, where, "see which has the rows that you want, and rename the other")
    if (old or new or {})["kind"] not in _ORDINARY:
        raise ConfigurationError(f"{name!r} is no table or view", where, "make it anew in the packs' schema")
    for one in tied:
        if old is not None and (one.schema, one.name) == (place.schema, name):
            what = f"{name!r} is tied to the base ({one.what}): packs could have code run by the base's owner"
            raise ConfigurationError(what, where, f"run first: {one.remedy}")
    _check_hand_over(base, place, role)
    if old is not None:
        _run(base, "ALTER TABLE {}.{} SET SCHEMA {}", place.schema, name, role)
    _run(base, "ALTER TABLE {}.{} OWNER TO {}", role, name, role)
    return True


def _check_hand_over(base: BaseConnection, place: Place, role: str) -> None:
    row = base.execute(queries("role_grant")["is_member"], {"role": role}).fetchone()
    if row is None or not row["member"]:
        what = f"only a member of {role!r} may hand a table over to it"
        hint = f"let an administrator run: {_text(base, 'GRANT {} TO {}', role, place.me)}"
        raise ConfigurationError(what, "PostgreSQL server of the HDM base", hint)


def _set_search_path(base: BaseConnection, place: Place, role: str) -> None:
    """New tables go into the packs' schema; the base's are found behind it."""
    from psycopg.errors import InsufficientPrivilege

    statement = "ALTER ROLE {} IN DATABASE {} SET search_path = {}, {}"
    names = (role, place.database, role, place.schema)
    try:
        with base.transaction():  # a savepoint: only a superuser, or who made the role, may do this
            _run(base, statement, *names)
    except InsufficientPrivilege:
        path = base.execute(queries("role_grant")["default_path"], values(place, role)).fetchone()
        assert path is not None, "it always answers"  # noqa: S101
        finds_both = place.schema == "public" and path["usual"] == '"$user", public'
        set_before = path["wanted"] in rights.granted(base, place, role)
        if not finds_both and not set_before:
            what = f"only an administrator may tell where the role {role!r} makes its tables"
            hint = f"let one run: {_text(base, statement, *names)}; then repeat this"
            raise ConfigurationError(what, "PostgreSQL server of the HDM base", hint) from None


def _check_result(base: BaseConnection, place: Place, role: str) -> None:
    """A GRANT or REVOKE that we have no right to is a mere warning in PostgreSQL."""
    left, missing = rights.excess(base, place, role), rights.lacking(base, place, role)
    if left:
        raise HdmBaseError(
            f"the role {role!r} would still have: {', '.join(left)}", "HDM base", _hint(base, place, role)
        )
    if missing:
        what = f"the role {role!r} would still lack: {', '.join(missing)}"
        raise HdmBaseError(what, "HDM base", "use the connection of the database's owner")


def _hint(base: BaseConnection, place: Place, role: str) -> str:
    if role in place.searched:
        others = ", ".join(_text(base, "{}", name) for name in place.searched if name != role)
        hint = f"whoever works as {place.me!r} must not look into the packs' schema: take it out of the search_path"
        return f"{hint} of the role, the database or the connection, so that it is: {others}"
    opened = _column(base, "open", values(place, role))
    if opened:
        revoked = "; ".join(_text(base, "REVOKE CREATE ON SCHEMA {} FROM PUBLIC", name) for name in opened)
        return f"let an administrator run: {revoked}"
    return "take these from PUBLIC and from the roles that it is a member of"


# What they share -------------------------------------------------------------------------------------------------


def _relations(base: BaseConnection, place: Place, role: str) -> list[dict[str, Any]]:
    return base.execute(queries("role_grant")["relations"], {"schema": place.schema, "role": role}).fetchall()


def _column(base: BaseConnection, name: str, values: dict[str, Any]) -> list[str]:
    return column(base, name, values, noun="role_grant")


def _composed(statement: LiteralString, names: Sequence[str]) -> Composed:
    from psycopg.sql import SQL, Identifier

    return SQL(statement).format(*map(Identifier, names))


def _run(base: BaseConnection, statement: LiteralString, *names: str) -> None:
    base.execute(_composed(statement, names))


def _text(base: BaseConnection, statement: LiteralString, *names: str) -> str:
    """A statement for an administrator to copy."""
    return _composed(statement, names).as_string(base)
