"""The commands of `airflow hdm audit`, declared."""

from __future__ import annotations

from airflow.cli.cli_config import GroupCommand

from hdm_airflow.cli.arguments import BASE, LIMIT, OUTPUT, action, arg, day, number

AUDIT = GroupCommand(
    name="audit",
    help="Who changed what",
    subcommands=(
        action(
            "list",
            "List the changes of endpoints, activations, configurations and incidents, newest first",
            "audit.list_changes",
            (
                arg("--actor", metavar="NAME", help="Only changes of this user"),
                arg("--action", metavar="ACTION", help="Only these, such as activate or 'config set'"),
                arg("--object", metavar="TEXT", help="Only of objects with this text in their name, such as a slug"),
                arg("--since", type=day, metavar="YYYY-MM-DD", help="Only from this day on"),
                arg("--before", type=number, metavar="ID", help="Only changes before this one: the next page"),
                arg("--batch", type=number, metavar="ID", help="The single changes of this bulk change"),
                LIMIT,
                *BASE,
                OUTPUT,
            ),
            example="airflow hdm audit list --action 'config set' --object heart",
            more="A bulk change is one row: the column changes says of how many. Values whose keys look like secrets "
            "are hidden. json and yaml also have the whole values and their difference.",
        ),
    ),
)
