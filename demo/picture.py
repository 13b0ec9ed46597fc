"""The picture at the top of README.md, taken from a demo that is up: python -m demo.picture URL PASSWORD."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from demo import pipeline
from demo.browser import Browser, Login

FILE = Path(__file__).resolve().parent.parent / "docs" / "images" / "airflow.png"
_SIZE = (1640, 860)
#: What Airflow's page remembers of its user: groups that are open, graph or grid, long lines, the panels' widths.
_REMEMBERED = {
    f"{pipeline.DAG}/open-groups": '["hdm-prod"]',
    "default_dag_view": '"graph"',
    "log_wrap": "true",
    "react-resizable-panels:graph-ltr": '{"details-panel,main-panel":{"expandToSizes":{},"layout":[44,56]}}',
}


def main(url: str, password: str) -> None:
    """Show the second night in the graph of the Dag, next to the log of the task that judges."""
    with tempfile.TemporaryDirectory() as folder:
        login = Login(url=url, user="admin", password=password)
        with Browser(login, Path(folder), size=_SIZE) as browser:
            browser.remember(_REMEMBERED)
            runs = browser.links(f"/dags/{pipeline.DAG}/runs", f"/dags/{pipeline.DAG}/runs/")
            browser.read(f"{runs[0].rstrip('/')}/tasks/hdm-prod.rp_basic", "Post Execute")
            browser.screenshot(FILE)


if __name__ == "__main__":
    main(*sys.argv[1:])
