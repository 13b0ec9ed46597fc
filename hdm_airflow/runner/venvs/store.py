"""Venv store: one venv per set of requirements, shared by all runs that need it.

A venv is built in a folder next to its final place and renamed, under an exclusive lock; afterwards no run changes it.
Runs that use it share its lock, so that a venv in use is never removed. What a bootstrap script installs on top is put
into a layer: a small virtual environment of that run alone, which sees the store's packages after its own.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property, partial
from pathlib import Path

from hdm_airflow.errors import ConfigurationError, VenvBuildError
from hdm_airflow.packs.pack import REQUIREMENTS
from hdm_airflow.runner.processes import janitor
from hdm_airflow.runner.processes.run_folder import is_noexec
from hdm_airflow.runner.processes.supervision import Supervision
from hdm_airflow.runner.venvs import package_index, record
from hdm_airflow.runner.venvs.builder import Builder, disk_full
from hdm_airflow.runner.venvs.interpreter import Interpreter, build_variables, bundled_pip, find_interpreter
from hdm_airflow.runner.venvs.lock import acquire
from hdm_airflow.runner.venvs.options import VenvOptions
from hdm_airflow.runner.venvs.requirements import Requirements
from hdm_airflow.runner.venvs.retention import Entry, surplus

_LOCK_INTERVAL = 0.1  # seconds between two tries
_PATIENCE = 2.0  # seconds of waiting before the log mentions it
_TRIES = 3  # builds of one venv in one run
#: A part of each key: a venv that was built in another way is not used. 2: no file is a link into uv's cache.
_FORMAT = 2
#: The name of a venv. Anything else in the store's folder is not ours to read or remove.
_KEY = re.compile(r"[0-9a-f]{24}")
_STAGING = (".building-", ".removing-")
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True, kw_only=True)
class Venv:
    """One finished venv of the store."""

    key: str
    path: Path
    interpreter: Interpreter
    requirements: Requirements  # of the pack that asked for it

    @property
    def pip(self) -> str:
        """The pip wheel that comes with its Python; '' if there is none."""
        found = record.read(self.path)
        return found.pip if found and Path(found.pip).is_file() else bundled_pip(self.interpreter.path)

    @property
    def site_packages(self) -> Path:
        """The folder with its packages."""
        return record.site_packages(self.path, self.interpreter.version)


class VenvStore:
    """The venvs of one user.

    Args:
        options: its folder, made if missing, and what it keeps after each build.
    """

    def __init__(self, options: VenvOptions) -> None:
        self.options = options

    @cached_property
    def root(self) -> Path:
        """Its folder.

        Raises:
            ConfigurationError: if the setting means the home of a user who has none.
        """
        return self.options.root

    @contextmanager
    def use(
        self, pack: Path, name: str, python: str | None, *, supervision: Supervision, log: Callable[[str], None]
    ) -> Iterator[Venv]:
        """Provide the venv of a pack, built if missing; it does not change while the context lasts.

        Args:
            pack: the pack's folder (the run's copy).
            name: the pack's own folder, for errors.
            python: which Python, in uv's notation; None for the one that runs Airflow.
            supervision: runs the build; its time limit and kill switch apply to it.
            log: called with a line for each build and each wait.

        Raises:
            ConfigurationError: if the store's programs cannot be executed.
            VenvBuildError: if it cannot be built; contains the resolver's message.
        """
        try:
            venv = self.find(pack, python)
            if venv.requirements.lines and is_noexec(self.root):
                what = "packages in the venv store cannot be executed: it is on a disk mounted noexec"
                hint = "set venvs.folder in the Variable hdm to a folder on a disk without noexec"
                raise ConfigurationError(what, str(self.root), hint)
            lock = self._acquire(venv, pack, supervision, log)
        except VenvBuildError as error:
            raise VenvBuildError(error.what, error.where or f"{name}/{REQUIREMENTS}", error.hint) from None
        try:
            yield venv
        finally:
            os.close(lock)

    def find(self, pack: Path, python: str | None) -> Venv:
        """The venv that a pack needs, whether or not it exists.

        Raises:
            VenvBuildError: if there is no such Python, or the requirements cannot be read.
        """
        interpreter = find_interpreter(python)
        requirements = Requirements.read(pack)
        key = _key(requirements, interpreter)
        return Venv(key=key, path=self.root / key, interpreter=interpreter, requirements=requirements)

    def entries(self) -> list[Entry]:
        """All venvs of the store, most recently used first."""
        found = self.root.glob("*") if self.root.is_dir() else ()
        folders = [path for path in found if _KEY.fullmatch(path.name) and path.is_dir()]
        return sorted(map(self._entry, folders), key=lambda entry: entry.last_used, reverse=True)

    def prune(
        self,
        *,
        log: Callable[[str], None] = lambda _: None,
        dry_run: bool = False,
        patience: float = math.inf,
        heartbeat: Callable[[], None] = lambda: None,
    ) -> list[Entry]:
        """Remove the venvs that need not be kept, and the remains of interrupted builds.

        Args:
            log: called with a line for each venv that cannot be removed.
            dry_run: remove nothing.
            patience: seconds to wait for the removal of each; afterwards it goes on in the background.
            heartbeat: called several times a second while it waits.

        Returns:
            The venvs that were removed, or would be.
        """
        chosen = surplus(self.entries(), self.options, datetime.now(timezone.utc))
        if dry_run:
            return list(chosen)
        sweep = partial(self._sweep, patience=patience, heartbeat=heartbeat)
        removed = [entry for entry in chosen if self._remove(entry.key, log, sweep)]
        for file in self.root.glob("*.lock"):
            if _KEY.fullmatch(file.stem) and not file.with_suffix("").exists():
                self._remove(file.stem, log, sweep)  # its remains, and the lock's file
        return removed

    # Getting one -----------------------------------------------------------------------------------------------

    def _acquire(self, venv: Venv, pack: Path, supervision: Supervision, log: Callable[[str], None]) -> int:
        """Take the shared lock of a venv and make sure that it is sound; return the lock's descriptor."""
        began, builds, logged = time.monotonic(), 0, False
        while True:
            lock = self._lock(venv.key, exclusive=False)
            if lock is not None:
                try:
                    if not record.fault(venv.path):
                        self._touch(venv.key)
                        if builds:
                            self._prune_after_build(supervision, log)
                        return lock
                except BaseException:  # such as the end of the run's time during the removal of others
                    os.close(lock)
                    raise
                os.close(lock)
            if builds == _TRIES:
                what = f"venv {venv.key} is damaged right after each build"
                raise VenvBuildError(what, str(self.root), "find out what changes files there")
            lock = self._lock(venv.key, exclusive=True)
            if lock is not None:
                try:
                    builds += self._build_unless_sound(venv, pack, supervision, log)
                finally:
                    os.close(lock)
                continue
            supervision.raise_if_cut_short()
            if not logged and time.monotonic() - began > _PATIENCE:
                log(f"waiting for venv {venv.key}, which another run is building or using")
                logged = True
            time.sleep(_LOCK_INTERVAL)

    def _lock(self, key: str, *, exclusive: bool) -> int | None:
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            return acquire(self.root / f"{key}.lock", exclusive=exclusive)
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise disk_full([self.root], str(error)) from None
            what = f"cannot write to the venv store: {error.strerror}"
            hint = "set venvs.folder in the Variable hdm to a folder that the task's user can write to, such as ~/hdm"
            raise VenvBuildError(what, str(self.root), hint) from None

    def _touch(self, key: str) -> None:
        """Note that it is used now: on its lock, because nothing in a venv ever changes."""
        with suppress(OSError):  # a store in an image may be read-only
            os.utime(self.root / f"{key}.lock")

    def _build_unless_sound(self, venv: Venv, pack: Path, supervision: Supervision, log: Callable[[str], None]) -> bool:
        """Build a venv if it is missing or damaged, under its exclusive lock; return whether that was necessary."""
        fault = record.fault(venv.path)
        if not fault:
            return False  # another run has just built it
        key, version = venv.key, venv.interpreter.version
        try:
            distrusted: list[str] = []
            if os.path.lexists(venv.path):
                log(f"venv {key} is damaged ({fault}): rebuilding it")
                if fault == record.CRASHED:  # uv's cache got the same files shortly before
                    distrusted = record.packages(venv.site_packages)
            log(f"building venv {key} with Python {version}")
            self._sweep(key, heartbeat=supervision.heartbeat)  # we hold the lock, so their builder was killed
            with _building(key, self.root, supervision) as (staging, temporary):
                builder = Builder(
                    pack=pack,
                    requirements=venv.requirements,
                    interpreter=venv.interpreter,
                    final=venv.path,
                    staging=staging,
                    temporary=temporary,
                    supervision=supervision,
                    log=log,
                    distrusted=distrusted,
                )
                tool = builder.build()
                record.write(builder.folder, key, venv.interpreter, venv.requirements.text, tool)
                self._move_away(key)  # not earlier: the next try must also see its fault
                builder.folder.rename(venv.path)
            self._sweep(key, heartbeat=supervision.heartbeat)
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise disk_full([self.root, Path(tempfile.gettempdir())], str(error)) from None
            what = f"the venv could not be built: {error}"
            raise VenvBuildError(what, str(self.root), "make sure that Airflow's user can write there") from None
        return True

    def _prune_after_build(self, supervision: Supervision, log: Callable[[str], None]) -> None:
        """Keep the store within its limits. A failure here does not fail the run."""
        try:
            for entry in self.prune(log=log, patience=janitor.PATIENCE, heartbeat=supervision.raise_if_cut_short):
                log(f"venv {entry.key} was removed from the store: last used {entry.last_used:%Y-%m-%d}")
        except OSError as error:
            log(f"the venv store could not be pruned: {error}")

    # Looking at them, removing them ----------------------------------------------------------------------------

    def _entry(self, path: Path) -> Entry:
        found = record.read(path)
        lock = self._lock(path.name, exclusive=True)
        if lock is not None:
            os.close(lock)
        return Entry(
            key=path.name,
            python=found.python if found else "",
            packages=found.packages if found else None,
            requirements=found.requirements if found else "",
            size=found.size if found else record.size(path),
            last_used=datetime.fromtimestamp((self.root / f"{path.name}.lock").stat().st_mtime, timezone.utc),
            in_use=lock is None,
            fault=record.fault(path),
        )

    def _remove(self, key: str, log: Callable[[str], None], sweep: Callable[[str], None]) -> bool:
        """Remove a venv, unless it is in use."""
        lock = self._lock(key, exclusive=True)
        if lock is None:
            return False
        try:
            self._move_away(key)
            sweep(key)
            (self.root / f"{key}.lock").unlink(missing_ok=True)  # a waiting process notices and makes a new one
        except OSError as error:
            log(f"venv {key} cannot be removed: {error}")
            return False
        finally:
            os.close(lock)
        return True

    def _move_away(self, key: str) -> None:
        """Move a venv out of its place in one step, so that half of one is never there."""
        if os.path.lexists(self.root / key):
            staging = Path(tempfile.mkdtemp(prefix=f".removing-{key}-", dir=self.root))
            (self.root / key).rename(staging / key)  # into it: the old entry need not be a folder

    def _sweep(self, key: str, *, patience: float = janitor.PATIENCE, heartbeat: Callable[[], None]) -> None:
        """Remove what builds and removals of a venv have left."""
        abandoned = [path for prefix in _STAGING for path in self.root.glob(f"{prefix}{key}-*")]
        janitor.remove(abandoned, patience=patience, heartbeat=heartbeat)


@contextmanager
def _building(key: str, root: Path, supervision: Supervision) -> Iterator[tuple[Path, Path]]:
    """The folder next to a venv's final place in which it is built, and one for temporary files; removed afterwards."""
    staging = supervision.folder.make(f".building-{key}-", root)
    temporary = supervision.folder.make("b", supervision.folder.root)  # a short path: tools create sockets there
    try:
        yield staging, temporary
    finally:
        janitor.remove([staging, temporary], heartbeat=supervision.heartbeat)


def _key(requirements: Requirements, interpreter: Interpreter) -> str:
    """A hash of everything that decides a venv's content: requirements, Python, platform, index."""
    variables = build_variables()
    facts = [
        _FORMAT,
        [package_index.without_logins(line) for line in requirements.expanded(variables)],
        sorted(requirements.files.items()),
        [interpreter.path, interpreter.version, interpreter.implementation],
        sorted(package_index.decisive(variables).items()),
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]
