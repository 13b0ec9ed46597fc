"""The packs on the contract page run unchanged, in each language."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hdm_airflow.errors import PackFailedError
from hdm_airflow.packs.catalog import Catalog
from tests.airflow.stage import MONDAY, endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.airflow.stage import Stage

PAGE = Path(__file__).parents[2] / "docs/reference/pack-contract.md"
BLOCK = re.compile(r"<!-- (file|python|shell|node): ([\w./-]+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def files_of(language: str) -> dict[str, str]:
    """The files of one language's pack, those that all share included."""
    found = {path: text for owner, path, text in BLOCK.findall(PAGE.read_text("utf-8")) if owner in {"file", language}}
    assert "bootstrap-script.sh" in found
    return found


@pytest.mark.parametrize("language", ["python", "shell", "node"])
def test_example_of_the_contract_page_measures_and_reports_per_endpoint(
    stage: Stage, require: Callable[[str, str | None], None], monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    """What people copy from the page has to work; a second run of a date replaces the first."""
    require("airflow", "node is not here" if language == "node" and not shutil.which("node") else None)
    monkeypatch.setenv("PATH", f"{stage.base.server.bin_dir}:{os.environ['PATH']}")  # psql
    files = files_of(language)
    script = files.pop("bootstrap-script.sh").removeprefix("#!/bin/bash\n")
    keys = json.loads(files.pop("properties.json"))
    stage.pack(keys.pop("name"), script, files=files, **keys)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as other:
        here = endpoint("here", port=str(server.getsockname()[1]))
        gone = endpoint("gone", port=str(other.getsockname()[1]))
        other.close()
        stage.activate("mp_reach", here, gone)
        for _ in range(2):
            with pytest.raises(PackFailedError, match=r"on 1 of 2 endpoint\(s\)"):
                stage.run("mp_reach")
            # the one that succeeded is left as it is by the second run: make it run again
            with stage.base.connect(autocommit=True) as connection:
                rows = connection.execute("SELECT endpoint, date, milliseconds FROM reach").fetchall()
                connection.execute("DELETE FROM hdm_pack_run")
            assert [(slug, day) for slug, day, _ in rows] == [(here.slug, MONDAY)]
            assert all(0 <= milliseconds < 10_000 for *_, milliseconds in rows)
    assert stage.summary["metrics"] == 1
    assert gone.slug in stage.summary["reasons"]


def test_shell_example_fails_where_the_list_of_endpoints_cannot_be_read(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slip of whoever adapts it must not pass for a success on no endpoint."""
    monkeypatch.setenv("PATH", f"{stage.base.server.bin_dir}:{os.environ['PATH']}")
    files = files_of("shell")
    script = files.pop("bootstrap-script.sh").removeprefix("#!/bin/bash\n").replace("one.host", "one.hots")
    keys = json.loads(files.pop("properties.json"))
    stage.pack(keys.pop("name"), script, files=files, **keys)
    stage.activate("mp_reach", endpoint("here"))
    with pytest.raises(PackFailedError):
        stage.run("mp_reach")
    assert stage.ledger("mp_reach") == [("here", "failed")]


@pytest.mark.parametrize("language", ["python", "shell", "node"])
def test_check_finds_of_an_example_what_the_page_says(language: str, tmp_path: Path) -> None:
    """Nothing but the missing Readme."""
    for path, text in files_of(language).items():
        file = tmp_path / "metric-packs" / "reach" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (pack,) = Catalog.scan(tmp_path, deep=True).packs
    assert [finding.code for finding in pack.findings] == ["readme-missing"]
    assert "`readme-missing`" in PAGE.read_text("utf-8")
