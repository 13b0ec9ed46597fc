"""PyMySQL's connection, with access to its private parts: the socket, the buffer and the current result.

After an upgrade of PyMySQL, run the tests with MariaDB.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

import hdm_profile as hp
import pymysql
from pymysql.connections import Connection
from pymysql.cursors import SSCursor

from engines.engine import hang_up

if TYPE_CHECKING:
    from io import BufferedReader

    from pymysql.connections import MySQLResult

CLEAR_TEXT_PLUGINS = ("mysql_clear_password", "dialog")  # they send the password itself; the server chooses the plugin
PLUGIN_REFUSED = 2059  # CR_AUTH_PLUGIN_CANNOT_LOAD
CHUNK = 1 << 18  # bytes per read
# Shutdown, killed, killed: after these errors the server closes the connection.
FATAL = frozenset({1053, 1927, 3169})


class MySQLConnection(Connection):
    """A connection whose rows reach a profile as raw packets, and which another thread can end."""

    # PyMySQL sets these; its type stubs omit them.
    _sock: socket.socket
    _rfile: BufferedReader
    _read_timeout: float | None
    _result: MySQLResult | None
    server_version: str

    _descriptor: int  # of the socket

    def connect(self, sock: socket.socket | None = None) -> None:
        """Connect, with keepalives that detect a lost server within two minutes, as psycopg's do."""
        super().connect(sock)
        self._descriptor = self._sock.fileno()
        for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
            if hasattr(socket, name):  # not every system has them
                self._sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def wait_without_limit(self) -> None:
        """Let the server take its time from now on."""
        self._read_timeout = None

    def interrupt(self) -> None:
        """End what another thread waits for."""
        if self.open:  # otherwise the descriptor may belong to another connection by now
            with suppress(OSError):  # the connection has ended in the meantime
                hang_up(self._descriptor)

    def drain(self, query: str, profile: hp.Profile) -> None:
        """Hand the packets of a query's rows to a profile as they arrive. PyMySQL reads what precedes and follows them.

        Raises: ProfileError or pymysql.MySQLError. The connection is closed if rows may still arrive.
        """
        cursor = self.cursor(SSCursor)
        try:
            cursor.execute(query)
            while not profile.has_ended:
                chunk = self._rfile.read1(CHUNK)  # PyMySQL itself would create Python objects for every row
                if not chunk:
                    raise pymysql.OperationalError(2013, "Lost connection to MySQL server during query")
                profile.feed_mysql(chunk)
        except BaseException as error:
            if isinstance(error, hp.ProfileError) and error.failure == hp.SERVER_ERROR and error.code not in FATAL:
                self._settle()
            elif self.open:
                self.close()
            raise
        self._settle()
        cursor.close()

    def _settle(self) -> None:
        """Tell PyMySQL that its result has been read to the end."""
        if self._result is not None:
            self._result.unbuffered_active = False
            self._result.connection = None
            self._result = None


def refuse_clear_text(_connection: Connection[Any]) -> NoReturn:
    """Replace a login plugin that would send the password over an unencrypted connection."""
    raise pymysql.OperationalError(PLUGIN_REFUSED, "the server asks for the password in clear text, without SSL")
