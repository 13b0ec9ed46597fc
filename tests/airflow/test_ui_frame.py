"""The frame of our pages: what closes every route, and what a fault does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from starlette.responses import Response
from starlette.routing import Mount, Route

from hdm_airflow.errors import ConfigurationError, ConflictError, HdmBaseError, HdmError
from hdm_airflow.plugin import PREFIX, HdmPlugin
from hdm_airflow.ui import pages, static, texts, threads
from hdm_airflow.ui.app import build
from hdm_airflow.ui.guard import CSP, HEADER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from httpx import Response as Answer
    from starlette.routing import BaseRoute

UI = Path(pages.__file__).parent
OURS = {HEADER: "1"}
#: What a script sends from a page of another port of the same host: its cookie travels along, the header cannot.
FOREIGN = {"Sec-Fetch-Site": "same-site", HEADER: "1"}


class Client:
    """Sends requests to an application of this process."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def request(self, method: str, path: str, headers: dict[str, str] | None = None) -> Answer:
        """The answer to a request."""

        async def send() -> Answer:
            async with AsyncClient(transport=ASGITransport(app=self.app), base_url="http://test") as client:
                return await client.request(method, path, headers=headers)

        return anyio.run(send)

    def get(self, path: str) -> Answer:
        """The answer to a GET."""
        return self.request("GET", path)


def walk(routes: list[BaseRoute], above: str = "") -> Iterator[tuple[str, BaseRoute]]:
    """Every route below, mounts included, with its path."""
    for route in routes:
        path = above + getattr(route, "path", "")
        if isinstance(route, Mount):
            yield from walk(list(route.routes), path)
        else:
            yield path, route


def filled(path: str) -> str:
    """A path with its parameters."""
    return re.sub(r"\{.*?\}", "x", path)


@pytest.fixture(scope="module")
def client() -> Client:
    """Our application, mounted as Airflow does."""
    app = FastAPI(openapi_url=None)
    app.mount(PREFIX, build(PREFIX))
    return Client(app)


ROUTES = [
    (method, path, route)
    for path, route in walk(list(build(PREFIX).routes))
    for method in sorted(getattr(route, "methods", None) or {"GET"})
]


@pytest.mark.parametrize(("method", "path"), [(method, path) for method, path, _ in ROUTES])
def test_every_route_is_closed_without_a_login(client: Client, method: str, path: str) -> None:
    """Static files and icons too. The answer tells nothing, and has every header."""
    answer = client.request(method, PREFIX + filled(path), headers=OURS)
    assert answer.status_code == 401, answer.text
    assert answer.headers["content-security-policy"] == CSP
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_there_is_nothing_but_routes_of_ours(client: Client) -> None:
    """No documentation of the interface, no files that a mount would serve without a login."""
    assert all(isinstance(route, Route) for _, _, route in ROUTES)
    for path in ("/openapi.json", "/docs", "/redoc", "/docs/oauth2-redirect", "/static/", "/static/../app.py"):
        assert client.get(PREFIX + path).status_code in {401, 404}


def test_every_write_has_a_right() -> None:
    """A POST says what it needs; nothing else writes."""
    for method, path, route in ROUTES:
        right = getattr(getattr(route, "endpoint", None), "hdm_right", None)
        if method == "POST":
            assert right is not None
            assert right.name in {"WRITE", "RUN", "READ"}, path
        else:
            assert method in {"GET", "HEAD"}, path
            assert right is not None or path.startswith(("/static/", "/icon/")), path


@pytest.mark.parametrize(
    "headers", [{}, FOREIGN, {"Authorization": "Bearer x"}, {"Sec-Fetch-Site": "none", HEADER: "1"}]
)
def test_no_write_is_looked_at_that_does_not_come_from_our_pages(client: Client, headers: dict[str, str]) -> None:
    """Before the login: also one that brings a token."""
    for path in {*(path for method, path, _ in ROUTES if method == "POST"), "/x"}:
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            answer = client.request(method, PREFIX + filled(path), headers=headers)
            assert answer.status_code == 403
            assert "does not come from these pages" in answer.text
            assert answer.headers["content-security-policy"] == CSP


def test_pages_that_cannot_be_imported_take_nothing_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow would not start: an exception in the plugin ends the API server."""
    monkeypatch.setitem(sys.modules, "hdm_airflow.ui.app", None)
    (entry,) = HdmPlugin().fastapi_apps
    app = FastAPI()
    app.mount(entry["url_prefix"], entry["app"])
    answer = Client(app).get(f"{PREFIX}/matrix")
    assert answer.status_code == 503
    assert "cannot be loaded (ModuleNotFoundError)" in answer.text
    assert "restart the API server" in answer.text


def test_plugin_follows_a_prefix_of_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses are absolute paths."""
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://somewhere:8080/quality/airflow/")
    (view,) = HdmPlugin().external_views
    assert view["href"] == "/quality/airflow/hdm/"
    assert view["icon"] == "/quality/airflow/hdm/icon/light.svg"
    for icon in ("icon", "icon_dark_mode"):
        assert view[icon].rpartition("/")[2] in static.files()


@pytest.mark.parametrize(
    "code",
    [
        "import hdm_airflow.plugin",
        "from airflow import plugins_manager as them; them.integrate_macros_plugins(), them.get_operator_extra_links()",
        "import hdm_airflow.dag, hdm_airflow.operators.pack, hdm_airflow.operators.attempt",
        "from hdm_airflow.cli.definition import get_hdm_cli_commands; get_hdm_cli_commands()",
        "import hdm_airflow.cli.config, hdm_airflow.cli.incidents, hdm_airflow.cli.packs.run",
    ],
)
def test_scheduler_workers_and_commands_import_no_page(code: str) -> None:
    """They would pay for FastAPI and templates in every task."""
    check = f"{code}\nimport sys\nprint([one for one in sys.modules if one.startswith('hdm_airflow.ui')])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_texts_are_there_in_every_language() -> None:
    """With the same values; every text that a template or module names exists."""
    for key, found in texts.catalogue().items():
        assert sorted(found) == sorted(texts.LANGUAGES), key
        names = [
            sorted({name for one in (text.values() if isinstance(text, dict) else [text]) for name in _names(one)})
            for text in found.values()
        ]
        assert names[0] == names[1], key
        assert len({isinstance(text, dict) for text in found.values()}) == 1, key
    used = set()
    for file in [*UI.rglob("*.html"), *UI.rglob("*.py")]:
        used |= set(re.findall(r"""text\(\s*"([a-z-]+\.[a-z-]+)"\s*[,)]""", file.read_text()))
    assert used
    assert used <= set(texts.catalogue()), sorted(used - set(texts.catalogue()))


def _names(text: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", text)


def test_a_text_chooses_between_one_and_several(monkeypatch: pytest.MonkeyPatch) -> None:
    """French counts zero as one; numbers have separators."""
    text = {
        "en": {"one": "{count} row", "other": "{count} rows"},
        "fr": {"one": "{count} ligne", "other": "{count} lignes"},
    }
    monkeypatch.setattr(texts, "catalogue", lambda: {"x.rows": text})
    english, french = texts.Texts("en"), texts.Texts("fr")
    assert [english("x.rows", count=count) for count in (0, 1, 2000)] == ["0 rows", "1 row", "2,000 rows"]
    assert [french("x.rows", count=count) for count in (0, 1, 2000)] == ["0 ligne", "1 ligne", "2\u202f000 lignes"]


@pytest.mark.parametrize(
    ("wishes", "language"),
    [(("fr",), "fr"), (("fr-CH",), "fr"), (("de", "fr;q=0.5", "en"), "fr"), (("", "zh_TW"), "en"), ((), "en")],
)
def test_language_is_the_first_wish_that_we_have(wishes: tuple[str, ...], language: str) -> None:
    """From a cookie, then from what the browser accepts."""
    assert texts.chosen(*wishes) == language


def test_data_of_a_page_cannot_end_its_script() -> None:
    """JSON reads the same."""
    value = {"name": "</script><!--<script>alert('&')"}
    text = pages.data(value)
    assert not set("<>&") & set(text)
    assert json.loads(text) == value


def test_no_template_or_script_weakens_the_escaping() -> None:
    """Jinja's `safe`, innerHTML and what a strict CSP would block anyway."""
    bad = re.compile(
        r"\|\s*safe\b|autoescape false|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
    )
    inline = re.compile(
        r"<script(?![^>]*\b(src=|type=\"application/json\"))|\son\w+=|\sstyle=|javascript:", re.IGNORECASE
    )
    for file in [*UI.rglob("*.html"), *UI.rglob("*.js")]:
        assert not bad.search(file.read_text()), file
        if file.suffix == ".html":
            assert not inline.search(file.read_text()), file
    for file in UI.rglob("*.py"):
        if file.name != "pages.py":
            assert "Markup" not in file.read_text(), file


class TestThreads:
    """The pages' own threads."""

    def test_an_answer_has_a_deadline_and_abandoned_threads_count(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As long as a thread waits for a base, it is not free for another visitor."""
        monkeypatch.setattr(threads, "DEADLINE", 0.2)
        monkeypatch.setattr(threads, "_PATIENCE", 0.1)
        monkeypatch.setattr(threads, "_free", threading.BoundedSemaphore(1))
        release = threading.Event()

        async def visits() -> list[str]:
            found = []
            for _ in range(2):
                with pytest.raises(threads.BusyError) as error:
                    await threads.run(lambda: release.wait(20))
                found.append(error.value.what)
            release.set()
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                try:
                    found.append(await threads.run(lambda: "free again"))
                    break
                except threads.BusyError:
                    await anyio.sleep(0.01)
            return found

        first, second, last = anyio.run(visits)
        assert "no answer within" in first
        assert "threads of these pages are busy" in second
        assert last == "free again"

    def test_a_visitor_who_leaves_gives_the_thread_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Also if the request is cancelled before its work has begun."""
        monkeypatch.setattr(threads, "_free", threading.BoundedSemaphore(1))

        async def visits() -> str:
            for _ in range(3):
                with anyio.CancelScope() as scope:
                    scope.cancel()
                    await threads.run(lambda: "never")
            return await threads.run(lambda: "answer")

        assert anyio.run(visits) == "answer"


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Client:
    """An application with a page and data that raise what the test puts into `faulty.app.state.error`."""
    from airflow.api_fastapi.core_api.security import get_user

    from hdm_airflow.ui.route import Routes
    from hdm_airflow.ui.visit import Visit

    routes, app = Routes(), FastAPI()

    def bad(visit: Visit) -> Response:
        raise app.state.error

    bad.__annotations__ = {"visit": Visit, "return": Response}
    monkeypatch.setattr(Visit, "require", lambda visit, _: visit.environments)
    monkeypatch.setattr("hdm_airflow.ui.visit.environments.read", list)
    routes.page("/page")(bad)
    routes.data("/data")(bad)
    app.include_router(routes.router)
    app.dependency_overrides[get_user] = lambda: None
    return Client(app)


def test_a_fault_of_ours_is_a_page_and_a_number_in_the_log(faulty: Client, caplog: pytest.LogCaptureFixture) -> None:
    """Without its text, which may hold data."""
    faulty.app.state.error = ValueError("a patient's name")
    page, data = faulty.get("/page"), faulty.get("/data")
    assert (page.status_code, data.status_code) == (500, 500)
    assert "patient" not in page.text + data.text
    assert "<nav" in page.text
    (number,) = re.findall(r"about fault (\w+)", data.json()["hint"])
    assert any(number in one.getMessage() for one in caplog.records)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (HdmBaseError("<b>down</b>", "connection hdm", "start it"), 503),
        (ConfigurationError("<b>wrong</b>"), 400),
        (ConflictError("<b>changed</b>", "", "reload"), 409),
        (threads.BusyError("<b>busy</b>"), 503),
    ],
)
def test_an_error_is_a_page_or_json_with_what_to_do(faulty: Client, error: HdmError, status: int) -> None:
    """Its text is escaped."""
    faulty.app.state.error = error
    page, data = faulty.get("/page"), faulty.get("/data")
    assert (page.status_code, data.status_code) == (status, status)
    assert data.json() == {"what": error.what, "where": error.where, "hint": error.hint}
    assert "<b>" not in page.text
    assert error.hint in page.text


def test_an_error_of_airflows_database_is_a_page_without_a_frame(
    faulty: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The navigation needs that database."""

    def down() -> None:
        raise OSError

    monkeypatch.setattr("hdm_airflow.ui.visit.environments.read", down)
    page = faulty.get("/page")
    assert page.status_code == 500
    assert "this page has a fault: OSError" in page.text
    assert "<nav" not in page.text
