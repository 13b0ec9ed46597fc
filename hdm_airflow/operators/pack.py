"""PackOperator: runs one pack on the endpoints activated for it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from hdm_airflow.errors import ConfigurationError, PackFailedError
from hdm_airflow.operators.metric_date import metric_date
from hdm_airflow.packs.pack import Pack

# What a task needs in order to run is imported when it runs: a Dag file is parsed far more often than its tasks
# run, and must not load a database driver.
if TYPE_CHECKING:
    from collections.abc import Callable

    from hdm_airflow.base.hook import Base, HdmHook
    from hdm_airflow.base.runs import Attempt, Outcome
    from hdm_airflow.operators.execution import Execution
    from hdm_airflow.operators.plan import Plan
    from hdm_airflow.runner.job import Job, Target

DEFAULT_TIMEOUT = 6 * 3600.0  # seconds
DEFAULT_STORE = "~/.cache/hdm_airflow/environments"
#: Seconds by which our timeout comes before Airflow's: time to end the processes and to write the ledger.
_HEADSTART = 10.0


class PackOperator(BaseOperator):
    """Runs one pack: endpoints, gate, credentials, environment, bootstrap script, reports, ledger.

    The task is green only if every endpoint is; it is skipped where none is activated or none passes the gate.

    Args:
        pack: from a Catalog; a quarantined one makes a task that fails at once with its findings.
        environment: name of the HDM environment.
        conn_id: Airflow connection of the HDM base.
        pack_conn_id: connection by which the pack reaches the base; None: conn_id.
        timeout: seconds a run may take; the manifest's counts before this one.
        require_reports: refuse metrics that only an exit code vouches for.
        environment_store: folder of the software environments.
    """

    ui_color = "#d9ead3"

    def __init__(
        self,
        *,
        pack: Pack,
        environment: str = "prod",
        conn_id: str = "hdm",
        pack_conn_id: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        require_reports: bool = False,
        environment_store: str = DEFAULT_STORE,
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
        self._execution: Execution | None = None

    def execute(self, context: Any) -> None:
        """Run the pack.

        Raises:
            AirflowSkipException: no endpoint is activated, or none passes the gate, or the pack skipped all.
            AirflowFailException: something is wrong that a retry does not mend.
            PackFailedError: the run did not end well on every endpoint.
        """
        from hdm_airflow.operators import lock, plan

        try:
            self._refuse_quarantined()
            attempt = self._attempt(context)
            self._skip_backfill(context)
            hook = self._hook(self.conn_id)
            with hook.session() as base:
                lock.take(base, attempt, self.pack, patience=self.limit)
                planned = plan.read(base, attempt, self.pack, require_reports=self.require_reports)
                self._tell(planned)
                targets, done = self._start(base, attempt, planned)
                if targets:
                    make_job = partial(self._job, hook, base, attempt, planned, targets, context)
                    done += self._run(hook, attempt, targets, make_job)
            self._conclude(context, attempt, planned, done)
        except ConfigurationError as error:
            raise AirflowFailException(str(error)) from error

    def on_kill(self) -> None:
        """Write the ledger, then end the pack's processes: Airflow sends SIGKILL five seconds later."""
        if self._execution:
            self._execution.abort("the task was killed")

    @property
    def limit(self) -> float:
        """Seconds the pack may run: its manifest's, else the setting, but always before Airflow's own timeout."""
        manifest = self.pack.manifest
        limit = manifest.timeout if manifest and manifest.timeout else self.timeout
        if self.execution_timeout is None:
            return limit
        airflow = self.execution_timeout.total_seconds()
        return min(limit, max(airflow - _HEADSTART, airflow / 2))

    # The steps, in the order of `execute` -----------------------------------------------------------------------

    def _refuse_quarantined(self) -> None:
        if self.pack.errors:
            findings = "\n".join(map(str, self.pack.findings))
            raise AirflowFailException(f"the pack in {self.pack.folder} is quarantined:\n{findings}")

    def _attempt(self, context: Any) -> Attempt:
        from hdm_airflow.base.runs import Attempt

        task_instance = context["ti"]
        return Attempt(
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

    def _skip_backfill(self, context: Any) -> None:
        run_type = context["dag_run"].run_type
        manifest = self.pack.manifest
        if run_type == "backfill" and self.pack.kind == "metric" and not (manifest and manifest.backfill):
            what = "skipped: a backfill would file today's state under a past date"
            raise AirflowSkipException(f'{what}; a pack that can measure past dates says "backfill": true')

    def _hook(self, conn_id: str) -> HdmHook:
        from hdm_airflow.base.hook import HdmHook

        hook = HdmHook(conn_id)
        hook.load()
        return hook

    def _tell(self, planned: Plan) -> None:
        if planned.empty:
            hint = f"activate one: airflow hdm activate {self.pack.task_id} <endpoint>"
            raise AirflowSkipException(f"no endpoint is activated for {self.pack.task_id}; {hint}")
        if planned.external.warning:
            self.log.warning("%s", planned.external.warning)
        for slug, why in planned.gated.items():
            self.log.warning("%s is not run: %s", slug, why)
        for slug in planned.kept:
            self.log.info("%s has succeeded before and is left as it is", slug)

    def _start(self, base: Base, attempt: Attempt, planned: Plan) -> tuple[list[Target], list[Outcome]]:
        """Look up the passwords, record what cannot run, and begin what can."""
        from hdm_airflow.base import runs
        from hdm_airflow.credentials.airflow_connections import AirflowConnections
        from hdm_airflow.credentials.chain import Chain
        from hdm_airflow.operators import targets as find_targets

        versions = runs.dbversions(base, [item.slug for item in planned.run])
        targets, refused = find_targets.find(planned.run, Chain([AirflowConnections()]), versions)
        broken = {**planned.broken, **refused}
        failed = [runs.Outcome(endpoint=slug, status="failed", reason=why) for slug, why in broken.items()]
        gated = [runs.Outcome(endpoint=slug, status="skipped", reason=why) for slug, why in planned.gated.items()]
        runs.finish(base, attempt, [*failed, *gated])
        runs.start(base, attempt, [target.slug for target in targets])
        for slug, why in broken.items():
            self.log.error("%s fails: %s", slug, why)
        return targets, failed

    def _run(
        self, hook: HdmHook, attempt: Attempt, targets: list[Target], make_job: Callable[[], Job]
    ) -> list[Outcome]:
        from pathlib import Path

        from hdm_airflow.operators.execution import Execution
        from hdm_airflow.runner.environments import EnvironmentStore

        slugs = [target.slug for target in targets]
        self._execution = Execution(hook, attempt, slugs, lambda line: self.log.info("%s", line))
        return self._execution.run(make_job, EnvironmentStore(Path(self.environment_store).expanduser()))

    def _job(
        self, hook: HdmHook, base: Base, attempt: Attempt, planned: Plan, targets: list[Target], context: Any
    ) -> Job:
        from hdm_airflow.runner.job import BaseAccess, Job

        pack_hook = self._hook(self.pack_conn_id) if self.pack_conn_id else hook
        self._create_tables(base, pack_hook)
        variables, password = pack_hook.libpq()
        return Job(
            pack=self.pack,
            environment=self.environment,
            metric_date=attempt.metric_date,
            run_id=attempt.run_id,
            dag_id=attempt.dag_id,
            task_id=attempt.task_id,
            try_number=attempt.try_number,
            base=BaseAccess(variables=variables, password=password),
            config=planned.external.value,
            config_source=planned.external.source,
            targets=tuple(targets),
            timezone=context["dag"].timezone.name,
            timeout=self.limit,
        )

    def _create_tables(self, base: Base, pack_hook: HdmHook) -> None:
        from hdm_airflow.base import pack_schema

        scripts = pack_schema.scripts(self.pack)
        if scripts:
            with pack_hook.session() as runner:
                for file in pack_schema.apply(base, runner, self.pack.kind, self.pack.name, scripts):
                    self.log.info("%s was applied to the HDM base", file)

    def _conclude(self, context: Any, attempt: Attempt, planned: Plan, done: list[Outcome]) -> None:
        from hdm_airflow.operators import verdict

        summary = verdict.summary(attempt.metric_date, done, planned.gated, planned.kept)
        context["ti"].xcom_push(key="summary", value=summary)  # before raising: a return value is lost on failure
        self.log.info("%s", verdict.sentence(summary))
        bad = [one for one in done if one.status in {"failed", "partial"}]
        if bad:
            reasons = "\n".join(f"  {one.endpoint}: {one.status}: {one.reason}" for one in bad)
            what = f"{self.pack.task_id} did not succeed on {len(bad)} of {len(done) + len(planned.kept)} endpoint(s)"
            hint = "see the lines above; a retry runs these alone (airflow hdm runs list)"
            raise PackFailedError(f"{what}:\n{reasons}", self.pack.folder, hint)
        if not planned.kept and all(one.status == "skipped" for one in done):
            reason = "every endpoint waits for its metrics" if planned.gated else "the pack skipped every endpoint"
            raise AirflowSkipException(reason)
