"""`airflow hdm venvs list`, `warm` and `prune`: the venv store of the current user on this machine."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hdm_airflow.cli.command import command
from hdm_airflow.cli.command_context import packs_folder
from hdm_airflow.cli.console import say, show, warn
from hdm_airflow.errors import ConfigurationError, HdmError, VenvBuildError
from hdm_airflow.packs.catalog import Catalog
from hdm_airflow.packs.pack import Pack
from hdm_airflow.packs.selection import choose
from hdm_airflow.runner.home import expanded
from hdm_airflow.runner.processes import sandbox
from hdm_airflow.runner.processes.supervision import CutShortError, Supervision
from hdm_airflow.runner.venvs import precompile
from hdm_airflow.runner.venvs.options import VenvOptions
from hdm_airflow.runner.venvs.retention import Entry
from hdm_airflow.runner.venvs.store import VenvStore
from hdm_airflow.runner.workspace import workspace
from hdm_airflow.settings import Environment, Settings
from hdm_airflow.variable import UnreachableVariableError

if TYPE_CHECKING:
    from argparse import Namespace

FAILED = 1  # exit code: a venv could not be built or removed
DECLINED = 1  # exit code: not confirmed


@command
def list_all(args: Namespace) -> int:
    """List the venvs of the store, most recently used first, and the packs that need them."""
    store = VenvStore(_venvs(args, _settings()))
    users, entries = _users(store, args), store.entries()
    rows = [
        {
            "venv": entry.key,
            "python": entry.python,
            "installed": entry.packages,
            "size": _size(entry, args.output),
            "last_used": entry.last_used,
            "state": entry.state,
            "packs": users.get(entry.key, []),
            **({"requirements": entry.requirements.splitlines()} if args.output in {"json", "yaml"} else {}),
        }
        for entry in entries
    ]
    show(rows, args.output)
    say(f"{len(rows)} venv(s), {_total(entries)} in {store.root}")
    return 0


@command
def warm(args: Namespace) -> int:
    """Build the venvs of packs before their runs."""
    settings = _settings()
    store = VenvStore(_venvs(args, settings))
    rows = [_warm(store, pack, settings) for pack in _packs(args, settings)]
    show(rows, args.output)
    return FAILED if any(row["state"] == "failed" for row in rows) else 0


@command
def prune(args: Namespace) -> int:
    """Remove unused and damaged venvs, after confirmation."""
    venvs = _venvs(args, _settings())
    if not (args.older_than is None and args.max_size is None):
        venvs = venvs.model_copy(update={"days": args.older_than, "size": args.max_size})
    store = VenvStore(venvs)
    chosen = store.prune(dry_run=True)
    if args.dry_run:
        show([_row(entry, args.output) for entry in chosen], args.output)
        say(f"{len(chosen)} venv(s) would be removed, {_total(chosen)}")
        return 0
    if chosen and not args.yes and not _confirmed(chosen, store.root):
        say("nothing was removed")
        return DECLINED
    faults: list[str] = []
    removed = store.prune(log=faults.append)
    show([_row(entry, args.output) for entry in removed], args.output)
    for fault in faults:
        warn(fault)
    say(f"{len(removed)} venv(s) were removed, {_total(removed)}")
    return FAILED if faults else 0


def readable(size: float) -> str:
    """A number of bytes for people to read."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:  # noqa: PLR2004  # SI units
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _settings() -> Settings:
    """The settings, or the defaults if the Variable cannot be looked up, for example while an image is built."""
    try:
        return Settings.load()
    except UnreachableVariableError as error:
        warn(f"{error.what}; the defaults apply")
        return Settings()


def _venvs(args: Namespace, settings: Settings) -> VenvOptions:
    """The venv store of the settings, in the folder of `--store` if given."""
    if not args.store:
        return settings.venvs
    return settings.venvs.model_copy(update={"folder": str(expanded(args.store, where="--store").absolute())})


def _users(store: VenvStore, args: Namespace) -> dict[str, list[str]]:
    """Key of a venv -> task ids of the packs that need it, without quarantined packs."""
    found: dict[str, list[str]] = defaultdict(list)
    folder = packs_folder(args.packs_dir)
    for pack in Catalog.scan(folder).packs if folder.is_dir() else ():
        try:
            found[store.find(pack.path, _python(pack)).key].append(pack.task_id)
        except VenvBuildError as error:
            warn(f"{pack.task_id}: {error.what}")
    return found


def _packs(args: Namespace, settings: Settings) -> list[Pack]:
    """The packs named on the command line, else those that the settings select."""
    catalog = Catalog.scan(packs_folder(args.packs_dir))
    if args.packs:
        return list(choose(catalog.every, args.packs, ()))
    return list(choose(catalog.every, settings.select, settings.exclude)) if catalog.every else []


def _warm(store: VenvStore, pack: Pack, settings: Settings) -> dict[str, Any]:
    """Build the venv of a pack unless it exists; returns the row to print."""
    began = time.monotonic()
    row: dict[str, Any] = {"pack": pack.task_id, "venv": None, "state": "failed", "seconds": None}
    built: list[str] = []

    def narrate(line: str) -> None:
        built.append(line)
        say(f"{pack.task_id}: {line}")

    options = settings.run_options_for(pack, Environment())
    try:
        if pack.errors:
            raise ConfigurationError("the pack is quarantined", pack.folder, f"airflow hdm packs check {pack.path}")
        with workspace(pack.path) as place:
            sandbox_in_force = sandbox.in_force(options.sandbox, hide=[pack.packs_folder, store.root])
            supervision = Supervision(options.timeout, place, lambda: None, sandbox_in_force)
            using = store.use(place.pack, pack.folder, _python(pack), supervision=supervision, log=narrate)
            with using as venv:
                precompile.precompile(venv, supervision)
                row |= {"venv": venv.key, "state": "built" if built else "exists"}
    except CutShortError as error:
        timeout = f"stopped after its timeout of {options.timeout:g} s"
        unguarded = "the processes of its build could not be watched or stopped"
        say(f"{pack.task_id}: {unguarded if error.end_reason == 'unguarded' else timeout}")
    except HdmError as error:
        say(f"{pack.task_id}: {error}")
    return {**row, "seconds": round(time.monotonic() - began, 1)}


def _python(pack: Pack) -> str | None:
    return pack.manifest.python if pack.manifest else None


def _row(entry: Entry, output: str) -> dict[str, Any]:
    size = _size(entry, output)
    return {"venv": entry.key, "python": entry.python, "size": size, "last_used": entry.last_used}


def _size(entry: Entry, output: str) -> int | str:
    """A number of bytes for programs, rounded text for people."""
    return entry.size if output in {"json", "yaml"} else readable(entry.size)


def _total(entries: list[Entry]) -> str:
    return readable(sum(entry.size for entry in entries))


def _confirmed(chosen: list[Entry], root: Path) -> bool:
    if not sys.stdin.isatty():
        what = f"cannot ask for confirmation to remove {len(chosen)} venv(s) (stdin is not a terminal)"
        raise ConfigurationError(what, str(root), "add --yes")
    sys.stderr.write(f"Remove {len(chosen)} venv(s), {_total(chosen)}, from {root}? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
