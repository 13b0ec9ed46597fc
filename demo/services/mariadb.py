"""MariaDB, from the system's package (Debian: mariadb-server)."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from demo.services.service import PROGRAM_PATH, Service

if TYPE_CHECKING:
    from pathlib import Path

PROGRAMS = ("mariadbd", "mariadb-install-db")


class MariaDB(Service):
    """A MariaDB server with one user, who has all privileges and logs in by TCP and password."""

    title: ClassVar[str] = "MariaDB"

    @classmethod
    def available(cls) -> str | None:
        """Why MariaDB cannot run on this machine; None if it can."""
        missing = [name for name in PROGRAMS if shutil.which(name, path=PROGRAM_PATH) is None]
        return f"{' and '.join(missing)} not found; apt-get install mariadb-server" if missing else None

    @property
    def data(self) -> Path:
        """The server's data folder."""
        return self.folder / "data"

    @property
    def temporary(self) -> Path:
        """Its folder for temporary tables. A server that starts deletes all in its folder, also a running server's."""
        return self.folder / "temporary"

    def url(self, database: str) -> str:
        """The SQLAlchemy URL of a database; it includes the password."""
        login = f"{self.user}:{quote(self.password, safe='')}"
        return f"mysql+pymysql://{login}@{self.host}:{self.port}/{quote(database, safe='')}"

    def connect(self, database: str | None = None, **options: Any) -> Any:
        """Open a PyMySQL connection (`pymysql.Connection`, with its options). The caller closes it."""
        import pymysql

        return pymysql.connect(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password,
            database=database,
            charset="utf8mb4",
            **options,
        )

    def create_database(self, name: str) -> None:
        """Create a database; it compares text case-insensitively, as is MariaDB's default."""
        self._execute(f"CREATE DATABASE {_quoted(name)}")

    def drop_database(self, name: str) -> None:
        """Drop a database if it exists."""
        self._execute(f"DROP DATABASE IF EXISTS {_quoted(name)}")

    def _execute(self, statement: str) -> None:
        with self.connect(autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def _prepare(self) -> None:
        self.temporary.mkdir(exist_ok=True)
        if not (self.folder / "installed").exists():
            shutil.rmtree(self.data, ignore_errors=True)  # left by a first start that was interrupted
            # `socket`: the built-in accounts have no password; only the machine's root can use them, and not over TCP.
            options = ["--auth-root-authentication-method=socket", "--skip-test-db", "--skip-name-resolve"]
            self._install([_program("mariadb-install-db"), *self._options(), *options])
            (self.folder / "installed").touch()
        self._write_private(
            "init.sql",
            f"CREATE OR REPLACE USER '{self.user}'@'%' IDENTIFIED BY '{self.password}';\n"
            f"GRANT ALL PRIVILEGES ON *.* TO '{self.user}'@'%' WITH GRANT OPTION;\n",
        )

    def _options(self) -> list[str]:
        run_as_root = ["--user=root"] if os.geteuid() == 0 else []
        return ["--no-defaults", f"--datadir={self.data}", f"--tmpdir={self.temporary}", *run_as_root]

    def _command(self) -> list[str]:
        return [
            _program("mariadbd"),
            *self._options(),
            f"--init-file={self.folder / 'init.sql'}",
            f"--bind-address={self.host}",
            f"--port={self.port}",
            "--skip-networking=0",
            "--skip-name-resolve",
            "--socket=mariadbd.sock",  # in the data folder; an absolute path could exceed 107 characters
            f"--pid-file={self.folder / 'mariadbd.pid'}",
            "--character-set-server=utf8mb4",
            "--default-time-zone=+00:00",
            # A crash may lose the data, as with PostgreSQL
            "--innodb-flush-log-at-trx-commit=0",
            "--skip-innodb-doublewrite",
            "--skip-log-bin",
            "--innodb-buffer-pool-size=512M",  # loads a million rows in a quarter less time; used only as needed
        ]

    def _is_ready(self) -> bool:
        import pymysql

        try:
            # read_timeout: another server on this port may accept the connection and not answer
            self.connect(connect_timeout=1, read_timeout=1, write_timeout=1).close()
        except (pymysql.err.Error, OSError):
            return False
        return True


def _program(name: str) -> str:
    return shutil.which(name, path=PROGRAM_PATH) or name


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
