"""The slower checks of one pack, for `airflow hdm packs check`: dashboards, configuration, SQL, Python files."""

from __future__ import annotations

import json
import os
from pathlib import Path

from hdm_airflow.packs import conf, config_schema, files, lookalikes, requirement_lines, scripts
from hdm_airflow.packs.pack import CREATE_TABLE, REQUIREMENTS
from hdm_airflow.packs.reader import Draft
from hdm_airflow.packs.tree import Tree, entries, walk

_DASHBOARD = "kibana-dashboard/export.ndjson"
_DASHBOARD_LIMIT = 100_000_000  # bytes; Kibana exports of several MB are common


def inspect(draft: Draft, root: Path) -> None:
    """Add the findings that require reading every file of the pack."""
    if draft.closed:
        return
    _check_dashboard(draft)
    _check_conf(draft)
    _check_texts(draft)
    _check_imports(draft, root)
    config_schema.inspect(draft)
    scripts.inspect(draft)
    requirement_lines.inspect(draft)
    lookalikes.inspect(draft)


def _check_dashboard(draft: Draft) -> None:
    try:
        content = files.read_bytes(draft.path / _DASHBOARD, limit=_DASHBOARD_LIMIT)
    except FileNotFoundError:
        return
    except files.Unreadable as error:
        draft.add("ndjson-bad", f"the dashboard {error.reason}", error.hint, file=_DASHBOARD)
        return
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            if line.strip():
                json.loads(line)
        except (ValueError, RecursionError):
            hint = "export the saved objects from Kibana again"
            draft.add("ndjson-bad", "the line is not JSON", hint, file=_DASHBOARD, place=str(number))


def _check_conf(draft: Draft) -> None:
    try:
        found = conf.read(draft.path)
    except FileNotFoundError:
        return
    except files.Unreadable as error:
        draft.add("conf-unreadable", f"conf.json {error.reason}", error.hint, file=conf.FILE, place=error.place)
        return
    except (ValueError, RecursionError) as error:
        place = f"{error.lineno}:{error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        draft.add("conf-unreadable", "conf.json is not JSON", "correct it there", file=conf.FILE, place=place)
        return
    for place, _ in conf.secrets(found):
        hint = "keep it in an Airflow connection, and remove it from the file and its history"
        draft.add("conf-password", "the file contains a password in plain text", hint, file=conf.FILE, place=place)


def _check_texts(draft: Draft) -> None:
    scripts = sorted((draft.path / CREATE_TABLE).glob("*.sql"))
    checks = [(path, "sql-unreadable") for path in scripts]
    checks.append((draft.path / REQUIREMENTS, "requirements-unreadable"))
    for path, code in checks:
        name = path.relative_to(draft.path).as_posix()
        try:
            files.decode(files.read_bytes(path))
        except FileNotFoundError:
            continue
        except files.Unreadable as error:
            draft.add(code, f"{name} {error.reason}", error.hint, file=name, place=error.place)


def _check_imports(draft: Draft, root: Path) -> None:
    """At every parse, Airflow imports each .py file below the dags folder that contains "airflow" and "dag".

    It follows links, and gives up the whole dags folder if it comes to a folder twice.
    """
    if any(_ignores(folder, root) for folder in (root, *root.parents)):
        return
    hint = f"add {root.name}/ to the file .airflowignore next to your Dag file"
    for link in walk(draft.path).doubled:
        draft.add("airflow-links", "Airflow would find this folder twice, and then load no Dag", hint, file=link)
    everything = entries(draft.path, Tree())
    for name in sorted(name for name, entry in everything if name.endswith(".py") and not entry.is_dir()):
        try:
            content = files.read_bytes(draft.path / name).lower()
        except (FileNotFoundError, files.Unreadable):
            continue  # Airflow cannot read and import it either
        if b"airflow" in content and b"dag" in content:
            draft.add("airflow-imports", "Airflow would import this file at every parse", hint, file=name)


def _ignores(folder: Path, root: Path) -> bool:
    try:
        lines = (folder / ".airflowignore").read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return False
    relative = os.path.relpath(root, folder).replace(os.sep, "/")
    names = {
        "*",
        "**",
        ".",
        relative,
        f"{relative}/",
        f"{relative}/*",
        f"{relative}/**",
        f"/{relative}/",
        f"**/{root.name}/",
    }
    return any(line.strip() in names or line.strip().strip("/") == root.name for line in lines)
