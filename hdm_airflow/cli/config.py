"""`airflow hdm config get`, `set` and `list`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from hdm_airflow.base import configuration, endpoints
from hdm_airflow.base.configuration import Configuration, Configurations
from hdm_airflow.base.endpoints import canonical
from hdm_airflow.cli import config_check, pack_names
from hdm_airflow.cli.command import command
from hdm_airflow.cli.command_context import actor, open_base
from hdm_airflow.cli.console import compact, put, say, show, warn
from hdm_airflow.errors import ConfigurationError, HdmError
from hdm_airflow.packs import files, json_fault
from hdm_airflow.packs.pack import PREFIX
from hdm_airflow.packs.versions import is_version
from hdm_airflow.runner.home import expanded

if TYPE_CHECKING:
    from argparse import Namespace

    from hdm_airflow.cli.pack_names import Named

MISSING = 1  # exit code: the configuration does not exist
_SHOWN = 60  # characters of a value in a table


@command
def get(args: Namespace) -> int:
    """Print a configuration: JSON, or the stored text."""
    pack = pack_names.find_one(args)
    _refuse_both(args)
    with open_base(args) as base:
        slug = endpoints.find(base, args.endpoint).endpoint.slug if args.endpoint else None
        stored = configuration.read(base, pack.kind, pack.name)
    if args.effective:
        value, sources = _effective(stored, pack, args, slug)
        say(f"from: {', '.join(sources) or 'nothing is stored; the pack gets an empty object'}")
    else:
        found = stored.for_endpoint(slug) if slug else _of_version(stored, _version(pack, args))
        if not found.source:
            say(f"{pack.task_id} has no configuration for {slug or f'version {_version(pack, args)}'}")
            return MISSING
        value = found.value
    put(value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False))
    return 0


@command
def set_value(args: Namespace) -> int:
    """Store a configuration."""
    pack = pack_names.find_one(args)
    _refuse_both(args)
    text = _read(args)
    _check(text, is_text=args.text)
    with open_base(args) as base:
        slug = endpoints.find(base, args.endpoint).endpoint.slug if args.endpoint else None
        version = None if slug else _version(pack, args)
        config_check.refuse_misfit(base, pack, text, version=version, slug=slug)
        configuration.write(base, pack.kind, pack.name, text, actor=actor(), version=version, slug=slug)
    say(f"{pack.task_id} is configured for {slug or f'version {version}'}")
    return 0


@command
def list_all(args: Namespace) -> int:
    """List every configuration; one that cannot be decoded shows the error in place of its value."""
    with open_base(args) as base:
        rows = [_row(row) for row in configuration.every(base)]
        config_check.add_faults(base, rows)
    _add_missing(rows, args)
    if args.output == "table":
        rows = [{**row, "value": compact(row["value"], _SHOWN)} for row in rows]
    show(rows, args.output)
    return 0


def _add_missing(rows: list[dict[str, Any]], args: Namespace) -> None:
    """Add to the `fault` of each row that the packs folder has no such pack, if the folder can be read."""
    catalog = pack_names.catalog(args.packs_dir)
    present = pack_names.task_ids(catalog) if catalog else set()
    for row in rows if catalog else ():
        if row["pack"] not in present:
            row["fault"] = "; ".join(filter(None, ("no pack of this name in the packs folder", row["fault"])))


def _refuse_both(args: Namespace) -> None:
    if args.endpoint and args.version and not getattr(args, "effective", False):
        raise ConfigurationError("--endpoint and --version cannot be used together", "options", "give one of the two")


def _version(pack: Named, args: Namespace) -> str:
    version: str = args.version or pack.version
    if not version:
        raise ConfigurationError(f"the version of {pack.task_id} is unknown", "packs folder", "give --version")
    if not is_version(version):
        raise ConfigurationError(f"{version!r} is not a version", "--version", "write one such as 1.0.0")
    return version


def _of_version(stored: Configurations, version: str) -> Configuration:
    """The configuration of exactly this version: a lower version's is a fallback for packs only."""
    return stored.for_version(version) if version in stored.external else configuration.NONE


def _effective(stored: Configurations, pack: Named, args: Namespace, slug: str | None) -> tuple[Any, list[str]]:
    external = stored.for_version(_version(pack, args))
    if external.warning:
        warn(external.warning)
    return configuration.merge(external, stored.for_endpoint(slug) if slug else configuration.NONE)


def _read(args: Namespace) -> str:
    if (args.value is None) == (args.file is None):
        raise ConfigurationError(
            "exactly one value is required", "VALUE or --file", "give one of the two; - reads stdin"
        )
    if args.file is None and args.value != "-":
        return str(args.value)
    name = args.file or "stdin"
    try:
        content = sys.stdin.buffer.read() if args.file in (None, "-") else files.read_bytes(expanded(args.file))
        return files.decode(content)[0]
    except FileNotFoundError:
        raise ConfigurationError("there is no such file", name, "correct --file") from None
    except files.Unreadable as error:
        raise ConfigurationError(f"the file {error.reason}", f"{name}:{error.place}".rstrip(":"), error.hint) from None


def _check(text: str, *, is_text: bool) -> None:
    """Refuse what no pack could use; warn about what packs do not expect."""
    if "\0" in text:
        raise ConfigurationError("the value contains a zero byte", "VALUE", "remove it")
    if is_text:
        return
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        cause, hint = json_fault.explain(text, error) if isinstance(error, json.JSONDecodeError) else (str(error), "")
        hint = f"{hint}, or store plain text with --text".lstrip(", ")
        raise ConfigurationError(f"the value is not JSON: {cause}", "VALUE", hint) from None
    configuration.check_writable(value, "VALUE")
    if not isinstance(value, dict):
        warn(f"the value is a {type(value).__name__}, packs expect an object: it replaces every other configuration")
        return
    _, doubled = files.parse_object(text)
    for key in doubled:
        warn(f"the key {key!r} appears twice; the last one is used")


def _row(row: dict[str, Any]) -> dict[str, Any]:
    version = row["pack_version"]
    source = f"{configuration.TABLES[row['kind']]} {row['id_config']}"
    fault, value = "", None
    try:
        value = configuration.decode(row["pack_config"] or "", source)
    except HdmError as error:
        fault = error.what
    endpoint = None if version else canonical(row["id_config"].removeprefix(f"{row['pack_name']}:"))
    pack = PREFIX["rule" if row["kind"] == "rule" else "metric"] + (row["pack_name"] or "")
    return {"pack": pack, "version": version, "endpoint": endpoint, "value": value, "fault": fault}
