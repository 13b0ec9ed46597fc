"""ProblemOperator: a task that fails with a reason, in place of tasks whose configuration is wrong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from hdm_airflow.errors import ConfigurationError
from hdm_airflow.printable import printable

if TYPE_CHECKING:
    from airflow.sdk import Context


_LONGEST = 10_000  # characters of a reason: it may quote a value of any size


def in_markdown(text: str) -> str:
    """The text in Markdown, with its characters as they are: a paragraph per line, an item if it is indented."""
    lines = [re.sub(r"([\\`*_<>\[\]#|~&!])", r"\\\1", line) for line in text.splitlines()]
    return "\n\n".join(f"- {line.strip()}" if line.startswith(" ") else line for line in lines)


class ProblemOperator(BaseOperator):
    """A task that fails at once, without retries.

    Args:
        reason: what is wrong, where, and what to do; also the task's documentation.
        environment: in place of a pack's task: its environment, and
        pack: the task id of its pack, without the group; a Dag run that is limited to others skips the task.
    """

    ui_color = "#f8d7da"
    custom_operator_name = "wrong configuration"

    def __init__(self, *, reason: str, environment: str = "", pack: str = "", **kwargs: Any) -> None:
        reason = printable(reason, lines=True)[:_LONGEST]
        super().__init__(**{"doc_md": f"#### Why this task fails\n\n{in_markdown(reason)}", **kwargs, "retries": 0})
        self.reason = reason
        self.environment = environment
        self.pack = pack

    def execute(self, context: Context) -> NoReturn:
        """Fail with the reason.

        Raises:
            AirflowSkipException: if it is not part of the run.
            AirflowFailException: if it is.
        """
        if self.pack:
            from hdm_airflow.operators import part

            try:
                limited = part.read(context)
            except ConfigurationError as error:
                raise AirflowFailException(str(error)) from None
            if limited and not limited.covers(self.environment, self.pack):
                raise AirflowSkipException(part.OUTSIDE)
        raise AirflowFailException(self.reason)
