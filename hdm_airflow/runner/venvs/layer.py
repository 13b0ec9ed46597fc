"""Layer: a small virtual environment for one run, on top of a venv of the store."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from pathlib import Path

from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs.pack import REQUIREMENTS
from hdm_airflow.runner.venvs import pip_shim
from hdm_airflow.runner.venvs.activate_scripts import write_activate_scripts
from hdm_airflow.runner.venvs.store import Venv
from hdm_airflow.runner.venvs.verify_build import RELOCATABLE_HEADER
from hdm_airflow.sdk import hdm as sdk

#: Answers the two pip commands of nearly every bootstrap script; starting Python for each would take 0.05 s or more.
_PIP = """#!/bin/sh
held=
case "$*" in
    "install --upgrade pip" | "install -U pip") held=true ;;
    "install -r requirements.txt") cmp -s requirements.txt {requirements} && {files} && held=true ;;
esac
if [ "$held" = true ]; then
    echo "Requirements already satisfied by venv {key}"
    exit 0
fi
exec "${{0%/*}}/python" -m pip "$@"
"""
#: Without the last line, a pack would see the packages of the worker's Python, which differ from worker to worker.
_CONFIGURATION = "home = {}\nversion = {}\ninclude-system-site-packages = false\n"


def make_layer(venv: Venv, folder: Path) -> None:
    """Make a run's own virtual environment on top of a venv of the store.

    Args:
        venv: the venv whose packages the layer sees.
        folder: where to make it; must not exist. Its `bin` is for the PATH.

    Raises:
        ConfigurationError: if one of its programs cannot be executed.
    """
    interpreter = venv.interpreter
    bin_folder = folder / "bin"
    packages = folder / "lib" / f"python{interpreter.version}" / "site-packages"
    (packages / "pip").mkdir(parents=True)
    bin_folder.mkdir()
    for name in ("python", "python3", f"python{interpreter.version}"):
        (bin_folder / name).symlink_to(interpreter.path)
    (folder / "pyvenv.cfg").write_text(_CONFIGURATION.format(Path(interpreter.path).parent, interpreter.version))
    # addsitedir, not just the path: .pth files of the store's packages count too
    (packages / "hdm.pth").write_text(f"import site; site.addsitedir({str(venv.site_packages)!r})\n")
    shutil.copyfile(sdk.__file__, packages / "hdm.py")
    facts = {
        "key": venv.key,
        "requirements": venv.requirements.digest,
        "files": dict(venv.requirements.files),
        "pip": venv.pip,
    }
    (packages / "pip" / "venv.json").write_text(json.dumps(facts), "utf-8")
    (packages / "pip" / "__init__.py").touch()
    shutil.copyfile(pip_shim.__file__, packages / "pip" / "__main__.py")
    requirements = packages / "pip" / REQUIREMENTS
    requirements.write_bytes(venv.requirements.content)
    files = _unchanged(venv, packages / "pip" / "files.sha256")
    text = _PIP.format(key=venv.key, requirements=shlex.quote(str(requirements)), files=files)
    for name in ("pip", "pip3", f"pip{interpreter.version}"):
        script = bin_folder / name
        script.write_text(text)
        script.chmod(0o700)
    write_activate_scripts(folder)
    _link_programs(venv.path, folder)
    _refuse_unusable(bin_folder)


def _refuse_unusable(programs: Path) -> None:
    """Refuse a layer with a program that cannot run: shells would go on to the worker's program of that name."""
    for name in os.listdir(programs):
        path = os.path.join(programs, name)
        if not os.access(path, os.X_OK) and _is_program(path):
            what = f"the run's own {name} cannot be executed, so the worker's would run instead"
            hint = "set TMPDIR and venvs.folder to folders whose files can be executed, or correct the package"
            raise ConfigurationError(what, os.path.realpath(path), f"{hint} that installs {name}")


def _is_program(path: str) -> bool:
    """Whether a file that cannot be executed is meant to be; packages have other files in `bin` as well."""
    try:
        return bool(os.stat(path).st_mode & 0o111)
    except OSError:  # a link that leads nowhere
        return True


def _link_programs(venv: Path, layer: Path) -> None:
    """Make the programs of the venv's packages run in the layer, where they see what the script installs.

    In the layer they find what they expect next to their Python: other programs and their data (share/, etc/). Each
    file is a separate link, because pip replaces links to files but would write to the store through a linked folder.
    """
    waiting = [entry.name for entry in _entries(venv) if entry.is_dir(follow_symlinks=False)]
    waiting.remove("lib")
    while waiting:
        place = waiting.pop()
        (layer / place).mkdir(exist_ok=True)
        for entry in _entries(venv / place):
            to = layer / place / entry.name
            if entry.is_dir(follow_symlinks=False):
                waiting.append(f"{place}/{entry.name}")
            elif os.path.lexists(to):  # the layer's own python, pip and activate
                continue
            elif place == "bin" and entry.is_file(follow_symlinks=False) and _is_relocatable(entry.path):
                shutil.copyfile(entry.path, to)
                to.chmod(0o700)
            elif place == "bin" and entry.name.lower().startswith("activate"):  # of other shells: they follow links
                shutil.copyfile(entry.path, to)
            else:
                to.symlink_to(entry.path)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return list(entries)


def _is_relocatable(program: str) -> bool:
    """Whether a program is a script that runs the Python in its own folder, wherever that is."""
    with open(program, "rb") as file:
        return file.read(len(RELOCATABLE_HEADER)) == RELOCATABLE_HEADER


def _unchanged(venv: Venv, sums: Path) -> str:
    """A shell test that the files of the pack that requirements.txt names are unchanged; fails without sha256sum.

    Names that sha256sum would escape are left to the run's pip.
    """
    files = venv.requirements.files
    if not files:
        return "true"
    if any(character in name for name in files for character in "\\\n\r"):
        return "false"
    sums.write_text("".join(f"{digest}  {name}\n" for name, digest in files.items()), "utf-8")
    return f"sha256sum -c {shlex.quote(str(sums))} >/dev/null 2>&1"
