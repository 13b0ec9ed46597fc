"""The chain: sources of passwords, asked in order."""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from hdm_airflow.base.endpoints import Registered
from hdm_airflow.credentials.pool import each
from hdm_airflow.credentials.source import Credential, Source, is_text
from hdm_airflow.errors import ConfigurationError, HdmError

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The results for several endpoints, by slug. An endpoint in neither has no password, and might not need one."""

    credentials: Mapping[str, Credential]
    faults: Mapping[str, HdmError]  # why a password could not be looked up


class WarningQueue:
    """Warnings of sources, from any thread, kept until the thread that may log collects them."""

    def __init__(self) -> None:
        self._texts: deque[str] = deque()

    def __call__(self, text: str) -> None:
        """Keep a warning."""
        self._texts.append(text)

    def pass_on(self, warn: Callable[[str], None]) -> None:
        """Pass the warnings since the last call to `warn`."""
        while self._texts:
            warn(self._texts.popleft())


class Chain:
    """Asks each source in turn; the first entry counts. A context manager, which revokes leases when it exits.

    Args:
        sources: in the order in which they are asked.
        warnings: the warnings of the sources.
        warn: receives the warnings, in the thread that calls the chain.
        patience: returns the seconds that each source may take to close; called then.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        warnings: WarningQueue,
        warn: Callable[[str], None],
        patience: Callable[[], float],
    ) -> None:
        self.sources, self._warnings, self._warn, self._patience = sources, warnings, warn, patience

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for source in self.sources:
            try:
                source.close(self._patience())
            except Exception as fault:  # noqa: BLE001  # the run is over and its ledger closed: its result stays
                self._warnings(f"temporary credentials might not have been revoked ({type(fault).__name__})")
        self.pass_on_warnings()

    def find_all(self, registered: Sequence[Registered], heartbeat: Callable[[], None] = lambda: None) -> Answers:
        """Look up the credentials of several endpoints: one source after another, each with several look-ups at once.

        Args:
            registered: the endpoints, each once.
            heartbeat: called several times a second; what it raises ends the look-ups.
        """
        waiting = [one for one in registered if not one.endpoint.is_file]
        credentials: dict[str, Credential] = {}
        faults: dict[str, HdmError] = {}
        for source in self.sources:
            answers = each(partial(_find, source), waiting, at_once=source.at_once, heartbeat=heartbeat)
            passed_on = []
            for one, answer in zip(waiting, answers, strict=True):
                if answer is None:
                    passed_on.append(one)
                elif isinstance(answer, HdmError):
                    faults[one.endpoint.slug] = answer
                else:
                    credentials[one.endpoint.slug] = answer
            waiting = passed_on
        self.pass_on_warnings()
        return Answers(credentials=credentials, faults=faults)

    def pass_on_warnings(self) -> None:
        """Pass on the warnings of the sources; never waits."""
        self._warnings.pass_on(self._warn)


def _find(source: Source, registered: Registered) -> Credential | None:
    """Ask a source about one endpoint. An unexpected error fails that endpoint and no other.

    Raises:
        HdmError: if the source cannot be asked, or its entry is invalid.
    """
    try:
        found = source.find(registered)
    except HdmError:
        raise
    except Exception as error:  # noqa: BLE001  # any error: its text may quote a secret
        place = traceback.extract_tb(error.__traceback__)[-1]
        what = f"the look-up failed ({type(error).__name__} at {Path(place.filename).name}:{place.lineno})"
        hint = "check the entry of this endpoint; if it is correct, report a bug in hdm_airflow"
        raise HdmError(what, type(source).__name__, hint) from None
    if found and not (is_text(found.password) and (found.user is None or is_text(found.user))):
        raise ConfigurationError("the password or user is not text", found.source, "correct it there")
    return found
