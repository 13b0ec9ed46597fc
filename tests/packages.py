"""Python packages for tests: wheels and source folders made on the spot, and an index of wheels on this machine."""

from __future__ import annotations

import base64
import hashlib
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

_BACKEND = """
import sys, time
sys.path.insert(0, {root!r})
from tests.packages import build_wheel as wheel
from pathlib import Path
def build_wheel(folder, *_):
    with open({note!r}, "a") as file:
        file.write("built\\n")
    time.sleep({seconds})
    return wheel(Path(folder), {name!r}, {version!r}).name
def build_editable(folder, *_):
    import zipfile
    name = build_wheel(folder)
    with zipfile.ZipFile(Path(folder, name), "a") as file:
        file.writestr("{name}.pth", {source!r})
    return name
"""


def build_wheel(
    folder: Path,
    name: str,
    version: str,
    *,
    extras: dict[str, str] | None = None,
    script: bool = False,
    imports: str = "sys",
    data: str = "",
) -> Path:
    """A wheel with one module that knows its version.

    Args:
        folder: where to.
        name: of package and module.
        version: of the package.
        extras: extra -> what it requires.
        script: with a console script of the same name, which prints the version.
        imports: modules that the script imports before that.
        data: files with this text in share/ and, in a folder, beside the script.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
    for extra, required in (extras or {}).items():
        lines.append(f'Provides-Extra: {extra}\nRequires-Dist: {required}; extra == "{extra}"')
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", f"VERSION = {version!r}\ndef main():\n    import {imports}\n    print(VERSION)\n")
        wheel.writestr(f"{info}/METADATA", "\n".join(lines) + "\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        if script:
            wheel.writestr(f"{info}/entry_points.txt", f"[console_scripts]\n{name} = {name}:main\n")
        for place in ("share", "bin/more") if data else ():
            wheel.writestr(f"{name}-{version}.data/data/{place}/{name}.txt", data)
        wheel.writestr(f"{info}/RECORD", "")
    return path


def sha256(path: Path) -> str:
    """The hash of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def source_package(folder: Path, name: str, version: str, *, note: Path, seconds: float = 0) -> Path:
    """The folder of a package that builds itself, without any other package, and notes each build in a file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        f'[project]\nname = "{name}"\nversion = "{version}"\n'
    )
    values = {"root": str(Path(__file__).parents[1]), "note": str(note), "seconds": seconds, "source": str(folder)}
    (folder / "backend.py").write_text(_BACKEND.format(name=name, version=version, **values))
    return folder


class Index:
    """A package index on 127.0.0.1.

    Args:
        folder: whose wheels it has.
        login: `user:password` that it asks for; '' for none.
    """

    def __init__(self, folder: Path, login: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.asked: list[str] = []  # paths
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.asked.append(self.path)
                wanted = f"Basic {base64.b64encode(login.encode()).decode()}"
                if login and self.headers.get("Authorization") != wanted:
                    self._answer(401, b"", "text/plain")
                    return
                file = folder / Path(self.path).name
                if self.path.startswith("/files/") and file.is_file():
                    self._answer(200, file.read_bytes(), "application/octet-stream")
                    return
                name = self.path.strip("/").rpartition("/")[2]
                wheels = sorted(folder.glob(f"{name}-*.whl"))
                links = "".join(f'<a href="/files/{one.name}#sha256={sha256(one)}">{one.name}</a>\n' for one in wheels)
                self._answer(200 if wheels else 404, f"<html><body>{links}</body></html>".encode(), "text/html")

            def _answer(self, status: int, body: bytes, kind: str) -> None:
                self.send_response(status)
                if status == 401:
                    self.send_header("WWW-Authenticate", "Basic")
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET  # noqa: N815  # as http.server wants it

            def log_message(self, *_: object) -> None:
                """Nothing on stderr."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.host}/simple"

    def __enter__(self) -> Index:  # noqa: PYI034  # Self is of Python 3.11
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
