"""Part: the packs and endpoints that a Dag run is limited to, by `hdm_only` in the run's conf.

It is read from the conf itself, which Airflow can be told to keep out of the params.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from hdm_airflow.errors import ConfigurationError
from hdm_airflow.operators.metric_date import conf
from hdm_airflow.settings import fault

if TYPE_CHECKING:
    from airflow.sdk import Context

CONF = "hdm_only"
#: The reason of tasks outside of it.
OUTSIDE = "not part of this run"
#: So many endpoints can be named: the conf is kept with each run, and Airflow's pages show all of it.
MOST = 500

_WHERE = "conf of the Dag run"
_Text = Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class Part(BaseModel):
    """The part of the packs and endpoints that a run is limited to."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    environment: _Text = Field(description="Name of the environment; packs of others are skipped.")
    packs: list[_Text] | None = Field(
        None, min_length=1, max_length=MOST, description="Task ids such as mp_basic; default: all packs."
    )
    endpoints: list[_Text] | None = Field(
        None, min_length=1, max_length=MOST, description="Slugs; default: all endpoints activated for the pack."
    )

    def covers(self, environment: str, pack: str) -> bool:
        """Whether a task is part of the run.

        Args:
            environment: of the task.
            pack: task id of its pack, without the group.
        """
        return environment == self.environment and (self.packs is None or pack in self.packs)

    def check_names(self, environments: Collection[str], task_ids: Collection[str]) -> None:
        """Check that what the conf names is in the Dag: a mistyped name would skip all tasks, and the run be green.

        Args:
            environments: of the Dag.
            task_ids: of the Dag, with their groups.

        Raises:
            ConfigurationError: if the Dag has no such environment or pack.
        """
        if self.environment not in environments:
            known = ", ".join(sorted(environments))
            what = f"{CONF}: this Dag has no environment {self.environment!r}"
            raise ConfigurationError(what, _WHERE, f"choose one of: {known}")
        unknown = sorted(
            pack for pack in self.packs or () if not any(f".{one}".endswith(f".{pack}") for one in task_ids)
        )
        if unknown:
            what = f"{CONF}: this Dag has no pack {', '.join(map(repr, unknown))}"
            raise ConfigurationError(what, _WHERE, "write packs as in their tasks: mp_NAME or rp_NAME")


def read(context: Context) -> Part | None:
    """The part that the Dag run is limited to; None if it runs everything.

    Raises:
        ConfigurationError: if it has a wrong shape; the error lists all faults.
    """
    stated = conf(context)
    if CONF not in stated:
        return None
    try:
        return Part.model_validate(stated[CONF])
    except ValidationError as error:
        faults = [f"  {fault(one, CONF)}" for one in error.errors()]
        hint = 'write it as {"environment": NAME, "packs": [TASK, ...], "endpoints": [SLUG, ...]}'
        raise ConfigurationError("\n".join([f"{CONF} is wrong:", *faults]), _WHERE, hint) from None
