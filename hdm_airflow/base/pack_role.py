"""The packs' own role on the HDM base: what it may, what it must not, and where its tables are.

The role works in a schema of its own name. It may create nothing in the base's schema: a function planted there could
be taken for PostgreSQL's own by the owner's next statement (CVE-2018-1058).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hdm_airflow.base import audit
from hdm_airflow.base.migrate import VERSION_TABLE
from hdm_airflow.base.queries import queries
from hdm_airflow.errors import BaseError, ConfigurationError

if TYPE_CHECKING:
    from psycopg.sql import Composed
    from typing_extensions import LiteralString

    from hdm_airflow.base.hook import Base

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
_DUE = (
    (READ, ("SELECT",)),
    (APPEND, ("SELECT", "INSERT")),
    (WRITE, ("SELECT", "INSERT", "UPDATE", "DELETE")),
)
_ORDINARY = {"r", "p", "v"}  # pg_class.relkind of tables, partitioned ones and views included


@dataclass(frozen=True, kw_only=True)
class Granted:
    """What a grant has done."""

    schema: str  # where the base's tables are
    changed: bool
    moved: tuple[str, ...]  # tables that now belong to the packs
    left: tuple[str, ...]  # tables in the base's schema that are neither ours nor were named


def grant(base: Base, role: str, *, move: Sequence[str] = (), actor: str) -> Granted:
    """Give a role what packs need, and take from it what they must not have; all of it, or nothing.

    Args:
        base: a connection of the base's owner.
        role: it exists, and may log in.
        move: tables that packs have made as the owner, to hand over with their rows.
        actor: for the audit trail.

    Raises:
        ConfigurationError: there is no such role, it is too mighty, or a table cannot be handed over.
        BaseError: the base refuses, or the role would keep rights that are not its due.
    """
    with base.transaction():
        base.execute(queries("pack_role")["limits"])
        base.execute(queries("pack_role")["lock"])
        place = _place(base)
        _check_role(base, place, role)
        values = _values(place["schema"], role)
        before = _column(base, "rights", values)
        _make_schema(base, place, role)
        _grant_tables(base, place, role)
        moved = tuple(name for name in move if _move(base, place, role, name))
        _set_search_path(base, place, role)
        _check_result(base, values)
        after = _column(base, "rights", values)
        if changed := before != after or bool(moved):
            old, new = {"rights": before}, {"rights": after, "moved": list(moved)}
            audit.record(base, actor, "grant", f"role {role}", old, new)
        left = tuple(one["name"] for one in _relations(base, place, role) if one["schema"] == place["schema"])
        unknown = tuple(name for name in left if name not in TABLES)
        return Granted(schema=place["schema"], changed=changed, moved=moved, left=unknown)


def excess(base: Base, role: str) -> list[str]:
    """What a role may do to the base beyond what packs need, as words that follow its name; [] is as it should be."""
    place = _place(base)
    values = _values(place["schema"], role)
    return _column(base, "powers", values) or [f"has {right}" for right in _column(base, "excess", values)]


def lacking(base: Base, role: str) -> list[str]:
    """What a role lacks of what packs need."""
    return _column(base, "lacking", _values(_place(base)["schema"], role))


def settings(base: Base, role: str) -> list[str]:
    """Settings that sessions of a role begin with, other than its search path: each may stop packs, or change them."""
    return _column(base, "settings", {"role": role})


def hidden(base: Base, role: str) -> list[str]:
    """Tables of the base that packs do not find, since they have made tables of their own under these names."""
    return _column(base, "hidden", _values(_place(base)["schema"], role))


def whoami(base: Base) -> tuple[str, str]:
    """The role of a connection, and its database."""
    row = base.execute(queries("pack_role")["whoami"]).fetchone()
    assert row is not None, "it always answers"  # noqa: S101
    return row["role"], row["database"]


# The steps of a grant --------------------------------------------------------------------------------------------


def _place(base: Base) -> dict[str, Any]:
    place = base.execute(queries("pack_role")["place"]).fetchone()
    if place is None:
        raise BaseError("the HDM base has no tables yet", "HDM base", "run: airflow hdm db upgrade")
    return place


def _check_role(base: Base, place: dict[str, Any], role: str) -> None:
    found = base.execute(queries("pack_role")["role"], {"role": role}).fetchone()
    quoted = _text(base, "{}", role)
    if found is None:
        hint = f"let an administrator run: CREATE ROLE {quoted} LOGIN; then set its password in psql: \\password {role}"
        raise ConfigurationError(f"there is no role {role!r}", "PostgreSQL server of the HDM base", hint)
    if not found["rolcanlogin"]:
        hint = f"let an administrator run: ALTER ROLE {quoted} LOGIN"
        raise ConfigurationError(f"the role {role!r} may not log in", "PostgreSQL server of the HDM base", hint)
    if role == place["schema"]:
        what = f"the role {role!r} has the name of the base's schema: packs would make their tables among the base's"
        raise ConfigurationError(what, f"schema {role}", "take a role of another name")
    powers = _column(base, "powers", _values(place["schema"], role))
    if powers:
        what = f"the role {role!r} is too mighty for packs: it {'; it '.join(powers)}"
        hint = "make a role of their own: CREATE ROLE hdm_packs LOGIN"
        raise ConfigurationError(what, "PostgreSQL server of the HDM base", hint)


def _make_schema(base: Base, place: dict[str, Any], role: str) -> None:
    """The owner keeps the schema, the role owns what it makes in it: nobody needs to be a member of anybody."""
    found = base.execute(queries("pack_role")["schema_owner"], {"role": role}).fetchone()
    if found is not None and found["owner"] not in {place["me"], place["owner"], role}:
        what = f"there is a schema {role!r} already, which belongs to {found['owner']!r}"
        raise ConfigurationError(what, f"database {place['database']}", "rename it, or take a role of another name")
    if found is None:
        _run(base, "CREATE SCHEMA {}", role)
    if found is None or found["owner"] != role:
        _run(base, "GRANT USAGE, CREATE ON SCHEMA {} TO {}", role, role)


def _grant_tables(base: Base, place: dict[str, Any], role: str) -> None:
    schema, database = place["schema"], place["database"]
    if place["anybody_creates"]:  # so on PostgreSQL 13 and 14, and on bases that came from there
        _run(base, "REVOKE CREATE ON SCHEMA {} FROM PUBLIC", schema)
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
    for name in _column(base, "sequences", _values(schema, role)):
        _run(base, "REVOKE ALL ON SEQUENCE {}.{} FROM {}", schema, name, role)


def _move(base: Base, place: dict[str, Any], role: str, name: str) -> bool:
    """Hand one table over, with its rows, indexes and sequences; False where that was done before."""
    where = f"--move {name}"
    if name in TABLES:
        raise ConfigurationError(f"{name!r} is a table of the base itself", where, "name tables of packs only")
    found = {(one["schema"], one["name"]): one for one in _relations(base, place, role)}
    old, new = found.get((place["schema"], name)), found.get((role, name))
    if old is None and new is not None and new["owner"] == role:
        return False
    if old is None and new is None:
        raise ConfigurationError(f"there is no table {name!r} in schema {place['schema']}", where, "correct the name")
    if old is not None and new is not None:
        what = f"there is a table {name!r} in schema {role}, too: the packs have made it anew"
        raise ConfigurationError(what, where, "see which has the rows that you want, and rename the other")
    if (old or new or {})["kind"] not in _ORDINARY:
        raise ConfigurationError(f"{name!r} is no table or view", where, "make it anew in the packs' schema")
    _check_hand_over(base, role)
    if old is not None:
        _run(base, "ALTER TABLE {}.{} SET SCHEMA {}", place["schema"], name, role)
    _run(base, "ALTER TABLE {}.{} OWNER TO {}", role, name, role)
    return True


def _check_hand_over(base: Base, role: str) -> None:
    row = base.execute(queries("pack_role")["is_member"], {"role": role}).fetchone()
    if row is None or not row["member"]:
        what = f"only a member of {role!r} may hand a table over to it"
        user, _ = whoami(base)
        hint = f"let an administrator run: {_text(base, 'GRANT {} TO {}', role, user)}"
        raise ConfigurationError(what, "PostgreSQL server of the HDM base", hint)


def _set_search_path(base: Base, place: dict[str, Any], role: str) -> None:
    """New tables go into the packs' schema; the base's are found behind it."""
    from psycopg.errors import InsufficientPrivilege

    statement = "ALTER ROLE {} IN DATABASE {} SET search_path = {}, {}"
    names = (role, place["database"], role, place["schema"])
    try:
        with base.transaction():  # a savepoint: only a superuser, or who made the role, may do this
            _run(base, statement, *names)
    except InsufficientPrivilege:
        usual = base.execute(queries("pack_role")["default_path"]).fetchone()
        finds_both = place["schema"] == "public" and usual is not None and usual["path"] == '"$user", public'
        set_before = any(one.startswith("search_path=") for one in _column(base, "rights", _values("public", role)))
        if not finds_both and not set_before:
            what = f"only an administrator may tell where the role {role!r} makes its tables"
            hint = f"let one run: {_text(base, statement, *names)}; then repeat this"
            raise ConfigurationError(what, "PostgreSQL server of the HDM base", hint) from None


def _check_result(base: Base, values: dict[str, Any]) -> None:
    """A GRANT or REVOKE that we have no right to is a mere warning in PostgreSQL."""
    schema, role = values["schema"], values["role"]
    left, missing = _column(base, "excess", values), _column(base, "lacking", values)
    if left:
        hint = "take these from PUBLIC and from the roles that it is a member of"
        if left == [f"CREATE on schema {schema}"]:
            hint = f"let an administrator run: {_text(base, 'REVOKE CREATE ON SCHEMA {} FROM PUBLIC', schema)}"
        raise BaseError(f"the role {role!r} would still have: {', '.join(left)}", "HDM base", hint)
    if missing:
        what = f"the role {role!r} would still lack: {', '.join(missing)}"
        raise BaseError(what, "HDM base", "use the connection of the database's owner")


# What they share -------------------------------------------------------------------------------------------------


def _values(schema: str, role: str) -> dict[str, Any]:
    due = [(name, privilege) for names, privileges in _DUE for name in names for privilege in privileges]
    return {
        "schema": schema,
        "role": role,
        "tables": list(TABLES),
        "due_tables": [name for name, _ in due],
        "due_privileges": [privilege for _, privilege in due],
    }


def _relations(base: Base, place: dict[str, Any], role: str) -> list[dict[str, Any]]:
    return base.execute(queries("pack_role")["relations"], {"schema": place["schema"], "role": role}).fetchall()


def _column(base: Base, name: str, values: dict[str, Any]) -> list[str]:
    """The last column of a query's rows."""
    return [list(row.values())[-1] for row in base.execute(queries("pack_role")[name], values)]


def _composed(statement: LiteralString, names: Sequence[str]) -> Composed:
    from psycopg.sql import SQL, Identifier

    return SQL(statement).format(*map(Identifier, names))


def _run(base: Base, statement: LiteralString, *names: str) -> None:
    base.execute(_composed(statement, names))


def _text(base: Base, statement: LiteralString, *names: str) -> str:
    """A statement for an administrator to copy."""
    return _composed(statement, names).as_string(base)
