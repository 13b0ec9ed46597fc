"""PgBouncer, from the system's package: a connection pool in front of a PostgreSQL server."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from demo.services.postgres import Postgres
from demo.services.service import PROGRAM_PATH, Service


class PgBouncer(Service):
    """A pool in front of every database of a server, with the server's own user.

    Args:
        folder: as for each service.
        server: the PostgreSQL server.
        settings: of the section `pgbouncer`, such as `pool_mode`.
    """

    title: ClassVar[str] = "PgBouncer"

    def __init__(self, folder: Path | str, server: Postgres, **settings: Any) -> None:
        super().__init__(folder)
        self.server = server
        self.settings = settings

    @classmethod
    def available(cls) -> str | None:
        """Why PgBouncer cannot run on this machine; None if it can."""
        found = shutil.which("pgbouncer", path=PROGRAM_PATH)
        return None if found else "pgbouncer not found; apt-get install pgbouncer"

    def dsn(self, database: str) -> str:
        """A URL for libpq, through the pool; it includes the password."""
        login = f"{self.server.user}:{quote(self.server.password, safe='')}"
        return f"postgresql://{login}@{self.host}:{self.port}/{quote(database, safe='')}"

    def _command(self) -> list[str]:
        users = self._write_private("users", f'"{self.server.user}" "{self.server.password}"\n')
        settings = {
            "listen_addr": self.host,
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": users,
            **self.settings,
        }
        lines = "".join(f"{name} = {value}\n" for name, value in settings.items())
        target = f"* = host={self.server.host} port={self.server.port}"
        ini = self._write_private("pgbouncer.ini", f"[databases]\n{target}\n[pgbouncer]\n{lines}")
        if os.geteuid() == 0:
            for file in (users, ini):
                shutil.chown(file, "nobody")
        return [shutil.which("pgbouncer", path=PROGRAM_PATH) or "pgbouncer", str(ini)]

    def _is_ready(self) -> bool:
        try:
            with socket.create_connection((self.host, self.port), timeout=1):
                return True
        except OSError:
            return False

    def _privileges(self) -> list[str]:
        """PgBouncer refuses to run as root; root runs it as `nobody`, who may enter the folders above its files."""
        if os.geteuid() != 0:
            return []
        return ["--reuid=nobody", "--clear-groups", "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
