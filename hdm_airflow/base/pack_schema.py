"""A pack's own tables: its create-table scripts, each applied once per content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hdm_airflow.base.queries import queries
from hdm_airflow.errors import BaseError, ConfigurationError
from hdm_airflow.packs import files
from hdm_airflow.packs.pack import CREATE_TABLE, Pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hdm_airflow.base.hook import Base
    from hdm_airflow.packs.manifest import Kind


@dataclass(frozen=True, kw_only=True)
class Script:
    """One SQL file of a pack, in PostgreSQL's dialect."""

    file: str  # below the pack's folder
    sql: str

    @property
    def sha256(self) -> str:
        """The digest of its content."""
        return hashlib.sha256(self.sql.encode("utf-8")).hexdigest()


def scripts(pack: Pack) -> list[Script]:
    """The create-table scripts of a pack, sorted by name.

    Raises:
        ConfigurationError: one cannot be read as UTF-8 text.
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


def apply(owner: Base, runner: Base, kind: Kind, pack: str, scripts: Sequence[Script]) -> list[str]:
    """Apply the scripts that have not been applied with this content, each in a transaction of its own.

    Args:
        owner: the connection that keeps the record, in autocommit mode.
        runner: the connection that runs the scripts: the pack's own role where one is configured, else the owner's.
        kind: of the pack.
        pack: its name.
        scripts: in the order in which they are to run.

    Returns:
        The files that were applied now.

    Raises:
        BaseError: a script failed; nothing of it remains, but what ran before it does.
    """
    values = {"kind": kind, "pack": pack}
    with _lock(owner, f"hdm:schema:{kind}:{pack}"):
        known = {(row["file"], row["sha256"]) for row in owner.execute(queries("pack_schema")["applied"], values)}
        new = [script for script in scripts if (script.file, script.sha256) not in known]
        for script in new:
            _run(runner, pack, script)
            # At once, not in one transaction with the next: a script whose record is lost would run again.
            owner.execute(queries("pack_schema")["record"], {**values, "file": script.file, "sha256": script.sha256})
    return [script.file for script in new]


@contextmanager
def _lock(owner: Base, key: str) -> Iterator[None]:
    """Keep others out: two metric dates of one pack may start at once."""
    owner.execute(queries("pack_schema")["lock"], {"key": key})
    try:
        yield
    finally:
        owner.execute(queries("pack_schema")["unlock"], {"key": key})


def _run(runner: Base, pack: str, script: Script) -> None:
    from psycopg import DataError, Error

    from hdm_airflow.base.hook import told

    try:
        with runner.transaction():
            runner.execute(script.sql.encode("utf-8"))
    except Error as error:
        context = None if isinstance(error, DataError) else error.diag.context  # which repeats the value, too
        where = f"{pack}/{script.file}" + (f", {context}" if context else "")
        hint = "correct the script; it must be PostgreSQL's dialect"
        raise BaseError(f"the pack's SQL script failed: {told(error)}", where, hint) from None
