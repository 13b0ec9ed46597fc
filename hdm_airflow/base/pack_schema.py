"""Pack schema: a pack's create-table scripts, each applied once per content."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hdm_airflow.base.queries import queries
from hdm_airflow.base.role.rights import TABLES
from hdm_airflow.errors import ConfigurationError, HdmBaseError
from hdm_airflow.packs import files
from hdm_airflow.packs.pack import CREATE_TABLE, PREFIX, Pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.packs.manifest import Kind

_PATIENCE = 60.0  # seconds to wait for another attempt that is applying the same pack's scripts
_INTERVAL = 0.25  # seconds between two tries for the lock
_GLANCE = 0.1  # seconds between two checks of a running script
_LEAST = 5.0  # minimum time limit of the scripts in seconds; most need a few milliseconds
_HEADSTART = 1.0  # seconds by which the server's time limit precedes ours
_LONGEST = 2**31 - 1  # milliseconds: the longest limit that PostgreSQL takes


@dataclass(frozen=True, kw_only=True)
class Script:
    """One SQL file of a pack, written for PostgreSQL."""

    file: str  # below the pack's folder
    sql: str

    @property
    def sha256(self) -> str:
        """The digest of its content."""
        return hashlib.sha256(self.sql.encode("utf-8")).hexdigest()


@dataclass(frozen=True, kw_only=True)
class _Limit:
    """The time limit of the scripts."""

    seconds: float
    heartbeat: Callable[[], None]  # called while they run; an exception from it stops them
    began: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds left; negative afterwards."""
        return self.began + self.seconds - time.monotonic()


def scripts(pack: Pack) -> list[Script]:
    """Read the create-table scripts of a pack, sorted by name.

    Raises:
        ConfigurationError: if one cannot be read as UTF-8 text.
    """
    folder = pack.path / CREATE_TABLE
    found = []
    for path in sorted(folder.glob("*.sql")) if folder.is_dir() else ():
        name = f"{CREATE_TABLE}/{path.name}"
        try:
            text, _ = files.decode(files.read_bytes(path))
        except files.Unreadable as error:
            raise ConfigurationError(f"{name} {error.reason}", pack.folder, error.hint) from None
        found.append(Script(file=name, sql=text))
    return found


def apply(
    owner: BaseConnection,
    runner: BaseConnection,
    kind: Kind,
    pack: str,
    scripts: Sequence[Script],
    *,
    seconds: float = math.inf,
    heartbeat: Callable[[], None] = lambda: None,
) -> list[str]:
    """Apply the scripts whose content has not been applied yet, each in one transaction with its record.

    Args:
        owner: the connection that reads the records and holds the lock, in autocommit mode.
        runner: the connection that runs the scripts: of the packs' role if there is one, else of the owner.
        kind: of the pack.
        pack: its name.
        scripts: in the order in which to run them.
        seconds: the time limit for all of them together.
        heartbeat: called several times a second; an exception from it stops the running script.

    Returns:
        The files that were applied now.

    Raises:
        HdmBaseError: if a script fails or runs too long: it is rolled back, those before it stay applied. Also if
            another attempt is still applying them after a minute.
    """
    values = {"kind": kind, "pack": pack}
    task_id = PREFIX[kind] + pack
    if not _new(owner, values, scripts):  # almost always, and then nobody waits for the lock
        return []
    with _lock(owner, f"hdm:schema:{kind}:{pack}", task_id, heartbeat):
        new = _new(owner, values, scripts)
        if new:
            runner.execute(queries("pack_schema")["limit_waiting"])
            values["schema"] = _schema(owner)
        limit = _Limit(seconds=max(seconds, _LEAST), heartbeat=heartbeat)
        for script in new:
            record = {**values, "file": script.file, "sha256": script.sha256}
            _run(runner, task_id, script, record, limit)
    return [script.file for script in new]


def _new(owner: BaseConnection, values: dict[str, str], scripts: Sequence[Script]) -> list[Script]:
    """The scripts whose content has not been applied yet."""
    known = {(row["file"], row["sha256"]) for row in owner.execute(queries("pack_schema")["applied"], values)}
    return [script for script in scripts if (script.file, script.sha256) not in known]


@contextmanager
def _lock(owner: BaseConnection, key: str, task_id: str, heartbeat: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of the pack's tables: two metric dates of one pack may start at the same time."""
    deadline = time.monotonic() + _PATIENCE
    while not _try_lock(owner, key):
        if time.monotonic() > deadline:
            what = f"another run of {task_id} is still applying its create-table scripts after {_PATIENCE:.0f} seconds"
            hint = "see what it is doing: SELECT * FROM pg_stat_activity"
            raise HdmBaseError(what, "lock of the pack's tables", hint)
        time.sleep(_INTERVAL)
        heartbeat()
    try:
        yield
    finally:
        owner.execute(queries("pack_schema")["unlock"], {"key": key})


def _try_lock(owner: BaseConnection, key: str) -> bool:
    row = owner.execute(queries("pack_schema")["try_lock"], {"key": key}).fetchone()
    return bool(row and row["locked"])


def _schema(owner: BaseConnection) -> str:
    row = owner.execute(queries("pack_schema")["schema"]).fetchone()
    assert row is not None  # noqa: S101  # `apply` has read this table already
    return str(row["schema"])


def _run(runner: BaseConnection, task_id: str, script: Script, record: dict[str, str], limit: _Limit) -> None:
    """Run a script and record it in one transaction: without its record it would run again, and fail each time.

    A script that commits is recorded right afterwards.
    """
    from psycopg import DataError, Error
    from psycopg.errors import QueryCanceled

    from hdm_airflow.base.background_query import BackgroundQuery
    from hdm_airflow.base.hook import server_message

    recording = False

    def run() -> None:
        nonlocal recording
        with runner.transaction():
            runner.execute(script.sql.encode("utf-8"))
            recording = True
            _check_names(runner, task_id, script, record["schema"])
            runner.execute(queries("pack_schema")["record"], record)

    if limit.left < math.inf:
        milliseconds = min(int(limit.left * 1000), _LONGEST)
        runner.execute(queries("pack_schema")["limit_running"], {"limit": str(max(milliseconds, 1))})
    query = BackgroundQuery(runner, run)
    try:
        query.start()
        while not query.is_done(_GLANCE):
            limit.heartbeat()
            if limit.left < -_HEADSTART:
                raise _too_long(task_id, script, limit)
    except Error as error:
        if isinstance(error, QueryCanceled) and limit.left < _HEADSTART:
            raise _too_long(task_id, script, limit) from None
        if recording:  # the base has failed, not the script
            raise
        context = None if isinstance(error, DataError) else error.diag.context  # which also repeats the value
        where = f"{task_id}/{script.file}" + (f", {context}" if context else "")
        raise HdmBaseError(f"the pack's SQL script failed: {server_message(error)}", where, _hint(error)) from None
    finally:
        query.abandon(cancel=True)


def _too_long(task_id: str, script: Script, limit: _Limit) -> HdmBaseError:
    left = f"{limit.seconds:.0f} s left of the time limit"
    what = f"the pack's SQL script was stopped: it ran longer than the {left}"
    hint = "find out what takes so long, or raise timeout in properties.json"
    return HdmBaseError(what, f"{task_id}/{script.file}", hint)


def _check_names(runner: BaseConnection, task_id: str, script: Script, schema: str) -> None:
    """Refuse tables that all packs would take for the base's own: their alerts would go there."""
    values = {"schema": schema, "tables": list(TABLES)}
    names = [row["name"] for row in runner.execute(queries("pack_schema")["shadowing"], values)]
    if names:
        what = f"the script creates tables that belong to the HDM base: {', '.join(names)}"
        hint = "remove them from the script, or packs would miss the base's own. If it has none: airflow hdm db check"
        raise HdmBaseError(what, f"{task_id}/{script.file}", hint)


def _hint(error: Exception) -> str:
    from psycopg import errors

    if isinstance(error, errors.DuplicateTable | errors.UndefinedColumn):
        return "if a table of that name already exists with other columns, rename it; else correct the script"
    if isinstance(error, errors.LockNotAvailable):
        return "try again when the table is not in use: SELECT * FROM pg_stat_activity"
    return "correct the script; it must be written for PostgreSQL"
