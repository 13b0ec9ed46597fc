"""Which packs a name means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs.catalog import Catalog
from hdm_airflow.packs.manifest import Kind, Manifest
from hdm_airflow.packs.pack import PREFIX


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


@dataclass(frozen=True, kw_only=True)
class Found:
    """The packs that a name means."""

    packs: tuple[Named, ...]  # one, or a metric and a rule pack with the same name
    warnings: tuple[str, ...] = ()


def find(text: str, kind: Kind | None, folder: Path) -> Found:
    """The packs that a name means: one, or a metric and a rule pack with the same name.

    A pack that is not in the folder may be planned, or be on another machine: it is accepted with a warning if its
    kind is clear.

    Args:
        text: the name, or a task id such as `mp_basic`.
        kind: the kind, if it is known.
        folder: the packs folder; it need not exist.

    Raises:
        ConfigurationError: if the kind is not clear.
    """
    packs = Catalog.scan(folder).every if folder.is_dir() else ()
    for attribute in ("task_id", "name"):
        found = [pack for pack in packs if getattr(pack, attribute) == text and kind in (None, pack.kind)]
        if found:
            named = [Named(kind=pack.kind, name=pack.name, version=pack.version, path=pack.path) for pack in found]
            warnings = [
                f"{pack.task_id} is quarantined: airflow hdm packs check {pack.path}" for pack in found if pack.errors
            ]
            return Found(packs=tuple(named), warnings=tuple(warnings))
    guess = stated(text, kind)
    if guess is None:
        hint = f"correct the name, or state the kind: mp_{text}, rp_{text} or --kind"
        raise ConfigurationError(f"there is no pack {text!r}", str(folder), hint)
    return Found(packs=(guess,), warnings=(f"there is no {guess.task_id} in {folder}",))


def the_only(text: str, found: Sequence[Named]) -> Named:
    """The pack that a name means, if it means one.

    Raises:
        ConfigurationError: if it means two.
    """
    if len(found) > 1:
        names = " or ".join(one.task_id for one in found)
        raise ConfigurationError(f"{text!r} means {len(found)} packs", "PACK", f"write {names}")
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


def renaming(text: str, kind: Kind | None, new: str) -> tuple[Named, Named]:
    """A pack's old and new name. The kind is never taken from the packs folder, which may have one of the names.

    Args:
        text: the old name, or a task id.
        kind: the kind, if it is known.
        new: the new name, or a task id of the same kind.

    Raises:
        ConfigurationError: if the kind is not clear or would change, or the new name is invalid or the old one.
    """
    before = stated(text, kind)
    if before is None:
        hint = f"write mp_{text} or rp_{text}, or give --kind"
        raise ConfigurationError(f"the kind of {text!r} is not clear", "OLD", hint)
    other = PREFIX["rule" if before.kind == "metric" else "metric"]
    if new.startswith(other):
        raise ConfigurationError(f"{new!r} is of the other kind", "NEW", f"write {PREFIX[before.kind]}NAME or NAME")
    after = Named(kind=before.kind, name=new.removeprefix(PREFIX[before.kind]))
    check_name(after.name, "NEW")
    if after == before:
        raise ConfigurationError("both names are the same", "NEW", "write the new name")
    return before, after


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


def task_ids(packs: Catalog) -> set[str]:
    """The name of each pack with its kind's prefix, as the HDM base knows it."""
    return {PREFIX[pack.kind] + pack.name for pack in packs.every}
