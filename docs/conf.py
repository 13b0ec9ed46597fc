"""The documentation as a site: `make docs` builds it into build/docs, and nothing but Markdown is asked of the pages.

Two things are made here, so that the pages stay as they are read on a code host: the navigation, from the lists of
README.md, and links that leave this folder, which lead to the repository.
"""

from __future__ import annotations

import os
import re
import shutil
from importlib.metadata import metadata
from pathlib import Path

from pygments.lexers.sql import PsqlRegexLexer
from sphinx.application import Sphinx
from sphinx.util import logging

import hdm_airflow

HERE = Path(__file__).parent
ROOT = HERE.parent
URLS = dict(url.split(", ") for url in metadata("hdm-airflow").get_all("Project-URL") or [])
log = logging.getLogger(__name__)

project = "hdm_airflow"
author = "the authors of hdm_airflow"
version = release = hdm_airflow.__version__

extensions = ["myst_parser"]
root_doc = "README"
myst_heading_anchors = 6  # links such as page.md#a-heading, as code hosts make them
smartquotes = False  # `--option` in a sentence stays what can be typed
highlight_language = "none"  # of indented blocks: commands, trees, what programs print
pygments_dark_style = "github-dark"

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = f"hdm_airflow {release}"
html_use_index = False
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
html_theme_options = {
    "source_repository": URLS["Source"],
    "source_branch": "main",
    "source_directory": "docs/",
    "light_css_variables": {"color-brand-primary": "#0b5cad", "color-brand-content": "#0b5cad"},
    "dark_css_variables": {"color-brand-primary": "#7db7f0", "color-brand-content": "#7db7f0"},
}


def navigation(index: str) -> str:
    """The tables of contents of the sidebar: one for each heading of the index with links to pages, and their titles.

    `## Tutorial: learn by doing` is captioned `Tutorial`. Where a heading has several lists (`Install and run:`), each
    is captioned by the two of them.
    """
    parts = []
    for section in re.split(r"^## ", index, flags=re.MULTILINE)[1:]:
        kind = section.partition("\n")[0].partition(":")[0]
        _, *lists = re.split(r"^(.*)\n\n(?=- )", section, flags=re.MULTILINE)
        for above, pages in zip(lists[::2], lists[1::2], strict=True):
            caption = f"{kind}: {above[0].lower()}{above[1:-1]}" if above.endswith(":") else kind
            names = re.findall(r"\]\((\w[\w/-]+)\.md\)", pages)
            if names:
                parts.append("\n".join(["```{toctree}", ":hidden:", f":caption: '{caption}'", "", *names, "```"]))
    return "\n\n".join(parts)


def map_links(text: str, docname: str) -> str:
    """Let links that leave the documentation lead to the repository; warn of those that lead nowhere."""

    def mapped(link: re.Match[str]) -> str:
        path, anchor = link[1], link[2] or ""
        target = Path(os.path.normpath((HERE / docname).parent / path))
        if target.is_relative_to(HERE):
            return link[0]
        if not target.exists():
            log.warning("nothing is at %s", path, location=docname)
        return f"]({URLS['Source']}/blob/main/{target.relative_to(ROOT)}{anchor})"

    return re.sub(r"\]\((\.\./[^)#\s]*)(#[^)\s]*)?\)", mapped, text)


def prepare(_app: Sphinx, docname: str, source: list[str]) -> None:
    """Make of a page what Sphinx needs; the file stays as it is."""
    source[0] = map_links(source[0], docname)
    if docname == root_doc:
        source[0] += f"\n\n{navigation(source[0])}\n"


def add_index(app: Sphinx, error: Exception | None) -> None:
    """Servers look for index.html."""
    if error is None:
        shutil.copyfile(Path(app.outdir, "README.html"), Path(app.outdir, "index.html"))


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect what is made here."""
    app.add_lexer("sql", PsqlRegexLexer)  # with PostgreSQL's own words, and `\password`
    app.connect("source-read", prepare)
    app.connect("build-finished", add_index)
    return {"parallel_read_safe": True}
