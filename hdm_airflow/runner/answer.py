"""Answer: the one JSON value that a pack gives to a command, read after all its processes have ended."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from hdm_airflow.runner.masking import MASK, Masker

#: Bytes; a longer answer is refused.
LIMIT = 1 << 24
#: Lists and objects around a value; a deeper answer is refused.
DEPTH = 100
_TOGETHER = 1_000  # texts that are searched for secrets at once: one alone takes as long as ten


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a pack has answered. Its repr does not show the value, which may hold data."""

    value: Any = None  # without secrets; None too if the answer is `null`, or there is none
    fault: str = ""  # why there is no answer, in one sentence about it; '' if there is one

    def __repr__(self) -> str:
        return f"Answer(fault={self.fault!r})" if self.fault else f"Answer({type(self.value).__name__})"


class _Refused(Exception):  # noqa: N818  # the answer is refused, with the reason as its text
    pass


def read(path: Path, mask: Masker) -> Answer:
    """Read an answer; whatever the pack has put there, this neither waits nor follows a link.

    Args:
        path: the file HDM_ANSWER.
        mask: removes the secrets from each text, and the numbers that are one.
    """
    try:
        value = _parsed(_read_bytes(path))
        _check_depth(value)
        return Answer(value=_masked(value, mask))
    except _Refused as refusal:
        return Answer(fault=str(refusal))


def _read_bytes(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise _Refused("gave no answer") from None
    except OSError as error:  # also a link, whose error would say that there are too many
        why = "it is a link" if path.is_symlink() else str(error.strerror)
        raise _Refused(f"gave an answer that cannot be read: {why}") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _Refused("gave an answer that cannot be read: it is not a regular file")
        content = bytearray()
        while len(content) <= LIMIT and (piece := os.read(descriptor, LIMIT + 1 - len(content))):
            content += piece
    finally:
        os.close(descriptor)
    if len(content) > LIMIT:
        raise _Refused(f"gave an answer of more than {LIMIT:,} bytes")
    if not content.strip():
        raise _Refused("gave no answer")
    return bytes(content)


def _parsed(content: bytes) -> Any:
    """The value; an error never quotes it."""
    try:
        value = json.loads(content.decode("utf-8-sig"), parse_constant=_refuse_constant, parse_float=_finite)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError:
        raise _Refused("gave an answer that is not UTF-8 text") from None
    except UnicodeEncodeError:
        raise _Refused("gave an answer with half of a surrogate pair") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise _Refused(f"gave an answer that is not one JSON value: {error.msg} at {place}") from None
    except RecursionError:
        raise _Refused("gave an answer that is nested too deeply") from None
    except ValueError:
        raise _Refused("gave an answer with a number that has too many digits") from None
    return value


def _refuse_constant(name: str) -> float:
    raise _Refused(f"gave an answer with {name}, which JSON does not have")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _Refused("gave an answer with a number that is too large")
    return number


def _check_depth(value: Any) -> None:
    """Refuse what the programs behind us would take for endless."""
    level, depth = [value], 0
    while level := [one for one in level if isinstance(one, (dict, list))]:
        depth += 1
        if depth > DEPTH:
            raise _Refused(f"gave an answer that is nested more than {DEPTH} deep")
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]


def _masked(value: Any, mask: Masker) -> Any:
    """The value without secrets: in texts, in keys, and where a number is one."""
    found: dict[str, str] = {}  # text -> without secrets; only texts that have one
    texts = iter(dict.fromkeys(_texts(value)))
    while some := list(islice(texts, _TOGETHER)):
        found.update(_search(some, mask))
    return _replaced(value, found, mask.numbers) if found or mask.numbers else value


def _texts(value: Any) -> Iterator[str]:
    """All texts in a value, keys too."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            yield from one
            waiting += one.values()


def _search(texts: list[str], mask: Masker) -> Iterator[tuple[str, str]]:
    """The texts that hold a secret, and how they read without it; halves are searched only where the whole has one."""
    together = "\n".join(texts)
    clean = mask(together)
    if clean == together:
        return
    if len(texts) == 1:
        yield together, clean
        return
    middle = len(texts) // 2
    yield from _search(texts[:middle], mask)
    yield from _search(texts[middle:], mask)


def _replaced(value: Any, found: Mapping[str, str], numbers: frozenset[str]) -> Any:
    if isinstance(value, str):
        return found.get(value, value)
    if isinstance(value, list):
        return [_replaced(inner, found, numbers) for inner in value]
    if isinstance(value, dict):
        return {found.get(key, key): _replaced(inner, found, numbers) for key, inner in value.items()}
    is_secret = bool(numbers) and isinstance(value, (int, float)) and json.dumps(value) in numbers
    return MASK if is_secret else value
