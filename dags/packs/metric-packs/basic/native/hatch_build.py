"""The build hook: compiles src/*.c into hdm_profile/_engine.so while the wheel is built.

It uses a compiler of this machine; only if none works, the build requires the wheel `ziglang`, which contains one. It
writes nothing into the folder of the sources.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import sys_tags

ENGINE = "hdm_profile/_engine.so"
ZIGLANG = "ziglang>=0.15,<0.18"  # tested with 0.15.2 and 0.17.1; zig promises no compatibility before 1.0
ZIG = [sys.executable, "-m", "ziglang", "cc"]
MACOS = sys.platform == "darwin"

#: No -march: the library runs on every machine of its architecture. No contraction: all compilers compute the same.
FLAGS = [
    *("-std=c11", "-O3", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off"),
    *("-Wall", "-Wextra", "-Werror=implicit-function-declaration"),
    "-dynamiclib" if MACOS else "-shared",
]
#: By default, zig compiles for this very processor and traps undefined behaviour.
ZIG_FLAGS = ["-mcpu=baseline", "-fno-sanitize=undefined"]
#: For tests: the Python that loads such a library needs the sanitizer's own library in LD_PRELOAD.
SANITIZE_FLAGS = ["-O1", "-g", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all"]
ADDRESS, THREAD = "-fsanitize=address,undefined", "-fsanitize=thread"

#: A compiler works if it can make a library from this, with the headers and libraries that the engine needs.
TRIAL = """
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
double trial(double number, double power);
double trial(double number, double power) { return pow(number, power); }
"""


class Compiler(BuildHookInterface):  # type: ignore[type-arg]  # hatchling's own examples leave it out, too
    """The build hook."""

    def dependencies(self) -> list[str]:
        """What the build requires besides hatchling."""
        return [] if system_compiler() or sanitizing() else [ZIGLANG]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002  # hatchling's signature
        """Compile, and tell hatchling what the wheel contains."""
        self._folder = tempfile.TemporaryDirectory(prefix="hdm-profile-")  # removed by `finalize`, or with the process
        library = Path(self._folder.name) / "_engine.so"
        self._compile(Path(self.root), library)
        build_data["force_include"][str(library)] = ENGINE
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform_tag()}"  # any Python 3: the library calls the stable ABI only

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002  # as above
        """Remove the library, which is in the wheel now."""
        self._folder.cleanup()

    def _compile(self, root: Path, library: Path) -> None:
        sources = sorted(str(path.relative_to(root)) for path in root.glob("src/*.c"))
        if not sources:
            self._abort("no C sources found", str(root / "src"), "restore the pack's folder native/src")
        command = [*self._compiler(), *FLAGS, *sanitizing()]
        done = run([*command, "-o", str(library), *sources, "-lm"], root, library.parent)
        if done.returncode:
            what = f"the C sources could not be compiled:\n{done.stdout.strip()}"
            hint = "restore the pack's folder native; if it is as published, try another compiler (variable CC)"
            self._abort(what, f"{root / 'src'}, by: {shlex.join(command)}", hint)
        if done.stdout.strip():
            self.app.display_warning(done.stdout.strip())
        if fault := loading_fault(library):
            hint = "use a compiler for the architecture of this Python (variable CC), and the sources as published"
            self._abort(f"Python cannot load the compiled library: {fault}", shlex.join(command), hint)

    def _compiler(self) -> list[str]:
        found = system_compiler()
        if found:
            return found
        if sanitizing():
            hint = "install gcc with libasan, libubsan and libtsan, or clang"
            self._abort("no C compiler with sanitizers works", "HDM_PROFILE_SANITIZE", hint)
        if not find_spec("ziglang"):
            where = ", ".join(map(shlex.join, candidates())) or "the variable CC, and cc, gcc, clang in PATH"
            hint = f'install a C compiler with the headers of libc (gcc, libc6-dev), or the wheel "{ZIGLANG}"'
            self._abort("no C compiler works", where, hint)
        return [*ZIG, *ZIG_FLAGS]

    def _abort(self, what: str, where: str, hint: str) -> None:
        self.app.abort(f"hdm_profile: {what}\n  in: {where}\n  do: {hint}")


def sanitizing() -> list[str]:
    """Compiler options that the variable HDM_PROFILE_SANITIZE asks for: none when it is unset, empty or 0.

    `thread` finds data races; any other value finds wrong memory accesses and undefined behaviour.
    """
    wanted = os.environ.get("HDM_PROFILE_SANITIZE", "")
    return [*SANITIZE_FLAGS, THREAD if wanted == "thread" else ADDRESS] if wanted not in {"", "0"} else []


def candidates() -> list[list[str]]:
    """The compilers on this machine, whether or not they work. The variable CC may also contain options."""
    wanted = [shlex.split(os.environ.get("CC", "")), ["cc"], ["gcc"], ["clang"]]
    return [command for command in wanted if command and shutil.which(command[0])]


def system_compiler() -> list[str]:
    """The first one that works; empty if none does."""
    with tempfile.TemporaryDirectory(prefix="hdm-profile-") as name:
        folder = Path(name)
        (folder / "trial.c").write_text(TRIAL)
        options = [*FLAGS, *sanitizing(), "-o", "trial.so", "trial.c", "-lm"]
        return next((one for one in candidates() if run([*one, *options], folder, folder).returncode == 0), [])


def run(command: list[str], folder: Path, scratch: Path) -> subprocess.CompletedProcess[str]:
    """Run a compiler in a folder, with untranslated messages; zig's cache goes into `scratch`."""
    caches = {name: str(scratch / name) for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")}
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **caches, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )


def loading_fault(library: Path) -> str:
    """Why this Python cannot load a library; '' if it can, or if this cannot be tried here."""
    if sanitizing() or os.statvfs(library.parent).f_flag & getattr(os, "ST_NOEXEC", 0):
        return ""
    try:
        ctypes.PyDLL(str(library), mode=os.RTLD_NOW)  # now: a missing function is an error here
    except OSError as error:
        return str(error)
    return ""


def platform_tag() -> str:
    """The wheel's platform: this machine alone."""
    return next(tag.platform for tag in sys_tags() if not tag.platform.startswith(("manylinux", "musllinux")))
