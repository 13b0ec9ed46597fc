"""The digest of a pack's content: it changes with every file, and reads little of large ones."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hdm_airflow.packs.content import digest


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """A folder with two files."""
    (tmp_path / "process").mkdir()
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "process/b.sh").write_text("b")
    return tmp_path


@pytest.mark.parametrize(
    "change",
    [
        lambda pack: (pack / "a.txt").write_text("A"),
        lambda pack: (pack / "a.txt").write_text("ab"),
        lambda pack: (pack / "a.txt").unlink(),
        lambda pack: (pack / "process/c").touch(),
        lambda pack: (pack / "a.txt").rename(pack / "b.txt"),
        lambda pack: (pack / "process/b.sh").chmod(0o755),
        lambda pack: (pack / os.fsdecode(b"\xff")).touch(),
    ],
    ids=["content", "length", "removed", "added", "renamed", "executable", "name"],
)
def test_every_change_changes_it(pack: Path, change: Callable[[Path], object]) -> None:
    """Or commands would go on with an old schema."""
    before = digest(pack)
    assert digest(pack) == before
    change(pack)
    assert digest(pack) != before


def test_time_and_place_do_not_matter(pack: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Two workers with the same files must not take turns at recording them."""
    other = tmp_path_factory.mktemp("other") / "pack"
    shutil.copytree(pack, other, copy_function=shutil.copy)  # without the times
    os.utime(pack / "a.txt", (0, 0))
    assert digest(other) == digest(pack)


def test_pipes_are_not_read_and_large_files_only_in_part(pack: Path) -> None:
    """It runs at each attempt."""
    os.mkfifo(pack / "pipe")
    with (pack / "large").open("wb") as file:
        file.truncate(50_000_000_000)
    before = digest(pack)
    with (pack / "large").open("r+b") as file:
        file.write(b"x")
    assert digest(pack) != before
