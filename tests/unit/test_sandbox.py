"""What the sandbox hides, and how often the guard checks usage."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import pytest

from hdm_airflow.runner.processes import process_tree, sandbox, usage
from hdm_airflow.runner.processes.sandbox import Sandbox


def test_airflows_configuration_is_hidden_wherever_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It can contain the Fernet key and the password of the metadata database; AIRFLOW_CONFIG names its place."""
    monkeypatch.setenv("AIRFLOW_CONFIG", "/etc/hosts")
    seen = sandbox.grants(Sandbox(), own=tmp_path, variables={}, read=[], write=[]).read
    assert not {"/", "/etc", "/etc/hosts"} & set(seen)
    assert "/etc/passwd" in seen


@pytest.mark.parametrize(("mode", "hidden"), [(0o644, True), (0o600, True), (0o755, False)])
def test_keys_that_the_workers_variables_name_are_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, hidden: bool
) -> None:
    """Such as the key of a cloud; but not programs, and not if the manifest names the variable."""
    monkeypatch.setattr(sandbox, "_HIDDEN", ())
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    key = tmp_path / "key.json"
    key.touch()
    key.chmod(mode)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
    monkeypatch.setenv("AWS_CA_BUNDLE", "/etc/passwd")
    ask = partial(sandbox.grants, Sandbox(), own=tmp_path / "run", read=[], write=[])
    assert _shows(ask(variables={}), key) is not hidden
    assert _shows(ask(variables={}), Path("/etc/passwd"))
    assert _shows(ask(variables={"GOOGLE_APPLICATION_CREDENTIALS": str(key)}), key)


def test_runs_in_shared_memory_are_hidden_from_one_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The temporary folder can be there; then packs get no shared memory."""
    shared = "/dev/shm"  # noqa: S108  # nothing is written there
    monkeypatch.setattr("tempfile.tempdir", f"{shared}/hdm-tests-runs")
    granted = sandbox.grants(Sandbox(), own=tmp_path, variables={}, read=[], write=[])
    assert not {"/dev", shared, f"{shared}/hdm-tests-runs"} & {*granted.read, *granted.write}
    assert "/dev/null" in granted.write


def test_paths_are_found_in_lists_and_in_urls() -> None:
    """As uv and pip take them."""
    variables = {"A": "/one /two,/three", "B": "file:///my%20index,https://host/x", "C": "/with a blank"}
    found = sandbox.paths_in(variables, ["A", "B", "C", "D"])
    assert {"/one", "/two", "/three", "/my index", "/with a blank"} <= set(found)
    assert not [path for path in found if "host" in path]


def _shows(granted: sandbox.Grants, path: Path) -> bool:
    return bool({str(path), *map(str, path.parents)} & set(granted.read))


def test_one_slow_look_does_not_put_off_those_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pack could slow one check down with many processes or files, and be unchecked for minutes."""
    found = process_tree.descendants()
    watch = usage.Watch({"processes": 10, "disk": 1e9}, str(tmp_path))
    monkeypatch.setattr(usage, "descendants", lambda **_: (time.sleep(0.1), found)[1])
    assert watch.look() == ""
    assert watch.pause > 1
    monkeypatch.setattr(usage, "descendants", lambda **_: found)
    monkeypatch.setattr(usage, "disk_usage", lambda _: (time.sleep(0.1), 0)[1])
    watch.next_walk = 0.0
    assert watch.look() == ""
    assert watch.pause < 1
    assert watch.next_walk > time.monotonic() + 1
