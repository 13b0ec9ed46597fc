"""Run now: from the dialog to the run of the Dag that Airflow has accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests
from playwright.sync_api import expect

from tests.functional.page_browser import inside, open_inside, visitor
from tests.functional.pages_stage import DAG, Pages, pages_stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from demo.services import Postgres

pytestmark = pytest.mark.timeout(300)
#: Opens the dialog as every button of ours does.
OPEN = """async (_, choice) => {
    const frame = document.querySelector("script[type=module]").src;
    const { runNow } = await import(frame.replace("frame.js", "run_now.js"));
    await runNow(choice);
}"""


@pytest.fixture(scope="module")
def pages(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """A Dag that nobody has run; without a scheduler, its runs stay queued."""
    with pages_stage(postgres, tmp_path_factory.mktemp("run-now")) as pages:
        pages.airflow.call("PATCH", f"/dags/{DAG}", {"is_paused": False})
        yield pages


def ask(pages: Pages, user: str, **body: Any) -> requests.Response:
    """The answer to a user's wish."""
    headers = {"Authorization": f"Bearer {pages.token(user)}", "X-HDM": "1"}
    return requests.post(f"{pages.url}/run-now", json=body, headers=headers, timeout=60)


def runs(pages: Pages) -> list[dict[str, Any]]:
    """The runs of the Dag, newest first."""
    found = pages.airflow.call("GET", f"/dags/{DAG}/dagRuns?order_by=-run_after")["dag_runs"]
    return list(found)


def audited(pages: Pages) -> list[tuple[Any, ...]]:
    """What the audit trail says of runs."""
    with pages.stage.base.connect() as base:
        return base.execute("SELECT actor, object, new FROM hdm_audit WHERE action = 'run now' ORDER BY id").fetchall()


def test_the_button_starts_a_run_of_the_chosen_part_as_the_user(browser: Browser, pages: Pages) -> None:
    """The date is the newest one; the message leads to the run; the next person is told that theirs will wait."""
    slug = pages.endpoints[0].slug
    with visitor(browser, pages.airflow.url, pages.airflow.password, user="ulf") as page:
        frame = open_inside(page, pages.airflow.url)
        frame.locator("main").evaluate(OPEN, {"packs": ["mp_basic"], "endpoints": [slug]})
        dialog = frame.get_by_role("dialog", name="Run now")
        expect(dialog).to_contain_text("mp_basic")
        expect(dialog).to_contain_text(pages.endpoints[0].name)
        expect(dialog).not_to_contain_text("waits")
        date = dialog.get_by_label("Metric date").input_value()
        page.keyboard.press("Enter")
        expect(frame.locator("#messages")).to_contain_text(f"Airflow has queued the run for {date}")
        (run,) = runs(pages)
        only = {"environment": "prod", "packs": ["mp_basic"], "endpoints": [slug]}
        assert run["conf"] == {"metric_date": date, "hdm_only": only}
        assert (run["run_type"], run["triggering_user_name"]) == ("manual", "ulf")
        assert audited(pages) == [("ulf", f"Dag {DAG} prod", {"run_id": run["dag_run_id"], "conf": run["conf"]})]
        frame.get_by_role("button", name="Open the run").click()
        page.wait_for_url("**/dags/hdm_pipeline/runs/manual__*")
        page.go_back()
        frame = inside(page)
        frame.locator("main").evaluate(OPEN, {})
        expect(frame.get_by_role("dialog")).to_contain_text("this run waits until that one has ended")
        expect(frame.get_by_role("dialog")).to_contain_text("all that are activated")
        page.keyboard.press("Escape")
        expect(frame.get_by_role("dialog")).to_have_count(0)
    assert len(runs(pages)) == 1


@pytest.mark.parametrize(
    ("user", "change", "status", "said"),
    [
        ("vera", {}, 403, "Only users who may trigger the Dag hdm_pipeline"),
        ("olga", {"packs": ["mp_unknown"]}, 400, "no task mp_unknown"),
        (
            "olga",
            {"endpoints": [f"x{number}:sqlite::::false" for number in range(501)]},
            400,
            "501 endpoints are too many",
        ),
        ("olga", {"packs": []}, 422, "packs"),
        ("olga", {"date": "yesterday"}, 422, "date"),
        ("olga", {"more": 1}, 422, "more"),
    ],
)
def test_a_wish_that_cannot_be_met_starts_and_records_nothing(
    pages: Pages, user: str, change: dict[str, Any], status: int, said: str
) -> None:
    """Each says what is wrong."""
    before = runs(pages), audited(pages)
    answer = ask(pages, user, **{"packs": None, "endpoints": None, "date": "2026-01-05", **change})
    assert (answer.status_code, said in answer.json()["what"]) == (status, True), answer.text
    assert (runs(pages), audited(pages)) == before


def test_a_dag_that_is_gone_starts_and_records_nothing(pages: Pages) -> None:
    """The page was opened before."""
    before = audited(pages)
    pages.airflow.call("DELETE", f"/dags/{DAG}")
    answer = ask(pages, "admin", packs=None, endpoints=None, date="2026-01-05")
    assert answer.status_code == 404
    assert audited(pages) == before
