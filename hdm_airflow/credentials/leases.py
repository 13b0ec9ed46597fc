"""Leases: accounts and tokens that Vault grants for a limited time; renewed while the pack runs, then revoked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from hdm_airflow.credentials.pool import DeadlineError, each, until
from hdm_airflow.credentials.source import Warn
from hdm_airflow.errors import HdmError

_AT_ONCE = 16  # requests
_RETRY_AFTER = 30.0  # seconds at most until a failed renewal is retried
_MIN_INTERVAL = 0.2  # seconds at least between two renewals of a lease


@dataclass(frozen=True, kw_only=True)
class Lease:
    """One lease."""

    name: str  # for messages; contains no secret
    seconds: float  # its lifetime from now on, and the lifetime that each renewal requests
    renew: Callable[[], float] | None  # returns its new lifetime in seconds; None: it cannot be renewed
    revoke: Callable[[], None]


class Leases:
    """Renews leases in a separate thread, so that the run never waits for Vault.

    Args:
        warn: takes warnings; called from that thread.
    """

    def __init__(self, warn: Warn) -> None:
        self._warn = warn
        self._changed = threading.Condition()
        self._due: dict[Lease, float] = {}  # when to renew it, on the monotonic clock; infinite: never again
        self._expires_at: dict[Lease, float] = {}  # on the monotonic clock
        self._warned: set[Lease] = set()
        self._closed = False
        self._thread: threading.Thread | None = None

    def add(self, lease: Lease) -> None:
        """Renew a lease from now on. After `close`, revoke it at once: the run has stopped waiting for the look-ups."""
        with self._changed:
            closed = self._closed
            if not closed:
                now = time.monotonic()
                self._expires_at[lease] = now + lease.seconds
                self._due[lease] = now + lease.seconds / 2 if lease.renew else float("inf")
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="hdm-leases", daemon=True)
                    self._thread.start()
                self._changed.notify()
        if closed:
            lease.revoke()
        elif lease.renew is None:
            self._warn(f"{lease.name} expires in {lease.seconds:.0f} s and cannot be renewed")

    def stop(self) -> list[Lease]:
        """Stop all renewals; return the leases."""
        with self._changed:
            self._closed = True
            self._changed.notify()
            return list(self._due)

    def close(self, patience: float) -> None:
        """Revoke all leases, and warn about those that could not be revoked.

        Args:
            patience: seconds.
        """
        kept = self.stop()
        revoked: list[Lease] = []

        def revoke(lease: Lease) -> None:
            lease.revoke()
            revoked.append(lease)

        try:
            each(revoke, kept, at_once=_AT_ONCE, heartbeat=until(time.monotonic() + patience))
        except DeadlineError:
            self._warn(f"not all leases could be revoked within {patience:.0f} s")
        now = time.monotonic()
        for lease in kept:
            if lease not in revoked:
                left = max(0, self._expires_at[lease] - now)
                self._warn(f"{lease.name} could not be revoked; it expires in {left:.0f} s")

    def _run(self) -> None:
        while True:
            with self._changed:
                wait = min(self._due.values(), default=float("inf")) - time.monotonic()
                if not self._closed and wait > 0:
                    self._changed.wait(min(wait, threading.TIMEOUT_MAX))
                if self._closed:
                    return
                now = time.monotonic()
                due = [lease for lease, moment in self._due.items() if moment <= now]
            try:
                each(self._renew, due, at_once=_AT_ONCE)
            except RuntimeError:  # no thread could be started; the leases not renewed are still due
                time.sleep(_MIN_INTERVAL)

    def _renew(self, lease: Lease) -> None:
        assert lease.renew is not None  # noqa: S101  # other leases are never due
        try:
            seconds = lease.renew()
        except Exception as error:  # noqa: BLE001  # any error: the thread must continue to renew the others
            left = self._expires_at[lease] - time.monotonic()
            why = error.what if isinstance(error, HdmError) else type(error).__name__
            self._warn_once(lease, f"{lease.name} could not be renewed and expires in {max(0, left):.0f} s: {why}")
            retry = time.monotonic() + min(_RETRY_AFTER, max(left / 3, _MIN_INTERVAL)) if left > 0 else float("inf")
            self._schedule(lease, retry)
            return
        now = time.monotonic()
        with self._changed:
            self._expires_at[lease] = now + seconds
        if seconds < lease.seconds / 2:  # Vault grants only what is left of max_ttl
            self._warn_once(lease, f"{lease.name} expires in {seconds:.0f} s: Vault does not extend it further")
            self._schedule(lease, float("inf"))
            return
        self._schedule(lease, now + max(seconds / 2, _MIN_INTERVAL))

    def _schedule(self, lease: Lease, moment: float) -> None:
        with self._changed:
            self._due[lease] = moment

    def _warn_once(self, lease: Lease, text: str) -> None:
        if lease not in self._warned:
            self._warned.add(lease)
            self._warn(text)
