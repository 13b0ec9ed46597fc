"""A pack's own process/conf.json, as packs of the original have it: which secrets it holds."""

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
    """Its JSON value.

    Raises:
        FileNotFoundError: there is none.
        files.Unreadable: it cannot be read.
        ValueError, RecursionError: it is not JSON; the message may quote it.
    """
    text, _ = files.decode(files.read_bytes(folder / FILE))
    return json.loads(text)


def secrets(conf: Any) -> Iterator[tuple[str, str]]:
    """The places of texts that are not empty below keys that sound like a secret, and the texts."""
    waiting = [("", conf)]  # a list, not recursion: JSON nests deeper than Python calls
    while waiting:
        place, value = waiting.pop()
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, one in inner:
            here = f"{place}.{key}".lstrip(".")
            if isinstance(one, str) and one and _SOUNDS_SECRET.search(str(key)):
                yield here, one
            waiting.append((here, one))


def long_secrets(folder: Path) -> list[str]:
    """Those of a pack's folder that no ordinary word is; none where the file is not there or cannot be read.

    Where only the key's sound tells of a secret, a short one is as likely a separator or a `yes`.
    """
    try:
        return [secret for _, secret in secrets(read(folder)) if len(secret.strip()) >= _LONG]
    except (FileNotFoundError, files.Unreadable, ValueError, RecursionError):
        return []
