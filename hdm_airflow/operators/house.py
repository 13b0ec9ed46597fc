"""House: tasks of an environment that no pack stands behind. They are made here, for HdmDag and HdmTaskGroup alike.

They are teardowns: they run after all packs, whatever became of these. What follows the group neither waits for them
nor stops because of them, but a red one turns the run red. They work from the HDM base, not from the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hdm_airflow.errors import ConfigurationError
from hdm_airflow.operators.notify import NotifyOperator
from hdm_airflow.operators.problem import ProblemOperator

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

    from hdm_airflow.operators.arguments import PackArguments
    from hdm_airflow.settings import Settings

#: Ids of tasks of the house, without the group.
NOTIFY = "notify"
TASKS = (NOTIFY,)
_DOC = """Tells people what is new, by the subscriptions of this environment's HDM base.

- subscriptions, and what was not delivered: `airflow hdm subscriptions list`
- red: something could not be sent yet, an address was refused, or a subscription cannot be read. The end of the log
  says which. Nothing is lost: clear the task, or wait for the next run
- tasks after this group neither wait for it nor stop because of it
"""


def add(
    settings: Settings, environment: str, packs: Sequence[BaseOperator], stated: PackArguments | None
) -> list[BaseOperator]:
    """Add the tasks of the house to the current group.

    Args:
        settings: the settings; what they do not ask for gets no task.
        environment: its name.
        packs: the tasks of its packs.
        stated: the setting `pack_args`; None if it is empty.
    """
    base = settings.environments[environment]
    options = settings.notify_for(base)
    if options is None:
        return []
    arguments: dict[str, Any] = {
        "environment": environment,
        "conn_id": base.conn_id,
        "options": options,
        "doc_md": _DOC,
    }
    task: BaseOperator
    try:
        if stated:
            arguments = stated.merge_house(NOTIFY, NotifyOperator, arguments)
        task = NotifyOperator(task_id=NOTIFY, **arguments)
    except ConfigurationError as error:
        task = ProblemOperator(task_id=NOTIFY, reason=str(error), environment=environment, pack=NOTIFY)
    task.set_upstream(list(packs))
    return [task.as_teardown(on_failure_fail_dagrun=True)]
