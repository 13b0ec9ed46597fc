"""Recent: what many readers ask at the same time is asked of the base once, and kept for a few seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar, cast

_Value = TypeVar("_Value")
_MOST = 100  # keys


class Recent(Generic[_Value]):
    """Values by key.

    Args:
        seconds: how long a value is shown after it has been read.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._lock = threading.Lock()
        self._kept: dict[Hashable, tuple[threading.Lock, float, object]] = {}  # being read, read at, value

    def get(self, key: Hashable, read: Callable[[], _Value]) -> _Value:
        """The value of a key; if it is older, one visitor reads it, while others wait. An error is not kept.

        Args:
            key: what the value depends on.
            read: reads it.
        """
        with self._lock:
            if key not in self._kept and len(self._kept) >= _MOST:
                self._kept.clear()
            reading, _, _ = self._kept.setdefault(key, (threading.Lock(), float("-inf"), None))
        with reading:
            with self._lock:
                _, at, value = self._kept.get(key, (reading, float("-inf"), None))
            if time.monotonic() < at + self.seconds:
                return cast("_Value", value)
            began = time.monotonic()
            found = read()
            with self._lock:
                self._kept[key] = (reading, began, found)
            return found

    def forget(self) -> None:
        """Read everything again: this process has changed it."""
        with self._lock:
            self._kept.clear()
