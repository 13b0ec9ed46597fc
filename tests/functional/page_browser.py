"""A browser for our pages: Debian's Chromium, driven by Playwright.

By hand: python -m tests.functional.page_browser URL PASSWORD PATH FILE [light|dark] [WIDTHxHEIGHT] [USER] [LANGUAGE]
saves a screenshot of a page inside Airflow; URL is Airflow's.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import requests
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, FrameLocator, Page

ENTRY = "/plugin/data-quality"
_SECONDS = 30.0


def missing() -> str | None:
    """Why this machine has no browser; None if it has one."""
    return None if shutil.which("chromium") else "chromium not found; apt-get install chromium"


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium, which reaches nothing but this machine."""
    flags = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND, "]
    flags[-1] += "EXCLUDE localhost, EXCLUDE 127.0.0.1"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def visitor(
    browser: Browser,
    url: str,
    password: str,
    *,
    user: str = "admin",
    mode: str = "light",
    size: tuple[int, int] = (1280, 800),
    language: str = "en",
    zone: str = "UTC",
) -> Iterator[Page]:
    """A page of somebody who has logged in to Airflow, with choices that Airflow keeps in the browser.

    Args:
        browser: the browser.
        url: Airflow's, without a slash at its end.
        password: of all users.
        user: their name.
        mode: light or dark.
        size: of the window, in pixels.
        language: of Airflow.
        zone: the time zone chosen in Airflow.
    """
    context = browser.new_context(viewport={"width": size[0], "height": size[1]})
    context.set_default_timeout(_SECONDS * 1000)
    kept = {"theme": mode, "i18nextLng": language, "timezone": json.dumps(zone)}
    context.add_init_script(
        f"for (const [key, value] of Object.entries({json.dumps(kept)}))"
        " if (localStorage.getItem(key) === null) localStorage.setItem(key, value)"
    )
    try:
        yield _log_in(context, url, user, password)
    finally:
        context.close()


def inside(page: Page) -> FrameLocator:
    """Our page inside Airflow's."""
    return page.frame_locator("iframe")


def open_inside(page: Page, url: str, path: str = "/", *, prefix: str = "") -> FrameLocator:
    """Open a page of ours inside Airflow, by its address, and wait until it is there.

    Args:
        page: where.
        url: Airflow's, without a slash at its end.
        path: below our pages, with parameters.
        prefix: path of Airflow's base_url.
    """
    page.goto(f"{url}{ENTRY}{prefix}/hdm{path}")
    frame = inside(page)
    frame.locator("main#main").wait_for()
    return frame


def save(page: Page, file: Path | str) -> None:
    """Save a screenshot."""
    page.wait_for_timeout(300)  # fonts and Airflow's own transitions
    page.screenshot(path=str(file))


def picture(page: Page, name: str) -> None:
    """Save a screenshot for the documentation, in the folder that HDM_TEST_IMAGES names, if it does.

    Args:
        page: what to show.
        name: of the file, without its ending; '': none.
    """
    folder = os.environ.get("HDM_TEST_IMAGES")
    if folder and name:
        save(page, Path(folder) / f"{name}.png")


def _log_in(context: BrowserContext, url: str, user: str, password: str) -> Page:
    """By the cookie that Airflow's login page sets; loading that page would take seconds."""
    answer = requests.post(f"{url}/auth/token", json={"username": user, "password": password}, timeout=_SECONDS)
    answer.raise_for_status()
    context.add_cookies([{"name": "_token", "value": answer.json()["access_token"], "url": url}])
    return context.new_page()


def main(url: str, password: str, path: str, file: str, *more: str) -> None:
    """Save a screenshot of a page inside Airflow."""
    mode, size, user, language = [*more, *("light", "1280x800", "admin", "en")[len(more) :]]
    width, height = map(int, size.split("x"))
    with (
        chromium() as browser,
        visitor(browser, url, password, user=user, mode=mode, size=(width, height), language=language) as page,
    ):
        page.on("console", lambda one: print("console:", one.text))  # noqa: T201  # by hand
        open_inside(page, url, path)
        page.wait_for_timeout(1500)
        save(page, file)
        print(page.url)  # noqa: T201  # by hand


if __name__ == "__main__":
    main(*sys.argv[1:])
