"""Rate limit: requests that a server rejects as too many are repeated when it allows them."""

from __future__ import annotations

import threading
import time
from typing import Any

import requests
from requests.adapters import HTTPAdapter

_TOO_MANY = 429
_FIRST_WAIT = 0.2  # seconds of the first wait if the server does not state one; doubled each time
_MAX_WAIT = 10.0  # seconds that a request waits in total if the server does not state a time
_MAX_STATED_WAIT = 120.0  # the same if it does


class RateLimitedAdapter(HTTPAdapter):
    """Repeats requests that the server rejects as too many (429).

    Rejected requests queue; only one at a time waits and tries again, so the server's allowance serves them in turn.
    After one of them has given up, the others do not wait either, until the server accepts a request again.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._turn = threading.Lock()
        self._gave_up = False

    def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> requests.Response:
        """Return the server's response; it is 429 only after all permitted waiting."""
        answer = super().send(request, *arguments, **options)
        if answer.status_code != _TOO_MANY:
            self._gave_up = False
            return answer
        with self._turn:
            waited, guess = 0.0, _FIRST_WAIT
            while answer.status_code == _TOO_MANY and not self._gave_up:
                stated = _seconds(answer)
                pause, limit = (guess, _MAX_WAIT) if stated is None else (max(stated, _FIRST_WAIT), _MAX_STATED_WAIT)
                if waited + pause > limit:
                    self._gave_up = True
                    break
                answer.content  # noqa: B018  # read the whole body, so that the connection can be reused
                time.sleep(pause)
                waited, guess = waited + pause, guess * 2
                answer = super().send(request, *arguments, **options)
        return answer


def _seconds(answer: requests.Response) -> float | None:
    """Return how many seconds the server asks to wait; None if it does not say, or not in seconds."""
    text = answer.headers.get("Retry-After", "").strip()
    return float(text) if text.isdecimal() and len(text) < len("1000000") else None
