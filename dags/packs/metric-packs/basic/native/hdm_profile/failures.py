"""Why a table could not be read: `enum hdm_failure` of hdm_profile.h, in words."""

from __future__ import annotations

FINE, NO_MEMORY, NO_DISK, MALFORMED, STOPPED, SERVER_ERROR = range(6)
_REASONS = {
    NO_MEMORY: "there is no memory left for it",
    NO_DISK: "the folder for temporary files is full or cannot be written",
    MALFORMED: "the server sent what is no row of this table",
    STOPPED: "it was stopped",
}


class ProfileError(Exception):
    """A table could not be read to its end; the message holds no value."""

    def __init__(self, failure: int, code: int = 0) -> None:
        super().__init__(_REASONS.get(failure) or f"the server ended it with error {code}")
        self.failure = failure
        self.code = code  # SERVER_ERROR: its number
