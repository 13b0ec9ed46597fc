"""Commands end while their threads are still ending."""

from __future__ import annotations

import shutil
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from demo.services import Postgres
from hdm_airflow.cli import command
from tests.airflow.cli_harness import ROOT, Hdm, airflow

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from demo.services import Database

LATE_THREAD = ROOT / "tests" / "integration" / "late_thread.c"


@pytest.mark.usefixtures("metadata")
def test_threads_of_a_command_find_their_memory_untouched(
    base: Database,
    require: Callable[[str, str | None], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit handlers of OpenSSL free what its threads free as well: rarely, a command that had done all was aborted."""
    require("airflow", None if shutil.which("cc") else "cc is missing: install gcc and libc6-dev")
    library = tmp_path / "late_thread.so"
    flags = ["-std=c11", "-O1", "-shared", "-fPIC", "-DPATIENCE=3000", "-o", str(library)]
    subprocess.run(["cc", *flags, str(LATE_THREAD), "-ldl"], check=True)
    server = base.server
    assert isinstance(server, Postgres)
    place = ("--type", "postgres", "--host", "127.0.0.1", "--port", server.port, "--user", "hdm")
    Hdm(capsys)("endpoints", "add", base.name, *place)
    variables = {f"AIRFLOW_CONN_HDM_{base.name.upper()}": base.dsn, "LD_PRELOAD": str(library)}
    done = airflow("hdm", "endpoints", "test", "--output", "json", code=None, **variables)
    assert (done.code, done.err) == (0, "a thread ends\n")
    assert [row["reachable"] for row in done.data] == [True]


def test_thread_that_hangs_does_not_keep_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-up that nobody waits for any more."""
    hangs = threading.Event()
    thread = threading.Thread(target=hangs.wait)
    thread.start()
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("waited"))
    try:
        command._await_end(command._threads() - {command._TASKS / str(thread.native_id)})
    finally:
        hangs.set()
        thread.join()
