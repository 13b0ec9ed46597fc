"""Intruder: the program of a pack that tries to reach processes and files outside its sandbox.

Arguments: the id of a process, which leads a process group; a file that the pack may read; folders with a file `secret`
each, which it may not see. Each attempt prints one line: `refused NAME
ERROR`, or `done NAME` if the kernel did it. It runs under the pack's Python, so on the standard library alone; the
second time in a user namespace, where it has every capability.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import platform
import resource
import signal
import socket
import struct
import sys

VICTIM, VISIBLE, FOLDERS = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
X86 = platform.machine() == "x86_64"
NUMBERS = {  # on x86_64 and aarch64
    "setpriority": (141, 140), "sched_setparam": (142, 118), "sched_setscheduler": (144, 119),
    "sched_setaffinity": (203, 122), "sched_setattr": (314, 274), "ioprio_set": (251, 30), "add_key": (248, 217),
    "request_key": (249, 218), "keyctl": (250, 219), "migrate_pages": (256, 238), "move_pages": (279, 239),
    "kcmp": (312, 272), "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "get_robust_list": (274, 100), "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263), "perf_event_open": (298, 241), "setns": (308, 268), "pidfd_send_signal": (424, 424),
    "io_uring_setup": (425, 425), "open_tree": (428, 428), "pidfd_open": (434, 434), "clone3": (435, 435),
    "pidfd_getfd": (438, 438), "process_madvise": (440, 440), "setxattrat": (463, 463),
    "getxattrat": (464, 464), "removexattrat": (466, 466), "file_setattr": (469, 469), "unknown": (470, 470),
}  # fmt: skip
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
SPACE = ctypes.create_string_buffer(1 << 12)
HERE = ctypes.addressof(SPACE)
AT_FDCWD = -100


def checked(result: int) -> int:
    """A result, or the error of the call."""
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def call(name: str, *arguments: int | bytes) -> int:
    """Make a system call by its number."""
    values = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return checked(libc.syscall(ctypes.c_long(NUMBERS[name][not X86]), *values))


def attempt(name: str, function: object, *arguments: object) -> None:
    """Try one thing and print how it ended."""
    try:
        result = function(*arguments)  # type: ignore[operator]  # any function
    except OSError as error:
        print("refused", name, errno.errorcode.get(error.errno or 0, error.errno), flush=True)
    else:
        print("done", name, str(result)[:80], flush=True)


def write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def read(path: str) -> int:
    with open(path, "rb") as file:
        return len(file.read(10))


def pidfd() -> int:
    return call("pidfd_open", VICTIM, 0)


def i386(number: int, *arguments: int) -> int:
    """Make a system call of 32-bit programs, whose numbers and architecture differ."""
    ebx, ecx, edx, esi = (*arguments, *(0,) * 4)[:4]
    code = b"\x53" + b"".join(bytes([op]) + struct.pack("=I", value & 0xFFFFFFFF) for op, value in (
        (0xB8, number), (0xBB, ebx), (0xB9, ecx), (0xBA, edx), (0xBE, esi)
    )) + b"\xcd\x80\x5b\xc3"  # fmt: skip
    area = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    area.write(code)
    result = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(area)))()
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result


def low_memory() -> int:
    """An address that 32-bit programs can use."""
    libc.mmap.restype = ctypes.c_void_p
    found = libc.mmap(None, ctypes.c_size_t(4096), 3, 0x62, -1, ctypes.c_long(0))  # MAP_32BIT
    ctypes.memmove(found, struct.pack("=II", 1, 1), 8)
    return int(found)


def signal_by_input() -> None:
    """Ask the kernel to signal the victim when there is input: it does so later, without an error here."""
    for send in (signal.SIGIO, signal.SIGTERM):
        ours, theirs = socket.socketpair()
        fcntl.fcntl(ours, fcntl.F_SETOWN, VICTIM)
        fcntl.fcntl(ours, 10, int(send))  # F_SETSIG
        fcntl.fcntl(ours, fcntl.F_SETFL, os.O_NONBLOCK | os.O_ASYNC)
        theirs.send(b"x")
        theirs.send(b"x", socket.MSG_OOB)


def on_processes() -> None:
    """Limits, priorities, processors, memory, descriptors and signals of another process."""
    zero, one = struct.pack("=8I", *(0,) * 8), struct.pack("=8I", *(1,) * 8)
    attempt("prlimit", resource.prlimit, VICTIM, resource.RLIMIT_CPU, (1, 1))
    for which in (0, 1):  # not of the user: if that were possible, it would slow the machine down
        attempt(f"setpriority {which}", call, "setpriority", which, VICTIM, 19)
    for which in (1, 2):
        attempt(f"ioprio_set {which}", call, "ioprio_set", which, VICTIM, 3 << 13)
    attempt("sched_setaffinity", call, "sched_setaffinity", VICTIM, 8, struct.pack("=Q", 1))
    attempt("sched_setaffinity, high half", call, "sched_setaffinity", 1 << 32 | VICTIM, 8, struct.pack("=Q", 1))
    attempt("sched_setscheduler", call, "sched_setscheduler", VICTIM, 5, zero)
    attempt("sched_setparam", call, "sched_setparam", VICTIM, zero)
    attempt("sched_setattr", call, "sched_setattr", VICTIM, struct.pack("=IIQiIQQQ", 48, 5, 0, 0, 0, 0, 0, 0), 0)
    attempt("core scheduling", lambda: checked(libc.prctl(62, 1, VICTIM, 0, 0)))
    attempt("ptrace", lambda: checked(libc.ptrace(16, VICTIM, 0, 0)))
    attempt("ptrace seize", lambda: checked(libc.ptrace(0x4206, VICTIM, 0, 0)))
    local, remote = (struct.pack("@PN", HERE, 8) for _ in range(2))
    attempt("process_vm_readv", lambda: checked(libc.process_vm_readv(VICTIM, local, 1, remote, 1, 0)))
    attempt("process_vm_writev", lambda: checked(libc.process_vm_writev(VICTIM, local, 1, remote, 1, 0)))
    attempt("move_pages", call, "move_pages", VICTIM, 1, struct.pack("@P", HERE), 0, zero, 2)
    attempt("migrate_pages", call, "migrate_pages", VICTIM, 8, one, one)
    attempt("kcmp", call, "kcmp", VICTIM, os.getpid(), 1, 0, 0)
    attempt("get_robust_list", call, "get_robust_list", VICTIM, HERE, HERE + 8)
    attempt("perf_event_open", call, "perf_event_open", struct.pack("=II", 1, 64) + bytes(56), VICTIM, -1, -1, 0)
    attempt("pidfd_getfd", lambda: call("pidfd_getfd", pidfd(), 0, 0))
    attempt("process_madvise", lambda: call("process_madvise", pidfd(), remote, 1, 4, 0))
    attempt("setns", lambda: call("setns", pidfd(), 0x08000000))
    for name in ("environ", "mem", "maps", "auxv", "fd/0", "stack", "syscall"):
        attempt(f"/proc/PID/{name}", read, f"/proc/{VICTIM}/{name}")
    attempt("/proc/PID/root", os.listdir, f"/proc/{VICTIM}/root/")
    attempt("/proc/PID/fd", os.readlink, f"/proc/{VICTIM}/fd/0")
    for name, text in (
        ("oom_score_adj", "1000"),
        ("timerslack_ns", "1"),
        ("coredump_filter", "0"),
        ("clear_refs", "1"),
    ):
        attempt(f"write to /proc/PID/{name}", write, f"/proc/{VICTIM}/{name}", text)
    attempt("setpgid", os.setpgid, VICTIM, 0)
    attempt("io_uring", call, "io_uring_setup", 4, bytes(120))
    attempt("clone3", call, "clone3", struct.pack("=11Q", 0x200000000, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0), 88)
    attempt("unknown", call, "unknown", 0, 0, 0)
    if X86:
        attempt("prlimit of 32 bits", i386, 340, VICTIM, resource.RLIMIT_CPU, low_memory(), 0)
        attempt("setpriority of 32 bits", i386, 97, 0, VICTIM, 19)
        attempt("sched_setaffinity of 32 bits", i386, 241, VICTIM, 4, low_memory())
        attempt("ioprio_set of 32 bits", i386, 289, 1, VICTIM, 3 << 13)
        attempt("prlimit of x32", lambda: checked(libc.syscall(ctypes.c_long(1 << 30 | 302), VICTIM, 0, one, 0)))


def by_signals() -> None:
    """Signals, which Landlock refuses from Linux 6.12 on."""
    info = struct.pack("=iii", signal.SIGTERM, 0, -1) + bytes(116)
    attempt("kill", os.kill, VICTIM, signal.SIGTERM)
    attempt("killpg", os.killpg, os.getpgid(VICTIM), signal.SIGTERM)
    attempt("tkill", call, "tkill", VICTIM, signal.SIGTERM)
    attempt("tgkill", call, "tgkill", VICTIM, VICTIM, signal.SIGTERM)
    attempt("rt_sigqueueinfo", call, "rt_sigqueueinfo", VICTIM, signal.SIGTERM, info)
    attempt("rt_tgsigqueueinfo", call, "rt_tgsigqueueinfo", VICTIM, VICTIM, signal.SIGTERM, info)
    attempt("pidfd_send_signal", lambda: call("pidfd_send_signal", pidfd(), signal.SIGTERM, 0, 0))
    signal_by_input()


def on_keys() -> None:
    """Keyrings of the user."""
    attempt("add_key", call, "add_key", b"user\0", b"hdm-intruder\0", b"x", 1, -4)
    attempt("keyctl", call, "keyctl", 0, -4, 1)
    attempt("request_key", call, "request_key", b"user\0", b"hdm-intruder\0", 0, -4)


def on_files(folder: str) -> None:
    """A file that the sandbox hides, by its path."""
    path = f"{folder}/secret"
    attempt("read", read, path)
    attempt("list", os.listdir, folder)
    attempt("write", write, path, "x")
    attempt("create", write, f"{folder}/planted", "x")
    attempt("truncate", os.truncate, path, 0)
    attempt("remove", os.unlink, path)
    attempt("rename", os.rename, path, f"{folder}/renamed")
    attempt("link", os.link, path, "link")
    attempt("mkdir", os.mkdir, f"{folder}/planted")
    attempt("execute", os.execv, path, ["x"])
    for name, follow in (("setxattr", True), ("lsetxattr", False)):
        attempt(name, lambda follow=follow: os.setxattr(path, "user.planted", b"x", follow_symlinks=follow))
    attempt("listxattr", os.listxattr, path)
    attempt("getxattr", os.getxattr, path, "user.mine")
    attempt("removexattr", os.removexattr, path, "user.mine")
    value = struct.pack("=QII", HERE, 1, 0)
    attempt("setxattrat", call, "setxattrat", AT_FDCWD, path.encode(), 0, b"user.planted\0", value, 16)
    attempt("getxattrat", call, "getxattrat", AT_FDCWD, path.encode(), 0, b"user.mine\0", value, 16)
    attempt("removexattrat", call, "removexattrat", AT_FDCWD, path.encode(), 0, b"user.mine\0")
    attempt(
        "file_setattr", call, "file_setattr", AT_FDCWD, path.encode(), struct.pack("=QIIII", 0x80, 0, 0, 0, 0), 24, 0
    )
    watch = checked(libc.inotify_init1(0))
    attempt("inotify", lambda: checked(libc.inotify_add_watch(watch, folder.encode(), 0x100)))
    attempt(
        "fanotify", lambda: call("fanotify_mark", call("fanotify_init", 0x600, 0), 1, 0x100, AT_FDCWD, folder.encode())
    )
    opened = os.open(path, os.O_PATH)
    attempt("open again", lambda: os.open(f"/proc/self/fd/{opened}", os.O_RDONLY))
    attempt("fsetxattr", os.setxattr, f"/proc/self/fd/{opened}", "user.planted", b"x")
    if X86:
        area = low_memory()
        ctypes.memmove(area, path.encode() + b"\0", len(path) + 1)
        ctypes.memmove(area + 2000, b"user.planted\0", 13)
        attempt("setxattr of 32 bits", lambda: i386(226, area, area + 2000, area, 1))


def on_visible_files() -> None:
    """Flags and attributes of a file that can be read only."""
    with open(VISIBLE, "rb") as file:
        for name, request in (
            ("flags", 0x40086602), ("flags of 32 bits", 0x40046602), ("version", 0x40087602), ("project", 0x401C5820),
            ("encryption", 0x800C6613), ("seal", 0x40806685), ("snapshot", 0x50009417), ("subvolume", 0x50009418),
        ):  # fmt: skip
            attempt(name, fcntl.ioctl, file, request, struct.pack("=Q", 0x80) + bytes(1000))
        attempt("fsetxattr", os.setxattr, file.fileno(), "user.planted", b"x")
    attempt("write to a file for reading", write, VISIBLE, "x")


def on_the_machine() -> None:
    """Mounts, terminals, devices and settings of the kernel."""
    attempt("mount", lambda: checked(libc.mount(b"none", b"/mnt", b"tmpfs", 0, None)))
    attempt("bind mount", lambda: checked(libc.mount(FOLDERS[0].encode(), b".", None, 4096, None)))
    attempt("umount", lambda: checked(libc.umount2(b"/proc", 2)))
    attempt("open_tree", lambda: os.listdir(call("open_tree", AT_FDCWD, FOLDERS[0].encode(), 1)))
    attempt("terminal", os.open, "/dev/tty", os.O_RDWR)
    attempt("terminals", os.open, "/dev/ptmx", os.O_RDWR)
    for descriptor in range(3):
        attempt(f"input of a terminal {descriptor}", fcntl.ioctl, descriptor, 0x5412, b"x")
    attempt("sysctl", write, "/proc/sys/kernel/core_pattern", "|/bin/true")
    attempt("cgroup", write, "/sys/fs/cgroup/cgroup.procs", str(os.getpid()))
    attempt("memory of the kernel", read, "/dev/mem")


def main() -> None:
    """Try everything, by name of what is attacked; then again with all capabilities of a user namespace."""
    for turn in ("plain", "user namespace"):
        if turn != "plain" and libc.unshare(0x10000000 | 0x00020000):  # CLONE_NEWUSER, CLONE_NEWNS
            print("no user namespace", flush=True)
            return
        on_processes()
        by_signals()
        on_keys()
        on_visible_files()
        on_the_machine()
        for folder in FOLDERS:
            on_files(folder)
        print("all tried:", turn, flush=True)


main()
