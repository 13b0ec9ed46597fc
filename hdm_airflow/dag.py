"""HdmDag and HdmTaskGroup: a packs folder as a Dag, or as a task group in a Dag of your own."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, BaseOperator, Param, TaskGroup, TriggerRule, get_parsing_context
from airflow.sdk.definitions.param import ParamsDict

from hdm_airflow.errors import ConfigurationError
from hdm_airflow.operators import marker
from hdm_airflow.operators.metric_date import PARAM
from hdm_airflow.operators.pack import PackOperator
from hdm_airflow.operators.problem import ProblemOperator, in_markdown
from hdm_airflow.packs.catalog import Catalog
from hdm_airflow.packs.finding import Finding
from hdm_airflow.packs.pack import Pack
from hdm_airflow.packs.selection import HOUSE, choose
from hdm_airflow.settings import Environment, Settings
from hdm_airflow.variable import WHERE

if TYPE_CHECKING:
    from hdm_airflow.operators.arguments import PackArguments

_OWN_FOLDER = f"{Path(__file__).parent.absolute()}{os.sep}"
#: Keys of the manifest that become arguments of the task; pack_args override them.
_MANIFEST_KEYS = ("retries", "pool", "queue")
_DAG_DOC = """Metric packs measure databases, then rule packs judge the metrics. Each environment is a group of
tasks with an HDM base of its own, in which packs store their results.

{environments}

#### What a task's state means

- **success**: the pack succeeded on all of its endpoints.
- **failed**: it did not succeed on at least one endpoint, or it is quarantined (it has errors), or its settings are
  wrong; or, with the setting `fail_on`, it opened or reopened incidents. The end of the task's log names the reasons,
  the endpoints and what to do.
- **skipped**: there was nothing to do: the pack is not activated on any endpoint, or no endpoint passed the gate
  because the metrics that it judges are missing. The log names the reason.
- **upstream_failed** (only `end`): a pack failed. All other packs ran nevertheless.

A retry or a cleared task runs only the endpoints that did not succeed.

#### Where to look

- every run of a pack on an endpoint, with its status and reason (the ledger): `airflow hdm runs list`
- endpoints, and what is activated on them: `airflow hdm endpoints list`
- errors and warnings of packs: the documentation of their tasks, or `airflow hdm packs check`
- results of another date: trigger a run with the param `metric_date`
"""


class HdmDag(DAG):
    """A Dag that runs a packs folder: `start`, then one task group per environment, then `end`.

    Omitted arguments come from the Airflow Variable `hdm`, then from the defaults. The Dag loads even if a pack is
    broken, the Variable invalid or the selection empty: a task then fails with the reason.

    Args:
        dag_id: id of the Dag.
        packs_dir: the packs folder, relative to the Dag file.
        environments: name -> {"conn_id": ..., "pack_conn_id": ...}, one HDM base each; also `fail_on`, `reopen_days`,
            `notify`.
        select: selectors of the packs to run: `basic` (name), `mp_basic` (task id), both with `*`; `kind:rule`;
            `tag:nightly`; empty: all packs.
        exclude: selectors of packs to skip.
        pack_args: selector -> arguments for the tasks of the packs that it matches: arguments of Airflow's operators,
            such as `pool` (durations are in seconds), and `PackOperator`'s options, such as `timeout`. If several
            selectors match, the last one wins, key by key.
        **dag_arguments: arguments of `airflow.sdk.DAG`; default: `schedule` from the settings (`0 2 * * *`),
            `catchup=False`, `max_active_runs=1`, `tags={"hdm"}`.

    Raises:
        ConfigurationError: if an argument is wrong.
    """

    def __init__(
        self,
        dag_id: str,
        *,
        packs_dir: str | Path | None = None,
        environments: Mapping[str, Any] | None = None,
        select: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
        pack_args: Mapping[str, Mapping[str, Any]] | None = None,
        **dag_arguments: Any,
    ) -> None:
        dag_file = _caller()
        arguments = {
            "packs_dir": packs_dir and str(packs_dir),
            "environments": environments,
            "select": select,
            "exclude": exclude,
            "pack_args": pack_args,
        }
        source = _Source.read(arguments, dag_file)
        settings = source.settings
        params = {PARAM: _metric_date_param(), **(dag_arguments.pop("params", None) or {})}
        defaults = {
            "schedule": settings.schedule,
            "catchup": False,
            "max_active_runs": 1,
            "tags": {"hdm"},
            "description": "Data quality packs: metrics, then rules",
            "doc_md": _dag_doc(settings, source.problem),
        }
        super().__init__(dag_id, **{**defaults, **dag_arguments})
        self.fileloc = dag_file
        with self:
            start = EmptyOperator(task_id="start")
            end = EmptyOperator(task_id="end", trigger_rule="none_failed")
            if source.problem:
                tasks = _problems(dag_id, source.problem)
                for name in sorted(source.environments) or [""]:
                    group_id = f"hdm-{name}" if name else ""
                    prefix = f"{group_id}." if name else ""
                    place = marker.Group(dag_id=dag_id, group_id=group_id, prefix=prefix, kind="dag")
                    base = source.environments.get(name)
                    marker.attach(marker.make(place, name, base, problem=source.problem), tasks[:1])
                start >> tasks >> end
            else:
                for name in sorted(settings.environments):
                    with TaskGroup(f"hdm-{name}", tooltip=f"HDM base: {settings.environments[name].conn_id}") as group:
                        _add_packs(source, name, _place(group, "dag"))
                    start >> group >> end
        # Last: Airflow would copy the Dag's params into each new task, twice.
        self.params = ParamsDict(params)


class HdmTaskGroup(TaskGroup):
    """The packs of one environment as a task group in a Dag of your own.

    The last task of the group, `end`, is red if any pack failed. Tasks downstream of the group wait for all packs.

    Args:
        group_id: id of the group.
        environment: name of an environment in the setting `environments`; if it is unknown, the group has one task,
            `configuration`, which fails with the reason.
        packs_dir: the packs folder, relative to the Dag file.
        select: selectors of the packs to run, as in `HdmDag`.
        exclude: selectors of packs to skip, as in `HdmDag`.
        pack_args: selector -> arguments for the tasks of the packs that it matches, as in `HdmDag`.
        **group_arguments: arguments of `airflow.sdk.TaskGroup`.

    Raises:
        ConfigurationError: if an argument is wrong.
    """

    def __init__(
        self,
        group_id: str,
        *,
        environment: str = "prod",
        packs_dir: str | Path | None = None,
        select: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
        pack_args: Mapping[str, Mapping[str, Any]] | None = None,
        **group_arguments: Any,
    ) -> None:
        arguments = {
            "packs_dir": packs_dir and str(packs_dir),
            "select": select,
            "exclude": exclude,
            "pack_args": pack_args,
        }
        source = _Source.read(arguments, _caller())
        problem = source.problem
        if not problem and environment not in source.environments:
            known = ", ".join(sorted(source.environments))
            problem = str(
                ConfigurationError(f"there is no environment {environment!r}", WHERE, f"choose one of: {known}")
            )
        super().__init__(group_id, **group_arguments)
        with self:
            place = _place(self, "task group")
            if problem:
                end = EmptyOperator(task_id="end", trigger_rule="none_failed")
                # without a prefix, any task of the Dag could be ours
                tasks = _problems(place.dag_id if self.prefix_group_id else "", problem, prefix=f"{self.group_id}.")
                base = source.environments.get(environment)
                marker.attach(marker.make(place, environment, base, problem=problem), tasks[:1])
                tasks >> end
            else:
                _add_packs(source, environment, place)


@dataclass(frozen=True, kw_only=True)
class _Source:
    """What a Dag or group is made from."""

    settings: Settings
    environments: Mapping[str, Environment]  # none if the settings cannot be read
    catalog: Catalog
    packs: tuple[Pack, ...]  # the selected ones; none after a mistake
    problem: str  # what is wrong; '' if nothing is

    @classmethod
    def read(cls, arguments: Mapping[str, Any], dag_file: str) -> _Source:
        """Read the settings and the packs folder.

        Args:
            arguments: arguments of the Dag or group; None counts as left out.
            dag_file: the file that `packs_dir` is relative to.

        Raises:
            ConfigurationError: if an argument is wrong, so that the Dag's author sees it. Mistakes in the Variable or
                the folder do not raise: an exception would remove every Dag of the file.
        """
        stated = {key: value for key, value in arguments.items() if value is not None}
        argued = Settings().override(stated)
        settings = Settings()
        environments = argued.environments if "environments" in stated else {}
        catalog = Catalog(root=Path(), packs=(), quarantined=(), findings=())
        packs: tuple[Pack, ...] = ()
        problem = ""
        try:
            settings = Settings.load().override(stated)
            environments = settings.environments
            catalog = Catalog.scan(Path(dag_file).parent / settings.packs_dir)
            packs = choose(catalog.every, settings.select, settings.exclude)
            choose(catalog.every, select=_selectors(settings))  # raises if a selector matches no pack
            if not packs:
                hint = "add packs (airflow hdm packs install basic packs), or correct select and exclude"
                raise ConfigurationError("no packs to run", settings.packs_dir, hint)
        except ConfigurationError as error:
            packs, problem = (), str(error)
        return cls(settings=settings, environments=environments, catalog=catalog, packs=packs, problem=problem)


def _selectors(settings: Settings) -> tuple[str, ...]:
    """The selectors of packs in pack_args.

    Raises:
        ConfigurationError: if one names a task of the house that there is not.
    """
    of_house = {one for one in settings.pack_args if one.startswith(HOUSE)}
    if unknown := sorted(of_house - {f"{HOUSE}notify"}):
        hint = f"the tasks that no pack stands behind are: {HOUSE}notify"
        raise ConfigurationError(f"the selector {unknown[0]!r} matches no task", "pack_args", hint)
    return tuple(one for one in settings.pack_args if one not in of_house)


def _place(group: TaskGroup, kind: Literal["dag", "task group"]) -> marker.Group:
    group_id = group.group_id or ""
    prefix = f"{group_id}." if group.prefix_group_id else ""
    return marker.Group(dag_id=group.dag.dag_id, group_id=group_id, prefix=prefix, kind=kind)


def _problems(dag_id: str, reason: str, *, prefix: str = "") -> list[BaseOperator]:
    """The task `configuration`, and in a worker the task that it has come to run: it fails with the same reason.

    Args:
        dag_id: of the Dag.
        reason: what is wrong.
        prefix: what begins the ids of the tasks in the current group; other tasks are not ours.
    """
    running = get_parsing_context()
    ids = {"configuration"}
    if running.dag_id == dag_id and running.task_id and running.task_id.startswith(prefix):
        ids |= {running.task_id.removeprefix(prefix)} - {"start", "end"}
    return [ProblemOperator(task_id=one, reason=reason) for one in sorted(ids, key=lambda one: one != "configuration")]


def _add_packs(source: _Source, environment: str, place: marker.Group) -> None:
    """Add one task per pack to the current group, with rule packs downstream of the metric packs they depend on.

    The last task, `end`, is downstream of every pack: if a metric task fails and its rule task succeeds, the run must
    still be red.
    """
    stated = _pack_arguments(source.settings)
    tasks = {pack.task_id: _task(pack, source.settings, environment, stated) for pack in source.packs}
    for pack in source.packs:
        upstream = [tasks[other.task_id] for other in source.catalog.upstream(pack) if other.task_id in tasks]
        if upstream:
            # all_done: only the gate decides, endpoint by endpoint, what the task judges
            tasks[pack.task_id].trigger_rule = TriggerRule.ALL_DONE
            tasks[pack.task_id].set_upstream(upstream)
    EmptyOperator(task_id="end", trigger_rule="none_failed").set_upstream(list(tasks.values()))
    if source.settings.notify_for(source.settings.environments[environment]):
        from hdm_airflow.operators import house  # only then: each parse pays for what it imports

        house.add(source.settings, environment, list(tasks.values()), stated)
    faults = [(pack, _fault(pack, tasks[pack.task_id])) for pack in source.packs]
    base = source.settings.environments[environment]
    marker.attach(marker.make(place, environment, base, faults), tasks.values())


def _task(pack: Pack, settings: Settings, environment: str, stated: PackArguments | None) -> BaseOperator:
    base = settings.environments[environment]
    arguments: dict[str, Any] = {
        "environment": environment,
        "conn_id": base.conn_id,
        "pack_conn_id": base.pack_conn_id,
        "doc_md": _doc(pack),
        **_manifest_arguments(pack),
    }
    if not pack.errors:
        arguments["outlets"] = [asset(environment, pack)]
    arguments["options"] = settings.run_options_for(pack, base)
    if stated:
        try:
            arguments = stated.merge(pack, arguments)
        except ConfigurationError as error:
            return ProblemOperator(task_id=pack.task_id, reason=str(error), environment=environment, pack=pack.task_id)
    return PackOperator(task_id=pack.task_id, pack=pack, **arguments)


def _fault(pack: Pack, task: BaseOperator) -> str:
    """Why the task of a pack can only fail; '' if it can run."""
    if pack.errors:
        first = pack.errors[0]
        return f"{first.path}: {first.message} ({first.code})"
    return task.reason.partition("\n")[0] if isinstance(task, ProblemOperator) else ""


def _pack_arguments(settings: Settings) -> PackArguments | None:
    """The setting `pack_args`; None if it is empty: then its module is not needed, which takes as long as ten packs."""
    if not settings.pack_args:
        return None
    from hdm_airflow.operators.arguments import PackArguments

    return PackArguments(settings.pack_args)


def asset(environment: str, pack: Pack) -> Asset:
    """The asset that the task of a pack updates when it succeeds; other Dags can be scheduled on it."""
    return Asset(
        name=f"hdm-{environment}.{pack.task_id}", uri=f"hdm://{environment}/{pack.kind}-packs/{quote(pack.name)}"
    )


def _manifest_arguments(pack: Pack) -> dict[str, Any]:
    stated = {key: getattr(pack.manifest, key) for key in _MANIFEST_KEYS} if pack.manifest else {}
    return {key: value for key, value in stated.items() if value is not None}


def _dag_doc(settings: Settings, problem: str) -> str:
    """The documentation of the Dag in Airflow's UI. After a mistake, the environments may be unknown."""
    if problem:
        return _DAG_DOC.format(environments="The settings are wrong: see the task `configuration`.")
    rows = ["| environment | connection of the HDM base | packs connect as |", "|---|---|---|"]
    for name, base in sorted(settings.environments.items()):
        packs = f"`{base.pack_conn_id}`" if base.pack_conn_id else f"`{base.conn_id}` (owner)"
        rows.append(f"| {name} | `{base.conn_id}` | {packs} |")
    return _DAG_DOC.format(environments="\n".join(rows))


def _doc(pack: Pack) -> str:
    """The documentation of a pack in Airflow's UI: what it is, its errors, its warnings, its Readme."""
    parts = [f"**{pack.kind} pack {pack.name} {pack.version}**".replace(" **", "**")]
    if pack.manifest and pack.manifest.description:
        parts.append(pack.manifest.description)
    if pack.findings:
        warnings = [finding for finding in pack.findings if finding not in pack.errors]
        parts += _listed("Quarantined: the pack does not run until these errors are corrected", pack.errors)
        parts += _listed("Warnings", warnings)
    parts.append(pack.readme)
    return "\n\n".join(part for part in parts if part)


def _listed(title: str, findings: Sequence[Finding]) -> list[str]:
    if not findings:
        return []
    lines = []
    for one in findings:
        path, message, hint = map(in_markdown, (one.path, one.message, one.hint))
        lines.append(f"- {path}: **{message}** ({one.code})\n  - do: {hint}")
    return [f"#### {title}", "\n".join(lines)]


def _metric_date_param() -> Param:
    description = "The date under which metrics are stored (YYYY-MM-DD); default: the date of the run."
    return Param(None, type=["null", "string"], format="date", description=description)


def _caller() -> str:
    """The Dag file: the file of the nearest frame outside this package and Airflow's generated code."""
    frame = sys._getframe(1)  # noqa: SLF001  # Airflow does the same for DAG.fileloc
    while frame.f_back and (frame.f_code.co_filename.startswith((_OWN_FOLDER, "<"))):
        frame = frame.f_back
    return frame.f_code.co_filename
