"""A process that has imported a reference pack once, and forks for each run: importing takes as long as judging.

A run still has what contract 1 says, a process and an environment of its own.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


class ForkingPack:
    """Runs one program of a pack again and again. Only one thread may use it.

    Args:
        folder: of the program.
        script: its name.
        variables: environment at its start, for what is read only then.
        seconds: that a run may take.
    """

    def __init__(self, folder: Path, script: str, variables: dict[str, str], *, seconds: int = 120) -> None:
        self.seconds = seconds
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(folder), script.removesuffix(".py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=variables,
        )
        atexit.register(self.close)

    def close(self) -> None:
        """End it; a second time does nothing."""
        with self._process:  # closes its standard input, which ends it, and waits
            pass

    def run(self, variables: dict[str, str], output: Path) -> int:
        """Run the program to its end; its exit code.

        Args:
            variables: its whole environment.
            output: file for its standard output and error.
        """
        job = {"variables": variables, "output": str(output), "seconds": self.seconds}
        assert self._process.stdin, "it is a pipe"
        assert self._process.stdout, "it is a pipe"
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def _serve(folder: str, module: str) -> None:
    """Import the program, then fork for each line of standard input, and answer with the exit code."""
    sys.path.insert(0, folder)
    os.chdir(folder)
    program = __import__(module)
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            os._exit(_run(program, job))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201  # the answer


def _run(program: Any, job: dict[str, Any]) -> int:
    import traceback

    os.setsid()
    os.environ.clear()
    os.environ.update(job["variables"])
    time.tzset()
    signal.alarm(job["seconds"])
    output = os.open(job["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    try:
        code = program.main()
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001  # the end of this run must not be that of the others
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code if isinstance(code, int) else int(code is not None)


if __name__ == "__main__":
    sys.path.pop(0)  # this folder: its modules are not the pack's
    _serve(*sys.argv[1:])
