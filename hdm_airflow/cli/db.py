"""`airflow hdm db upgrade`, `check` and `grant`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hdm_airflow.base import catalogue, migrate, pack_state
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.base.role import foreign_code, rights
from hdm_airflow.base.role.grant import grant_rights, repeat_grants
from hdm_airflow.base.role.grantee import Grantee
from hdm_airflow.base.role.search_path import unambiguous_names
from hdm_airflow.cli.command import command
from hdm_airflow.cli.command_context import actor, find_hook, find_pack_conn_id
from hdm_airflow.cli.console import say, warn
from hdm_airflow.errors import HdmError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.base.role.foreign_code import ForeignCode

NOT_GRANTED = 1  # exit code
_PAGE = "docs: how-to/give-packs-a-role-of-their-own"


@command
def upgrade(args: Namespace) -> int:
    """Bring the base to the newest version, and repeat the grants of roles that have them."""
    hook = find_hook(args)
    before, after = migrate.upgrade(hook)
    if before == after:
        say(f"the HDM base ({hook.where}) is current: version {after}")
    else:
        say(f"the HDM base ({hook.where}) was upgraded from version {before or 'none'} to {after}")
    _refuse_foreign_code(hook)
    with hook.session() as base:
        rebuilt = pack_state.rebuild(base)
        changed, refused = repeat_grants(base, actor=actor())
    if rebuilt:
        say(f"hdm_pack_state was not what the ledger says, {rebuilt:,} times: it was built again")
    for role in changed:
        say(f"the role {role} now has the rights that packs need")
    for role, error in refused.items():
        warn(f"the rights of the role {role} were not repeated, so packs may fail: {error}")
    return NOT_GRANTED if refused else 0


@command
def check(args: Namespace) -> int:
    """Compare the base with what this release needs, and try to write to it; exit with 1 if they differ."""
    hook = find_hook(args)
    _refuse_foreign_code(hook)
    current, head = migrate.check(hook)
    if current != head:
        say(f"the HDM base is at version {current or 'none'}; this release needs {head}")
        say(f"in: {hook.where}\ndo: run: airflow hdm db upgrade")
        return 1
    with hook.session() as base:
        found = catalogue.differences(base)
        if not found:
            catalogue.try_writing(base)
    if found:
        say(f"the HDM base has version {head}, but differs from it: {'; '.join(found)}")
        say(f"in: {hook.where}\ndo: restore a backup, or repair it by hand; what it needs: hdm_airflow/base/schema.sql")
        return 1
    say(f"the HDM base ({hook.where}) is current: version {head}")
    _check_role(hook, args)
    return 0


@command
def grant(args: Namespace) -> int:
    """Give packs a role of their own."""
    hook = find_hook(args)
    _refuse_foreign_code(hook)
    migrate.require_current(hook)
    with hook.session() as base:
        done = grant_rights(base, args.role, move=args.move or (), actor=actor())
    has = "now has" if done.changed else "already had"
    say(f"the role {args.role} {has} the rights that packs need ({hook.where})")
    for table in done.moved:
        say(f"{table} was handed over to the role, with its rows")
    if done.remaining:
        say(f"these tables of schema {done.schema} were not handed over: {', '.join(done.remaining)}")
        say("do: if packs have made some of them, repeat this command with --move TABLE ...")
    _warn_of_code_left(done.left_by_packs)
    return 0


def _refuse_foreign_code(hook: HdmHook) -> None:
    """Refuse it before the owner's first statement that could run it."""
    with hook.session() as base:
        foreign_code.check(base)


def _warn_of_code_left(found: Sequence[ForeignCode]) -> None:
    """Warn of code that packs may have left when they ran as the owner. It may also be the owner's own."""
    if found:
        what = f"this code runs with the rights of the base's owner: {', '.join(map(str, found))}"
        remedies = "; ".join(one.remedy for one in found)
        warn(f"{what}\ndo: if packs made it while they ran as the owner, remove it: {remedies}")


def _check_role(hook: HdmHook, args: Namespace) -> None:
    """Warn if the rights of packs differ from those that `grant` gives."""
    pack_conn_id = find_pack_conn_id(args)
    if pack_conn_id in (None, hook.conn_id):
        what = "packs use this base with its owner's rights: pack_conn_id is not set"
        warn(f"{what}\ndo: give them a role of their own ({_PAGE})")
        return
    try:
        with (
            hook.session() as base,
            HdmHook(pack_conn_id).session(pinned=False) as packs,
            unambiguous_names(base) as schema,
        ):
            role, database = rights.whoami(packs)
            if database != schema.database:
                what = f"connection {pack_conn_id} is for the database {database}, not {schema.database}"
                warn(f"{what}\ndo: correct the connection")
                return
            grantee = Grantee(base=base, schema=schema, role=role)
            faults = _faults(grantee, packs)
            _warn_of_code_left(foreign_code.left_by_packs(foreign_code.find(grantee)))
    except HdmError as error:
        warn(f"the rights of packs were not checked: {error}")
        return
    for fault in faults:
        warn(fault)
    if not faults:
        say(f"packs have a role of their own ({role}), with the rights that they need")


def _faults(grantee: Grantee, packs: BaseConnection) -> list[str]:
    """Return what differs from the result of `grant`, with what to do. If the role is too powerful, less matters."""
    found, role = [], grantee.role
    if settings := rights.settings(grantee):
        what = f"the packs' role {role} has its own settings: {', '.join(settings)}"
        found.append(f"{what}\ndo: list them in psql with \\drds; reset those that can make packs fail")
    more = rights.powers(grantee)
    more = more or [f"has {right}" for right in rights.excess(grantee)]
    if more:
        return [*found, f"the packs' role {role} is too powerful: it {'; it '.join(more)}\ndo: see {_PAGE}"]
    if less := rights.lacking(grantee):
        return [*found, f"the packs' role {role} lacks {', '.join(less)}\ndo: run: airflow hdm db grant {role}"]
    if fault := rights.path_fault(grantee, packs):
        hint = f"run: airflow hdm db grant {role}; it sets the role's search path, unless the connection overrides it"
        found.append(f"packs {fault}\ndo: {hint}")
    if shadowed := rights.shadowed(grantee):
        what = f"packs use their own {', '.join(shadowed)} instead of the base's, in the schema {role}"
        found.append(f"{what}\ndo: find out which pack made them, move their rows, and drop them as {role}")
    return found
