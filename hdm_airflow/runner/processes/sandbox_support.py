"""Sandbox support: what the kernel of this machine lets the sandbox do, and why not all of it."""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
from pathlib import Path

from hdm_airflow.runner.processes import confine, system_calls

#: What the sandbox requires of the kernel.
NEEDED = "Landlock (Linux 5.19 or later)"


@dataclass(frozen=True, kw_only=True)
class Shortcoming:
    """What the kernel does not let the sandbox do."""

    effect: str  # what packs can do
    reason: str
    remedy: str  # an imperative

    def __str__(self) -> str:
        return f"{self.effect}: {self.reason}; {self.remedy}"


def available() -> bool:
    """Whether this process can use the sandbox."""
    return confine.landlock_abi() >= confine.LEAST_ABI


def shortcoming() -> Shortcoming | None:
    """Why packs have no sandbox on this machine, or an incomplete one; None if it is complete."""
    abi = confine.landlock_abi()
    if abi < confine.LEAST_ABI:
        reason, remedy = _without_landlock(-abi)
        return Shortcoming(effect="packs can see each other's files", reason=reason, remedy=remedy)
    error = system_calls.unsupported()
    if error:
        reason, remedy = _without_filter(error)
        effect = "packs can change the limits and priorities of other processes"
        return Shortcoming(effect=effect, reason=reason, remedy=remedy)
    return None


def _without_landlock(error: int) -> tuple[str, str]:
    """Why the system calls of Landlock fail with this error, and what to do."""
    if error == errno.EOPNOTSUPP:
        return "Landlock is switched off in this kernel", "add landlock to the kernel's parameter lsm"
    kernel = f"this kernel does not support {NEEDED}", "update it"
    calls = "landlock_create_ruleset, landlock_add_rule and landlock_restrict_self"
    profile = (
        "a seccomp profile, usually the container's, refuses Landlock",
        f"allow {calls} in it, or update the container runtime",
    )
    if error not in {errno.ENOSYS, -1}:  # -1: ABI 1
        return profile
    if error == errno.ENOSYS and _is_filtered():  # runtimes refuse in this way what they do not know
        known = _security_modules()
        if "landlock" in known:
            return profile
        if not known:
            return f"{kernel[0]}, or {profile[0]}", f"update the kernel; if it is new enough, {profile[1]}"
    return kernel


def _without_filter(error: int) -> tuple[str, str]:
    """Why the filter of system calls cannot be installed, and what to do."""
    if error == errno.ENOTSUP:
        return f"hdm_airflow has no filter of system calls for {os.uname().machine}", "use x86_64 or aarch64"
    if error in {errno.EINVAL, errno.ENOSYS}:
        return "this kernel does not support seccomp filters", "use a kernel with CONFIG_SECCOMP_FILTER"
    return "a seccomp profile, usually the container's, refuses filters", "allow prctl(PR_SET_SECCOMP) in it"


def _is_filtered() -> bool:
    """Whether this process already has a filter of system calls, such as a container's."""
    try:
        return bool(re.search(r"^Seccomp:\s*2", Path("/proc/self/status").read_text("ascii", "replace"), re.MULTILINE))
    except OSError:
        return False


def _security_modules() -> list[str]:
    """The security modules of this kernel; none if this process cannot read them, as in most containers."""
    try:
        return Path("/sys/kernel/security/lsm").read_text("ascii").strip().split(",")
    except OSError:
        return []
