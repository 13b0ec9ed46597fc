"""The animals that git cannot hold: pipes, rights, links, sizes and names, made anew for each session.

`build` makes a packs folder of them beside packs that work; `as_nobody` runs a function as a user without rights,
since a test run as root reads everything.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
GOOD = ("good-measure", "good-after", "good-judge")
NOBODY = 65534
#: With this in place of the real limit, `bad-files-many` is large.
LARGE = 60
#: With this in place of the real limit, `bad-scripts-many` has too many.
SCRIPTS = 5

_SCRIPT = '#!/bin/bash\necho "measured"\n'
_ANIMALS: dict[str, Callable[[Path], None]] = {}


def as_nobody(function: Callable[[], Any]) -> Any:
    """What a function returns (or raises) when a user without any rights calls it; as root in a child process."""
    if os.geteuid() != 0:
        return function()
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork in a process with threads: this one only computes
        child = os.fork()
    if child == 0:
        os.close(reader)
        with os.fdopen(writer, "wb") as file:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            try:
                answer = (True, function())
            except BaseException as error:  # noqa: BLE001  # whatever it is, the parent raises it
                answer = (False, error)
            pickle.dump(answer, file)
            file.flush()
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        content = file.read()
    os.waitpid(child, 0)
    done, value = pickle.loads(content)  # noqa: S301  # from our own child
    if not done:
        raise value
    return value


def build(root: Path) -> None:
    """Make the packs folder."""
    for name in GOOD:
        kind = "rule-packs" if name == "good-judge" else "metric-packs"
        shutil.copytree(HERE / name, root / kind / name)
    for folder, breed in _ANIMALS.items():
        pack = root / folder
        pack.parent.mkdir(parents=True, exist_ok=True)
        breed(pack)


def open_up(root: Path) -> None:
    """Give every folder its rights back, so that it can be removed."""
    for folder, below, _ in os.walk(root):
        for name in below:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(0o755)


def whole(pack: Path, *, kind: str | None = None, **keys: object) -> None:
    """A pack without a fault."""
    name = pack.name.encode("ascii", "replace").decode().replace("?", "_")
    stated = {"name": name, "version": "1.0.0", "author": "a", "description": "d", "kind": kind, **keys}
    pack.mkdir()
    (pack / "properties.json").write_text(
        json.dumps({key: value for key, value in stated.items() if value is not None})
    )
    (pack / "bootstrap-script.sh").write_text(_SCRIPT)
    (pack / "Readme.md").write_text(f"# {name}\n")


def animal(folder: str) -> Callable[[Callable[[Path], None]], Callable[[Path], None]]:
    """Keep a function that makes the pack of a folder."""

    def keep(breed: Callable[[Path], None]) -> Callable[[Path], None]:
        _ANIMALS[folder] = breed
        return breed

    return keep


def _with(folder: str, change: Callable[[Path], object] = Path.touch, **keys: object) -> None:
    """Keep an animal that is a pack without a fault until it is changed."""

    def breed(pack: Path) -> None:
        whole(pack, **keys)
        change(pack)

    _ANIMALS[folder] = breed


def _anew(file: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    """A change: another thing in the place of a file."""

    def change(pack: Path) -> None:
        (pack / file).unlink(missing_ok=True)
        (pack / file).parent.mkdir(exist_ok=True)
        make(pack / file)

    return change


# Files that are none, are too large, or may not be read ---------------------------------------------------------------

_with("metric-packs/bad-manifest-pipe", _anew("properties.json", os.mkfifo))
_with(
    "metric-packs/bad-manifest-huge",
    _anew("properties.json", lambda path: path.write_text('{"x": "' + "x" * 10_000_000)),
)
_with(
    "metric-packs/bad-manifest-deep", _anew("properties.json", lambda path: path.write_text('{"x": ' + "[" * 100_000))
)
_with("metric-packs/bad-manifest-closed", lambda pack: (pack / "properties.json").chmod(0))
_with("metric-packs/bad-manifest-loop", _anew("properties.json", lambda path: path.symlink_to("properties.json")))
_with("metric-packs/bad-script-pipe", _anew("bootstrap-script.sh", os.mkfifo))
_with("metric-packs/bad-script-closed", lambda pack: (pack / "bootstrap-script.sh").chmod(0))
_with("metric-packs/bad-script-dangling", _anew("bootstrap-script.sh", lambda path: path.symlink_to("gone.sh")))
_with("metric-packs/bad-readme-closed", lambda pack: (pack / "Readme.md").chmod(0))
_with("metric-packs/bad-process-pipe", _anew("process/pipe", os.mkfifo))
_with("metric-packs/bad-process-file", lambda pack: (pack / "process").write_text(""))
_with("metric-packs/bad-conf-deep", _anew("process/conf.json", lambda path: path.write_text("[" * 100_000)))
_with("metric-packs/bad-conf-pipe", _anew("process/conf.json", os.mkfifo))
_with("metric-packs/bad-ndjson-pipe", _anew("kibana-dashboard/export.ndjson", os.mkfifo))


@animal("metric-packs/bad-files-many")
def _(pack: Path) -> None:
    whole(pack, mainscript="process/zzz.py")
    (pack / "data").mkdir()
    (pack / "process").mkdir()
    (pack / "process/zzz.py").touch()
    for number in range(LARGE):
        (pack / f"data/{number}").touch()


@animal("metric-packs/bad-folders-deep")
def _(pack: Path) -> None:
    whole(pack)
    (pack / "d" / "/".join(["d" * 240] * 13)).mkdir(parents=True)


@animal("metric-packs/bad-scripts-many")
def _(pack: Path) -> None:
    whole(pack)
    (pack / "process").mkdir()
    for number in range(SCRIPTS):
        (pack / f"process/{number}.sh").write_text(_SCRIPT)


# Links ----------------------------------------------------------------------------------------------------------------

_with("metric-packs/bad-link-relative", _anew("process/data", lambda path: path.symlink_to("../../good-measure")))
_with("metric-packs/bad-link-absolute", _anew("process/data", lambda path: path.symlink_to("/etc/hostname")))
_with(
    "metric-packs/bad-link-home", _anew("process/data", lambda path: path.symlink_to(path.parent.parent / "Readme.md"))
)
_with(
    "metric-packs/bad-link-manifest",
    _anew("properties.json", lambda path: path.symlink_to("../good-measure/properties.json")),
)
_with("metric-packs/bad-link-dangling", _anew("process/data", lambda path: path.symlink_to("gone")))
_with("metric-packs/bad-link-loop", _anew("process/data", lambda path: path.symlink_to("data")))
_with("metric-packs/bad-link-up", _anew("process/self", lambda path: path.symlink_to("..")))
_with(
    "metric-packs/bad-link-sideways",
    _anew("process/data", lambda path: [(path.parent.parent / "data").mkdir(), path.symlink_to("../data")]),
)
_with(
    "metric-packs/bad-link-unnamed",
    lambda pack: (pack / os.fsdecode(b"caf\xe9")).symlink_to("gone"),
)
animal("metric-packs/bad-pack-dangling")(lambda pack: pack.symlink_to("gone"))
animal("metric-packs/bad-pack-loop")(lambda pack: pack.symlink_to(pack.name))
animal("hdm-rule-packs")(lambda folder: folder.symlink_to("../not-mounted"))
animal("loop")(lambda folder: folder.symlink_to("loop"))
animal("around")(lambda folder: folder.symlink_to("."))


# Folders --------------------------------------------------------------------------------------------------------------

animal("metric-packs/bad-pack-empty")(lambda pack: pack.mkdir())
animal("metric-packs/bad-pack-gutted")(lambda pack: (pack / "process/data").mkdir(parents=True))
animal("metric-packs/bad-pack-file")(lambda pack: pack.write_text("../packs/elsewhere"))
animal("metric-packs/notes.txt")(lambda path: path.write_text("not a pack, and no fault"))
animal("stray")(lambda folder: (folder / "images").mkdir(parents=True))
_with("metric-packs/bad-pack-closed", lambda pack: pack.chmod(0))
_with("metric-packs/bad-pack-unlisted", lambda pack: pack.chmod(0o111))
_with("metric-packs/bad-pack-listed", lambda pack: [(pack / "process").mkdir(), pack.chmod(0o444)])
_with("metric-packs/bad-process-closed", _anew("process", lambda path: path.mkdir(0)))
_with(
    "metric-packs/bad-process-listed",
    _anew("process", lambda path: [path.mkdir(), (path / "x").touch(), path.chmod(0o444)]),
)
_with("loose-listed", lambda pack: [(pack / "process").mkdir(), pack.chmod(0o444)])
_with(os.fsdecode(b"metric-packs/bad-caf\xe9"), lambda pack: (pack / "bootstrap-script.sh").unlink())


@animal("closed/hdm-metric-packs")
def _(folder: Path) -> None:
    folder.mkdir()
    whole(folder / "unseen")
    folder.chmod(0)


# Kinds and task ids ---------------------------------------------------------------------------------------------------

_with("rule-packs/bad-kind-value", kind="rulez", depends_on=["good-measure"])
_with("rule-packs/bad-kind-differs", kind="metric")
for _folder in ("metric-packs/bad-x", "metric-packs/team-a/bad-x", "metric-packs/team-b/bad-x"):
    _with(_folder, lambda pack: (pack / "bootstrap-script.sh").unlink(), name=_folder.replace("/", "."))
_with("metric-packs/team-c/good-measure", lambda pack: (pack / "properties.json").write_text("{"))
