"""Cache: the metrics of sound and faulty nights, so that after a change of rules only the rule pack runs again."""

from __future__ import annotations

import ast
import gzip
import hashlib
import inspect
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.faults.pack_host import PACKS, ROOT

if TYPE_CHECKING:
    from benchmarks.faults.data.dataset import DataSet
    from benchmarks.faults.hdm_base import Snapshot

# What metrics depend on besides the data set's own module and the fault's own function. Of the functions that faults
# share, in kinds/, the cache knows nothing: empty it after a change of them.
SHARED = ("benchmarks/faults/schema.py", "benchmarks/faults/data/dataset.py")
VERSIONS = 4  # of one data set that are kept


class Cache:
    """Files of one data set; another version of the data set, of metric pack basic or of the seed has other files."""

    def __init__(self, folder: Path, dataset: DataSet) -> None:
        pack = PACKS / "metric-packs" / "basic"
        files = [path for path in sorted(pack.rglob("*")) if path.suffix in {".py", ".sql", ".c", ".h", ".json"}]
        files += [ROOT / name for name in SHARED] + [Path(inspect.getfile(type(dataset)))]
        files += sorted((ROOT / "demo" / "hospital").glob("*.*")) if dataset.name == "hospital" else []
        digest = hashlib.sha256(str(dataset.seed).encode())
        for file in files:
            digest.update(_code(file))
        self.folder = folder / f"{dataset.name}-{digest.hexdigest()[:12]}"
        self.folder.mkdir(parents=True, exist_ok=True)
        os.utime(self.folder)
        versions = sorted(folder.glob(f"{dataset.name}-*"), key=lambda path: path.stat().st_mtime, reverse=True)
        for old in versions[VERSIONS:]:
            shutil.rmtree(old, ignore_errors=True)

    def get(self, name: str) -> dict[str, Any] | None:
        """What was put under the name; None if nothing was."""
        try:
            content = gzip.decompress((self.folder / f"{name}.json.gz").read_bytes())
        except FileNotFoundError:
            return None
        found: dict[str, Any] = json.loads(content)
        return found

    def put(self, name: str, content: dict[str, Any]) -> None:
        """Keep a JSON object under the name."""
        partial = self.folder / f"{name}.{os.getpid()}.partial"
        partial.write_bytes(gzip.compress(json.dumps(content).encode(), compresslevel=1))
        partial.rename(self.folder / f"{name}.json.gz")


def _code(file: Path) -> bytes:
    """A file's content; a Python program without its comments, docstrings and layout."""
    content = file.read_bytes()
    if file.suffix != ".py":
        return content
    program = ast.parse(content)
    for node in ast.walk(program):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node, clean=False):
            del node.body[0]
    return ast.dump(program).encode()


def packed(snapshot: Snapshot) -> dict[str, Any]:
    """A snapshot as JSON."""
    return {table: [columns, content.decode()] for table, (columns, content) in snapshot.items()}


def unpacked(content: dict[str, Any]) -> Snapshot:
    """A snapshot from JSON."""
    return {table: (columns, text.encode()) for table, (columns, text) in content.items()}
