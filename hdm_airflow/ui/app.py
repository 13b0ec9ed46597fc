"""App: the application behind our pages, which Airflow's API server mounts."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, Response

from hdm_airflow.ui import audit, configuration, matrix, matrix_changes, pages, run_now, static, today
from hdm_airflow.ui.guard import Guard
from hdm_airflow.ui.texts import Texts, chosen

_PAGES = (today, matrix, matrix_changes, run_now, configuration, audit)


def build(prefix: str) -> FastAPI:
    """The application. Airflow puts its login in front of nothing of it: each route has it as a dependency.

    Args:
        prefix: the path that Airflow mounts it under.
    """
    app = FastAPI(title="hdm_airflow", openapi_url=None, docs_url=None, redoc_url=None)
    app.state.prefix = prefix
    app.include_router(static.router)
    for page in _PAGES:
        app.include_router(page.routes.router)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _wrong)
    app.add_middleware(Guard)
    return app


async def _refused(request: Request, error: Any) -> Response:
    """No login, or no such page."""
    key = {401: "frame.no-login", 404: "frame.no-page"}.get(error.status_code, "frame.refused")
    return _answer(request, error.status_code, key, error.headers)


async def _wrong(request: Request, error: Any) -> Response:
    """Parameters that no page of ours sends."""
    places = ", ".join(sorted({".".join(map(str, one["loc"][1:])) for one in error.errors()}))
    return _answer(request, 422, "frame.wrong-parameters", names=places)


def _answer(
    request: Request, status: int, key: str, headers: dict[str, str] | None = None, /, **values: Any
) -> Response:
    text = Texts(chosen(*request.headers.get("accept-language", "").split(",")))
    what = text(key, **values)
    if "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(pages.render("frame/bare.html", text=text, what=what), status, headers)
    return JSONResponse({"what": what, "where": "", "hint": ""}, status, headers)
