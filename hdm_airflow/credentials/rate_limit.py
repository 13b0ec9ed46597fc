"""Pace: a server that limits how often it is asked is asked as often as it allows."""

from __future__ import annotations

import threading
import time
from typing import Any

import requests
from requests.adapters import HTTPAdapter

_TOO_MANY = 429
_FIRST_WAIT = 0.2  # seconds to wait where the server does not say how long; then twice as long each time
_MAX_WAIT = 10.0  # seconds one request waits in all where the server does not say how long
_MAX_STATED_WAIT = 120.0  # where it does


class RateLimitedAdapter(HTTPAdapter):
    """Sends a request again that was one too many.

    Such requests queue, and one of them waits and tries at a time: what the server grants then serves each in turn.
    Where one has waited in vain, the others wait no more, until the server takes a request again.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._turn = threading.Lock()
        self._gave_up = False

    def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> requests.Response:
        """The server's answer, which is 429 only after waiting for a better one."""
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
                answer.content  # noqa: B018  # read to its end, so that the connection serves again
                time.sleep(pause)
                waited, guess = waited + pause, guess * 2
                answer = super().send(request, *arguments, **options)
        return answer


def _seconds(answer: requests.Response) -> float | None:
    """How long the server asks to wait; None where it does not say so, or not in seconds."""
    text = answer.headers.get("Retry-After", "").strip()
    return float(text) if text.isdecimal() and len(text) < len("1000000") else None
