"""The chain: sources of passwords, asked in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hdm_airflow.base.endpoints import Registered


class Source(Protocol):
    """One place where passwords are kept."""

    def find(self, registered: Registered) -> str | None:
        """The password of an endpoint, or None where this source has no entry for it.

        Raises:
            HdmError: the source cannot be asked, or its entry is for something else. That is not the same as having
                no entry: the endpoint fails, and the next source is not asked.
        """


class Chain:
    """Asks each source in turn; the first entry counts.

    Args:
        sources: in the order in which they are asked.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources

    def find(self, registered: Registered) -> str | None:
        """The password of an endpoint, or None where no source has one and none may be needed.

        Raises:
            HdmError: a source cannot be asked.
        """
        if registered.endpoint.is_file:
            return None
        for source in self._sources:
            password = source.find(registered)
            if password is not None:
                return password
        return None
