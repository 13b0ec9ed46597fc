"""Requirements: what a pack's requirements.txt requires, and which other files of the pack it names."""

from __future__ import annotations

import codecs
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from hdm_airflow.errors import VenvBuildError
from hdm_airflow.packs.pack import REQUIREMENTS
from hdm_airflow.runner.venvs.package_index import masked

_COMMENT = re.compile(r"(^|\s+)#.*$")
_MANY = 100  # requirements files that a pack may have
_NESTED = re.compile(r"(?:-[rc]\s*|--(?:requirement|constraint)(?:\s+|\s*=\s*))(\S.*)")
_INDEX = re.compile(r"-i\b|--index-url\b")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_OPTION = re.compile(r"--(pre|trusted-host)(?:\s+|\s*=\s*|$)(.*)")
_ENCODINGS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True, kw_only=True)
class Requirements:
    """The packages to install."""

    content: bytes = field(repr=False)  # of requirements.txt; b"" if there is none
    lines: tuple[str, ...] = field(repr=False)  # as pip reads them: no comments, joined, nested files included
    files: Mapping[str, str] = field(default_factory=dict)  # other files that count: path in the pack -> sha256

    @classmethod
    def read(cls, pack: Path) -> Requirements:
        """Read the requirements of a pack.

        Raises:
            VenvBuildError: if a file cannot be read.
        """
        reader = _Reader(pack)
        content = reader.content(pack / REQUIREMENTS) if (pack / REQUIREMENTS).exists() else b""
        lines = tuple(reader.lines(content, pack))
        return cls(content=content, lines=lines, files=dict(sorted(reader.files.items())))

    @property
    def digest(self) -> str:
        """The sha256 of the file, by which a run's pip recognizes it."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def text(self) -> str:
        """For display: without comments and logins."""
        return masked("\n".join(self.lines))

    def expanded(self, variables: Mapping[str, str]) -> list[str]:
        """The lines with variables replaced by their values, as uv and pip see them."""
        return [_VARIABLE.sub(lambda match: variables.get(match[1]) or match[0], line) for line in self.lines]

    @property
    def names_index(self) -> bool:
        """Whether the file names an index that replaces all others."""
        return any(_INDEX.match(line) for line in self.lines)

    @property
    def trusts_hosts(self) -> bool:
        """Whether the file names hosts whose certificates are not verified."""
        return any(option == "--allow-insecure-host" for option in self.uv_options)

    @cached_property
    def uv_options(self) -> list[str]:
        """Options in the file that uv accepts only on its command line."""
        found: list[str] = []
        for line in self.lines:
            match = _OPTION.fullmatch(line)
            if match:
                found += ["--prerelease", "allow"] if match[1] == "pre" else ["--allow-insecure-host", match[2]]
        return found


class _Reader:
    """Follows requirements from file to file."""

    def __init__(self, pack: Path) -> None:
        self._pack = pack
        self._read: set[Path] = set()
        self.files: dict[str, str] = {}

    def content(self, path: Path) -> bytes:
        """A requirements file's bytes."""
        self._read.add(path)
        if len(self._read) > _MANY:  # each may name the next one, deeper than Python's calls nest
            what = f"the requirements name over {_MANY} files of requirements"
            raise VenvBuildError(what, hint="write them into fewer files")
        try:
            return path.read_bytes()
        except OSError as error:
            what = f"{self._name(path)} cannot be read: {error.strerror}"
            raise VenvBuildError(what, hint="make it a readable file, or remove it") from None

    def lines(self, content: bytes, folder: Path) -> Iterator[str]:
        """Yield the logical lines of a file and its nested files; note the other files of the pack they name."""
        for line in _logical(_decode(content)):
            yield line
            nested = _NESTED.fullmatch(line)
            if not nested:
                self._note_local(line, folder)
                continue
            path = folder / nested[1].strip("\"'")
            if os.path.isfile(path) and path not in self._read:  # a name may be too long for a file
                inner = self.content(path)
                self.files[self._name(path)] = hashlib.sha256(inner).hexdigest()
                yield from self.lines(inner, path.parent)

    def _note_local(self, line: str, folder: Path) -> None:
        """Note the pack's files that a line names: a wheel, a package's folder, a folder of wheels.

        Pip resolves such paths from the working folder, uv from the file's folder: both count. For files outside the
        pack, only the path counts.
        """
        for word in re.split(r"[\s;@]+", re.sub(r"^(?:-[ef]|--[\w-]+=?)|\[[^]]*\]", " ", line)):
            plain = word.removeprefix("file:")
            for path in {folder / plain, self._pack / plain} if plain else ():
                if os.path.normpath(path).startswith(os.path.normpath(self._pack)):
                    inner = path.rglob("*") if os.path.isdir(path) else [path]  # as above
                    whole = (one for one in inner if os.path.isfile(one) and "__pycache__" not in one.parts)
                    self.files.update({self._name(one): _sha256(one) for one in whole})

    def _name(self, path: Path) -> str:
        plain = Path(os.path.normpath(path))
        return plain.relative_to(self._pack).as_posix() if plain.is_relative_to(self._pack) else plain.as_posix()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _decode(content: bytes) -> str:
    encoding = next((name for mark, name in _ENCODINGS if content.startswith(mark)), "utf-8")
    return content.decode(encoding, "surrogateescape" if encoding.startswith("utf-8") else "replace")


def _logical(text: str) -> Iterator[str]:
    """Yield lines as pip sees them: joined if they end with a backslash, then without comments."""
    joined = ""
    for line in text.splitlines():
        is_comment = line.lstrip().startswith("#")
        if line.endswith("\\") and not is_comment:
            joined += line[:-1]
            continue
        whole, joined = joined + (f" {line}" if is_comment else line), ""
        plain = _COMMENT.sub("", whole).strip()
        if plain:
            yield " ".join(plain.split())
    if plain := _COMMENT.sub("", joined).strip():
        yield " ".join(plain.split())
