"""What the sandbox hides, and how often the guard checks usage."""

from __future__ import annotations

import errno
import os
import pwd
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from hdm_airflow.errors import ConfigurationError
from hdm_airflow.runner.processes import confine, counting, process_tree, sandbox, sandbox_support, usage
from hdm_airflow.runner.processes.sandbox import Sandbox
from hdm_airflow.runner.processes.segments import Segments

if TYPE_CHECKING:
    from collections.abc import Iterator


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


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which nothing is hidden; the temporary folder, with pytest's, is elsewhere."""
    monkeypatch.setattr(sandbox, "_HIDDEN", ("~",))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sandbox, "_USERS", str(tmp_path / "passwd"))
    monkeypatch.setattr(sandbox, "_OTHERS", str(tmp_path / "homes"))
    return tmp_path


def _folders(*folders: Path) -> None:
    for folder in folders:
        folder.mkdir(parents=True)


def test_homes_of_other_users_are_hidden(place: Path) -> None:
    """A home belongs to its user; that of an account such as `daemon` is a folder of the system."""
    alice = place / "data" / "alice"
    _folders(alice, place / "data" / "common")
    system = f"daemon:x:{os.getuid() + 1}:1:daemon:{place / 'data' / 'common'}:/usr/sbin/nologin\n"
    broken = "no user\nx:y:z\nnobody:x:65534:65534::/nonexistent:\n"
    (place / "passwd").write_text(f"alice:x:{os.getuid()}:5:,,,:{alice}:/bin/bash\n{system}{broken}")
    _folders(place / "homes", place / "data" / "bob")
    (place / "homes" / "bob").symlink_to(place / "data" / "bob")
    granted = sandbox.grants(Sandbox(), own=place / "run", variables={}, read=[], write=[])
    assert not _shows(granted, alice)
    assert not _shows(granted, place / "data" / "bob")
    assert _shows(granted, place / "data" / "common")


def test_root_and_home_are_hidden_wherever_home_points(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And the home of the account under which the worker runs."""
    monkeypatch.setenv("HOME", str(tmp_path))
    granted = sandbox.grants(Sandbox(), own=tmp_path, variables={}, read=[], write=[])
    for home in {"/root", "/home", pwd.getpwuid(os.getuid()).pw_dir} - {"/"}:
        assert not _shows(granted, Path(home)), home


@pytest.mark.parametrize(
    ("path", "shown", "not_shown"),
    [
        ("home/bin", ["home/bin"], ["home/secret"]),
        ("home/.local/bin", ["home/.local/bin"], ["home/.local/share", "home/secret"]),
        ("home/.config/bin", ["home/.config/bin"], ["home/.config/tool"]),
        ("home/tools/bin", ["home/tools/bin", "home/tools/lib"], ["home/secret"]),
        ("home/DOMAIN/alice/bin", ["home/DOMAIN/alice/bin"], ["home/DOMAIN/alice/secret"]),
        ("home", [], ["home/secret"]),
    ],
)
def test_program_in_a_home_does_not_show_the_home(
    place: Path, path: str, shown: list[str], not_shown: list[str]
) -> None:
    """The folder next to `bin` is shown if it belongs to the program, as in ~/tools."""
    _folders(*(place / name for name in ("home/.local/share", "home/DOMAIN/alice", "home/.config/tool")))
    (place / "home" / "DOMAIN" / "alice" / ".bashrc").touch()
    for name in shown:
        (place / name).mkdir(parents=True, exist_ok=True)
    granted = sandbox.grants(Sandbox(), own=place / "run", variables={"PATH": str(place / path)}, read=[], write=[])
    assert all(_shows(granted, place / name) for name in shown)
    assert not [name for name in not_shown if _shows(granted, place / name)]


def test_python_in_a_home_does_not_show_the_home(place: Path) -> None:
    """The prefix of ~/bin/python3 is the home, and that of /bin/python3 the root."""
    home = place / "home"
    _folders(home / "bin", home / "lib" / "python3.12", home / "python" / "lib")
    ask = partial(sandbox.grants, Sandbox(), own=place / "run", variables={}, write=[])
    granted = ask(read=[home])
    assert _shows(granted, home / "bin" / "python3")
    assert _shows(granted, home / "lib" / "python3.12")
    assert not _shows(granted, home / "secret")
    assert _shows(ask(read=[home / "python"]), home / "python" / "share")
    for name in (".bashrc", "pyvenv.cfg"):  # a venv with a file of a home is a venv
        (home / "python" / name).touch()
    assert _shows(ask(read=[home / "python"]), home / "python" / "pyvenv.cfg")
    assert "/" not in ask(read=[Path("/")]).read


def test_database_in_a_home_does_not_open_the_home(place: Path) -> None:
    """An SQLite file needs its folder for journals; in a home, it gets the files alone."""
    for name in ("home", "home/alice", "home/data"):
        (place / name).mkdir()
    (place / "home" / "alice" / ".profile").touch()
    for folder in ("home", "home/alice"):
        file = place / folder / "heart.db"
        assert sandbox.with_companions(Sandbox(), file)[0] == file
    assert sandbox.with_companions(Sandbox(), place / "home/data/heart.db") == [place / "home/data"]


@pytest.mark.parametrize(
    ("abi", "filtered", "modules", "reason"),
    [
        (-errno.ENOSYS, False, [], "this kernel does not support Landlock (Linux 5.19 or later)"),
        (1, True, [], "this kernel does not support Landlock (Linux 5.19 or later)"),
        (-errno.ENOSYS, True, ["lockdown", "yama"], "this kernel does not support Landlock (Linux 5.19 or later)"),
        (-errno.ENOSYS, True, ["landlock", "yama"], "a seccomp profile, usually the container's, refuses Landlock"),
        (-errno.ENOSYS, True, [], "Landlock (Linux 5.19 or later), or a seccomp profile, usually the container's"),
        (-errno.EPERM, False, [], "a seccomp profile, usually the container's, refuses Landlock"),
        (-errno.EOPNOTSUPP, False, [], "Landlock is switched off in this kernel"),
    ],
)
def test_reason_for_a_missing_sandbox_is_the_true_one(
    monkeypatch: pytest.MonkeyPatch, abi: int, filtered: bool, modules: list[str], reason: str
) -> None:
    """It decides whether to update the kernel or to change a profile."""
    monkeypatch.setattr(confine, "landlock_abi", lambda: abi)
    monkeypatch.setattr(sandbox_support, "_is_filtered", lambda: filtered)
    monkeypatch.setattr(sandbox_support, "_security_modules", lambda: modules)
    assert reason in str(sandbox_support.shortcoming())
    assert sandbox.in_force(Sandbox(), hide=[]) is None
    with pytest.raises(ConfigurationError) as caught:
        sandbox.in_force(Sandbox(mode="required"), hide=[])
    assert reason in str(caught.value)


def test_machine_without_a_filter_has_a_sandbox_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """On POWER, for example, Landlock alone holds."""
    monkeypatch.setattr(confine, "landlock_abi", lambda: 6)
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine="ppc64le"))
    assert "hdm_airflow has no filter of system calls for ppc64le" in str(sandbox_support.shortcoming())
    assert sandbox.in_force(Sandbox(), hide=[]) == Sandbox()
    assert sandbox.Confinement(grants=sandbox.Grants()).rules()["filtered"] is False
    with pytest.raises(ConfigurationError, match="ppc64le"):
        sandbox.in_force(Sandbox(mode="required"), hide=[])


def _shows(granted: sandbox.Grants, path: Path) -> bool:
    return bool({str(path), *map(str, path.parents)} & set(granted.read))


def test_one_slow_look_does_not_put_off_those_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pack could slow one check down with many processes or files, and be unchecked for minutes."""

    def slow(_: str) -> Iterator[float]:
        time.sleep(0.1)
        yield from ()

    found = process_tree.descendants()
    watch = usage.Watch({"processes": 10_000, "disk": 1e9}, str(tmp_path), None, Segments(private=False))
    monkeypatch.setattr(counting, "descendants", lambda **_: (time.sleep(0.1), found)[1])
    assert watch.look() == ""
    assert watch.pause > 1
    monkeypatch.setattr(counting, "descendants", lambda **_: found)
    monkeypatch.setattr(usage, "sizes", slow)
    watch.next_walk = 0.0
    assert watch.look() == ""
    assert watch.pause < 1
    assert watch.next_walk > time.monotonic() + 1
