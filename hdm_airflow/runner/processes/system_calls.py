"""System calls: those that reach beyond a run and that Landlock ignores, refused by a filter in the kernel.

Standard library only, and quick to import: confine.py installs the filter in the guard's child.

The filter is a program in classic BPF, about 300 instructions
(https://docs.kernel.org/userspace-api/seccomp_filter.html). It sees the number and the arguments of a call, not the
memory that pointers refer to. A refused call returns an error, usually that of a kernel or file system without it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

#: AUDIT_ARCH_... of x86_64, aarch64 and i386, in the order of the numbers below; calls of any other one do not exist.
_ARCHITECTURES = (0xC000003E, 0xC00000B7, 0x40000003)
#: `uname -m` where programs use one of these architectures; `setarch` can change the answer.
_MACHINES = ("x86_64", "aarch64", "armv8l", "i386", "i486", "i586", "i686")
#: The newest system call that we have judged (Linux 6.18). Newer ones do not exist, nor do those of x32.
_NEWEST = 469
#: One 32-bit half of an argument, and its value: ((1, 0), 7) means that the low half of the second argument is 7.
_SELF = (((0, 0), 0),)  # process id 0: the caller
#: Numbers; error; alternatives, each of several conditions: the call is allowed if all conditions of one hold.
_RULES = (
    # Limits of other processes. Reading them is allowed: then the pointer to the new limits is NULL.
    ((302, 261, 340), errno.EPERM, (_SELF, (((2, 0), 0), ((2, 1), 0)))),  # prlimit64
    # Processors and priorities of other processes, such as the guard: it would be too late to end the run.
    ((142, 118, 154), errno.EPERM, (_SELF,)),  # sched_setparam
    ((144, 119, 156), errno.EPERM, (_SELF,)),  # sched_setscheduler
    ((203, 122, 241), errno.EPERM, (_SELF,)),  # sched_setaffinity
    ((314, 274, 351), errno.EPERM, (_SELF,)),  # sched_setattr
    ((141, 140, 97), errno.EPERM, ((((0, 0), 0), ((1, 0), 0)),)),  # setpriority: PRIO_PROCESS 0
    ((251, 30, 289), errno.EPERM, ((((0, 0), 1), ((1, 0), 0)),)),  # ioprio_set: IOPRIO_WHO_PROCESS 0
    # Keyrings, which all processes of a user share, with Kerberos tickets for example.
    ((248, 217, 286), errno.ENOSYS, ()),  # add_key
    ((249, 218, 287), errno.ENOSYS, ()),  # request_key
    ((250, 219, 288), errno.ENOSYS, ()),  # keyctl
    # Names of files that appear in hidden folders. On this error, programs such as `tail -f` poll instead.
    ((254, 27, 292), errno.ENOSPC, ()),  # inotify_add_watch
    ((301, 263, 339), errno.ENOSPC, ()),  # fanotify_mark
    # Performs operations that this filter does not see, such as setxattr.
    ((425, 425, 425), errno.ENOSYS, ()),  # io_uring_setup
    # Can start a process in another cgroup, outside the run's limits; its arguments are in memory. libc has `clone`.
    ((435, 435, 435), errno.ENOSYS, ()),  # clone3
    # Flags of files, by path.
    ((469, 469, 469), errno.EOPNOTSUPP, ()),  # file_setattr
)
#: Extended attributes of files, by path: first and last number; setxattr to fremovexattr, setxattrat to removexattrat.
_ATTRIBUTES = (((188, 199), (5, 16), (226, 237)), ((463, 466), (463, 466), (463, 466)))
#: `ioctl` of file systems: a descriptor for reading is enough to change a file's flags or to make a snapshot (Btrfs).
#: The second byte of a request names who defines it.
_IOCTL = (16, 29, 54)
_FILE_SYSTEMS = (ord("f"), ord("v"), ord("X"), 0x94, 0xF5)  # ext4 and most others, versions, XFS, Btrfs, F2FS
#: FS_IOC_GETFLAGS (64 and 32 bits), FS_IOC_FSGETXATTR, FS_IOC_FIEMAP, FICLONE, FICLONERANGE.
_HARMLESS = (0x80086601, 0x80046601, 0x801C581F, 0xC020660B, 0x40049409, 0x4020940D)
#: `clone` and `unshare`. In a user namespace, a process may make namespaces of other kinds: the guard does not see the
#: memory that it leaves in an IPC namespace of its own.
_NAMESPACES = ((56, 220, 120), (272, 97, 310))
_NEW_USER = 0x10000000  # among the flags, the first argument

_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_LOAD, _AND, _JUMP, _EQUAL, _GREATER, _AT_LEAST, _RETURN = 0x20, 0x54, 0x05, 0x15, 0x25, 0x35, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in `struct seccomp_data`


def unsupported() -> int:
    """The reason why this process could not install the filter, as an errno; 0 if it could."""
    if os.uname().machine not in _MACHINES:
        return errno.ENOTSUP
    ctypes.set_errno(0)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_SECCOMP, _MODE_FILTER, None, 0, 0)  # without a program, it fails
    found = ctypes.get_errno()
    return 0 if found == errno.EFAULT else found


def install() -> None:
    """Refuse these calls to this process and everything it starts; `no_new_privs` must be set.

    Raises:
        OSError: if the kernel refuses.
    """
    code = program()
    buffer = ctypes.create_string_buffer(code, len(code))
    filter_ = struct.pack("HP", len(code) // 8, ctypes.addressof(buffer))  # struct sock_fprog
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_SECCOMP, _MODE_FILTER, filter_, 0, 0):
        raise OSError(ctypes.get_errno(), f"seccomp: {os.strerror(ctypes.get_errno())}")


def program() -> bytes:
    """The filter for all architectures; which one a call has is part of the call."""
    code = _step(_LOAD, _ARCHITECTURE)
    for index, architecture in enumerate(_ARCHITECTURES):
        rules = _rules(index)
        code += _step(_EQUAL, architecture, 1, 0) + _step(_JUMP, len(rules) // 8) + rules
    return code + _refuse(errno.ENOSYS)


def _rules(index: int) -> bytes:
    """The filter for one architecture; every path through it ends with a decision."""
    code = _step(_LOAD, _NUMBER) + _step(_GREATER, _NEWEST, 0, 1) + _refuse(errno.ENOSYS)
    for ranges in _ATTRIBUTES:
        first, last = ranges[index]
        code += _step(_AT_LEAST, first, 0, 2) + _step(_GREATER, last, 1, 0) + _refuse(errno.EOPNOTSUPP)
    for numbers, error, alternatives in _RULES:
        rule = b"".join(map(_allow_if, alternatives)) + _refuse(error)
        code += _step(_EQUAL, numbers[index], 0, len(rule) // 8) + rule
    for numbers in _NAMESPACES:
        rule = _step(_LOAD, _ARGUMENTS) + _step(_AND, _NEW_USER) + _step(_EQUAL, 0, 0, 1) + _step(_RETURN, _ALLOW)
        rule += _refuse(errno.EPERM)
        code += _step(_EQUAL, numbers[index], 0, len(rule) // 8) + rule
    ioctl = _ioctl()
    return code + _step(_EQUAL, _IOCTL[index], 0, len(ioctl) // 8) + ioctl + _step(_RETURN, _ALLOW)


def _allow_if(conditions: tuple[tuple[tuple[int, int], int], ...]) -> bytes:
    """Allow the call if all conditions hold; continue otherwise."""
    code = _step(_RETURN, _ALLOW)
    for (argument, half), value in reversed(conditions):
        code = _step(_LOAD, _ARGUMENTS + 8 * argument + 4 * half) + _step(_EQUAL, value, 0, len(code) // 8) + code
    return code


def _ioctl() -> bytes:
    """Allow harmless requests, and all that file systems do not define."""
    code = _step(_LOAD, _ARGUMENTS + 8)  # the kernel ignores the high half
    for request in _HARMLESS:
        code += _step(_EQUAL, request, 0, 1) + _step(_RETURN, _ALLOW)
    code += _step(_AND, 0xFF00)
    for letter in _FILE_SYSTEMS:
        code += _step(_EQUAL, letter << 8, 0, 1) + _refuse(errno.ENOTTY)
    return code + _step(_RETURN, _ALLOW)


def _refuse(error: int) -> bytes:
    return _step(_RETURN, _ERROR | error)


def _step(operation: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    """One instruction; `then` and `otherwise` are the numbers of instructions that a comparison skips."""
    return struct.pack("=HBBI", operation, then, otherwise, value)
