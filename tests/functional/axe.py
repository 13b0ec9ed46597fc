"""axe-core on our pages: what it finds serious or critical."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import axe_playwright_python

if TYPE_CHECKING:
    from playwright.sync_api import Frame, Page

_SCRIPT = next(Path(axe_playwright_python.__file__).parent.rglob("axe.min.js"))


def serious(page: Page) -> list[str]:
    """The findings in our frame, or in our page without Airflow's around it: rule, help, and the first elements."""
    frames = [one for one in page.frames if "/hdm/" in one.url and one.parent_frame]
    frame: Frame = frames[0] if frames else page.main_frame
    frame.evaluate(_SCRIPT.read_text("utf-8"))
    found: dict[str, Any] = frame.evaluate("() => axe.run(document, {resultTypes: ['violations'], iframes: false})")
    serious = [one for one in found["violations"] if one["impact"] in {"serious", "critical"}]
    return [f"{one['id']}: {one['help']}: {[_place(node) for node in one['nodes'][:3]]}" for one in serious]


def _place(node: dict[str, Any]) -> str:
    return f"{node['html'][:160]} {(node['failureSummary'] or '')[:200]}"
