"""Errors that say what is wrong, where, and what to do."""

from __future__ import annotations

from hdm_airflow.printable import printable


class HdmError(Exception):
    """The base of all errors of hdm_airflow; control characters in their texts are escaped.

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
        return "\n".join(lines)


class ConfigurationError(HdmError):
    """The Variable `hdm`, an argument, a connection or the packs folder is wrong. A retry does not help."""


class HdmBaseError(HdmError):
    """The HDM base cannot be used: it is unreachable or not migrated, or it refuses a statement."""


class VenvBuildError(HdmError):
    """The virtual environment of a pack could not be built."""


class PackFailedError(HdmError):
    """A pack run ended without success on at least one endpoint."""
