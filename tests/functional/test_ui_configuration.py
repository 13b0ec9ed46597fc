"""The pages of the configuration and of the audit trail, in a real Airflow and a real browser."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import pytest
import requests
from playwright.sync_api import expect

from hdm_airflow.admin import activation, configuration
from hdm_airflow.admin.secrets import PLACEHOLDER
from hdm_airflow.base import configuration as below
from hdm_airflow.base import endpoints
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.ui.texts import catalogue
from tests.functional import axe, page_browser
from tests.functional.page_browser import open_inside, save, visitor
from tests.functional.pages_stage import DAG, Pages, endpoint, pages_stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, FrameLocator, Page

    from demo.services import Postgres

pytestmark = pytest.mark.timeout(600)
#: What must stay text wherever it is shown.
WICKED = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>"
SECRET = "t0p-s3cret-of-the-hospital"
SCHEMA = {
    "type": "object",
    "properties": {
        "limit": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 50, "description": "Rows to read"},
        "ratio": {"type": "number", "exclusiveMinimum": 0, "title": "Share of rows"},
        "mode": {"enum": ["fast", "slow"]},
        "deep": {"anyOf": [{"type": "boolean"}, {"type": "null"}], "default": False},
        "tables": {"$ref": "#/$defs/names", "description": WICKED},
        "server": {"type": "object", "properties": {"name": {"type": "string"}, "port": {"type": "integer"}}},
        "api_password": {"type": "string", "maxLength": 40},
        "odd": {"type": "array", "items": {"type": "object"}},
        WICKED: {"type": "string", "title": WICKED, "description": WICKED, "default": WICKED},
    },
    "patternProperties": {"^more": True},
    "additionalProperties": False,
    "$defs": {"names": {"type": "array", "items": {"type": "string"}}},
}
#: Of a pack that the documentation shows.
SHOWN = {
    "type": "object",
    "properties": {
        "limit": {"type": "integer", "minimum": 1, "maximum": 1000, "description": "Rows to read of each table"},
        "mode": {"enum": ["fast", "thorough"], "description": "How to read them"},
        "deep": {"type": "boolean", "default": False, "description": "Whether to follow foreign keys"},
        "tables": {"type": "array", "items": {"type": "string"}, "description": "Tables to read; all if not set"},
        "seconds": {"type": "number", "default": 600, "description": "Time limit for the endpoint"},
    },
    "additionalProperties": False,
}
WARD, OTHER, LAB = (endpoint(number) for number in (4, 8, 12))


@pytest.fixture(scope="module")
def pages(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """A pack with a schema, and one without."""
    files = {"mp_basic": {"config.schema.json": json.dumps(SCHEMA), "Readme.md": WICKED}}
    files["mp_pack03"] = {"config.schema.json": json.dumps(SHOWN)}
    with pages_stage(postgres, tmp_path_factory.mktemp("pages"), files=files) as pages:
        yield pages


@pytest.fixture
def base(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The HDM base, without configurations and audit trail."""
    monkeypatch.setenv("AIRFLOW_CONN_HDM", pages.stage.base.dsn)
    with HdmHook().session() as session:
        session.execute("TRUNCATE hdm_pack_metric_conf, hdm_pack_rule_conf, hdm_audit")
        yield session


@pytest.fixture
def visit(browser: Browser, pages: Pages) -> Iterator[Callable[..., Page]]:
    """Opens Airflow for a user; what a page throws fails the test."""
    opened, failures = [], []

    def visit(**options: Any) -> Page:
        context = visitor(browser, pages.airflow.url, pages.airflow.password, **options)
        page = context.__enter__()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda one: failures.append(str(one)))
        page.on("console", lambda one: failures.append(one.text) if "Content Security" in one.text else None)
        opened.append(context)
        return page

    yield visit
    for context in opened:
        context.__exit__(None, None, None)
    assert not failures


def store(base: Any, text: Any, pack: str = "basic", actor: str = "bob", **options: Any) -> str:
    """Store a configuration as somebody else does."""
    text = text if isinstance(text, str) else json.dumps(text)
    return configuration.save(base, "metric", pack, text, actor=actor, **options).version


def stored(base: Any, **options: Any) -> str | None:
    """What is stored, with secrets."""
    options = options or {"slug": WARD.slug}
    return below.stored(base, "metric", options.pop("pack", "basic"), **options).text


def editor(pack: str = "basic", slug: str = WARD.slug, **more: str) -> str:
    """The address that the matrix's wrench links to."""
    return "/configuration/edit?" + urlencode(
        {"kind": "metric", "pack": pack, "endpoint": slug, **more}, quote_via=quote
    )


def everywhere(version: str = "", pack: str = "basic") -> str:
    """The address of an external configuration."""
    return "/configuration/edit?" + urlencode({"kind": "metric", "pack": pack, "version": version})


def opened(page: Page, pages: Pages, path: str) -> Page:
    """A page of ours without Airflow's around it: the same, and ten times faster to load."""
    page.goto(pages.url + path)
    return page


def ask(pages: Pages, path: str, user: str = "admin", body: Any = None) -> requests.Response:
    """The answer to a user's request without a browser."""
    headers = {"Authorization": f"Bearer {pages.token(user)}", "Accept": "text/html", "X-HDM": "1"}
    method = "GET" if body is None else "POST"
    return requests.request(method, pages.url + path, headers=headers, json=body, timeout=20)


def said(frame: Page | FrameLocator) -> Any:
    return frame.locator("#messages .message")


def field(frame: Page | FrameLocator, name: str) -> Any:
    """A field of the form."""
    return frame.get_by_label(name, exact=True)


def rows(frame: Page | FrameLocator) -> list[list[str]]:
    """What a run gets: key, value, source."""
    return frame.locator("table.effective tbody tr").evaluate_all(
        "(rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent))"
    )


class TestEditor:
    """One configuration."""

    def test_another_limit_for_one_pack_on_one_database_is_one_value_and_save(
        self, base: Any, pages: Pages, visit: Callable[..., Page]
    ) -> None:
        """From the wrench's address. The page stays, shows what a run gets now, and the history says who did it."""
        store(base, {"limit": 100, "mode": "fast"}, version="1.0.0")
        frame = opened(visit(user="olga"), pages, editor())
        expect(frame.locator("h1")).to_have_text("mp_basic on ward_00004_surgery (postgres, db4.hospital.example:5432)")
        source = "all endpoints, version 1.0.0"
        assert rows(frame)[:2] == [["limit", "100", source], ["mode", '"fast"', source]]
        expect(field(frame, "limit")).to_have_attribute("placeholder", f"100 ({source})")
        field(frame, "limit").fill("120")
        assert rows(frame)[0] == ["limit", "120", "this endpoint, not saved yet"]
        frame.get_by_role("button", name="Save").click()
        expect(said(frame)).to_contain_text("Saved. The next run uses it.")
        assert json.loads(stored(base) or "") == {"limit": 120}
        assert rows(frame)[:2] == [["limit", "120", "this endpoint"], ["mode", '"fast"', source]]
        expect(frame.locator("ol.history > li")).to_have_count(1)
        expect(frame.locator("ol.history")).to_contain_text("olga configuration saved")
        expect(frame.get_by_role("button", name="Save")).to_have_attribute("aria-disabled", "true")

    def test_from_airflow_s_home_page_it_takes_four_clicks_and_a_fifth_to_run(
        self, base: Any, pages: Pages, visit: Callable[..., Page]
    ) -> None:
        """Our entry, matrix, wrench, and Save; Run now takes this pack, this endpoint and the newest date."""
        page = visit()
        page.goto(f"{pages.airflow.url}/")
        page.click("text=Quality")
        frame = page_browser.inside(page)
        frame.get_by_role("navigation").get_by_role("link", name="Matrix").click()
        frame.locator("a.wrench[href*='pack=basic&'][href*='kind=metric'][href*='ward_00004']").click()
        frame.get_by_label("limit", exact=True).fill("30")
        frame.get_by_role("button", name="Save").click()
        expect(frame.locator("#messages .message")).to_contain_text("Saved")
        assert json.loads(stored(base) or "") == {"limit": 30}
        frame.get_by_role("button", name="Run now").click()
        expect(said(frame)).to_contain_text("Airflow has queued the run for")
        expect(said(frame)).to_contain_text("is paused: the run waits")
        query = "SELECT coalesce(max(metric_date), current_date)::text AS newest FROM hdm_pack_state"
        newest = base.execute(query).fetchone()["newest"]
        (run,) = pages.airflow.call("GET", f"/dags/{DAG}/dagRuns")["dag_runs"]
        only = {"environment": "prod", "packs": ["mp_basic"], "endpoints": [WARD.slug]}
        assert run["conf"] == {"metric_date": newest, "hdm_only": only}
        frame.get_by_role("button", name="Open the run").click()
        page.wait_for_url(f"**/dags/{DAG}/runs/manual__*")

    def test_keyboard_alone_is_enough(self, base: Any, pages: Pages, visit: Callable[..., Page]) -> None:
        """Tab to the field, type, Ctrl+S."""
        page = visit()
        frame = opened(page, pages, editor())
        frame.locator("h1").click()
        for _ in range(12):
            page.keyboard.press("Tab")
            if frame.locator(":focus").get_attribute("id") == "field-limit":
                break
        page.keyboard.type("7")
        page.keyboard.press("Control+s")
        expect(said(frame)).to_contain_text("Saved")
        assert json.loads(stored(base) or "") == {"limit": 7}

    def test_form_and_json_are_in_step_and_nothing_is_lost(
        self, base: Any, pages: Pages, visit: Callable[..., Page]
    ) -> None:
        """What the form does not know, numbers beyond a browser's, and the layout stay as they were written."""
        text = '{"more_big": 12345678901234567890123,   "ratio": 1.50,\n\t"odd": [{"a": 1}], "mode": "fast"}'
        store(base, text, slug=WARD.slug)
        frame = opened(visit(), pages, editor())
        expect(field(frame, "Share of rows")).to_have_value("1.50")
        expect(frame.locator(".others")).to_contain_text("more_big")
        expect(frame.locator("#form")).to_contain_text('This value can be changed only as JSON: [{"a": 1}]')
        field(frame, "limit").fill("5")
        field(frame, "mode").select_option(label="slow")
        field(frame, "deep").select_option(label="yes (true)")
        field(frame, "tables").fill("visits\n labs \n\n")
        field(frame, "port").fill("5432")
        frame.get_by_label("Do not set ratio here").click()
        frame.get_by_label("JSON", exact=True).check()
        area = frame.locator("#text")
        value = json.loads(area.input_value())
        assert value == {
            "more_big": 12345678901234567890123,
            "odd": [{"a": 1}],
            "mode": "slow",
            "limit": 5,
            "deep": True,
            "tables": ["visits", "labs"],
            "server": {"port": 5432},
        }
        assert area.input_value().startswith(
            '{"more_big": 12345678901234567890123,   "odd": [{"a": 1}], "mode": "slow"'
        )
        area.fill('{"limit": 6, "server": {"port": 1}, "mode": "odd one"}')
        frame.get_by_label("Form").check()
        expect(field(frame, "limit")).to_have_value("6")
        expect(field(frame, "port")).to_have_value("1")
        expect(field(frame, "mode")).to_have_value('"odd one"')
        field(frame, "port").fill("")
        field(frame, "mode").select_option(label="not set")
        frame.get_by_label("JSON", exact=True).check()
        assert json.loads(frame.locator("#text").input_value()) == {"limit": 6}

    def test_wrong_values_are_named_at_once_and_the_server_checks_in_full(
        self, base: Any, pages: Pages, visit: Callable[..., Page]
    ) -> None:
        """A number that is none is not put into the text; one out of bounds is refused by the schema."""
        frame = opened(visit(), pages, editor())
        limit = field(frame, "limit")
        limit.fill("1,5")
        expect(frame.locator("#form")).to_contain_text("Write a whole number, such as 100")
        expect(limit).to_have_attribute("aria-invalid", "true")
        limit.fill("5000")
        expect(frame.locator("#form")).to_contain_text("Allowed: 1 to 1,000")
        frame.get_by_role("button", name="Save").click()
        expect(said(frame)).to_contain_text("limit must be a whole number from 1 to 1000")
        expect(limit).to_have_value("5000")
        assert stored(base) is None

    def test_json_is_checked_while_it_is_typed(self, base: Any, pages: Pages, visit: Callable[..., Page]) -> None:
        """Line, column and cause; Save goes there; the form waits; Format writes a line per entry."""
        frame = opened(visit(), pages, editor("row-count"))
        expect(frame.locator("main")).to_contain_text("This pack ships no form (config.schema.json): write JSON.")
        area, check = frame.locator("#text"), frame.locator("#check")
        area.fill('{\n  "limit": 1,\n  "mode": fast\n}')
        expect(check).to_contain_text('Line 3, column 11: a text has no double quotes: "fast"')
        frame.get_by_role("button", name="Save").click()
        assert area.evaluate("(area) => area.selectionStart") == 26
        assert stored(base, pack="row-count", slug=WARD.slug) is None
        area.fill('{"limit":1.50,"b":[1,{}], "limit":2}')
        expect(check).to_contain_text("The key limit appears twice; the last one counts.")
        frame.get_by_role("button", name="Format").click()
        expect(area).to_have_value('{\n  "limit": 1.50,\n  "b": [\n    1,\n    {}\n  ],\n  "limit": 2\n}\n')
        area.fill("just text")
        frame.get_by_label("Plain text, not JSON").check()
        expect(check).to_have_text("Stored exactly as it is written")
        frame.get_by_role("button", name="Save").click()
        expect(said(frame)).to_contain_text("Saved")
        assert stored(base, pack="row-count", slug=WARD.slug) == "just text"
        expect(frame.get_by_label("Plain text, not JSON")).to_be_checked()

    def test_a_lost_race_keeps_the_text_and_shows_what_is_stored(
        self, base: Any, pages: Pages, visit: Callable[..., Page]
    ) -> None:
        """Two browsers. The second learns who was faster, sees the difference, and decides."""
        store(base, {"limit": 1}, slug=WARD.slug)
        first, second = (opened(visit(user=user), pages, editor(view="json")) for user in ("admin", "olga"))
        first.locator("#text").fill('{\n  "limit": 2,\n  "mode": "fast"\n}')
        second.locator("#text").fill('{\n  "limit": 3,\n  "mode": "fast"\n}')
        first.get_by_role("button", name="Save").click()
        expect(said(first)).to_contain_text("Saved")
        second.get_by_role("button", name="Save").click()
        conflict = second.locator("#conflict")
        expect(conflict).to_contain_text("the configuration has been changed meanwhile: by admin, at 20")
        lines = conflict.locator("pre > span")
        assert lines.all_text_contents() == [
            "  {\n",
            '-   "limit": 2,\n',
            '+   "limit": 3,\n',
            '    "mode": "fast"\n',
            "  }\n",
        ]
        expect(second.locator("#text")).to_have_value('{\n  "limit": 3,\n  "mode": "fast"\n}')
        assert json.loads(stored(base) or "")["limit"] == 2
        conflict.get_by_role("button", name="Save mine").click()
        expect(said(second)).to_contain_text("Saved")
        expect(conflict).to_be_hidden()
        assert json.loads(stored(base) or "")["limit"] == 3
        first.locator("#text").fill('{"limit": 4}')
        first.locator("#text").press("Control+s")
        expect(first.locator("#conflict")).to_contain_text("by olga, at 20")
        first.get_by_role("button", name="Take what is stored").click()
        expect(first.locator("#text")).to_have_value('{\n  "limit": 3,\n  "mode": "fast"\n}')

    def test_history_is_restored_and_removed(self, base: Any, pages: Pages, visit: Callable[..., Page]) -> None:
        """Also as it was before a change. Removing asks first, and is undone from the history."""
        for limit in (1, 2, 3):
            store(base, {"limit": limit, "api_password": SECRET}, slug=WARD.slug)
        page = visit()
        frame = opened(page, pages, editor())
        items = frame.locator("ol.history > li")
        expect(items).to_have_count(3)
        assert items.nth(0).locator("pre .removed, pre .added").all_text_contents() == [
            '-   "limit": 2,\n',
            '+   "limit": 3,\n',
        ]
        items.nth(2).get_by_role("button", name="Restore as it was after").click()
        expect(said(frame)).to_contain_text("Restored")
        assert json.loads(stored(base) or "") == {"limit": 1, "api_password": SECRET}
        items.nth(0).get_by_role("button", name="Restore as it was before").click()
        expect(items).to_have_count(5)
        assert json.loads(stored(base) or "") == {"limit": 3, "api_password": SECRET}
        frame.get_by_role("button", name="Remove…").click()
        page.keyboard.press("Escape")
        assert stored(base)
        frame.get_by_role("button", name="Remove…").click()
        frame.get_by_role("dialog").get_by_role("button", name="Remove", exact=True).click()
        expect(said(frame)).to_contain_text("Removed")
        assert stored(base) is None
        expect(frame.get_by_role("button", name="Remove…")).to_have_attribute("title", "Nothing is stored here")
        items.nth(0).get_by_role("button", name="Restore as it was before").click()
        expect(items).to_have_count(7)
        assert json.loads(stored(base) or "") == {"limit": 3, "api_password": SECRET}

    def test_versions_say_which_uses_what(self, base: Any, pages: Pages, visit: Callable[..., Page]) -> None:
        """The newest that is not above. Another one is one choice away."""
        for version in ("0.9.0", "0.10.0", "2.0.0"):
            store(base, {"limit": int(version[2:].split(".")[0]) + 1}, version=version)
        page = visit()
        frame = opened(page, pages, everywhere())
        assert [text.split("\n")[0].strip() for text in frame.locator("ul.versions li").all_text_contents()] == [
            "2.0.0 uses its own",
            "1.0.0 uses 0.10.0 running",
            "0.10.0 uses its own",
            "0.9.0 uses its own",
        ]
        expect(frame.locator("#version")).to_have_value(
            f"/hdm{everywhere('1.0.0')}".replace("?", "?env=hdm_pipeline%2Fprod&")
        )
        expect(frame.locator("#removal-text")).to_contain_text("the configuration of version 0.10.0")
        assert rows(frame)[0] == ["limit", "11", "all endpoints, version 0.10.0"]
        expect(frame.locator("#lower")).to_contain_text(
            "replaces all of what it uses now: all endpoints, version 0.10.0"
        )
        frame.get_by_role("button", name="Begin with that").click()
        expect(field(frame, "limit")).to_have_value("11")
        assert rows(frame)[0] == ["limit", "11", "all endpoints, version 1.0.0, not saved yet"]
        frame.get_by_label("Do not set limit here").click()
        assert rows(frame)[0][0] == "limit"
        assert rows(frame)[0][2].endswith("own default")
        frame = opened(page, pages, everywhere())
        frame.get_by_role("button", name="Discard it").click()
        frame.locator("#version").select_option(label="0.9.0")
        page.wait_for_url("**version=0.9.0")
        expect(field(frame, "limit")).to_have_value("10")

    def test_an_unsaved_text_is_kept_and_offered(self, base: Any, pages: Pages, visit: Callable[..., Page]) -> None:
        """Leaving asks within the page, since the frame may not open the browser's own dialog."""
        page = visit()
        frame = open_inside(page, pages.airflow.url, editor())
        field(frame, "limit").fill("77")
        frame.get_by_role("link", name="Audit").click()
        frame.get_by_role("button", name="Stay").click()
        expect(field(frame, "limit")).to_have_value("77")
        frame.get_by_role("link", name="Audit").click()
        frame.get_by_role("button", name="Leave").click()
        expect(frame.locator("h1")).to_have_text("Who changed what")
        frame = open_inside(page, pages.airflow.url, editor())
        expect(frame.locator("#draft")).to_contain_text("You have a text here that is not saved")
        frame.get_by_role("button", name="Take it").click()
        expect(field(frame, "limit")).to_have_value("77")
        field(frame, "limit").press("Control+s")
        expect(said(frame)).to_contain_text("Saved")
        frame = open_inside(page, pages.airflow.url, editor())
        expect(field(frame, "limit")).to_have_value("77")
        expect(frame.locator("#draft")).to_be_hidden()
        assert json.loads(stored(base) or "") == {"limit": 77}

    def test_pack_or_endpoint_that_is_gone_can_be_read_and_removed(
        self, base: Any, pages: Pages, visit: Callable[..., Page]
    ) -> None:
        """Not saved, by the page or past it."""
        gone = endpoint(99).slug
        store(base, {"a": 1}, "vanished", version="2.0.0")
        store(base, {"limit": 1}, slug=LAB.slug)
        base.execute(
            "UPDATE hdm_pack_metric_conf SET id_config = %s WHERE id_config LIKE 'basic:%%'", [f"basic:{gone}"]
        )
        listed = opened(visit(), pages, "/configuration?faulty=1")
        expect(listed.locator("tbody tr")).to_have_count(2)
        for path, reason in (
            (everywhere("2.0.0", "vanished"), "The Dag hdm_pipeline has no pack mp_vanished"),
            (editor(slug=gone), "This endpoint is no longer registered"),
        ):
            frame = opened(visit(), pages, path)
            expect(frame.locator("#refusal")).to_contain_text(reason)
            expect(frame.get_by_role("button", name="Save")).to_have_attribute(
                "title", f"{reason}: what is stored can be read and removed, not changed"
            )
            frame.get_by_role("button", name="Remove…").click()
            frame.get_by_role("dialog").get_by_role("button", name="Remove", exact=True).click()
            expect(said(frame)).to_contain_text("Removed")
        meant = {"kind": "metric", "pack": "basic", "endpoint": gone, "text": "{}", "seen": ""}
        answer = ask(pages, "/configuration/save", body=meant)
        assert (answer.status_code, answer.json()["what"]) == (
            400,
            "This endpoint is no longer registered: what is stored can be read and removed, not changed",
        )


class TestRights:
    """Who may do what."""

    @pytest.mark.parametrize("user", ["vera", "ulf"])
    def test_who_may_not_write_reads_everything(
        self, base: Any, pages: Pages, visit: Callable[..., Page], user: str
    ) -> None:
        """With the reason at each control; past the page, the server refuses."""
        seen = store(base, {"limit": 1, "api_password": SECRET}, slug=WARD.slug)
        frame = opened(visit(user=user), pages, editor())
        reason = "Only users who may edit the Airflow Variable hdm can change this"
        expect(field(frame, "limit")).to_be_disabled()
        expect(field(frame, "limit")).to_have_value("1")
        expect(frame.locator("#refusal")).to_contain_text(reason)
        for name in ("Save", "Remove…"):
            button = frame.get_by_role("button", name=name)
            expect(button).to_have_attribute("aria-disabled", "true")
            expect(button).to_have_attribute("title", reason)
        run = frame.get_by_role("button", name="Run now")
        allowed = expect(run).not_to_have_attribute if user == "ulf" else expect(run).to_have_attribute
        allowed("aria-disabled", "true")
        frame.get_by_label("JSON", exact=True).check()
        assert frame.locator("#text").evaluate("(area) => area.readOnly")
        meant = {"kind": "metric", "pack": "basic", "endpoint": WARD.slug, "seen": seen}
        (change,) = configuration.history(base, "metric", "basic", slug=WARD.slug)
        for act, more in (("save", {"text": "{}"}), ("remove", {}), ("restore", {"change": change.id})):
            answer = ask(pages, f"/configuration/{act}", user, {**meant, **more})
            assert (answer.status_code, answer.json()["what"]) == (403, reason)
        assert json.loads(stored(base) or "")["limit"] == 1

    def test_no_answer_has_a_secret(self, base: Any, pages: Pages) -> None:
        """Neither pages nor data, of what is and what was; in texts that are not JSON, too."""
        store(base, {"api_password": SECRET, "limit": 1}, version="1.0.0")
        store(base, {"api_password": f"{SECRET}2", "server": {"name": "x"}}, slug=WARD.slug)
        store(base, {"api_password": f"{SECRET}3"}, slug=WARD.slug)
        store(base, f"api_key = {SECRET}\n", "row-count", slug=WARD.slug, plain=True)
        configuration.remove(base, "metric", "basic", actor="bob", slug=WARD.slug)
        store(base, {"api_password": f"{SECRET}4"}, slug=WARD.slug)
        meant = urlencode({"kind": "metric", "pack": "basic", "endpoint": WARD.slug})
        paths = ["/configuration", editor(), everywhere("1.0.0"), editor("row-count"), "/audit", "/audit?object=basic"]
        for path in (*paths, f"/configuration/stored?{meant}"):
            answer = ask(pages, path)
            assert answer.status_code == 200, path
            assert SECRET not in answer.text, path
            assert PLACEHOLDER in answer.text, path
        _, _, third, _ = configuration.history(base, "metric", "basic", slug=WARD.slug)
        shown = configuration.read(base, "metric", "basic", slug=WARD.slug)
        where = {"kind": "metric", "pack": "basic", "endpoint": WARD.slug, "seen": shown.version}
        kept = ask(
            pages, "/configuration/save", body={**where, "text": json.dumps({"limit": 2, "api_password": PLACEHOLDER})}
        )
        assert kept.status_code == 200
        assert json.loads(stored(base) or "") == {"limit": 2, "api_password": f"{SECRET}4"}
        late = ask(pages, "/configuration/restore", body={**where, "change": third.id})
        wrong = ask(pages, "/configuration/save", body={**where, "text": json.dumps({"api_password": [SECRET]})})
        assert (late.status_code, wrong.status_code) == (409, 400)
        assert SECRET not in kept.text + late.text + wrong.text

    def test_secret_in_the_form_is_kept_or_replaced(self, base: Any, pages: Pages, visit: Callable[..., Page]) -> None:
        """It is explained at the field."""
        store(base, {"api_password": SECRET}, slug=WARD.slug)
        frame = opened(visit(), pages, editor())
        secret = field(frame, "api_password")
        expect(secret).to_have_value(PLACEHOLDER)
        expect(frame.locator("#secrets")).to_contain_text("stands for a stored secret, which is not shown")
        field(frame, "limit").fill("3")
        field(frame, "limit").press("Control+s")
        expect(said(frame)).to_contain_text("Saved")
        assert json.loads(stored(base) or "") == {"api_password": SECRET, "limit": 3}
        secret.fill("another")
        expect(secret).to_have_attribute("type", "password")
        secret.press("Control+s")
        expect(frame.locator("ol.history > li")).to_have_count(3)
        assert json.loads(stored(base) or "")["api_password"] == "another"
        expect(secret).to_have_value(PLACEHOLDER)


def test_scripts_in_names_texts_and_schemas_stay_text(base: Any, pages: Pages, visit: Callable[..., Page]) -> None:
    """In configurations, actors, endpoints, packs, titles and descriptions."""
    from hdm_airflow.base import audit
    from hdm_airflow.base.endpoints import Endpoint

    ward = Endpoint(name=WICKED, type="postgres", host="h", port="1", user="u")
    endpoints.add(base, ward, None, actor=WICKED)
    store(base, {WICKED: WICKED, "more" + WICKED: "</script><script>1"}, slug=ward.slug, actor=WICKED)
    store(base, WICKED, "row-count", slug=WARD.slug, plain=True)
    activation.change(base, [("metric", "basic", one.slug) for one in (ward, WARD)], active=False, actor=WICKED)
    activation.change(base, [("metric", "basic", one.slug) for one in (ward, WARD)], active=True, actor=WICKED)
    base.execute(
        "INSERT INTO hdm_pack_rule_conf (id_config, pack_name, pack_version, pack_config) VALUES (%s, %s, '1', 'e30=')",
        [f"{WICKED}:1", WICKED],
    )
    audit.record(base, WICKED, WICKED, WICKED, {WICKED: WICKED}, WICKED)
    (batch, *_) = [row["batch"] for row in base.execute("SELECT batch FROM hdm_audit WHERE batch IS NOT NULL")]
    page = visit()
    try:
        for path in (
            "/configuration",
            f"/configuration?{urlencode({'pack': WICKED, 'endpoint': WICKED})}",
            editor(slug=ward.slug),
            editor("row-count"),
            f"/configuration/edit?{urlencode({'kind': 'rule', 'pack': WICKED, 'version': '1'})}",
            "/audit",
            f"/audit?{urlencode({'actor': WICKED, 'action': WICKED, 'object': WICKED})}",
            f"/audit?since={quote(WICKED)}",
            f"/audit/batch?id={batch}",
        ):
            frame = opened(page, pages, path)
            expect(frame.locator("h1").first).to_be_visible()
            assert frame.locator("html").evaluate("() => document.title") != "owned"
            assert frame.locator("main img, main script:not([type='application/json'])").count() == 0, path
        frame = opened(page, pages, editor(slug=ward.slug))
        expect(field(frame, WICKED)).to_have_value(WICKED)
        expect(frame.locator("h1")).to_contain_text(WICKED)
    finally:
        base.execute("DELETE FROM hdm_core_dblist WHERE db_name = %s", [WICKED])


def test_json_texts_are_read_as_the_server_reads_them(pages: Pages, visit: Callable[..., Page]) -> None:
    """The same texts are JSON, and a change in the form's way changes one value."""
    texts = [
        "{}",
        "[]",
        '{"a": 1, "a": 2}',
        ' {"a" : [1, 2.5e3, -0, true, null, "\\u00e9\\n"]} ',
        '"x"',
        "",
        " ",
        "{",
        "[1",
        '{"a"',
    ]
    texts += [
        '{"a":',
        '{"a": 1,}',
        "[1,]",
        "{'a': 1}",
        "{a: 1}",
        '{"a" 1}',
        '{"a": 1 "b": 2}',
        '{"a": 01}',
        '{"a": 1.}',
        '{"a": True}',
    ]
    texts += [
        '{"a": "x\ny"}',
        '{"a": "\\x"}',
        '{"a": "x',
        "{} {}",
        '{"a": [1}',
        "// x\n{}",
        '{"a": .5}',
        '{"a": +1}',
        "nul",
        '{"a": \u201cx\u201d}',
        "[" * 90 + "]" * 90,
    ]
    frame = page_frame(visit(), pages)
    module = (
        "(module, text) => { try { module.parse(text); return null } catch (error) { return [error.cause, error.at] } }"
    )
    found = frame.evaluate(
        f"async ([src, texts]) => {{ const m = await import(src); return texts.map((one) => ({module})(m, one)) }}",
        [script(frame), texts],
    )
    for text, fault in zip(texts, found, strict=True):
        try:
            json.loads(text)
        except ValueError:
            assert fault, text
            assert f"configuration.js-json-{fault[0]}" in catalogue(), text
            assert 0 <= fault[1] <= len(text)
        else:
            assert fault is None, text
    changes = frame.evaluate(
        """async ([src]) => {
            const { set, unset, format } = await import(src);
            const text = '{\\n    "a": 1,\\n    "b": {"c": 2, "d": 3},\\n    "a": 4\\n}';
            return [
                set(text, ["a"], "5"), set(text, ["b", "c"], "6"), set(text, ["b", "e"], "7"),
                set(text, ["x", "y"], "8"),
                unset(text, ["a"]), unset(text, ["b", "c"]), unset(unset(text, ["b", "c"]), ["b", "d"]),
                unset(text, ["z"]),
                set("{}", ["a"], "1"), unset('{"a": 1}', ["a"]), format('{"a":[1.50,{}],"b":{}}'),
            ];
        }""",
        [script(frame)],
    )
    assert changes == [
        '{\n    "a": 1,\n    "b": {"c": 2, "d": 3},\n    "a": 5\n}',
        '{\n    "a": 1,\n    "b": {"c": 6, "d": 3},\n    "a": 4\n}',
        '{\n    "a": 1,\n    "b": {"c": 2, "d": 3, "e": 7},\n    "a": 4\n}',
        '{\n    "a": 1,\n    "b": {"c": 2, "d": 3},\n    "a": 4,\n    "x": {"y": 8}\n}',
        '{\n    "b": {"c": 2, "d": 3}\n}',
        '{\n    "a": 1,\n    "b": {"d": 3},\n    "a": 4\n}',
        '{\n    "a": 1,\n    "a": 4\n}',
        '{\n    "a": 1,\n    "b": {"c": 2, "d": 3},\n    "a": 4\n}',
        '{\n  "a": 1\n}',
        "{}",
        '{\n  "a": [\n    1.50,\n    {}\n  ],\n  "b": {}\n}',
    ]


def page_frame(page: Page, pages: Pages) -> Any:
    """The frame of a page of ours, for scripts."""
    return opened(page, pages, "/audit")


def script(frame: Any) -> str:
    source = frame.evaluate("() => document.querySelector('script[type=module]').src")
    return str(source).rpartition("/")[0] + "/json_text.js"


class TestList:
    """Every stored configuration."""

    def test_filters_are_in_the_address(self, base: Any, pages: Pages, visit: Callable[..., Page]) -> None:
        """Pack, endpoint, and what is wrong."""
        store(base, {"limit": 1}, version="0.9.0")
        store(base, {"limit": 1}, version="1.0.0")
        store(base, {"limit": 2}, slug=WARD.slug)
        store(base, "[1]", "row-count", slug=WARD.slug)
        store(base, {"limit": 3}, slug=OTHER.slug)
        base.execute("UPDATE hdm_pack_metric_conf SET pack_config = '?' WHERE id_config LIKE 'basic:ward_00008%'")
        page = visit()
        frame = opened(page, pages, "/configuration")
        lines = frame.locator("table.configurations tbody tr")
        expect(lines).to_have_count(5)
        expect(lines.nth(0)).to_contain_text("not used now: runs use that of version 1.0.0")
        expect(lines.nth(1)).to_contain_text("in use")
        frame.get_by_label("Pack").first.select_option("mp_basic")
        page.wait_for_url("**pack=mp_basic")
        frame.get_by_label("Endpoint").first.fill("WARD_00004")
        frame.get_by_label("Endpoint").first.press("Enter")
        expect(lines).to_have_count(1)
        page.reload()
        expect(lines).to_have_count(1)
        frame.get_by_role("link", name="Clear filters").click()
        frame.get_by_label("only with a problem (1)").check()
        expect(lines).to_have_count(1)
        expect(lines).to_contain_text("the configuration is not base64 of UTF-8 text")
        frame.get_by_role("link", name="Edit the configuration of mp_basic on ward_00008").click()
        expect(frame.locator("#facts")).to_contain_text("the configuration is not base64 of UTF-8 text")
        field(frame, "limit").fill("9")
        field(frame, "limit").press("Control+s")
        expect(said(frame)).to_contain_text("Saved")
        assert json.loads(stored(base, slug=OTHER.slug) or "") == {"limit": 9}

    def test_a_new_one_begins_with_a_pack_and_an_endpoint(
        self, base: Any, pages: Pages, visit: Callable[..., Page]
    ) -> None:
        """Endpoints are offered while somebody types; without one, it is for all."""
        page = visit()
        frame = opened(page, pages, "/configuration")
        expect(frame.locator("main")).to_contain_text("Nothing is stored yet: every pack runs with its own defaults.")
        frame.get_by_label("Endpoint").last.fill("00008")
        expect(frame.locator("#endpoints option")).to_have_count(1)
        assert frame.locator("#endpoints option").get_attribute("value") == OTHER.slug
        frame.get_by_label("Endpoint").last.fill(OTHER.name)
        frame.get_by_role("button", name="Open").click()
        expect(frame.locator("h1")).to_contain_text(f"mp_basic on {OTHER.name}")
        frame = opened(page, pages, "/configuration")
        frame.get_by_label("Pack").last.select_option("mp_row-count")
        frame.get_by_role("button", name="Open").click()
        expect(frame.locator("h1")).to_have_text("mp_row-count, all endpoints")
        expect(frame.locator("#version option:checked")).to_have_text("1.0.0 (running)")
        frame = opened(page, pages, "/configuration/new?pack=mp_basic&endpoint=nowhere")
        expect(frame.locator("section.error")).to_contain_text("nowhere")
        assert stored(base) is None


class TestAudit:
    """Who changed what."""

    def test_changes_are_lines_in_words_with_differences(
        self, base: Any, pages: Pages, visit: Callable[..., Page]
    ) -> None:
        """A bulk change is one line, and its cells are one click away."""
        cells = [("metric", "basic", one.slug) for one in pages.endpoints[:3]]
        activation.change(base, cells, active=False, actor="anna")
        activation.change(base, cells, active=True, actor="anna")
        activation.change(base, cells[:1], active=False, actor="bert")
        activation.change(base, cells[:1], active=True, actor="bert")
        store(base, {"limit": 1, "api_password": SECRET}, slug=WARD.slug)
        store(base, {"limit": 2, "api_password": "other"}, slug=WARD.slug)
        page = visit()
        frame = opened(page, pages, "/audit")
        lines = frame.locator("table.changes tbody tr")
        expect(lines).to_have_count(6)
        expect(lines.nth(0)).to_contain_text("configuration saved")
        expect(lines.nth(0)).to_contain_text("mp_basic on ward_00004_surgery (postgres, db4.hospital.example:5432)")
        assert lines.nth(0).locator("pre .removed, pre .added").all_text_contents() == [
            '-   "limit": 1,\n',
            '+   "limit": 2,\n',
        ]
        expect(lines.nth(0)).to_contain_text("A secret in it has changed; secrets are not shown.")
        expect(lines.nth(2)).to_contain_text("activated")
        expect(lines.nth(2)).to_contain_text("bert")
        frame.get_by_role("link", name="3 cells").first.click()
        expect(frame.locator("h1")).to_contain_text("at once")
        expect(frame.locator("ul.cells li").first).to_contain_text("mp_basic on ward_0000")
        frame.get_by_role("button", name="Undo…").click()
        frame.get_by_role("dialog").get_by_role("button", name="Undo", exact=True).click()
        expect(said(frame)).to_be_visible()
        query = "SELECT slug FROM hdm_activation WHERE kind = 'metric' AND pack = 'basic' AND slug = ANY(%s)"
        slugs = [slug for _, _, slug in cells]
        assert [row["slug"] for row in base.execute(query, [slugs])] == slugs[:1]  # which bert has changed since
        address = page.url
        viewer = visit(user="vera")
        viewer.goto(address)
        expect(viewer.get_by_role("button", name="Undo…")).to_have_attribute("aria-disabled", "true")
        activation.change(base, cells, active=True, actor="anna")

    def test_filters_and_pages_are_in_the_address(self, base: Any, pages: Pages, visit: Callable[..., Page]) -> None:
        """Actor, change, object, time; older changes by a link."""
        for number in range(60):
            actor = "anna" if number % 2 else "bert"
            below.write(base, "metric", "basic", f'{{"limit": {number + 1}}}', actor=actor, slug=WARD.slug)
        page = visit()
        frame = opened(page, pages, "/audit?actor=anna")
        lines = frame.locator("table.changes tbody tr")
        expect(lines).to_have_count(30)
        frame.get_by_label("By").fill("")
        frame.get_by_role("button", name="Show").click()
        expect(lines).to_have_count(50)
        frame.get_by_role("link", name="Older changes").click()
        expect(lines).to_have_count(10)
        page.reload()
        expect(lines).to_have_count(10)
        frame.get_by_role("link", name="Newest changes").click()
        frame.locator("select[name=action]").select_option("config remove")
        expect(frame.locator(".empty")).to_have_text("No change matches these filters.")
        for query, count in (
            ("object=ward_00004", 50),
            ("object=ward_00005", 0),
            ("since=2000-01-01", 50),
            ("since=2999-01-01", 0),
            ("since=2999-01-01T10:00:00%2B02:00", 0),
            ("action=config+set&actor=bert", 30),
        ):
            assert ask(pages, f"/audit?{query}").text.count('<td class="when">') == count, query
        for query, status in (("since=yesterday", 400), ("before=x", 422), ("before=99999999999999999999", 422)):
            assert ask(pages, f"/audit?{query}").status_code == status, query
        assert ask(pages, "/audit?object=%00&actor=%00").status_code == 200
        assert ask(pages, "/audit/batch?id=1").status_code == 400


PATHS = {
    "configuration": "/configuration",
    "editor": editor(),
    "json": editor(view="json"),
    "version": everywhere("1.0.0"),
    "audit": "/audit",
}


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 800), (1920, 1080)])
def test_pages_can_be_used_by_everybody(
    base: Any, pages: Pages, visit: Callable[..., Page], mode: str, size: tuple[int, int]
) -> None:
    """Nothing serious that axe-core finds; images for the documentation."""
    fill(base)
    page = visit(mode=mode, size=size)
    for name, path in PATHS.items():
        frame = opened(page, pages, path)
        expect(frame.locator("h1").first).to_be_visible()
        if name == "json":
            frame.locator("#text").fill('{"limit": }')
        assert not axe.serious(page), name
        assert page_width(page) <= size[0]


def test_images_of_the_documentation(base: Any, pages: Pages, visit: Callable[..., Page]) -> None:
    """Inside Airflow, with what a user meets on a usual day."""
    folder = os.environ.get("HDM_TEST_IMAGES")
    if not folder:
        pytest.skip("HDM_TEST_IMAGES names no folder")
    fill(base, "pack03")
    page = visit()
    for name, path in (("configuration", editor("pack03")), ("audit", "/audit")):
        frame = open_inside(page, pages.airflow.url, path)
        expect(frame.locator("h1")).to_be_visible()
        if name == "configuration":
            field(frame, "limit").fill("150")
        save(page, Path(folder) / f"{name}.png")


def page_width(page: Page) -> int:
    """The width that our page needs: it must not scroll sideways."""
    return int(page.evaluate("() => document.querySelector('main').scrollWidth"))


def fill(base: Any, pack: str = "basic") -> None:
    """Some configurations, and who changed them."""
    store(base, {"limit": 100, "mode": "fast"}, pack, version="0.9.0", actor="anna")
    store(base, {"limit": 200, "mode": "fast", "tables": ["visits", "labs"]}, pack, version="1.0.0", actor="anna")
    store(base, {"limit": 50}, pack, slug=WARD.slug, actor="bert")
    store(base, {"limit": 120, "deep": True}, pack, slug=WARD.slug, actor="anna")
    if pack == "basic":
        store(base, {"limit": 120, "api_password": SECRET}, pack, slug=WARD.slug, actor="anna")
    cells = [("metric", pack, endpoint(number).slug) for number in range(1, 9)]
    activation.change(base, cells, active=False, actor="bert")
    activation.change(base, cells, active=True, actor="bert")
