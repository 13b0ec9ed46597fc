"""The layer: a small virtual environment of one run alone, on top of an environment of the store."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from hdm_airflow.runner import pip_shim
from hdm_airflow.runner.environments import Environment
from hdm_airflow.sdk import hdm as sdk


def make_layer(environment: Environment, folder: Path) -> Path:
    """Make a run's own virtual environment on top of one of the store.

    Args:
        environment: whose packages it sees.
        folder: where; it must not exist.

    Returns:
        Its folder of executables, to be put on PATH.
    """
    interpreter = environment.interpreter
    bin_folder = folder / "bin"
    packages = folder / "lib" / f"python{interpreter.version}" / "site-packages"
    (packages / "pip").mkdir(parents=True)
    bin_folder.mkdir()
    for name in ("python", "python3", f"python{interpreter.version}"):
        (bin_folder / name).symlink_to(interpreter.path)
    (folder / "pyvenv.cfg").write_text(f"home = {Path(interpreter.path).parent}\nversion = {interpreter.version}\n")
    # addsitedir, not the bare path: .pth files of the store's packages count too
    (packages / "hdm.pth").write_text(f"import site; site.addsitedir({str(environment.site_packages)!r})\n")
    shutil.copyfile(sdk.__file__, packages / "hdm.py")
    facts = {
        "key": environment.key,
        "requirements": environment.requirements.digest,
        "files": dict(environment.requirements.files),
        "pip": environment.pip,
    }
    (packages / "pip" / "environment.json").write_text(json.dumps(facts), "utf-8")
    (packages / "pip" / "__init__.py").touch()
    shutil.copyfile(pip_shim.__file__, packages / "pip" / "__main__.py")
    for name in ("pip", "pip3", f"pip{interpreter.version}"):
        script = bin_folder / name
        script.write_text('#!/bin/sh\nexec "${0%/*}/python" -m pip "$@"\n')
        script.chmod(0o700)
    return bin_folder
