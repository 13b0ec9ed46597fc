"""Phase: where an execution is between its first and its last ledger row, and which events lead there."""

from __future__ import annotations

from enum import Enum, auto


class Event(Enum):
    """What happens to an execution. ABORT comes from a signal handler, so between any two steps of the others."""

    START = auto()  # the `running` rows are about to be written
    STARTED = auto()  # they are in the ledger
    ABORT = auto()  # the task was killed
    END = auto()  # the pack ended, or an error ended the run
    WRITTEN = auto()  # the ledger has the end
    REFUSED = auto()  # the base refused the end until patience ran out
    INTERRUPTED = auto()  # writing the end failed early: a timeout interrupted it, or a signal handler cannot wait


class Phase(Enum):
    """The phases of an execution, and the phase that each event leads to.

    | phase      | START    | STARTED | ABORT      | END        | WRITTEN | REFUSED | INTERRUPTED |
    | ---------- | -------- | ------- | ---------- | ---------- | ------- | ------- | ----------- |
    | WAITING    | STARTING |         | COMPLETING | COMPLETING |         |         |             |
    | STARTING   |          | RUNNING | DOOMED     | COMPLETING |         |         |             |
    | DOOMED     |          | CLOSING | DOOMED     | COMPLETING |         |         |             |
    | RUNNING    |          |         | CLOSING    | CLOSING    |         |         |             |
    | CLOSING    |          |         | CLOSING    | CLOSING    | CLOSED  | LOST    | RUNNING     |
    | COMPLETING |          |         | COMPLETING | COMPLETING | CLOSED  | LOST    | WAITING     |
    | CLOSED     | CLOSED   |         | CLOSED     | CLOSED     |         |         |             |
    | LOST       |          |         | LOST       | LOST       |         |         |             |

    An empty cell cannot happen. The event that causes the step into CLOSING or COMPLETING writes the end. ABORT, which
    may arrive while that write is under way, leaves it alone. END can only find a write that something interrupted,
    such as Airflow's timeout, so it writes again; the ledger keeps the end that it has already.
    """

    WAITING = auto()  # as far as we know, the ledger has no `running` row of this execution
    STARTING = auto()  # its rows are being written; an end written now would precede them
    DOOMED = auto()  # as STARTING, but the end follows at once
    RUNNING = auto()  # its rows are in the ledger
    CLOSING = auto()  # the end is being written into these rows
    COMPLETING = auto()  # the end is being written, and rows that may be missing are added
    CLOSED = auto()  # the ledger has the end
    LOST = auto()  # the base refused the end; the pack's next run closes the rows

    @property
    def is_writing(self) -> bool:
        """Whether the end is being written."""
        return self in {Phase.CLOSING, Phase.COMPLETING}


class Progress:
    """The events of one execution, in the order in which they happened.

    The phase is derived from them. Appending to a list is a single step, so a signal handler runs before or after it.
    If the phase were a variable, a handler could run between reading and writing it, and its event would be lost.
    """

    def __init__(self) -> None:
        self._events: list[_Entry] = []

    @property
    def phase(self) -> Phase:
        """The phase now."""
        return self._walk(None)[1]

    def follow(self, event: Event) -> tuple[Phase, Phase]:
        """Record an event.

        Returns:
            The phases before and after it.

        Raises:
            KeyError: if the event cannot happen in this phase.
        """
        entry = _Entry(event)
        self._events.append(entry)
        try:
            return self._walk(entry)
        except KeyError:
            self._events.remove(entry)  # the phase must stay readable, above all for a signal handler
            raise

    def _walk(self, last: _Entry | None) -> tuple[Phase, Phase]:
        before = after = Phase.WAITING
        for entry in tuple(self._events):
            before, after = after, _TRANSITIONS[after][entry.event]
            if entry is last:
                break
        return before, after


class _Entry:
    """One occurrence of an event; equal events stay distinct."""

    def __init__(self, event: Event) -> None:
        self.event = event


_TRANSITIONS = {
    Phase.WAITING: {
        Event.START: Phase.STARTING,
        Event.ABORT: Phase.COMPLETING,
        Event.END: Phase.COMPLETING,
    },
    Phase.STARTING: {
        Event.STARTED: Phase.RUNNING,
        Event.ABORT: Phase.DOOMED,
        Event.END: Phase.COMPLETING,
    },
    Phase.DOOMED: {
        Event.STARTED: Phase.CLOSING,
        Event.ABORT: Phase.DOOMED,
        Event.END: Phase.COMPLETING,
    },
    Phase.RUNNING: {
        Event.ABORT: Phase.CLOSING,
        Event.END: Phase.CLOSING,
    },
    Phase.CLOSING: {
        Event.ABORT: Phase.CLOSING,
        Event.END: Phase.CLOSING,
        Event.WRITTEN: Phase.CLOSED,
        Event.REFUSED: Phase.LOST,
        Event.INTERRUPTED: Phase.RUNNING,
    },
    Phase.COMPLETING: {
        Event.ABORT: Phase.COMPLETING,
        Event.END: Phase.COMPLETING,
        Event.WRITTEN: Phase.CLOSED,
        Event.REFUSED: Phase.LOST,
        Event.INTERRUPTED: Phase.WAITING,
    },
    Phase.CLOSED: {
        Event.START: Phase.CLOSED,
        Event.ABORT: Phase.CLOSED,
        Event.END: Phase.CLOSED,
    },
    Phase.LOST: {
        Event.ABORT: Phase.LOST,
        Event.END: Phase.LOST,
    },
}
