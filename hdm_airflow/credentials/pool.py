"""A bounded pool of threads for look-ups; the caller can stop waiting for it at any time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import TypeVar

from hdm_airflow.errors import HdmError

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_GLANCE = 0.1  # seconds between two calls of the heartbeat


class DeadlineError(Exception):
    """The deadline has passed."""


def until(moment: float) -> Callable[[], None]:
    """Return a heartbeat for `each` that raises DeadlineError after `moment`, on the monotonic clock."""

    def heartbeat() -> None:
        if time.monotonic() > moment:
            raise DeadlineError

    return heartbeat


def each(
    function: Callable[[Item], Answer],
    items: Sequence[Item],
    *,
    at_once: int,
    heartbeat: Callable[[], None] = lambda: None,
) -> list[Answer | HdmError]:
    """Call a function for each item in a few threads.

    The threads are daemons, so a hanging request delays neither the caller, which may have to stop at once, nor the end
    of the process. `concurrent.futures` would wait for its threads at the end.

    Args:
        function: called in threads.
        items: its arguments.
        at_once: how many threads.
        heartbeat: called in the caller's thread several times a second; what it raises ends the waiting.

    Returns:
        In the order of the items: the result of the function, or the HdmError that it raised.
    """
    waiting: SimpleQueue[int] = SimpleQueue()
    done: SimpleQueue[tuple[int, Answer | BaseException]] = SimpleQueue()
    stop = threading.Event()
    for index in range(len(items)):
        waiting.put(index)

    def work() -> None:
        while not stop.is_set():
            try:
                index = waiting.get_nowait()
            except Empty:
                return
            try:
                done.put((index, function(items[index])))
            except BaseException as error:  # noqa: BLE001  # raised again in the caller's thread
                done.put((index, error))

    for _ in range(min(at_once, len(items))):
        threading.Thread(target=work, name="hdm-credentials", daemon=True).start()
    answers: dict[int, Answer | HdmError] = {}
    try:
        while len(answers) < len(items):
            heartbeat()
            try:
                index, answer = done.get(timeout=_GLANCE)
            except Empty:
                continue
            if isinstance(answer, BaseException) and not isinstance(answer, HdmError):
                raise answer
            answers[index] = answer
    finally:
        stop.set()
    return [answers[index] for index in range(len(items))]
