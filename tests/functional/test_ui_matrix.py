"""The activation matrix in a real browser: by mouse, by keys, with other people, and with names that are scripts."""

from __future__ import annotations

import gzip
import json
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

    from playwright.sync_api import Browser, FrameLocator, Locator, Page

    from demo.services import Postgres

pytestmark = pytest.mark.timeout(300)
SCRIPT = '"><img src=x onerror="document.title=1"><script>document.title=1</script>'
EVIL = Endpoint(name=f"zz {SCRIPT}", type="sqlite", host="/evil.db")
ENDPOINTS = 300  # more than two blocks


@pytest.fixture(scope="module")
def pages(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """300 endpoints and one whose name is a script; 18 packs, one of which is gone, and one quarantined."""
    folder = tmp_path_factory.mktemp("matrix")
    with pages_stage(postgres, folder, endpoints=ENDPOINTS, packs=12) as pages:
        with pages.stage.base.connect() as base:
            base.execute(
                "INSERT INTO hdm_core_dblist (db_name, db_type, db_host) VALUES (%s, 'sqlite', '/evil.db')", [EVIL.name]
            )
            base.execute("INSERT INTO hdm_core_table_corr_db_mp VALUES ('basic', 'gone_ward:sqlite:/gone.db:::false')")
            base.execute("INSERT INTO hdm_core_table_corr_db_mp VALUES ('vanished', %s)", [pages.endpoints[0].slug])
        pages.stage.pack("broken", "exit 0", version="")
        pages.stage.pack("basic", "exit 0", tags=["core"])
        pages.airflow.reserialize()
        yield pages


@pytest.fixture
def visit(browser: Browser, pages: Pages) -> Callable[..., AbstractContextManager[Page]]:
    """Opens a page of somebody who has logged in."""

    def opened(**choices: Any) -> AbstractContextManager[Page]:
        return visitor(browser, pages.airflow.url, pages.airflow.password, **choices)

    return opened


def matrix(page: Page, pages: Pages, query: str = "") -> FrameLocator:
    """Open the matrix and wait until it can be used."""
    frame = open_inside(page, pages.airflow.url, f"/matrix{query}")
    frame.locator("#grid[data-ready]").wait_for()
    return frame


def cell(frame: FrameLocator, place: int, task: str) -> Locator:
    """The cell of a row and a pack that are in sight."""
    column = frame.locator(".head .pack", has_text=re.compile(f"^{task}(\\d|gone|quar|$)")).get_attribute("data-column")
    return frame.locator(f'.row[data-place="{place}"] .cell[data-column="{column}"]')


def active(pages: Pages, kind: str, pack: str, slug: str) -> bool:
    """Whether a pack is active on an endpoint, as the base says."""
    with pages.stage.base.connect() as base:
        query = "SELECT count(*) FROM hdm_activation WHERE kind = %s AND pack = %s AND slug = %s"
        row = base.execute(query, [kind, pack, slug]).fetchone()
    return bool(row and row[0])


def audited(pages: Pages) -> list[tuple[Any, ...]]:
    """The newest rows of the audit trail: actor, action, object."""
    with pages.stage.base.connect() as base:
        return base.execute("SELECT actor, action, object FROM hdm_audit ORDER BY id DESC LIMIT 3").fetchall()


def test_a_check_box_changes_the_base_at_once_and_can_be_undone(visit: Any, pages: Pages) -> None:
    """Saved under the user's name; the message says which pack and endpoint."""
    place = pages.endpoints[0]
    with visit(user="olga") as page:
        frame = matrix(page, pages)
        box = cell(frame, 0, "mp_basic").locator("input")
        expect(box).to_be_checked()
        box.click()
        expect(frame.locator("#messages")).to_contain_text(f"mp_basic no longer runs on {place.name}")
        expect(cell(frame, 0, "mp_basic").locator("input")).not_to_be_checked()
        assert not active(pages, "metric", "basic", place.slug)
        assert audited(pages)[0] == ("olga", "deactivate", f"metric pack basic {place.slug}")
        frame.get_by_role("button", name="Undo").click()
        expect(frame.locator("#messages")).to_contain_text(f"mp_basic runs on {place.name} from the next run on")
        assert active(pages, "metric", "basic", place.slug)


def test_the_grid_is_used_by_keys_alone(visit: Any, pages: Pages) -> None:
    """Arrows, Home and End, pages; Space, Enter, L, D and R; the focus survives scrolling."""
    with visit() as page:
        frame = matrix(page, pages)
        frame.locator(".head .pack").first.focus()
        focused = frame.locator(":focus")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")  # past a pack in quarantine
        expect(focused).to_have_attribute("data-column", "2")
        before = focused.locator("input").is_checked()
        page.keyboard.press(" ")
        expect(frame.locator("#messages")).to_contain_text("runs on" if not before else "no longer runs on")
        expect(focused.locator("input")).to_be_checked(checked=not before)
        page.keyboard.press(" ")
        expect(focused.locator("input")).to_be_checked(checked=before)
        page.keyboard.press("Control+End")
        expect(focused).to_have_attribute("data-column", re.compile(r"\d\d"))
        place = frame.locator(".row:has(:focus)")
        expect(place).to_have_attribute("data-place", str(ENDPOINTS + 1))
        page.keyboard.press("PageUp")
        expect(place).not_to_have_attribute("data-place", str(ENDPOINTS + 1))
        page.keyboard.press("Control+Home")
        expect(place).to_have_attribute("data-place", "0")
        frame.locator("#grid").evaluate("(grid) => { grid.scrollTop = 5000; grid.scrollLeft = 900 }")
        expect(frame.locator('.row[data-place="160"] .task')).to_be_visible()
        page.keyboard.press("ArrowDown")
        expect(place).to_have_attribute("data-place", "1")
        page.keyboard.press("d")
        expect(frame.get_by_role("dialog")).to_contain_text("Last run")
        page.keyboard.press("Escape")
        expect(place).to_have_attribute("data-place", "1")
        page.keyboard.press("r")
        expect(frame.get_by_role("dialog", name="Run now")).to_contain_text("mp_basic")
        page.keyboard.press("Escape")
        page.keyboard.press("Home")
        page.keyboard.press("Enter")
        expect(frame.get_by_role("menuitem").first).to_be_focused()
        page.keyboard.press("ArrowDown")
        expect(frame.get_by_role("menuitem").nth(1)).to_be_focused()
        page.keyboard.press("Escape")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("l")
        page.wait_for_url(f"**/dags/{DAG}/runs/**/tasks/hdm-prod.mp_basic?try_number=1")


def test_filters_are_an_address(visit: Any, pages: Pages) -> None:
    """Reloaded, they show the same; a state looks at the packs that are shown."""
    with visit() as page:
        frame = matrix(page, pages)
        expect(frame.locator("#count")).to_have_text(f"{ENDPOINTS + 1} of {ENDPOINTS + 1} endpoints and 1 that is gone")
        frame.get_by_label("Type").select_option("mysql")
        expect(frame.locator("#count")).to_have_text(re.compile("^75 of"))
        frame = inside(page)
        frame.get_by_label("Find").fill("ward_0000")
        page.keyboard.press("Enter")
        expect(frame.locator("#count")).to_have_text(re.compile("^3 of"))
        expect(page).to_have_url(re.compile(r"/plugin/data-quality/hdm/matrix\?env=.*&q=ward_0000&type=mysql$"))
        page.reload()
        expect(inside(page).locator("#count")).to_have_text(re.compile("^3 of"))
        frame = matrix(page, pages, "?pack=mp_basic&state=failed&active=yes")
        expect(frame.locator(".head .pack")).to_have_count(1)
        for row in range(3):
            expect(cell(frame, row, "mp_basic").locator("button.state")).to_have_text("failed")
        frame.locator(".chip").click()
        expect(inside(page).locator(".chip")).to_have_count(0)
        frame = matrix(page, pages, "?tag=core")
        expect(frame.locator(".head .pack")).to_have_count(1)
        open_inside(page, pages.airflow.url, "/matrix?q=nothing-has-this-name")
        expect(inside(page).locator(".empty")).to_contain_text("No endpoint matches.")


def test_many_cells_change_at_once_after_a_count_and_can_be_undone(visit: Any, pages: Pages) -> None:
    """A column of the filtered rows, in one transaction with one batch in the audit trail."""
    with visit() as page:
        frame = matrix(page, pages, "?type=postgres")
        frame.locator(".head .pack", has_text="mp_basic").locator(".menu").click()
        frame.get_by_role("menuitem", name="Activate or deactivate").click()
        dialog = frame.get_by_role("dialog", name="Change many at once")
        expect(dialog).to_contain_text("Cells: 75; active: 0; can be activated: 75.")
        dialog.get_by_role("button", name="Activate 75").click()
        expect(frame.locator("#messages")).to_contain_text("75 activations added.")
        expect(cell(frame, 2, "mp_basic").locator("input")).to_be_checked()
        with pages.stage.base.connect() as base:
            query = "SELECT count(*) FROM hdm_audit GROUP BY batch ORDER BY max(id) DESC LIMIT 1"
            assert base.execute(query).fetchone() == (75,)
        frame.get_by_role("button", name="Undo").click()
        expect(frame.locator("#messages")).to_contain_text("Undone: 75 activations.")
        frame.locator("#bulk").click()
        expect(dialog).to_contain_text(re.compile(r"Cells: [\d,]+; active: [\d,]+"))
        page.keyboard.press("Escape")


def test_an_endpoint_gets_the_packs_of_another(visit: Any, pages: Pages) -> None:
    """Three clicks from Airflow's home page: Quality, Matrix, As on; or any other endpoint, from the row's menu."""
    new = Endpoint(name="a new ward", type="mysql", host="db9.hospital.example", port="3306", user="reader")
    with pages.stage.base.connect() as base:
        base.execute(
            "INSERT INTO hdm_core_dblist (db_name, db_type, db_host, db_port, db_user) VALUES (%s, %s, %s, %s, %s)",
            [new.name, new.type, new.host, new.port, new.user],
        )
    with visit() as page:
        page.goto(pages.airflow.url)
        page.click("text=Quality")
        inside(page).get_by_role("navigation").get_by_role("link", name="Matrix").click()
        frame = inside(page)
        frame.get_by_role("button", name="As on ward_00001_pharmacy").click()
        expect(frame.locator("#messages")).to_contain_text("activations added.")
        expect(cell(frame, 0, "mp_basic").locator("input")).to_be_checked()
        assert active(pages, "metric", "basic", new.slug)
        assert not active(pages, "metric", "vanished", new.slug), "the Dag has no task for it"
        frame.get_by_role("button", name="Undo").click()
        expect(frame.locator("#messages")).to_contain_text("Undone: ")
        frame.locator('.row[data-place="0"] .menu').click()
        frame.get_by_role("menuitem", name="Same packs as on").click()
        other = frame.get_by_label("Endpoint", exact=True)
        other.press_sequentially("ward_00290")
        expect(frame.locator("#like-names option")).to_have_count(1)
        other.fill(pages.endpoints[289].slug)
        page.keyboard.press("Enter")
        expect(frame.locator("#messages")).to_contain_text("activations added.")
    with pages.stage.base.connect() as base:
        base.execute("DELETE FROM hdm_core_table_corr_db_mp WHERE db_key = %s", [new.slug])
        base.execute("DELETE FROM hdm_core_table_corr_db_rp WHERE db_key = %s", [new.slug])
        base.execute("DELETE FROM hdm_core_dblist WHERE db_name = %s", [new.name])


def test_two_people_on_one_cell(visit: Any, pages: Pages) -> None:
    """The second is told who has changed it, and sees how it is now."""
    place = pages.endpoints[4]
    with visit(user="olga") as one, visit() as other:
        first, second = matrix(one, pages), matrix(other, pages)
        before = cell(first, 4, "mp_basic").locator("input").is_checked()
        cell(first, 4, "mp_basic").locator("input").click()
        expect(first.locator("#messages")).to_contain_text(place.name)
        cell(second, 4, "mp_basic").locator("input").click()
        expect(second.locator("#messages .error")).to_contain_text("by olga")
        expect(cell(second, 4, "mp_basic").locator("input")).to_be_checked(checked=not before)
    assert active(pages, "metric", "basic", place.slug) is not before


@pytest.mark.parametrize("user", ["vera", "ulf"])
def test_who_may_not_change_it_sees_why(visit: Any, pages: Pages, user: str) -> None:
    """Check boxes and buttons are disabled and say it; the server refuses too."""
    with visit(user=user) as page:
        frame = matrix(page, pages)
        box = cell(frame, 0, "mp_basic").locator("input")
        expect(box).to_be_disabled()
        expect(box).to_have_attribute("title", re.compile("edit the Airflow Variable hdm"))
        expect(frame.locator("#bulk")).to_be_disabled()
    wish = {"kind": "metric", "pack": "basic", "endpoint": pages.endpoints[0].slug, "active": False, "seen": True}
    headers = {"Authorization": f"Bearer {pages.token(user)}", "X-HDM": "1"}
    for path, body in (
        ("cell", wish),
        ("change", {"packs": ["mp_basic"], "keys": None, "digest": "", "active": False}),
        ("like", {"endpoint": pages.endpoints[0].slug, "like": pages.endpoints[1].slug}),
        ("undo", {"batch": 1}),
    ):
        answer = requests.post(f"{pages.url}/matrix/{path}", json=body, headers=headers, timeout=60)
        assert answer.status_code == 403, path
    assert active(pages, "metric", "basic", pages.endpoints[0].slug)


def test_what_is_gone_can_be_deactivated_only(visit: Any, pages: Pages) -> None:
    """An endpoint that is not registered any more; a pack without a task; a pack in quarantine."""
    with visit() as page:
        frame = matrix(page, pages, "?q=gone_ward")
        expect(frame.locator(".row.gone .name")).to_contain_text("gone")
        box = cell(frame, 0, "mp_basic").locator("input")
        expect(box).to_be_enabled()
        box.click()
        expect(frame.locator("#messages")).to_contain_text("mp_basic no longer runs on gone_ward")
        expect(cell(frame, 0, "mp_basic").locator("input")).to_be_disabled()
        frame = matrix(page, pages, "?pack=mp_vanished&pack=mp_broken")
        expect(frame.locator(".head .pack", has_text="mp_vanished")).to_contain_text("gone")
        expect(frame.locator(".head .pack", has_text="mp_broken")).to_contain_text("quarantined")
        expect(cell(frame, 0, "mp_broken").locator("input")).to_be_disabled()
        expect(cell(frame, 0, "mp_vanished").locator("input")).to_be_enabled()
        expect(cell(frame, 1, "mp_vanished").locator("input")).to_be_disabled()
    headers = {"Authorization": f"Bearer {pages.token()}", "X-HDM": "1"}
    wish = {"kind": "metric", "pack": "vanished", "endpoint": pages.endpoints[1].slug, "active": True, "seen": False}
    answer = requests.post(f"{pages.url}/matrix/cell", json=wish, headers=headers, timeout=60)
    assert answer.status_code == 404
    assert "no task for this pack" in answer.json()["what"]
    answer = requests.post(f"{pages.url}/matrix/cell", json={**wish, "pack": "broken"}, headers=headers, timeout=60)
    assert answer.status_code == 400
    assert "mp_broken is quarantined" in answer.json()["what"]


def test_undo_is_offered_even_if_a_gone_pack_has_left_the_page(visit: Any, pages: Pages) -> None:
    """It leaves with its last activation; the page is loaded again, and the message stays."""
    place = pages.endpoints[0]
    with visit() as page:
        frame = matrix(page, pages, f"?q={place.name}&pack=mp_basic&pack=mp_vanished")
        frame.locator('.row[data-place="0"] .menu').click()
        frame.get_by_role("menuitem", name="Activate or deactivate packs").click()
        frame.get_by_role("button", name="Deactivate 2").click()
        expect(frame.locator(".head .pack")).to_have_count(1)
        expect(frame.locator("#messages")).to_contain_text("2 activations removed")
        frame.get_by_role("button", name="Undo").click()
        expect(frame.locator(".head .pack")).to_have_count(2)
        expect(cell(frame, 0, "mp_vanished").locator("input")).to_be_checked()
        expect(frame.locator("#messages")).not_to_be_empty()
    assert active(pages, "metric", "vanished", place.slug)
    assert active(pages, "metric", "basic", place.slug)


def test_names_that_are_scripts_are_text(visit: Any, pages: Pages) -> None:
    """In the grid, in a menu, in a dialog and in a message."""
    with visit() as page:
        frame = matrix(page, pages, "?q=zz")
        expect(frame.locator(".row .name .task").first).to_have_text(EVIL.name)
        cell(frame, 0, "mp_basic").locator("input").click()
        expect(frame.locator("#messages")).to_contain_text(EVIL.name)
        frame.locator('.row[data-place="0"] .menu').click()
        frame.get_by_role("menuitem", name="Same packs as on").click()
        expect(frame.get_by_role("dialog")).to_contain_text(EVIL.name)
        assert frame.locator("html").evaluate("() => document.title") == "Activation matrix"
        assert frame.locator("img").count() == 0


def test_rows_that_match_no_more_are_not_changed(pages: Pages) -> None:
    """The selection was counted for other rows than there are now."""
    headers = {"Authorization": f"Bearer {pages.token()}", "X-HDM": "1"}
    body = {"packs": ["mp_basic"], "keys": None, "digest": "of yesterday", "active": False}
    answer = requests.post(f"{pages.url}/matrix/change?type=mysql", json=body, headers=headers, timeout=60)
    assert answer.status_code == 409
    assert "nothing was changed" in answer.json()["what"]
    unread = requests.get(f"{pages.url}/matrix/rows?keys={{", headers=headers, timeout=60)
    assert (unread.status_code, unread.json()["hint"]) == (400, "reload the page")


def test_only_cells_in_sight_are_in_the_document(visit: Any, pages: Pages) -> None:
    """Whatever the size; what comes into sight is fetched."""
    with visit(size=(3840, 2160)) as page:
        frame = matrix(page, pages)
        for top, left in ((0, 0), (4000, 0), (9000, 1500), (0, 0)):
            frame.locator("#grid").evaluate(f"(grid) => {{ grid.scrollTop = {top}; grid.scrollLeft = {left} }}")
            page.wait_for_timeout(400)
            assert frame.locator("body").evaluate("() => document.querySelectorAll('*').length") < 5000
        expect(frame.locator('.row[data-place="0"] .task')).to_have_text(pages.endpoints[0].name)


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 800), (1920, 1080)])
def test_axe_finds_nothing_serious(visit: Any, pages: Pages, mode: str, size: tuple[int, int]) -> None:
    """With a message and a dialog."""
    with visit(mode=mode, size=size) as page:
        frame = matrix(page, pages)
        expect(frame.locator("html")).to_have_attribute("data-mode", mode)
        assert not axe.serious(page)
        cell(frame, 6, "mp_basic").locator("button.state").click()
        frame.get_by_role("dialog").wait_for()
        assert not axe.serious(page)
        page.keyboard.press("Escape")
        page_browser.picture(page, "matrix" if size[0] == 1280 and mode == "light" else "")


def test_first_page_is_small_without_its_data(pages: Pages) -> None:
    """At most 60 kB over the wire: page, scripts and styles."""
    headers = {"Authorization": f"Bearer {pages.token()}", "Accept": "text/html", "Accept-Encoding": "gzip"}
    sent, seen = 0, set()

    def fetch(path: str) -> str:
        nonlocal sent
        answer = requests.get(f"{pages.airflow.url}{path}", headers=headers, timeout=60, stream=True)
        raw = answer.raw.read()
        sent += len(raw)
        return (gzip.decompress(raw) if answer.headers.get("content-encoding") == "gzip" else raw).decode()

    text = fetch("/hdm/matrix?q=nothing-has-this-name")
    (data,) = re.findall(r'id="data">(.*?)</script>', text, re.DOTALL)
    assert json.loads(data)["keys"] == []
    for path in re.findall(r'(?:href|src)="(/hdm/static/.*?)"', text):
        if path not in seen:
            seen.add(path)
            fetch(path)
    assert len(seen) > 8
    assert sent < 60_000, sent
