"""The first page in a real browser: all is well, nothing yet, and what somebody must look at."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import requests
from playwright.sync_api import expect

from hdm_airflow.base.endpoints import Endpoint
from tests.functional import axe, page_browser
from tests.functional.page_browser import inside, open_inside, visitor
from tests.functional.pages_stage import DAG, Pages, pages_stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from playwright.sync_api import Browser, Page

    from demo.services import Postgres

pytestmark = pytest.mark.timeout(300)
SCRIPT = '"><img src=x onerror="document.title=1"><script>document.title=1</script>'
EVIL = Endpoint(name=f"zz {SCRIPT}", type="sqlite", host="/evil.db")
DAGS = f"""
from hdm_airflow import HdmDag

HdmDag("{DAG}")
HdmDag("quiet", select=["mp_pack03"])
HdmDag("empty", environments={{"new": {{"conn_id": "hdm_new"}}}})
HdmDag("down", environments={{"down": {{"conn_id": "hdm_down"}}}})
HdmDag("wrong", select=["nothing"])
"""


@pytest.fixture(scope="module")
def browser(require: Callable[[str, str | None], None]) -> Iterator[Browser]:
    """One Chromium."""
    require("functional", page_browser.missing())
    with page_browser.chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def pages(postgres: Postgres, base_template: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """A night with failures, a Dag whose only pack is well everywhere, and a base in which nothing has run."""
    new = postgres.create_database("hdm_pages_new", template=base_template.name)
    variables = {"AIRFLOW_CONN_HDM_NEW": new.dsn, "AIRFLOW_CONN_HDM_DOWN": "postgresql://hdm@127.0.0.1:1/hdm"}
    with pages_stage(postgres, tmp_path_factory.mktemp("today"), dags=DAGS, variables=variables) as pages:
        with pages.stage.base.connect() as base:
            base.execute("UPDATE hdm_pack_run SET status = 'success', reason = NULL WHERE pack = 'pack03'")
            run = "UPDATE hdm_pack_run SET reason = %s WHERE status = 'failed' AND pack = 'basic' AND kind = 'metric'"
            base.execute(run, [f"could not connect {SCRIPT}"])
            base.execute(
                "INSERT INTO hdm_core_dblist (db_name, db_type, db_host) VALUES (%s, 'sqlite', '/evil.db')", [EVIL.name]
            )
            base.execute("INSERT INTO hdm_core_table_corr_db_mp VALUES ('row-count', %s)", [EVIL.slug])
            base.execute(
                "INSERT INTO hdm_audit (actor, action, object) VALUES (%s, 'activate', %s)",
                [f"anna {SCRIPT}", f"metric pack row-count {EVIL.slug}"],
            )
        pages.stage.pack("broken", "exit 0", version="")
        pages.airflow.reserialize()
        pages.airflow.call("PATCH", f"/dags/{DAG}", {"is_paused": False})
        yield pages
    postgres.drop_database(new.name)


@pytest.fixture
def visit(browser: Browser, pages: Pages) -> Callable[..., AbstractContextManager[Page]]:
    """Opens a page of somebody who has logged in."""

    def opened(**choices: Any) -> AbstractContextManager[Page]:
        return visitor(browser, pages.airflow.url, pages.airflow.password, **choices)

    return opened


def ask(pages: Pages, path: str) -> requests.Response:
    """The answer to a request of the administrator."""
    headers = {"Authorization": f"Bearer {pages.token()}", "Accept": "text/html"}
    return requests.get(f"{pages.url}{path}", headers=headers, timeout=60)


def test_from_airflows_home_to_the_log_in_three_clicks(visit: Any, pages: Pages) -> None:
    """Is all well: one click. What is red and why: it is on the same page. Its log: another one."""
    with visit(user="vera") as page:
        page.goto(pages.airflow.url)
        page.click("text=Quality")
        frame = inside(page)
        frame.get_by_role("link", name=DAG).or_(frame.locator("h1")).first.wait_for()
        frame.locator("#environment").select_option(f"{DAG}/prod")
        line = frame.locator(".problems tr", has_text="mp_basic").filter(has_text="failed")
        expect(line).to_contain_text("could not connect")
        expect(line).to_contain_text(pages.endpoints[2].name)
        expect(line.get_by_role("button", name="Run again")).to_be_disabled()
        line.get_by_role("link", name="Log").click()
        page.wait_for_url(f"**/dags/{DAG}/runs/**/tasks/hdm-prod.mp_basic?try_number=1")


def test_what_is_wrong_is_on_the_page_with_where_to_mend_it(visit: Any, pages: Pages) -> None:
    """Failed, partial and missing runs, quarantined packs, changes; the links lead to just these cells."""
    with visit() as page:
        frame = open_inside(page, pages.airflow.url, f"/?env={DAG}/prod")
        expect(frame.locator(".summary")).to_contain_text(
            re.compile(r"\d+ of \d+ pack runs of \d{4}-\d\d-\d\d are complete")
        )
        states = frame.locator(".problems .status")
        expect(states.first).to_have_text("failed")
        expect(frame.locator(".problems")).to_contain_text("missing")
        expect(frame.locator("section[aria-labelledby=quarantined]")).to_contain_text("version-missing")
        expect(frame.locator("details.changes")).to_contain_text("activated")
        line = frame.locator(".problems tr", has_text="mp_row-count").filter(has_text="partial")
        count = line.locator("td").nth(2).locator("a").count()
        line.get_by_role("link", name="Matrix").click()
        expect(inside(page).locator("#count")).to_have_text(re.compile(f"^{count} of"))
        page.go_back()
        frame = inside(page)
        line.get_by_role("button", name="Run again").click()
        expect(frame.get_by_role("dialog", name="Run now")).to_contain_text("mp_row-count")
        page.keyboard.press("Escape")
        others = frame.locator("section[aria-labelledby=others]")
        expect(others.locator("p", has_text="(quiet)")).to_contain_text("pack runs of")
        expect(others.locator("p", has_text="(empty)")).to_contain_text("nothing has run yet")
        expect(others.locator("p", has_text="(down)")).to_contain_text("cannot be reached")
        assert frame.locator("html").evaluate("() => document.title") == "Today"
        assert frame.locator("img").count() == 0
        expect(frame.locator(".problems")).to_contain_text(EVIL.name)
        page_browser.picture(page, "today")


def test_all_is_well_is_one_line(visit: Any, pages: Pages) -> None:
    """The rest is folded."""
    with visit() as page:
        frame = open_inside(page, pages.airflow.url, "/?env=quiet/prod")
        expect(frame.locator(".summary")).to_contain_text("All is well.")
        expect(frame.locator(".problems")).to_have_count(0)
        expect(frame.locator("details.changes table")).to_be_hidden()


def test_before_the_first_night_it_says_what_to_do(visit: Any, pages: Pages) -> None:
    """And that the Dag is paused; wrong settings are shown with what to do."""
    with visit() as page:
        frame = open_inside(page, pages.airflow.url, "/?env=empty/new")
        expect(frame.locator("main")).to_contain_text("Nothing has run yet")
        expect(frame.locator(".note")).to_contain_text("The Dag empty is paused")
        frame.get_by_role("link", name="Unpause the Dag empty").click()
        page.wait_for_url("**/dags/empty")
    wrong = ask(pages, "/?env=wrong/prod").text
    assert "The settings of this environment are wrong" in wrong
    assert "no pack matches nothing" in wrong


def test_one_endpoint_is_a_bookmark(visit: Any, pages: Pages) -> None:
    """A doctor's assistant: was last night's run of my ward complete? By a search, then by its address."""
    ward, well = pages.endpoints[2], pages.endpoints[5]
    with visit(user="vera") as page:
        frame = open_inside(page, pages.airflow.url, f"/?env={DAG}/prod")
        frame.get_by_label("Find an endpoint").fill(ward.name)
        page.keyboard.press("Enter")
        expect(frame.locator("section p").first).to_contain_text("not complete: ")
        frame.get_by_role("link", name=ward.name).click()
        expect(frame.locator("table.plain tbody tr").first).to_contain_text("could not connect")
        address = page.url
        page.goto("about:blank")
        page.goto(address)
        expect(inside(page).locator("section p").first).to_contain_text(ward.name)
        frame = open_inside(page, pages.airflow.url, f"/?env={DAG}/prod&find={well.name}")
        expect(frame.locator("section p").first).to_contain_text(re.compile(r"complete: \d of \d packs"))
        frame = open_inside(page, pages.airflow.url, f"/?env={DAG}/prod&find=no-such-ward")
        expect(frame.locator("main")).to_contain_text("No endpoint has this")


def test_french(visit: Any, pages: Pages) -> None:
    """Every page of ours has its texts in French."""
    with visit(language="fr") as page:
        frame = open_inside(page, pages.airflow.url, f"/?env={DAG}/prod")
        expect(frame.locator("h1")).to_contain_text(re.compile(r"^Aujourd.hui"))
        expect(frame.locator(".summary")).to_contain_text("sont complètes")


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 800), (1920, 1080)])
def test_axe_finds_nothing_serious(visit: Any, pages: Pages, mode: str, size: tuple[int, int]) -> None:
    """With all there is to say, and for one endpoint."""
    with visit(mode=mode, size=size) as page:
        for query in ("", f"&find={pages.endpoints[2].name}"):
            frame = open_inside(page, pages.airflow.url, f"/?env={DAG}/prod{query}")
            expect(frame.locator("html")).to_have_attribute("data-mode", mode)
            assert not axe.serious(page)
