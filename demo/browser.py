"""Browser: a real one on the demo's Airflow, to test pages and to take screenshots."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo.services import Airflow

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

_WAIT = 30  # seconds until a page must show the expected text


@dataclass(frozen=True, kw_only=True)
class Login:
    """An Airflow that somebody else has started."""

    url: str
    user: str
    password: str


class Browser:
    """Headless Chromium, logged in to Airflow as its user `admin`.

    Args:
        airflow: a running Airflow.
        folder: an empty folder for the browser's profile.
        size: width and height of the window, in pixels.
    """

    def __init__(self, airflow: Airflow | Login, folder: Path, *, size: tuple[int, int] = (1400, 900)) -> None:
        self.airflow, self.folder, self.size = airflow, folder, size
        self._driver: Any = None

    @classmethod
    def available(cls) -> str | None:
        """Why this machine has no browser; None if it has one."""
        missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
        return f"{' and '.join(missing)} not found; apt-get install chromium chromium-driver" if missing else None

    def __enter__(self) -> Self:
        from selenium import webdriver

        options = webdriver.ChromeOptions()
        options.binary_location = str(shutil.which("chromium"))
        for flag in (
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
            "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
            f"--user-data-dir={self.folder}", f"--window-size={self.size[0]},{self.size[1]}",
        ):  # fmt: skip
            options.add_argument(flag)
        service = webdriver.ChromeService(executable_path=str(shutil.which("chromedriver")))
        self._driver = webdriver.Chrome(options=options, service=service)
        self._log_in()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._driver.quit()

    def read(self, path: str, until: str) -> str:
        """Open a page and wait until its text contains `until`. Return the page's whole text.

        Raises:
            TimeoutException: if the text does not appear in time (an error of selenium).
        """
        from selenium.webdriver.common.by import By
        from selenium.webdriver.support.ui import WebDriverWait

        self._driver.get(f"{self.airflow.url}{path}")
        WebDriverWait(self._driver, _WAIT).until(lambda driver: until in driver.find_element(By.TAG_NAME, "body").text)
        return str(self._driver.find_element(By.TAG_NAME, "body").text)

    def links(self, path: str, among: str) -> list[str]:
        """Open a page and wait for links that hold `among`; their paths."""
        from selenium.webdriver.common.by import By
        from selenium.webdriver.support.ui import WebDriverWait

        self._driver.get(f"{self.airflow.url}{path}")
        choice = f"a[href*='{among}']"
        WebDriverWait(self._driver, _WAIT).until(lambda driver: driver.find_elements(By.CSS_SELECTOR, choice))
        found = self._driver.find_elements(By.CSS_SELECTOR, choice)
        return [str(one.get_attribute("href")).removeprefix(self.airflow.url) for one in found]

    def remember(self, values: Mapping[str, str]) -> None:
        """Store what Airflow's pages remember of how somebody wants them, key by key."""
        self._driver.execute_script(
            f"for (const [key, value] of Object.entries({json.dumps(dict(values))})) localStorage.setItem(key, value)"
        )

    def screenshot(self, file: Path) -> None:
        """Save the contents of the window as a PNG."""
        self._driver.save_screenshot(str(file))

    def _log_in(self) -> None:
        from selenium.webdriver.common.by import By
        from selenium.webdriver.support.ui import WebDriverWait

        self._driver.get(self.airflow.url)
        wait = WebDriverWait(self._driver, _WAIT)
        wait.until(lambda driver: driver.find_elements(By.NAME, "username"))
        self._driver.find_element(By.NAME, "username").send_keys(self.airflow.user)
        self._driver.find_element(By.NAME, "password").send_keys(self.airflow.password)
        self._driver.find_element(By.CSS_SELECTOR, "button[type=submit]").click()
        wait.until(lambda driver: "login" not in driver.current_url)
