"""Pip shim: the `pip` of a pack run. It skips what the venv already has and passes everything else to the real pip.

It is copied to `pip/__main__.py` in the layer of each run, so that `pip` and `python -m pip` both run it. Standard
library only; runs under the pack's own Python.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys

TYPE_CHECKING = False  # not from typing, which takes as long to import as all the rest
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

#: Options of `pip install` that change neither what is installed nor where: without and with a value.
_FLAGS = {
    "--quiet", "--verbose", "--upgrade", "--user", "--no-cache-dir", "--no-index", "--no-input", "--no-color",
    "--prefer-binary", "--disable-pip-version-check", "--no-warn-script-location", "--no-warn-conflicts",
    "--break-system-packages",
}  # fmt: skip
_VALUED = {
    "-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--trusted-host", "--timeout", "--retries",
    "--proxy", "--cert", "--client-cert", "--cache-dir", "--progress-bar", "--root-user-action", "--upgrade-strategy",
    "--exists-action", "--log",
}  # fmt: skip
_REQUIREMENTS = "(?:-[qvU]*r|--requirement=?)"
_PIP = re.compile(r"pip(\s*[=<>!~].*)?")


def main(arguments: list[str]) -> int:
    """Answer `install -r requirements.txt` and `install --upgrade pip` from the venv; pass the rest to pip."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "venv.json"), encoding="utf-8") as file:
        venv = json.load(file)
    rest = without_served(arguments, venv)
    if rest is None:
        print("Requirements already satisfied by venv {}".format(venv["key"]))  # noqa: T201  # the output of pip
        return 0
    return real_pip(rest, venv)


def without_served(arguments: list[str], venv: dict[str, Any]) -> list[str] | None:
    """The arguments without what the venv already has; None if nothing is left to install.

    With an option that may change what is installed, or where, pip decides: the arguments stay as they are.
    """
    words = iter(arguments)
    rest = leading(words)
    if rest[-1:] != ["install"]:
        return arguments
    served = wanted = 0
    for word in words:
        group = with_value(word, words)
        if group is None:
            return arguments
        requirements = re.fullmatch(_REQUIREMENTS + "(.*)", group[0], re.DOTALL)
        if requirements:
            held = same_requirements(requirements[1] or group[-1], venv)
        else:
            held = _PIP.fullmatch(word) is not None  # this is the run's pip: there is nothing to upgrade
        if held:
            served += 1
            continue
        rest += group
        wanted += bool(requirements) or not word.startswith("-")
    return None if served and not wanted else rest


def leading(words: Iterator[str]) -> list[str]:
    """The command with the options before it; [] if one of them is not known to be harmless."""
    found = []
    for word in words:
        group = with_value(word, words)
        if group is None:
            break
        found += group
        if not word.startswith("-"):
            return found
    return []


def with_value(word: str, following: Iterator[str]) -> list[str] | None:
    """The word, with its value if it takes one; None if an option is not known to be harmless, or lacks its value."""
    name, equals, _ = word.partition("=")
    if re.fullmatch(_REQUIREMENTS, word) or (name in _VALUED and not equals):
        value = next(following, None)
        return None if value is None else [word, value]
    known = not word.startswith("-") or word in _FLAGS or name in _VALUED
    return [word] if known or re.fullmatch(f"{_REQUIREMENTS}.+|-[qvU]+", word, re.DOTALL) else None


def same_requirements(path: str, venv: dict[str, Any]) -> bool:
    """Whether a requirements file, and the files it names, are those that the venv was built from."""
    folder = os.path.dirname(path)
    files = {os.path.join(folder, name): digest for name, digest in venv["files"].items()}
    return all(sha256(name) == digest for name, digest in {path: venv["requirements"], **files}.items())


def sha256(path: str) -> str:
    """The hash of a file's content; '' if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return ""


def real_pip(arguments: list[str], venv: dict[str, Any]) -> int:
    """Run the pip that comes with Python; it installs into this run's layer."""
    if not venv["pip"]:
        sys.stderr.write("hdm: this Python comes without pip: list the package in the pack's requirements.txt\n")
        return 1
    os.environ.setdefault("PIP_DISABLE_PIP_VERSION_CHECK", "1")  # a query to the index that would not change anything
    os.environ.pop("PIP_USER", None)
    arguments = [word for word in arguments if word != "--user"]  # the layer is the only place to install to
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path[:] = [venv["pip"], *(entry for entry in sys.path if entry and os.path.abspath(entry) != here), here]
    for name in [name for name in sys.modules if name == "pip" or name.startswith("pip.")]:
        del sys.modules[name]
    from pip._internal.cli.main import main as pip_main

    return int(pip_main(arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
