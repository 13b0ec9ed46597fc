"""docs/reference/cli.md says what the parser says. `python tests/airflow/test_cli_reference.py` rewrites it."""

from __future__ import annotations

import inspect
import shlex
from argparse import ArgumentParser
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from airflow.cli.cli_config import ActionCommand, GroupCommand

from hdm_airflow.cli.definition import get_hdm_cli_commands
from hdm_airflow.provider import get_provider_info

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"
MARK = "<!-- From here on, made from the commands themselves: python tests/airflow/test_cli_reference.py -->\n"


def commands(given: list[ActionCommand | GroupCommand], above: str = "airflow") -> Iterator[tuple[str, ActionCommand]]:
    """Every command with all its words, as they are declared."""
    for one in given:
        words = f"{above} {one.name}"
        if isinstance(one, GroupCommand):
            yield from commands(list(one.subcommands), words)
        else:
            yield words, one


def reference() -> str:
    """The part of the page that is made."""
    return "\n".join(section(words, one) for words, one in commands(get_hdm_cli_commands()))


def section(words: str, one: ActionCommand) -> str:
    """One command: what it does, its arguments, an example, its exit codes."""
    parser = ArgumentParser(add_help=False)
    for argument in one.args:
        argument.add_to_parser(parser)
    example, _, codes = str(one.epilog).removeprefix("Example:\n  ").partition("\n\nExit codes: ")
    positional = [action for action in parser._actions if not action.option_strings]
    optional = [action for action in parser._actions if action.option_strings and action.dest != "verbose"]
    rows = [(f"`{action.metavar}`", action) for action in positional]
    rows += [(", ".join(f"`{flag}`" for flag in action.option_strings), action) for action in optional]
    lines = [f"## {words}", "", str(one.description), "", f"    {example}", ""]
    if rows:
        lines += ["| argument | meaning |", "|---|---|"]
        lines += [f"| {name} | {meaning(action)} |" for name, action in rows] + [""]
    return "\n".join([*lines, f"Exit codes: {codes}.", ""])


def meaning(action: object) -> str:
    """The help of an argument, with its choices if the list is short."""
    choices = getattr(action, "choices", None)
    text = str(getattr(action, "help", "")).replace("|", "\\|")
    named = not choices or all(choice in text for choice in choices)
    return text if named else f"{text}: {', '.join(choices)}"


def test_page_lists_every_command_and_option() -> None:
    """Whoever changes a command changes the page with it."""
    made = PAGE.read_text("utf-8").partition(MARK)[2]
    assert made.strip() == reference().strip(), "write it anew: python tests/airflow/test_cli_reference.py"


def test_every_command_has_an_example_that_it_understands() -> None:
    """An example that does not parse teaches the wrong thing."""
    from airflow.cli.cli_parser import get_parser

    for words, one in commands(get_hdm_cli_commands()):
        example = str(one.epilog).removeprefix("Example:\n  ").partition("\n")[0]
        assert example.startswith(words)
        parsed = get_parser().parse_args(shlex.split(example)[1:])
        assert parsed.func is one.func or parsed.func.__name__ == one.func.__name__


def test_every_command_names_a_function_that_is_there() -> None:
    """Functions are named by text, and imported only when the command runs."""
    for words, one in commands(get_hdm_cli_commands()):
        module, _, function = inspect.getclosurevars(one.func).nonlocals["import_path"].rpartition(".")
        assert callable(getattr(import_module(module), function)), words
        assert "Exit codes: 0" in str(one.epilog), words


def test_provider_names_the_commands() -> None:
    """Airflow finds them by this key alone."""
    (path,) = get_provider_info()["cli"]
    module, _, function = path.rpartition(".")
    assert getattr(import_module(module), function) is get_hdm_cli_commands


def test_options_may_stand_before_the_last_words() -> None:
    """Python's own parser treats an optional argument as missing if an option follows."""
    from airflow.cli.cli_parser import get_parser

    for line, name, value in (
        ("packs new pulse --kind rule folder", "folder", "folder"),
        ("packs new pulse folder --kind rule", "folder", "folder"),
        ("packs new pulse --kind rule", "folder", None),
        ("packs install basic --force folder", "folder", "folder"),
        ("packs check --strict one two", "paths", ["one", "two"]),
        ("packs check one --output json", "paths", ["one"]),
        ("packs run pulse --endpoint a b --endpoint c", "endpoint", ["a", "b", "c"]),
        ("activate basic --kind rule heart lung", "endpoints", ["heart", "lung"]),
        ("activate basic --all", "endpoints", []),
        ("config set basic --endpoint heart {}", "value", "{}"),
        ("config set basic - --endpoint heart", "value", "-"),
    ):
        assert getattr(get_parser().parse_args(["hdm", *line.split()]), name) == value, line


if __name__ == "__main__":
    before = PAGE.read_text("utf-8").partition(MARK)[0]
    PAGE.write_text(f"{before}{MARK}\n{reference()}", "utf-8")
