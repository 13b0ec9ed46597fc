"""Metric pack `basic`: measures every column of every table of each endpoint, and stores the metrics.

A failed table does not stop its endpoint, and a failed endpoint does not stop the others. Output and reports contain no
value from the data: a database's error text may quote a row, so errors are reported by class and code.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

gc.disable()  # importing makes much that stays and no garbage: looking for it takes a tenth of the time

import hdm  # noqa: E402  # after gc.disable
import settings  # noqa: E402  # likewise
import store  # noqa: E402  # likewise
from connections import Hosts  # noqa: E402  # likewise
from engines import ConnectError  # noqa: E402  # likewise
from engines.engine import describe  # noqa: E402  # likewise
from progress import Progress  # noqa: E402  # likewise
from scan import Job, NothingMeasuredError, scan  # noqa: E402  # likewise

gc.enable()

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NoReturn

GARBAGE_OBJECTS = 50_000  # before a collection: tables leave little garbage, and looking for it takes 2 % of the time
ENDPOINTS_AT_ONCE = 4  # at most, and no more than there are hosts
# Readers and the writer share Python's lock: a reader whose server has answered waits at most this long for it.
SWITCH_SECONDS = 0.0005
# Errors whose message comes from this pack, so it may be shown.
OWN_ERRORS = (settings.SettingsError, ConnectError, NothingMeasuredError)


def main() -> int:
    """Measure every endpoint of the run.

    Returns: the exit code: 1 if nothing could be stored or every endpoint failed. A single failed endpoint shows only
        in its report, because exit code 1 would fail the partial endpoints too.
    """
    gc.freeze()  # what has been imported, which no collection has to visit
    gc.set_threshold(GARBAGE_OBJECTS)
    sys.setswitchinterval(SWITCH_SECONDS)
    logging.disable()  # drivers log the texts of errors, which may quote rows
    run = hdm.load()
    if not run.endpoints:
        run.skip("the run has no endpoints: nothing measured")
    try:
        store.check()
    except Exception as error:  # noqa: BLE001  # whatever fails here, nothing can be stored
        print(f"cannot use the HDM base: {describe(error)}", flush=True)
        return 1
    job = Job(
        date=run.date,
        run_id=f"{os.environ.get('HDM_RUN_ID', '')}@{run.version}",
        hosts=Hosts(),
        progress=Progress(run),
        endpoints_at_once=min(ENDPOINTS_AT_ONCE, len({endpoint.host for endpoint in run.endpoints})),
    )
    with ThreadPoolExecutor(job.endpoints_at_once) as pool:
        succeeded = list(pool.map(lambda endpoint: _attempt(run, job, endpoint), _interleaved(run.endpoints)))
    return int(not any(succeeded))


def _interleaved(endpoints: Iterable[hdm.Endpoint]) -> list[hdm.Endpoint]:
    """The first endpoint of each host, then the second of each, and so on: hosts take turns."""
    seen: Counter[str] = Counter()
    turns = []
    for endpoint in endpoints:
        turns.append((seen[endpoint.host], endpoint))
        seen[endpoint.host] += 1
    return [endpoint for _, endpoint in sorted(turns, key=lambda turn: turn[0])]


def _attempt(run: hdm.Run, job: Job, endpoint: hdm.Endpoint) -> bool:
    """Measure one endpoint and report it. Return whether anything was measured."""

    def log(text: str) -> None:
        print(f"{endpoint.slug}: {text}", flush=True)

    try:
        outcome = scan(job, endpoint, settings.read(endpoint.config), log)
    except Exception as error:  # noqa: BLE001  # the next endpoint is still measured
        reason = str(error) if isinstance(error, OWN_ERRORS) else describe(error)
        log(f"failed: {reason}")
        run.report(endpoint, "failed", reason)
        return False
    finally:
        job.progress.endpoint_done(endpoint.slug)
    run.report(
        endpoint,
        "partial" if outcome.incomplete else "ok",
        outcome.summary,
        metrics=outcome.metrics,
        incomplete=outcome.incomplete,
        version=outcome.version,
    )
    return True


def leave(code: int) -> NoReturn:
    """End the process without exit handlers, since threads may still be ending.

    A thread that ends frees what OpenSSL holds for it, and so does OpenSSL's exit handler: if both do it at the same
    time, the process crashes. Joining the threads does not help: before Python 3.13, a thread is joined when Python
    needs it no more, which is before it frees this memory. And a reader whose server hangs is not joined at all.
    """
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    leave(main())
