"""What all sources of passwords share: chain, pool, outages, leases."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from hdm_airflow.base.endpoints import Endpoint, Registered
from hdm_airflow.credentials import leases as credential_leases
from hdm_airflow.credentials.chain import Chain, WarningQueue
from hdm_airflow.credentials.leases import Lease, Leases
from hdm_airflow.credentials.pool import DeadlineError, each, until
from hdm_airflow.credentials.source import Credential, Once, Outage, SlowSourceError, SourceDownError
from hdm_airflow.errors import HdmError


def places(*names: str) -> list[Registered]:
    return [Registered(id=1, endpoint=Endpoint(name=name, type="postgres", host="h"), conn_id=None) for name in names]


class Book:
    """A source with its entries in a dict; an error in it is raised."""

    at_once = 4

    def __init__(self, entries: dict[str, Any]) -> None:
        self.entries, self.asked, self.closed = entries, Counter[str](), False

    def find(self, registered: Registered) -> Credential | None:
        name = registered.endpoint.name
        self.asked[name] += 1
        found = self.entries.get(name)
        if isinstance(found, Exception):
            raise found
        return Credential(password=found, source="book") if found else None

    def close(self, patience: float) -> None:
        self.closed = patience > 0


def chain(*sources: Any, warn: Callable[[str], None] = print, warnings: WarningQueue | None = None) -> Chain:
    return Chain(sources, warnings or WarningQueue(), warn, lambda: 1.0)


def request(outage: Outage, error: HdmError, asked: list[str]) -> None:
    """A request that fails; `asked` records that it was made."""
    with outage.watch():
        asked.append(error.what)
        raise error


class Haste(threading.Condition):
    """A condition that waits only for a moment, and a clock that skips the rest of the wait."""

    ahead = 0.0  # seconds

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def wait(self, timeout: float = 0.0) -> bool:
        moment = min(0.002, timeout)
        notified = super().wait(moment)
        if not notified:
            self.ahead += timeout - moment
        return notified


@pytest.fixture
def haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make time pass fast for leases, so that tests need not wait for half of a lease."""
    clock = Haste()
    monkeypatch.setattr(credential_leases, "time", SimpleNamespace(monotonic=clock.monotonic, sleep=time.sleep))
    monkeypatch.setattr(
        credential_leases,
        "threading",
        SimpleNamespace(Condition=lambda: clock, Thread=threading.Thread, TIMEOUT_MAX=threading.TIMEOUT_MAX),
    )


def eventually(condition: Callable[[], object], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not condition():
        time.sleep(0.01)
    return bool(condition())


def test_source_without_an_entry_passes_on_and_one_that_is_down_does_not() -> None:
    """A password from the next source may be old, or for another account."""
    first = Book({"a": "first", "b": SourceDownError("down")})
    second = Book({"a": "second", "b": "second", "c": "second"})
    with chain(first, second) as both:
        found = both.find_all(places("a", "b", "c", "d"))
    passwords = {slug.partition(":")[0]: one.password for slug, one in found.credentials.items()}
    assert passwords == {"a": "first", "c": "second"}
    assert [slug.partition(":")[0] for slug in found.faults] == ["b"]
    assert second.asked == {"c": 1, "d": 1}
    assert first.closed
    assert second.closed


def test_unexpected_error_fails_its_endpoint_and_no_other() -> None:
    """Its text may quote a password, so the fault names the place in the code instead."""
    book = Book({"a": OverflowError("s3cret"), "b": "fine", "c": "half a \ud800 letter"})
    found = chain(book).find_all(places("a", "b", "c", "d"))
    assert [one.password for one in found.credentials.values()] == ["fine"]
    reasons = {slug.partition(":")[0]: error.what for slug, error in found.faults.items()}
    assert reasons.keys() == {"a", "c"}
    assert reasons["a"].startswith("the look-up failed (OverflowError at test_credential_sources.py:")
    assert reasons["c"] == "the password or user is not text"
    assert "s3cret" not in "".join(map(str, found.faults.values()))


def test_file_endpoint_is_never_looked_up() -> None:
    """It has no account."""
    book = Book({"lab": "pw"})
    file = Registered(id=1, endpoint=Endpoint(name="lab", type="sqlite", host="/lab.db"), conn_id=None)
    assert not chain(book).find_all([file]).credentials
    assert not book.asked


def test_credential_does_not_show_its_password() -> None:
    """It may appear in a traceback."""
    assert "s3cret" not in repr(Credential(password="s3cret", source="book"))


def test_pool_asks_no_more_at_once_than_the_limit() -> None:
    """The source is a server that others use too."""
    running, most, lock = 0, 0, threading.Lock()
    together = threading.Barrier(3, timeout=10)

    def ask(number: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait()
        with lock:
            running -= 1
        return number * 2

    assert each(ask, range(9), at_once=3) == [number * 2 for number in range(9)]
    assert most == 3


def test_caller_can_stop_waiting_for_the_pool_while_a_request_hangs() -> None:
    """Airflow kills a task five seconds after asking it to stop."""
    hanging = threading.Event()
    with pytest.raises(DeadlineError):
        each(lambda _: hanging.wait(60), [1, 2, 3], at_once=1, heartbeat=until(time.monotonic() + 0.05))
    threads = [thread for thread in threading.enumerate() if thread.name == "hdm-credentials"]
    assert all(thread.daemon for thread in threads)
    hanging.set()
    assert eventually(lambda: not any(thread.is_alive() for thread in threads))


def test_error_other_than_hdmerror_is_raised_by_the_pool() -> None:
    """Our own bug is not an endpoint's fault."""

    def fail(_: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        each(fail, [1], at_once=1)


def test_lookup_is_made_once_however_many_threads_need_it() -> None:
    """Also when it fails."""
    asked = Counter[str]()

    def ask(key: str) -> str:
        asked[key] += 1
        time.sleep(0.05)
        if key == "bad":
            raise HdmError("no")
        return key.upper()

    once = Once()
    answers = each(lambda key: once.get(key, lambda: ask(key)), ["good", "bad"] * 8, at_once=16)
    assert asked == {"good": 1, "bad": 1}
    assert [one for one in answers if not isinstance(one, HdmError)] == ["GOOD"] * 8


def test_source_that_is_down_is_not_asked_again_and_a_slow_one_after_three_times() -> None:
    """Else a thousand endpoints would wait ten seconds each; a single slow answer may be due to one slow database."""
    for error, times in ((SourceDownError("refused"), 1), (SlowSourceError("no answer"), 3)):
        outage, asked = Outage(), list[str]()
        for _ in range(10):
            with pytest.raises(SourceDownError, match=error.what):
                request(outage, error, asked)
        assert len(asked) == times


def test_source_that_is_alive_does_not_count_as_down_for_slow_lookups() -> None:
    """Whether it is alive is asked only after several unanswered look-ups in a row."""
    glances, asked = [True, False], list[str]()
    outage = Outage(lambda: glances.pop(0))
    for _ in range(10):
        with pytest.raises(SourceDownError):
            request(outage, SlowSourceError("no answer"), asked)
    assert len(asked) == 6
    assert not glances


def test_answer_in_between_shows_that_a_slow_source_is_not_down() -> None:
    """A refusal is an answer too."""
    outage, asked = Outage(), list[str]()
    for error in [SlowSourceError("slow"), SlowSourceError("slow"), HdmError("refused")] * 3:
        with pytest.raises(HdmError):
            request(outage, error, asked)
    assert len(asked) == 9


def test_lease_is_renewed_in_time_and_revoked_once(haste) -> None:
    """The thread that runs the pack does not wait for either."""
    warned: list[str] = []
    renewed, ended = Counter[str](), Counter[str]()
    leases = Leases(warned.append)

    def lease(name: str, seconds: float) -> Lease:
        def renew() -> float:
            renewed[name] += 1
            return seconds

        return Lease(name=name, seconds=seconds, renew=renew, revoke=lambda: ended.update([name]))

    leases.add(lease("long", 3600))
    leases.add(lease("short", 0.4))
    assert eventually(lambda: renewed["short"] >= 3)
    leases.close(5)
    assert ended == {"long": 1, "short": 1}
    assert renewed["long"] == 0
    assert warned == []
    leases.add(lease("late", 60))
    assert ended["late"] == 1


def test_lease_that_cannot_be_renewed_is_warned_about_once_and_the_others_are_renewed(haste) -> None:
    """The run continues: the pack may no longer need it."""
    warned: list[str] = []
    renewed = Counter[str]()
    leases = Leases(warned.append)

    def refuse() -> float:
        renewed["refused"] += 1
        raise HdmError("Vault is not ready")

    def prolong() -> float:
        renewed["good"] += 1
        return 0.4

    def nothing() -> None:
        pass

    leases.add(Lease(name="refused", seconds=1.5, renew=refuse, revoke=nothing))
    leases.add(Lease(name="capped", seconds=0.6, renew=lambda: 0.1, revoke=nothing))
    leases.add(Lease(name="fixed", seconds=90, renew=None, revoke=nothing))
    leases.add(Lease(name="good", seconds=0.4, renew=prolong, revoke=nothing))
    assert eventually(lambda: renewed["refused"] >= 2 and renewed["good"] >= 3)
    leases.close(5)
    assert sorted(one.partition(" ")[0] for one in warned) == ["capped", "fixed", "refused"]
    assert "Vault is not ready" in "".join(warned)


def test_unexpected_error_does_not_stop_the_renewal_of_other_leases(haste) -> None:
    """Else the others would expire without a warning."""

    def fail() -> float:
        raise LookupError("s3cret")

    renewed, warned = threading.Semaphore(0), []
    leases = Leases(warned.append)
    leases.add(Lease(name="one", seconds=0.4, renew=fail, revoke=lambda: None))
    leases.add(Lease(name="other", seconds=0.4, renew=lambda: renewed.release() or 0.4, revoke=lambda: None))
    assert all(renewed.acquire(timeout=10) for _ in range(3))
    leases.close(1)
    assert warned == ["one could not be renewed and expires in 0 s: LookupError"]


def test_lease_that_cannot_be_revoked_is_warned_about_and_delays_nothing() -> None:
    """It expires by itself; the warning says when."""
    warned: list[str] = []
    leases = Leases(warned.append)
    hanging = threading.Event()

    def refuse() -> None:
        raise HdmError("no")

    leases.add(Lease(name="hangs", seconds=60, renew=lambda: 60.0, revoke=lambda: (hanging.wait(60), None)[1]))
    leases.add(Lease(name="refused", seconds=60, renew=lambda: 60.0, revoke=refuse))
    began = time.monotonic()
    leases.close(0.05)
    took = time.monotonic() - began
    hanging.set()
    assert took < 30
    assert {one.partition(" ")[0] for one in warned[1:]} == {"hangs", "refused"}
    assert "could not be revoked; it expires in" in warned[-1]


def test_warnings_of_other_threads_are_logged_in_the_callers_thread() -> None:
    """A task's log in Airflow is a single pipe."""
    warnings, logged = WarningQueue(), []

    class WarningBook(Book):
        def find(self, registered: Registered) -> Credential | None:
            warnings(f"warning about {registered.endpoint.name}")
            return super().find(registered)

    both = chain(
        WarningBook({}), warn=lambda text: logged.append((text, threading.current_thread())), warnings=warnings
    )
    both.find_all(places("a", "b"))
    assert {text for text, _ in logged} == {"warning about a", "warning about b"}
    assert {thread for _, thread in logged} == {threading.current_thread()}
