"""Route: declares a page, the data of a script, or an act, and closes each: login, rights, deadline, errors.

    routes = Routes()

    @routes.page("/audit")
    def show(visit: Visit, actor: str = "") -> Response: ...

    @routes.act("/matrix/cell", Right.WRITE)
    def toggle(visit: Visit, change: Toggle) -> Response: ...

Handlers are plain functions, run in a thread of our own. FastAPI reads their parameters after the first, so their
modules import the types of those, and Response, when they are run.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any, TypeVar, get_type_hints
from uuid import uuid4

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from hdm_airflow.errors import ConflictError, HdmBaseError, HdmError
from hdm_airflow.ui import pages, threads
from hdm_airflow.ui.rights import RefusedError, Right
from hdm_airflow.ui.visit import UnknownError, Visit

log = logging.getLogger(__name__)

_Handler = TypeVar("_Handler", bound=Callable[..., Response])

_BAD_REQUEST = 400


class _FaultError(HdmError):
    """A fault of ours. The log has it under a number that the visitor can tell."""

    def __init__(self, name: str, number: str) -> None:
        super().__init__(
            f"this page has a fault: {name}",
            "the log of Airflow's API server",
            f"report what the log says about fault {number}",
        )


#: The status of an answer by its error; of others: the request is wrong.
_STATUS: tuple[tuple[type[HdmError], int], ...] = (
    (RefusedError, 403),
    (UnknownError, 404),
    (ConflictError, 409),
    (threads.BusyError, 503),
    (HdmBaseError, 503),
    (_FaultError, 500),
)


class Routes:
    """The routes of one page."""

    def __init__(self) -> None:
        self.router = APIRouter()

    def page(self, path: str) -> Callable[[_Handler], _Handler]:
        """A page: GET, HTML, for all who may read the environment."""
        return self._declare("GET", path, Right.READ, is_page=True)

    def data(self, path: str) -> Callable[[_Handler], _Handler]:
        """Data for a script: GET, JSON, for all who may read the environment."""
        return self._declare("GET", path, Right.READ, is_page=False)

    def act(self, path: str, right: Right) -> Callable[[_Handler], _Handler]:
        """An act: POST, JSON, for all who have the right in the environment."""
        return self._declare("POST", path, right, is_page=False)

    def _declare(self, method: str, path: str, right: Right, *, is_page: bool) -> Callable[[_Handler], _Handler]:
        def declare(handler: _Handler) -> _Handler:
            endpoint = _endpoint(handler, right, is_page=is_page)
            self.router.add_api_route(path, endpoint, methods=[method], name=handler.__name__, response_model=None)
            return handler

        return declare


def _endpoint(handler: Callable[..., Response], right: Right, *, is_page: bool) -> Callable[..., Any]:
    async def endpoint(hdm_request: Request, hdm_user: GetUserDep, **given: Any) -> Response:
        visit = Visit(hdm_request, hdm_user)

        def answer() -> Response:
            visit.require(right)
            return handler(visit, **given)

        try:
            return await threads.run(answer)
        except HdmError as error:
            return _failed(visit, error, is_page=is_page)
        except Exception as error:
            number = uuid4().hex[:8]
            log.exception("Fault %s of a page of hdm_airflow: %s %s", number, hdm_request.method, hdm_request.url.path)
            return _failed(visit, _FaultError(type(error).__name__, number), is_page=is_page)

    own = list(inspect.signature(endpoint).parameters.values())[:2]
    hints = get_type_hints(handler, include_extras=True)
    _, *given = inspect.signature(handler).parameters.values()
    stated = [one.replace(annotation=hints[one.name], kind=inspect.Parameter.KEYWORD_ONLY) for one in given]
    resolved = get_type_hints(endpoint, include_extras=True)
    own = [one.replace(annotation=resolved[one.name], kind=inspect.Parameter.KEYWORD_ONLY) for one in own]
    endpoint.__signature__ = inspect.Signature([*own, *stated])  # type: ignore[attr-defined]  # what FastAPI reads
    endpoint.hdm_right = right  # type: ignore[attr-defined]  # so that tests find routes without one
    return endpoint


def _failed(visit: Visit, error: HdmError, *, is_page: bool) -> Response:
    """The answer that says what is wrong. It waits for nothing: the page has the navigation if that is known by now."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), _BAD_REQUEST)
    if not is_page:
        is_late_act = isinstance(error, threads.LateError) and visit.request.method == "POST"
        hint = visit.text("frame.perhaps-done") if is_late_act else error.hint
        return visit.json({"what": error.what, "where": error.where, "hint": hint}, status)
    if visit.knows_environments:
        return visit.render("frame/error.html", status, error=error)
    return HTMLResponse(pages.render("frame/bare.html", text=visit.text, what=str(error)), status)
