"""Hand-over: tables that packs made as the base's owner move to the packs' role."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hdm_airflow.base.role.rights import TABLES
from hdm_airflow.errors import ConfigurationError

if TYPE_CHECKING:
    from hdm_airflow.base.role.foreign_code import ForeignCode
    from hdm_airflow.base.role.grantee import Grantee

_MOVABLE = {"r", "p", "v"}  # pg_class.relkind of tables, partitioned tables and views


def hand_over(grantee: Grantee, name: str, found: Sequence[ForeignCode]) -> bool:
    """Hand one table or view over, with its rows, indexes and sequences.

    Args:
        grantee: the role, which has its schema.
        name: of the table, in the base's schema.
        found: foreign code in the base; a table that it ties to the base is refused.

    Returns:
        False if the role has it already.

    Raises:
        ConfigurationError: if the table cannot be handed over.
    """
    where = f"--move {name}"
    if name in TABLES:
        raise ConfigurationError(f"{name!r} is a table of the base itself", where, "name only tables of packs")
    relations = {(one["schema"], one["name"]): one for one in _relations(grantee)}
    old, new = relations.get((grantee.schema.name, name)), relations.get((grantee.role, name))
    if old is None and new is not None and new["owner"] == grantee.role:
        return False
    _check_table(grantee, name, old, new)
    if old is not None:
        _check_ties(grantee, name, found)
    _check_membership(grantee)
    if old is not None:
        grantee.run("ALTER TABLE {}.{} SET SCHEMA {}", grantee.schema.name, name, grantee.role)
    grantee.run("ALTER TABLE {}.{} OWNER TO {}", grantee.role, name, grantee.role)
    return True


def remaining_tables(grantee: Grantee) -> list[str]:
    """Tables and views in the base's schema that are not the base's own."""
    names = [one["name"] for one in _relations(grantee) if one["schema"] == grantee.schema.name]
    return [name for name in names if name not in TABLES]


def _check_table(grantee: Grantee, name: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
    where = f"--move {name}"
    if old is None and new is None:
        what = f"there is no table {name!r} in schema {grantee.schema.name}"
        raise ConfigurationError(what, where, "correct the name")
    if old is not None and new is not None:
        what = f"the schema {grantee.role} also has a table {name!r}: packs have created it again"
        raise ConfigurationError(what, where, "find out which has the rows that you want, and rename the other")
    if (old or new or {})["kind"] not in _MOVABLE:
        raise ConfigurationError(f"{name!r} is not a table or view", where, "create it again in the packs' schema")


def _check_ties(grantee: Grantee, name: str, found: Sequence[ForeignCode]) -> None:
    for one in found:
        if (one.tied_schema, one.tied_table) == (grantee.schema.name, name):
            what = f"{name!r} is tied to the base ({one.what}): packs could make the base's owner run their code"
            raise ConfigurationError(what, f"--move {name}", f"run first: {one.remedy}")


def _check_membership(grantee: Grantee) -> None:
    (row,) = grantee.rows("role_grant", "is_member")
    if not row["member"]:
        what = f"only a member of {grantee.role!r} can hand a table over to it"
        hint = f"have an administrator run: {grantee.text('GRANT {} TO {}', grantee.role, grantee.schema.user)}"
        raise ConfigurationError(what, "PostgreSQL server of the HDM base", hint)


def _relations(grantee: Grantee) -> list[dict[str, Any]]:
    return grantee.rows("role_grant", "relations")
