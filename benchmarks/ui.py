"""`make bench-ui`: our pages in a real Chromium, on a real Airflow and HDM base, and what they cost Airflow.

The rivals, in the same run: a page of ours without data; the matrix with a tenth of the endpoints; a grid that keeps
only rows out of the document, not columns; Airflow without readers. On few cores the base, Airflow, the browser and the
readers compete with each other.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import ui_matrix, ui_readers
from benchmarks.table import Table
from demo.services import Postgres
from tests.functional.page_browser import chromium, visitor
from tests.functional.pages_stage import DAG, Pages, pages_stage

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SMALL, LARGE = 1_000, 10_000  # endpoints
PACKS = 34  # metric packs, and half as many rule packs
_DAGS = f"""
from hdm_airflow import HdmDag

HdmDag("{DAG}")
HdmDag("down", environments={{"down": {{"conn_id": "hdm_down"}}}})
"""


def main() -> None:
    """Measure and write the table."""
    table = Table("ui", "Pages inside Airflow", ("what", "measured", "rival", "ratio", "aim"))
    folder = Path(tempfile.mkdtemp(prefix="hdm-bench-ui-"))
    with Postgres(folder / "postgres") as postgres, chromium() as browser:
        small = _matrix(table, postgres, browser, folder, SMALL)
        large = _matrix(table, postgres, browser, folder, LARGE)
    table.add("matrix of 10,000, until a check box answers", f"{large:.2f} s", f"{small:.2f} s with 1,000",
              f"{large / small:.2f}", "2")  # fmt: skip
    table.finish(
        f"median of {ui_matrix.ROUNDS} rounds; {PACKS} metric packs and {PACKS // 2} rule packs; {ui_readers.READERS} "
        f"readers who look at each page for {ui_readers.PAUSE:g} s; Chromium 1280 x 800, not inside Airflow's frame"
    )


def _matrix(table: Table, postgres: Postgres, browser: Browser, folder: Path, endpoints: int) -> float:
    """Measure the matrix of so many endpoints; return the seconds until it can be used."""
    variables = {"AIRFLOW_CONN_HDM_DOWN": "postgresql://hdm@127.0.0.1:1/hdm"}
    stage = pages_stage(
        postgres, folder / str(endpoints), endpoints=endpoints, packs=PACKS, dags=_DAGS, variables=variables
    )
    with stage as pages, visitor(browser, pages.airflow.url, pages.airflow.password) as page:
        ui_matrix.usable(page, pages.url)  # fills caches
        pairs = [
            (ui_matrix.static(page, pages.url), ui_matrix.usable(page, pages.url)) for _ in range(ui_matrix.ROUNDS)
        ]
        plain, usable = (statistics.median(one) for one in zip(*pairs, strict=True))
        size = f"matrix of {endpoints:,}"
        table.add(f"{size}, until a check box answers", f"{usable:.2f} s", f"{plain:.2f} s, a page without data",
                  f"{usable / plain:.1f}", "3" if endpoints == SMALL else "")  # fmt: skip
        table.add(
            f"{size}, a check box saved", f"{ui_matrix.median(lambda: ui_matrix.toggle(page)):.0f} ms", "", "", "100 ms"
        )
        column = ui_matrix.median(lambda: ui_matrix.column(page))
        table.add(f"{size}, a column of all saved", f"{column:.0f} ms", "", "", "1 s" if endpoints == SMALL else "")
        ours = ui_matrix.median(lambda: ui_matrix.frames(page, rows_alone=False))
        nodes = ui_matrix.nodes(page)
        rival = ui_matrix.median(lambda: ui_matrix.frames(page, rows_alone=True))
        table.add(f"{size}, scrolling, p95 of a frame", f"{ours:.0f} ms", f"{rival:.0f} ms, rows windowed alone",
                  f"{ours / rival:.2f}", "0.5")  # fmt: skip
        table.add(f"{size}, elements in the document", f"{nodes:,}", "", "", "5,000")
        page.goto("about:blank")
        if endpoints == SMALL:
            _readers(table, pages)
    return usable


def _readers(table: Table, pages: Pages) -> None:
    """What readers cost Airflow, whether the base is up or down."""
    for what, paths, aim in (
        ("readers of today and matrix", (f"/?env={DAG}/prod", f"/matrix?env={DAG}/prod"), "1.5"),
        ("readers while the base is down", ("/?env=down/down", "/matrix?env=down/down"), "1.2"),
    ):
        alone, together = [], []
        for _ in range(ui_matrix.ROUNDS):
            alone.append(ui_readers.p95(pages))
            with ui_readers.readers(pages, *paths):
                time.sleep(2)
                together.append(ui_readers.p95(pages))
        one, other = statistics.median(together) * 1e3, statistics.median(alone) * 1e3
        table.add(f"p95 of Airflow's list of Dags, {ui_readers.READERS} {what}", f"{one:.0f} ms",
                  f"{other:.0f} ms without", f"{one / other:.2f}", aim)  # fmt: skip


if __name__ == "__main__":
    main()
