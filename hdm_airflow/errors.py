"""Errors that say what is wrong, where, and what to do."""

from __future__ import annotations

import re

from hdm_airflow.printable import printable

_LONG = re.compile(r"\S{401,}")  # longer than any slug, path or SQL name
_LONGEST_LINE = re.compile(r"[^\n]{8001,}")
_ENDS = 60  # characters of it that are shown at its beginning and end


class HdmError(Exception):
    """The base of all errors of hdm_airflow; control characters in their texts are escaped.

    As text, it is shortened: what it repeats of a setting, a file or a command may be of any length.

    Args:
        what: the fault in one sentence. It names its object, and never holds a row's value or a secret.
        where: the file, table, connection or Variable that has the fault.
        hint: what to do next, in the imperative.
    """

    def __init__(self, what: str, where: str = "", hint: str = "") -> None:
        what, where, hint = printable(what, lines=True), printable(where), printable(hint, lines=True)
        super().__init__(what, where, hint)  # all three, because unpickling calls the class with args
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"in: {self.where}")
        if self.hint:
            lines.append(f"do: {self.hint}")
        return shortened("\n".join(lines))


def shortened(text: str) -> str:
    """Shorten words and lines that no reader reads to their end."""
    for pattern in (_LONG, _LONGEST_LINE):
        text = pattern.sub(
            lambda found: f"{found[0][:_ENDS]}...({len(found[0])} characters)...{found[0][-_ENDS:]}", text
        )
    return text


class ConfigurationError(HdmError):
    """The Variable `hdm`, an argument, a connection or the packs folder is wrong. A retry does not help."""


class ConflictError(HdmError):
    """Somebody else has changed the same thing meanwhile: nothing was written."""


class HdmBaseError(HdmError):
    """The HDM base cannot be used: it is unreachable or not migrated, or it refuses a statement."""


class VenvBuildError(HdmError):
    """The virtual environment of a pack could not be built."""


class PackFailedError(HdmError):
    """A pack run ended without success on at least one endpoint."""


class IncidentsOpenedError(HdmError):
    """A rule pack has opened or reopened incidents of a level that the setting `fail_on` names."""


class NotSentError(HdmError):
    """Messages could not be sent; they wait in the HDM base."""
