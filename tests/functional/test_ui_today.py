"""Today: what a steward, a viewer and a doctor's assistant see in the morning, and where it leads them."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
import requests
from playwright.sync_api import expect

from hdm_airflow.base import activation, migrate, rename
from hdm_airflow.base.endpoints import Endpoint, find
from hdm_airflow.base.hook import HdmHook
from tests.airflow.stage import REPORT_ALL, Stage
from tests.functional import axe
from tests.functional.page_browser import inside, open_inside, save, visitor
from tests.functional.pages_stage import Pages, endpoint, fill, pages_stage
from tests.integration.incident_harness import Pack
from tests.integration.incident_model import Night

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

    from demo.services import Database, Postgres

pytestmark = pytest.mark.timeout(600)
EVIL = Endpoint(name="<img src=x onerror=alert(1)>", type="sqlite", host="/data/</title><script>alert(2)</script>")
SCRIPT = "<script>alert(3)</script>"
PACKS = ["mp_basic", "mp_row-count", "mp_pack03", "rp_basic"]
DAGS = """
from airflow.sdk import DAG

from hdm_airflow import HdmDag, HdmTaskGroup

HdmDag("hdm_pipeline")
HdmDag("other", exclude=["mp_legacy"], environments={one: {"conn_id": f"hdm_{one}"} for one in ("well", "idle", "new")})
HdmDag("down", environments={"down": {"conn_id": "hdm_down"}})
HdmDag("wrong", select=["nothing"])
with DAG("own", schedule=None):
    HdmTaskGroup("one", environment="nowhere")
"""
PROD, WELL, IDLE, NEW = "hdm_pipeline/prod", "other/well", "other/idle", "other/new"
WARD = endpoint(3)  # mp_basic has failed there


@pytest.fixture(scope="module")
def bases(postgres: Postgres) -> Iterator[dict[str, Database]]:
    """A good night, a base where nothing has run, and an empty one."""
    bases = {name: postgres.create_database(f"hdm_today_{name}") for name in ("well", "idle", "new")}
    for name, base in bases.items():
        with connected(base):
            migrate.upgrade(HdmHook())
        if name != "new":
            fill(base, [endpoint(number) for number in range(1, 6)], PACKS, 2 if name == "well" else 0)
    with bases["well"].connect() as base:
        base.execute("UPDATE hdm_pack_run SET status = 'success', reason = NULL")
    yield bases
    for one in bases.values():
        postgres.drop_database(one.name)


@pytest.fixture(scope="module")
def pages(postgres: Postgres, bases: dict[str, Database], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """Those, a bad night, a base that is down, and wrong settings."""
    folder = tmp_path_factory.mktemp("today")
    stage = Stage(base=bases["well"], folder=folder / "packs", store=folder / "store")
    for task_id in PACKS:
        stage.pack(task_id[3:], REPORT_ALL.format("ok"), kind="metric" if task_id.startswith("mp_") else "rule")
    stage.pack("legacy", "true", version=SCRIPT)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and not listening
        variables = {f"AIRFLOW_CONN_HDM_{name.upper()}": base.dsn for name, base in bases.items()}
        variables["AIRFLOW_CONN_HDM_DOWN"] = f"postgresql://hdm:secret@127.0.0.1:{closed.getsockname()[1]}/hdm"
        settings = {"packs_dir": str(stage.folder)}
        with pages_stage(
            postgres, folder / "stage", endpoints=40, dags=DAGS, settings=settings, variables=variables
        ) as pages:
            with connected(pages.stage.base):
                spoil(pages)
            for dag in ("other", "hdm_pipeline"):
                pages.airflow.call("PATCH", f"/dags/{dag}", {"is_paused": False})
            yield pages


def spoil(pages: Pages) -> None:
    """A bad night: a pack that fails nearly everywhere, scripts in names and reasons, incidents, changes."""
    fill(pages.stage.base, [EVIL], ["mp_basic"], 1)
    with HdmHook().session() as base:
        base.execute("UPDATE hdm_pack_run SET status = 'failed', reason = 'disk full' WHERE pack = 'pack03'")
        base.execute("UPDATE hdm_pack_run SET status = 'failed', reason = %s WHERE endpoint = %s", [SCRIPT, EVIL.slug])
        base.execute(
            "UPDATE hdm_pack_run SET status = 'running', reason = NULL, finished_at = NULL"
            " WHERE pack = 'row-count' AND status = 'partial' AND metric_date = current_date"
        )
        base.execute("DELETE FROM hdm_pack_run WHERE pack = 'row-count' AND endpoint = %s", [endpoint(4).slug])
        night = Night(status="success", alerts={("1", SCRIPT, ""): "High", ("2", "visits", ""): "Warning"})
        today = base.execute("SELECT current_date AS today").fetchone()
        pack = Pack(base)
        pack.judge(today["today"] - timedelta(days=1), Night(status="success", alerts={}), endpoint(1).slug)
        pack.derive()
        pack.judge(today["today"], night, endpoint(1).slug)
        pack.derive()
        activation.change(base, [("rule", "basic", EVIL.slug)], active=True, actor=SCRIPT)
        activation.change(base, [("rule", "basic", EVIL.slug)], active=False, actor="anna")


@contextlib.contextmanager
def connected(base: Database) -> Iterator[None]:
    """Let hooks of this process find a base."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_HDM", base.dsn)
        yield


@pytest.fixture
def visit(browser: Browser, pages: Pages) -> Iterator[Callable[..., Page]]:
    """Opens our pages for a user; what a page throws, and what its policy blocks, fails the test."""
    failures: list[str] = []
    with contextlib.ExitStack() as stack:

        def visit(path: str = "", **options: Any) -> Page:
            page = stack.enter_context(visitor(browser, pages.airflow.url, pages.airflow.password, **options))
            page.on("pageerror", lambda one: failures.append(str(one)))
            page.on("dialog", lambda one: failures.append(one.message))
            page.on("console", lambda one: failures.append(one.text) if "Content Security" in one.text else None)
            if path:
                page.goto(pages.url + path)
            return page

        yield visit
    assert not failures


def of(environment: str, **query: str) -> str:
    """The address of the page of an environment."""
    return "/?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in {"env": environment, **query}.items())


def get(pages: Pages, path: str, user: str = "admin") -> requests.Response:
    """The answer to a user's request."""
    headers = {"Authorization": f"Bearer {pages.token(user)}", "Accept": "text/html"}
    return requests.get(pages.url + path, headers=headers, timeout=60)


def test_a_steward_sees_what_is_red_after_one_click_and_its_log_after_two(browser: Browser, pages: Pages) -> None:
    """From Airflow's home page; Airflow's Back button returns."""
    with visitor(browser, pages.airflow.url, pages.airflow.password) as page:
        page.goto(pages.airflow.url)
        page.get_by_role("link", name="Quality").click()
        frame = inside(page)
        expect(frame.locator(".summary")).to_have_text(
            re.compile(r"^✕ \d+ of 121 pack runs of \d{4}-\d\d-\d\d complete")
        )
        row = frame.get_by_role("row", name=re.compile("failed mp_basic .*could not connect"))
        row.get_by_role("link", name=re.compile("^Log")).click()
        page.wait_for_url(re.compile(r"/dags/hdm_pipeline/runs/manual__.*/tasks/hdm-prod\.mp_basic\?try_number=1"))
        page.go_back()
        expect(inside(page).locator(".summary")).to_be_visible()


def test_problems_come_worst_first_with_links_to_what_mends_them(visit: Callable[..., Page]) -> None:
    """The matrix shows exactly these cells; a configuration is that of the only endpoint, or of the pack's version."""
    page = visit(of(PROD))
    rows = page.locator("table.problems tbody tr")
    states = [one.split(maxsplit=1)[1] for one in rows.locator("td.state").all_inner_texts()]
    assert states == sorted(states, key=["dead", "failed", "partial", "missing", "running", "skipped"].index)
    assert set(states) == {"dead", "failed", "partial", "missing", "skipped"}
    disk = rows.filter(has_text="disk full")
    expect(disk).to_contain_text("and 26 more")
    links = {one.inner_text(): one.get_attribute("href") or "" for one in disk.get_by_role("link").all()}
    query = parse_qs(urlsplit(links["Matrix"]).query)
    assert query == {"env": [PROD], "pack": ["mp_pack03"], "state": ["failed"], "active": ["yes"]}
    assert links["and 26 more"] == links["Matrix"]
    assert parse_qs(urlsplit(links["Configuration"]).query)["version"] == ["1.0.0"]
    missing = rows.filter(has_text="Has never run here")
    links = {one.inner_text(): one.get_attribute("href") or "" for one in missing.get_by_role("link").all()}
    assert "Log" not in links
    slug = endpoint(4).slug
    assert parse_qs(urlsplit(links["Matrix"]).query)["q"] == [slug]
    assert parse_qs(urlsplit(links["Matrix"]).query)["state"] == ["none"]
    edit = {"env": [PROD], "kind": ["metric"], "pack": ["row-count"], "endpoint": [slug]}
    assert parse_qs(urlsplit(links["Configuration"]).query) == edit
    dead = rows.filter(has_text="dead").get_by_role("link", name=re.compile("^Matrix"))
    assert parse_qs(urlsplit(dead.get_attribute("href") or "").query)["state"] == ["running"]


def test_endpoints_packs_incidents_and_changes_are_named(visit: Callable[..., Page]) -> None:
    """Below the problems."""
    page = visit(of(PROD))
    unreachable = page.locator("table.unreachable tbody tr").filter(has_text=EVIL.name)
    expect(unreachable).to_contain_text(SCRIPT)
    expect(page.locator("dl.quarantined dt")).to_contain_text("mp_legacy")
    expect(page.locator("dl.quarantined dd")).to_contain_text("version")
    expect(page.locator(".level")).to_have_text(["1 High", "1 Warning"])
    expect(page.locator("main")).to_contain_text("airflow hdm incidents list --since")
    first = page.locator("ul.changes li").first
    expect(first).to_contain_text(f"anna deactivated rp_basic on {EVIL.name}")
    assert "/audit?" in (page.get_by_role("link", name="All changes").get_attribute("href") or "")


def test_scripts_in_names_and_reasons_are_text(visit: Callable[..., Page], pages: Pages) -> None:
    """On the page, in the search, and on the page of the endpoint."""
    for path in (of(PROD), of(PROD, find="img"), of(PROD, find=SCRIPT), of(PROD, endpoint=EVIL.slug)):
        page = visit(path)
        expect(page.locator("main h1")).to_be_visible()
        assert page.locator("main").locator("img, script:not([type='application/json'])").count() == 0
        text = page.content()
        assert "<img" not in text
        assert "<script>alert" not in text
    assert EVIL.name in page.locator("h1").inner_text()
    answer = get(pages, of(PROD, endpoint=f"{SCRIPT}:x"))
    assert (answer.status_code, "<script>alert" in answer.text) == (404, False)


def test_a_good_night_is_one_line(visit: Callable[..., Page]) -> None:
    """Nothing else but what has changed, folded."""
    page = visit(of(WELL))
    expect(page.locator(".summary")).to_have_text(re.compile(r"^✓ All is well: all \d+ pack runs of \S+ are complete$"))
    assert (
        page.locator("main > :not(.head)").count() == 4
    )  # the line, the changes; heading and list of other environments
    changes = page.locator("details")
    expect(changes.get_by_role("link")).to_be_hidden()
    page.get_by_text("Changed since yesterday").click()
    expect(changes).to_contain_text("Nobody has changed anything since yesterday.")


def test_where_nothing_has_run_the_page_says_what_to_do(visit: Callable[..., Page]) -> None:
    """Packs first, if none is activated."""
    page = visit(of(NEW))
    expect(page.locator(".summary")).to_have_text("○ No pack is activated on an endpoint")
    expect(page.locator("ol.steps li")).to_contain_text(["airflow hdm endpoints add", "Activate packs", "run it now"])
    page.goto(page.url.replace("new", "idle"))
    expect(page.locator(".summary")).to_have_text("○ Nothing has run yet")
    expect(page.locator("ol.steps li")).to_have_count(1)
    page.get_by_role("button", name="Run now").click()
    expect(page.get_by_role("dialog")).to_contain_text("all of this environment")


def test_a_paused_dag_and_wrong_settings_are_told(visit: Callable[..., Page], pages: Pages) -> None:
    """Settings without a base show nothing else; others show what the base knows."""
    pages.airflow.call("PATCH", "/dags/other", {"is_paused": True})
    try:
        page = visit(of(WELL))
        expect(page.locator(".notice")).to_contain_text("The Dag other is paused")
        expect(page.locator(".summary")).not_to_contain_text("All is well")
        page.goto(pages.url + of(NEW))
        expect(page.locator("ol.steps li")).to_have_count(4)
    finally:
        pages.airflow.call("PATCH", "/dags/other", {"is_paused": False})
    page.goto(pages.url + of("wrong/prod"))
    expect(page.locator(".notice").first).to_contain_text("nothing")
    expect(page.locator(".notice").first).to_contain_text("Correct the Airflow Variable hdm or the Dag file")
    expect(page.locator(".summary")).to_contain_text("of 151 pack runs")
    again = page.get_by_role("button", name=re.compile("^Run again")).first
    expect(again).to_have_attribute("title", "The Dag has no pack to run in this environment")
    page.goto(pages.url + of("own/nowhere"))
    expect(page.locator(".notice").first).to_contain_text("there is no environment 'nowhere'")
    expect(page.locator(".summary")).to_have_count(0)


def test_a_night_long_ago_is_not_well(visit: Callable[..., Page], bases: dict[str, Database]) -> None:
    """Nobody should take it for last night's."""
    with bases["idle"].connect() as base:
        base.execute(
            "INSERT INTO hdm_pack_run (kind, pack, pack_version, endpoint, metric_date, environment, dag_id, run_id,"
            " task_id, try_number, status, finished_at) SELECT kind, pack, '1.0.0', slug, current_date - 9, 'idle',"
            " 'other', 'r', 't', 1, 'success', now() FROM hdm_activation"
        )
    try:
        page = visit(of(IDLE, find=""))
        for _ in range(10):  # the state of a moment ago may be shown for three seconds
            if page.locator(".notice").count():
                break
            page.wait_for_timeout(500)
            page.reload()
        expect(page.locator(".notice")).to_contain_text("Nothing has run since")
        expect(page.locator(".summary")).to_have_text(re.compile("^✓ All 15 pack runs of .* are complete$"))
    finally:
        with bases["idle"].connect() as base:
            base.execute("DELETE FROM hdm_pack_run")


@pytest.mark.parametrize(("user", "may"), [("olga", True), ("ulf", True), ("vera", False)])
def test_running_again_is_for_those_who_may_trigger_the_dag(visit: Callable[..., Page], user: str, may: bool) -> None:
    """For others the button says why; the dialog names all endpoints of the line, also those it only counts."""
    page = visit(of(PROD), user=user)
    row = page.locator("table.problems tbody tr").filter(has_text="disk full")
    button = row.get_by_role("button", name=re.compile("^Run again"))
    if may:
        button.click()
        expect(page.get_by_role("dialog")).to_contain_text("mp_pack03")
        expect(page.get_by_role("dialog")).to_contain_text("and 25 more")  # five are named there
        page.keyboard.press("Escape")
        expect(button).to_be_focused()
    else:
        expect(button).to_have_attribute("aria-disabled", "true")
        expect(button).to_have_attribute("title", "Only users who may trigger the Dag hdm_pipeline can do this")
        expect(button).to_have_accessible_description("Only users who may trigger the Dag hdm_pipeline can do this")
        button.click(force=True)
        page.wait_for_timeout(300)
        expect(page.get_by_role("dialog")).to_have_count(0)


def test_all_endpoints_of_a_line_are_known_until_it_is_over(pages: Pages) -> None:
    """Beyond the names on the page."""
    query = {"kind": "metric", "pack": "pack03", "status": "failed", "reason": "disk full"}
    today = re.findall(r"pack runs of (\S+) complete", get(pages, of(PROD)).text)[0]
    address = "/today/endpoints" + of(PROD, **query, date=today)[1:]
    found = get(pages, address).json()["endpoints"]
    assert len(found) == 30
    assert found == sorted(found)
    gone = get(pages, address.replace("disk", "tape"))
    assert (gone.status_code, gone.json()["what"]) == (400, "This problem is over")
    assert get(pages, address.replace(today, "yesterday")).status_code == 400
    assert get(pages, address.replace("metric", "other")).status_code == 422


def test_a_doctors_assistant_finds_the_ward_and_keeps_the_address(browser: Browser, pages: Pages) -> None:
    """Two steps from Airflow's home page, as a viewer; then the address alone."""
    with visitor(browser, pages.airflow.url, pages.airflow.password, user="vera") as page:
        page.goto(pages.airflow.url)
        page.get_by_role("link", name="Quality").click()
        frame = inside(page)
        frame.get_by_role("searchbox").fill("00003")
        page.keyboard.press("Enter")
        expect(frame.locator("h1")).to_contain_text(WARD.name)
        expect(frame.locator(".summary")).to_have_text(
            re.compile(rf"^✕ Not complete: \d of \d pack runs of \S+ on {WARD.name} have ended well$")
        )
        page.wait_for_url(re.compile("endpoint=ward_00003"))
        kept = page.url
        page.goto(kept)
        expect(inside(page).locator("h1")).to_contain_text(WARD.name)
        frame = open_inside(page, pages.airflow.url, of(WELL, endpoint=WARD.slug))
        expect(frame.locator(".summary")).to_have_text(re.compile(f"^✓ Complete: all . pack runs of .* on {WARD.name}"))


def test_a_search_lists_several_and_says_if_there_is_none(visit: Callable[..., Page]) -> None:
    """An exact name wins over longer ones."""
    page = visit(of(PROD, find="ward"))
    expect(page.locator("h2")).to_have_text("40 endpoints match “ward”")
    page.get_by_role("link", name=endpoint(7).name, exact=True).click()
    expect(page.locator("h1")).to_contain_text(endpoint(7).name)
    page.get_by_role("searchbox").fill("nobody\u0000")
    page.get_by_role("button", name="Find").click()
    expect(page.locator("main")).to_contain_text("No endpoint has “nobody” in its name or address.")


def test_the_address_of_an_endpoint_outlives_its_rename(visit: Callable[..., Page], pages: Pages) -> None:
    """One that is gone says so, with the search at hand."""
    old = endpoint(40)
    new = Endpoint(name="renamed", type=old.type, host=old.host, port=old.port, user=old.user)
    with connected(pages.stage.base), HdmHook().session() as base:
        rename.start(base, find(base, old.slug), new, [], actor="anna")
        rename.finish(base, old.slug, new.slug, actor="anna")
    page = visit(of(PROD, endpoint=old.slug))
    expect(page.locator("h1")).to_contain_text("renamed")
    assert parse_qs(urlsplit(page.url).query)["endpoint"] == [new.slug]
    page.goto(pages.url + of(PROD, endpoint="ward_99:postgres:db::reader:false"))
    expect(page.locator(".summary")).to_contain_text("There is no endpoint ward_99 any more")


def test_other_environments_are_one_line_each(visit: Callable[..., Page]) -> None:
    """A base that is down does not stop the page, or the other lines."""
    page = visit(of(PROD))
    others = page.locator("ul.others li")
    texts = {
        "well (other)": "✓ All is well",
        "idle (other)": "○ Nothing has run yet",
        "new (other)": "○ No pack is activated",
        "down (down)": "✕ the HDM base cannot be reached",
        "prod (wrong)": "no pack matches nothing · the Dag is paused · new incidents: 1 High, 1 Warning",
        "nowhere (own)": "there is no environment 'nowhere'",
    }
    for name, said in texts.items():
        expect(others.filter(has_text=name)).to_contain_text(said)
    others.get_by_role("link", name="well (other)").click()
    expect(page.locator(".summary")).to_contain_text("All is well")


def test_everybody_can_use_it(visit: Callable[..., Page], pages: Pages) -> None:
    """Nothing serious that axe-core finds, light and dark, on two screens; the page never scrolls sideways."""
    page = visit("/today/line")
    page.emulate_media(reduced_motion="reduce")
    paths = [of(PROD), of(WELL), of(NEW), of(IDLE), of("wrong/prod"), of(PROD, endpoint=WARD.slug)]
    for path in [*paths, of(PROD, find="ward")]:
        page.goto(pages.url + path)
        screens = [("light", 1280), ("dark", 1920)]
        for mode, width in [*screens, ("dark", 1280), ("light", 1920)] if path == of(PROD) else screens:
            page.set_viewport_size({"width": width, "height": 800})
            page.locator("html").evaluate("(html, mode) => { html.dataset.mode = mode }", mode)
            assert not axe.serious(page), (path, mode, width)
            assert page.evaluate("() => document.querySelector('main').scrollWidth") <= width, path


def test_it_speaks_french(visit: Callable[..., Page]) -> None:
    """Words, and the separators of numbers."""
    page = visit(of(PROD), language="fr")
    expect(page.locator(".summary")).to_contain_text("Exécutions de packs complètes le")
    expect(page.locator("table.problems")).to_contain_text("en échec")
    page.goto(page.url.replace(quote(PROD, safe=""), quote(WELL, safe="")))
    expect(page.locator(".summary")).to_contain_text("Tout va bien")


def test_image_of_the_documentation(browser: Browser, pages: Pages) -> None:
    """Inside Airflow, on a bad day, without the endpoint that is a script."""
    folder = os.environ.get("HDM_TEST_IMAGES")
    if not folder:
        pytest.skip("HDM_TEST_IMAGES names no folder")
    with connected(pages.stage.base), HdmHook().session() as base:
        activation.change(base, [("metric", "basic", EVIL.slug)], active=False, actor="anna")
    with visitor(browser, pages.airflow.url, pages.airflow.password) as page:
        page.wait_for_timeout(3500)  # a state is shared for three seconds
        open_inside(page, pages.airflow.url, of(PROD))
        save(page, Path(folder) / "today.png")
