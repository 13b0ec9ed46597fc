"""BackgroundQuery: something done with a connection in a thread of its own, so that whoever waits for it can leave."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from psycopg import Error

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection

_FAREWELL = 1.0  # seconds for an answer that is about to come, for a cancellation, and for the thread to end


class BackgroundQuery:
    """From `start` until it is over or was left, nobody else may use the connection.

    A driver waits for a server without limit: one that is frozen, or behind a network that drops everything, would hold
    up the time limit and the end of a pack, too.

    Args:
        base: the connection.
        job: what to do with it.
    """

    def __init__(self, base: BaseConnection, job: Callable[[], None]) -> None:
        self._base = base
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._run, args=(job,), name="hdm-base", daemon=True)
        self._over = threading.Event()  # not `join`: what a signal handler raises in it marks a live thread as dead
        self._fault: BaseException | None = None

    def start(self) -> None:
        """Do it. Whoever gives it keeps it before: an exception out of a signal handler must leave no thread behind."""
        self._began = time.monotonic()
        self._thread.start()

    @property
    def seconds(self) -> float:
        """How long ago it began."""
        return time.monotonic() - self._began

    def is_done(self, wait: float = 0.0) -> bool:
        """Whether it has been done; what it raised is raised here.

        Args:
            wait: seconds to wait for that.
        """
        if not self._over.wait(wait):
            return False
        if self._fault is not None:
            raise self._fault
        return True

    def abandon(self, *, cancel: bool = False) -> None:
        """See that its thread ends, within some seconds and whatever the server does.

        Where it does not end by itself, the connection is of no use afterwards, and its locks are let go.

        Args:
            cancel: ask the server to end the statement: it would go on without us.
        """
        if self._over.is_set():
            return
        try:
            if cancel:
                with suppress(Error):
                    self._base.cancel_safe(timeout=_FAREWELL)
            self._over.wait(_FAREWELL)
        finally:
            if not self._over.is_set():
                self._hang_up()
                self._over.wait(_FAREWELL)

    def _run(self, job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:  # noqa: BLE001  # raised again in the thread that asks
            self._fault = error
        finally:
            self._over.set()

    def _hang_up(self) -> None:
        """End the thread's waiting: its socket says that the server has left. `close` would pull it from under it."""
        with suppress(Error, OSError), socket.socket(fileno=os.dup(self._base.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)
