"""The audit trail: who changed what in the HDM base."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hdm_airflow.base.queries import queries

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection


def record(base: BaseConnection, actor: str, action: str, item: str, old: Any, new: Any) -> None:
    """Write one row, inside the transaction of the change itself.

    Args:
        base: the connection that makes the change.
        actor: the user's name.
        action: e.g. 'activate'.
        item: the table and key that changed.
        old: the value before, which JSON can hold; None if there was none. Never a secret.
        new: the value after.
    """
    from psycopg.types.json import Jsonb

    values = {"actor": actor, "action": action, "object": item, "old": Jsonb(old), "new": Jsonb(new)}
    base.execute(queries("audit")["record"], values)
