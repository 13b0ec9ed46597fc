"""Pack rename: a pack's rows in the tables of the base get its new name. The tables of packs stay as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hdm_airflow.base import audit
from hdm_airflow.base.queries import queries
from hdm_airflow.errors import ConfigurationError

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.packs.manifest import Kind


def rename(base: BaseConnection, kind: Kind, old: str, new: str, *, actor: str) -> dict[str, int]:
    """Rename a pack in the tables of the base, in one transaction. Call it within `rename.without_runs`.

    Returns:
        What was renamed, such as 'runs' -> number of rows.

    Raises:
        ConfigurationError: if the old name has no rows, or the new name has rows: two histories cannot become one.
    """
    values = {"kind": kind, "old": old, "new": new}
    statements = queries("pack_rename")
    with base.transaction():
        base.execute(statements["limit"])
        base.execute(statements["lock"])
        used = [row["name"] for row in base.execute(statements["used"], {"kind": kind, "pack": new})]
        if used:
            what = f"the {kind} pack {new} already has rows: {', '.join(used)}"
            raise ConfigurationError(what, "HDM base", "choose a name that was never used, or remove these rows")
        base.execute(statements["states"], values)
        counts = {
            "activations": base.execute(statements[f"activation_{kind}"], values).rowcount,
            "configurations": base.execute(statements[f"configuration_{kind}"], values).rowcount,
            "runs": base.execute(statements["ledger"], values).rowcount,
            "alerts": base.execute(statements["alerts"], values).rowcount,
            "incidents": base.execute(statements["incidents"], values).rowcount,
            "versions": base.execute(statements["packs"], values).rowcount,
            "create-table scripts": base.execute(statements["scripts"], values).rowcount,
        }
        for name in ("not_judged", "counts", "told", "subscriptions"):  # each goes with a run or an activation
            base.execute(statements[name], values)
        doubled = sum(base.execute(statements[name], values).rowcount for name in ("remove_packs", "remove_scripts"))
        if not doubled and not any(counts.values()):
            hint = "correct the name (airflow hdm packs list), or choose another base with --environment"
            raise ConfigurationError(f"the {kind} pack {old} has no rows to rename", "HDM base", hint)
        audit.record(base, actor, "pack rename", f"{kind} pack {old}", {"name": old}, {"name": new})
    return counts
