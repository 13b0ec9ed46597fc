"""ForeignCode: code in the base that its owner would run unawares, or that runs with the owner's rights for packs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from hdm_airflow.base.role.grantee import Grantee
from hdm_airflow.base.role.rights import TABLES
from hdm_airflow.base.role.search_path import unambiguous_names
from hdm_airflow.errors import HdmBaseError

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection

_SHOWN = 10  # how many an error names
_SCHEMA = Path(__file__).parents[1] / "schema.sql"
_FUNCTION = re.compile(r"^CREATE FUNCTION (\w+)\(\).*? AS \$\$(.*?)\$\$;$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class ForeignCode:
    """A function, trigger, foreign key or the like, which neither PostgreSQL nor hdm_airflow has made."""

    what: str  # for example: function public.lower(character varying)
    owner: str  # the role to which it belongs
    remedy: str  # the statement that removes it
    trusted: bool  # whether its owner is the base's owner, or a role that can become the base's owner
    suspicious: bool  # whether a trusted one deserves a look, too: packs may have run as the base's owner
    tied_schema: str | None  # of the table that it ties to a table of the base, if that is what it does
    tied_table: str | None

    def __str__(self) -> str:
        return f"{self.what} (owned by {self.owner})"


def find(grantee: Grantee) -> list[ForeignCode]:
    """Find all of it, trusted or not.

    Args:
        grantee: the role; functions that it may run with the rights of others are found, too.
    """
    names, bodies = zip(*_own_functions().items(), strict=True)
    own = {"own_functions": list(names), "own_bodies": list(bodies)}
    return [ForeignCode(**row) for row in grantee.rows("foreign_code", "find", tables=list(TABLES), **own)]


@cache
def _own_functions() -> dict[str, str]:
    """The functions of the base's triggers: name -> body."""
    return dict(_FUNCTION.findall(_SCHEMA.read_text("utf-8")))


def refuse(found: Sequence[ForeignCode]) -> None:
    """Refuse code that is not trusted: the owner's next statement might run it.

    Raises:
        HdmBaseError: if there is any.
    """
    others = [one for one in found if not one.trusted]
    if others:
        more = f", and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        named = ", ".join(map(str, others[:_SHOWN])) + more
        what = f"other roles have left code in the base that its owner might run: {named}"
        remedies = "; ".join(one.remedy for one in others[:_SHOWN])
        raise HdmBaseError(what, "HDM base", f"find out what it has done; then have an administrator run: {remedies}")


def check(base: BaseConnection) -> None:
    """Find and refuse it before the owner runs any other statement. A base without tables passes.

    Raises:
        HdmBaseError: if there is any.
    """
    try:
        with unambiguous_names(base) as schema:
            found = find(Grantee(base=base, schema=schema, role=schema.owner))  # the packs' role is not known yet
    except HdmBaseError:  # no tables
        return
    refuse(found)


def left_by_packs(found: Sequence[ForeignCode]) -> list[ForeignCode]:
    """Select what belongs to the base's owner, and what packs may have left when they ran as the owner."""
    return [one for one in found if one.trusted and one.suspicious]
