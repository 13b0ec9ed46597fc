"""`make bench-credentials`: looking up the passwords of a thousand endpoints in parallel and one after the other.

Vault is a stand-in in a separate process. It waits before each answer as long as a Vault in the same building takes, so
the table shows the value of the pool, not the speed of Vault.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from benchmarks.table import Table

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from hdm_airflow.base.endpoints import Registered

ENDPOINTS = 1_000
ROUNDS = 5
RIVAL_ROUNDS = 1  # each round takes as long as a thousand answers
DELAY = 0.02  # seconds before each answer of Vault
VAULT = {"conn_id": "vault"}
#: Title of the case -> options.
CASES: dict[str, dict[str, Any]] = {
    "Vault, KV v2": {"sources": ["vault"], "vault": {**VAULT, "path": "hdm/{name}"}},
    "Vault, dynamic accounts, revoked": {
        "sources": ["vault"],
        "vault": {**VAULT, "dynamic_path": "database/creds/{name}"},
    },
    "Airflow, no entry; then Vault, KV v2": {
        "sources": ["airflow", "vault"],
        "vault": {**VAULT, "path": "hdm/{name}"},
    },
    "Vault, one secret for all": {"sources": ["vault"], "vault": {**VAULT, "path": "shared/{host}"}},
}


def serve(pipe: Connection) -> None:
    """Simulate Vault until the pipe closes; send its address first."""
    from tests.stand_ins.vault import Vault

    with Vault() as vault:
        vault.delay = DELAY
        vault.kv2 = {f"hdm/db{number}": {"password": f"password {number}"} for number in range(ENDPOINTS)}
        vault.kv2["shared/db.example.org"] = {"password": "password of all"}
        vault.roles = {f"db{number}": {"seconds": 3600} for number in range(ENDPOINTS)}
        pipe.send(vault.connection())
        pipe.poll(None)


@contextmanager
def vault() -> Iterator[None]:
    """Vault behind the connection `vault`."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    os.environ["AIRFLOW_CONN_VAULT"] = ours.recv()
    try:
        yield
    finally:
        ours.close()
        process.terminate()
        process.join()


def registered() -> list[Registered]:
    """The endpoints."""
    from hdm_airflow.base.endpoints import Endpoint, Registered

    return [
        Registered(
            id=number, conn_id=None, endpoint=Endpoint(name=f"db{number}", type="postgres", host="db.example.org")
        )
        for number in range(ENDPOINTS)
    ]


def look_up(options: dict[str, Any], places: list[Registered], *, at_once: int | None) -> float:
    """Measure the seconds of the look-ups, including the login and the revocation.

    Args:
        options: the settings.
        places: the endpoints.
        at_once: the rival's number of threads; None: each source's own.
    """
    from hdm_airflow.credentials.options import CredentialOptions
    from hdm_airflow.credentials.sources import open_chain

    warnings: list[str] = []
    began = time.perf_counter()
    chain = open_chain(
        CredentialOptions.model_validate(options),
        environment="prod",
        pack=None,
        warn=warnings.append,
        patience=lambda: 60.0,
    )
    with chain:
        for source in chain.sources:
            source.at_once = at_once or source.at_once
        found = chain.find_all(places)
        assert len(found.credentials) == len(places), next(iter(found.faults.values()), "no password")
    took = time.perf_counter() - began
    assert not warnings, warnings
    return took


def main() -> None:
    """Measure each case both ways, print the table, and write it to results/."""
    with tempfile.TemporaryDirectory(prefix="hdm-bench-") as folder:
        os.environ["AIRFLOW_HOME"] = folder  # before Airflow is imported
        from hdm_airflow.credentials.vault import Vault

        logging.getLogger("airflow").setLevel(logging.WARNING)
        table = Table(
            "credentials",
            f"Looking up the passwords of {ENDPOINTS:,} endpoints",
            ["from", f"up to {Vault.at_once} at once, s", "one after the other, s", "ratio"],
        )
        places = registered()
        with vault():
            look_up(CASES["Vault, one secret for all"], places, at_once=None)  # imports, caches
            for title, options in CASES.items():
                ours = statistics.median(look_up(options, places, at_once=None) for _ in range(ROUNDS))
                rival = statistics.median(look_up(options, places, at_once=1) for _ in range(RIVAL_ROUNDS))
                table.add(title, f"{ours:.2f}", f"{rival:.2f}", f"{rival / ours:.0f}")
    table.finish(
        f"median of {ROUNDS} rounds ({RIVAL_ROUNDS} one after the other), including login, logout and revocation",
        f"Vault is a stand-in in a separate process on this machine; it waits {DELAY * 1000:.0f} ms before each answer",
        "one after the other: the same sources with one thread; both ways revoke accounts with several threads",
        "Airflow's connections are looked up in environment variables; through a task's supervisor, each look-up takes "
        "about 10 ms, even if there is no connection",
    )


if __name__ == "__main__":
    main()
