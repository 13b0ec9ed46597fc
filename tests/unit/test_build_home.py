"""The home of a build: configuration, and the logins of the hosts that the build needs."""

from __future__ import annotations

import netrc
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from hdm_airflow.errors import VenvBuildError
from hdm_airflow.runner.venvs.build_home import BuildHome, is_offline, make_build_home

INDEX = {"UV_DEFAULT_INDEX": "https://Index.example:8443/simple", "UV_CACHE_DIR": "/cache", "HOME": "/home/worker"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The worker's home."""
    (tmp_path / "worker").mkdir()
    return tmp_path / "worker"


def made(home: Path, variables: dict[str, str] | None = None, lines: tuple[str, ...] = ()) -> tuple[Path, BuildHome]:
    """A build home, and what is known about it."""
    folder = home.parent / "build"
    return folder, make_build_home(folder, home, {**INDEX, **(variables or {})}, lines)


def test_variables_name_the_new_home_and_no_cache_of_the_worker(home: Path) -> None:
    """The index stays."""
    (home / ".rustup").mkdir()
    folder, build = made(home, {"XDG_CACHE_HOME": "/x", "PIP_CACHE_DIR": "/y"})
    assert build.variables == {
        "UV_DEFAULT_INDEX": INDEX["UV_DEFAULT_INDEX"],
        "HOME": str(folder),
        "RUSTUP_HOME": str(home / ".rustup"),
    }
    assert list(folder.iterdir()) == []


def test_netrc_has_the_hosts_of_index_configuration_and_requirements(home: Path) -> None:
    """Or its default for them; its format is one that Python reads. Nobody else can read it."""
    names = ("index.example", "wheels.example", "configured.example", "other.example")
    machines = [f"machine {name} login l-{name} account a password p-{name}" for name in names]
    (home / ".netrc").write_text("\n".join([*machines, "default login d password d-secret", ""]))
    (home / ".config/pip").mkdir(parents=True)
    (home / ".config/pip/pip.conf").write_text(
        "[global]\nextra-index-url = https://u:conf-secret@configured.example/\n"
    )
    lines = ("alpha @ https://wheels.example/alpha.whl", "beta @ git+https://git.example/beta.git@main")
    folder, build = made(home, lines=lines)
    found = netrc.netrc(str(folder / ".netrc")).hosts
    assert found == {
        **{name: (f"l-{name}", "a", f"p-{name}") for name in sorted(names[:3])},
        "git.example": ("d", "", "d-secret"),
    }
    assert stat.S_IMODE((folder / ".netrc").stat().st_mode) == 0o600
    assert (folder / ".config/pip/pip.conf").read_text() == (home / ".config/pip/pip.conf").read_text()
    assert {"p-index.example", "d-secret", "conf-secret"} <= set(build.secrets)
    assert "p-other.example" not in build.secrets


def test_git_settings_are_kept_without_secrets_of_other_hosts(home: Path) -> None:
    """As git itself reads both files."""
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    (home / ".gitconfig").write_text(
        """[alias]
    evil = !echo
[credential]
    helper = store
    helper = "!f() { echo password=inline-secret; }; f"
[http]
    sslVerify = true
    extraHeader = Authorization: everywhere-secret
[http "https://git.example/"]
    extraHeader = \\"Quoted\\": git-secret
[http "https://other.example/"]
    extraHeader = other-secret
[url "https://token-one@mirror.example/"]
    insteadOf = https://git.example/
[url "https://token-two@unused.example/"]
    insteadOf = https://nowhere.example/
"""
    )
    (home / ".git-credentials").write_text("https://me:one@mirror.example\nhttps://me:two@other.example\n")
    folder, _ = made(home, lines=("beta @ git+https://git.example/beta.git",))
    command = ["git", "config", "--file", str(folder / ".gitconfig"), "--list"]
    kept = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert kept == [
        "credential.helper=store",
        "http.sslverify=true",
        'http.https://git.example/.extraheader="Quoted": git-secret',
        "url.https://token-one@mirror.example/.insteadof=https://git.example/",
    ]
    assert (folder / ".git-credentials").read_text() == "https://me:one@mirror.example\n"


@pytest.mark.skipif(not shutil.which("git"), reason="git is missing")
def test_git_that_does_not_answer_is_reported(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that its configuration includes can be on a disk that hangs; here it is a pipe."""
    monkeypatch.setattr("hdm_airflow.runner.venvs.build_home._SECONDS", 0.5)
    os.mkfifo(home / "included")
    (home / ".gitconfig").write_text(f"[include]\n\tpath = {home}/included\n")
    with pytest.raises(VenvBuildError, match=r"\.gitconfig cannot be read: git has not answered"):
        made(home)


def test_offline_may_be_said_in_a_variable_or_a_file(home: Path) -> None:
    """uv reads both."""
    assert not is_offline(home, INDEX)
    assert is_offline(home, {**INDEX, "UV_OFFLINE": "true"})
    (home / "uv.toml").write_text("offline = true\n")
    assert is_offline(home, {**INDEX, "UV_CONFIG_FILE": str(home / "uv.toml")})
