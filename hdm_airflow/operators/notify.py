"""NotifyOperator: tells people what is new in an HDM base."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from hdm_airflow.errors import ConfigurationError, NotSentError
from hdm_airflow.settings import NotifyOptions

if TYPE_CHECKING:
    from airflow.sdk import Context

    from hdm_airflow.notify.notifier import Notified
    from hdm_airflow.notify.words import Site

_PAGES = "/plugin/data-quality"  # our pages, below Airflow's address
_SHOWN = 10  # recipients, or subscriptions, in an error


class NotifyOperator(BaseOperator):
    """Decides what is news for each subscription of an HDM base, and sends it.

    Args:
        environment: name of the environment.
        conn_id: Airflow connection of the HDM base.
        options: the setting `notify`.
        **kwargs: arguments of `airflow.sdk.BaseOperator`.
    """

    ui_color = "#dae8fc"
    custom_operator_name = "messages"

    def __init__(self, *, environment: str, conn_id: str, options: NotifyOptions, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.environment = environment
        self.conn_id = conn_id
        self.options = options

    def execute(self, context: Context) -> None:
        """Decide and send.

        Raises:
            AirflowSkipException: if the run is limited to another environment.
            AirflowFailException: if an address was refused for good, or a subscription cannot be read, and nothing
                waits: a retry would not help.
            NotSentError: if something waits: a retry may help.
            HdmBaseError: if the HDM base cannot be used.
        """
        self._skip_others(context)
        from hdm_airflow.base import version
        from hdm_airflow.base.hook import HdmHook
        from hdm_airflow.notify import notifier

        try:
            hook = HdmHook(self.conn_id)
            with hook.session() as base:
                version.check(base, hook.where)
                done = notifier.notify(base, site(self.environment), self.options)
        except ConfigurationError as error:
            raise AirflowFailException(str(error)) from None
        self.log.info("%d message(s) decided, %d sent", done.decided, done.sent)
        conclude(done)

    def _skip_others(self, context: Context) -> None:
        from hdm_airflow.operators import part

        try:
            limited = part.read(context)
        except ConfigurationError as error:
            raise AirflowFailException(str(error)) from None
        if limited and limited.environment != self.environment:
            raise AirflowSkipException(part.OUTSIDE)


def site(environment: str) -> Site:
    """Where messages come from: the environment, and the address of the pages, if Airflow is told its own."""
    from airflow.configuration import conf

    from hdm_airflow.notify.words import Site

    address = conf.get("api", "base_url", fallback="").rstrip("/")
    return Site(environment=environment, link=f"{address}{_PAGES}" if address else "")


def conclude(done: Notified) -> None:
    """Raise an error if not everybody was told.

    Raises:
        NotSentError: if messages wait.
        AirflowFailException: if only what a retry cannot mend is left.
    """
    lines = [
        f"  {one.messages:,} wait on {one.channel} since {one.since:%Y-%m-%d %H:%M}: {one.reason}"
        for one in done.waiting
    ]
    lines += _listed("refused for good: ", done.refused)
    lines += _listed("cannot be read: subscription ", [f"{one.id}: {one.flaw}" for one in done.flawed])
    if not lines:
        return
    hint = "nothing is lost; see: airflow hdm subscriptions list"
    error = NotSentError("\n".join(["not everybody was told:", *lines]), "messages", hint)
    if done.waiting:
        raise error
    raise AirflowFailException(str(error))


def _listed(what: str, found: list[str]) -> list[str]:
    more = [f"  ... and {len(found) - _SHOWN:,} more"] if len(found) > _SHOWN else []
    return [f"  {what}{one}" for one in found[:_SHOWN]] + more
