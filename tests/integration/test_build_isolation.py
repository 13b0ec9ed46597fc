"""What code of packages can change and read while it is built: nothing that others execute, and no login of others."""

from __future__ import annotations

import base64
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hdm_airflow.errors import VenvBuildError
from hdm_airflow.runner.processes import sandbox, sandbox_support
from hdm_airflow.runner.processes.run_folder import run_folder
from hdm_airflow.runner.processes.sandbox import Sandbox
from hdm_airflow.runner.processes.supervision import Supervision
from hdm_airflow.runner.venvs import store as store_module
from tests.integration.venv_harness import Shop, isolate, packages, store_in, without_uv
from tests.packages import Index, build_wheel, sha256

#: Folders below the test that an attack tries, since it cannot list what is above them.
_TOPS = ("airflow", "home", "home/.cache", "home/.cache/uv", "home/.cache/pip", "index", "pip")
MARK = "# changed by another package's build\n"
#: Appends to each module `alpha`, and notes the folders and files outside the test that it could change, and
#: everything that it could read of two homes. Outside the test's folder it changes nothing.
_ATTACK = """
import json, os, sys
def attack():
    own = {own!r}
    changed, writable = [], []
    own_places = [os.getcwd(), os.environ["TMPDIR"], os.environ["HOME"], os.environ.get("UV_CACHE_DIR", "")]
    for top in {tops!r} + own_places:
        for folder, folders, files in os.walk(top):
            if not top.startswith(own) and folder.count("/") > top.count("/"):
                folders[:] = []  # the rights of a folder hold for everything below it
            probe = os.path.join(folder, "hdm-probe")
            try:
                os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
                os.unlink(probe)
                writable.append(folder)
            except OSError:
                pass
            for name in files:
                path = os.path.join(folder, name)
                if os.path.islink(path):
                    continue
                try:
                    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
                    writable.append(path)
                    if name == "alpha.py" and path.startswith(own):
                        open(path, "a").write({mark!r})
                        changed.append(path)
                except OSError:
                    pass
                if name == "alpha.py" and path.startswith(own):
                    try:  # a file with the same content and a new place: for those who look it up by its name
                        os.replace(path, path + ".old")
                        open(path, "w").write({mark!r})
                        changed.append(path)
                    except OSError:
                        pass
    seen = {{}}
    for home in {homes!r} + [os.environ.get("HOME", "")]:
        for folder, folders, files in os.walk(home):
            for name in files:
                try:
                    seen[os.path.join(folder, name)] = open(os.path.join(folder, name), errors="replace").read()
                except OSError:
                    pass
    with open({note!r}, "a") as file:
        print(json.dumps([changed, writable, seen, dict(os.environ)]), file=file)
attack()
"""
_BACKEND = """
import sys
sys.path.insert(0, {root!r})
from tests.packages import build_wheel as wheel
from pathlib import Path
def build_wheel(folder, *_):
    return wheel(Path(folder), "evil", "1.0").name
def build_editable(folder, *_):
    return build_wheel(folder)
"""
_PYPROJECT = """
[build-system]
requires = {requires}
build-backend = "{backend}"
{path}
[project]
name = "evil"
version = "1.0"
"""


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What one attack could do."""

    changed: list[str]
    writable: list[str]
    seen: dict[str, str]
    variables: dict[str, str]


@dataclass
class Range:
    """A store, a pack with an evil package, and a worker's home."""

    shop: Shop
    folder: Path
    index: Index

    @property
    def home(self) -> Path:
        """The home of the worker's user."""
        return self.folder / "home"

    @property
    def attacks(self) -> list[Ran]:
        """What each attack noted."""
        found = [json.loads(line) for line in (self.folder / "note").read_text().splitlines()]
        names = ("changed", "writable", "seen", "variables")
        return [Ran(**dict(zip(names, one, strict=True))) for one in found]

    def attack(self, *, everywhere: bool = False) -> str:
        """The code of the attack."""
        tops = [str(self.folder), *(str(self.folder / name) for name in _TOPS)]
        tops += [str(path) for path in self.shop.store.root.glob("*")]
        if everywhere:
            tops += [str(path) for path in Path("/").iterdir() if path.name not in {"proc", "sys", "dev"}]
            tops += [sys.prefix, sys.base_prefix, tempfile.gettempdir(), pwd.getpwuid(os.getuid()).pw_dir]
        own, note, homes = str(self.folder), str(self.folder / "note"), [str(self.home)]
        return _ATTACK.format(own=own, tops=tops, note=note, homes=homes, mark=MARK)

    def evil(self, form: str, *, everywhere: bool = False) -> str:
        """Put the package into the pack; return its requirement."""
        return FORMS[form](self, self.attack(everywhere=everywhere))


def _sources(folder: Path, code: str) -> None:
    folder.mkdir()
    path = 'backend-path = ["."]'
    (folder / "pyproject.toml").write_text(_PYPROJECT.format(requires=[], backend="backend", path=path))
    (folder / "backend.py").write_text(code + _BACKEND.format(root=str(Path(__file__).parents[2])))


def backend(place: Range, code: str) -> str:
    _sources(place.shop.pack / "evil", code)
    return "./evil\n"


def editable(place: Range, code: str) -> str:
    return f"-e {backend(place, code)}"


def nested(place: Range, code: str) -> str:
    (place.shop.pack / "more.txt").write_text(f"--only-binary=:none:\n{backend(place, code)}")
    return "-r more.txt\n"


def sdist(place: Range, code: str) -> str:
    _sources(place.folder / "evil-1.0", code)
    with tarfile.open(place.shop.pack / "evil-1.0.tar.gz", "w:gz") as file:
        file.add(place.folder / "evil-1.0", "evil-1.0")
    return "./evil-1.0.tar.gz\n"


def links(place: Range, code: str) -> str:
    sdist(place, code)
    return "--find-links .\nevil\n"


def git(place: Range, code: str) -> str:
    _sources(place.folder / "repository", code)
    for command in (["init", "-q"], ["add", "-A"], ["-c", "user.email=a@b", "-c", "user.name=a", "commit", "-qm", "a"]):
        subprocess.run(["git", *command], cwd=place.folder / "repository", check=True)
    return f"evil @ git+file://{place.folder}/repository\n"


def setup(place: Range, code: str) -> str:
    """As the oldest packages: setup.py, run by a setuptools from the index, which here only runs it."""
    text = "class __legacy__:\n    @staticmethod\n    def build_wheel(folder, *_):\n"
    text += "        exec(open('setup.py').read(), globals())\n        return build_wheel(folder)\n"
    text += "    build_editable = build_wheel\n"
    with zipfile.ZipFile(build_wheel(place.folder / "index", "setuptools", "99.0"), "a") as file:
        file.writestr("setuptools/__init__.py", "")
        file.writestr("setuptools/build_meta.py", text)
    build_wheel(place.folder / "index", "wheel", "99.0")  # pip asks for it too
    (place.shop.pack / "evil").mkdir()
    (place.shop.pack / "evil/setup.py").write_text(code + _BACKEND.format(root=str(Path(__file__).parents[2])))
    return "./evil\n"


def requirement(place: Range, code: str) -> str:
    """The package is innocent; what it needs for its build is not."""
    with zipfile.ZipFile(build_wheel(place.folder / "index", "builder", "1.0"), "a") as file:
        file.writestr("evilbackend.py", code + _BACKEND.format(root=str(Path(__file__).parents[2])))
    (place.shop.pack / "evil").mkdir()
    text = _PYPROJECT.format(requires='["builder"]', backend="evilbackend", path="")
    (place.shop.pack / "evil/pyproject.toml").write_text(text)
    return "./evil\n"


FORMS: dict[str, Callable[[Range, str], str]] = {
    form.__name__: form for form in (backend, editable, nested, sdist, links, git, setup, requirement)
}


@pytest.fixture
def place(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    require: Callable[[str, str | None], None],
) -> Iterator[Range]:
    """A worker with its home, its cache and its index."""
    missing = f"this kernel does not support {sandbox_support.NEEDED}"
    require("integration", None if sandbox_support.available() else missing)
    (tmp_path / "home").mkdir()
    (tmp_path / "pack").mkdir()
    (tmp_path / "note").touch()
    isolate(monkeypatch, tmp_path / "home/.cache/uv")
    for name in ("UV_CACHE_DIR", "PIP_NO_CACHE_DIR", "XDG_CACHE_HOME", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    build_wheel(tmp_path / "index", "alpha", "1.0")
    if getattr(request, "param", "uv") == "pip":
        without_uv(monkeypatch)
    visible = (str(Path(__file__).parents[2]), str(tmp_path / "repository"))
    in_force = sandbox.in_force(Sandbox(read=visible, write=(str(tmp_path / "note"),)), hide=[tmp_path / "store"])
    with Index(tmp_path / "index") as index:
        monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
        shop = Shop(store=store_in(tmp_path / "store"), pack=tmp_path / "pack", sandbox=in_force)
        yield Range(shop=shop, folder=tmp_path, index=index)


def installed_by_the_worker(place: Range) -> Path:
    """A package next to Airflow's own, as uv installs it: with links into its cache."""
    from uv import find_uv_bin

    target = place.folder / "airflow"
    variables = {**os.environ, "UV_LINK_MODE": "hardlink"}
    command = [find_uv_bin(), "pip", "install", "-q", "--target", str(target), "--python", sys.executable, "alpha"]
    subprocess.run(command, env=variables, check=True, cwd=place.folder)
    return target / "alpha.py"


# Changed -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_build_changes_neither_other_venvs_nor_the_worker_nor_a_later_venv(place: Range, form: str) -> None:
    """uv's cache has the files of all of them; the later venv even asks for a hash."""
    victim = place.shop.get("alpha\n")
    worker = installed_by_the_worker(place)
    assert worker.stat().st_nlink > 1
    before = (victim.site_packages / "alpha.py").read_text()
    evil = place.shop.installed(place.evil(form))
    assert evil == {"evil": "1.0"}
    assert place.attacks
    assert not [
        ran for ran in place.attacks if ran.variables["HOME"] == str(place.home)
    ]  # nothing ran in the first step
    digest = sha256(place.folder / "index/alpha-1.0-py3-none-any.whl")
    later = place.shop.get(f"alpha==1.0 --hash=sha256:{digest}\n")
    assert later.key != victim.key
    for module in (victim.site_packages / "alpha.py", later.site_packages / "alpha.py", worker):
        assert module.read_text() == before


@pytest.mark.parametrize(
    ("place", "form"), [("uv", "requirement"), ("uv", "setup"), ("pip", "setup")], indirect=["place"]
)
def test_build_can_write_to_what_is_removed_with_it_and_to_its_own_venv(
    place: Range, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tried in all folders of the machine; /dev/shm, which is open to all, is documented."""
    cache = place.folder / "pip"
    cache.mkdir()
    monkeypatch.setenv("PIP_CACHE_DIR", str(cache))
    monkeypatch.setenv("XDG_CACHE_HOME", str(place.home / ".cache"))
    place.shop.get("alpha\n")
    place.shop.get(place.evil(form, everywhere=True))
    (pack, store) = (place.shop.pack, place.shop.store.root)
    for ran in place.attacks:
        assert ran.writable
        for path in ran.writable:
            own = (str(pack), str(store / ".building-"), str(place.folder / "note"))
            assert path.startswith(own) or re.search("/hdm-run-[^/]+/b", path), path
        assert not ran.changed


@pytest.mark.parametrize("mode", ["hardlink", "symlink", "clone", "copy"])
@pytest.mark.parametrize("confined", [True, False])
def test_every_file_of_a_venv_is_its_own(
    place: Range, monkeypatch: pytest.MonkeyPatch, mode: str, confined: bool
) -> None:
    """Whatever the worker's variables and configuration say."""
    monkeypatch.setenv("UV_LINK_MODE", mode)
    (place.home / ".config/uv").mkdir(parents=True)
    (place.home / ".config/uv/uv.toml").write_text(f'link-mode = "{mode}"\n')
    place.shop.sandbox = place.shop.sandbox if confined else None
    for content in ("alpha\n", place.evil("backend") + "alpha\n"):
        venv = place.shop.get(content)
        files = [path for path in venv.path.rglob("*") if path.is_file() and path.parent.name != "bin"]
        assert venv.site_packages / "alpha.py" in files
        assert not [path for path in files if path.is_symlink() or path.stat().st_nlink != 1]


def test_second_name_of_a_file_is_refused(place: Range) -> None:
    """A build could give a file of its venv another name in the pack, and the run could change it there."""
    code = (
        "import os\nif not os.path.exists('other.cfg'):\n"
        "    os.link(os.path.dirname(os.environ['UV_CACHE_DIR']) + '/venv/pyvenv.cfg', 'other.cfg')\n"
    )
    _sources(place.shop.pack / "evil", code)
    with pytest.raises(VenvBuildError, match=r"a package put a link or special file into the venv: pyvenv\.cfg"):
        place.shop.get("./evil\n")
    assert not place.shop.leftovers


def test_venv_of_the_time_when_files_were_shared_is_not_used(place: Range, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files may still be links into uv's cache."""
    with monkeypatch.context() as patch:
        patch.setattr(store_module, "_FORMAT", 1)
        old = place.shop.get("alpha\n")
    assert place.shop.get("alpha\n").key != old.key


# No code at all ------------------------------------------------------------------------------------------------------


def test_wheels_are_installed_without_running_any_of_them(place: Range, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python runs .pth files whenever it starts, and these variables start it once more."""
    for name in ("UV_COMPILE_BYTECODE", "UV_VENV_SEED"):
        monkeypatch.setenv(name, "1")
    for name in ("alpha", "pip", "setuptools", "wheel"):
        with zipfile.ZipFile(build_wheel(place.folder / "index", name, "99.0"), "a") as file:
            file.writestr(f"{name}.pth", f"import os; open({str(place.folder / 'note')!r}, 'a').write('ran')\n")
    venv = place.shop.get("alpha\n")
    assert (venv.site_packages / "alpha.pth").exists()
    assert (place.folder / "note").read_text() == ""
    assert not (venv.site_packages / "pip.pth").exists()


def test_settings_in_the_packs_folder_do_not_count(place: Range) -> None:
    """A proxy named there could fill the shared cache with other packages."""
    text = 'https-proxy = "http://127.0.0.1:9"\nindex-url = "http://127.0.0.1:9/simple"\nlink-mode = "hardlink"\n'
    (place.shop.pack / "uv.toml").write_text(text)
    (place.shop.pack / "pyproject.toml").write_text("[tool.uv]\nno-binary = true\n")
    assert place.shop.installed("alpha\n") == {"alpha": "1.0"}


def test_download_without_verified_certificate_does_not_reach_the_shared_cache(place: Range) -> None:
    """Packs that verify certificates would get it from there."""
    place.shop.get(f"--trusted-host {place.index.host}\nalpha\n")
    assert not list((place.home / ".cache").rglob("alpha.py"))
    place.shop.get("alpha\n")
    assert list((place.home / ".cache").rglob("alpha.py"))


def test_repository_in_the_pack_is_not_fetched_while_the_shared_cache_can_be_changed(place: Range) -> None:
    """Its own configuration could name programs that git runs."""
    line = place.evil("git")
    shutil.move(place.folder / "repository", place.shop.pack / "repository")
    place.shop.get(line.replace(str(place.folder), str(place.shop.pack)))
    assert not [path for path in (place.home / ".cache").rglob("objects/*/*") if path.is_file()]


# Built all the same --------------------------------------------------------------------------------------------------


def test_wheel_of_an_older_version_is_preferred_to_sources_but_a_pin_is_built(place: Range) -> None:
    """As with pip's --prefer-binary."""
    build_wheel(place.folder / "links", "evil", "0.9")
    place.evil("links")
    shutil.move(place.shop.pack / "evil-1.0.tar.gz", place.folder / "links/evil-1.0.tar.gz")
    shutil.copytree(place.folder / "links", place.shop.pack / "links")
    assert place.shop.installed("--find-links links\nevil\n") == {"evil": "0.9"}
    assert not place.attacks
    assert place.shop.installed("--find-links links\nevil==1.0\n") == {"evil": "1.0"}
    assert place.attacks
    assert sum("built from source" in line for line in place.shop.lines) == 1


@pytest.mark.parametrize("way", ["variable", "configuration"])
def test_worker_that_lives_from_its_cache_builds_from_it(
    place: Range, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """The build gets a copy of the whole cache, which it may spoil."""
    content = place.evil("requirement") + "alpha\n"
    for name in ("alpha", "builder"):
        place.shop.get(f"{name}\n")
    before = {path: path.read_bytes() for path in (place.home / ".cache").rglob("*.py")}
    if way == "variable":
        monkeypatch.setenv("UV_OFFLINE", "1")
    else:
        (place.home / ".config/uv").mkdir(parents=True)
        (place.home / ".config/uv/uv.toml").write_text("offline = true\n")
    place.index.asked.clear()
    assert set(place.shop.installed(content)) == {"alpha", "evil"}
    assert place.index.asked == []
    assert {path: path.read_bytes() for path in (place.home / ".cache").rglob("*.py")} == before


# Logins --------------------------------------------------------------------------------------------------------------


NETRC = "machine 127.0.0.1 login reader password {}\nmachine other.example login me password anders\n"


@pytest.fixture
def closed(place: Range, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The worker's index asks for a login, which `.netrc` has."""
    password = getattr(request, "param", "geheim")
    with Index(place.folder / "index", login=f"reader:{password}") as index:
        monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
        quoted = '"' + password.replace("\\", "\\\\").replace('"', '\\"') + '"'
        (place.home / ".netrc").write_text(NETRC.format(quoted))
        (place.home / ".netrc").chmod(0o600)
        yield password


@pytest.mark.parametrize("place", ["uv", "pip"], indirect=True)
@pytest.mark.parametrize("closed", ["geheim", 'blank "quote" back\\slash #'], indirect=True)
def test_build_sees_the_login_of_its_index_and_no_other(place: Range, closed: str) -> None:
    """Of all files in the worker's home."""
    (place.home / ".git-credentials").write_text("https://me:anders@other.example\n")
    (place.home / ".gitconfig").write_text('[http "https://other.example/"]\n\textraHeader = "Token: anders"\n')
    (place.home / ".pypirc").write_text("[pypi]\npassword = anders\n")
    (place.home / ".ssh").mkdir()
    (place.home / ".ssh/id_rsa").write_text("anders")
    assert set(place.shop.installed(place.evil("requirement") + "alpha\n")) == {"evil", "alpha"}
    (ran,) = {json.dumps(one.seen): one for one in place.attacks}.values()
    assert ran.variables["HOME"] != str(place.home)
    assert not any(path.startswith(str(place.home)) for path in ran.seen)
    text = "".join(ran.seen.values())
    assert "anders" not in text
    assert "machine 127.0.0.1" in text
    assert "other.example" not in text
    assert "anders" not in json.dumps(ran.variables)


@pytest.mark.parametrize("place", ["uv", "pip"], indirect=True)
def test_file_that_netrc_names_counts_likewise(place: Range, closed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable wins over the file in the home."""
    (place.home / ".netrc").rename(place.folder / "logins")
    monkeypatch.setenv("NETRC", str(place.folder / "logins"))
    assert set(place.shop.installed(place.evil("backend") + "alpha\n")) == {"evil", "alpha"}
    assert "anders" not in json.dumps([[one.seen, one.variables] for one in place.attacks])


@pytest.mark.parametrize(
    "content", ["machine other.example login me password gan zanders\n", "machine\n", "nonsense\n", b"\xff\xfe"]
)
def test_malformed_netrc_is_named_without_its_content(place: Range, content: str | bytes) -> None:
    """Python's own message would quote the second half of a password."""
    (place.home / ".netrc").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert place.shop.installed("alpha\n") == {"alpha": "1.0"}
    with pytest.raises(VenvBuildError, match=r"\.netrc cannot be read: it is") as caught:
        place.shop.get(place.evil("backend"))
    assert "zanders" not in str(caught.value)
    assert caught.value.hint.startswith("correct it")


def test_login_that_a_build_prints_is_masked(place: Range, closed: str) -> None:
    """The task log has the output of a build that fails."""
    _sources(place.shop.pack / "evil", "import os\nraise SystemExit(open(os.environ['HOME'] + '/.netrc').read())\n")
    with pytest.raises(VenvBuildError, match="machine 127") as caught:
        place.shop.get("./evil\n")
    assert closed not in str(caught.value)


def test_login_for_git_is_that_of_the_host_in_the_requirements(place: Range) -> None:
    """As `git credential store` keeps it; the worker's configuration of git names a mirror of that host."""
    place.evil("git")
    served = place.folder / "served/evil.git"
    subprocess.run(["git", "clone", "-q", "--bare", str(place.folder / "repository"), str(served)], check=True)
    subprocess.run(["git", "update-server-info"], cwd=served, check=True)

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Authorization") != f"Basic {base64.b64encode(b'reader:geheim').decode()}":
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            super().do_GET()

        def log_message(self, *_: object) -> None:
            """Nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(served.parent)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host = f"127.0.0.1:{server.server_port}"
    (place.home / ".git-credentials").write_text(f"http://reader:geheim@{host}\nhttps://me:anders@x.example\n")
    (place.home / ".gitconfig").write_text(
        f'[credential]\n\thelper = store\n[url "http://{host}/"]\n\tinsteadOf = http://git.example/\n'
    )
    line = "evil @ git+http://git.example/evil.git\n"
    try:
        assert place.shop.installed(line) == {"evil": "1.0"}
    finally:
        server.shutdown()
        server.server_close()
    assert not any("anders" in text for one in place.attacks for text in one.seen.values())


def test_nothing_that_needs_no_build_needs_a_home(place: Range) -> None:
    """A store that only installs wheels works without any configuration."""
    shutil.rmtree(place.home)
    assert packages(place.shop.get("alpha\n")) == {"alpha": "1.0"}


def test_time_limit_counts_for_both_tries(place: Range) -> None:
    """The copy of a large cache, too, ends with the run."""
    from hdm_airflow.runner.processes.supervision import CutShortError

    _sources(place.shop.pack / "evil", "import time\ntime.sleep(60)\n")
    place.shop.require("./evil\n")
    shop = place.shop
    with run_folder() as folder:
        supervision = Supervision(2, folder, lambda: None, shop.sandbox)
        using = shop.store.use(shop.pack, "pack", None, supervision=supervision, log=shop.lines.append)
        with pytest.raises(CutShortError), using:
            pass
    assert not place.shop.leftovers
