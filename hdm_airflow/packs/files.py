"""Reading the small files of a pack: bounded, never blocking, and with a reason when it fails."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from hdm_airflow.packs import json_fault

#: No manifest, script or configuration of a pack is larger than this, in bytes.
LIMIT = 1_000_000


class Unreadable(Exception):  # noqa: N818  # the name describes the file
    """A file cannot be read or understood: the reason, the place in the file, and what to do."""

    def __init__(self, reason: str, place: str = "", hint: str = "") -> None:
        super().__init__(reason)
        self.reason, self.place, self.hint = reason, place, hint


def read_bytes(path: Path, *, limit: int = LIMIT, truncate: bool = False) -> bytes:
    """The content of a regular file.

    Args:
        path: the file; a pipe or device is refused at once instead of blocking.
        limit: bytes.
        truncate: return the first `limit` bytes of a longer file instead of raising.

    Raises:
        FileNotFoundError: if there is no such file.
        Unreadable: if it is a folder, pipe, device or loop of links, too large, or not readable for us.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise Unreadable("is not a regular file", hint=f"put a regular file {path.name} there")
            if status.st_size > limit and not truncate:
                size = f"is {status.st_size:,} bytes long; at most {limit:,} are read"
                raise Unreadable(size, hint="shorten it, or move the data into another file")
            with open(descriptor, "rb", closefd=False) as file:  # open() leaves a folder's descriptor to its caller
                return file.read(limit)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise
    except OSError as error:
        hint = "make it readable for the user that runs Airflow" if isinstance(error, PermissionError) else "repair it"
        raise Unreadable(f"cannot be read: {error.strerror}", hint=hint) from None


def decode(content: bytes) -> tuple[str, bool]:
    """The text of UTF-8 bytes, and whether a byte order mark was removed.

    Raises:
        Unreadable: if it is not UTF-8; the place is the line of the first bad byte.
    """
    marked = content.startswith(b"\xef\xbb\xbf")
    try:
        return content[3 if marked else 0 :].decode("utf-8"), marked
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Unreadable("is not UTF-8 text", str(line), "save it as UTF-8") from None


def parse_object(text: str) -> tuple[dict[str, Any], list[str]]:
    """The JSON object in a text, and the keys that appear in it twice.

    Raises:
        Unreadable: if it is not JSON, or not an object; the place is line:column.
    """
    doubled: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) < len(items):
            names = [name for name, _ in items]
            doubled.extend(sorted({name for name in names if names.count(name) > 1}))
        return found

    try:
        value = json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        cause, hint = json_fault.explain(text, error)
        raise Unreadable(f"is not JSON: {cause}", f"{error.lineno}:{error.colno}", hint) from None
    except (RecursionError, ValueError):  # nested too deeply; a number of thousands of digits
        raise Unreadable("is JSON too deeply nested or with too long a number", hint="write one plain object") from None
    if not isinstance(value, dict):
        raise Unreadable(f"contains a {type(value).__name__}, not an object", "1:1", "write one object: { ... }")
    return value, doubled
