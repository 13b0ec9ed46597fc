"""Visit: one request to a page: who asks, in which language, about which environment, and what they may do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.responses import Response

from hdm_airflow.errors import HdmError
from hdm_airflow.ui import bases, environments, pages, rights
from hdm_airflow.ui.rights import RefusedError, Right
from hdm_airflow.ui.texts import Texts, chosen

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser

    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.ui.environments import Environment

ENVIRONMENT = "env"  # parameter of every address
_LANGUAGE = "hdm_language"  # cookie that our script writes: Airflow keeps the language in the browser


class UnknownError(HdmError):
    """The address names something that is not there, or that the user may not read."""


class Visit:
    """One request.

    Args:
        request: the request.
        user: who has logged in.
    """

    def __init__(self, request: Request, user: BaseUser) -> None:
        self.request = request
        self.user = user

    @property
    def actor(self) -> str:
        """The name for the audit trail."""
        return self.user.get_name()

    @cached_property
    def text(self) -> Texts:
        """The texts in the visitor's language."""
        accepted = self.request.headers.get("accept-language", "").split(",")
        return Texts(chosen(self.request.cookies.get(_LANGUAGE, ""), *accepted))

    @property
    def root(self) -> str:
        """The path of our pages, without a slash at its end."""
        return str(self.request.scope.get("root_path", "")).rstrip("/")

    @property
    def airflow(self) -> str:
        """The path of Airflow's pages, without a slash at its end."""
        return self.root.rpartition("/")[0]

    @cached_property
    def environments(self) -> list[Environment]:
        """The environments that the user may read."""
        return [one for one in environments.read() if rights.has(self.user, Right.READ, one)]

    @property
    def knows_environments(self) -> bool:
        """Whether they have been read: then a page can be rendered without asking a database."""
        return "environments" in self.__dict__

    @cached_property
    def environment(self) -> Environment:
        """The environment that the address names, else the first.

        Raises:
            UnknownError: if there is none.
        """
        for one in self.environments:
            if one.key == self.current:
                return one
        if wanted := self.request.query_params.get(ENVIRONMENT):
            what = self.text("frame.no-such-environment", name=wanted)
            raise UnknownError(what, "", self.text("frame.choose-another"))
        raise UnknownError(self.text("frame.no-environment"), "", self.text("frame.no-environment-hint"))

    @property
    def current(self) -> str:
        """The key of the environment that the address means; '' if there is none of that name."""
        wanted = self.request.query_params.get(ENVIRONMENT)
        return next((one.key for one in self.environments if wanted in {None, one.key}), "")

    def refusal(self, right: Right) -> str:
        """Why the user lacks a right in this environment; '' if they have it."""
        if rights.has(self.user, right, self.environment):
            return ""
        return self.text(right.value, dag=self.environment.dag_id)

    def require(self, right: Right) -> None:
        """Check that the user has a right in this environment.

        Raises:
            RefusedError: if they lack it.
            UnknownError: if there is no environment.
        """
        if refusal := self.refusal(right):
            raise RefusedError(refusal, "", self.text("frame.ask-administrator"))

    @contextmanager
    def open(self) -> Iterator[BaseConnection]:
        """A connection to the HDM base of this environment.

        Raises:
            ConfigurationError, HdmBaseError: as bases.session; or the settings of the Dag are wrong.
        """
        if not self.environment.conn_id:
            hint = self.text("frame.correct-settings")
            raise UnknownError(self.text("frame.no-base", problem=self.environment.problem), "", hint)
        with bases.session(self.environment.conn_id) as base:
            yield base

    def address(self, path: str = "/", **query: Any) -> str:
        """An address of ours, in this environment.

        Args:
            path: below our pages, for example `/audit`.
            query: parameters; a list is repeated, None and '' are left out.
        """
        stated: list[tuple[str, Any]] = []
        if key := query.pop(ENVIRONMENT, None) or self.current:
            stated.append((ENVIRONMENT, key))
        for name, value in query.items():
            values = value if isinstance(value, (list, tuple)) else [value]
            stated += [(name, one) for one in values if one not in {None, ""}]
        return f"{self.root}{quote(path)}{'?' if stated else ''}{urlencode(stated, quote_via=quote)}"

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int) -> str:
        """The address of a task's log in Airflow."""
        parts = (quote(one, safe="") for one in (dag_id, run_id, task_id))
        return f"{self.airflow}/dags/{{}}/runs/{{}}/tasks/{{}}".format(*parts) + f"?try_number={int(try_number)}"

    def render(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """A page.

        Args:
            template: `page/name.html`.
            status: of the answer.
            values: for the template, which also knows `visit` and `text`; `page` is the name of its page.
        """
        return HTMLResponse(pages.render(template, **{"page": "", "visit": self, "text": self.text, **values}), status)

    def json(self, value: Any, status: int = 200) -> Response:
        """An answer for a script."""
        return JSONResponse(value, status)
