"""Pack state: hdm_pack_state, which triggers keep; whether it agrees with the ledger, and how it is built again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hdm_airflow.base.queries import queries

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection


def differing(base: BaseConnection) -> int:
    """Count the packs and endpoints whose state is not what the ledger says.

    None, unless somebody has disabled the triggers, written to the table, or restored only one of the two.
    """
    row = base.execute(queries("pack_state")["differing"]).fetchone()
    assert row is not None  # noqa: S101  # the query always returns a row
    return int(row["differing"])


def rebuild(base: BaseConnection) -> int:
    """Build the state again if it differs from the ledger. Until it is done, nobody writes the ledger.

    Returns:
        What `differing` returned.

    Raises:
        psycopg.errors.LockNotAvailable: if the ledger is in use.
    """
    wrong = differing(base)
    if wrong:
        with base.transaction():
            base.execute(queries("pack_state")["lock"])
            base.execute(queries("pack_state")["fill"])
    return wrong
