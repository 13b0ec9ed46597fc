"""Places: the packs and endpoints that a person names, checked before the base is asked for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hdm_airflow.base.endpoints import canonical
from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs.pack import PREFIX

if TYPE_CHECKING:
    from hdm_airflow.packs.manifest import Kind


def checked_slug(kind: Kind, pack: str, slug: str | None) -> str | None:
    """The slug in its canonical form, if there can be such a pack and such an endpoint.

    What a page sends may be anything: the driver refuses a zero byte and half of a surrogate pair.

    Raises:
        ConfigurationError: if there cannot.
    """
    if kind not in PREFIX:
        raise ConfigurationError(f"{kind!r} is no kind of packs", "kind", f"write one of: {', '.join(PREFIX)}")
    for text, what in ((pack, "pack"), (slug or "", "endpoint")):
        if "\0" in text or not _is_text(text):
            raise ConfigurationError(f"this {what} cannot exist: {text!r}", what, "correct it")
    return canonical(slug) if slug else None


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
