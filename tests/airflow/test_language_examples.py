"""The packs in Java and R on the page about other languages run unchanged."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hdm_airflow.errors import PackFailedError
from tests.airflow.stage import MONDAY, endpoint
from tests.airflow.test_contract_examples import files_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.airflow.stage import Stage

PAGE = Path(__file__).parents[2] / "docs/how-to/write-a-pack-in-another-language.md"
BLOCK = re.compile(r"<!-- (java|r): ([\w./-]+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DRIVER = Path("/usr/share/java/postgresql.jar")


def missing(language: str) -> str | None:
    """What this machine lacks."""
    if language == "java":
        there = shutil.which("javac") and DRIVER.exists()
        return None if there else "Java is not here: install default-jdk-headless and libpostgresql-jdbc-java"
    command = ["Rscript", "-e", "library(jsonlite); library(RPostgreSQL)"]
    there = shutil.which("Rscript") and not subprocess.run(command, capture_output=True, check=False).returncode
    return None if there else "R is not here: install r-base-core, r-cran-jsonlite and r-cran-rpostgresql"


@pytest.mark.parametrize("language", ["java", "r"])
def test_example_in_another_language_measures_and_reports_per_endpoint(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, require: Callable[[str, str | None], None], language: str
) -> None:
    """It finds the HDM base by the variables, and the password in the file that PGPASSFILE names."""
    require("airflow", missing(language))
    monkeypatch.setenv("PATH", f"{stage.base.server.bin_dir}:{os.environ['PATH']}")
    files = {path: text for owner, path, text in BLOCK.findall(PAGE.read_text("utf-8")) if owner == language}
    shared = {path: text for path, text in files_of("shell").items() if path != "bootstrap-script.sh"}
    script = files.pop("bootstrap-script.sh").removeprefix("#!/bin/bash\n")
    keys = json.loads(shared.pop("properties.json"))
    stage.pack(keys.pop("name"), script, files=shared | files, **keys)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as other:
        here = endpoint("here", port=str(server.getsockname()[1]))
        gone = endpoint("gone", port=str(other.getsockname()[1]))
        other.close()
        stage.activate("mp_reach", here, gone)
        with pytest.raises(PackFailedError, match=r"on 1 of 2 endpoint\(s\)"):
            stage.run("mp_reach")
    with stage.base.connect() as connection:
        rows = connection.execute("SELECT endpoint, date, milliseconds FROM reach").fetchall()
    assert [(slug, day) for slug, day, _ in rows] == [(here.slug, MONDAY)]
    assert all(0 <= milliseconds < 10_000 for *_, milliseconds in rows)
    assert stage.summary["metrics"] == 1
    assert gone.slug in stage.summary["reasons"]
