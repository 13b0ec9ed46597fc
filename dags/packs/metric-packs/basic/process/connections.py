"""Connections to endpoints, limited in number per host."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

import engines

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    import hdm
    from engines.engine import Engine
    from settings import Settings

POLL_SECONDS = 0.25  # seconds between two checks whether a connection is still needed


class Hosts:
    """The number of connections that this run has to each host."""

    def __init__(self) -> None:
        self._used: Counter[str] = Counter()
        self._changed = threading.Condition()

    def enter(self, host: str, limit: int, is_needed: Callable[[], bool]) -> bool:
        """Wait for one of the host's `limit` places. Return False if `is_needed` turns false first."""
        with self._changed:
            while self._used[host] >= limit:
                if not is_needed():
                    return False
                self._changed.wait(POLL_SECONDS)
            self._used[host] += 1
            return True

    def leave(self, host: str) -> None:
        """Free the place."""
        with self._changed:
            self._used[host] -= 1
            self._changed.notify_all()


class Connection:
    """One connection to an endpoint, opened on demand and reopened if it is lost."""

    def __init__(self, endpoint: hdm.Endpoint, settings: Settings, hosts: Hosts) -> None:
        self._endpoint, self._settings, self._hosts = endpoint, settings, hosts
        self._engine: Engine | None = None
        self._has_place = False

    def __enter__(self) -> Connection:  # noqa: PYI034  # typing.Self came with 3.11
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self, is_needed: Callable[[], bool] = lambda: True) -> Engine | None:
        """The connected engine; None if `is_needed` turns false first.

        Raises: engines.ConnectError.
        """
        if not is_needed():
            return None
        if self._engine is not None and not self._engine.is_closed:
            return self._engine
        if not self._has_place:
            self._has_place = self._hosts.enter(self._endpoint.host, self._settings.connections_per_host, is_needed)
        if not self._has_place:
            return None
        self._engine = engines.connect(self._endpoint, self._settings)
        return self._engine

    def close(self) -> None:
        """Close the connection and free its place."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()
        if self._has_place:
            self._has_place = False
            self._hosts.leave(self._endpoint.host)
