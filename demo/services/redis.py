"""Redis, from the system's package: the queue of a CeleryExecutor."""

from __future__ import annotations

import shutil
import socket
from typing import ClassVar

from demo.services.service import PROGRAM_PATH, Service


class Redis(Service):
    """A Redis server with a password; it loses all data when it stops."""

    title: ClassVar[str] = "Redis"
    user: ClassVar[str] = "default"

    @classmethod
    def available(cls) -> str | None:
        """Why Redis cannot run on this machine; None if it can."""
        found = shutil.which("redis-server", path=PROGRAM_PATH)
        return None if found else "redis-server not found; apt-get install redis-server"

    def url(self, database: int = 0) -> str:
        """The URL for Celery and redis-py; it includes the password."""
        return f"redis://:{self.password}@{self.host}:{self.port}/{database}"

    def _command(self) -> list[str]:
        """The command line. The settings are in a file, because every user can read a password on a command line."""
        settings = self._write_private(
            "redis.conf",
            f"bind {self.host}\nport {self.port}\nrequirepass {self.password}\n"
            'save ""\nappendonly no\ndaemonize no\n',  # the working folder is the service's
        )
        return [shutil.which("redis-server", path=PROGRAM_PATH) or "redis-server", str(settings)]

    def _is_ready(self) -> bool:
        try:
            with socket.create_connection((self.host, self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {self.password}\r\n".encode())
                return connection.recv(64).startswith(b"+OK")
        except OSError:
            return False
