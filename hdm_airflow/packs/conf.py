"""A pack's own process/conf.json, as packs of the original have it, and the secrets in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hdm_airflow.packs import files

FILE = "process/conf.json"
_LONG = 6  # letters
_SOUNDS_SECRET = re.compile(r"(?i)pass(word|wd|phrase)?$|pwd|secret|token|api_?key")


def read(folder: Path) -> Any:
    """The file's JSON value.

    Raises:
        FileNotFoundError: if there is no such file.
        files.Unreadable: if it cannot be read.
        ValueError, RecursionError: if it is not JSON; the message may quote it.
    """
    text, _ = files.decode(files.read_bytes(folder / FILE))
    return json.loads(text)


def sounds_secret(key: str) -> bool:
    """Whether a key suggests that its value is a secret."""
    return _SOUNDS_SECRET.search(key) is not None


def secrets(conf: Any) -> Iterator[tuple[str, str]]:
    """Every non-empty text whose key suggests a secret: its place, and the text."""
    waiting = [("", conf)]  # a list, not recursion: JSON nests deeper than Python calls
    while waiting:
        place, value = waiting.pop()
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, one in inner:
            here = f"{place}.{key}".lstrip(".")
            if isinstance(one, str) and one and sounds_secret(str(key)):
                yield here, one
            waiting.append((here, one))


def long_secrets(folder: Path) -> list[str]:
    """The secrets in a pack's conf.json, without short ones; none if the file is missing or unreadable.

    Only the key suggests that a text is a secret: a short one is as likely a separator or a `yes`.
    """
    try:
        return [secret for _, secret in secrets(read(folder)) if len(secret.strip()) >= _LONG]
    except (FileNotFoundError, files.Unreadable, ValueError, RecursionError):
        return []
