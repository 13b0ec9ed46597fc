"""Shell: the commands of a script, as far as a check needs them, and what bash says of its syntax.

Nothing here runs a command of the script: `bash -n` only parses it, in a process with limits and without variables.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

_LIMITS = 'ulimit -v 1000000 -t 2; exec "$@"'
_SECONDS = 5.0  # on the clock
_JOINED = 50  # lines of one quoted text
_SIGNS = "();<>|&"  # each is a word of its own
_WORDS = {"if", "then", "elif", "else", "while", "until", "do", "!", "{", "time", "exec", "nohup", "command", "env"}
_CONDITIONS = {"if", "elif", "while", "until"}
_CLOSING = {"fi", "done", "esac", "}", ")"}
_ASSIGNMENT = re.compile(r"\w+\+?=")


class Command(NamedTuple):
    """One simple command."""

    line: int
    words: list[str]  # without quotes, assignments and keywords before it; never empty
    is_guarded: bool  # whether the script acts on its failure: `if`, `|| exit`, `&& ...`


def commands(text: str) -> list[Command]:
    """The commands of a script, in their order. It is an estimate: functions and here-documents are not followed."""
    found: list[Command] = []
    for number, words in _statements(text):
        start = 0
        for end in range(len(words) + 1):
            sign = words[end] if end < len(words) else ""
            if sign and not _is_sign(sign):
                continue
            plain = _stripped(words[start:end])
            following = words[end + 1] if end + 1 < len(words) else ""
            if plain:
                is_guarded = sign == "&&" or (sign == "||" and following in {"exit", "return", "{"})
                is_guarded = is_guarded or bool(_CONDITIONS & set(words[start:end]))
                found.append(Command(number, plain, is_guarded))
            start = end + 1
    return found


def syntax_fault(text: str) -> tuple[str, str] | None:
    """What bash finds wrong with a script: line and message. None if nothing, or if the machine has no bash."""
    bash = shutil.which("bash")
    if bash is None:
        return None
    fault = _ask(bash, text, [])
    return fault if fault and _ask(bash, text, ["-O", "extglob"]) else None  # a script may turn extglob on itself


def interpreter(text: str) -> tuple[str, list[str]]:
    """The program that the #! line names, without its folder, and its options; '' if there is no such line."""
    if not text.startswith("#!"):
        return "", []
    words = [word for word in text.splitlines()[0][2:].split() if not _ASSIGNMENT.match(word)]
    names = [word.rpartition("/")[2] for word in words]
    if names[:1] == ["env"]:
        names = [name for name in names[1:] if name not in {"-S", "--split-string"}]
    return (names[0], names[1:]) if names else ("", [])


def _ask(bash: str, text: str, options: Sequence[str]) -> tuple[str, str] | None:
    # -p: no BASH_ENV and no functions from variables
    command = [bash, "-p", "-c", _LIMITS, "check", bash, "-p", *options, "-n"]
    environment = {"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"}
    try:
        done = subprocess.run(
            command, input=text.encode(), capture_output=True, env=environment, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return "", "bash takes too long to read it"
    if done.returncode == 0:
        return None
    match = re.search(rb"line (\d+): (.*)", done.stderr)
    if not match:
        return "", "bash cannot read it"
    return match[1].decode(), match[2].decode("utf-8", "replace")[:200]


def _statements(text: str) -> Iterator[tuple[int, list[str]]]:
    """Number and words of each line, joined with the next ones while a quote is open; without comments."""
    lines = iter(enumerate(text.splitlines(), start=1))
    for number, line in lines:
        whole, count = line, 1
        while (words := _split(whole)) is None and count < _JOINED:
            _, following = next(lines, (0, None))
            if following is None:
                break
            whole, count = f"{whole.removesuffix(chr(92))}\n{following}", count + 1
        if words:
            yield number, words
        for end in _here_documents(words or []):
            for _, inner in lines:
                if inner.lstrip("\t") == end:
                    break


def _split(line: str) -> list[str] | None:
    """The words of a line; None if it is not complete."""
    if line.endswith("\\") and not line.lstrip().startswith("#"):
        return None
    lexer = shlex.shlex(line, posix=True, punctuation_chars=_SIGNS)
    lexer.whitespace_split = True
    try:
        return list(lexer)
    except ValueError:
        return None


def _here_documents(words: Sequence[str]) -> list[str]:
    """The last lines of the here-documents that begin in a line."""
    return [word.removeprefix("-") for sign, word in pairwise(words) if sign == "<<"]


def _is_sign(word: str) -> bool:
    return set(word) <= set(_SIGNS) and (not set(word) & set("<>"))


def _stripped(words: Sequence[str]) -> list[str]:
    """A command without assignments, keywords and redirections."""
    left = list(words)
    while left and (left[0] in _WORDS or left[0] in _CLOSING or _ASSIGNMENT.match(left[0])):
        left.pop(0)
    return left
