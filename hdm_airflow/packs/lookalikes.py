"""Look-alikes: files whose names are nearly those that hdm_airflow reads, and that it therefore never reads."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from hdm_airflow.packs import conf, config_schema
from hdm_airflow.packs.pack import CREATE_TABLE, MANIFEST, REQUIREMENTS, SCRIPT
from hdm_airflow.packs.tree import walk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hdm_airflow.packs.reader import Draft

#: Folder -> names in it that mean something.
_KNOWN = {
    "": (MANIFEST, SCRIPT, REQUIREMENTS, config_schema.FILE, CREATE_TABLE, "kibana-dashboard", "process"),
    "process": (conf.FILE.rpartition("/")[2],),
    "kibana-dashboard": ("export.ndjson",),
}
_LIKENESS = 0.8  # of a name whose original is missing; config.json is less like config.schema.json
_FREE = {"process"}  # programs have files of their own there: config.json may be one of them
_SQL = re.compile(r"(?i)\.(sql|ddl|psql)(\.\w+)?$")


def inspect(draft: Draft) -> None:
    """Add a finding for each look-alike."""
    found = walk(draft.path).files
    for name, meant in sorted(_lookalikes(found)):
        message = f"the name looks like {meant}, but is not: hdm_airflow does not read it"
        draft.add("file-lookalike", message, f"rename it to {meant}, or give it another name", file=name)


def _lookalikes(found: set[str]) -> Iterator[tuple[str, str]]:
    """Each look-alike, and the name that is probably meant."""
    for folder, known in _KNOWN.items():
        prefix = f"{folder}/" if folder else ""
        names = {name.removeprefix(prefix).split("/")[0] for name in found if name.startswith(prefix)}
        missing = {_plain(name): name for name in known if name not in names}
        alike = {_plain(name): name for name in known}
        for name in names - set(known):
            meant = alike.get(_plain(name))
            if meant is None and folder not in _FREE:
                close = get_close_matches(_plain(name)[:100], missing, n=1, cutoff=_LIKENESS)
                meant = missing[close[0]] if close else None
            if meant:
                yield prefix + name, prefix + meant
    for name in found:
        if name.startswith(f"{CREATE_TABLE}/") and _SQL.search(name):
            plain = name.rpartition("/")[2]
            if not name.endswith(".sql") or name.count("/") > 1:
                yield name, f"{CREATE_TABLE}/{_SQL.sub('', plain)}.sql"


def _plain(name: str) -> str:
    return re.sub(r"[-_. ]", "", name.casefold())
