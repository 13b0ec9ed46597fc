"""What is planted: code in the base that its owner would run without knowing it, or that lends his rights to packs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hdm_airflow.base.queries import queries
from hdm_airflow.base.role.rights import TABLES
from hdm_airflow.base.role.search_path import Place, looking
from hdm_airflow.errors import HdmBaseError

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection

_SHOWN = 10  # that an error names


@dataclass(frozen=True, kw_only=True)
class Planted:
    """One piece of it."""

    what: str  # for example: function public.lower(character varying)
    maker: str  # the role to which it belongs
    remedy: str  # the statement that takes it away
    tells: bool  # whether it needs a look also where the owner himself has made it
    own: bool  # whether it is the work of the owner, or of somebody who can become him
    schema: str | None  # of a table that is tied to one of the base; else None
    name: str | None  # of that table

    def __str__(self) -> str:
        return f"{self.what} (of {self.maker})"


def find(base: BaseConnection, place: Place, role: str) -> list[Planted]:
    """All of it. Call it within `looking`.

    Args:
        base: a connection of the base's owner.
        place: of the base.
        role: of packs; the functions that it may run with the rights of others are found, too.
    """
    values = {"schema": place.schema, "schemas": place.schemas, "tables": list(TABLES), "role": role}
    return [Planted(**row) for row in base.execute(queries("foreign_code")["found"], values)]


def refuse(found: list[Planted]) -> None:
    """Raise a HdmBaseError where others than the owner have made any of it: his next statement might run it."""
    others = [one for one in found if not one.own]
    if others:
        more = f", and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        named = ", ".join(map(str, others[:_SHOWN])) + more
        what = f"others have left code in the base that its owner may run: {named}"
        remedies = "; ".join(one.remedy for one in others[:_SHOWN])
        raise HdmBaseError(what, "HDM base", f"see what it has done; then let an administrator run: {remedies}")


def check(base: BaseConnection) -> None:
    """Refuse before anything else is asked of the base; nothing where it has no tables yet.

    Raises:
        HdmBaseError: as `refuse`.
    """
    try:
        with looking(base) as place:
            found = find(base, place, place.owner)
    except HdmBaseError:  # it has none
        return
    refuse(found)


def left_by_packs(found: list[Planted]) -> list[Planted]:
    """What the owner himself seems to have made; packs that ran as the owner may have left it behind."""
    return [one for one in found if one.own and one.tells]
