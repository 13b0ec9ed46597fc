"""`airflow hdm venvs`: list, warm and prune. No database is running."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from hdm_airflow.runner.processes.run_folder import RunFolder
from hdm_airflow.runner.processes.supervision import Supervision
from hdm_airflow.runner.venvs.options import VenvOptions
from hdm_airflow.runner.venvs.store import VenvStore
from tests.airflow.cli_harness import Hdm, airflow
from tests.integration.venv_harness import isolate
from tests.packages import build_wheel


@pytest.fixture
def hdm(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hdm:
    """Commands in this process, with a store and a packs folder of their own."""
    isolate(monkeypatch, tmp_path / "cache")
    monkeypatch.setenv("AIRFLOW_VAR_HDM", json.dumps({"venvs": {"folder": str(tmp_path / "store")}}))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return Hdm(capsys)


@pytest.fixture
def packs(tmp_path: Path, hdm: Hdm) -> Path:
    """Three packs: two of them with equal requirements."""
    folder = tmp_path / "packs"
    for name, requirements in {
        "one": "",
        "two": "# nothing\n",
        "three": "./alpha-1.0-py3-none-any.whl\n",
    }.items():
        hdm("packs", "new", name, folder)
        (folder / "metric-packs" / name / "requirements.txt").write_text(requirements)
    build_wheel(folder / "metric-packs" / "three", "alpha", "1.0")
    return folder


def test_warm_builds_what_the_packs_need_once(hdm: Hdm, packs: Path, tmp_path: Path) -> None:
    """Ahead of the night, with a row for each pack."""
    rows = hdm.json("venvs", "warm", "--packs-dir", packs)
    states = {row["pack"]: row["state"] for row in rows}
    assert states["mp_three"] == "built"
    assert sorted([states["mp_one"], states["mp_two"]]) == ["built", "exists"]
    assert len({row["venv"] for row in rows}) == 2
    again = hdm.json("venvs", "warm", "--packs-dir", packs)
    assert {row["state"] for row in again} == {"exists"}
    assert not list(tmp_path.glob("hdm-run-*"))


def test_warm_builds_the_packs_that_are_named_alone(hdm: Hdm, packs: Path) -> None:
    """By any selector."""
    assert [row["pack"] for row in hdm.json("venvs", "warm", "mp_three", "--packs-dir", packs)] == ["mp_three"]
    assert "no pack matches nowhere" in hdm("venvs", "warm", "nowhere", "--packs-dir", packs, code=2).err


def test_warm_goes_on_after_a_failure_and_tells_it(hdm: Hdm, packs: Path) -> None:
    """With the resolver's words on stderr, and exit code 1."""
    (packs / "metric-packs/one/requirements.txt").write_text("./nowhere-1.0-py3-none-any.whl\n")
    (packs / "metric-packs/two/properties.json").write_text("{}")
    done = hdm("venvs", "warm", "--packs-dir", packs, "--output", "json", code=1)
    states = {row["pack"]: row["state"] for row in done.data}
    assert states == {"mp_one": "failed", "mp_two": "failed", "mp_three": "built"}
    assert "nowhere-1.0" in done.err
    assert "mp_two: the pack is quarantined" in done.err


def test_list_tells_who_needs_what(hdm: Hdm, packs: Path, tmp_path: Path) -> None:
    """Python, size, last use, state, and the packs of the packs folder."""
    hdm("venvs", "warm", "--packs-dir", packs)
    rows = hdm.json("venvs", "list", "--packs-dir", packs)
    needed = sorted((sorted(row["packs"]), row["installed"], row["state"]) for row in rows)
    assert needed == [(["mp_one", "mp_two"], 0, "ready"), (["mp_three"], 1, "ready")]
    assert all(row["size"] > 0 and row["python"] and row["last_used"] for row in rows)
    assert ["./alpha-1.0-py3-none-any.whl"] in [row["requirements"] for row in rows]
    done = hdm("venvs", "list", "--packs-dir", packs)
    assert "mp_three" in done.out
    assert "2 venv(s), " in done.err
    (packs / "metric-packs/three/requirements.txt").unlink()
    assert [] in [row["packs"] for row in hdm.json("venvs", "list", "--packs-dir", packs)]


def test_list_shows_what_is_damaged_or_in_use(hdm: Hdm, packs: Path, tmp_path: Path) -> None:
    """Users need not look into the folder."""
    rows = hdm.json("venvs", "warm", "--packs-dir", packs)
    keys = {row["pack"]: row["venv"] for row in rows}
    (tmp_path / "store" / keys["mp_three"] / "bin/python").unlink()
    pack = packs / "metric-packs/one"
    supervision = Supervision(None, RunFolder(root=tmp_path), lambda: None)
    store = VenvStore(VenvOptions(folder=str(tmp_path / "store")))
    with store.use(pack, "one", None, supervision=supervision, log=print):
        states = {row["venv"]: row["state"] for row in hdm.json("venvs", "list", "--packs-dir", packs)}
        assert states[keys["mp_one"]] == "in use"
        assert states[keys["mp_three"]].startswith("damaged: its Python is gone")
        hdm("venvs", "prune", "--older-than", 0, "--yes")
        left = [row["venv"] for row in hdm.json("venvs", "list", "--packs-dir", packs)]
    assert left == [keys["mp_one"]]


def test_list_of_a_store_that_is_not_there_is_empty(hdm: Hdm, packs: Path) -> None:
    """Before the first run."""
    assert hdm.json("venvs", "list", "--packs-dir", packs) == []


def test_prune_does_what_the_settings_say_unless_told_otherwise(
    hdm: Hdm, packs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unused longest first; --dry-run removes nothing."""
    keys = {row["pack"]: row["venv"] for row in hdm.json("venvs", "warm", "--packs-dir", packs)}
    old = time.time() - 40 * 86400
    os.utime(tmp_path / "store" / f"{keys['mp_three']}.lock", (old, old))
    assert hdm.json("venvs", "prune", "--yes") == []
    rows = hdm.json("venvs", "prune", "--older-than", 30, "--dry-run")
    assert [row["venv"] for row in rows] == [keys["mp_three"]]
    sizes = {row["venv"]: row["size"] for row in hdm.json("venvs", "list", "--packs-dir", packs)}
    rows = hdm.json("venvs", "prune", "--max-size", f"{sizes[keys['mp_one']]}B", "--dry-run")
    assert [row["venv"] for row in rows] == [keys["mp_three"]]
    settings = {"venvs": {"folder": str(tmp_path / "store"), "days": 30}}
    monkeypatch.setenv("AIRFLOW_VAR_HDM", json.dumps(settings))
    done = hdm("venvs", "prune", "--yes", "--output", "json")
    assert [row["venv"] for row in done.data] == [keys["mp_three"]]
    assert "1 venv(s) were removed" in done.err
    assert [row["venv"] for row in hdm.json("venvs", "list", "--packs-dir", packs)] == [keys["mp_one"]]


def test_prune_asks_first(hdm: Hdm, packs: Path) -> None:
    """And refuses if stdin is not a terminal."""
    hdm("venvs", "warm", "mp_one", "--packs-dir", packs)
    done = hdm("venvs", "prune", "--older-than", 0, code=2)
    assert "cannot ask for confirmation to remove 1 venv(s)" in done.err
    assert "add --yes" in done.err
    assert len(hdm.json("venvs", "list", "--packs-dir", packs)) == 1


@pytest.mark.parametrize(
    "words", [("--older-than", "-1"), ("--older-than", "x"), ("--max-size", "0"), ("--max-size", "big")]
)
def test_prune_refuses_what_is_no_limit(hdm: Hdm, words: tuple[str, str]) -> None:
    """Before anything is removed."""
    hdm("venvs", "prune", *words, "--yes", code=2)


def test_image_can_be_built_with_warm_environments_without_any_database(packs: Path, tmp_path: Path) -> None:
    """Neither Airflow's database nor a Variable is there then."""
    store = tmp_path / "image"
    words = ("hdm", "venvs", "warm", "--packs-dir", packs, "--store", store)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("AIRFLOW_VAR_HDM")
        done = airflow(*words, AIRFLOW_HOME=str(tmp_path / "home"))
    assert "the defaults apply" in done.err
    assert len(VenvStore(VenvOptions(folder=str(store))).entries()) == 2
