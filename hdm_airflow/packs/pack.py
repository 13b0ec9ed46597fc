"""Pack: one self-contained program of a packs folder, good or quarantined."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hdm_airflow.packs.finding import Finding, errors
from hdm_airflow.packs.manifest import Kind, Manifest

SCRIPT = "bootstrap-script.sh"
MANIFEST = "properties.json"
REQUIREMENTS = "requirements.txt"
CREATE_TABLE = "create-table"

PREFIX: dict[Kind, str] = {"metric": "mp_", "rule": "rp_"}


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """A metric pack that must have finished well before this pack may judge its metrics."""

    name: str  # of the metric pack
    explicit: bool = True  # False: by default; counts only on endpoints where that metric pack is activated
    quarantined: bool = False  # True: the metric pack is broken, so nothing passes


@dataclass(frozen=True, kw_only=True)
class Pack:
    """One pack as the catalog read it; a quarantined one carries the errors it is quarantined for."""

    kind: Kind
    name: str  # of a quarantined pack: its manifest's where that could be read, else its folder's
    version: str  # '' where the manifest gives none
    folder: str  # below the packs folder, with forward slashes, e.g. 'metric-packs/basic'
    path: Path  # absolute
    task_id: str  # e.g. 'mp_basic'
    manifest: Manifest | None  # None only in quarantine
    readme: str = ""  # the first 20 kB of Readme.md
    requires: tuple[Requirement, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def packs_folder(self) -> Path:
        """Where it was found, with the others."""
        return self.path.parents[len(Path(self.folder).parts) - 1]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings it is quarantined for; none for a good pack."""
        return errors(self.findings)

    @property
    def tags(self) -> tuple[str, ...]:
        """Words to select it by."""
        return self.manifest.tags if self.manifest else ()
