"""The dependency graph: which pack waits for which, with versions and defaults, and what is wrong with it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from packaging.specifiers import SpecifierSet

from hdm_airflow.packs.finding import errors
from hdm_airflow.packs.manifest import parse_dependency
from hdm_airflow.packs.pack import MANIFEST, Requirement
from hdm_airflow.packs.reader import Draft
from hdm_airflow.packs.versions import parse as parse_version


def check(drafts: Sequence[Draft]) -> None:
    """Add a finding to each draft for each dependency that is unknown, unmet or part of a cycle."""
    broken_first = sorted(drafts, key=lambda draft: not errors(draft.findings))  # of two with one name, the good one
    metric_packs = {draft.name: draft for draft in broken_first if draft.kind == "metric"}
    for draft in drafts:
        for place, (name, specifier) in enumerate(_stated(draft)):
            _check_one(draft, f"depends_on.{place}", metric_packs.get(name), name, specifier)
    _check_cycles({name: draft for name, draft in metric_packs.items() if draft.manifest})


def requirements(draft: Draft, metric_packs: Mapping[str, bool]) -> tuple[Requirement, ...]:
    """The metric packs that a pack waits for.

    Args:
        draft: the pack.
        metric_packs: name -> whether it is quarantined, for every metric pack.

    Returns:
        The packs named by depends_on; for a rule pack without it, the metric pack of the same name, else every metric
        pack.
    """
    if draft.manifest is None:
        return ()
    if draft.manifest.depends_on is not None:
        names = dict.fromkeys(name for name, _ in _stated(draft))
        return tuple(Requirement(name=name, quarantined=metric_packs.get(name, True)) for name in names)
    if draft.kind == "metric":
        return ()
    defaults: Iterable[str] = [draft.name] if draft.name in metric_packs else sorted(metric_packs)
    return tuple(Requirement(name=name, explicit=False, quarantined=metric_packs[name]) for name in defaults)


def _stated(draft: Draft) -> list[tuple[str, SpecifierSet]]:
    depends_on = draft.stated.depends_on if draft.stated else None
    return [parse_dependency(text) for text in depends_on or ()]


def _check_one(draft: Draft, place: str, target: Draft | None, name: str, specifier: SpecifierSet) -> None:
    if target is None:
        hint = f"add a metric pack named {name!r}, or remove it from depends_on"
        draft.add("dependency-unknown", f"there is no metric pack {name!r}", hint, file=MANIFEST, place=place)
        return
    if not str(specifier) or target.manifest is None:  # a broken pack's version is unknown; the gate stops it
        return
    version = parse_version(target.manifest.version)
    if version is None or not specifier.contains(version, prereleases=True):
        message = f"{name}{specifier} is required, but {name} is {target.manifest.version}"
        hint = f"update the metric pack {name!r}, or correct the specifier"
        draft.add("dependency-unmet", message, hint, file=MANIFEST, place=place)


def _check_cycles(metric_packs: Mapping[str, Draft]) -> None:
    needs = {
        name: [target for target, _ in _stated(draft) if target in metric_packs] for name, draft in metric_packs.items()
    }
    reported: set[str] = set()
    for name in sorted(needs):
        cycle = [] if name in reported else _shortest_cycle(name, needs)
        reported.update(cycle)
        path = " -> ".join([*cycle, *cycle[:1]])
        for member in cycle:
            message = f"the packs depend on each other in a cycle: {path}"
            hint = "remove one of these dependencies"
            metric_packs[member].add("dependency-cycle", message, hint, file=MANIFEST, place="depends_on")


def _shortest_cycle(start: str, needs: Mapping[str, Sequence[str]]) -> list[str]:
    """The shortest path from a pack back to itself, each pack requiring the next; empty if there is none."""
    came_from: dict[str, str] = {}
    waiting = deque([start])
    while waiting:
        name = waiting.popleft()
        for target in needs[name]:
            if target == start:
                way = [name]
                while way[-1] != start:
                    way.append(came_from[way[-1]])
                return way[::-1]
            if target not in came_from:
                came_from[target] = name
                waiting.append(target)
    return []
