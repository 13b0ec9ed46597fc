"""Pack: one self-contained program in a packs folder, good or quarantined."""

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
    """A metric pack that must have succeeded before this pack may judge its metrics."""

    name: str  # of the metric pack
    explicit: bool = True  # False: a default, which counts only on endpoints where that metric pack is activated
    quarantined: bool = False  # True: the metric pack is broken, so nothing passes the gate


@dataclass(frozen=True, kw_only=True)
class Pack:
    """One pack as the catalog read it; if quarantined, with the errors that are the reason."""

    kind: Kind
    name: str  # of a quarantined pack: the manifest's name if it could be read, else the folder's
    version: str  # '' if the manifest has none
    folder: str  # relative to the packs folder, with forward slashes, such as 'metric-packs/basic'
    path: Path  # absolute
    task_id: str  # such as 'mp_basic'
    manifest: Manifest | None  # None only in quarantine
    readme: str = ""  # the first 20 kB of Readme.md
    requires: tuple[Requirement, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def packs_folder(self) -> Path:
        """The packs folder in which it was found."""
        return self.path.parents[len(Path(self.folder).parts) - 1]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that quarantine it; none for a good pack."""
        return errors(self.findings)

    @property
    def tags(self) -> tuple[str, ...]:
        """Words to select it by."""
        return self.manifest.tags if self.manifest else ()
