"""The private folder of a run: what the sweep removes, and what it keeps."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hdm_airflow.errors import ConfigurationError, VenvBuildError
from hdm_airflow.runner.processes import guard, removal
from hdm_airflow.runner.workspace import workspace
from tests.packs import zoo

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pack, and a TMPDIR of its own."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "bootstrap-script.sh").touch()
    return tmp_path / "pack"


def test_link_in_the_temporary_folder_leads_no_sweep_elsewhere(pack: Path, tmp_path: Path) -> None:
    """Any user can create one there; its target would lose its modes, or its content."""
    mine = tmp_path / "mine"
    (mine / "below").mkdir(parents=True)
    (mine / "below").chmod(0o750)
    (mine / ".lock").touch()
    (tmp_path / "tmp" / "hdm-run-link").symlink_to(mine)
    with workspace(pack):
        pass
    assert (mine / ".lock").exists()
    assert (mine / "below").stat().st_mode & 0o777 == 0o750


def test_folders_without_rights_and_of_any_depth_are_removed(pack: Path) -> None:
    """A pack can create both; a link that leads out of them is removed as a link."""
    with workspace(pack) as place:
        bottom = place.tmp
        for number in range(40):
            bottom /= f"{number:0200}"
            bottom.parent.chmod(0o700)
            if len(str(bottom)) < 4000:
                bottom.mkdir()
            else:
                break
        (place.home / "own").mkdir()
        (place.home / "own" / "link").symlink_to(pack)
        (place.home / "own").chmod(0)
    assert not place.root.exists()
    assert pack.exists()


def test_what_could_not_be_removed_is_left_for_the_next_run(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine went down while a run's folder was being removed: the passwords are gone, the folder is swept."""
    root = Path(tempfile.gettempdir(), "hdm-run-dead")
    (root / "home").mkdir(parents=True)
    for name in ("pgpass", "home/patient"):
        (root / name).touch()
    with monkeypatch.context() as patch:
        patch.setattr("os.rename", _busy)
        patch.setattr("os.rmdir", _busy)
        with pytest.raises(OSError, match="busy"):
            removal.remove(str(root))
    assert sorted(path.name for path in root.iterdir()) == ["home"]
    with workspace(pack):
        assert not root.exists()


def test_folders_that_a_pack_has_closed_are_removed(pack: Path) -> None:
    """Without root's rights, `rm` leaves them."""
    root = pack.parent / "run"
    (root / "home" / "inner").mkdir(parents=True)
    (root / "home" / "inner" / "patient").touch()
    (root / "home" / "inner").chmod(0)
    (root / "home").chmod(0)
    (root / ".lock").touch()
    removal.remove(str(root))
    assert not root.exists()


def test_secrets_in_a_folder_that_a_pack_has_closed_are_removed() -> None:
    """A folder that is kept would otherwise keep them too."""

    def run() -> list[str]:
        with tempfile.TemporaryDirectory() as folder:
            for name in (*guard.SECRETS, "other"):
                Path(folder, name).touch()
            Path(folder).chmod(0)
            guard.remove_secrets(folder)
            return [path.name for path in Path(folder).iterdir()]

    assert zoo.as_nobody(run) == ["other"]


@pytest.mark.parametrize("kind", ["file", "link"])
def test_script_that_is_a_link_is_converted_without_touching_what_it_leads_to(pack: Path, kind: str) -> None:
    """The other file may belong to another pack, or to nobody's pack at all."""
    script, other = pack / "bootstrap-script.sh", pack.parent / "other.sh"
    other.write_bytes(b"\xef\xbb\xbfecho\r\n")
    other.chmod(0o444)
    script.unlink()
    if kind == "link":
        script.symlink_to(other)
    else:
        shutil.copyfile(other, script)
    with workspace(pack) as place:
        assert (place.pack / "bootstrap-script.sh").read_bytes() == b"echo\n"
        assert not (place.pack / "bootstrap-script.sh").is_symlink()
    assert other.read_bytes() == b"\xef\xbb\xbfecho\r\n"
    assert other.stat().st_mode & 0o777 == 0o444


@pytest.mark.timeout(20)
def test_script_that_is_a_link_to_a_pipe_or_device_is_refused(pack: Path) -> None:
    """Reading it would block, or never end."""
    script = pack / "bootstrap-script.sh"
    os.mkfifo(pack.parent / "pipe")
    for target in (str(pack.parent / "pipe"), "/dev/zero"):
        script.unlink()
        script.symlink_to(target)
        with pytest.raises(ConfigurationError, match="is not a regular file"), workspace(pack):
            pass


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["pipe", "folder", "file", "link"])
def test_anything_is_removed_that_is_not_a_folder(tmp_path: Path, kind: str) -> None:
    """Opening a pipe would block; a link leads elsewhere."""
    path, other = tmp_path / kind, tmp_path / "other"
    other.mkdir()
    (other / "file").touch()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(other)
    elif kind == "folder":
        path.mkdir()
        os.mkfifo(path / "pipe")
    else:
        path.touch()
    removal.remove(str(path))
    removal.remove(str(path))
    assert not os.path.lexists(path)
    assert (other / "file").exists()


def test_part_that_cannot_be_removed_does_not_keep_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For example a folder that a container's root has made."""
    for name in ("a/b/c", "stuck/inner", "z/y"):
        (tmp_path / "run" / name).mkdir(parents=True)
        (tmp_path / "run" / name / "file").touch()
    unlink = os.unlink

    def refusing(path: str) -> None:
        if "stuck" in path:
            raise PermissionError(errno.EPERM, "not permitted")
        unlink(path)

    monkeypatch.setattr("os.unlink", refusing)
    (tmp_path / "run" / "stuck" / "file").touch()
    with pytest.raises(PermissionError):
        removal.remove(str(tmp_path / "run"))
    assert [path.name for path in (tmp_path / "run").rglob("file")] == ["file"]


def _busy(*_: object, **__: object) -> None:
    raise OSError(errno.EBUSY, "busy")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_is_an_error_that_a_retry_may_outlive(
    pack: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Other runs free their space when they end; an unreadable pack stays unreadable."""

    def fails(fault: OSError) -> Callable[..., None]:
        def copy(*_: object, **__: object) -> None:
            raise fault

        return copy

    full, denied = OSError(number, os.strerror(number)), PermissionError(errno.EACCES, "denied")
    for fault, kind in (
        (full, VenvBuildError),
        (shutil.Error([("a", "b", str(full))]), VenvBuildError),
        (denied, ConfigurationError),
        (shutil.Error([("a", "b", str(denied))]), ConfigurationError),
    ):
        for name in ("shutil.copytree", "pathlib.Path.mkdir"):
            with monkeypatch.context() as patch:
                patch.setattr(name, fails(fault))
                with pytest.raises(kind), workspace(pack):
                    pass
