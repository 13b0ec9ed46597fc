"""`airflow hdm incidents ack`, `assign`, `comment`, `mute`, `unmute`, `accept` and `close`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hdm_airflow.base import incident_actions, incident_list
from hdm_airflow.cli import incident_filters
from hdm_airflow.cli.command import DECLINED, command
from hdm_airflow.cli.command_context import actor, open_base
from hdm_airflow.cli.console import agreed, say
from hdm_airflow.cli.judged import counted
from hdm_airflow.errors import ConfigurationError

if TYPE_CHECKING:
    from argparse import Namespace

    from hdm_airflow.base.hook import BaseConnection

_Act = Callable[["BaseConnection", list[int]], int]  # the ids -> how many incidents it has changed


@command
def acknowledge(args: Namespace) -> int:
    """Acknowledge incidents."""

    def act(base: BaseConnection, ids: list[int]) -> int:
        return incident_actions.acknowledge(base, ids, actor=actor(), comment=args.comment)

    return _each(args, "Acknowledge", "acknowledged", act)


@command
def assign(args: Namespace) -> int:
    """Assign incidents to a person, or to nobody."""

    def act(base: BaseConnection, ids: list[int]) -> int:
        return incident_actions.assign(base, ids, args.to, actor=actor(), comment=args.comment)

    name = args.to.strip() or "nobody"
    return _each(args, f"Assign to {name}:", f"assigned to {name}", act)


@command
def comment(args: Namespace) -> int:
    """Write a comment into the history of incidents."""

    def act(base: BaseConnection, ids: list[int]) -> int:
        return incident_actions.add_comment(base, ids, args.comment, actor=actor())

    return _each(args, "Comment on", "commented on", act)


@command
def mute(args: Namespace) -> int:
    """Mute incidents until a date, or until they are resolved."""
    if (args.until is None) != args.until_resolved:
        what = "--until and --until-resolved exclude each other" if args.until else "it does not say until when"
        raise ConfigurationError(what, "--until", "give --until YYYY-MM-DD or --until-resolved")

    def act(base: BaseConnection, ids: list[int]) -> int:
        return incident_actions.mute(base, ids, args.until, actor=actor(), comment=args.comment)

    until = args.until or "resolved"
    return _each(args, f"Mute until {until}:", f"muted until {until}", act)


@command
def unmute(args: Namespace) -> int:
    """End a mute."""

    def act(base: BaseConnection, ids: list[int]) -> int:
        return incident_actions.unmute(base, ids, actor=actor(), comment=args.comment)

    return _each(args, "Unmute", "no longer muted", act)


@command
def accept(args: Namespace) -> int:
    """Accept incidents, and say what that means."""

    def act(base: BaseConnection, ids: list[int]) -> int:
        return incident_actions.accept(base, ids, actor=actor(), comment=args.comment)

    effect = (
        "accepted: correct from now on. It comes back only after a night without it, or at a higher level. "
        "Rule pack basic compares with dates from here on only"
    )
    return _each(args, "Accept", effect, act)


@command
def close(args: Namespace) -> int:
    """Close incidents by hand, and say what that means."""

    def act(base: BaseConnection, ids: list[int]) -> int:
        return incident_actions.close(base, ids, actor=actor(), comment=args.comment)

    return _each(args, "Close", "closed. What the next metric date finds again is reopened", act)


def _each(args: Namespace, question: str, done: str, act: _Act) -> int:
    """Change the incidents that the command line means, after confirmation.

    Args:
        args: ids, filters, `--all` and `--yes`.
        question: how the question begins.
        done: what the incidents are then.
        act: the change.
    """
    filters = [*incident_filters.stated(args), *(["--all"] if args.all else [])]
    if args.ids and filters:
        raise ConfigurationError(f"ids are combined with {', '.join(filters)}", "ID", "give one or the other")
    if not args.ids and not filters:
        hint = "give ids (airflow hdm incidents list), a filter such as --endpoint, or --all"
        raise ConfigurationError("no incident is named", "ID", hint)
    if args.comment is not None:
        incident_actions.check_comment(args.comment)
    with open_base(args) as base:
        ids = sorted(set(args.ids)) or incident_list.ids(base, incident_filters.find(base, args, "open"))
        if not ids:
            say("no open incident matches: nothing was changed")
            return 0
        many = counted(len(ids), "incident" if args.ids else "open incident")
        is_one_id = len(set(args.ids)) == 1
        if not is_one_id and not args.yes and not agreed(f"{question} {many}?", many):
            say("nothing was changed")
            return DECLINED
        changed = act(base, ids)
    if changed:
        say(f"{counted(changed, 'incident')} {done}")
    if changed < len(ids):
        comments = "; the comment is in their history" if args.comment else ""
        say(f"{counted(len(ids) - changed, 'incident')} unchanged: it was so already{comments}")
    return 0
