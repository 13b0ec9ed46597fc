"""Our pages inside a real Airflow: who sees what, and what a bad day of the HDM base does to them and to Airflow."""

from __future__ import annotations

import json
import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import requests
from playwright.sync_api import expect

from tests.functional.page_browser import inside, open_inside, visitor
from tests.functional.pages_stage import USERS, Pages, pages_stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from demo.services import Postgres

pytestmark = pytest.mark.timeout(600)
SECONDS = 20  # to wait for an answer that the pages promise within 6: this machine may be busy
DAGS = """
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

from hdm_airflow import HdmDag, HdmTaskGroup

HdmDag("hdm_pipeline", environments={name: {"conn_id": f"hdm_{name}"} for name in ("down", "mute", "none", "old")})
with DAG("own", schedule=None):
    HdmTaskGroup("one", select=["mp_basic"]) >> HdmTaskGroup("two", select=["mp_row-count", "rp_basic"])
HdmDag("wrong", select=["nothing"])
"""
ENVIRONMENTS = [
    "own/prod",
    "wrong/prod",
    "hdm_pipeline/down",
    "hdm_pipeline/mute",
    "hdm_pipeline/none",
    "hdm_pipeline/old",
]


@pytest.fixture(scope="module")
def pages(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """Environments whose base is up, down, silent, not migrated, or has no connection; behind a prefix."""
    empty = postgres.create_database("hdm_not_migrated")
    with socket.create_server(("127.0.0.1", 0), backlog=100) as mute, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and not listening
        variables = {
            "AIRFLOW_CONN_HDM_DOWN": f"postgresql://hdm:secret@127.0.0.1:{closed.getsockname()[1]}/hdm",
            "AIRFLOW_CONN_HDM_MUTE": f"postgresql://hdm:secret@127.0.0.1:{mute.getsockname()[1]}/hdm",
            "AIRFLOW_CONN_HDM_OLD": empty.dsn,
        }
        folder = tmp_path_factory.mktemp("pages")
        with pages_stage(postgres, folder, dags=DAGS, variables=variables, prefix="/air/flow") as pages:
            yield pages
    postgres.drop_database(empty.name)


def ask(pages: Pages, path: str, user: str = "admin", **more: Any) -> requests.Response:
    """The answer to a user's request."""
    headers = {"Authorization": f"Bearer {pages.token(user)}", "Accept": "text/html", **more.pop("headers", {})}
    return requests.get(f"{pages.url}{path}", headers=headers, timeout=SECONDS, **more)


def test_environments_are_those_of_the_dags(pages: Pages) -> None:
    """Read from Airflow's database, not from the Variable: two task groups share one; wrong settings are shown too."""
    text = ask(pages, "/").text
    assert re.findall(r'<option value="(.*?)"', text) == ENVIRONMENTS
    wrong = ask(pages, "/?env=wrong/prod")
    assert ask(pages, "/?env=own/prod").status_code == 200
    assert wrong.status_code == 200
    missing = ask(pages, f"/?env={quote('own/<script>')}")
    assert missing.status_code == 404
    assert "own/&lt;script&gt;" in missing.text
    assert "<script>" not in missing.text.replace("<script src", "").replace("<script type", "")


@pytest.mark.parametrize(
    ("environment", "what", "do"),
    [
        ("down", "the HDM base cannot be reached", "check host, port, user and password"),
        ("mute", "the HDM base (does not answer|cannot be reached)", "check host(,| and) port"),
        ("none", "there is no connection &#39;hdm_none&#39;", "add a connection of type postgres"),
        ("old", "the HDM base lacks a table or column", "run: airflow hdm db upgrade"),
    ],
)
def test_a_base_that_cannot_be_used_is_a_page_with_what_to_do(
    pages: Pages, environment: str, what: str, do: str
) -> None:
    """With the navigation, so that one can go elsewhere; never with the password."""
    answer = ask(pages, f"/?env=hdm_pipeline/{environment}")
    assert answer.status_code in {400, 503}
    assert re.search(what, answer.text)
    assert re.search(do, answer.text)
    assert "secret" not in answer.text
    assert "<nav" in answer.text


def test_a_locked_base_answers_in_time_and_frees_its_threads(pages: Pages) -> None:
    """A statement that never ends ends by its own time limit; more visitors than threads get an answer too."""
    token = pages.token()

    def visit(_: int) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {token}", "Accept": "text/html"}
        answer = requests.get(f"{pages.url}/?env=own/prod", headers=headers, timeout=60)
        return answer.status_code, answer.text

    with pages.stage.base.connect() as other, ThreadPoolExecutor(40) as pool:
        other.autocommit = False
        other.execute("LOCK TABLE hdm_pack_run, hdm_core_table_corr_db_mp IN ACCESS EXCLUSIVE MODE")
        visits = [pool.submit(visit, number) for number in range(30)]
        assert requests.get(f"{pages.airflow.url}/api/v2/version", timeout=SECONDS).status_code == 200
        answers = [one.result() for one in visits]
        other.rollback()
    assert {status for status, _ in answers} == {503}
    reasons = (
        "took too long",
        "no answer within",
        "threads of these pages are busy",
        "are in use",
        "the HDM base is slow",
    )
    said = {text for text in reasons if any(text in answer for _, answer in answers)}
    assert "threads of these pages are busy" in said
    assert said & {"took too long", "no answer within"}
    assert not [answer for _, answer in answers if not any(text in answer for text in said)]
    assert any(visit(0)[0] == 200 for _ in range(10))


def test_airflow_answers_while_everybody_asks_a_silent_base(pages: Pages) -> None:
    """Its own threads are not ours."""
    token = pages.token()
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    statuses: list[int] = []

    def visit() -> None:
        statuses.append(requests.get(f"{pages.url}/?env=hdm_pipeline/mute", headers=headers, timeout=60).status_code)

    visits = [threading.Thread(target=visit) for _ in range(30)]
    for one in visits:
        one.start()
    for _ in range(5):
        answer = requests.get(f"{pages.airflow.url}/api/v2/dags", headers=headers, timeout=SECONDS)
        assert answer.status_code == 200
    for one in visits:
        one.join()
    assert set(statuses) == {503}


@pytest.mark.parametrize("user", ["admin", *USERS])
def test_every_role_of_airflow_sees_the_pages(browser: Browser, pages: Pages, user: str) -> None:
    """From Airflow's home page by one click; the address holds the page."""
    with visitor(browser, pages.airflow.url, pages.airflow.password, user=user) as page:
        page.goto(f"{pages.airflow.url}/")
        page.click("text=Quality")
        frame = inside(page)
        expect(frame.locator("h1")).to_have_text("Today")
        page.wait_for_url("**/plugin/data-quality/air/flow/hdm/")
        frame.locator("#environment").select_option("own/prod")
        page.wait_for_url("**/plugin/data-quality/air/flow/hdm/?env=own%2Fprod")
        page.reload()
        expect(inside(page).locator("#environment")).to_have_value("own/prod")


def test_language_colours_and_links_are_those_of_airflow(browser: Browser, pages: Pages) -> None:
    """The mode follows at once, without a reload; a link opens Airflow's page, and Back returns."""
    url, password = pages.airflow.url, pages.airflow.password
    with visitor(browser, url, password, mode="dark", language="fr") as page:
        failures: list[str] = []
        page.on("console", lambda one: failures.append(one.text) if one.type == "error" else None)
        page.on("pageerror", lambda one: failures.append(str(one)))
        frame = open_inside(page, url, "/?env=own/prod", prefix="/air/flow")
        expect(frame.locator("html")).to_have_attribute("lang", "fr")
        expect(frame.locator("html")).to_have_attribute("data-mode", "dark")
        ground = "getComputedStyle(document.body).backgroundColor"
        dark = frame.locator("body").evaluate(f"() => {ground}")
        assert dark == page.evaluate("() => getComputedStyle(document.documentElement).backgroundColor")
        page.evaluate("() => { document.documentElement.classList.replace('dark', 'light') }")
        expect(frame.locator("html")).to_have_attribute("data-mode", "light")
        frame.locator("main").evaluate(
            "(main) => { const link = document.createElement('a'); link.href = '/air/flow/dags/own'; link.id = 'out';"
            " link.dataset.airflow = ''; link.textContent = 'own'; main.append(link) }"
        )
        frame.locator("#out").click()
        page.wait_for_url("**/air/flow/dags/own")
        page.go_back()
        page.wait_for_url("**/plugin/data-quality/air/flow/hdm/?env=own/prod")
        expect(inside(page).locator("h1")).to_be_visible()
        known = ("sandbox", "503")  # the lines of environments whose base is down
        assert not [one for one in failures if not any(word in one for word in known)]


def test_nothing_leaves_the_host_and_the_page_is_small(browser: Browser, pages: Pages) -> None:
    """Scripts, styles and icons come from Airflow's own address."""
    with visitor(browser, pages.airflow.url, pages.airflow.password) as page:
        asked: list[str] = []
        page.context.on("request", lambda request: asked.append(request.url))
        open_inside(page, pages.airflow.url, "/?env=own/prod", prefix="/air/flow")
        page.wait_for_load_state("networkidle")
    assert [one for one in asked if "/hdm/static/" in one]
    assert not [one for one in asked if not one.startswith((pages.airflow.url, "data:", "blob:"))]


def test_icons_are_served(pages: Pages) -> None:
    """Airflow's navigation names them."""
    plugins = pages.airflow.call("GET", "/plugins")["plugins"]
    (view,) = [view for one in plugins if one["name"] == "hdm" for view in one["external_views"]]
    for name in ("icon", "icon_dark_mode"):
        path = view[name].removeprefix("/air/flow/hdm")
        answer = ask(pages, path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/svg+xml")
    assert json.dumps(view).count("/air/flow/hdm/") == 3
