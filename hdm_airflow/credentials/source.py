"""Source: one place that stores passwords; also what is remembered about a source that is down."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from hdm_airflow.base.endpoints import Registered
from hdm_airflow.errors import HdmError

#: Seconds to wait for a connection to a source on the network, and for the next piece of its answer.
TIMEOUT = (4.0, 10.0)
_MAX_UNANSWERED = 3  # unanswered requests in a row after which the source counts as down

Warn = Callable[[str], None]  # takes a warning; may be called from any thread
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class SourceDownError(HdmError):
    """The source cannot be asked about any endpoint: it is unreachable, or refuses the login."""


class SlowSourceError(SourceDownError):
    """The source did not answer one look-up in time."""


@dataclass(frozen=True, kw_only=True)
class Credential:
    """An endpoint's password, and where it came from."""

    password: str = field(repr=False)
    source: str  # for messages; contains no secret
    user: str | None = None  # None: the slug's user


class Source(Protocol):
    """One place that stores passwords."""

    at_once: int  # how many threads may ask it at once

    def find(self, registered: Registered) -> Credential | None:
        """Return the credential of an endpoint, or None if this source has no entry for it.

        Raises:
            HdmError: if the source cannot be asked, or its entry is invalid. Unlike a missing entry, this fails the
                endpoint, and the next source is not asked.
        """

    def close(self, patience: float) -> None:
        """Revoke all leases, within `patience` seconds. Raises nothing."""


def is_unencrypted(url: str) -> bool:
    """Return whether requests to an address cross the network without TLS."""
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname not in _LOOPBACK


def is_text(value: object) -> bool:
    """Return whether it is text that can be encoded: JSON may contain a number instead, or half a surrogate pair."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


class Outage:
    """Remembers that a source is down, so that a thousand endpoints do not wait for it one after the other.

    Args:
        is_alive: returns whether the source answers at all; called after several unanswered requests in a row.
    """

    def __init__(self, is_alive: Callable[[], bool] = lambda: False) -> None:
        self._is_alive = is_alive
        self._error: SourceDownError | None = None
        self._unanswered = 0
        self._lock = threading.Lock()

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Wrap each request.

        Raises:
            SourceDownError: if the source is known to be down; the request is not made.
        """
        if self._error is not None:
            raise SourceDownError(*self._error.args)  # a copy: threads would share the traceback
        try:
            yield
        except SlowSourceError as error:
            # One look-up may be slow by itself: Vault waits for a database in which it creates an account.
            with self._lock:
                self._unanswered += 1
                if self._unanswered >= _MAX_UNANSWERED and self._error is None:
                    self._unanswered = 0
                    self._error = None if self._is_alive() else error
            raise
        except SourceDownError as error:
            self._error = error
            raise
        except HdmError:
            self._unanswered = 0  # a refusal is an answer
            raise
        self._unanswered = 0


class Once:
    """Makes each look-up once: the first thread makes it, and the others wait for its result. Keeps failures too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: dict[Any, Future[Any]] = {}

    def get(self, key: Any, ask: Callable[[], Any]) -> Any:
        """Return the result for `key`; the first call gets it from `ask`."""
        with self._lock:
            first = key not in self._answers
            answer = self._answers.setdefault(key, Future())
        if first:
            try:
                answer.set_result(ask())
            except BaseException as error:
                answer.set_exception(error)
                raise
        return answer.result()
