"""Fixtures for tests of pages. Each module has a stage of its own, `pages`, and a browser of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.functional import page_browser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser(require: Callable[[str, str | None], None]) -> Iterator[Browser]:
    """One Chromium."""
    require("functional", page_browser.missing())
    with page_browser.chromium() as browser:
        yield browser
