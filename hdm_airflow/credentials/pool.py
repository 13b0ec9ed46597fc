"""A bounded pool for look-ups, which whoever waits for it can leave at any time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import TypeVar

from hdm_airflow.errors import HdmError

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_GLANCE = 0.1  # seconds between two looks at whether to go on


class DeadlineError(Exception):
    """What was waited for took too long."""


def until(moment: float) -> Callable[[], None]:
    """A heartbeat for `each` that raises DeadlineError from a moment on, on the monotonic clock."""

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

    The threads are daemons: a request that hangs holds up neither the caller, who may have to end at once, nor the end
    of the process. `concurrent.futures` waits for its threads at the end.

    Args:
        function: called in threads.
        items: its arguments.
        at_once: how many threads.
        heartbeat: called in the caller's thread some times a second; what it raises ends the waiting.

    Returns:
        In the order of the items, what the function returned, or the HdmError that it raised.
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
