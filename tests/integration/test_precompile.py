"""Precompiling: a new venv is compiled and flushed to the disk while its first run goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from hdm_airflow.runner.processes.run_folder import RunFolder
from hdm_airflow.runner.processes.sandbox import Sandbox
from hdm_airflow.runner.processes.supervision import Supervision
from hdm_airflow.runner.venvs import precompile, record
from tests.integration.venv_harness import Shop, store_in
from tests.packages import build_wheel


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """An empty store, and a pack that needs one package."""
    (tmp_path / "pack").mkdir()
    return Shop(store=store_in(tmp_path / "store"), pack=tmp_path / "pack")


@pytest.fixture
def needs(tmp_path: Path) -> str:
    """Requirements with one package."""
    return f"{build_wheel(tmp_path / 'wheels', 'hdmprecompile', '1.0')}\n"


def endless() -> Supervision:
    return Supervision(None, RunFolder(root=Path()), lambda: None)


def compiled(path: Path) -> list[Path]:
    return list(path.rglob("hdmprecompile*.pyc"))


def test_venv_is_precompiled_by_its_first_run(shop: Shop, needs: str) -> None:
    """In the background: the run starts at once. Later runs find everything compiled, and nothing is done twice."""
    with shop.use(needs) as venv:
        assert not compiled(venv.path)
        with precompile.in_background(venv, endless()):
            pass
        assert record.is_precompiled(venv.path)
    (first,) = compiled(venv.path)
    before = first.stat().st_mtime_ns
    with shop.use(needs), precompile.in_background(venv, endless()):
        pass
    assert first.stat().st_mtime_ns == before
    assert shop.builds == 1


def test_run_that_is_killed_ends_the_precompiling_and_another_goes_on(shop: Shop, needs: str) -> None:
    """Airflow's SIGKILL comes five seconds after a kill: the run does not wait, and leaves no process behind."""
    killed = endless()
    with shop.use(needs) as venv:
        long_work = [venv.path / "lib" / f"long_work_{number}.py" for number in range(10)]
        for module in long_work:  # many seconds to compile: the kill comes before the end
            module.write_text("x = [1, 2, 3]\n" * 100_000)
        with precompile.in_background(venv, killed):
            killed.kill()
        assert not record.is_precompiled(venv.path)
        with pytest.raises(KeyError), precompile.in_background(venv, endless()):
            raise KeyError
        assert not record.is_precompiled(venv.path)
        for module in long_work:
            module.unlink()
        precompile.precompile(venv, endless())
    assert record.is_precompiled(venv.path)
    assert compiled(venv.path)


def test_precompile_runs_no_program_of_a_package(shop: Shop, needs: str, tmp_path: Path) -> None:
    """It sees more than a pack does, and a wheel can put a file anywhere in its venv."""
    with shop.use(needs) as venv:
        python = venv.path / "bin" / "python"
        python.unlink()
        python.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        python.chmod(0o700)
        (venv.path / "pyvenv.cfg").write_text("home = evil/bin\n")
        precompile.precompile(venv, endless())
        assert compiled(venv.path)
    assert not (tmp_path / "ran").exists()


def test_one_run_of_several_precompiles(shop: Shop, needs: str) -> None:
    """Eight tasks that start at once would compile the same files eight times."""
    with shop.use(needs) as venv, precompile._claim(venv.path) as is_ours:
        assert is_ours
        precompile.precompile(venv, endless())  # returns at once: another process holds the claim
        assert not record.is_precompiled(venv.path)


def test_venv_that_was_not_on_the_disk_when_the_machine_went_down_is_built_again(
    shop: Shop, needs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files and those of uv's cache may still be empty. A precompiled venv is known to be complete."""
    boot = tmp_path / "boot_id"
    boot.write_text("another start")
    confined = Supervision(None, RunFolder(root=tmp_path), lambda: None, Sandbox(read=(str(tmp_path),)))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    shop.require(needs)
    with shop.store.use(shop.pack, "pack", None, supervision=confined, log=shop.lines.append) as venv:
        module = venv.site_packages / "hdmprecompile.py"
    cached = list((tmp_path / "cache").rglob("hdmprecompile.py"))
    assert cached
    for path in (module, *cached):
        path.chmod(0o600)
        path.write_bytes(b"")
    monkeypatch.setattr(record, "_BOOT", boot)
    with shop.store.use(shop.pack, "pack", None, supervision=confined, log=shop.lines.append) as venv:
        assert module.read_bytes()
    assert "the machine went down before its files were on the disk" in "".join(shop.lines)
    assert shop.builds == 2
    precompile.precompile(venv, endless())
    boot.write_text("a third one")
    shop.get(needs)
    assert shop.builds == 2
