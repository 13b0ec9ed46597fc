"""What users may do on our pages, per environment, as any auth manager of Airflow may decide it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from hdm_airflow.ui import rights
from hdm_airflow.ui.environments import Environment
from hdm_airflow.ui.rights import Right

WARD = Environment(
    dag_id="ward", name="prod", conn_id="hdm", is_whole_dag=True, paused=False, team="blue", problem="", packs=()
)


class Manager:
    """An auth manager that grants what the test names; it keeps what it was asked."""

    def __init__(self, *granted: tuple[Any, ...]) -> None:
        self.granted, self.asked = granted, list[tuple[Any, ...]]()

    def is_authorized_dag(self, *, method: str, details: Any, access_entity: Any = None, **_: Any) -> bool:
        """By Dag, method and entity."""
        self.asked.append((details.id, details.team_name))
        return ("dag", details.id, method, access_entity and access_entity.name) in self.granted

    def is_authorized_variable(self, *, method: str, details: Any, **_: Any) -> bool:
        """By name and method."""
        return ("variable", details.key, method) in self.granted


READ, RUN, WRITE = ("dag", "ward", "GET", None), ("dag", "ward", "POST", "RUN"), ("variable", "hdm", "PUT")


@pytest.mark.parametrize(
    ("granted", "has"),
    [
        ([], set()),
        ([READ], {Right.READ}),
        ([RUN, WRITE], set()),  # nobody acts on what they may not see
        ([READ, RUN], {Right.READ, Right.RUN}),
        ([READ, WRITE], {Right.READ, Right.WRITE}),
        ([READ, RUN, WRITE], set(Right)),
        ([("dag", "other", "GET", None), RUN, WRITE], set()),
        ([READ, ("dag", "other", "POST", "RUN"), ("variable", "hdm", "GET")], {Right.READ}),
    ],
)
def test_rights_are_those_on_the_dag_and_the_variable(
    monkeypatch: pytest.MonkeyPatch, granted: list[tuple[Any, ...]], has: set[Right]
) -> None:
    """Each on its own; to run or to change something, one must be able to read the Dag."""
    manager = Manager(*granted)
    monkeypatch.setattr(rights, "get_auth_manager", lambda: manager)
    monkeypatch.setattr(rights.Variable, "get_team_name", lambda _: "blue")
    user: Any = SimpleNamespace()
    assert {one for one in Right if rights.has(user, one, WARD)} == has
    assert set(manager.asked) == {("ward", "blue")}


def test_another_environment_has_rights_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Environments of the same name in two Dags."""
    monkeypatch.setattr(rights, "get_auth_manager", lambda: Manager(READ, RUN))
    user: Any = SimpleNamespace()
    assert rights.has(user, Right.RUN, WARD)
    assert not rights.has(user, Right.READ, replace(WARD, dag_id="other"))
