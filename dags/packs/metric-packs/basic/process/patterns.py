"""Shell patterns for names of schemas, tables and columns."""

from __future__ import annotations

import re
import unicodedata
from fnmatch import translate
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")  # where a word begins without a sign: PatientId
_WILDCARDS = re.compile(r"\[[^\]]*\]|[*?]")


class Patterns:
    """Several patterns in one regular expression. `plain`: apply `plain_name` to them, as the caller does to names."""

    def __init__(self, patterns: Iterable[str], *, plain: bool = False) -> None:
        wanted = [plain_name(pattern) if plain else pattern for pattern in patterns]
        self._patterns = wanted
        self._expression = re.compile("|".join(map(translate, wanted))) if wanted else None

    def __bool__(self) -> bool:
        return self._expression is not None

    def match(self, *names: str) -> bool:
        """Whether one of the patterns matches one of the names."""
        return self._expression is not None and any(map(self._expression.match, names))

    def specificity(self, *names: str) -> Specificity | None:
        """The specificity of the most specific pattern that matches one of the names; None if none does."""
        if not self.match(*names):
            return None
        return max(Specificity.of(one) for one in self._patterns if Patterns((one,)).match(*names))


class Specificity(NamedTuple):
    """How specific a pattern of columns is. The greatest applies: `stays.name`, then `name`, `na*`, `*m*`, `*`."""

    is_exact: bool = False  # the column's name has no wildcards
    letters: int = 0  # of the column's name, without wildcards
    letters_of_table: int = 0

    @classmethod
    def of(cls, pattern: str) -> Specificity:
        """The specificity of `column` or `table.column`."""
        table, _, column = pattern.rpartition(".")
        letters = _WILDCARDS.sub("", column)
        return cls(letters == column, len(letters), len(_WILDCARDS.sub("", table)))


class Choice:
    """What is included (without patterns: everything) and not excluded. Exclusion takes precedence."""

    def __init__(self, include: Iterable[str], exclude: Iterable[str], *, plain: bool = False) -> None:
        self._include, self._exclude = Patterns(include, plain=plain), Patterns(exclude, plain=plain)

    def __bool__(self) -> bool:
        return bool(self._include) or bool(self._exclude)

    def includes(self, *names: str) -> bool:
        """Whether an object with these names is selected."""
        return (not self._include or self._include.match(*names)) and not self._exclude.match(*names)


@lru_cache(maxsize=100_000)
def plain_name(name: str) -> str:
    """The name in lower case without accents: PRÉNOM becomes prenom."""
    if name.isascii():
        return name.lower()
    return "".join(char for char in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(char))


@lru_cache(maxsize=100_000)
def words(name: str) -> tuple[str, ...]:
    """The words of a name, in lower case without accents: ValidFrom_date2 becomes valid, from, date."""
    return tuple(re.findall(r"[a-z]+", plain_name(HUMP.sub("_", name))))


@lru_cache(maxsize=64)
def plain_patterns(patterns: tuple[str, ...]) -> Patterns:
    """Patterns for plain names, compiled only once."""
    return Patterns(patterns, plain=True)
