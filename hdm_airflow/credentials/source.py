"""Source: one place where passwords are kept; and what is remembered of one that is down."""

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

#: Seconds to wait for a connection, and for the next piece of an answer, of a source in the network.
TIMEOUT = (4.0, 10.0)
_MAX_UNANSWERED = 3  # requests in a row that may go unanswered before the source counts as down

Warn = Callable[[str], None]  # takes a warning; may be called from any thread
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class SourceDownError(HdmError):
    """The source cannot be asked, whatever for: it is unreachable, or refuses the login."""


class SlowSourceError(SourceDownError):
    """The source did not answer one question in time."""


@dataclass(frozen=True, kw_only=True)
class Credential:
    """What a source gave for an endpoint."""

    password: str = field(repr=False)
    source: str  # where it came from, for people; no secret
    user: str | None = None  # None: the slug's


class Source(Protocol):
    """One place where passwords are kept."""

    at_once: int  # how many threads may ask it

    def find(self, registered: Registered) -> Credential | None:
        """The credential of an endpoint, or None where this source has no entry for it.

        Raises:
            HdmError: the source cannot be asked, or its entry cannot be used. That is not the same as having no
                entry: the endpoint fails, and the next source is not asked.
        """

    def close(self, patience: float) -> None:
        """Give back what was lent, in `patience` seconds at most. Raises nothing."""


def is_unencrypted(url: str) -> bool:
    """Whether what is sent to an address goes over the network without TLS."""
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname not in _LOOPBACK


def is_text(value: object) -> bool:
    """Whether it is text that can be sent somewhere: JSON may hold a number in its place, or half a character."""
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
        is_alive: whether the source answers at all, asked when it has left several questions in a row unanswered.
    """

    def __init__(self, is_alive: Callable[[], bool] = lambda: False) -> None:
        self._is_alive = is_alive
        self._error: SourceDownError | None = None
        self._unanswered = 0
        self._lock = threading.Lock()

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Around each request.

        Raises:
            SourceDownError: it is known to be down; the request is not made.
        """
        if self._error is not None:
            raise SourceDownError(*self._error.args)  # not the same one: threads would share its traceback
        try:
            yield
        except SlowSourceError as error:
            # One question may be slow by itself: Vault waits for a database to make an account there.
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
    """Asks each question once, whichever thread asks first; the others wait for its answer. Failures are kept, too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: dict[Any, Future[Any]] = {}

    def get(self, key: Any, ask: Callable[[], Any]) -> Any:
        """The answer to `key`; `ask` finds it."""
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
