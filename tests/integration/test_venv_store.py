"""The venv store: each venv is built once, completely or not at all, and never removed while in use."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from hdm_airflow.errors import VenvBuildError
from hdm_airflow.runner.processes.run_folder import RunFolder
from hdm_airflow.runner.processes.sandbox import Sandbox
from hdm_airflow.runner.processes.supervision import CutShortError, Supervision
from hdm_airflow.runner.venvs import lock, record
from hdm_airflow.runner.venvs.interpreter import find_interpreter, uv_program
from hdm_airflow.runner.venvs.layer import make_layer
from hdm_airflow.runner.workspace import workspace
from tests.integration.venv_harness import Shop, isolate, packages, store_in, without_uv
from tests.packages import build_wheel, source_package

ROOT = Path(__file__).parents[2]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A store, and a pack with the wheels of alpha and beta; alpha has a program."""
    isolate(monkeypatch, tmp_path / "cache")
    pack = tmp_path / "pack"
    build_wheel(pack, "alpha", "1.0", script=True)
    build_wheel(pack, "beta", "1.0")
    return Shop(store=store_in(tmp_path / "store"), pack=pack)


ALPHA = "./alpha-1.0-py3-none-any.whl\n"
BETA = "./beta-1.0-py3-none-any.whl\n"

# Built once ----------------------------------------------------------------------------------------------------------


def test_packs_with_equal_requirements_share_one_venv(shop: Shop) -> None:
    """Comments, empty lines and line ends make no difference; another version of Python does."""
    same = [shop.get(text).key for text in ("", None, "# nothing\r\n", b"\xef\xbb\xbf")]
    assert len(set(same)) == 1
    assert shop.get(ALPHA).key == shop.get(f"# what we need\r\n\r\n  {ALPHA.strip()}   # this\r\n").key != same[0]
    assert shop.builds == 2


def test_run_that_ends_while_old_venvs_are_removed_gives_up_its_lock(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`venvs warm` goes on with the next pack in the same process."""

    def time_is_up(*_: object, **__: object) -> None:
        raise CutShortError("timeout")

    monkeypatch.setattr(shop.store, "prune", time_is_up)
    with pytest.raises(CutShortError):
        shop.get("")
    (file,) = shop.store.root.glob("*.lock")
    taken = lock.acquire(file, exclusive=True)
    assert taken is not None
    os.close(taken)


def test_first_step_that_fails_without_a_word_does_not_stop_the_second(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uv prints nothing if it is killed, for example because memory ran out."""
    script = f'case "$*" in *--no-build*) exit 137;; esac\nexec {uv_program()} "$@"\n'
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text(f"#!/bin/sh\n{script}")
    uv.chmod(0o755)
    monkeypatch.setattr("hdm_airflow.runner.venvs.builder.uv_program", lambda: str(uv))
    assert shop.installed(ALPHA) == {"alpha": "1.0"}


@pytest.mark.parametrize("host", ["silent", "closed", "unknown"])
def test_index_that_cannot_be_reached_is_tried_once(shop: Shop, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """A second step would wait for the same time-outs again."""
    monkeypatch.setenv("UV_HTTP_TIMEOUT", "1")
    monkeypatch.setenv("UV_HTTP_RETRIES", "1" if host == "closed" else "0")
    with socket.create_server(("127.0.0.1", 0)) as server:  # it accepts connections, and never answers
        server.settimeout(0)
        name = {"silent": f"127.0.0.1:{server.getsockname()[1]}", "closed": "127.0.0.1:9", "unknown": "index.invalid"}
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://{name[host]}/simple")
        with pytest.raises(VenvBuildError, match="error sending request for url"):
            shop.get("alpha\n")
        assert not any("from source" in line for line in shop.lines)
        if host == "silent":
            server.accept()[0].close()
            with pytest.raises(BlockingIOError):
                server.accept()


def test_index_belongs_to_the_name_but_not_its_login(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new password must not cause new builds."""
    keys = []
    for url in ("https://a:old@one.example/simple", "https://a:new@one.example/simple", "https://two.example/simple"):
        monkeypatch.setenv("UV_DEFAULT_INDEX", url)
        keys.append(shop.store.find(shop.pack, None).key)
    assert keys[0] == keys[1] != keys[2]


def test_eight_processes_that_want_the_same_new_venv_build_it_once(shop: Shop, tmp_path: Path) -> None:
    """As when the Dag starts eight packs of the same requirements at 02:00."""
    note = tmp_path / "note"
    source_package(shop.pack / "slow", "slow", "1.0", note=note, seconds=1)
    shop.require("./slow\n")
    script = (
        "import sys\nfrom pathlib import Path\nfrom tests.integration.venv_harness import Shop, packages, store_in\n"
        "shop = Shop(store=store_in(Path(sys.argv[1])), pack=Path(sys.argv[2]))\n"
        "print(packages(shop.get('./slow\\n')), shop.builds)\n"
    )
    command = [sys.executable, "-c", script, str(shop.store.root)]
    copies = [shutil.copytree(shop.pack, tmp_path / f"copy {number}") for number in range(8)]
    processes = [
        subprocess.Popen([*command, str(copy)], stdout=subprocess.PIPE, text=True, cwd=ROOT) for copy in copies
    ]
    answers = sorted(process.communicate(timeout=200)[0].strip() for process in processes)
    assert answers == ["{'slow': '1.0'} 0"] * 7 + ["{'slow': '1.0'} 1"]
    assert note.read_text() == "built\n"
    assert len(shop.store.entries()) == 1
    assert not shop.leftovers


# Never changed -------------------------------------------------------------------------------------------------------


def test_files_of_the_store_are_read_only(shop: Shop) -> None:
    """Against accidents."""
    venv = shop.get(ALPHA)
    files = [path for path in venv.path.rglob("*") if path.is_file() and not path.is_symlink()]
    assert files
    assert not [path for path in files if path.stat().st_mode & 0o222]


@pytest.mark.parametrize("sandbox", [None, Sandbox()])
def test_nothing_is_shared_with_the_cache(shop: Shop, sandbox: Sandbox | None) -> None:
    """A shared file would come back damaged when the venv is built again, and damage other venvs."""
    shop.sandbox = sandbox
    venv = shop.get(ALPHA)
    assert {path.stat().st_nlink for path in venv.path.rglob("*") if path.is_file()} == {1}


def test_store_is_for_its_user_alone(shop: Shop) -> None:
    """It may hold packages that are not public."""
    shop.get()
    assert stat.S_IMODE(shop.store.root.stat().st_mode) == 0o700


# Damaged -------------------------------------------------------------------------------------------------------------


def no_record(path: Path) -> None:
    (path / record.FILE).unlink()


def broken_record(path: Path) -> None:
    (path / record.FILE).write_bytes(b"\0" * 100)


def no_python(path: Path) -> None:
    (path / "bin/python").unlink()
    (path / "bin/python").symlink_to("/nonexistent/python3")


def no_packages(path: Path) -> None:
    shutil.rmtree(path / "lib")


def package_removed(path: Path) -> None:
    next(path.rglob("site-packages/alpha.py")).unlink()


def package_added(path: Path) -> None:
    (next(path.rglob("site-packages")) / "stranger.py").touch()


def nothing_left(path: Path) -> None:
    shutil.rmtree(path)
    path.mkdir()


@pytest.mark.parametrize(
    "damage", [no_record, broken_record, no_python, no_packages, package_removed, package_added, nothing_left]
)
def test_damaged_venv_is_built_again(shop: Shop, damage: Callable[[Path], None]) -> None:
    """After an upgrade of Python, a disk that lost files, or a mistake by hand."""
    venv = shop.get(ALPHA)
    damage(venv.path)
    assert shop.store.entries()[0].state.startswith("damaged: ")
    assert packages(shop.get(ALPHA)) == {"alpha": "1.0"}
    assert any("is damaged" in line for line in shop.lines)
    assert [entry.state for entry in shop.store.entries()] == ["ready"]
    assert not shop.leftovers


def test_damaged_venv_is_not_taken_away_from_a_run_that_uses_it(shop: Shop) -> None:
    """The next run waits for it, within its own time limit."""
    with shop.use(ALPHA) as venv:
        package_added(venv.path)
        supervision = Supervision(0.5, RunFolder(root=shop.pack), lambda: None)
        waiting = shop.store.use(shop.pack, "pack", None, supervision=supervision, log=shop.lines.append)
        with pytest.raises(CutShortError), waiting:
            pass
        assert (venv.site_packages / "alpha.py").exists()
    assert packages(shop.get(ALPHA)) == {"alpha": "1.0"}


def test_half_of_a_venv_that_a_killed_builder_left_is_removed(shop: Shop) -> None:
    """By the next build of it, and by prune."""
    key = shop.store.find(shop.pack, None).key
    for _ in range(2):
        shop.store.root.mkdir(exist_ok=True)
        (shop.store.root / f".building-{key}-x/venv/bin").mkdir(parents=True)
        shop.get()
        assert not shop.leftovers
        shop.prune(days=0)
    (shop.store.root / f".removing-{key}-x/venv/bin").mkdir(parents=True)
    (shop.store.root / f"{key}.lock").touch()
    shop.prune()
    assert list(shop.store.root.iterdir()) == []


# Removed -------------------------------------------------------------------------------------------------------------


def used(shop: Shop, key: str, days: float) -> None:
    """Make a venv look as if it was used some days ago."""
    moment = (datetime.now(timezone.utc) - timedelta(days=days)).timestamp()
    os.utime(shop.store.root / f"{key}.lock", (moment, moment))


def test_what_was_not_used_for_long_is_removed_and_can_be_built_again(shop: Shop) -> None:
    """Use counts, not age: one that is used every night stays forever."""
    old, new = shop.get(ALPHA).key, shop.get(BETA).key
    used(shop, old, 91)
    used(shop, new, 89)
    assert [entry.key for entry in shop.prune(days=90, dry_run=True)] == [old]
    assert len(shop.store.entries()) == 2
    assert [entry.key for entry in shop.prune(days=90)] == [old]
    assert [entry.key for entry in shop.store.entries()] == [new]
    assert sorted(path.name for path in shop.store.root.iterdir()) == [new, f"{new}.lock"]
    assert packages(shop.get(ALPHA)) == {"alpha": "1.0"}


def test_too_large_a_store_loses_what_was_unused_longest(shop: Shop) -> None:
    """Until the rest fits."""
    keys = [shop.get(text).key for text in (ALPHA, BETA, "")]
    for key, days in zip(keys, (2, 3, 1), strict=True):
        used(shop, key, days)
    sizes = {entry.key: entry.size for entry in shop.store.entries()}
    limit = sizes[keys[0]] + sizes[keys[2]]
    assert [entry.key for entry in shop.prune(size=limit)] == [keys[1]]


def test_venv_in_use_is_never_removed(shop: Shop) -> None:
    """However old it is, and however large the store."""
    with shop.use(ALPHA) as venv, shop.use(ALPHA):
        used(shop, venv.key, 1000)
        assert [entry.state for entry in shop.store.entries()] == ["in use"]
        assert shop.prune(days=0, size=1) == []
        assert packages(venv) == {"alpha": "1.0"}
    assert [entry.key for entry in shop.prune(days=0)] == [venv.key]


def test_build_removes_what_need_not_be_kept_and_use_does_not(shop: Shop) -> None:
    """So the store stays within its limits by itself. The new venv is in use, and stays."""
    old = shop.get(ALPHA).key
    used(shop, old, 91)
    shop.store = store_in(shop.store.root, days=90, size=1)
    new = shop.get(BETA).key
    assert [entry.key for entry in shop.store.entries()] == [new]
    assert any(line.startswith(f"venv {old} was removed from the store") for line in shop.lines)
    shop.get(BETA)
    assert [entry.key for entry in shop.store.entries()] == [new]


def test_lock_that_was_removed_while_one_waited_for_it_keeps_nobody_out(tmp_path: Path) -> None:
    """A lock on a removed file would allow two builds at once."""
    path = tmp_path / "lock"
    first = lock.acquire(path, exclusive=True)
    assert first is not None
    assert lock.acquire(path, exclusive=False) is None
    path.unlink()
    second = lock.acquire(path, exclusive=True)
    assert second is not None
    assert lock.acquire(path, exclusive=False) is None
    os.close(first)
    os.close(second)


# A full disk ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path, require: Callable[[str, str | None], None]) -> Iterator[Callable[[str], Path]]:
    """Mounts a disk of this size in memory."""
    mounted: list[Path] = []

    def mount(size: str) -> Path:
        path = tmp_path / f"disk {len(mounted)}"
        path.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
        require("integration", None if done.returncode == 0 else f"this user cannot mount: {done.stderr.strip()}")
        mounted.append(path)
        return path

    yield mount
    for path in mounted:
        subprocess.run(["umount", "-l", str(path)], check=True)


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Fill a disk to its last byte."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with suppress(OSError):
                while True:
                    file.write(b"\0" * size)
    assert shutil.disk_usage(disk).free == 0
    yield
    ballast.unlink()


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_full_disk_is_named_and_leaves_the_store_usable(
    shop: Shop, small_disk: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    """Nothing of the new venv stays, the others stay usable, and once there is space the build succeeds."""
    if tool == "pip":
        without_uv(monkeypatch)
    disk = small_disk("8m")
    shop.store = store_in(disk / "store")
    shop.get(ALPHA)
    with filled(disk):
        with pytest.raises(VenvBuildError, match="the disk is full: the venv could not") as caught:
            shop.get(BETA)
        assert caught.value.where == str(disk / "store")
        assert "airflow hdm venvs prune" in caught.value.hint
        assert "MB left" in caught.value.what
        assert packages(shop.get(ALPHA)) == {"alpha": "1.0"}
        assert not shop.leftovers
        assert len(shop.store.entries()) == 1
    assert packages(shop.get(BETA)) == {"beta": "1.0"}


def test_disk_that_is_full_in_the_middle_of_a_build_leaves_nothing_of_it(
    shop: Shop, small_disk: Callable[[str], Path]
) -> None:
    """The package is larger than the free space."""
    disk = small_disk("2m")
    shop.store = store_in(disk / "store")
    (shop.pack / "big").mkdir()
    source = source_package(shop.pack / "big", "big", "1.0", note=shop.pack / "note")
    text = (source / "backend.py").read_text()
    (source / "backend.py").write_text(
        text.replace(
            "return wheel(Path(folder), 'big', '1.0').name",
            "import zipfile; path = wheel(Path(folder), 'big', '1.0')\n"
            "    with zipfile.ZipFile(path, 'a') as file: file.writestr('big.bin', bytes(4_000_000))\n"
            "    return path.name",
        )
    )
    with pytest.raises(VenvBuildError, match="the disk is full"):
        shop.get("./big\n")
    assert not shop.leftovers
    assert shop.store.entries() == []
    assert packages(shop.get(ALPHA)) == {"alpha": "1.0"}


def test_full_temporary_folder_is_named_and_leaves_nothing_of_the_run(
    shop: Shop, small_disk: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run's folder is created there."""
    disk = small_disk("1m")
    monkeypatch.setenv("TMPDIR", str(disk))
    monkeypatch.setattr("tempfile.tempdir", None)
    (shop.pack / "bootstrap-script.sh").write_text("#!/bin/bash\n")
    (shop.pack / "large").write_bytes(b"\0" * 2_000_000)
    with pytest.raises(VenvBuildError, match="No space left") as caught, workspace(shop.pack):
        pass
    assert str(disk) in str(caught.value)
    assert list(disk.iterdir()) == []


def test_store_that_is_read_only_serves_what_it_has(
    shop: Shop, small_disk: Callable[[str], Path], tmp_path: Path
) -> None:
    """As in an image that was built with `venvs warm`."""
    disk = small_disk("8m")
    shop.store = store_in(disk / "store")
    shop.get(ALPHA)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with shop.use(ALPHA) as venv:
        make_layer(venv, tmp_path / "layer")
        assert packages(venv) == {"alpha": "1.0"}
    with pytest.raises(VenvBuildError, match="cannot write to the venv store: Read-only"):
        shop.get(BETA)


# Without uv, and other Pythons ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_programs_of_packages_run_from_the_final_place(shop: Shop, monkeypatch: pytest.MonkeyPatch, tool: str) -> None:
    """Their first line must not name the folder of the build, which is gone."""
    if tool == "pip":
        without_uv(monkeypatch)
    venv = shop.get(ALPHA)
    answer = subprocess.run([venv.path / "bin/alpha"], capture_output=True, text=True, check=True)
    assert answer.stdout == "1.0\n"
    left = [path for path in venv.path.glob("bin/*") if path.is_file() and b".building-" in path.read_bytes()]
    assert not left
    stored = record.read(venv.path)
    assert stored is not None
    assert stored.builder.startswith(f"{tool} ")


def test_venv_that_pip_has_built_serves_when_uv_is_back(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the other way round: its content does not depend on the tool."""
    with monkeypatch.context() as patch:
        without_uv(patch)
        shop.get(ALPHA)
    shop.get(ALPHA)
    assert shop.builds == 1


@pytest.mark.parametrize("fault", ["not executable", "no program"])
def test_uv_that_cannot_be_run_is_as_good_as_missing(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """A wheel for another machine, or a disk mounted noexec."""
    program = tmp_path / "uv"
    program.write_bytes(b"\x7fELF nothing")
    program.chmod(0o600 if fault == "not executable" else 0o700)
    monkeypatch.setattr("uv.find_uv_bin", lambda: str(program))
    venv = shop.get(ALPHA)
    assert packages(venv) == {"alpha": "1.0"}
    assert "pip" in json.loads((venv.path / record.FILE).read_text())["builder"]


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_user_without_a_home_builds_without_a_cache(shop: Shop, monkeypatch: pytest.MonkeyPatch, tool: str) -> None:
    """As in services and containers that run under a user id without an account."""
    if tool == "pip":
        without_uv(monkeypatch)
    for name in ("UV_CACHE_DIR", "PIP_NO_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/proc/nowhere")
    assert shop.installed(ALPHA) == {"alpha": "1.0"}


def test_neither_uv_nor_pip_says_what_to_install(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian's Python comes without ensurepip."""
    without_uv(monkeypatch)
    monkeypatch.setattr("hdm_airflow.runner.venvs.builder.bundled_pip", lambda _: "")
    with pytest.raises(VenvBuildError, match="uv is missing on this worker") as caught:
        shop.get(ALPHA)
    assert "python3-venv" in caught.value.hint


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_python_of_the_manifest_is_found(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, tool: str, require: Callable[[str, str | None], None]
) -> None:
    """Without uv, on the PATH. A venv is for one Python."""
    find_interpreter.cache_clear()
    if tool == "pip":
        without_uv(monkeypatch)
    else:
        monkeypatch.setenv("UV_NO_CACHE", "1")
    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    pyenv = [str(path) for path in root.glob("versions/*/bin")]  # its shims on the PATH need not work
    monkeypatch.setenv("PATH", os.pathsep.join([*pyenv, os.environ["PATH"]]))
    found = []
    for version in ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14"):
        try:
            found.append((version, find_interpreter(version)))
        except VenvBuildError:
            continue
    others = [version for version, _ in found if version != own]
    require("integration", None if others else "there is one Python only on this machine")
    venv = shop.get(ALPHA, others[0])
    answer = subprocess.run([venv.path / "bin/python", "--version"], capture_output=True, text=True, check=True)
    assert answer.stdout.startswith(f"Python {others[0]}.")
    assert venv.key != shop.get(ALPHA).key
    assert packages(venv)["alpha"] == "1.0"
    with pytest.raises(VenvBuildError, match=r"no Python on this machine matches '3\.99'"):
        shop.get(ALPHA, "3.99")
    find_interpreter.cache_clear()


def test_store_leaves_other_files_in_its_folder_alone(shop: Shop) -> None:
    """`venvs.folder` may name a folder that has other files; pruning removes only venvs."""
    shop.get(ALPHA)
    stranger = shop.store.root / "patients" / "2025"
    stranger.mkdir(parents=True)
    lock = shop.store.root / "uv.lock"
    lock.touch()
    assert len(shop.store.entries()) == 1
    shop.prune(days=0)
    assert stranger.exists()
    assert lock.exists()
    assert shop.store.entries() == []
