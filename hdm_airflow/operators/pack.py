"""PackOperator: runs one pack on the endpoints activated for it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from hdm_airflow.credentials.options import CredentialOptions
from hdm_airflow.errors import ConfigurationError, PackFailedError
from hdm_airflow.operators.metric_date import metric_date
from hdm_airflow.packs.limits import DEFAULT_LIMITS, Limits
from hdm_airflow.packs.pack import Pack
from hdm_airflow.runner.processes.sandbox import Sandbox
from hdm_airflow.runner.venvs.retention import Retention
from hdm_airflow.settings import DEFAULT_STORE, DEFAULT_TIMEOUT

# What a task needs in order to run is imported when it runs: a Dag file is parsed far more often than its tasks
# run, and must not load a database driver.
if TYPE_CHECKING:
    from hdm_airflow.operators.attempt import AttemptResult, PackAttempt

#: Seconds by which our timeout comes before Airflow's: time to end the processes and to write the ledger.
_HEADSTART = 10.0
_SHOWN = 100  # endpoints that the error names; the ledger has them all


class PackOperator(BaseOperator):
    """Runs one pack: endpoints, gate, credentials, environment, bootstrap script, reports, ledger.

    The task is green only if every endpoint is; it is skipped where none is activated or none passes the gate.

    Args:
        pack: from a Catalog; a quarantined one makes a task that fails at once with its findings.
        environment: name of the HDM environment.
        conn_id: Airflow connection of the HDM base.
        pack_conn_id: connection by which the pack reaches the base; None: conn_id.
        timeout: seconds a run may take; None: the manifest's, else six hours.
        require_reports: refuse metrics that only an exit code vouches for.
        environment_store: folder of the software environments.
        environment_retention: how long and how many of them are kept.
        credentials: where passwords come from.
        limits: how much of the machine a run may use; the manifest may ask for less.
        sandbox: how far the pack is kept from the files and processes of others.
    """

    ui_color = "#d9ead3"

    def __init__(
        self,
        *,
        pack: Pack,
        environment: str = "prod",
        conn_id: str = "hdm",
        pack_conn_id: str | None = None,
        timeout: float | None = None,
        require_reports: bool = False,
        environment_store: str = DEFAULT_STORE,
        environment_retention: Retention | Mapping[str, Any] | None = None,
        credentials: CredentialOptions | Mapping[str, Any] | None = None,
        limits: Limits | Mapping[str, Any] | None = None,
        sandbox: Sandbox | Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**({**kwargs, "retries": 0} if pack.errors else kwargs))
        self.pack = pack
        self.environment = environment
        self.conn_id = conn_id
        self.pack_conn_id = pack_conn_id
        self.timeout = timeout
        self.require_reports = require_reports
        self.environment_store = environment_store
        self.environment_retention = environment_retention
        self.credentials = credentials
        self.limits = limits
        self.sandbox = sandbox
        self._running: PackAttempt | None = None

    def execute(self, context: Any) -> None:
        """Run the pack.

        Raises:
            AirflowSkipException: no endpoint is activated, or none passes the gate, or the pack skipped all.
            AirflowFailException: something is wrong that a retry does not mend.
            PackFailedError: the run did not end well on every endpoint.
        """
        try:
            self._skip_backfill(context)
            self._running = self._attempt(context)
            result = self._running.run()
        except ConfigurationError as error:
            raise AirflowFailException(str(error)) from error
        finally:
            self._leave_summary(context)
        self._conclude(result)

    def on_kill(self) -> None:
        """Write the ledger, then end the pack's processes: Airflow sends SIGKILL five seconds later."""
        if self._running:
            self._running.abort("the task was killed")

    @property
    def limit(self) -> float:
        """Seconds the pack may run: its manifest's, else the setting, but always before Airflow's own timeout."""
        stated = self.timeout or (self.pack.manifest and self.pack.manifest.timeout) or DEFAULT_TIMEOUT
        return min(stated, self._airflow_limit or stated)

    @property
    def _airflow_limit(self) -> float | None:
        """Seconds until all must be over, waiting for locks and building included; None without a timeout."""
        if self.execution_timeout is None:
            return None
        airflow = self.execution_timeout.total_seconds()
        return float(max(airflow - _HEADSTART, airflow / 2))

    # The steps, in the order of `execute` -----------------------------------------------------------------------

    def _skip_backfill(self, context: Any) -> None:
        if context["dag_run"].run_type != "backfill" or self.pack.kind != "metric" or self.pack.errors:
            return
        if not (self.pack.manifest and self.pack.manifest.backfill):
            what = "skipped: a backfill would file today's state under a past date"
            raise AirflowSkipException(f'{what}; a pack that can measure past dates says "backfill": true')

    def _attempt(self, context: Any) -> PackAttempt:
        from hdm_airflow.base.runs import Attempt
        from hdm_airflow.operators.attempt import Conditions, PackAttempt

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
            timeout=self.limit,
            deadline=None if self._airflow_limit is None else time.monotonic() + self._airflow_limit,
            require_reports=self.require_reports,
            environment_store=Path(self.environment_store).expanduser(),
            environment_retention=Retention.model_validate(self.environment_retention or {}),
            credentials=CredentialOptions.model_validate(self.credentials or {}),
            limits=DEFAULT_LIMITS if self.limits is None else Limits.stated(self.limits),
            sandbox=Sandbox.model_validate(self.sandbox or {}),
            timezone=context["dag"].timezone.name,
        )
        return PackAttempt(self.pack, attempt, conditions, self.log)

    def _leave_summary(self, context: Any) -> None:
        """However it ended: a return value would be lost when the task fails."""
        result = self._running.result if self._running else None
        if result and not result.planned.empty:
            context["ti"].xcom_push(key="summary", value=result.summary)

    def _conclude(self, result: AttemptResult) -> None:
        if result.planned.empty:
            hint = f"activate one: airflow hdm activate {self.pack.task_id} <endpoint>"
            raise AirflowSkipException(f"{result.skip_reason} for {self.pack.task_id}; {hint}")
        if result.bad:
            reasons = "\n".join(f"  {one.endpoint}: {one.status}: {one.reason}" for one in result.bad[:_SHOWN])
            total = len(result.done) + len(result.planned.kept)
            what = f"{self.pack.task_id} did not succeed on {len(result.bad)} of {total} endpoint(s)"
            hint = "see the lines above; a retry runs these alone (airflow hdm runs list)"
            raise PackFailedError(f"{what}:\n{reasons}", self.pack.folder, hint)
        if result.skip_reason:
            raise AirflowSkipException(result.skip_reason)
