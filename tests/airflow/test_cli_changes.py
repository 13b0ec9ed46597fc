"""`airflow hdm config history`, `restore`, `remove` and `airflow hdm audit list`, on a real HDM base."""

from __future__ import annotations

import getpass
import json
from typing import TYPE_CHECKING

import pytest

from tests.airflow.cli_harness import Hdm

if TYPE_CHECKING:
    from pathlib import Path

    from demo.services import Database

HEART = "heart:postgres:db.example:5432:reader:true"
LUNG = "lung:postgres:db.example:5432:reader:true"


@pytest.fixture
def hdm(capsys: pytest.CaptureFixture[str], base: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hdm:
    """Commands in this process, with two endpoints and a packs folder that has one pack without a schema."""
    dags = tmp_path / "dags"
    monkeypatch.setenv("AIRFLOW_VAR_HDM", "{}")
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(dags))
    hdm = Hdm(capsys)
    hdm("packs", "new", "beat", dags / "packs")
    for schema in (dags / "packs").rglob("config.schema.json"):
        schema.unlink()
    for slug in (HEART, LUNG):
        hdm("endpoints", "add", slug)
    return hdm


def test_configuration_has_a_history_and_comes_back(hdm: Hdm) -> None:
    """Set, set again, removed, restored: each with its difference."""
    hdm("config", "set", "beat", '{"a": 1}')
    hdm("config", "set", "beat", '{"a": 2}')
    assert "cannot ask for confirmation" in hdm("config", "remove", "beat", code=2).err
    assert "was removed; config history has it" in hdm("config", "remove", "beat", "--yes").err
    assert "mp_beat has no configuration for version 0.1.0" in hdm("config", "remove", "beat", "--yes", code=1).err
    removed, second, first = hdm.json("config", "history", "beat")
    assert [one["action"] for one in (removed, second, first)] == ["config remove", "config set", "config set"]
    assert second["difference"] == '@@ -1,3 +1,3 @@\n {\n-  "a": 1\n+  "a": 2\n }'
    assert (removed["old"], removed["new"]) == ('{"a": 2}', None)
    assert "as after the change" in hdm("config", "restore", "beat", first["id"]).err
    assert hdm("config", "get", "beat").data == {"a": 1}
    hdm("config", "restore", "beat", removed["id"], "--before")
    assert hdm("config", "get", "beat").data == {"a": 2}
    assert "is not one of the configuration of" in hdm("config", "restore", "beat", "999999", code=2).err
    listed = hdm("config", "history", "beat", "--limit", "1")
    assert '+  "a": 2' in listed.out
    assert "config set" not in listed.out


def test_configuration_of_an_endpoint_that_is_gone_is_removed(hdm: Hdm) -> None:
    """Its history stays too."""
    hdm("config", "set", "beat", '{"a": 1}', "--endpoint", "heart")
    hdm("endpoints", "remove", "heart", "--yes")
    hdm("config", "remove", "beat", "--endpoint", HEART, "--yes")
    removed, first = hdm.json("config", "history", "beat", "--endpoint", HEART)
    assert removed["action"] == "config remove"
    assert "there is no endpoint" in hdm("config", "restore", "beat", first["id"], "--endpoint", HEART, code=2).err
    assert "mp_beat has no history for version 0.1.0" in hdm("config", "history", "beat").err
    words = ("--endpoint", HEART, "--version", "1", "--yes")
    assert "cannot be used together" in hdm("config", "remove", "beat", *words, code=2).err


def test_secret_is_hidden_in_lists_and_kept_by_its_placeholder(hdm: Hdm) -> None:
    """In every format."""
    hdm("config", "set", "beat", '{"password": "s3cr3t", "a": 1}')
    hdm("config", "set", "beat", '{"password": "(hidden: unchanged)", "a": 2}')
    assert hdm("config", "get", "beat").data == {"password": "s3cr3t", "a": 2}
    hdm("config", "set", "beat", '{"password": "0ther", "a": 2}')
    for words in (("config", "history", "beat"), ("audit", "list")):
        for output in ("table", "plain", "yaml", "json"):
            done = hdm(*words, "--output", output)
            assert "s3cr3t" not in done.out
            assert "0ther" not in done.out
    assert "(only hidden values differ)" in hdm("config", "history", "beat").out
    assert (
        "not stored at password"
        in hdm("config", "set", "beat", '{"password": "(hidden: unchanged)"}', "--endpoint", "heart", code=2).err
    )


def test_audit_lists_what_the_filters_say_and_bulk_changes_once(hdm: Hdm, base: Database) -> None:
    """The single changes of a bulk change are listed by its number."""
    hdm("activate", "beat", "--all")
    hdm("deactivate", "beat", "heart")
    rows = hdm.json("audit", "list")
    assert [(row["action"], row["size"], row["old"], row["new"]) for row in rows[:2]] == [
        ("deactivate", 1, True, False),
        ("activate", 2, False, True),
    ]
    assert {row["actor"] for row in rows} == {getpass.getuser()}
    single = hdm.json("audit", "list", "--batch", rows[1]["batch"])
    assert [row["object"] for row in single] == [f"metric pack beat {HEART}", f"metric pack beat {LUNG}"]
    assert len(hdm.json("audit", "list", "--object", "heart", "--action", "endpoint add")) == 1
    assert hdm.json("audit", "list", "--actor", "nobody") == []
    assert hdm.json("audit", "list", "--since", "2999-01-01") == []
    assert len(hdm.json("audit", "list", "--since", "2020-01-01", "--before", rows[1]["id"])) == 2
    assert f"there may be earlier ones: --before {rows[0]['id']}" in hdm("audit", "list", "--limit", "1").err
    assert "--batch is combined with --actor" in hdm("audit", "list", "--batch", "1", "--actor", "x", code=2).err
    hdm("config", "set", "beat", "{}", "--endpoint", "heart")
    for output in ("table", "plain"):  # as a table's markup, :heart: would be a picture
        assert f"beat:{HEART}" in hdm("audit", "list", "--output", output).out
    with base.connect() as connection:
        text = json.dumps({"slug": "x\ny\x1b[31m"})
        connection.execute("INSERT INTO hdm_audit (actor, action, object, new) VALUES ('a', 'b', 'o\no', %s)", [text])
    assert "\x1b" not in hdm("audit", "list").out
