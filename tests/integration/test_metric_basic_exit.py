"""Metric pack basic ends while its threads are still ending."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.metric_basic_harness import Ward

LATE_THREAD = Path(__file__).with_name("late_thread.c")


def test_threads_that_end_late_find_their_memory_untouched(
    ward: Ward, require: Callable[[str, str | None], None], tmp_path: Path
) -> None:
    """Exit handlers of OpenSSL free what its threads free as well: rarely, a run that had measured all was aborted."""
    require("integration", None if shutil.which("cc") else "cc is missing: install gcc and libc6-dev")
    library = tmp_path / "late_thread.so"
    flags = ["-std=c11", "-O1", "-Wall", "-Wextra", "-shared", "-fPIC", "-o", str(library)]
    made = subprocess.run(["cc", *flags, str(LATE_THREAD), "-ldl"], capture_output=True, text=True, check=False)
    assert (made.returncode, made.stderr) == (0, "")
    ward.execute("CREATE TABLE stays (id int)", "INSERT INTO stays SELECT generate_series(1, 20)")
    run = ward.measure(variables={"LD_PRELOAD": str(library)})
    assert run.only()["status"] == "ok"
    assert (run.exit_code, run.output) == (0, "a thread ends\n")
