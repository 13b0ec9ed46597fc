"""Run now: some packs on some endpoints, as a run of the Dag that the user triggers."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from anyio import from_thread
from httpx import ASGITransport, AsyncClient
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, select
from starlette.responses import Response

from hdm_airflow.base import audit, today
from hdm_airflow.errors import ConfigurationError
from hdm_airflow.operators.metric_date import PARAM
from hdm_airflow.operators.part import CONF, MOST
from hdm_airflow.ui.rights import RefusedError, Right
from hdm_airflow.ui.route import Routes
from hdm_airflow.ui.visit import Visit

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection

routes = Routes()

_FORBIDDEN = 403
_OK = 200
_ACTIVE = (DagRunState.RUNNING, DagRunState.QUEUED)
_Text = Annotated[str, Field(min_length=1, max_length=1000)]


class Wish(BaseModel):
    """What shall run."""

    model_config = ConfigDict(extra="forbid")

    packs: list[_Text] | None = Field(min_length=1)  # as in their tasks: mp_basic; None: all of the environment
    endpoints: list[_Text] | None = Field(min_length=1)  # slugs; None: all that are activated
    date: dt.date | None = None  # metric date; None: the newest one


@routes.data("/run-now/plan")
def plan(visit: Visit) -> Response:
    """What a person should know before: the newest metric date, and what the run waits for."""
    environment = visit.environment
    with visit.open() as base:
        date = _newest(visit, base)
    scope = visit.text("run-now.only" if environment.is_whole_dag else "run-now.group", dag=environment.dag_id)
    return visit.json(
        {
            "date": str(date),
            "notes": [scope, *_waits(visit)],
            "refusal": visit.refusal(Right.RUN),
            "texts": visit.text.of("run-now"),
        }
    )


@routes.act("/run-now", Right.RUN)
def run_now(visit: Visit, wish: Wish) -> Response:
    """Trigger the Dag as the user. The audit row is written if Airflow accepts the run, and only then."""
    environment = visit.environment
    _check(visit, wish)
    only: dict[str, Any] = {"environment": environment.name}
    only |= {name: value for name in ("packs", "endpoints") if (value := getattr(wish, name)) is not None}
    run_id = f"manual__{dt.datetime.now(dt.timezone.utc).isoformat()}"
    waits = _waits(visit)
    with visit.open() as base, base.transaction():
        date = wish.date or _newest(visit, base)
        conf = {PARAM: date.isoformat(), CONF: only}
        item = f"Dag {environment.dag_id} {environment.name}"
        audit.record(base, visit.actor, "run now", item, None, {"run_id": run_id, "conf": conf})
        _trigger(visit, {"dag_run_id": run_id, "logical_date": None, "conf": conf})
    path = f"/dags/{quote(environment.dag_id, safe='')}/runs/{quote(run_id, safe='')}"
    return visit.json(
        {"run": f"{visit.airflow}{path}", "said": " ".join([visit.text("run-now.started", date=date), *waits])}
    )


def _newest(visit: Visit, base: BaseConnection) -> dt.date:
    """The newest metric date of the environment; today if it has none."""
    newest = today.newest_date(base, [(pack.kind, pack.name) for pack in visit.environment.packs])
    return newest or dt.datetime.now(dt.timezone.utc).date()


def _waits(visit: Visit) -> list[str]:
    """What a new run waits for."""
    dag_id = visit.environment.dag_id
    running = _active(dag_id)
    waits = [visit.text("run-now.waits", count=running)] if running else []
    return [*waits, visit.text("run-now.paused", dag=dag_id)] if visit.environment.paused else waits


def _check(visit: Visit, wish: Wish) -> None:
    """Refuse what would fail, or skip everything.

    Raises:
        ConfigurationError: if a pack is not of this environment or quarantined, or there are too many endpoints.
    """
    packs = {pack.task_id: pack for pack in visit.environment.packs}
    for task_id in wish.packs or ():
        if task_id not in packs:
            hint = visit.text("run-now.reload")
            raise ConfigurationError(visit.text("run-now.no-such-pack", pack=task_id), visit.environment.key, hint)
        if packs[task_id].quarantined:
            what = visit.text("run-now.quarantined", pack=task_id)
            raise ConfigurationError(what, visit.environment.key, packs[task_id].quarantined)
    if len(wish.endpoints or ()) > MOST:
        what = visit.text("run-now.too-many", count=len(wish.endpoints or ()), most=MOST)
        raise ConfigurationError(what, "", visit.text("run-now.fewer"))


def _active(dag_id: str) -> int:
    """How many runs of the Dag run or wait."""
    query = select(func.count()).select_from(DagRun).where(DagRun.dag_id == dag_id, DagRun.state.in_(_ACTIVE))
    with create_session() as session:
        return session.scalar(query) or 0


def _trigger(visit: Visit, body: dict[str, Any]) -> None:
    """Ask Airflow's own API, in this process, with the user's login: it checks, and records who did it.

    Raises:
        RefusedError: if Airflow refuses.
        ConfigurationError: if it does not accept the run.
    """
    from airflow.api_fastapi.main import app

    path = f"/api/v2/dags/{quote(visit.environment.dag_id, safe='')}/dagRuns"
    names = ("authorization", "cookie")
    headers = {name: value for name in names if (value := visit.request.headers.get(name))}

    async def ask() -> tuple[int, Any]:
        async with AsyncClient(transport=ASGITransport(app=app), base_url="http://airflow") as client:
            answer = await client.post(path, json=body, headers=headers)
            return answer.status_code, answer.json()

    status, answer = from_thread.run(ask)
    if status == _FORBIDDEN:
        raise RefusedError(visit.text(Right.RUN.value, dag=visit.environment.dag_id), "Airflow")
    if status != _OK:
        detail = answer.get("detail", answer) if isinstance(answer, dict) else answer
        raise ConfigurationError(visit.text("run-now.refused", status=status, detail=str(detail)), "Airflow")
