"""The chain: sources of passwords, asked in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from hdm_airflow.base.endpoints import Registered
from hdm_airflow.credentials.pool import each
from hdm_airflow.credentials.source import Credential, Source
from hdm_airflow.errors import HdmError

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What was found for some endpoints, by slug. One that is in neither has no password, and may need none."""

    credentials: Mapping[str, Credential]
    faults: Mapping[str, HdmError]  # why a password could not be looked up


class Notes:
    """Warnings of sources, from any thread, kept until the thread that may log takes them."""

    def __init__(self) -> None:
        self._texts: deque[str] = deque()

    def __call__(self, text: str) -> None:
        """Keep one."""
        self._texts.append(text)

    def pass_on(self, warn: Callable[[str], None]) -> None:
        """Hand over what has come since the last time."""
        while self._texts:
            warn(self._texts.popleft())


class Chain:
    """Asks each source in turn; the first entry counts. A context manager: what was lent is given back at its end.

    Args:
        sources: in the order in which they are asked.
        notes: what the sources have to tell.
        warn: told the notes, in the thread that calls the chain.
        patience: seconds that giving back may take, asked when it comes to that.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        notes: Notes,
        warn: Callable[[str], None],
        patience: Callable[[], float],
    ) -> None:
        self.sources, self._notes, self._warn, self._patience = sources, notes, warn, patience

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for source in self.sources:
            try:
                source.close(self._patience())
            except Exception as fault:  # noqa: BLE001  # the run is over, and its ledger closed: this changes nothing of it
                self._notes(f"what was lent may not have been given back ({type(fault).__name__})")
        self.beat()

    def find_all(self, registered: Sequence[Registered], check: Callable[[], None] = lambda: None) -> Answers:
        """The credentials of some endpoints: source after source, and of each source several at once.

        Args:
            registered: the endpoints, each once.
            check: called some times a second; what it raises ends the look-ups.
        """
        waiting = [one for one in registered if not one.endpoint.is_file]
        credentials: dict[str, Credential] = {}
        faults: dict[str, HdmError] = {}
        for source in self.sources:
            answers = each(source.find, waiting, at_once=source.at_once, check=check)
            passed_on = []
            for one, answer in zip(waiting, answers, strict=True):
                if answer is None:
                    passed_on.append(one)
                elif isinstance(answer, HdmError):
                    faults[one.endpoint.slug] = answer
                else:
                    credentials[one.endpoint.slug] = answer
            waiting = passed_on
        self.beat()
        return Answers(credentials=credentials, faults=faults)

    def beat(self) -> None:
        """Pass on what the sources have to tell; never waits."""
        self._notes.pass_on(self._warn)
