"""Guard: a small process that leads a pack's process group and ends only when all of it has ended.

It runs on the standard library alone (see COMMAND) and reads its orders as JSON from standard input (see `Orders`). It
starts a command and exits with the command's exit code. When it gets a message on its control socket, or the socket
closes because the task process died, it ends every process that the pack has started. When the processes exceed a limit
together, it ends them and reports the limit on the socket. On Linux it is the subreaper of its descendants: a pack's
daemon becomes its child instead of escaping. The pack runs in a control group if the task process could make one, and
at a lower priority than the guard. The guard removes the files with passwords; the rest of the run's folder is removed
by the janitor once the guard has ended too (see janitor.py).

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
import time

from hdm_airflow.runner.processes import confine
from hdm_airflow.runner.processes.cgroup import Cgroup
from hdm_airflow.runner.processes.process_tree import GIVE_UP, Ended, end_all, reap, update, wait_for_death
from hdm_airflow.runner.processes.segments import Segments, enter_namespace
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
        cgroup: list[str]  # the folders of its control group; none if this machine permits none


PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
#: The files with passwords in a run's folder: removed as soon as the pack has ended, whatever happens to the task.
SECRETS = ("context.json", "pgpass")
#: How much lower the pack's priority is than the guard's, if the guard itself may not have a higher one.
NICER = 5
#: Seconds between SIGTERM and SIGKILL for processes that the pack left running when it ended by itself.
LEFTOVER_GRACE = 0.5
#: Lines that the guard writes to its control socket: a limit exceeded, with the usage; and that all processes were
#: watched and have ended. Without the second, they may still run. HELP asks the task process to kill them.
LIMIT, ENDED, HELP = "limit ", "ended", "help"

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
    folder, limits = orders["folder"], orders["limits"]
    control = os.dup(orders["control"])  # `select` takes no number above a thousand, as the task process may have had
    os.close(orders["control"])
    for descriptor in orders["holding"]:
        os.set_inheritable(descriptor, False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    alarm = wake_on_death()
    group = Cgroup(orders["cgroup"], limits) if orders["cgroup"] else None
    segments = Segments(private=enter_namespace())
    watch = Watch(limits, folder, group, segments)
    precedence = Precedence()
    try:
        pack = start(orders["command"], orders["rules"], group, precedence)
    except OSError as error:  # no process can be started on this machine
        complain(orders["command"], error)
        os.write(control, ENDED.encode())
        return 127
    blind = ""
    try:
        status, message, exceeded = wait(pack, control, alarm, watch)
    except Exception as error:  # noqa: BLE001  # whatever it is: nobody watches the limits any more
        status, message, exceeded, blind = None, None, "", str(error) or type(error).__name__
    grace = orders["grace"] if message is not None else 0.0 if exceeded or blind else LEFTOVER_GRACE
    ended = end_all(pack, status, grace, group, alarm)
    precedence.give_up()
    if ended.helpless:
        call_for_help(control, pack, ended, alarm)
    segments.remove()
    exceeded = exceeded or watch.last_look()
    trusted = log_faults(ended, blind or ended.blind, quiet=bool(exceeded) or message is not None)
    if group:
        group.remove()
    remove_secrets(folder)
    with contextlib.suppress(OSError):  # the task process may have died in the meantime
        os.write(control, "\n".join([LIMIT + exceeded] * bool(exceeded) + [ENDED] * trusted).encode() or b"-")
    last = signal.SIGKILL if ended.status is None else ended.status
    return 128 + os.WTERMSIG(last) if os.WIFSIGNALED(last) else os.WEXITSTATUS(last)


def call_for_help(control: int, pack: int, ended: Ended, alarm: int) -> None:
    """Let the task process kill the guard's descendants, which the guard itself cannot see."""
    with contextlib.suppress(OSError):  # it may have died
        os.write(control, f"{HELP}\n".encode())
    deadline = time.monotonic() + GIVE_UP
    while not update(pack, ended) and time.monotonic() < deadline:
        wait_for_death(alarm, 0.1)


def log_faults(ended: Ended, blind: str, *, quiet: bool) -> bool:
    """Write to the log what went wrong; return whether all processes were watched and have ended.

    Args:
        ended: how the processes ended.
        blind: why they could not be watched; '' if they were.
        quiet: do not mention processes that had to be ended.
    """
    lines = []
    if blind:
        lines.append(f"hdm: the guard could not watch the pack: {blind}\n")
    if not ended.is_over:
        lines.append(f"hdm: these processes could not be killed: {ended.left or 'unknown'}\n")
    if ended.count and not quiet and not lines:
        lines.append(f"hdm: ended {ended.count} process(es) that the pack left running\n")
    with contextlib.suppress(OSError):  # the task process may have died in the meantime
        os.write(2, "".join(lines).encode())
    return not blind and ended.is_over


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
            wait_for_death(alarm, 0)
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


def start(command: list[str], rules: confine.Rules, group: Cgroup | None, precedence: Precedence) -> int:
    """Fork and run the command, which dies if the guard is killed; return its process id.

    It leads a process group of its own, so that the group can be killed without the guard.
    """
    pid = group.fork() if group else os.fork()
    if pid:
        return pid
    try:
        if group:
            group.enter()
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.setpgid(0, 0)
        precedence.give_up(NICER)
        signal.set_wakeup_fd(-1)
        confine.become(command, rules)
    except OSError as error:
        complain(command, error)
    os._exit(127)


def complain(command: list[str], error: OSError) -> None:
    """Write to the log why the command does not run."""
    os.write(2, f"hdm: {command[0]} cannot be started: {error.strerror} {error.filename or ''}\n".encode())


class Precedence:
    """The guard's priority above the pack's: without it, a guard among thousands of processes never gets to count them.

    As root, the guard is scheduled before all ordinary processes; this is not inherited. Otherwise the pack's priority
    becomes lower.
    """

    def __init__(self) -> None:
        self._nice = os.getpriority(os.PRIO_PROCESS, 0)
        self._before: tuple[int, os.sched_param] | None = None
        if sys.platform == "linux":
            before = os.sched_getscheduler(0), os.sched_getparam(0)
            with contextlib.suppress(OSError):  # not root, or a container
                os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
                self._before = before

    def give_up(self, nicer: int = 0) -> None:
        """Return this process to the priority before, or below it if that was not raised."""
        if self._before:
            os.sched_setscheduler(0, *self._before)
            os.setpriority(os.PRIO_PROCESS, 0, self._nice)
        elif nicer:
            os.setpriority(os.PRIO_PROCESS, 0, self._nice + nicer)


def prctl(option: int, value: int) -> None:
    """Call Linux's prctl; on other systems, do nothing: there the guard ends only its process group."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
