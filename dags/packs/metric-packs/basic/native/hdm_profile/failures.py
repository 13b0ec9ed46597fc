"""Why a table cannot be profiled: `enum hdm_failure` of hdm_profile.h, in words."""

from __future__ import annotations

FINE, NO_MEMORY, NO_DISK, MALFORMED, STOPPED, SERVER_ERROR = range(6)
_REASONS = {
    NO_MEMORY: "out of memory",
    NO_DISK: "the folder for temporary files is full or not writable",
    MALFORMED: "the database sent data that is not a row of this table",
    STOPPED: "stopped before the last row",
}


class ProfileError(Exception):
    """A table cannot be profiled. The message contains no values of the table."""

    def __init__(self, failure: int, code: int = 0) -> None:
        super().__init__(_REASONS.get(failure) or f"the database reported error {code}")
        self.failure = failure
        self.code = code  # of SERVER_ERROR: MySQL's error number or SQLite's result code
