"""The commands of `airflow hdm venvs`."""

from __future__ import annotations

from airflow.cli.cli_config import GroupCommand

from hdm_airflow.cli.options import OUTPUT, PACKS_DIR, YES, Trailing, action, arg

_STORE = arg("--store", metavar="FOLDER", help="The store (default: venvs.folder of the Variable hdm)")


def days(text: str) -> float:
    """A number of days as argparse reads it; its error names this function."""
    value = float(text)
    if not 0 <= value <= 36_500:  # noqa: PLR2004  # a century
        raise ValueError(text)
    return value


def size(text: str) -> int:
    """A number of bytes, such as 20 GB, as argparse reads it."""
    from pydantic import ByteSize, TypeAdapter

    value = int(TypeAdapter(ByteSize).validate_python(text))
    if value <= 0:
        raise ValueError(text)
    return value


VENVS = GroupCommand(
    name="venvs",
    help="The venv store: list, build ahead and clean the packs' software venvs",
    subcommands=(
        action(
            "list",
            "List the software venvs of this machine, and the packs that need them now",
            "venvs.list_all",
            (_STORE, PACKS_DIR, OUTPUT),
            example="airflow hdm venvs list",
            more="Of the user who asks: a store belongs to one user. json and yaml show the requirements, too.",
        ),
        action(
            "warm",
            "Build the venvs of packs now, so that no run has to",
            "venvs.warm",
            (
                Trailing(
                    "packs",
                    nargs="*",
                    metavar="PACK",
                    help="Names, task ids or other selectors (default: the packs that the Variable hdm selects)",
                ),
                _STORE,
                PACKS_DIR,
                OUTPUT,
            ),
            example="airflow hdm venvs warm mp_basic",
            exit_codes="0 all are there, 1 one could not be built, 2 wrong usage or configuration, 130 interrupted",
            more="To be run on each worker, by the worker's user, with the worker's variables for the package index.",
        ),
        action(
            "prune",
            "Remove venvs that have not been used for long, and damaged ones",
            "venvs.prune",
            (
                arg("--older-than", type=days, metavar="DAYS", help="Remove what was not used for so many days"),
                arg(
                    "--max-size", type=size, metavar="SIZE", help="Then remove, unused longest first, down to 20GB, say"
                ),
                arg("--dry-run", action="store_true", help="Remove nothing: list what would be removed"),
                YES,
                _STORE,
                OUTPUT,
            ),
            example="airflow hdm venvs prune --older-than 30 --max-size 20GB --yes",
            exit_codes=(
                "0 done, 1 you said no or one cannot be removed, 2 wrong usage or configuration, 130 interrupted"
            ),
            more=(
                "Without --older-than and --max-size it does what venvs of the Variable hdm says.\n"
                "One that a run uses is never removed."
            ),
        ),
    ),
)
