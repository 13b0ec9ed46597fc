"""Values that many visitors of a page share for a few seconds."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from hdm_airflow.ui.recent import Recent


def test_one_visitor_reads_for_all_who_ask_meanwhile() -> None:
    """Each key by itself."""
    recent, begun, go = Recent[str](60), threading.Event(), threading.Event()
    reads: list[str] = []

    def read(key: str) -> str:
        reads.append(key)
        begun.set()
        assert go.wait(10)
        return key.upper()

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(recent.get, key, lambda key=key: read(key)) for key in "aaaabbbb"]
        assert begun.wait(10)
        go.set()
        assert [one.result() for one in asked] == list("AAAABBBB")
    assert sorted(reads) == ["a", "b"]


def test_values_grow_old() -> None:
    """After its seconds, it is read again."""
    numbers = iter(range(10))
    recent = Recent[int](60)
    assert [recent.get("x", numbers.__next__) for _ in range(3)] == [0, 0, 0]
    at_once = Recent[int](0)
    assert [at_once.get("x", numbers.__next__) for _ in range(2)] == [1, 2]


def test_who_has_waited_for_an_error_gets_it_too() -> None:
    """Reading takes as long as a base needs to fail: the next visitor must not wait for it again."""
    recent, reads, begun, go = Recent[int](60), [], threading.Event(), threading.Event()

    def read() -> int:
        reads.append(1)
        begun.set()
        assert go.wait(10)
        return 1 // 0

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(recent.get, "x", read) for _ in range(8)]
        assert begun.wait(10)
        time.sleep(0.2)  # until the others wait
        go.set()
        assert all(isinstance(one.exception(), ZeroDivisionError) for one in asked)
    assert len(reads) == 1
    assert recent.get("x", lambda: 1) == 1


def test_who_has_waited_for_a_slow_value_does_not_read_again() -> None:
    """Even if it is older than it may be by the time that it is there."""
    recent, begun, go = Recent[int](0.01), threading.Event(), threading.Event()
    numbers = iter(range(10))

    def read() -> int:
        begun.set()
        assert go.wait(10)
        return next(numbers)

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(recent.get, "x", read) for _ in range(8)]
        assert begun.wait(10)
        time.sleep(0.2)  # until the others wait
        go.set()
        assert [one.result() for one in asked] == [0] * 8


def test_an_error_is_not_kept() -> None:
    """The next visitor asks again."""
    recent = Recent[int](60)
    with pytest.raises(ZeroDivisionError):
        recent.get("x", lambda: 1 // 0)
    assert recent.get("x", lambda: 1) == 1


def test_it_does_not_grow_without_limit() -> None:
    """Addresses that visitors make up are keys."""
    recent = Recent[int](60)
    for key in range(1000):
        assert recent.get(key, lambda key=key: key) == key
    assert len(recent._kept) <= 100
