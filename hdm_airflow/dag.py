"""HdmDag and HdmTaskGroup: a packs folder as a Dag, or as a group inside somebody's own Dag."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, BaseOperator, Param, TaskGroup, TriggerRule
from airflow.sdk.definitions._internal.contextmanager import DagContext, TaskGroupContext
from airflow.sdk.definitions.param import ParamsDict

from hdm_airflow.errors import ConfigurationError
from hdm_airflow.operators.metric_date import PARAM
from hdm_airflow.operators.pack import PackOperator
from hdm_airflow.operators.problem import ProblemOperator
from hdm_airflow.packs.catalog import Catalog
from hdm_airflow.packs.pack import Pack
from hdm_airflow.packs.selection import choose, matches
from hdm_airflow.settings import WHERE, Settings

_OWN_FOLDER = f"{Path(__file__).parent.absolute()}{os.sep}"
#: Of a manifest's keys, those that the task takes as arguments, where pack_args may replace them.
_MANIFEST_KEYS = ("retries", "pool", "queue")
_DURATIONS = {"execution_timeout", "retry_delay", "max_retry_delay"}


class HdmDag(DAG):
    """A Dag that runs a packs folder: `start >> one group per environment >> end`.

    What is left out comes from the Airflow Variable `hdm`, then from defaults. A broken pack, an invalid Variable or
    an empty selection never keeps the Dag from loading: a task that fails says what is wrong.

    Args:
        dag_id: the Dag's id.
        packs_dir: the packs folder, relative to the Dag file.
        environments: name -> {"conn_id": ...}, one HDM base each.
        select: selectors of the packs to run (`basic`, `mp_basic`, `kind:rule`, `tag:nightly`).
        exclude: selectors of the packs not to run.
        pack_args: selector -> arguments for PackOperator, such as `{"mp_basic": {"pool": "hdm"}}`.
        **dag_arguments: as of airflow.sdk.DAG; the defaults are 02:00, no catch-up, one active run, tag `hdm`.

    Raises:
        ConfigurationError: an argument is wrong.
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
        settings, catalog, packs, problem = _read(arguments, dag_file)
        params = {PARAM: _metric_date_param(), **(dag_arguments.pop("params", None) or {})}
        defaults = {
            "schedule": settings.schedule,
            "catchup": False,
            "max_active_runs": 1,
            "tags": {"hdm"},
            "description": "Data quality packs: metrics, then rules",
        }
        super().__init__(dag_id, **{**defaults, **dag_arguments})
        self.fileloc = dag_file
        with self:
            start = EmptyOperator(task_id="start")
            end = EmptyOperator(task_id="end", trigger_rule="none_failed")
            if problem:
                start >> ProblemOperator(task_id="configuration", reason=problem) >> end
            else:
                for name in sorted(settings.environments):
                    with TaskGroup(f"hdm-{name}"):
                        _add_packs(catalog, packs, settings, name, start, end)
        # Last: Airflow would copy the Dag's params into each task that is made, twice.
        self.params = ParamsDict(params)


class HdmTaskGroup(TaskGroup):
    """The packs of one environment as a group of tasks, inside somebody's own Dag.

    Its last task, `end`, is red when any pack failed: whatever follows the group waits for all of it.

    Args:
        group_id: the group's id.
        packs_dir: the packs folder, relative to the Dag file.
        environment: name of one of the environments of the settings.
        select: as of HdmDag.
        exclude: as of HdmDag.
        pack_args: as of HdmDag.
        **group_arguments: as of airflow.sdk.TaskGroup.

    Raises:
        ConfigurationError: an argument is wrong.
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
        settings, catalog, packs, problem = _read(arguments, _caller())
        if not problem and environment not in settings.environments:
            known = ", ".join(sorted(settings.environments))
            problem = str(
                ConfigurationError(f"there is no environment {environment!r}", WHERE, f"choose one of: {known}")
            )
        super().__init__(group_id, **group_arguments)
        with self:
            end = EmptyOperator(task_id="end", trigger_rule="none_failed")
            if problem:
                ProblemOperator(task_id="configuration", reason=problem) >> end
            else:
                _add_packs(catalog, packs, settings, environment, None, end)


def _read(arguments: Mapping[str, Any], dag_file: str) -> tuple[Settings, Catalog, tuple[Pack, ...], str]:
    """Settings, catalog and chosen packs; or, in place of the last three, what is wrong with them.

    Wrong arguments raise: they are the Dag author's. What stands in the Variable or in the folder does not: an
    exception would take every Dag of the file away.
    """
    stated = {key: value for key, value in arguments.items() if value is not None}
    Settings().override(stated)
    settings = Settings()
    try:
        settings = Settings.load().override(stated)
        catalog = Catalog.scan(Path(dag_file).parent / settings.packs_dir)
        packs = choose(catalog.every, settings.select, settings.exclude)
        choose(catalog.every, select=tuple(settings.pack_args))  # a selector that means nothing is a mistake here, too
        if not packs:
            hint = "add packs (airflow hdm packs install basic packs), or correct select and exclude"
            raise ConfigurationError("there is no pack to run", settings.packs_dir, hint)
    except ConfigurationError as error:
        return settings, Catalog(root=Path(), packs=(), quarantined=(), findings=()), (), str(error)
    return settings, catalog, packs, ""


def _add_packs(
    catalog: Catalog, packs: Sequence[Pack], settings: Settings, environment: str, start: Any, end: Any
) -> None:
    """Add one task per pack to the current group, rule packs behind the metric packs they depend on."""
    tasks = {pack.task_id: _task(pack, settings, environment) for pack in packs}
    roots = []
    for pack in packs:
        upstream = [tasks[other.task_id] for other in catalog.upstream(pack) if other.task_id in tasks]
        if upstream:
            # all_done: the gate alone decides, endpoint by endpoint, what the task judges
            tasks[pack.task_id].trigger_rule = TriggerRule.ALL_DONE
            tasks[pack.task_id].set_upstream(upstream)
        else:
            roots.append(tasks[pack.task_id])
    if start is not None:
        start.set_downstream(roots)
    # Behind every task, not only the last: a failed metric task whose rules went on would leave the run green.
    end.set_upstream(list(tasks.values()))


def _task(pack: Pack, settings: Settings, environment: str) -> BaseOperator:
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
    for selector, stated in settings.pack_args.items():
        if matches(selector, pack):
            arguments.update(_as_durations(stated))
    options = dict(settings.run_options(pack))
    options.update({name: arguments.pop(name) for name in options.keys() & arguments})
    try:
        return PackOperator(task_id=pack.task_id, pack=pack, options=options, **arguments)
    except Exception as error:  # noqa: BLE001  # whatever Airflow finds wrong with an argument must not lose the file
        _forget(pack.task_id)
        fault = error.what if isinstance(error, ConfigurationError) else error
        what = f"{pack.task_id} has wrong arguments: {fault}"
        problem = ConfigurationError(what, "pack_args", "correct them (docs: reference/settings)")
        return ProblemOperator(task_id=pack.task_id, reason=str(problem))


def asset(environment: str, pack: Pack) -> Asset:
    """The asset that a pack's task updates when it succeeds, to schedule other Dags on."""
    return Asset(
        name=f"hdm-{environment}.{pack.task_id}", uri=f"hdm://{environment}/{pack.kind}-packs/{quote(pack.name)}"
    )


def _manifest_arguments(pack: Pack) -> dict[str, Any]:
    stated = {key: getattr(pack.manifest, key) for key in _MANIFEST_KEYS} if pack.manifest else {}
    return {key: value for key, value in stated.items() if value is not None}


def _as_durations(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no durations: where Airflow takes one, a number means seconds."""
    return {
        key: timedelta(seconds=value) if key in _DURATIONS and isinstance(value, (int, float)) else value
        for key, value in arguments.items()
    }


def _forget(task_id: str) -> None:
    """Undo what a constructor that raised halfway has registered with the current Dag and group."""
    dag = DagContext.get_current()
    group = TaskGroupContext.get_current(dag)
    if dag is not None and group is not None:
        full_id: str = group.child_id(task_id)  # type: ignore[no-untyped-call]  # Airflow's is not annotated
        group.children.pop(full_id, None)
        dag.task_dict.pop(full_id, None)


def _doc(pack: Pack) -> str:
    """A pack's documentation in the UI: what is wrong with it, then its Readme."""
    lines = [f"**{pack.kind} pack {pack.name} {pack.version}**".replace("  ", " ")]
    if pack.manifest and pack.manifest.description:
        lines.append(pack.manifest.description)
    if pack.findings:
        state = "quarantined" if pack.errors else "warnings"
        lines.append(f"#### {state}\n```\n" + "\n".join(map(str, pack.findings)) + "\n```")
    lines.append(pack.readme)
    return "\n\n".join(line for line in lines if line)


def _metric_date_param() -> Param:
    description = "The date under which metrics are filed (YYYY-MM-DD); left out, the run's own date."
    return Param(None, type=["null", "string"], format="date", description=description)


def _caller() -> str:
    """The file that is making the Dag: the nearest frame outside this package and Airflow's generated code."""
    frame = sys._getframe(1)  # noqa: SLF001  # what Airflow itself does for DAG.fileloc
    while frame.f_back and (frame.f_code.co_filename.startswith((_OWN_FOLDER, "<"))):
        frame = frame.f_back
    return frame.f_code.co_filename
