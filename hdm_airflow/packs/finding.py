"""Findings: the faults of a pack, each with its place and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

Severity = Literal["error", "warning"]

#: Every code of a finding, with its severity and meaning. An error quarantines the pack.
CODES: dict[str, tuple[Severity, str]] = {
    "folder-unreadable": ("error", "the pack's folder, or a folder in it, cannot be read"),
    "folder-deep": ("error", "the pack nests folders so deeply, or has a path so long, that a run cannot copy it"),
    "manifest-missing": ("error", "the pack has no properties.json"),
    "manifest-unreadable": ("error", "properties.json cannot be read, decoded or parsed"),
    "kind-unknown": (
        "error",
        "neither properties.json nor the folder says whether this is a metric pack or a rule pack",
    ),
    "name-missing": ("error", "properties.json has no name"),
    "name-bad": ("error", "the name cannot be part of a task id"),
    "version-missing": ("error", "properties.json has no version"),
    "version-bad": ("error", "the version is not a valid version"),
    "script-missing": ("error", "the pack has no bootstrap-script.sh"),
    "script-unreadable": ("error", "bootstrap-script.sh cannot be read or is not UTF-8 text"),
    "symlink-escapes": ("error", "a symbolic link leads out of the pack"),
    "folder-loop": (
        "error",
        "links below the packs folder lead to folders that contain them, or to too many folders",
    ),
    "name-duplicate": ("error", "two packs of the same kind have the same name"),
    "dependency-unknown": (
        "error",
        "depends_on names a metric pack that does not exist, or is not a valid requirement",
    ),
    "dependency-unmet": ("error", "the metric pack's version does not satisfy depends_on"),
    "dependency-cycle": ("error", "packs depend on each other in a cycle"),
    "version-not-pep440": ("warning", "the version cannot be compared with others"),
    "kind-bad": ("warning", "kind is neither metric nor rule; the folder decides"),
    "kind-differs": ("warning", "properties.json and the folder name different kinds; properties.json is used"),
    "key-unknown": ("warning", "a key of properties.json is unknown"),
    "key-duplicate": ("warning", "a key appears twice in properties.json; the last one is used"),
    "value-bad": ("warning", "a value of properties.json has the wrong type or range; the key is ignored"),
    "author-missing": ("warning", "properties.json has no author"),
    "description-missing": ("warning", "properties.json has no description"),
    "mainscript-missing": ("warning", "the mainscript of properties.json is not in the pack"),
    "manifest-bom": ("warning", "properties.json starts with a byte order mark"),
    "readme-missing": ("warning", "the pack has no Readme.md"),
    "readme-unreadable": ("warning", "Readme.md cannot be read as UTF-8 text"),
    "script-shebang": ("warning", "bootstrap-script.sh does not start with #!"),
    "script-crlf": ("warning", "bootstrap-script.sh has Windows line endings; the run's copy gets Unix ones"),
    "script-bom": ("warning", "bootstrap-script.sh starts with a byte order mark; the run's copy has none"),
    "script-empty": ("warning", "bootstrap-script.sh has no command"),
    "config-schema-bad": ("warning", "config.schema.json cannot be read, or is not a JSON Schema that can be used"),
    "script-syntax": ("warning", "bash cannot parse a shell script of the pack"),
    "helper-crlf": ("warning", "a script other than bootstrap-script.sh has Windows line endings"),
    "requirement-bad": ("warning", "a line of requirements.txt is not a requirement"),
    "script-interpreter": ("warning", "the #! line of bootstrap-script.sh names another program than bash"),
    "script-errexit": ("warning", "bootstrap-script.sh goes on after a failed command"),
    "script-not-executable": ("warning", "a script calls a file that is not executable"),
    "scripts-unchecked": ("warning", "the pack has too many scripts, or too long ones, to check all"),
    "windows-path": ("warning", "a shell script contains a Windows path"),
    "file-lookalike": ("warning", "a file's name is nearly one that hdm_airflow reads"),
    "symlink-broken": ("warning", "the target of a symbolic link does not exist"),
    "symlink-loop": ("warning", "a symbolic link leads to a folder that contains it"),
    "special-file": ("warning", "the pack contains a pipe, socket or device; runs do not get it"),
    "pack-large": ("warning", "the pack has over 10,000 files; each run copies them"),
    "requirements-unreadable": ("warning", "requirements.txt cannot be read as UTF-8 text"),
    "folder-stray": ("warning", "a folder or file below the packs folder is not a pack"),
    "airflow-links": (
        "warning",
        "Airflow would find a folder of this pack twice, through a link, and then load no Dag",
    ),
    "airflow-imports": ("warning", "Airflow would import this pack's Python files at every parse"),
    "ndjson-bad": ("warning", "a line of kibana-dashboard/export.ndjson is not JSON"),
    "conf-unreadable": ("warning", "process/conf.json cannot be read as JSON"),
    "config-default-bad": ("warning", "a value of process/conf.json does not fit config.schema.json"),
    "conf-password": ("warning", "process/conf.json contains a password"),
    "sql-unreadable": ("warning", "a script in create-table/ cannot be read as UTF-8 text"),
}


class Finding(NamedTuple):
    """One fault of one pack."""

    pack: str  # the pack's folder, relative to the packs folder, with forward slashes; '' for the packs folder itself
    file: str  # path relative to the pack's folder; '' for the folder itself
    place: str  # key, line or line:column in the file; '' for the whole file
    code: str  # a key of CODES
    message: str
    hint: str  # what to do, in the imperative

    @property
    def severity(self) -> Severity:
        """`error` if it quarantines the pack, else `warning`."""
        return CODES[self.code][0]

    @property
    def path(self) -> str:
        """File and place as editors accept them, such as `rule-packs/basic/properties.json:3`."""
        path = "/".join(part for part in (self.pack, self.file) if part) or "."
        return f"{path}:{self.place}" if self.place else path

    def __str__(self) -> str:
        return f"{self.path}: {self.severity} [{self.code}] {self.message}\n  do: {self.hint}"


def listed(findings: Iterable[Finding]) -> str:
    """The findings as text, errors first."""
    return "\n".join(map(str, sorted(findings, key=lambda finding: finding.severity)))


def errors(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings that quarantine their pack."""
    return tuple(finding for finding in findings if finding.severity == "error")
