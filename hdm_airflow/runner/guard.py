"""The guard: a small process that leads a pack's process group and outlives nobody.

A process of its own, with nothing but the standard library (see COMMAND), and with its orders as JSON on standard input
(see `Orders`). It starts a command and ends with its exit code. When its control socket says so, or closes because the
task process died, it ends every process that the pack has started, and in the second case removes the folders too,
since nobody else will. When the processes together use more than they may, it ends them, and says on the socket why.
On Linux it is the subreaper of its descendants: a pack's daemon becomes its child instead of escaping.

It starts before each pack, so it imports little: not `typing`, which takes longer than all the rest.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import stat
import sys
import time

from hdm_airflow.runner import confine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypedDict

    class Orders(TypedDict):
        """What the guard is told."""

        command: list[str]
        rules: confine.Rules  # what the command is kept from
        control: int  # descriptor of a socket to the task process
        grace: float  # seconds between SIGTERM and SIGKILL
        folders: list[str]  # removed if the task process dies; the first is the run's own
        limits: dict[str, float]  # memory, cpu, disk, processes: what all processes together may use


PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
#: What a run's folder holds of passwords: gone as soon as the pack is over, whatever becomes of the task.
SECRETS = ("context.json", "pgpass")
#: Seconds after the first SIGKILL until the guard gives up on a process that does not go (stuck in the kernel).
GIVE_UP = 10.0
#: Seconds that processes get which the pack left behind when it ended by itself.
LEFTOVER_GRACE = 0.5
_BREATH = 0.01  # seconds between two looks at what is left
_NEAR = 4  # numbers after that of a dead process, one of which its child has
_NOTE = "hdm: {} the pack left behind were ended\n"
_INTERVAL = 0.25  # seconds between two looks at what is used
_SHARE = 30  # a look is followed by at least so many times its own length of rest
_DISK_SHARE = 100  # the same for the walk through the folder
_MUCH_SHARED = 1 << 24  # bytes: from here on it is worth asking whether it is files or memory, which takes longer
_PAGE = resource.getpagesize()
_TICKS = os.sysconf("SC_CLK_TCK")


#: Starts it. The folder of this package comes last on its path: what else lies there must not hide a module of Python.
COMMAND = (
    sys.executable, "-I", "-S", "-c",
    "import sys; sys.path.append(sys.argv[1]); from hdm_airflow.runner.guard import main; sys.exit(main())",
    os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
)  # fmt: skip


def main() -> int:
    """Start the command, wait for it or for a reason to end it, and leave nothing behind."""
    orders: Orders = json.load(sys.stdin)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # the pack's standard input
    control, folders = orders["control"], orders["folders"]
    os.set_inheritable(control, False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    alarm = wake_on_death()
    pack = start(orders["command"], orders["rules"])
    status, word, excess = wait(pack, control, alarm, Watch(orders["limits"], folders[0] if folders else ""))
    grace = orders["grace"] if word is not None else 0.0 if excess else LEFTOVER_GRACE
    status, ended = end_all(pack, status, grace)
    if excess:
        with contextlib.suppress(OSError):  # the task process may have died meanwhile
            os.write(control, excess.encode())
    elif ended and word is None:
        with contextlib.suppress(OSError):  # the pack may have closed the stream that we share with it
            os.write(2, _NOTE.format(f"{ended} process(es)").encode())
    clean(folders, everything=word == b"" or closed(control))
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def wake_on_death() -> int:
    """A descriptor that becomes readable when a child has died."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return wake_read


def wait(pack: int, control: int, alarm: int, watch: Watch) -> tuple[int | None, bytes | None, str]:
    """Until the pack has ended, or there is a reason to end it.

    Returns:
        Its wait status or None; what the task process said (b"" where it died), or None; of what it used too much.
    """
    while True:
        ready, _, _ = select.select([control, alarm], [], [], watch.pause)
        if alarm in ready:
            os.read(alarm, 1 << 16)
        status = reap(pack)
        if control in ready:
            return status, os.read(control, 1), ""
        excess = "" if status is not None else watch.look()
        if status is not None or excess:
            return status, None, excess


def clean(folders: list[str], *, everything: bool) -> None:
    """Remove the files with passwords, or all of the folders."""
    if everything:
        import shutil
    for folder in folders:
        for name in SECRETS:
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(folder, name))
        if everything:
            with contextlib.suppress(RecursionError):  # the next run's sweep takes what lies deeper
                shutil.rmtree(folder, ignore_errors=True)


def closed(control: int) -> bool:
    """Whether the task process has let go of the control socket, by intent or by dying."""
    ready, _, _ = select.select([control], [], [], 0)
    if not ready:
        return False
    try:
        return not os.read(control, 64)
    except OSError:
        return True


def start(command: list[str], rules: confine.Rules) -> int:
    """Fork and run the command; it dies if the guard is killed."""
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
    """Linux's prctl; elsewhere nothing, and the guard ends the process group alone."""
    if sys.platform == "linux":
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


class Watch:
    """Looks now and then at what all processes of the pack use together."""

    def __init__(self, limits: dict[str, float], folder: str) -> None:
        self.limits, self.folder = limits, folder
        self.pause = _INTERVAL if limits else 60.0  # seconds until the next look
        self.next_walk = 0.0

    def look(self) -> str:
        """`limit used`, for example `memory 2147483648`, where something is used up; '' where nothing is."""
        if not self.limits:
            return ""
        began = time.monotonic()
        used = self.used()
        self.pause = max(_INTERVAL, _SHARE * (time.monotonic() - began))
        used.update(self.on_disk())  # after a rest of its own: a slow walk must not put the other looks off
        over = [f"{name} {value:.0f}" for name, value in used.items() if value > self.limits.get(name, value)]
        return over[0] if over else ""

    def used(self) -> dict[str, float]:
        """What is used of each thing that has a limit and can be told quickly."""
        processes = descendants()
        found: dict[str, float] = {"processes": len(processes)}
        if "memory" in self.limits:
            found["memory"] = sum(map(own_memory, processes))
        if "cpu" in self.limits:
            gone = resource.getrusage(resource.RUSAGE_CHILDREN)
            ticks = sum(sum(map(int, fields[11:15])) for fields in processes.values())
            found["cpu"] = gone.ru_utime + gone.ru_stime + ticks / _TICKS
        return found

    def on_disk(self) -> dict[str, float]:
        """What is used of the disk, where that has a limit and it is time for a walk."""
        began = time.monotonic()
        if "disk" not in self.limits or began < self.next_walk:
            return {}
        found = {"disk": float(disk_usage(self.folder) + removed_usage(descendants(), self.folder))}
        self.next_walk = time.monotonic() + _DISK_SHARE * (time.monotonic() - began)
        return found


def own_memory(pid: int) -> int:
    """Bytes of memory that a process shares with no file; of what it shares with other processes, its part."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            _, resident, shared = map(int, file.read().split()[:3])
    except (OSError, ValueError):
        return 0  # it has just ended
    parts = []
    if shared * _PAGE > _MUCH_SHARED:
        with contextlib.suppress(OSError, ValueError), open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            parts = [int(line.split()[1]) for line in file if line.startswith((b"Pss_Anon:", b"Pss_Shmem:"))]
    return sum(parts) * 1024 if parts else (resident - shared) * _PAGE


def disk_usage(folder: str) -> int:
    """Bytes that a folder takes on disk."""
    total, folders = 0, [folder]  # os.walk calls itself, up to Python 3.11: a pack may make folders deeper than that
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:  # removed meanwhile
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    with contextlib.suppress(OSError):
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
    return total


def removed_usage(pids: Iterable[int], folder: str) -> int:
    """Bytes of files on the folder's disk that are removed already, and that some process still has open."""
    try:
        device = os.stat(folder).st_dev
    except OSError:
        return 0
    sizes: dict[int, int] = {}
    for pid in pids:
        with contextlib.suppress(OSError):  # it has just ended
            for name in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    found = os.stat(f"/proc/{pid}/fd/{name}")
                    if not found.st_nlink and found.st_dev == device and stat.S_ISREG(found.st_mode):
                        sizes[found.st_ino] = found.st_blocks * 512
    return sum(sizes.values())


def end_all(pack: int, status: int | None, grace: float) -> tuple[int, int]:
    """End every descendant: SIGTERM, then after `grace` seconds SIGKILL, again until none is left."""
    first = list(descendants())
    signal_all(first, signal.SIGTERM if grace else signal.SIGSTOP)  # stopped, none forks while others are killed
    if sys.platform != "linux":
        os.killpg(0, signal.SIGTERM)  # the guard itself ignores it
    ended, deadline = len(first), time.monotonic() + grace
    while True:
        late = reap(pack)
        status = late if status is None else status
        if childless() if sys.platform == "linux" else status is not None:
            return (status if status is not None else 0), ended
        left = list(descendants())
        if time.monotonic() >= deadline + GIVE_UP:
            with contextlib.suppress(OSError):
                os.write(2, f"hdm: these processes could not be ended: {left}\n".encode())
            return (status if status is not None else signal.SIGKILL), ended
        if time.monotonic() >= deadline:
            signal_all(left, signal.SIGKILL)
            if sys.platform == "linux":
                late, caught = chase(pack)
                status, ended = late if status is None else status, ended or len(left) or int(caught)
                continue
            os.killpg(0, signal.SIGKILL)
        time.sleep(_BREATH)


def childless() -> bool:
    """Whether no process is left, for sure: what forks while /proc is read may be in no reading of it."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:  # whatever the pack has started is the child of a child, and at its parent's end ours
        return True
    return False


def chase(pack: int) -> tuple[int | None, bool]:
    """For a moment, kill the next process as soon as one has died: one that forks and ends at once is never met else.

    Returns:
        The pack's wait status if it has died meanwhile, and whether any process was killed.
    """
    found, caught, end = None, False, time.monotonic() + _BREATH
    while time.monotonic() < end and not childless():
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == pack:
            found = status
        for near in range(pid + 1, pid + 1 + _NEAR) if pid else ():
            if parent(near) == os.getpid():
                signal_all([near], signal.SIGKILL)
                caught = True
    return found, caught


def parent(pid: int) -> int:
    """The parent of a process; 0 where there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rsplit(b")", 1)[1].split()[1])
    except (OSError, IndexError):
        return 0


def signal_all(pids: list[int], number: int) -> None:
    """Send a signal to each process that is still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def descendants() -> dict[int, list[bytes]]:
    """Every living process below the guard, with the fields of /proc/PID/stat from its state on.

    Outside Linux none: there, the group is signalled as a whole, and nothing is watched.
    """
    children: dict[int, list[int]] = {}
    every: dict[int, list[bytes]] = {}
    try:
        names = os.listdir("/proc")
    except OSError:
        return {}
    for name in names:
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rsplit(b")", 1)[1].split()
            except (OSError, IndexError):
                continue  # it has just ended
            if fields[0] != b"Z":
                every[int(name)] = fields
                children.setdefault(int(fields[1]), []).append(int(name))
    found: dict[int, list[bytes]] = {}
    queue = [os.getpid()]
    while queue:
        below = children.get(queue.pop(), [])
        found.update((pid, every[pid]) for pid in below)
        queue += below
    return found
