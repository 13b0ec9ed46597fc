"""What an address of the matrix means."""

from __future__ import annotations

from typing import Any

import pytest

from hdm_airflow.base import matrix
from hdm_airflow.ui import matrix_view
from hdm_airflow.ui.environments import Environment, Pack


def pack(kind: Any, name: str, *tags: str, quarantined: str = "") -> Pack:
    """A pack of the Dag."""
    task_id = f"{kind[0]}p_{name}"
    return Pack(
        task_id=task_id,
        task=f"hdm.{task_id}",
        kind=kind,
        name=name,
        version="1.2.0",
        tags=tags,
        quarantined=quarantined,
    )


ENVIRONMENT = Environment(
    dag_id="hdm_pipeline",
    name="prod",
    conn_id="hdm_prod",
    is_whole_dag=True,
    paused=False,
    team=None,
    problem="",
    packs=(
        pack("metric", "basic", "nightly"),
        pack("rule", "basic", "nightly"),
        pack("metric", "bad", quarantined="x"),
    ),
)
STORED: list[Any] = [("metric", "basic"), ("metric", "zombie"), ("rule", "bad")]
BASE: Any = None  # it is not asked


@pytest.fixture(autouse=True)
def stored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The base knows packs that the Dag has, and others."""
    known = [matrix.PackColumn(kind=kind, name=name, version="0.9") for kind, name in STORED]
    monkeypatch.setattr(matrix, "packs", lambda _: known)


def columns(**parameters: Any) -> list[str]:
    """The packs that an address shows."""
    return [one.task_id for one in matrix_view.view(**parameters).columns(ENVIRONMENT, BASE)]


@pytest.mark.parametrize(
    ("parameters", "shown"),
    [
        ({}, ["mp_bad", "mp_basic", "rp_basic", "mp_zombie", "rp_bad"]),
        ({"kind": "rule"}, ["rp_basic", "rp_bad"]),
        ({"tag": "nightly"}, ["mp_basic", "rp_basic"]),
        ({"pack": ["mp_zombie", "mp_bad", ""]}, ["mp_bad", "mp_zombie"]),
        ({"pack": ["mp_zombie"], "kind": "rule"}, []),
        ({"q": "ward", "state": "failed"}, ["mp_bad", "mp_basic", "rp_basic", "mp_zombie", "rp_bad"]),
    ],
)
def test_packs_of_the_dag_come_first_then_those_that_only_the_base_knows(
    parameters: dict[str, Any], shown: list[str]
) -> None:
    """Filters of packs choose columns, those of endpoints do not."""
    assert columns(**parameters) == shown


def test_only_packs_that_do_more_than_fail_can_be_activated() -> None:
    """A pack that is gone has the version that ran last."""
    found = {one.task_id: one for one in matrix_view.view().columns(ENVIRONMENT, BASE)}
    assert {name for name, one in found.items() if one.can_run} == {"mp_basic", "rp_basic"}
    assert [found[name].version for name in ("mp_basic", "mp_zombie")] == ["1.2.0", "0.9"]


def test_parameters_become_filters_of_rows() -> None:
    """Empty ones ask for all; the base cannot hold a NUL."""
    asked = matrix_view.view(q=" he\0art ", type=["", "mysql"], host=["db1"], state="old", active="no")
    assert asked.filters() == matrix.Filters(
        search="heart", types=("mysql",), hosts=("db1",), state="old", active=False
    )
    assert asked.is_filtered
    assert matrix_view.view(kind="metric", tag="nightly", pack=["mp_basic"]).is_filtered is False


def test_a_pack_can_be_taken_out_of_an_address() -> None:
    """The others stay."""
    assert matrix_view.view(pack=["mp_basic", "rp_basic"]).without("mp_basic").pack == ("rp_basic",)
