"""PackOperator: runs one pack on the endpoints activated for it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import Asset, BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from hdm_airflow.errors import ConfigurationError, HdmError, IncidentsOpenedError, PackFailedError
from hdm_airflow.operators import marker
from hdm_airflow.operators.metric_date import metric_date
from hdm_airflow.packs.finding import listed
from hdm_airflow.packs.pack import Pack
from hdm_airflow.settings import RunOptions

# Modules that only a running task needs are imported in `execute`: a Dag file is parsed far more often than its tasks
# run, and must not load a database driver.
if TYPE_CHECKING:
    from airflow.sdk import DAG, Context

    from hdm_airflow.operators.attempt import AttemptResult, PackAttempt
    from hdm_airflow.operators.part import Part

#: Seconds between our timeout and Airflow's, in which to end the processes and write the ledger.
_HEADSTART = 10.0
_SHOWN = 10  # endpoints per reason in the error, and
_REASONS = 20  # reasons; the ledger has all of them


class PackOperator(BaseOperator):
    """Runs one pack on the endpoints activated for it.

    The task succeeds only if every endpoint succeeds or is skipped, and no incident is opened that the option `fail_on`
    names. It is skipped if no endpoint is activated, if none passes the gate, or if the pack skips them all. `HdmDag`
    creates one such task per pack.

    Args:
        pack: a pack of a `Catalog`; the task of a quarantined pack fails at once with the findings, without retries, or
            is skipped if the pack is activated on no endpoint.
        environment: name of the environment, for the pack and the ledger.
        conn_id: Airflow connection of the HDM base.
        pack_conn_id: connection that the pack uses to reach the base; default: `conn_id`.
        options: settings of the run, such as `timeout` or `limits`, with keys and values as in the Variable `hdm`; all
            optional; default: the defaults of the settings. A `timeout` here overrides the manifest's.
        **kwargs: arguments of `airflow.sdk.BaseOperator`. The pack is stopped ten seconds before `execution_timeout`
            (at half of it if that is under twenty seconds), so that there is time to write the ledger.

    Raises:
        ConfigurationError: if an option is wrong.
    """

    ui_color = "#d9ead3"

    def __init__(
        self,
        *,
        pack: Pack,
        environment: str = "prod",
        conn_id: str = "hdm",
        pack_conn_id: str | None = None,
        options: RunOptions | Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        options = RunOptions.read(options, f"options of {kwargs.get('task_id')}")  # first: it may raise
        super().__init__(**({**kwargs, "retries": 0} if pack.errors else kwargs))
        self.pack = pack
        self.environment = environment
        self.conn_id = conn_id
        self.pack_conn_id = pack_conn_id
        self.options = options
        self._running: PackAttempt | None = None

    def execute(self, context: Context) -> None:
        """Run the pack.

        Raises:
            AirflowSkipException: if no endpoint is activated, none passes the gate, or the pack skipped them all.
            AirflowFailException: if the configuration is wrong, or the pack opened or reopened incidents that the
                setting `fail_on` names: a retry would not help.
            PackFailedError: if an endpoint did not succeed.
            HdmError: if the HDM base or a venv cannot be used, or incidents could not be derived: a retry may help.
        """
        try:
            part = self._part(context)
            self._skip_backfill(context)
            self._skip_quarantined()
            self._running = self._attempt(context, part)
            result = self._running.run()
        except ConfigurationError as error:
            raise AirflowFailException(str(error)) from None  # or the log would show all of it twice
        finally:
            self._leave_summary(context)
        self._conclude(result)
        if part:
            self._mark_events(context)

    def on_kill(self) -> None:
        """Write the ledger, then end the pack's processes: Airflow sends SIGKILL five seconds later."""
        if self._running:
            from hdm_airflow.operators.verdict import KILLED  # loaded already: `_running` imported it

            self._running.abort(KILLED)

    @property
    def custom_operator_name(self) -> str:
        """What Airflow shows as the task's operator."""
        return "quarantined" if self.pack.errors else f"{self.pack.kind} pack"

    @property
    def limit(self) -> float:
        """Seconds the pack may run, always less than Airflow allows.

        The timeout of the options if it was set, else the manifest's, else the default.
        """
        options, asked = self.options, self.pack.manifest and self.pack.manifest.timeout
        stated = asked if asked and "timeout" not in options.model_fields_set else options.timeout
        return min(stated, self._airflow_limit or stated)

    @property
    def _airflow_limit(self) -> float | None:
        """Seconds for the whole attempt, including waits for locks and builds; None without Airflow's timeout."""
        if self.execution_timeout is None:
            return None
        airflow = self.execution_timeout.total_seconds()
        return float(max(airflow - _HEADSTART, airflow / 2))

    # The steps, in the order of `execute` -----------------------------------------------------------------------

    def _part(self, context: Context) -> Part | None:
        """The part of the packs and endpoints that the run is limited to; skips the task if it is no part of it."""
        from hdm_airflow.operators import part

        limited = part.read(context)
        if limited is None:
            return None
        if self.has_dag():  # type: ignore[no-untyped-call]  # Airflow's is not annotated
            limited.check_names(_environments(self.dag), self.dag.task_ids)
        if not limited.covers(self.environment, self.pack.task_id):
            self._skip(part.OUTSIDE)
        return limited

    def _skip_backfill(self, context: Context) -> None:
        if context["dag_run"].run_type != "backfill" or self.pack.kind != "metric" or self.pack.errors:
            return
        if not (self.pack.manifest and self.pack.manifest.backfill):
            what = "skipped: a backfill would store today's state under a past date"
            self._skip(f'{what}; packs that can measure past dates set "backfill": true')

    def _skip_quarantined(self) -> None:
        """Skip a quarantined pack that is activated nowhere in this environment: it would run on nothing anyway."""
        if not self.pack.errors:
            return
        from hdm_airflow.operators import quarantine

        try:
            needed = quarantine.is_needed(self.pack, self.conn_id)
        except HdmError as error:
            self.log.warning("it is unknown whether the pack is activated: %s", error)
            return
        if not needed:
            what = f"quarantined, but activated on no endpoint of the environment {self.environment}"
            self._skip(f"{what}:\n{listed(self.pack.findings)}")

    def _skip(self, reason: str) -> NoReturn:
        """Skip the task. Airflow's pages fold up the exception, so the log has the reason too."""
        self.log.info("%s", reason)
        raise AirflowSkipException(reason)

    def _attempt(self, context: Context, part: Part | None) -> PackAttempt:
        from hdm_airflow.base.runs import Attempt
        from hdm_airflow.operators.attempt import Conditions, PackAttempt
        from hdm_airflow.runner.job import tz

        task_instance = context["ti"]
        attempt = Attempt(
            kind=self.pack.kind,
            pack=self.pack.name,
            pack_version=self.pack.version,
            metric_date=metric_date(context),
            environment=self.environment,
            dag_id=task_instance.dag_id,
            run_id=task_instance.run_id,
            task_id=task_instance.task_id,
            try_number=task_instance.try_number,
        )
        conditions = Conditions(
            conn_id=self.conn_id,
            pack_conn_id=self.pack_conn_id,
            options=self.options.model_copy(update={"timeout": self.limit}),
            deadline=None if self._airflow_limit is None else time.monotonic() + self._airflow_limit,
            timezone=tz(context["dag"].timezone),
        )
        return PackAttempt(self.pack, attempt, conditions, self.log, part=part)

    def _mark_events(self, context: Context) -> None:
        """Say in the asset events of this task that it has updated a part only."""
        for outlet in self.outlets:
            if isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra["partial_run"] = True

    def _leave_summary(self, context: Context) -> None:
        """Push the summary to XCom however the run ended: a return value is lost if the task fails."""
        result = self._running.result if self._running else None
        if result and not result.planned.empty:
            context["ti"].xcom_push(key="summary", value=result.summary)

    def _conclude(self, result: AttemptResult) -> None:
        if result.bad:
            total = len(result.done) + len(result.planned.kept)
            what = f"{self.pack.task_id} did not succeed on {len(result.bad)} of {total} endpoint(s):"
            lines = [what, *_grouped((f"{one.status}: {one.reason}", one.endpoint) for one in result.bad)]
            if result.last_lines:  # in the log only: Airflow sends errors by mail, and these lines may quote data
                self.log.error("\n  ".join(["the last lines of the pack's output:", *result.last_lines]))
            if result.fault:
                self.log.error("%s", result.fault)
            hint = "fix the causes above; a retry runs only these endpoints. All runs: airflow hdm runs list"
            raise PackFailedError("\n".join(lines), self.pack.folder, hint)
        if isinstance(result.fault, IncidentsOpenedError):
            raise AirflowFailException(str(result.fault))
        if result.fault:
            raise result.fault
        if result.planned.empty and result.planned.ignored:
            self._skip(f"{result.skip_reason} for {self.pack.task_id}")
        if result.planned.empty:
            hint = f"activate one: airflow hdm activate {self.pack.task_id} <endpoint>"
            self._skip(f"{result.skip_reason} for {self.pack.task_id}; {hint}")
        if result.skip_reason:
            reasons = [(why, slug) for slug, why in result.planned.gated.items()]
            reasons += [(one.reason, one.endpoint) for one in result.done]
            self._skip("\n".join([f"{result.skip_reason}:", *_grouped(reasons)]))


def _environments(dag: DAG) -> set[str]:
    """The environments of a Dag: also those of which no pack has a task that runs."""
    found = {task.environment for task in dag.tasks if isinstance(task, PackOperator)}
    inlets = (one for task in dag.tasks for one in task.inlets)
    return found | {str(one.extra["environment"]) for one in inlets if isinstance(one, Asset) and marker.is_marker(one)}


def _grouped(reasons: Iterable[tuple[str, str]]) -> list[str]:
    """A line per reason, with the endpoints last: most endpoints have the same one."""
    slugs: dict[str, list[str]] = {}
    for reason, slug in reasons:
        slugs.setdefault(reason, []).append(slug)
    lines = []
    for reason, found in slugs.items():
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        lines.append(f"  {reason}: {', '.join(found[:_SHOWN])}{more}")
    return lines[:_REASONS]
