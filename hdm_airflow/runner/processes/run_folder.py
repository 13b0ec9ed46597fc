"""Run folder: the private folder of a run, locked while it is in use, and removed by a janitor after every end."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import stat
import string
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from hdm_airflow.errors import ConfigurationError, HdmError, VenvBuildError
from hdm_airflow.runner.processes import janitor
from hdm_airflow.runner.processes.guard import SECRETS
from hdm_airflow.runner.processes.janitor import Janitor

PREFIX = "hdm-run-"
#: The prefix of a folder that is kept for inspection. A pack cannot change the name of its folder.
KEPT = "hdm-kept-"
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
_NO_PROCESS = {errno.EAGAIN, errno.ENOMEM}
_NOEXEC: int = getattr(os, "ST_NOEXEC", 0)  # Linux only
_LETTERS = string.ascii_lowercase + string.digits
_LENGTH = 8  # random letters in a name; no more, because programs create sockets below
_MOST = 100  # abandoned folders that one run removes
_SWEEP = 1.0  # seconds that a run waits for that; afterwards it goes on in the background


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """A run's folder. Its lock is on the folder itself: nothing that a pack does to the files in it changes that."""

    root: Path
    lock: int | None = None  # descriptor
    janitor: Janitor | None = None  # None: whoever made the folder removes it

    @property
    def holding(self) -> tuple[int, ...]:
        """The descriptors that every guard of the run keeps open: the folder is in use until all are closed."""
        lock = () if self.lock is None else (self.lock,)
        return (*lock, self.janitor.descriptor) if self.janitor else lock

    def make(self, prefix: str, parent: Path) -> Path:
        """Make a new private folder that is removed together with this one, if it still exists then."""
        return _make(self.janitor, prefix, parent)


@contextmanager
def run_folder(*, keep: bool = False, heartbeat: Callable[[], None] = lambda: None) -> Iterator[RunFolder]:
    """Make an empty run folder, and remove it afterwards, as well as those of runs that have died.

    Args:
        keep: keep the folder, without the files that hold passwords.
        heartbeat: called several times a second while folders are removed.

    Raises:
        ConfigurationError: if it cannot be made, or its programs could not be executed.
        VenvBuildError: if the disk or the process table is full; a retry may find space.
    """
    try:
        parent = Path(tempfile.gettempdir()).absolute()
        _refuse_unusable(parent)
        keeper = Janitor()
    except OSError as error:
        raise _error(error) from error
    lock = None
    try:
        try:
            root, lock = _make_locked(keeper, parent, keep=keep)
        except OSError as error:
            raise _error(error) from error
        _sweep(parent, heartbeat)
        yield RunFolder(root=root, lock=lock, janitor=keeper)
    finally:
        try:
            keeper.finish(heartbeat=heartbeat)
        finally:
            if lock is not None:
                os.close(lock)


def error_class(error: OSError) -> type[HdmError]:
    """The error to raise: VenvBuildError, which is retried, if the disk or the process table is full at the moment."""
    entries = error.args[0] if isinstance(error, shutil.Error) and error.args else None
    if isinstance(entries, list):  # its entries have only the text of each error
        full = any(str(why).startswith(tuple(f"[Errno {number}]" for number in _NO_ROOM)) for *_, why in entries)
    else:
        full = error.errno in _NO_ROOM | _NO_PROCESS
    return VenvBuildError if full else ConfigurationError


def is_noexec(folder: Path) -> bool:
    """Whether nothing can be executed in a folder, which may not exist yet: its file system is mounted noexec."""
    while True:
        try:
            return bool(os.statvfs(folder).f_flag & _NOEXEC)
        except FileNotFoundError:
            folder = folder.parent


def _refuse_unusable(parent: Path) -> None:
    """Refuse a place in which shells would not find a run's programs, and go on to those of the worker."""
    if is_noexec(parent):
        what = "a run cannot execute its own programs, such as pip: its folder would be on a disk mounted noexec"
        raise ConfigurationError(what, str(parent), "set TMPDIR to a folder on a disk without noexec")
    if os.pathsep in str(parent):
        what = "a run's programs would not be found: PATH cannot contain a folder with a colon in its name"
        raise ConfigurationError(what, str(parent), "set TMPDIR to another folder")


def _error(error: OSError) -> HdmError:
    if error.errno in _NO_PROCESS:
        what = f"cannot start a process for the run: {error.strerror}"
        return VenvBuildError(
            what, "the worker", "raise its limits of processes and memory, or run fewer tasks at once"
        )
    what = f"cannot create a folder for the run: {error.strerror}"
    hint = "free space there, or set TMPDIR to another folder"
    return error_class(error)(what, os.environ.get("TMPDIR", "/tmp"), hint)  # noqa: S108  # a name for the error


def _make_locked(keeper: Janitor, parent: Path, *, keep: bool) -> tuple[Path, int]:
    """Make a run's folder and lock it; return it with the lock's descriptor."""
    while True:
        if keep:
            root = _make(None, KEPT, parent)
            for name in SECRETS:
                keeper.take(root / name)
        else:
            root = _make(keeper, PREFIX, parent)
        lock = _locked(root)
        if lock is not None:
            return root, lock
        # another run swept it in the moment before it was locked


def _make(keeper: Janitor | None, prefix: str, parent: Path) -> Path:
    """Make a folder with a new name. The janitor takes charge of it first: we may be killed at any moment."""
    while True:
        path = parent / (prefix + "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH)))
        if os.path.lexists(path):
            continue
        if keeper:
            keeper.take(path)
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
            return path


def _locked(root: Path) -> int | None:
    """Lock a folder; return the lock's descriptor, or None if the folder is gone or in use.

    Raises:
        OSError: if it cannot be opened.
    """
    try:
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        with suppress(BlockingIOError, FileNotFoundError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), root.lstat()):
                return descriptor
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _sweep(parent: Path, heartbeat: Callable[[], None]) -> None:
    """Remove this user's run folders that are not in use, for example after a power failure."""
    found: dict[Path, int] = {}
    try:
        for root in parent.glob(f"{PREFIX}*"):
            with suppress(OSError):  # just removed by another run
                lock = _abandoned(root)
                if lock is not None:
                    found[root] = lock
            if len(found) == _MOST:
                break
        with suppress(OSError):  # no process can be started now: the next run tries again
            janitor.remove([*found], patience=_SWEEP, heartbeat=heartbeat, holding=[*found.values()])
    finally:
        for lock in found.values():
            os.close(lock)


def _abandoned(root: Path) -> int | None:
    """Lock a folder that is not in use; return the lock's descriptor, or None.

    Raises:
        OSError: if it cannot be opened.
    """
    status = root.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        return None  # another user could replace it with a link to one of our folders at any time
    if not status.st_mode & stat.S_IRUSR:
        root.chmod(0o700)  # a pack has closed it
    return _locked(root)
