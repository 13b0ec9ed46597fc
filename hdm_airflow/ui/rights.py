"""Rights: what a user of Airflow may do on these pages, by their rights in Airflow. There are none of our own."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails, VariableDetails
from airflow.models.variable import Variable

from hdm_airflow.errors import HdmError
from hdm_airflow.variable import VARIABLE

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser

    from hdm_airflow.ui.environments import Environment


class Right(Enum):
    """What a request needs, in an environment. Its value is the key of the text that says who has it."""

    READ = "frame.right-read"  # may read the Dag
    RUN = "frame.right-run"  # may trigger the Dag
    WRITE = "frame.right-write"  # may read the Dag, and edit the Variable hdm


class RefusedError(HdmError):
    """The user may not do this."""


def has(user: BaseUser, right: Right, environment: Environment) -> bool:
    """Whether a user has a right in an environment."""
    manager, dag = get_auth_manager(), DagDetails(id=environment.dag_id, team_name=environment.team)
    if not manager.is_authorized_dag(method="GET", details=dag, user=user):
        return False
    if right is Right.RUN:
        return bool(manager.is_authorized_dag(method="POST", access_entity=DagAccessEntity.RUN, details=dag, user=user))
    if right is Right.WRITE:
        variable = VariableDetails(key=VARIABLE, team_name=Variable.get_team_name(VARIABLE))
        return bool(manager.is_authorized_variable(method="PUT", details=variable, user=user))
    return True
