"""The meaning of `~`, for users with and without a home."""

from __future__ import annotations

from pathlib import Path

import pytest

from hdm_airflow.errors import ConfigurationError
from hdm_airflow.runner.home import expanded, worker_home
from hdm_airflow.runner.venvs.options import VenvOptions

NOBODY = "nobody-of-this-name"


def test_tilde_is_the_home_that_the_variable_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if it does not exist; other paths stay as they are."""
    monkeypatch.setenv("HOME", "/somewhere")
    assert expanded("~/store") == Path("/somewhere/store")
    assert expanded("~") == worker_home() == Path("/somewhere")
    assert [expanded(path) for path in ("/a/~", "a", "./~/b")] == [Path("/a/~"), Path("a"), Path("./~/b")]


@pytest.mark.parametrize("home", ["relative", "./x"])
def test_home_that_is_not_an_absolute_path_is_none(monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    """It would be another folder for each program."""
    monkeypatch.setenv("HOME", home)
    assert worker_home().is_absolute()
    with pytest.raises(ConfigurationError, match="has no home") as caught:
        _ = VenvOptions().root
    assert caught.value.where == "venvs.folder in the Variable hdm"
    assert VenvOptions(folder="/store").root == Path("/store")


def test_home_of_a_missing_user_is_an_error() -> None:
    """A folder named `~name` can be written as `./~name`."""
    with pytest.raises(ConfigurationError, match=f"no user {NOBODY}"):
        expanded(f"~{NOBODY}/x")
    assert expanded(f"./~{NOBODY}") == Path(f"~{NOBODY}")
    assert expanded("~root").is_absolute()
