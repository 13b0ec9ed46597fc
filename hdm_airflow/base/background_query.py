"""BackgroundQuery: work on a connection in a thread of its own, which the caller can abandon."""

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

_FAREWELL = 1.0  # seconds each for an answer that is about to come, the cancellation, and the end of the thread


class BackgroundQuery:
    """A query in progress. From `start` until it is done or abandoned, nothing else may use the connection.

    The driver waits for the server without a time limit. A frozen server, or a network that drops all packets, would
    otherwise also delay the time limit and the end of a pack.

    Args:
        base: the connection.
        job: what to do with it.
    """

    def __init__(self, base: BaseConnection, job: Callable[[], None]) -> None:
        self._base = base
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._run, args=(job,), name="hdm-base", daemon=True)
        self._over = threading.Event()  # not `join`: an exception of a signal handler there marks a live thread as dead
        self._fault: BaseException | None = None

    def start(self) -> None:
        """Start the thread. Keep the object first: an exception from a signal handler must not orphan the thread."""
        self._began = time.monotonic()
        self._thread.start()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    def is_done(self, wait: float = 0.0) -> bool:
        """Return whether the work is done; raise what it raised.

        Args:
            wait: seconds to wait for it.
        """
        if not self._over.wait(wait):
            return False
        if self._fault is not None:
            raise self._fault
        return True

    def abandon(self, *, cancel: bool = False) -> None:
        """End the thread within a few seconds, whatever the server does.

        If it does not end by itself, the connection is unusable afterwards and its locks are released.

        Args:
            cancel: ask the server to cancel the statement, which would otherwise continue.
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
        except BaseException as error:  # noqa: BLE001  # raised again in the caller's thread
            self._fault = error
        finally:
            self._over.set()

    def _hang_up(self) -> None:
        """Wake the thread: its socket reports that the server has hung up. `close` would free what the thread uses."""
        with suppress(Error, OSError), socket.socket(fileno=os.dup(self._base.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)
