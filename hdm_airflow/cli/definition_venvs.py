"""The commands of `airflow hdm venvs`."""

from __future__ import annotations

from airflow.cli.cli_config import GroupCommand

from hdm_airflow.cli.arguments import OUTPUT, PACKS_DIR, YES, Trailing, action, arg

_STORE = arg("--store", metavar="FOLDER", help="The venv store (default: venvs.folder of the Variable hdm)")


def days(text: str) -> float:
    """Read a number of days for argparse, whose error message names this function."""
    value = float(text)
    if not 0 <= value <= 36_500:  # noqa: PLR2004  # a century
        raise ValueError(text)
    return value


def size(text: str) -> int:
    """Read a number of bytes, such as 20 GB, for argparse, whose error message names this function."""
    from pydantic import ByteSize, TypeAdapter

    value = int(TypeAdapter(ByteSize).validate_python(text))
    if value <= 0:
        raise ValueError(text)
    return value


VENVS = GroupCommand(
    name="venvs",
    help="The virtual environments (venvs) with the Python packages of packs: list, build, clean",
    subcommands=(
        action(
            "list",
            "List the venvs on this machine, and the packs that need them",
            "venvs.list_all",
            (_STORE, PACKS_DIR, OUTPUT),
            example="airflow hdm venvs list",
            more="Each user has their own venv store. The formats json and yaml also show the requirements.",
        ),
        action(
            "warm",
            "Build the venvs of packs before their first run",
            "venvs.warm",
            (
                Trailing(
                    "packs",
                    nargs="*",
                    metavar="PACK",
                    help="Names, task ids or other selectors (default: the packs selected by the Variable hdm)",
                ),
                _STORE,
                PACKS_DIR,
                OUTPUT,
            ),
            example="airflow hdm venvs warm mp_basic",
            exit_codes="0 all exist, 1 some could not be built, 2 wrong usage or configuration, 130 interrupted",
            more="Run it on each worker, as the worker's user, with the worker's variables for the package index.",
        ),
        action(
            "prune",
            "Remove damaged venvs and those that have not been used for a long time",
            "venvs.prune",
            (
                arg("--older-than", type=days, metavar="DAYS", help="Remove venvs unused for more than DAYS days"),
                arg(
                    "--max-size",
                    type=size,
                    metavar="SIZE",
                    help="Then remove the longest unused down to SIZE, such as 20GB",
                ),
                arg("--dry-run", action="store_true", help="Only list what would be removed"),
                YES,
                _STORE,
                OUTPUT,
            ),
            example="airflow hdm venvs prune --older-than 30 --max-size 20GB --yes",
            exit_codes=("0 done, 1 not confirmed or not all removed, 2 wrong usage or configuration, 130 interrupted"),
            more=(
                "Without --older-than and --max-size, the limits are those of venvs in the Variable hdm.\n"
                "Venvs in use are never removed."
            ),
        ),
    ),
)
