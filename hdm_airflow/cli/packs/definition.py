"""The commands of `airflow hdm packs`."""

from __future__ import annotations

from airflow.cli.cli_config import GroupCommand

from hdm_airflow.cli.arguments import (
    BASE,
    CONN_ID,
    DATE,
    ENVIRONMENT,
    OUTPUT,
    PACKS_DIR,
    Trailing,
    action,
    arg,
    several,
)

PACKS = GroupCommand(
    name="packs",
    help="List, check, create, run, rename and install packs",
    subcommands=(
        action(
            "list",
            "List the packs of the packs folder, and whether they can run",
            "packs.list.list_all",
            (
                PACKS_DIR,
                several("--select", "SELECTOR", "Only these: a name, mp_NAME, kind:rule or tag:nightly; * matches all"),
                several("--exclude", "SELECTOR", "Not these"),
                arg("--environment", metavar="NAME", help="Compare only with the HDM base of this environment"),
                arg("--conn-id", metavar="ID", help="Compare only with the HDM base of this Airflow connection"),
                OUTPUT,
            ),
            example="airflow hdm packs list --select kind:metric",
            more="Warns of packs that are activated or configured in the HDM base but not in the packs folder: by\n"
            "default, in every environment; with --packs-dir, only in the base that an option names. A base that\n"
            "cannot be reached is reported on stderr, and changes neither the list nor the exit code.",
        ),
        action(
            "show",
            "Show everything about one pack",
            "packs.list.show",
            (arg("name", metavar="NAME", help="Name, folder or task id, such as mp_basic"), PACKS_DIR, OUTPUT),
            example="airflow hdm packs show mp_basic",
        ),
        action(
            "check",
            "Check packs as thoroughly as possible without running them",
            "packs.check.check",
            (
                Trailing(
                    "paths",
                    nargs="*",
                    metavar="FOLDER",
                    help="Packs folders, or folders of single packs (default: the packs folder)",
                ),
                arg("--strict", action="store_true", help="Warnings count as errors"),
                arg(
                    "-o",
                    "--output",
                    choices=("text", "json"),
                    default="text",
                    metavar="(text, json)",
                    help="Output format. Allowed values: text, json (default: text)",
                ),
            ),
            example="airflow hdm packs check packs/rule-packs/basic --strict",
            exit_codes="0 no errors, 1 errors (with --strict: or warnings), 2 wrong usage or configuration",
            more="A pack with an error does not run; one with a warning does. No database is needed.",
        ),
        action(
            "new",
            "Create a working pack to start from",
            "packs.new.new",
            (
                arg("name", metavar="NAME", help="The pack's name: letters, digits, _, - and ."),
                Trailing(
                    "folder",
                    nargs="?",
                    metavar="FOLDER",
                    help="The packs folder (default: packs_dir of the Variable hdm)",
                ),
                arg("--kind", choices=("metric", "rule"), default="metric", help="The pack's kind (default: metric)"),
                arg("--language", choices=("python", "shell"), default="python", help="Its language (default: python)"),
            ),
            example="airflow hdm packs new pulse packs --kind metric --language shell",
            more="Prints the new pack's folder on stdout: FOLDER/metric-packs/NAME or FOLDER/rule-packs/NAME.",
        ),
        action(
            "run",
            "Run one pack now, without a Dag",
            "packs.run.run",
            (
                arg("name", metavar="NAME", help="Name, folder or task id, such as mp_basic"),
                several("--endpoint", "ENDPOINT", "Run only on these, even if they succeeded before"),
                arg("--date", type=DATE.kwargs["type"], metavar="YYYY-MM-DD", help="The metric date (default: today)"),
                ENVIRONMENT,
                CONN_ID,
                PACKS_DIR,
                arg("--keep", action="store_true", help="Keep the run folder for inspection, without password files"),
                OUTPUT,
            ),
            example="airflow hdm packs run mp_basic --endpoint heart --date 2026-01-31",
            exit_codes=(
                "0 success, 1 failed, partial, or incidents that the setting fail_on names, 2 wrong usage or\n"
                "configuration, 3 nothing to run, 130 interrupted"
            ),
            more=(
                "Runs exactly as its task would: gate, credentials, masking, ledger. If the same pack and date is\n"
                "already running, it waits. The pack's output goes to stderr, outcomes to stdout. Ctrl-C ends it."
            ),
        ),
        action(
            "command",
            "Give a pack a command, and print its answer",
            "packs.command.ask",
            (
                arg("name", metavar="PACK", help="Name, folder or task id, such as rp_basic"),
                arg("command_name", metavar="NAME", help="The command: one of those that `packs show PACK` lists"),
                Trailing(
                    "arguments",
                    nargs="*",
                    metavar="ARGUMENT",
                    help="NAME=TEXT, or NAME:=JSON for a number, list or object",
                ),
                arg("--arguments-file", metavar="FILE", help="Read arguments from a JSON object; - reads stdin"),
                arg(
                    "--endpoint",
                    action="append",
                    metavar="ENDPOINT",
                    help="Give the pack this endpoint with its password; may be repeated (default: none)",
                ),
                arg("--date", type=DATE.kwargs["type"], metavar="YYYY-MM-DD", help="The metric date (default: today)"),
                ENVIRONMENT,
                CONN_ID,
                PACKS_DIR,
                arg(
                    "-o",
                    "--output",
                    choices=("json", "text"),
                    default="json",
                    metavar="(json, text)",
                    help="text prints an answer that is a text as it is. Allowed values: json, text (default: json)",
                ),
            ),
            example="airflow hdm packs command rp_limits explain metric=rows days:=30 --endpoint heart",
            exit_codes=(
                "0 answered, 1 the pack failed or gave no valid answer, 2 wrong usage\n"
                "or configuration, 130 interrupted"
            ),
            more=(
                'The pack must list the command under "commands" in its properties.json. The command writes\n'
                "nothing into the ledger, and waits for no run. The pack's output goes to stderr, its answer to\n"
                "stdout; secrets in both are masked."
            ),
        ),
        action(
            "rename",
            "Give a pack another name in the HDM base, with its activations, configuration, alerts and runs",
            "packs.rename.rename",
            (
                arg("pack", metavar="OLD", help="The old name: mp_NAME or rp_NAME, or NAME with --kind"),
                arg("new", metavar="NEW", help="The new name"),
                arg("--kind", choices=("metric", "rule"), help="The pack's kind, if OLD has no prefix"),
                PACKS_DIR,
                *BASE,
            ),
            example="airflow hdm packs rename mp_pulse heart-rate",
            exit_codes="0 renamed, 2 wrong usage or configuration, or packs are running",
            more="Pause the Dag and change the name in properties.json first. The pack's own tables keep their names.",
        ),
        action(
            "install",
            "Copy a reference pack into a packs folder",
            "packs.install.install",
            (
                Trailing("name", nargs="?", metavar="NAME", help="basic (both kinds), mp_basic, rp_basic, ... or all"),
                Trailing(
                    "folder",
                    nargs="?",
                    metavar="FOLDER",
                    help="The packs folder (default: packs_dir of the Variable hdm)",
                ),
                arg("--list", action="store_true", dest="list_packs", help="List what can be installed"),
                arg("--force", action="store_true", help="Replace changed packs; the old folders are kept, renamed"),
                OUTPUT,
            ),
            example="airflow hdm packs install basic packs",
            more="An installed pack that differs is left unchanged unless --force is given.",
        ),
    ),
)
