"""Which packs a name on the command line means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from hdm_airflow.cli.command_context import packs_folder
from hdm_airflow.cli.console import warn
from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs.catalog import Catalog
from hdm_airflow.packs.manifest import Kind, Manifest
from hdm_airflow.packs.pack import PREFIX

if TYPE_CHECKING:
    from argparse import Namespace


@dataclass(frozen=True, kw_only=True)
class Named:
    """A pack as the HDM base names it."""

    kind: Kind
    name: str
    version: str = ""  # '' if the packs folder does not have the pack
    path: Path | None = None  # None if the packs folder does not have the pack

    @property
    def task_id(self) -> str:
        """For example `mp_basic`."""
        return PREFIX[self.kind] + self.name


def find(args: Namespace) -> list[Named]:
    """The packs that PACK, `--kind` and `--packs-dir` mean: one, or a metric and a rule pack with the same name.

    A pack that is not in the folder may be planned, or be on another machine: it is accepted with a warning if its
    kind is clear.

    Raises:
        ConfigurationError: if the kind is not clear.
    """
    text: str = args.pack
    folder = packs_folder(args.packs_dir)
    packs = Catalog.scan(folder).every if folder.is_dir() else ()
    for attribute in ("task_id", "name"):
        found = [pack for pack in packs if getattr(pack, attribute) == text and args.kind in (None, pack.kind)]
        if found:
            for pack in found:
                if pack.errors:
                    warn(f"{pack.task_id} is quarantined: airflow hdm packs check {pack.path}")
            return [Named(kind=pack.kind, name=pack.name, version=pack.version, path=pack.path) for pack in found]
    return [_guess(text, args.kind, str(folder))]


def find_one(args: Namespace) -> Named:
    """The single pack that they mean.

    Raises:
        ConfigurationError: if they mean two packs, or the kind is not clear.
    """
    found = find(args)
    if len(found) > 1:
        raise ConfigurationError(f"{args.pack!r} means {len(found)} packs", "PACK", f"write {_or(found)}")
    return found[0]


def stated(text: str, kind: Kind | None) -> Named | None:
    """The pack that a name means without the packs folder; None if its kind is not clear.

    Args:
        text: the name, or a task id such as `mp_basic`.
        kind: the kind, if it is known: then only its prefix is a prefix.
    """
    for one, prefix in PREFIX.items():
        if text.startswith(prefix) and kind in (None, one) and len(text) > len(prefix):
            return Named(kind=one, name=text.removeprefix(prefix))
    return Named(kind=kind, name=text) if kind else None


def check_name(name: str, place: str) -> None:
    """Refuse a name that no pack can have.

    Raises:
        ConfigurationError: if it is not valid in properties.json.
    """
    try:
        Manifest.model_validate({"name": name, "version": "1.0.0"})
    except ValidationError as error:
        what = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigurationError(f"{name!r} cannot be a pack's name: {what}", place, "choose another name") from None


def catalog(packs_dir: str | None) -> Catalog | None:
    """The packs of the packs folder; None if it cannot be read."""
    try:
        return Catalog.scan(packs_folder(packs_dir))
    except ConfigurationError:
        return None


def task_ids(packs: Catalog) -> set[str]:
    """The name of each pack with its kind's prefix, as the HDM base knows it."""
    return {PREFIX[pack.kind] + pack.name for pack in packs.every}


def _guess(text: str, kind: Kind | None, folder: str) -> Named:
    named = stated(text, kind)
    if named is None:
        hint = f"correct the name, or state the kind: mp_{text}, rp_{text} or --kind"
        raise ConfigurationError(f"there is no pack {text!r}", folder, hint)
    warn(f"there is no {named.task_id} in {folder}")
    return named


def _or(found: Sequence[Named]) -> str:
    return " or ".join(one.task_id for one in found)
