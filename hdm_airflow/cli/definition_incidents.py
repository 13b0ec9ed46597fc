"""The commands of `airflow hdm incidents`, declared."""

from __future__ import annotations

from collections.abc import Iterable

from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand

from hdm_airflow.cli.arguments import BASE, LIMIT, OUTPUT, YES, Trailing, action, arg, day, number


def incident_id(text: str) -> int:
    """An id as argparse reads it."""
    value = number(text)
    if value >= 2**63:  # the base's bigint
        raise ValueError(text)
    return value


_LEVELS = ("High", "Warning", "Info")
_YES_NO = ("yes", "no")
_FILTERS = (
    arg(
        "--level",
        type=str.capitalize,
        choices=_LEVELS,
        help="This level and those above it: High, Warning or Info",
    ),
    arg("--pack", metavar="PACK", help="A rule pack: basic or rp_basic"),
    arg("--endpoint", metavar="ENDPOINT", help="Slug, or a database name that only one endpoint has"),
    arg("--table", metavar="TABLE", help="Only those of this table; '': of no single table"),
    arg("--rule", metavar="ID", help="Only those of the rule with this id"),
    arg("--assignee", metavar="NAME", help="Only those assigned to this person; '': to nobody"),
    arg("--acknowledged", choices=_YES_NO, help="Only those that somebody has acknowledged, or nobody"),
    arg("--muted", choices=_YES_NO, help="Only those that are muted, or are not"),
    arg("--judged", choices=_YES_NO, help="Only those that the newest night could judge, or could not"),
    arg(
        "--since",
        type=day,
        metavar="YYYY-MM-DD",
        help="Only those opened or reopened on this metric date or later",
    ),
    arg(
        "--group",
        type=incident_id,
        metavar="ID",
        help="Only those with the endpoint, table and opening date of this one",
    ),
)
_IDS = Trailing("ids", type=incident_id, nargs="*", metavar="ID", help="Ids of incidents")
_ALL = arg("--all", action="store_true", help="All open incidents")
_COMMENT = arg("-m", "--comment", metavar="TEXT", help="Also write this into their history")
_EXIT_CODES = "0 done, or nothing to do, 1 not confirmed, 2 wrong usage or configuration: nothing was changed"
_MANY = (
    "Name incidents by their ids, or choose open ones by filters. Unless it is one id, the command says how many they "
    "are and asks. It changes all of them, or none."
)


def _act(
    name: str, text: str, function: str, own: Iterable[Arg], example: str, more: str = "", note: Arg = _COMMENT
) -> ActionCommand:
    """Declare a command that changes incidents."""
    return action(
        name,
        text,
        f"incident_actions.{function}",
        (_IDS, *own, note, _ALL, *_FILTERS, YES, *BASE),
        example=f"airflow hdm incidents {example}",
        exit_codes=_EXIT_CODES,
        more=f"{more} {_MANY}".strip(),
    )


INCIDENTS = GroupCommand(
    name="incidents",
    help="What alerts of successive nights have in common: what is new, what stays, what has ended",
    subcommands=(
        action(
            "list",
            "List incidents, the most severe and newest first",
            "incidents.list_incidents",
            (
                arg(
                    "--state",
                    choices=("open", "resolved", "closed", "all"),
                    default="open",
                    help="open (default), resolved, closed or all",
                ),
                *_FILTERS,
                arg("--groups", action="store_true", help="One row per endpoint, table and opening date"),
                LIMIT,
                *BASE,
                OUTPUT,
            ),
            example="airflow hdm incidents list --level Warning --acknowledged no",
            more="Incidents of one endpoint, table and opening date stand together; a table shows these once. An "
            "incident that nobody could judge stays in the list, with the date since when. stderr says what the newest "
            "metric date has changed, and which endpoints were not judged, or only in part, and why.",
        ),
        action(
            "show",
            "Show an incident, its newest alert and its history",
            "incidents.show_incident",
            (arg("id", type=incident_id, metavar="ID", help="The incident's id"), *BASE, OUTPUT),
            example="airflow hdm incidents show 17",
            more="The history is in the order of metric dates. `silent` marks what is no "
            "news: what a late date has corrected, the end of what was accepted, and faults older than an upgrade.",
        ),
        _act("ack", "Acknowledge open incidents: somebody has seen them", "acknowledge", (), "ack 17 18"),
        _act(
            "assign",
            "Assign incidents to a person",
            "assign",
            (arg("--to", metavar="NAME", required=True, help="Who is responsible for them; '': nobody"),),
            "assign --endpoint heart --table visits --to ada --yes",
        ),
        _act(
            "comment",
            "Write a comment into the history of incidents",
            "comment",
            (),
            "comment 17 -m 'the laboratory repeats its export tonight'",
            "Never write what a patient's row says.",
            note=arg("-m", "--comment", metavar="TEXT", required=True, help="The comment"),
        ),
        _act(
            "mute",
            "Send no messages of incidents for a time; their state goes on",
            "mute",
            (
                arg("--until", type=day, metavar="YYYY-MM-DD", help="The last metric date without messages"),
                arg("--until-resolved", action="store_true", help="Until they are resolved"),
            ),
            "mute 17 --until 2099-12-31 -m 'the migration ends in December'",
            "What has opened before stays as it is: a mute counts from the next metric date on.",
        ),
        _act("unmute", "Send messages of muted incidents again", "unmute", (), "unmute --muted yes --yes"),
        _act(
            "accept",
            "Accept open incidents: this is correct from now on",
            "accept",
            (),
            "accept 17 -m 'the ward has moved'",
            "Closes them. An accepted incident comes back only after a night without it, or at a higher level. Rule "
            "pack basic then compares with dates from here on only.",
        ),
        _act(
            "close",
            "Close open incidents by hand: put right, or no fault",
            "close",
            (),
            "close --group 17 --yes",
            "If the next metric date finds one again, it is reopened.",
        ),
    ),
)
