"""The `pip` of a pack run: what is there already costs nothing, everything else goes to the real pip.

Copied as `pip/__main__.py` into the layer of each run, so that `pip` and `python -m pip` both come here. Standard
library only; runs under the pack's own Python.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys


def main(arguments: list[str]) -> int:
    """Serve `install -r requirements.txt` and `install --upgrade pip` from the environment; pass on the rest."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "environment.json"), encoding="utf-8") as file:
        environment = json.load(file)
    rest = without_served(arguments, environment)
    if rest is None:
        print("Requirements already satisfied by environment {}".format(environment["key"]))  # noqa: T201
        return 0
    return real_pip(rest, environment)


def without_served(arguments: list[str], environment: dict[str, str]) -> list[str] | None:
    """The arguments without what the environment holds already; None when nothing is left to install."""
    if not arguments or arguments[0] != "install":
        return arguments
    rest: list[str] = []
    wanted, position = 0, 1
    while position < len(arguments):
        argument = arguments[position]
        position += 1
        if argument in ("-r", "--requirement") and position < len(arguments):
            path, position = arguments[position], position + 1
            if not same_requirements(path, environment):
                rest += [argument, path]
                wanted += 1
        elif re.fullmatch(r"pip([=<>!~].*)?", argument):
            continue  # the run's pip is this one: there is nothing to upgrade
        else:
            rest.append(argument)
            wanted += not argument.startswith("-")
    return ["install", *rest] if wanted else None


def same_requirements(path: str, environment: dict[str, str]) -> bool:
    """Whether a requirements file is the one that the environment was built from."""
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest() == environment["requirements"]
    except OSError:
        return False


def real_pip(arguments: list[str], environment: dict[str, str]) -> int:
    """Run the pip that comes with Python; it installs into this run's layer."""
    if not environment["pip"]:
        sys.stderr.write("hdm: this Python comes without pip: list the package in the pack's requirements.txt\n")
        return 1
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path[:] = [environment["pip"], *(entry for entry in sys.path if entry and os.path.abspath(entry) != here), here]
    for name in [name for name in sys.modules if name == "pip" or name.startswith("pip.")]:
        del sys.modules[name]
    from pip._internal.cli.main import main as pip_main

    return int(pip_main(arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
