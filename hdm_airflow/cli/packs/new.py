"""`airflow hdm packs new`: a working pack, from the templates next to this module."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hdm_airflow.admin.pack_names import check_name
from hdm_airflow.cli.command import command
from hdm_airflow.cli.command_context import actor, packs_folder
from hdm_airflow.cli.console import put, say
from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs.pack import PREFIX, SCRIPT

if TYPE_CHECKING:
    from argparse import Namespace

TEMPLATES = Path(__file__).with_name("templates")
VERSION = "0.1.0"
#: Ending of template files that are Python: nobody should import, lint or type-check them.
_SUFFIX = ".in"


@command
def new(args: Namespace) -> int:
    """Write the pack and print its folder."""
    check_name(args.name, "NAME")
    target = packs_folder(args.folder) / f"{args.kind}-packs" / args.name
    if target.exists() or target.is_symlink():
        raise ConfigurationError("the path already exists", str(target), "choose another name")
    _write(TEMPLATES / f"{args.kind}-{args.language}", target, _words(args.name))
    put(str(target))
    say(f"check it: airflow hdm packs check {target}")
    packs_dir = f" --packs-dir {args.folder}" if args.folder else ""
    say(f"run it:   airflow hdm activate {PREFIX[args.kind]}{args.name} ENDPOINT{packs_dir}")
    say(f"          airflow hdm packs run {PREFIX[args.kind]}{args.name}{packs_dir}")
    return 0


def _words(name: str) -> dict[str, str]:
    """The value of each placeholder in the templates."""
    table = re.sub(r"[^a-z0-9_]", "_", name.lower())[:50]  # PostgreSQL cuts names at 63 bytes
    author = json.dumps(actor(), ensure_ascii=False)[1:-1]
    return {"__NAME__": name, "__VERSION__": VERSION, "__AUTHOR__": author, "__TABLE__": f"metric_{table}"}


def _write(template: Path, target: Path, words: dict[str, str]) -> None:
    """Copy a template and fill it in; the pack appears complete or not at all."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=target.parent) as aside:
            copy = Path(aside) / target.name
            shutil.copytree(template, copy, ignore=shutil.ignore_patterns("__pycache__"))
            for path in sorted(copy.rglob("*")):
                if path.is_file():
                    text = path.read_text("utf-8")
                    for placeholder, word in words.items():
                        text = text.replace(placeholder, word)
                    path.write_text(text, "utf-8")
                    path.rename(path.with_name(path.name.removesuffix(_SUFFIX)))
            (copy / SCRIPT).chmod(0o755)
            copy.rename(target)
    except OSError as error:
        raise ConfigurationError(
            f"the pack cannot be written: {error.strerror}", str(target), "choose another folder"
        ) from None
