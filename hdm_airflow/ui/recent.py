"""Recent: what many readers ask at the same time is asked of the base once, and kept for a few seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar, cast

from hdm_airflow.ui.threads import BusyError

_Value = TypeVar("_Value")
_MOST = 100  # keys
_PATIENCE = 4.0  # seconds to wait for another visitor: who waits has a thread


@dataclass
class _Kept:
    """What is known under a key."""

    reading: threading.Lock = field(default_factory=threading.Lock)  # one visitor reads
    began: float = float("-inf")  # when it was read last
    ended: float = float("-inf")
    value: object = None
    error: BaseException | None = None  # of that


class Recent(Generic[_Value]):
    """Values by key.

    Args:
        seconds: how long a value is shown after it has been read.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._lock = threading.Lock()
        self._kept: dict[Hashable, _Kept] = {}

    def get(self, key: Hashable, read: Callable[[], _Value]) -> _Value:
        """The value of a key; if it is older, one visitor reads it, while others wait and share what comes of it.

        An error is not kept. Those who have waited for it get it too: if a base hangs, they would wait in turn.

        Args:
            key: what the value depends on.
            read: reads it.
        """
        came = time.monotonic()
        with self._lock:
            if key not in self._kept and len(self._kept) >= _MOST:
                self._kept.clear()
            kept = self._kept.setdefault(key, _Kept())
        if not kept.reading.acquire(timeout=_PATIENCE):
            hint = "try again in a few seconds; if it lasts, see what the server of the HDM base is doing"
            raise BusyError("the HDM base is slow: another visitor's answer is not there yet", "the HDM base", hint)
        try:
            if kept.ended > came and kept.error:
                raise kept.error
            if not kept.error and (kept.ended > came or time.monotonic() < kept.began + self.seconds):
                return cast("_Value", kept.value)
            kept.began, kept.value, kept.error = time.monotonic(), None, None
            try:
                kept.value = found = read()
            except BaseException as error:
                kept.error = error
                raise
            finally:
                kept.ended = time.monotonic()
            return found
        finally:
            kept.reading.release()
