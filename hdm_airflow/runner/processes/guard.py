"""Guard: a small process that leads a pack's process group and ends only when all of it has ended.

It runs on the standard library alone (see COMMAND) and reads its orders as JSON from standard input (see `Orders`). It
starts a command and exits with the command's exit code. When it gets a message on its control socket, or the socket
closes because the task process died, it ends every process that the pack has started. When the processes exceed a limit
together, it ends them and reports the limit on the socket. On Linux it is the subreaper of its descendants: a pack's
daemon becomes its child instead of escaping. It removes the files with passwords; the rest of the run's folder is
removed by the janitor once the guard has ended too (see janitor.py).

It starts before each pack, so it imports little: not `typing`, which takes longer than all the rest.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import sys

from hdm_airflow.runner.processes import confine
from hdm_airflow.runner.processes.process_tree import end_all, reap
from hdm_airflow.runner.processes.usage import Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict

    class Orders(TypedDict):
        """What the guard has to do."""

        command: list[str]
        rules: confine.Rules  # what the command gives up
        control: int  # descriptor of a socket to the task process
        grace: float  # seconds between SIGTERM and SIGKILL
        folder: str  # the run's own; '' for none
        holding: list[int]  # descriptors that stay open as long as the guard lives: it uses the folder
        limits: dict[str, float]  # memory, cpu, disk, processes: for all processes together


PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
#: The files with passwords in a run's folder: removed as soon as the pack has ended, whatever happens to the task.
SECRETS = ("context.json", "pgpass")
#: Seconds between SIGTERM and SIGKILL for processes that the pack left running when it ended by itself.
LEFTOVER_GRACE = 0.5
_NOTE = "hdm: ended {} process(es) that the pack left running\n"


#: Starts the guard. The folder of this package comes last on its path, so that nothing there hides a module of Python.
COMMAND = (
    sys.executable, "-I", "-S", "-c",
    "import sys; sys.path.append(sys.argv[1]); from hdm_airflow.runner.processes.guard import main; sys.exit(main())",
    os.path.abspath(os.path.join(os.path.dirname(__file__), *([os.pardir] * 3))),
)  # fmt: skip


def main() -> int:
    """Start the command, wait for its end or for a reason to end it, and leave no process behind."""
    orders: Orders = json.load(sys.stdin)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # the pack's standard input
    control, folder = orders["control"], orders["folder"]
    for descriptor in (control, *orders["holding"]):
        os.set_inheritable(descriptor, False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    alarm = wake_on_death()
    pack = start(orders["command"], orders["rules"])
    status, message, exceeded = wait(pack, control, alarm, Watch(orders["limits"], folder))
    grace = orders["grace"] if message is not None else 0.0 if exceeded else LEFTOVER_GRACE
    status, ended = end_all(pack, status, grace)
    if exceeded:
        with contextlib.suppress(OSError):  # the task process may have died in the meantime
            os.write(control, exceeded.encode())
    elif ended and message is None:
        with contextlib.suppress(OSError):  # the pack may have closed the stream that we share with it
            os.write(2, _NOTE.format(ended).encode())
    remove_secrets(folder)
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def wake_on_death() -> int:
    """A descriptor that becomes readable when a child has died."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return wake_read


def wait(pack: int, control: int, alarm: int, watch: Watch) -> tuple[int | None, bytes | None, str]:
    """Wait until the pack has ended, or there is a reason to end it.

    Returns:
        Its wait status or None; the task process's message (b"" if that died) or None; the limit exceeded or ''.
    """
    while True:
        ready, _, _ = select.select([control, alarm], [], [], watch.pause)
        if alarm in ready:
            os.read(alarm, 1 << 16)
        status = reap(pack)
        if control in ready:
            return status, os.read(control, 1), ""
        exceeded = "" if status is not None else watch.look()
        if status is not None or exceeded:
            return status, None, exceeded


def remove_secrets(folder: str) -> None:
    """Remove the files with passwords from the run's folder; the folder itself is removed by the janitor."""
    if folder:
        with contextlib.suppress(OSError):
            os.chmod(folder, 0o700)  # the pack may have closed it
    for name in SECRETS if folder else ():
        with contextlib.suppress(OSError):  # there is none yet, or the pack has put something else there
            os.unlink(os.path.join(folder, name))


def start(command: list[str], rules: confine.Rules) -> int:
    """Fork and run the command, which dies if the guard is killed; return its process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.set_wakeup_fd(-1)
        confine.become(command, rules)
    except OSError as error:
        os.write(2, f"hdm: {command[0]} cannot be started: {error.strerror} {error.filename or ''}\n".encode())
    os._exit(127)


def prctl(option: int, value: int) -> None:
    """Call Linux's prctl; on other systems, do nothing: there the guard ends only its process group."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
