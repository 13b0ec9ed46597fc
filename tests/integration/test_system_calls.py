"""The filter of system calls, compared with one that libseccomp makes from the same rules, and in a real process."""

from __future__ import annotations

import errno
import os
import platform
import random
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hdm_airflow.runner.processes import system_calls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

ROOT = Path(__file__).parents[2]
ALLOW, ERROR = 0x7FFF0000, 0x00050000
X86_64, AARCH64, I386, ARM, X32 = 0xC000003E, 0xC00000B7, 0x40000003, 0x40000028, 0x40000000
NATIVE = {"x86_64": X86_64, "aarch64": AARCH64}.get(platform.machine(), 0)
NEW_USER = 0x10000000
#: The calls of libseccomp 2.5.
KNOWN = 448
NOT_SELF = ("sched_setparam", "sched_setscheduler", "sched_setaffinity", "sched_setattr")
ABSENT = ("add_key", "request_key", "keyctl", "io_uring_setup", "clone3")
ATTRIBUTES = tuple(f"{prefix}{verb}xattr" for verb in ("set", "get", "list", "remove") for prefix in ("", "l", "f"))
#: Requests of ioctl: to change flags, version, project, encryption, seal; to make and remove snapshots (Btrfs).
CHANGING = (0x40086602, 0x40046602, 0x40087602, 0x40047602, 0x401C5820, 0x800C6613, 0x40806685, 0x50009401, 0x50009417)
#: FS_IOC_GETFLAGS, FS_IOC_FSGETXATTR, FS_IOC_FIEMAP, FICLONE, FICLONERANGE; of terminals, sockets and others.
HARMLESS = (0x80086601, 0x801C581F, 0xC020660B, 0x40049409, 0x4020940D, 0x5401, 0x5413, 0x541B, 0x8912, 0x5451)


def decide(program: bytes, architecture: int, number: int, *arguments: int) -> int:
    """What the kernel decides on a call: an interpreter of classic BPF."""
    words = [value & 0xFFFFFFFFFFFFFFFF for value in (*arguments, *(0,) * 6)][:6]
    data = struct.pack("=IIQ6Q", number & 0xFFFFFFFF, architecture, 0, *words)
    steps = list(struct.iter_unpack("=HBBI", program))
    accumulator = place = 0
    while True:
        code, then, otherwise, value = steps[place]
        place += 1
        if code == 0x20:
            accumulator = struct.unpack_from("=I", data, value)[0]
        elif code == 0x54:
            accumulator &= value
        elif code == 0x05:
            place += value
        elif code == 0x06:
            return int(value)
        else:
            holds = {0x15: accumulator == value, 0x25: accumulator > value, 0x35: accumulator >= value}[code]
            place += then if holds else otherwise


@pytest.fixture
def can_filter(require: Callable[[str, str | None], None]) -> None:
    """This machine can filter system calls."""
    can = NATIVE and system_calls.unsupported() == 0
    require("integration", None if can else "this machine cannot filter system calls")


@pytest.fixture(scope="module")
def seccomp(require: Callable[[str, str | None], None]) -> ModuleType:
    """The bindings of libseccomp, which has the numbers of all architectures."""
    try:
        import pyseccomp
    except (ImportError, OSError, RuntimeError) as error:  # not Linux, or the library is missing
        require("integration", f"libseccomp is not here: {error}")
    return pyseccomp


@pytest.fixture(scope="module")
def expected(seccomp: ModuleType) -> bytes:
    """The same rules, compiled by libseccomp."""
    error, argument, different = seccomp.ERRNO, seccomp.Arg, seccomp.NE
    rules = seccomp.SyscallFilter(seccomp.ALLOW)
    rules.set_attr(seccomp.Attr.ACT_BADARCH, error(errno.ENOSYS))
    for architecture in (seccomp.Arch.X86_64, seccomp.Arch.AARCH64, seccomp.Arch.X86):
        if architecture != seccomp.system_arch():
            rules.add_arch(architecture)
    for name in NOT_SELF:
        rules.add_rule(error(errno.EPERM), name, argument(0, different, 0))
    rules.add_rule(error(errno.EPERM), "prlimit64", argument(0, different, 0), argument(2, different, 0))
    for place, value in ((0, 0), (1, 0)):
        rules.add_rule(error(errno.EPERM), "setpriority", argument(place, different, value))
    for place, value in ((0, 1), (1, 0)):
        rules.add_rule(error(errno.EPERM), "ioprio_set", argument(place, different, value))
    refused = dict.fromkeys(ABSENT, errno.ENOSYS) | dict.fromkeys(ATTRIBUTES, errno.EOPNOTSUPP)
    for name, number in (refused | dict.fromkeys(("inotify_add_watch", "fanotify_mark"), errno.ENOSPC)).items():
        rules.add_rule(error(number), name)
    for name in ("clone", "unshare"):
        rules.add_rule(error(errno.EPERM), name, argument(0, seccomp.MASKED_EQ, NEW_USER, NEW_USER))
    for letter in (ord("f"), ord("v"), ord("X"), 0x94, 0xF5):
        rules.add_rule(error(errno.ENOTTY), "ioctl", argument(1, seccomp.MASKED_EQ, 0xFF00, letter << 8))
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()


def _arguments() -> Iterator[tuple[int, ...]]:
    values = (0, 1, NEW_USER | 0x11, 0xFFFFFFFF)
    yield from ((first, second, third) for first in values for second in values for third in values)
    chance = random.Random(7)  # noqa: S311  # no secret
    yield from (tuple(chance.choice((*values, chance.getrandbits(32))) for _ in range(6)) for _ in range(20))


@pytest.mark.parametrize("architecture", [X86_64, AARCH64, I386, ARM])
def test_filter_decides_as_libseccomps(expected: bytes, architecture: int) -> None:
    """For every call that libseccomp knows, by number; the requests of ioctl that are exceptions are tested below."""
    program, arguments_ = system_calls.program(), list(_arguments())
    strange = (X32, X32 | 302, X32 | 520) if architecture == X86_64 else ()
    for number in (*range(KNOWN + 1), *strange):
        for arguments in arguments_:
            if arguments[1] in HARMLESS:
                continue
            ours, theirs = (decide(one, architecture, number, *arguments) for one in (program, expected))
            assert ours == theirs, (hex(architecture), number, [hex(value) for value in arguments])


@pytest.mark.parametrize("letter", range(256))
def test_requests_of_file_systems_are_refused_as_libseccomps_filter_does(expected: bytes, letter: int) -> None:
    """There is one byte for the letter."""
    program = system_calls.program()
    for number, architecture in ((16, X86_64), (29, AARCH64), (54, I386)):
        for request in (letter << 8 | 0x40080063, letter << 8, letter << 8 | 0xFFFF00FF):
            found = decide(program, architecture, number, 3, request, 0)
            assert found == decide(expected, architecture, number, 3, request, 0), hex(request)


def test_requests_that_only_read_or_copy_remain() -> None:
    """`cp` shares blocks between files with them."""
    program = system_calls.program()
    for number, architecture in ((16, X86_64), (29, AARCH64), (54, I386)):
        for high in (0, 1 << 32, 0xFFFFFFFF << 32):  # the kernel ignores it
            for request in CHANGING:
                assert decide(program, architecture, number, 3, high | request) == ERROR | errno.ENOTTY
            for request in HARMLESS:
                assert decide(program, architecture, number, 3, high | request) == ALLOW


@pytest.mark.parametrize("architecture", [X86_64, AARCH64, I386])
def test_calls_that_are_newer_than_the_filter_do_not_exist(architecture: int) -> None:
    """Nor do attributes of files by path, of Linux 6.13 and 6.17, which libseccomp 2.5 does not know."""
    program = system_calls.program()
    for number in (463, 464, 465, 466, 469):
        assert decide(program, architecture, number) == ERROR | errno.EOPNOTSUPP
    for number in (449, 462, 467, 468):
        assert decide(program, architecture, number) == ALLOW
    for number in (470, 471, 511, 512, 547, 1000, X32, X32 | 302, X32 | 547, 0x7FFFFFFF, -1):
        assert decide(program, architecture, number) == ERROR | errno.ENOSYS
    for other in (0, ARM, 0x80000016, 0xC00000F3):
        assert decide(program, other, 1) == ERROR | errno.ENOSYS


def test_halves_of_arguments_count_as_the_kernel_reads_them() -> None:
    """A process id has 32 bits and a pointer 64."""
    program = system_calls.program()
    high = 1 << 32
    assert decide(program, X86_64, 302, 7, 0, high) == ERROR | errno.EPERM
    assert decide(program, X86_64, 302, 7, 0, 1) == ERROR | errno.EPERM
    assert decide(program, X86_64, 302, 7, 0, 0) == ALLOW
    assert decide(program, X86_64, 302, high, 0, 1) == ALLOW
    assert decide(program, X86_64, 302, high | 7, 0, 1) == ERROR | errno.EPERM
    assert decide(program, X86_64, 203, high | 7) == ERROR | errno.EPERM
    assert decide(program, X86_64, 141, high, high) == ALLOW
    assert decide(program, X86_64, 141, 1, 0) == ERROR | errno.EPERM


def test_program_is_short_enough_for_the_kernel() -> None:
    """The kernel's limit is 4,096 instructions; every jump ends within the program."""
    steps = list(struct.iter_unpack("=HBBI", system_calls.program()))
    assert len(steps) < 400
    for place, (code, then, otherwise, value) in enumerate(steps, start=1):
        skipped = value if code == 0x05 else max(then, otherwise) if code & 7 == 5 else 0
        assert place + skipped < len(steps) + (code == 0x06)


#: Everyday programs that come close to what is refused: on themselves, or on copies with attributes.
EVERYDAY = (
    "nice -n 5 true", "ionice -c 3 true", "taskset -c 0 true", "chrt -b 0 true", "prlimit --nofile=50 true",
    "ulimit -n 50", "setarch i386 true", "timeout 5 true", "cp -a a b", "cp --preserve=all a c",
    "cp --reflink=auto a r && mv r s", "install -m 600 a e", "tar -cf t a && tar -C x --xattrs -xf t", "ls -lZ",
    "git init -q g",
    "prlimit --pid $$ --nofile", "ionice -p $$", "taskset -p $$", "python3 -c 'import os; os.nice(3)'",
    "python3 -c 'import shutil; shutil.copy2(\"a\", \"f\"); shutil.copytree(\"x\", \"y\")'",
    "python3 -c 'import threading; t = threading.Thread(target=print); t.start(); t.join()'",
    "python3 -c 'import subprocess; subprocess.run([\"true\"], check=True)'",
    "python3 -c 'import os; os.sched_setaffinity(0, os.sched_getaffinity(0))'",
    "echo one > l; (timeout 3 tail -n 0 -f l > m 2>&1 & sleep 0.5; echo two >> l; wait); grep two m",
)  # fmt: skip


@pytest.mark.usefixtures("can_filter")
@pytest.mark.parametrize("command", EVERYDAY)
def test_everyday_programs_work(tmp_path: Path, command: str) -> None:
    """They get an error from what is refused, and go on."""
    (tmp_path / "a").write_text("a")
    (tmp_path / "x").mkdir()
    done = filtered(f"os.execv('/bin/bash', ['bash', '-c', {command!r}])", tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


@pytest.mark.usefixtures("can_filter")
def test_filter_cannot_be_loosened(tmp_path: Path) -> None:
    """Another one that allows everything does not change what the first refuses."""
    code = """
allow = struct.pack("=HBBI", 6, 0, 0, 0x7FFF0000)
buffer = ctypes.create_string_buffer(allow, 8)
assert libc.prctl(22, 2, struct.pack("HP", 1, ctypes.addressof(buffer)), 0, 0) == 0
try:
    resource.prlimit(os.getppid(), resource.RLIMIT_CORE, (0, 0))
except PermissionError:
    print("refused")
"""
    assert filtered(code, tmp_path).stdout == "refused\n"


def test_missing_filters_are_noticed(tmp_path: Path) -> None:
    """A machine whose calls we do not know, and a profile that refuses filters."""
    code = """
from types import SimpleNamespace
os.uname = lambda: SimpleNamespace(machine="s390x")
print(errno.errorcode[system_calls.unsupported()])
"""
    assert filtered(code, tmp_path, install=False).stdout == "ENOTSUP\n"


def filtered(code: str, folder: Path, *, install: bool = True) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process that has the filter."""
    head = (
        "import ctypes, errno, os, resource, struct\n"
        "from hdm_airflow.runner.processes import system_calls\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        f"if {install}:\n    libc.prctl(38, 1, 0, 0, 0)\n    system_calls.install()\n"
    )
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", head + code]
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.usefixtures("can_filter")
def test_user_namespaces_cannot_be_made(tmp_path: Path) -> None:
    """In one, a pack could fill an IPC namespace of its own with memory that the guard does not see."""
    code = """
assert libc.unshare(0x10000000) == -1 and ctypes.get_errno() == 1
assert libc.unshare(0x10000000 | 0x08000000) == -1 and ctypes.get_errno() == 1
flags = ctypes.c_ulong(0x10000000 | 17)
assert libc.syscall({"x86_64": 56, "aarch64": 220}[os.uname().machine], flags, None, None, None, None) == -1
"""
    done = filtered(code, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
