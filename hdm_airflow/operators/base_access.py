"""Base access: how a pack reaches the HDM base, with its own tables in it."""

from __future__ import annotations

from collections.abc import Callable

from hdm_airflow.base import pack_schema
from hdm_airflow.base.hook import BaseConnection, HdmHook
from hdm_airflow.packs.pack import Pack
from hdm_airflow.runner.job import BaseAccess


def load(conn_id: str) -> HdmHook:
    """The hook of a connection, looked up already.

    Raises:
        ConfigurationError: if Airflow has no such connection, or it is malformed.
        HdmBaseError: if Airflow's connections cannot be looked up.
    """
    hook = HdmHook(conn_id)
    hook.load()
    return hook


def prepare(
    hook: HdmHook,
    base: BaseConnection,
    pack: Pack,
    *,
    pack_conn_id: str | None,
    seconds: float,
    heartbeat: Callable[[], None],
    log: Callable[[str], None],
) -> BaseAccess:
    """Create the pack's tables, as the packs' role if there is one, and return how the pack reaches the base.

    Args:
        hook: the base, as its owner.
        base: a session of that hook.
        pack: the pack.
        pack_conn_id: the connection that packs use; None: the owner's.
        seconds: the time limit for the create-table scripts.
        heartbeat: called several times a second while they run; an exception from it stops them.
        log: receives a line per script that was applied.

    Raises:
        ConfigurationError: if a script cannot be read, or a connection cannot be used by packs.
        HdmBaseError: if a script fails, or the base cannot be reached.
    """
    pack_hook = load(pack_conn_id) if pack_conn_id else hook
    scripts = pack_schema.scripts(pack)
    if not (scripts or pack_conn_id):
        return _access(pack_hook, base)
    with pack_hook.session(pinned=False) as runner:
        if scripts:
            applied = pack_schema.apply(
                base, runner, pack.kind, pack.name, scripts, seconds=seconds, heartbeat=heartbeat
            )
            for file in applied:
                log(f"{file} was applied to the HDM base")
        return _access(pack_hook, runner)


def _access(hook: HdmHook, connection: BaseConnection) -> BaseAccess:
    variables, password = hook.variables(connection)
    return BaseAccess(variables=variables, password=password)
