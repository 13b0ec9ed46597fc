"""The documentation as a site: complete, in the order of its index, and with links that lead somewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
REPOSITORY = "https://github.com/hdm-airflow/hdm_airflow"


def build(docs: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """As `make docs` does."""
    (line,) = re.findall(r"^\t\$\(BIN\)/sphinx-build (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    options = line.replace("build/doctrees docs build/docs", f"{target}.doctrees {docs} {target}").split()
    command = [sys.executable, "-m", "sphinx", "--no-color", *options]  # CI may ask for colours, which this text is not
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("docs") / "site"
    done = build(ROOT / "docs", target)
    assert done.returncode == 0, done.stderr
    return target


@dataclass
class Page(HTMLParser):
    """What a page names: its own anchors, what it links to, what a browser loads for it."""

    path: Path
    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    sidebar: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors.add(given.get("id", ""))
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
            if given.get("class", "").startswith("reference internal") and ".html" in given["href"]:
                self.sidebar.append(given["href"])
        elif tag in {"link", "script", "img"} and given.get("rel") not in {"canonical", "next", "prev", "index"}:
            self.loaded += [given[name] for name in ("href", "src") if name in given]


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in sorted(site.rglob("*.html"))}


def dead(site: Path, pages: dict[Path, Page]) -> Iterator[str]:
    for page in pages.values():
        for link in page.links:
            address, _, anchor = unquote(link).partition("#")
            if address.startswith(f"{REPOSITORY}/") and (named := re.search(r"/(?:blob|edit)/main/(.*)", address)):
                file, known = ROOT / re.sub(r"\?.*", "", named[1]), True
            elif re.match(r"[a-z]+:", address):
                continue
            else:
                file = (page.path.parent / address).resolve() if address else page.path
                known = not anchor or file not in pages or anchor in pages[file].anchors
            if not file.exists() or not known:
                yield f"{page.path.relative_to(site)}: {link}"


def test_every_link_of_the_site_leads_somewhere(site: Path, pages: dict[Path, Page]) -> None:
    """Within the site, with its anchor, or to a file that the repository has."""
    assert not list(dead(site, pages))


def test_site_loads_nothing_from_elsewhere(pages: dict[Path, Page]) -> None:
    """Hospitals read it in networks that end at their own walls."""
    assert not [one for page in pages.values() for one in page.loaded if re.match(r"[a-z]+:|//", one)]


def test_sidebar_has_the_pages_in_the_order_of_the_index(site: Path, pages: dict[Path, Page]) -> None:
    """There is no second list of pages."""
    lists = (ROOT / "docs/README.md").read_text("utf-8").partition("\n## ")[2]
    listed = re.findall(r"\]\((\w[\w/-]+)\.md\)", lists)
    assert pages[site / "index.html"].sidebar[: len(listed)] == [f"{name}.html" for name in listed]


def test_dead_links_and_unlisted_pages_fail_the_build(tmp_path: Path) -> None:
    """In the documentation, out of it, and of a page that the index has forgotten."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    for name in (
        "AGENTS.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "README.md",
        "benchmarks",
        "dags",
        "demo",
        "hdm_airflow",
    ):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "docs/how-to/forgotten.md").write_text("# Forgotten\n\n[a](gone.md) [b](../../gone.py) [c](#gone)\n")
    done = build(tmp_path / "docs", tmp_path / "site")
    assert done.returncode != 0
    warnings = [line.partition("WARNING: ")[2] for line in done.stderr.splitlines() if "WARNING: " in line]
    assert sum("gone.md" in one for one in warnings) == 1
    assert "nothing is at ../../gone.py" in warnings
    assert sum("'gone'" in one for one in warnings) == 1
    assert sum("isn't included in any toctree" in one for one in warnings) == 1
    assert len(warnings) == 4
