"""Catalog: all packs of a packs folder, good and quarantined, with their findings."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs import graph
from hdm_airflow.packs.discovery import Stray, discover
from hdm_airflow.packs.finding import Finding, errors
from hdm_airflow.packs.manifest import NAME_LIMIT, Kind
from hdm_airflow.packs.pack import MANIFEST, PREFIX, Pack
from hdm_airflow.packs.reader import Draft, read
from hdm_airflow.printable import printable


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """The packs of one folder."""

    root: Path  # the folder, absolute
    packs: tuple[Pack, ...]  # the packs that can run, sorted by kind and name
    quarantined: tuple[Pack, ...]  # the packs that cannot, in path order
    findings: tuple[Finding, ...]  # errors and warnings of all packs and of the folder itself

    @classmethod
    def scan(cls, root: str | Path, *, deep: bool = False) -> Catalog:
        """Read a packs folder.

        Args:
            root: the packs folder.
            deep: also read dashboards, conf.json, SQL scripts and Python files. `airflow hdm packs check` does; a
                Dag file does not, since every worker parses it again for each task.

        Raises:
            ConfigurationError: if the folder is missing or cannot be listed. A broken pack never raises.
        """
        root = Path(root).absolute()
        drafts, strays = _read_all(root)
        _check_duplicates(drafts)
        graph.check(drafts)
        if deep:
            from hdm_airflow.packs import inspection

            for draft in drafts:
                inspection.inspect(draft, root)
        good, bad = _resolve(drafts)
        findings = [*strays, *(finding for draft in drafts for finding in draft.findings)]
        return cls(root=root, packs=good, quarantined=bad, findings=tuple(sorted(findings)))

    @property
    def every(self) -> tuple[Pack, ...]:
        """Every pack, quarantined ones last."""
        return (*self.packs, *self.quarantined)

    def upstream(self, pack: Pack) -> tuple[Pack, ...]:
        """The metric packs that a pack waits for; a quarantined one only if no good one has its name."""
        named = (other for requirement in pack.requires for other in self._metric_packs.get(requirement.name, ()))
        return tuple(other for other in named if other is not pack)

    @cached_property
    def _metric_packs(self) -> dict[str, list[Pack]]:
        """Name -> the good metric pack with that name, else all quarantined ones."""
        found: dict[str, list[Pack]] = defaultdict(list)
        for pack in self.every:  # the good ones come first
            if pack.kind == "metric" and all(other.errors for other in found[pack.name]):
                found[pack.name].append(pack)
        return found

    def find(self, name: str) -> Pack:
        """The pack with a given task id (`mp_basic`), folder or name.

        Raises:
            ConfigurationError: if there is none, or a metric and a rule pack share the name.
        """
        for attribute in ("task_id", "folder", "name"):
            matches = [pack for pack in self.every if getattr(pack, attribute) == name]
            if len(matches) == 1:
                return matches[0]
            if matches:
                ids = " or ".join(pack.task_id for pack in matches)
                raise ConfigurationError(f"{name!r} means {len(matches)} packs", str(self.root), f"write {ids}")
        known = ", ".join(pack.task_id for pack in self.every) or "none"
        raise ConfigurationError(f"there is no pack {name!r}", str(self.root), f"choose one of: {known}")


def _read_all(root: Path) -> tuple[list[Draft], list[Finding]]:
    strays: list[Stray] = []
    try:
        found = list(discover(root, strays))
    except (FileNotFoundError, NotADirectoryError) as error:
        what = "missing" if isinstance(error, FileNotFoundError) else "not a folder"
        raise ConfigurationError(f"the packs folder is {what}", str(root), "create it, or correct packs_dir") from None
    except OSError as error:
        what = f"the packs folder cannot be listed: {error.strerror}"
        raise ConfigurationError(what, str(root), "let Airflow's user read it") from None
    drafts = [read(pack.folder, pack.path, pack.kind) for pack in found]
    return sorted(drafts, key=lambda draft: draft.folder), [_stray(one) for one in strays]


def _stray(one: Stray) -> Finding:
    folder = printable(one.path)
    return Finding(pack=folder, file="", place="", code=one.code, message=one.message, hint=one.hint)


def _check_duplicates(drafts: list[Draft]) -> None:
    same: dict[tuple[Kind, str], list[Draft]] = defaultdict(list)
    for draft in drafts:
        if draft.manifest and draft.kind:
            same[draft.kind, draft.name].append(draft)
    for (kind, name), group in same.items():
        good = [draft for draft in group if not errors(draft.findings)]
        spared = good[0] if len(good) == 1 else None  # broken packs with its name do not quarantine it
        for draft in group if len(group) > 1 else ():
            if draft is not spared:
                others = ", ".join(other.folder for other in group if other is not draft)
                message = f"another {kind} pack is named {name!r}: {others}"
                draft.add("name-duplicate", message, "rename one of them", file=MANIFEST, place="name")


def _resolve(drafts: list[Draft]) -> tuple[tuple[Pack, ...], tuple[Pack, ...]]:
    """Sort the drafts into good and quarantined packs, each with its task id and requirements."""
    broken = {draft.folder for draft in drafts if errors(draft.findings)}
    good = [draft for draft in drafts if draft.folder not in broken]
    # A broken pack with the name of a good one does not replace it.
    metric_packs = {draft.name: True for draft in drafts if draft.kind == "metric"}
    metric_packs |= {draft.name: False for draft in good if draft.kind == "metric"}
    taken = {_task_id(draft, draft.name) for draft in good}
    packs = [_pack(draft, _task_id(draft, draft.name), metric_packs) for draft in good]
    quarantined = []
    for draft in drafts:
        if draft.folder in broken:
            task_id = _free(_task_id(draft, re.sub(r"[^\w.-]", "_", draft.path.name)[:NAME_LIMIT]), taken)
            taken.add(task_id)
            quarantined.append(_pack(draft, task_id, metric_packs))
    return tuple(sorted(packs, key=lambda pack: (pack.kind, pack.name))), tuple(quarantined)


def _task_id(draft: Draft, name: str) -> str:
    return PREFIX[draft.kind or "metric"] + name


def _free(wanted: str, taken: set[str]) -> str:
    number, task_id = 1, wanted
    while task_id in taken:
        number += 1
        task_id = f"{wanted}_{number}"
    return task_id


def _pack(draft: Draft, task_id: str, metric_packs: dict[str, bool]) -> Pack:
    return Pack(
        kind=draft.kind or "metric",
        name=draft.name,
        version=draft.manifest.version if draft.manifest else "",
        folder=draft.folder,
        path=draft.path,
        task_id=task_id,
        manifest=draft.manifest,
        readme=draft.readme,
        requires=graph.requirements(draft, metric_packs),
        findings=tuple(sorted(draft.findings)),
    )
