"""Plan: the endpoints on which an attempt runs the pack, and why it does not run on the others."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hdm_airflow.base import assignments as base_assignments
from hdm_airflow.base import runs
from hdm_airflow.base.assignments import Assignments
from hdm_airflow.base.configuration import NONE, Configuration, merge
from hdm_airflow.base.endpoints import Registered, canonical
from hdm_airflow.base.gate import Gate, Verdict
from hdm_airflow.errors import ConfigurationError, HdmError, shortened
from hdm_airflow.packs import config_schema, files
from hdm_airflow.packs.pack import Pack

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.operators.part import Part


@dataclass(frozen=True, kw_only=True)
class Item:
    """One endpoint on which the pack runs."""

    registered: Registered
    config: object  # external and endpoint configuration merged
    config_sources: tuple[str, ...]
    incomplete: tuple[str, ...]  # objects without metrics
    unproven: tuple[str, ...]  # objects where the absence of an alert proves nothing

    @property
    def slug(self) -> str:
        """The endpoint's name."""
        return self.registered.endpoint.slug


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one attempt does with each activated endpoint. Each endpoint is in exactly one of the first four fields."""

    run: tuple[Item, ...]
    broken: Mapping[str, str]  # slug -> why it fails before the pack starts
    gated: Mapping[str, str]  # slug -> why the gate holds it back
    kept: tuple[str, ...]  # slugs that succeeded in an earlier attempt and are still up to date
    external: Configuration  # the pack's own configuration
    recorded: str | None = None  # digest of the pack's content, as the base has recorded it
    ignored: tuple[str, ...] = ()  # slugs that the Dag run is limited to, but the pack is not activated there

    @property
    def slugs(self) -> list[str]:
        """The slugs of all endpoints."""
        return [*(item.slug for item in self.run), *self.broken, *self.gated, *self.kept]

    @property
    def empty(self) -> bool:
        """Whether there is no endpoint to run on."""
        return not self.slugs


def read(
    base: BaseConnection,
    attempt: runs.Attempt,
    pack: Pack,
    *,
    require_reports: bool,
    only: Collection[str] | None = None,
    part: Part | None = None,
    resumed: bool = False,
) -> Plan:
    """Plan one attempt from the present state of the base, with two to four queries for any number of endpoints.

    A Dag run that is limited to a part runs all of it, even what has succeeded before; its retries and cleared tasks
    run what this Dag run has not finished.

    Args:
        base: the connection.
        attempt: the attempt to plan.
        pack: the pack to run.
        require_reports: refuse metrics whose success rests on the exit code alone.
        only: slugs of the endpoints to run on, even if they have succeeded before; None: all that have not.
        part: what the Dag run is limited to; None: it runs everything.
        resumed: the previous attempt was interrupted: this one runs the rest, even if there is nothing left.

    Raises:
        ConfigurationError: if the pack is not activated on one of `only`, or another environment uses this base.
    """
    required = [requirement.name for requirement in pack.requires]
    assigned = base_assignments.read(base, pack.kind, pack.name, required, version=pack.version)
    if only is not None:
        assigned = _narrow(assigned, pack, only)
    assigned, ignored = _limited(assigned, part)
    newest = runs.newest(base, attempt, required, assigned.slugs)
    gate = Gate(
        requires=pack.requires,
        activated=assigned.required,
        runs={(run.pack, run.endpoint): run for run in newest if run.kind == "metric" and run.pack in required},
        accepts_partial=bool(pack.manifest and pack.manifest.partial),
        require_reports=require_reports,
        lost=_lost(base, attempt, pack, assigned),
    )
    own = {run.endpoint: run for run in newest if (run.kind, run.pack) == (pack.kind, pack.name)}
    _check_environment(attempt, own.values())
    try:
        external, fault = assigned.configurations.for_version(pack.version), ""
    except HdmError as error:
        external, fault = NONE, one_line(error)
    if part:
        own = {run.endpoint: run for run in runs.of_this_run(base, attempt, assigned.slugs)}
    planned = make(assigned, external, fault, gate, own if only is None else {}, resumed=resumed)
    return replace(refuse_misfits(planned, pack), recorded=assigned.recorded, ignored=ignored)


def read_for_command(base: BaseConnection, pack: Pack, slugs: Collection[str]) -> Plan:
    """Plan a command: it gets the endpoints that it names, whatever the gate says, configured as in a run.

    Raises:
        ConfigurationError: if the pack is not activated on one of them, or a configuration cannot be used.
    """
    assigned = _narrow(base_assignments.read(base, pack.kind, pack.name, [], version=pack.version), pack, slugs)
    external = assigned.configurations.for_version(pack.version)
    gate = Gate(requires=(), activated=frozenset(), runs={}, accepts_partial=False, require_reports=False)
    planned = refuse_misfits(make(assigned, external, "", gate, {}, resumed=False), pack)
    if planned.broken:
        faults = "\n".join(f"  {slug}: {why}" for slug, why in planned.broken.items())
        what = f"{pack.task_id} cannot use {len(planned.broken)} of the endpoint(s) named:\n{faults}"
        raise ConfigurationError(what, "HDM base", "correct that, or leave the endpoint out")
    return planned


def make(
    assigned: Assignments,
    external: Configuration,
    fault: str,
    gate: Gate,
    own: Mapping[str, runs.Run],
    *,
    resumed: bool,
) -> Plan:
    """Plan one attempt.

    The attempt runs the endpoints that have not succeeded for this metric date, or whose success is older than a metric
    run that it is based on. If there are none, a user has cleared the task, so the attempt runs all endpoints; but a
    resumed attempt runs none.

    Args:
        assigned: the activated endpoints.
        external: the pack's external configuration.
        fault: why the external configuration cannot be read, which fails every endpoint; '' if it can.
        gate: judges the metrics that the pack requires.
        own: slug -> this pack's newest run of this metric date.
        resumed: the previous attempt was interrupted.
    """
    done = {slug for slug in assigned.slugs if _is_done(slug, gate, own)}
    wanted = [slug for slug in assigned.slugs if slug not in done]
    if not wanted and not resumed:
        wanted = list(assigned.slugs)
    run: list[Item] = []
    broken: dict[str, str] = {}
    gated: dict[str, str] = {}
    for slug in wanted:
        verdict = gate.judge(slug)
        try:
            item = _item(assigned, external, slug, verdict)
        except HdmError as error:
            broken[slug] = one_line(error)
            continue
        if not verdict.passed:
            gated[slug] = verdict.reason
        elif fault:
            broken[slug] = fault
        else:
            run.append(item)
    chosen = set(wanted)
    kept = tuple(slug for slug in assigned.slugs if slug not in chosen)
    return Plan(run=tuple(run), broken=broken, gated=gated, kept=kept, external=external)


def refuse_misfits(planned: Plan, pack: Pack) -> Plan:
    """Fail the endpoints whose configuration does not fit the pack's schema: a mistyped key would protect nothing."""
    try:
        schema = config_schema.read(pack.path)
    except files.Unreadable as error:
        fault = f"the pack's {config_schema.FILE} {error.reason}"
        faults = ["" if item.config == {} else fault for item in planned.run]
    else:
        faults = config_schema.faults(schema, [item.config for item in planned.run])
    broken = {}
    for item, fault in zip(planned.run, faults, strict=True):
        if fault:
            source = f" ({', '.join(item.config_sources)})" if item.config_sources else ""
            broken[item.slug] = f"{fault}{source}"
    run = tuple(item for item in planned.run if item.slug not in broken)
    return replace(planned, run=run, broken={**planned.broken, **broken})


def _lost(base: BaseConnection, attempt: runs.Attempt, pack: Pack, assigned: Assignments) -> frozenset[str]:
    """The endpoints without metrics that a rule pack may have judged before; it does not state which it needs.

    If it needs only the metric pack of its own name, the gate knows without asking.
    """
    required = [requirement.name for requirement in pack.requires]
    states_needs = pack.manifest is None or pack.manifest.depends_on is not None
    if pack.kind != "rule" or states_needs or pack.name in required or not assigned.slugs:
        return frozenset()
    return runs.lost(base, required, assigned.slugs, attempt.metric_date, assigned.required)


def _check_environment(attempt: runs.Attempt, own: Iterable[runs.Run]) -> None:
    """Refuse a base that another environment uses: each would mistake the other's runs for its own."""
    others = {run.environment for run in own} - {attempt.environment}
    if others:
        what = f"this HDM base already has runs of {attempt.pack} for {attempt.metric_date} from environment"
        hint = f"give {attempt.environment!r} an HDM base of its own"
        raise ConfigurationError(f"{what} {', '.join(sorted(others))}", "HDM base", hint)


def one_line(error: HdmError) -> str:
    """An error as a reason for the ledger, in one line."""
    text = f"{error.what} ({error.where})" if error.where else error.what
    return shortened(" ".join(text.split()))


def _narrow(assigned: Assignments, pack: Pack, only: Collection[str]) -> Assignments:
    missing = sorted(set(only) - set(assigned.slugs))
    if missing:
        hint = f"activate it there: airflow hdm activate {pack.task_id} {' '.join(missing)}"
        raise ConfigurationError(f"{pack.task_id} is not activated on {', '.join(missing)}", "activation", hint)
    return replace(assigned, slugs=tuple(slug for slug in assigned.slugs if slug in only))


def _limited(assigned: Assignments, part: Part | None) -> tuple[Assignments, tuple[str, ...]]:
    """The endpoints that the Dag run is limited to, and those of them that are not activated."""
    if part is None or part.endpoints is None:
        return assigned, ()
    named = set(map(canonical, part.endpoints))
    found = tuple(slug for slug in assigned.slugs if slug in named)
    return replace(assigned, slugs=found), tuple(sorted(named.difference(found)))


def _is_done(slug: str, gate: Gate, own: Mapping[str, runs.Run]) -> bool:
    run = own.get(slug)
    if run is None or run.status != "success":
        return False
    return all(metric.finished_at is None or metric.finished_at <= run.started_at for metric in gate.waits_for(slug))


def _item(assigned: Assignments, external: Configuration, slug: str, verdict: Verdict) -> Item:
    registered = assigned.endpoints.get(slug)
    if registered is None:
        raise HdmError("the activated slug matches no endpoint", "hdm_core_dblist")
    config, sources = merge(external, assigned.configurations.for_endpoint(slug))
    return Item(
        registered=registered,
        config=config,
        config_sources=tuple(sources),
        incomplete=verdict.incomplete,
        unproven=verdict.unproven,
    )
