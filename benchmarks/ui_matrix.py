"""The activation matrix in a real Chromium: until it can be used, a change of a cell and of a column, scrolling."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

ROUNDS = 5
_FRAMES = 90

#: Clicks an element and returns the milliseconds until the page has said what became of it.
_CLICK = """(selector) => new Promise((done, fail) => {
    const place = document.getElementById("messages");
    place.replaceChildren();
    const began = performance.now();
    const observer = new MutationObserver(() => {
        if (!place.textContent) return;
        observer.disconnect();
        if (place.querySelector(".error")) fail(new Error(place.textContent));
        else done(performance.now() - began);
    });
    observer.observe(place, { childList: true, subtree: true });
    document.querySelector(selector).click();
})"""

#: Scrolls down and to the right, a step per frame, and returns the milliseconds of each frame.
_SCROLL = """async ({ frames, rowsAlone }) => {
    const grid = document.getElementById("grid");
    const sources = [...document.querySelectorAll("link[rel=modulepreload]")];
    const source = sources.find((one) => one.href.endsWith("matrix_grid.js"));
    const { Grid } = await import(source.href);
    const before = Grid.prototype.sight;
    if (rowsAlone) {
        Grid.prototype.sight = function () {
            return { ...before.call(this), left: 0, right: this.store.columns.length - 1 };
        };
    }
    grid.scrollTo(0, 0);
    const next = () => new Promise(requestAnimationFrame);
    await next();
    const times = [];
    let last = performance.now();
    for (let frame = 0; frame < frames; frame += 1) {
        grid.scrollTop += 500;
        grid.scrollLeft = (frame * 90) % 3000;
        await next();
        const now = performance.now();
        times.push(now - last);
        last = now;
    }
    Grid.prototype.sight = before;
    grid.scrollTo(0, 0);
    await next();
    return times;
}"""


def static(page: Page, url: str) -> float:
    """Seconds until a page of ours without data is there, and has answered a click."""
    began = time.perf_counter()
    page.goto(f"{url}/?env=none", wait_until="commit")
    page.locator("section.error h1").click()
    return time.perf_counter() - began


def usable(page: Page, url: str) -> float:
    """Seconds until a check box of the matrix has answered a click."""
    began = time.perf_counter()
    page.goto(f"{url}/matrix", wait_until="commit")
    page.locator("#grid[data-ready]").wait_for()
    box = page.locator('.row[data-place="0"] .cell[data-column="0"] input')
    before = box.is_checked()
    box.click()
    page.wait_for_selector(
        f'.row[data-place="0"] .cell[data-column="0"] input{":not(:checked)" if before else ":checked"}'
    )
    taken = time.perf_counter() - began
    page.locator("#messages .message").wait_for()
    return taken


def toggle(page: Page) -> float:
    """Milliseconds from a click on a check box until it is saved."""
    return float(page.evaluate(_CLICK, '.row[data-place="3"] .cell[data-column="1"] input'))


def column(page: Page) -> float:
    """Milliseconds from the confirmation until a whole column is deactivated, or activated."""
    page.locator('.head [data-column="2"] .menu').click()
    page.locator("dialog.menu button").first.click()
    page.locator("dialog.bulk .buttons button:enabled").nth(1).wait_for()
    which = 2 if page.locator("dialog.bulk .buttons button").nth(1).is_enabled() else 3
    taken = float(page.evaluate(_CLICK, f"dialog.bulk .buttons button:nth-child({which})"))
    page.locator("dialog.bulk").wait_for(state="detached")
    return taken


def frames(page: Page, *, rows_alone: bool) -> float:
    """The 95th percentile of a frame while scrolling, in milliseconds."""
    times = page.evaluate(_SCROLL, {"frames": _FRAMES, "rowsAlone": rows_alone})
    return statistics.quantiles(times, n=20)[-1]


def nodes(page: Page) -> int:
    """The elements of the document."""
    return int(page.evaluate("() => document.querySelectorAll('*').length"))


def median(call: Callable[[], float]) -> float:
    """The median of several rounds."""
    return statistics.median(call() for _ in range(ROUNDS))
