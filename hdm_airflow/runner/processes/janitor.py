"""Janitor: a small process that removes the folders of a run once the task and all its guards are gone.

It reads the folders' paths from a pipe. Only the task and its guards hold the other end: when the last of them has
closed it, on purpose or by dying, the janitor removes the folders. So they are removed in one way after every end, and
a task never waits long for a folder that a pack has filled. The janitor is a shell with `rm`, which starts in about a
millisecond and copes with any depth and any kind of file. removal.py does the rest, such as folders that the pack has
closed; if this Python can no longer be started, `find` and `chmod` do. The janitor has a session of its own and ignores
the signals that end the task.
"""

from __future__ import annotations

import logging
import os
import re
import select
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

log = logging.getLogger(__name__)

#: Seconds that a task waits for the removal; afterwards it goes on in the background.
PATIENCE = 2.0
_TICK = 0.1  # seconds between two heartbeats
_PLAIN = re.compile(rb"[^A-Za-z0-9/._-]")
_THOROUGH = (
    sys.executable, "-I", "-S", "-c",
    "import sys; sys.path.append(sys.argv[1]); from hdm_airflow.runner.processes.removal import main; sys.exit(main())",
    os.path.abspath(os.path.join(os.path.dirname(__file__), *([os.pardir] * 3))),
)  # fmt: skip
_SCRIPT = f"""
trap '' HUP INT QUIT TERM
while IFS= read -r path; do set -- "$@" "$(printf %b "$path")"; done
rm -rf -- "$@" && exit
{shlex.join(_THOROUGH)} "$@"
status=$?
[ $status -lt 126 ] && exit $status
find "$@" -type d ! -perm -700 -exec chmod 700 {{}} ';'
rm -rf -- "$@"
"""
_unfinished: list[subprocess.Popen[bytes]] = []  # janitors that still work although their task no longer waits


class Janitor:
    """One janitor; starting it takes about a millisecond.

    Args:
        holding: descriptors that it keeps open until it has ended, such as locks.

    Raises:
        OSError: if it cannot be started.
    """

    def __init__(self, holding: Sequence[int] = ()) -> None:
        _unfinished[:] = [process for process in _unfinished if process.poll() is None]
        self._paths: list[Path] = []
        orders, self.descriptor = os.pipe()  # the guards inherit the descriptor; no other program does
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _SCRIPT],
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C"},
                stdin=orders,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                pass_fds=holding,
                start_new_session=True,
            )
        except BaseException:
            os.close(self.descriptor)
            raise
        finally:
            os.close(orders)

    def take(self, path: Path) -> None:
        """Take charge of a path, which need not exist yet, and can become anything: a folder, a file, a pipe."""
        self._paths.append(path)
        line = _PLAIN.sub(lambda match: b"\\0%03o" % match[0][0], os.fsencode(path)) + b"\n"  # for printf %b
        with suppress(BrokenPipeError):  # it was killed: `finish` starts another one
            os.write(self.descriptor, line)

    def finish(self, *, patience: float = PATIENCE, heartbeat: Callable[[], None] = lambda: None) -> None:
        """Let the janitor remove everything, and wait for that; what cannot be removed is logged.

        Args:
            patience: seconds to wait; afterwards the janitor goes on in the background.
            heartbeat: called several times a second; an exception from it ends the wait, not the janitor.
        """
        deadline = time.monotonic() + patience
        os.close(self.descriptor)
        output = self._process.stdout
        assert output is not None  # noqa: S101  # for mypy
        try:
            message = _read(output, deadline, heartbeat)
            ended = message is not None and self._process.wait() >= 0
        finally:
            output.close()
            if self._process.poll() is None:
                _unfinished.append(self._process)
        left = [path for path in self._paths if os.path.lexists(path)]
        if not left:
            return
        names = ", ".join(map(str, left))
        if message is None:
            log.warning("%s is still being removed; that goes on in the background", names)
            return
        reason = message or "the janitor was killed"
        if not ended and time.monotonic() < deadline:  # it was killed
            try:
                another = Janitor()
            except OSError as error:
                reason = f"the janitor was killed, and another cannot be started: {error.strerror}"
            else:
                another.remove(left, patience=deadline - time.monotonic(), heartbeat=heartbeat)
                return
        log.warning("%s could not be removed: %s; remove it by hand", names, reason)

    def remove(self, paths: Sequence[Path], *, patience: float, heartbeat: Callable[[], None]) -> None:
        """Take charge of paths that exist, and finish."""
        for path in paths:
            self.take(path)
        self.finish(patience=patience, heartbeat=heartbeat)


def remove(
    paths: Sequence[Path],
    *,
    patience: float = PATIENCE,
    heartbeat: Callable[[], None] = lambda: None,
    holding: Sequence[int] = (),
) -> None:
    """Remove files and folders now, whatever is in them.

    See `Janitor` and its method `finish` for the arguments.

    Raises:
        OSError: if no janitor can be started.
    """
    if paths:
        Janitor(holding).remove(paths, patience=patience, heartbeat=heartbeat)


def _read(output: IO[bytes], deadline: float, heartbeat: Callable[[], None]) -> str | None:
    """What the janitor prints until its end; None if it has not ended by the deadline."""
    message = b""
    poll = select.poll()  # not `select`, which fails if this process has over a thousand files open
    poll.register(output, select.POLLIN)
    while (left := deadline - time.monotonic()) > 0:
        if poll.poll(1000 * min(left, _TICK)):
            piece = output.read(1 << 10)
            if not piece:
                return message.decode("utf-8", "replace").strip()
            message += piece
        else:
            heartbeat()
    return None
