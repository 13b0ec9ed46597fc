"""Requirement lines: the lines of requirements.txt that no installer accepts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement

from hdm_airflow.packs import files
from hdm_airflow.packs.pack import REQUIREMENTS

if TYPE_CHECKING:
    from hdm_airflow.packs.reader import Draft

_OPTIONS = {
    *("-r", "-c", "-e", "-i", "-f", "--requirement", "--constraint", "--editable", "--index-url", "--extra-index-url"),
    *("--no-index", "--find-links", "--no-binary", "--only-binary", "--prefer-binary", "--require-hashes", "--pre"),
    *("--trusted-host", "--use-feature"),
}
_PER_REQUIREMENT = re.compile(r"\s+--(hash|config-settings?|global-option)\b.*")
_COMMENT = re.compile(r"(^|\s)#.*$")
_ARCHIVE = re.compile(r"(?i)\.(whl|zip|tar|tar\.(gz|bz2|xz)|tgz)(\[[^]]*\])?$")
_SINGLE_EQUALS = re.compile(r"([\w.-]+)\s*=\s*([\w.*+!-]+)$")
_BLANK = re.compile(r"([\w.-]+)\s+v?(\d[\w.*+!-]*)$")
_COMMAND = re.compile(r"(python3? -m )?pip3? install ")
_LOGIN = re.compile(r"://[^/\s]*@")  # in a URL, mostly with a password
_LONGEST = 10_000  # characters; hashes of one release may take some thousand
_SHOWN = 80  # characters


def inspect(draft: Draft) -> None:
    """Add a finding for each line that is not a requirement."""
    try:
        text, _ = files.decode(files.read_bytes(draft.path / REQUIREMENTS))
    except (FileNotFoundError, files.Unreadable):
        return  # no requirements, or reported as requirements-unreadable
    for number, line in _logical(text):
        if not _is_accepted(line):
            message = f"{_LOGIN.sub('://...@', line)[:_SHOWN]!r} is not a requirement"
            draft.add("requirement-bad", message, _hint(line), file=REQUIREMENTS, place=str(number))


def _logical(text: str) -> Iterator[tuple[int, str]]:
    """Number and text of each line as pip reads it: joined after a backslash, without comments and empty lines."""
    joined, first = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        first = first or number
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            joined += line[:-1]
            continue
        whole, joined = f"{joined}{line}", ""
        if plain := _plain(whole):
            yield first, plain
        first = 0
    if plain := _plain(joined):
        yield first, plain


def _plain(line: str) -> str:
    return " ".join(_COMMENT.sub("", line).split())


def _is_accepted(line: str) -> bool:
    if len(line) > _LONGEST or _COMMAND.match(line):
        return False
    if line.startswith("-"):
        option = re.match(r"--[\w-]+|-\w", line)
        return bool(option and option[0] in _OPTIONS)
    plain = _PER_REQUIREMENT.sub("", line)
    if "${" in plain or _names_file(plain.partition(";")[0].strip()):
        return True
    try:
        Requirement(plain)
    except (InvalidRequirement, RecursionError):
        return False
    return True


def _names_file(text: str) -> bool:
    """Whether it is a path, an archive or a URL, which only the installer can judge."""
    if " " in text and "://" not in text:
        return False
    return text.startswith((".", "/", "~", "file:")) or "/" in text or bool(_ARCHIVE.search(text))


def _hint(line: str) -> str:
    for pattern in (_SINGLE_EQUALS, _BLANK):
        if match := pattern.match(line):
            return f"write {match[1]}=={match[2]}"
    if _COMMAND.match(line):
        return "write only the requirement, without pip install"
    return "write one requirement per line, such as pandas>=2.0"
