"""Scripts: the faults of a pack's shell scripts that show only in a run, if at all."""

from __future__ import annotations

import posixpath
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from hdm_airflow.packs import files, shell
from hdm_airflow.packs.pack import SCRIPT
from hdm_airflow.packs.tree import walk

if TYPE_CHECKING:
    from pathlib import Path

    from hdm_airflow.packs.reader import Draft

MANY = 200  # scripts of a pack
_SECONDS = 20.0  # for all scripts of a pack
_LONG = 200_000  # bytes; the commands of a longer script are not looked at
_SHELLS = {"sh", "bash", "dash", "ash"}
_BEGINNING = 256  # bytes that tell whether a file is a script
#: Commands whose failure does not matter, or cannot happen.
_HARMLESS = {
    *("set", "export", "echo", "printf", "umask", "shopt", "ulimit", "unset", "local", "declare", "readonly", "true"),
    *(":", "for", "case", "in", "select", "function", "exit", "return", "break", "continue", "[", "[[", "test", "trap"),
}
#: Not the escapes after a label, as in printf '%s:\n' or "a:\tb".
_DRIVE = re.compile(r"(?<![\w\\%])[A-Za-z]:\\(?![nrt0](?!\w{2}))\w")
_BACKSLASHED = re.compile(r"(?<![\w.-])[\w.-]+(?:\\[\w.-]+)+")
_LONG_LINE = 4_000  # characters; a longer line holds data


@dataclass(frozen=True, kw_only=True)
class _Script:
    name: str  # below the pack's folder
    text: str  # as bash reads it in a run
    has_crlf: bool


def inspect(draft: Draft) -> None:
    """Add the findings about the pack's scripts."""
    tree = walk(draft.path)
    until = time.monotonic() + _SECONDS
    found = list(_scripts(draft.path, sorted(tree.files)))
    for number, script in enumerate(found):
        if number == MANY or time.monotonic() > until:
            hint = "move programs of other parties out of the pack, for example into requirements.txt"
            draft.add("scripts-unchecked", "the pack has too many scripts, or too long ones, to check all", hint)
            break
        _check_endings(draft, script)
        if script.name == SCRIPT:
            _check_interpreter(draft, script)
        if script.text.strip():
            _check_syntax(draft, script)
            _check_commands(draft, script, tree.files)


def _scripts(folder: Path, names: Sequence[str]) -> Iterator[_Script]:
    """The bootstrap script first, then every file that a shell or another interpreter runs by its first line."""
    count = 0
    for name in sorted(names, key=lambda name: (name != SCRIPT, name)):
        try:
            beginning = files.read_bytes(folder / name, limit=_BEGINNING, truncate=True)
            is_shell = name.endswith((".sh", ".bash")) or shell.interpreter(_text(beginning))[0] in _SHELLS
            if name == SCRIPT or is_shell:
                content = files.read_bytes(folder / name)
                plain = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
                yield _Script(name=name, text=_text(plain), has_crlf=b"\r\n" in content)
            elif beginning.startswith(b"#!") and b"\r\n" in beginning.partition(b"\n")[0] + b"\n":
                yield _Script(name=name, text="", has_crlf=True)
            else:
                continue
        except (FileNotFoundError, files.Unreadable):
            continue  # a missing or unreadable bootstrap script is reported by the reader
        count += 1
        if count > MANY:
            return


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def _check_endings(draft: Draft, script: _Script) -> None:
    if script.has_crlf and script.name != SCRIPT:  # the run's copy of the bootstrap script is put right
        message = "the lines have Windows endings: each command gets a carriage return as its last letter"
        draft.add("helper-crlf", message, "save it with Unix line endings", file=script.name)


def _check_interpreter(draft: Draft, script: _Script) -> None:
    name, options = shell.interpreter(script.text)
    if name and name not in {"bash", "sh"}:
        message = f"the first line names {name}, but bash runs the script"
        hint = "write #!/bin/bash and bash commands; start other programs from it"
        draft.add("script-interpreter", message, hint, file=SCRIPT, place="1")
    elif any(re.fullmatch(r"-\w*e\w*", option) for option in options):
        message = "the option -e in the first line has no effect"
        draft.add("script-errexit", message, "write set -e in the next line", file=SCRIPT, place="1")


def _check_syntax(draft: Draft, script: _Script) -> None:
    if fault := shell.syntax_fault(script.text):
        line, message = fault
        draft.add("script-syntax", message, "correct it: bash -n shows it too", file=script.name, place=line)


def _check_commands(draft: Draft, script: _Script, names: set[str]) -> None:
    if len(script.text) > _LONG:
        return
    found = shell.commands(script.text)
    folders = {"", posixpath.dirname(script.name)}
    folders |= {one.words[1] for one in found if one.words[0] == "cd" and len(one.words) > 1}
    if script.name == SCRIPT:
        _check_errexit(draft, found)
    reported, changed = set(), list[str]()
    for command in found:
        if command.words[0] == "chmod":
            paths = [_joined(folder, word) for folder in folders for word in command.words[1:]]
            changed += ["" if path == "." else path for path in paths]
        called = {_joined(folder, command.words[0]) for folder in folders} & names
        if "/" in command.words[0] and called and not any(_is_executable(draft.path / one) for one in called):
            one = min(called)
            if one not in reported and not any(fnmatchcase(one, f"{path}*") for path in changed):
                reported.add(one)
                hint = f"chmod +x {one} (in git: git update-index --chmod=+x), or start it with its interpreter"
                message = f"{one} is called, but is not executable"
                draft.add("script-not-executable", message, hint, file=script.name, place=str(command.line))
    for number, line in enumerate(script.text.splitlines(), start=1):
        if not line.lstrip().startswith("#") and _has_windows_path(line, folders, names):
            hint = "write paths with /, relative to the pack's folder"
            draft.add("windows-path", "the line contains a Windows path", hint, file=script.name, place=str(number))


def _check_errexit(draft: Draft, found: Sequence[shell.Command]) -> None:
    """The exit code of a script is that of its last command: failures before it must end the script."""
    if any(_stops_at_errors(command.words) for command in found):
        return
    for command in found[:-1]:
        if command.words[0] not in _HARMLESS and not command.is_guarded:
            message = f"the script goes on if {command.words[0]} fails: only the last command decides its exit code"
            hint = "write set -e in the second line, with pipes set -eo pipefail"
            draft.add("script-errexit", message, hint, file=SCRIPT, place=str(command.line))
            return


def _stops_at_errors(words: Sequence[str]) -> bool:
    if words[0] == "set":
        return any(re.fullmatch(r"-\w*e\w*", word) for word in words[1:]) or "errexit" in words[1:]
    return words[0] == "trap" and "ERR" in words


def _has_windows_path(line: str, folders: set[str], names: set[str]) -> bool:
    if len(line) > _LONG_LINE:
        return False
    if _DRIVE.search(line):
        return True
    paths = [text.replace("\\", "/") for text in _BACKSLASHED.findall(line)]
    return any(_joined(folder, path) in names for folder in folders for path in paths)


def _joined(folder: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(folder, path))


def _is_executable(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & 0o111)
    except OSError:
        return True  # reported elsewhere
