"""Reading one pack's folder: manifest, script and Readme, with all findings at once.

This runs at each parse of a Dag file, so it reads little: the manifest, the script, and the first 20 kB of the Readme.
Slower checks are in `inspection`.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hdm_airflow.packs import files
from hdm_airflow.packs.finding import Finding
from hdm_airflow.packs.manifest import Kind, Manifest
from hdm_airflow.packs.pack import MANIFEST, SCRIPT
from hdm_airflow.packs.tree import DEEP, LONG, Tree, walk
from hdm_airflow.packs.versions import parse as parse_version
from hdm_airflow.printable import printable

README_LIMIT = 20_000  # bytes
_FIELDS = frozenset(Manifest.model_fields)
#: The pack cannot be placed without these keys: a wrong value quarantines it, as a missing one does.
_CODE_OF_BAD_KEY = {
    "name": "name-bad",
    "version": "version-bad",
    "depends_on": "dependency-unknown",
    "kind": "kind-bad",
}
_HINTS = {
    "name": 'write one, for example "name": "basic"',
    "version": 'write one, for example "version": "1.0.0"',
    "depends_on": 'write a list of metric packs, for example ["basic>=0.3"]',
    "kind": 'write "metric" or "rule"',
}
_LONG = 80  # characters of an unknown key that are compared with the known ones
_QUOTED = {"name": "basic", "version": "1.0"}
_STAND_INS = {"name": "unnamed", "version": "0"}


@dataclass
class Draft:
    """A pack as read, before the catalog compares it with the others."""

    folder: str
    path: Path
    folder_kind: Kind | None
    manifest: Manifest | None = None
    stated: Manifest | None = None  # the same, with placeholders for a missing or wrong name or version
    raw: dict[str, Any] = field(default_factory=dict)  # the manifest's JSON object, even if it is not valid
    readme: str = ""
    findings: list[Finding] = field(default_factory=list)

    def add(self, code: str, message: str, hint: str, *, file: str = "", place: str = "") -> None:
        """Record one finding."""
        file, place, message = printable(file), printable(place), printable(message)
        finding = Finding(pack=self.folder, file=file, place=place, code=code, message=message, hint=hint)
        self.findings.append(finding)

    @property
    def closed(self) -> bool:
        """Whether the folder itself cannot be read, so that nothing else is known about the pack."""
        return any(finding.code == "folder-unreadable" and not finding.file for finding in self.findings)

    @property
    def kind(self) -> Kind | None:
        """The manifest's kind, else the folder's."""
        stated = self.raw.get("kind")
        return stated if stated in ("metric", "rule") else self.folder_kind  # may be unhashable

    @property
    def name(self) -> str:
        """The manifest's name if it is valid, else the folder's."""
        if self.manifest:
            return self.manifest.name
        stated = self.raw.get("name")
        bad = any(finding.code == "name-bad" for finding in self.findings)
        return stated if isinstance(stated, str) and stated and not bad else printable(self.path.name)


def read(folder: str, path: Path, folder_kind: Kind | None) -> Draft:
    """Read one pack.

    Args:
        folder: relative to the packs folder, with forward slashes.
        path: the same, absolute.
        folder_kind: the kind that the folder's location implies, if any.
    """
    draft = Draft(printable(folder), path, folder_kind)
    tree = walk(path)
    _check_tree(draft, tree)
    if draft.closed:
        return draft
    _read_manifest(draft)
    _check_kind(draft)
    _check_manifest(draft, tree)
    _check_script(draft)
    _read_readme(draft, tree)
    return draft


def _check_tree(draft: Draft, tree: Tree) -> None:
    for place, reason in tree.unreadable:
        draft.add(
            "folder-unreadable",
            f"the folder cannot be read: {reason}",
            "let Airflow's user read it",
            file=place,
        )
    for link in tree.escaping:
        draft.add("symlink-escapes", "this link leads out of the pack", "copy the file into the pack", file=link)
    for link in tree.broken:
        draft.add("symlink-broken", "the link's target does not exist", "remove it, or correct it", file=link)
    for link in tree.looping:
        message = "this link leads to a folder that contains it; without .airflowignore, Airflow then loads no Dag"
        draft.add("symlink-loop", message, "remove it", file=link)
    for special in tree.special:
        draft.add("special-file", "this is a pipe, socket or device", "remove it from the pack", file=special)
    for folder in sorted(tree.deep):
        message = f"its folders are nested over {DEEP} deep, or have paths of over {LONG:,} bytes"
        draft.add("folder-deep", message, "move the files up, or shorten the names", file=folder)
    if tree.large:
        draft.add("pack-large", "the pack has over 10,000 files", "move data and node_modules out of it")


def _read_manifest(draft: Draft) -> None:
    try:
        text, marked = files.decode(files.read_bytes(draft.path / MANIFEST))
        draft.raw, doubled = files.parse_object(text)
    except FileNotFoundError:
        hint = 'add it, with at least {"name": "...", "version": "1.0.0"}'
        draft.add("manifest-missing", f"the pack has no {MANIFEST}", hint, file=MANIFEST)
        return
    except files.Unreadable as error:
        code, hint = "manifest-unreadable", error.hint
        draft.add(code, f"{MANIFEST} {error.reason}", hint, file=MANIFEST, place=error.place)
        return
    if marked:
        draft.add("manifest-bom", "the file starts with a byte order mark", "save it without one", file=MANIFEST)
    for key in doubled:
        draft.add("key-duplicate", f"the key {key!r} appears twice", "keep one", file=MANIFEST, place=key)
    for key in sorted(draft.raw.keys() - _FIELDS):
        draft.add("key-unknown", f"the key {key!r} is unknown", _spelling(key), file=MANIFEST, place=key)
    _validate(draft)


def _validate(draft: Draft) -> None:
    """Validate the manifest, leaving out optional keys with wrong values."""
    values = {key: value for key, value in draft.raw.items() if key in _FIELDS}
    for key in ("name", "version"):
        if values.get(key) in (None, ""):
            values.pop(key, None)
            draft.add(f"{key}-missing", f"the pack has no {key}", _HINTS[key], file=MANIFEST, place=key)
    try:
        draft.manifest = Manifest.model_validate(values)
    except ValidationError as error:
        for problem in error.errors():
            if problem["type"] != "missing":
                _add_bad_value(draft, problem["loc"], problem["msg"])
                values.pop(str(problem["loc"][0]), None)
        draft.stated = Manifest.model_validate({**_STAND_INS, **values})
        draft.manifest = draft.stated if _STAND_INS.keys() <= values.keys() else None
    else:
        draft.stated = draft.manifest


def _spelling(key: str) -> str:
    """What to do about an unknown key: probably it is misspelt."""
    plain = {name.replace("_", ""): name for name in sorted(_FIELDS)}
    close = get_close_matches(re.sub(r"[\W_]", "", key[:_LONG]).lower(), plain, n=1)
    known = f"did you mean {plain[close[0]]!r}? Otherwise remove it" if close else "remove it"
    return f"{known} (docs: reference/properties)"


def _add_bad_value(draft: Draft, location: tuple[int | str, ...], message: str) -> None:
    key = str(location[0])
    code = _CODE_OF_BAD_KEY.get(key, "value-bad")
    hint = _HINTS.get(key, "correct the value, or remove the key (docs: reference/properties)")
    stated = draft.raw.get(key)
    if key in _STAND_INS and isinstance(stated, (int, float)) and not isinstance(stated, bool):
        hint = f'write it in quotes, as in "{key}": "{_QUOTED[key]}"'
    text = message.removeprefix("Value error, ").replace("valid tuple", "list")  # JSON has no tuples
    draft.add(code, f"{key}: {text}", hint, file=MANIFEST, place=".".join(map(str, location)))


def _check_kind(draft: Draft) -> None:
    if draft.kind is None and not any(finding.code == "manifest-unreadable" for finding in draft.findings):
        hint = 'add "kind": "metric" or "rule", or move the pack into metric-packs/ or rule-packs/'
        draft.add(
            "kind-unknown", "neither manifest nor folder says whether it is a metric or rule pack", hint, file=MANIFEST
        )
    elif None not in (draft.folder_kind, draft.kind) and draft.folder_kind != draft.kind:
        message = f"the manifest says {draft.kind}, the folder {draft.folder_kind}"
        draft.add("kind-differs", message, "make them agree", file=MANIFEST, place="kind")


def _check_manifest(draft: Draft, tree: Tree) -> None:
    manifest = draft.stated
    if manifest is None:
        return
    if parse_version(manifest.version) is None:
        message = f"the version {manifest.version!r} cannot be compared with others"
        draft.add("version-not-pep440", message, "use a version such as 1.0.0", file=MANIFEST, place="version")
    for key in ("author", "description"):
        if not getattr(manifest, key):
            draft.add(f"{key}-missing", f"the pack has no {key}", f"add {key!r}", file=MANIFEST, place=key)
    main = manifest.mainscript
    known = any(candidate in tree.files for candidate in (main.removeprefix("./"), f"process/{main}"))
    if main and not known and not tree.large:
        message = f"{main!r} is not in the pack"
        draft.add(
            "mainscript-missing",
            message,
            "correct the path, or add the file",
            file=MANIFEST,
            place="mainscript",
        )


def _check_script(draft: Draft) -> None:
    try:
        content = files.read_bytes(draft.path / SCRIPT)
        text, marked = files.decode(content)
    except FileNotFoundError:
        hint = "add it: it installs what the pack needs and starts the program"
        draft.add("script-missing", f"the pack has no {SCRIPT}", hint, file=SCRIPT)
        return
    except files.Unreadable as error:
        draft.add("script-unreadable", f"{SCRIPT} {error.reason}", error.hint, file=SCRIPT, place=error.place)
        return
    if marked:
        draft.add("script-bom", "the file starts with a byte order mark", "save it without one", file=SCRIPT, place="1")
    if "\r\n" in text:
        draft.add("script-crlf", "the lines have Windows endings", "save it with Unix line endings", file=SCRIPT)
    if not text.startswith("#!"):
        draft.add(
            "script-shebang",
            "the first line is not a #! line",
            "start it with #!/bin/bash",
            file=SCRIPT,
            place="1",
        )
    if not any(_is_command(line) for line in text.splitlines()):
        draft.add("script-empty", "the script has no command", "start the pack's program in it", file=SCRIPT)


def _is_command(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _read_readme(draft: Draft, tree: Tree) -> None:
    name = next(_readmes(tree), None)
    if name is None:
        draft.add("readme-missing", "the pack has no Readme.md", "add one: it becomes the task's documentation")
        return
    try:
        content = files.read_bytes(draft.path / name, limit=README_LIMIT, truncate=True)
        # Incremental: a character that the limit cuts in half is not an error.
        draft.readme = codecs.getincrementaldecoder("utf-8-sig")().decode(content).replace("\0", "")
    except (FileNotFoundError, UnicodeDecodeError, files.Unreadable) as error:
        message = f"{name} cannot be read as UTF-8 text ({type(error).__name__})"
        draft.add("readme-unreadable", message, "save it as UTF-8, readable by Airflow's user", file=name)


def _readmes(tree: Tree) -> Iterator[str]:
    return (name for name in sorted(tree.files) if name.lower() == "readme.md")
