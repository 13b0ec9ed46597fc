"""What readers of our pages cost Airflow: its own list of Dags, asked while they read."""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import requests

if TYPE_CHECKING:
    from tests.functional.pages_stage import Pages

READERS = 50
_QUESTIONS = 100  # of which the 95th percentile is taken
PAUSE = 5.0  # seconds for which a reader looks at a page


def p95(pages: Pages) -> float:
    """The 95th percentile of the time of `GET /api/v2/dags`, in seconds."""
    headers, times = {"Authorization": f"Bearer {pages.token()}"}, []
    with requests.Session() as session:
        for _ in range(_QUESTIONS):
            began = time.perf_counter()
            session.get(f"{pages.airflow.url}/api/v2/dags", headers=headers, timeout=60).raise_for_status()
            times.append(time.perf_counter() - began)
            time.sleep(0.02)
    return statistics.quantiles(times, n=20)[-1]


@contextmanager
def readers(pages: Pages, *paths: str) -> Iterator[list[int]]:
    """So many readers who open these pages in turn and look at each for a while; yields the answers' statuses."""
    token, stop, statuses = pages.token(), threading.Event(), list[int]()

    def read() -> None:
        headers = {"Authorization": f"Bearer {token}", "Accept": "text/html"}
        with requests.Session() as session:
            for path in itertools.cycle(paths):
                if stop.is_set():
                    return
                statuses.append(session.get(f"{pages.url}{path}", headers=headers, timeout=60).status_code)
                stop.wait(PAUSE)

    threads = [threading.Thread(target=read) for _ in range(READERS)]
    for one in threads:
        one.start()
        time.sleep(PAUSE / READERS)  # they do not click all at once
    try:
        yield statuses
    finally:
        stop.set()
        for one in threads:
            one.join()
