"""The guard: a small process that leads a pack's process group and outlives nobody.

Run as a script, with nothing but the standard library:
`python -I -S guard.py CONTROL_FD GRACE N FOLDER... COMMAND...`, with N folders.
It starts COMMAND and ends with its exit code. When CONTROL_FD says so, or closes because the task process died, it
ends every process that the pack has started, and in the second case removes the folders too, since nobody else will.
On Linux it is the subreaper of its descendants: a pack's daemon becomes its child instead of escaping.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
#: What a run's folder holds of passwords: gone as soon as the pack is over, whatever becomes of the task.
SECRETS = ("context.json", "pgpass")
#: Seconds after the first SIGKILL until the guard gives up on a process that does not go (stuck in the kernel).
GIVE_UP = 10.0
#: Seconds that processes get which the pack left behind when it ended by itself.
LEFTOVER_GRACE = 0.5
_NOTE = "hdm: {} the pack left behind were ended\n"


def main(argv: list[str]) -> int:
    """Start the command, wait for it or for the word to end it, and leave nothing behind."""
    control, grace, count = int(argv[1]), float(argv[2]), int(argv[3])
    folders, command = argv[4 : 4 + count], argv[4 + count :]
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    pack = start(command, control)
    status, told, orphaned = None, False, False
    while status is None and not told:
        ready, _, _ = select.select([control, wake_read], [], [], 1.0)
        if control in ready:
            told = True
            orphaned = not os.read(control, 1)
        status = reap(pack)
    status, ended = end_all(pack, status, grace if told else LEFTOVER_GRACE)
    if ended and not told:
        with contextlib.suppress(OSError):  # the pack may have closed the stream that we share with it
            os.write(2, _NOTE.format(f"{ended} process(es)").encode())
    for folder in folders:
        for name in SECRETS:
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(folder, name))
    if orphaned or closed(control):
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def closed(control: int) -> bool:
    """Whether the task process has let go of the control pipe, by intent or by dying."""
    ready, _, _ = select.select([control], [], [], 0)
    return bool(ready) and not os.read(control, 64)


def start(command: list[str], control: int) -> int:
    """Fork and run the command with default signals; it dies if the guard is killed."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.close(control)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        prctl(PR_SET_NO_NEW_PRIVS, 1)  # a process that sudo made root could not be ended
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"hdm: {command[0]} cannot be started: {error.strerror}\n".encode())
    os._exit(127)


def prctl(option: int, value: int) -> None:
    """Linux's prctl; elsewhere nothing, and the guard ends the process group alone."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def reap(pack: int) -> int | None:
    """Collect every dead child; the pack's wait status if it is among them."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == pack:
            found = status


def end_all(pack: int, status: int | None, grace: float) -> tuple[int, int]:
    """End every descendant: SIGTERM, then after `grace` seconds SIGKILL, again until none is left."""
    first = descendants()
    signal_all(first, signal.SIGTERM)
    if sys.platform != "linux":
        os.killpg(0, signal.SIGTERM)  # the guard itself ignores it
    deadline = time.monotonic() + grace
    while True:
        late = reap(pack)
        status = late if status is None else status
        left = descendants()
        if not left and (status is not None or sys.platform == "linux"):
            return (status if status is not None else 0), len(first)
        if time.monotonic() >= deadline + GIVE_UP:
            with contextlib.suppress(OSError):
                os.write(2, f"hdm: these processes could not be ended: {left}\n".encode())
            return (status if status is not None else signal.SIGKILL), len(first)
        if time.monotonic() >= deadline:
            signal_all(left, signal.SIGKILL)
            if sys.platform != "linux":
                os.killpg(0, signal.SIGKILL)
        time.sleep(0.01)


def signal_all(pids: list[int], number: int) -> None:
    """Send a signal to each process that is still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def descendants() -> list[int]:
    """Every living process below the guard, from /proc; elsewhere none (the group is signalled as a whole)."""
    children: dict[int, list[int]] = {}
    try:
        names = os.listdir("/proc")
    except OSError:
        return []
    for name in names:
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rsplit(b")", 1)[1].split()
            except (OSError, IndexError):
                continue  # it has just ended
            if fields[0] != b"Z":
                children.setdefault(int(fields[1]), []).append(int(name))
    found: list[int] = []
    queue = [os.getpid()]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv))
