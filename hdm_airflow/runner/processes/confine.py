"""Confine: gives up rights and resources for good, before a process becomes the pack.

Standard library only, and quick to import: it runs in the guard's child (see guard.py).

Landlock (https://docs.kernel.org/userspace-api/landlock.html) is what Linux has for a process without privileges to
shut itself in: it sees the granted files alone, may signal no process outside, and may not look into one (`ptrace`,
`/proc/PID/environ`, `/proc/PID/mem`).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import signal
import stat
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict

    class Rules(TypedDict):
        """What a process gives up."""

        limits: dict[str, int]  # of memory, cpu, disk, files, processes: what is left
        grants: dict[str, list[str]] | None  # `read` and `write`: the only files it sees; None: it sees all


#: Without ABI 2 (Linux 5.19) no file could be renamed from one folder to another: pip, git and others do that.
LEAST_ABI = 2
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # syscalls, the same on every architecture
_RULE_PATH_BENEATH = 1
_VERSION = 1  # flag of _CREATE_RULESET: tell the ABI
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REFER, _TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 13, 1 << 14
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_WRITE = (1 << 13) - 1  # reading, writing, making and removing, all that ABI 1 knows
_OF_FILES = _EXECUTE | _READ_FILE | _WRITE_FILE | _TRUNCATE  # what a rule on a file, not a folder, may grant
_SCOPED = 1 << 0 | 1 << 1  # no abstract socket and no signal to the outside, from ABI 6 on
_SCOPED_ABI = 6
_TRUNCATE_ABI = 3
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION = 0x20080522
#: When memory runs out, the kernel ends the pack before Airflow's worker (0 to 1,000).
_OOM_SCORE = b"500"
#: Signals that the guard, or Python by itself, ignores, and that would stay ignored in the command.
_IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE, signal.SIGXFSZ)
_RESOURCES = {
    "memory": resource.RLIMIT_DATA,  # not the address space: Java and Node reserve far more than they use
    "cpu": resource.RLIMIT_CPU,
    "disk": resource.RLIMIT_FSIZE,
    "files": resource.RLIMIT_NOFILE,
    "processes": getattr(resource, "RLIMIT_NPROC", None),
}


def become(command: list[str], rules: Rules) -> None:
    """Give up what the rules say, in this process, and run the command in its place.

    Raises:
        OSError: the kernel refuses, or the command cannot be started; this process is fit for nothing then.
    """
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "wb") as file:  # not on Linux, or forbidden
        file.write(_OOM_SCORE)
    program = find(command[0])
    limit(rules["limits"])
    if sys.platform == "linux":  # a process that sudo made root could not be ended
        _libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if rules["grants"] is not None:
        restrict(rules["grants"]["read"], rules["grants"]["write"])
        drop_capabilities()
    for number in _IGNORED:
        signal.signal(number, signal.SIG_DFL)
    os.execv(program, command)


def find(program: str) -> str:
    """Where a program lies: looked up while Python can still import what it needs for that.

    Raises:
        FileNotFoundError: nowhere on the PATH.
    """
    for folder in os.get_exec_path() if "/" not in program else [""]:
        path = os.path.join(folder, program)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), program)


def limit(limits: dict[str, int]) -> None:
    """Lower this process's resource limits; no core file is ever written, since it would hold data and passwords."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name, value in limits.items():
        number = _RESOURCES[name]
        if number is None:  # a system that does not know it
            continue
        _, hard = resource.getrlimit(number)
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (most, most))


def landlock_abi() -> int:
    """The version of Landlock that this kernel has; 0 where there is none, or it is switched off."""
    return max(0, _syscall(_CREATE_RULESET, None, 0, _VERSION)) if sys.platform == "linux" else 0


def restrict(read: list[str], write: list[str]) -> None:
    """Shut this process in: files below `read` are readable, those below `write` may be changed, nothing else is seen.

    A path that is not there grants nothing.

    Raises:
        OSError: the kernel refuses.
    """
    abi = landlock_abi()
    handled = _WRITE | _REFER | (_TRUNCATE if abi >= _TRUNCATE_ABI else 0)
    # The newer fields are there only where the kernel knows them: net (unused, 0) and scoped.
    attributes = struct.pack("=QQQ", handled, 0, _SCOPED) if abi >= _SCOPED_ABI else struct.pack("=Q", handled)
    ruleset = _checked(_syscall(_CREATE_RULESET, attributes, len(attributes), 0))
    for path in read:
        _grant(ruleset, path, _READ & handled)
    for path in write:
        _grant(ruleset, path, handled)
    _checked(_syscall(_RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)


def drop_capabilities() -> None:
    """Be a root like any other user, where Airflow runs as root: some of root's capabilities see past Landlock.

    Raises:
        OSError: the kernel refuses.
    """
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    nothing = struct.pack("=6I", *(0,) * 6)  # effective, permitted and inheritable, in two halves
    _checked(_libc().capset(header, nothing), "capset")


def _grant(ruleset: int, path: str, access: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            access &= _OF_FILES
        rule = struct.pack("=Qi", access, descriptor)
        _checked(_syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, 0))
    finally:
        os.close(descriptor)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _syscall(number: int, *arguments: int | bytes | None) -> int:
    library = _libc()
    library.syscall.restype = ctypes.c_long
    values = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return int(library.syscall(ctypes.c_long(number), *values))


def _checked(result: int, what: str = "Landlock") -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")
    return result
