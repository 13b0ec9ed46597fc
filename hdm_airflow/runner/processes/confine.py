"""Confine: gives up rights and resources irrevocably, before a process becomes the pack.

Standard library only, and quick to import: it runs in the guard's child (see guard.py).

With Landlock (https://docs.kernel.org/userspace-api/landlock.html), an unprivileged Linux process can restrict itself:
it then sees only the granted files, and can neither signal nor inspect a process outside (`ptrace`,
`/proc/PID/environ`, `/proc/PID/mem`). A filter (see system_calls.py) refuses what Landlock ignores.
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

from hdm_airflow.runner.processes import system_calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict

    class Rules(TypedDict):
        """What a process gives up."""

        limits: dict[str, int]  # memory, cpu, disk, files, processes -> the limit
        grants: dict[str, list[str]] | None  # `read` and `write`: the only files it sees; None for all
        filtered: bool  # whether it gives up the system calls that reach beyond its run


#: Before ABI 2 (Linux 5.19) files cannot be moved from one folder to another, as pip, git and others do.
LEAST_ABI = 2
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # syscalls, the same on every architecture
_RULE_PATH_BENEATH = 1
_VERSION = 1  # flag of _CREATE_RULESET: return the ABI
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REFER, _TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 13, 1 << 14
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_WRITE = (1 << 13) - 1  # reading, writing, creating and removing: all that ABI 1 knows
_OF_FILES = _EXECUTE | _READ_FILE | _WRITE_FILE | _TRUNCATE  # what a rule for a file, not a folder, may grant
_SCOPED = 1 << 0 | 1 << 1  # no abstract sockets and no signals to the outside, from ABI 6 on
_SCOPED_ABI = 6
_TRUNCATE_ABI = 3
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION = 0x20080522
#: When memory runs out, the kernel ends the pack before Airflow's worker (0 to 1,000).
_OOM_SCORE = b"500"
#: Signals that the guard or Python ignores; without a reset they would stay ignored in the command.
_IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE, signal.SIGXFSZ)
_RESOURCES = {
    "memory": resource.RLIMIT_DATA,  # not the address space: Java and Node reserve far more than they use
    "cpu": resource.RLIMIT_CPU,
    "disk": resource.RLIMIT_FSIZE,
    "files": resource.RLIMIT_NOFILE,
    "processes": getattr(resource, "RLIMIT_NPROC", None),
}


def become(command: list[str], rules: Rules) -> None:
    """Apply the rules to this process, and replace it with the command.

    Raises:
        OSError: if the kernel refuses, or the command cannot be started; this process must then exit.
    """
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "wb") as file:  # not on Linux, or forbidden
        file.write(_OOM_SCORE)
    program = find(command[0])
    limit(rules["limits"])
    if sys.platform == "linux":  # we could not end a process that sudo has made root
        _libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if rules["grants"] is not None:
        restrict(rules["grants"]["read"], rules["grants"]["write"])
        drop_capabilities()
    if rules["filtered"]:
        system_calls.install()
    for number in _IGNORED:
        signal.signal(number, signal.SIG_DFL)
    os.execv(program, command)


def find(program: str) -> str:
    """Return the path of a program; called before Landlock is on, while Python can still import what that needs.

    Raises:
        FileNotFoundError: if it is not on the PATH.
    """
    for folder in os.get_exec_path() if "/" not in program else [""]:
        path = os.path.join(folder, program)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), program)


def limit(limits: dict[str, int]) -> None:
    """Lower this process's resource limits; forbid core files, because they would contain data and passwords."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name, value in limits.items():
        number = _RESOURCES[name]
        if number is None:  # this system does not have it
            continue
        _, hard = resource.getrlimit(number)
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (most, most))


def landlock_abi() -> int:
    """The Landlock version that this process can use; if it can use none, the error as a negative errno."""
    if sys.platform != "linux":
        return -errno.ENOSYS
    abi = _syscall(_CREATE_RULESET, None, 0, _VERSION)
    return abi if abi > 0 else -ctypes.get_errno()


def restrict(read: list[str], write: list[str]) -> None:
    """Restrict this process: it can read files below `read`, read and change files below `write`, and sees no others.

    A path that does not exist grants nothing.

    Raises:
        OSError: if the kernel refuses.
    """
    abi = landlock_abi()
    handled = _WRITE | _REFER | (_TRUNCATE if abi >= _TRUNCATE_ABI else 0)
    # Only newer kernels accept the newer fields: net (unused, 0) and scoped.
    attributes = struct.pack("=QQQ", handled, 0, _SCOPED) if abi >= _SCOPED_ABI else struct.pack("=Q", handled)
    ruleset = _checked(_syscall(_CREATE_RULESET, attributes, len(attributes), 0))
    for path in read:
        _grant(ruleset, path, _READ & handled)
    for path in write:
        _grant(ruleset, path, handled)
    _checked(_syscall(_RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)


def drop_capabilities() -> None:
    """Drop root's capabilities, in case Airflow runs as root: some of them bypass Landlock.

    Raises:
        OSError: if the kernel refuses.
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
