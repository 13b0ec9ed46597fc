"""What a change did, and to what, in words."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from hdm_airflow.admin.audit import Change
from hdm_airflow.ui import audit_words, names
from hdm_airflow.ui.texts import Texts

ENGLISH = Texts("en")
WARD = "ward_1 (postgres, db1:5432)"
SLUG = "ward_1:postgres:db1:5432:reader:false"


def change(action: str, item: str, old: Any = None, new: Any = None, difference: str = "") -> Change:
    return Change(
        id=1,
        at=datetime(2026, 1, 1, tzinfo=timezone.utc),
        actor="anna",
        action=action,
        object=item,
        old=old,
        new=new,
        batch=None,
        size=1,
        difference=difference,
        hidden_changed=False,
    )


@pytest.mark.parametrize(
    ("stated", "done", "to"),
    [
        (("activate", f"metric pack basic {SLUG}"), "activated", f"mp_basic on {WARD}"),
        (("deactivate", "rule pack basic lab:sqlite:/a b:::false"), "deactivated", "rp_basic on lab (sqlite, /a b)"),
        (("deactivate", "rule pack basic no slug"), "deactivated", "rp_basic on no slug"),
        (("config set", "hdm_pack_metric_conf basic:1.0.0"), "configuration saved", "mp_basic 1.0.0, all endpoints"),
        (("config remove", f"hdm_pack_rule_conf basic:{SLUG}"), "configuration removed", f"rp_basic on {WARD}"),
        (
            ("deduplicate", f"metric configuration basic:{SLUG}"),
            "unused second configuration removed",
            f"mp_basic on {WARD}",
        ),
        (("endpoint add", f"hdm_core_dblist {SLUG}", None, {"conn_id": "x"}), "endpoint added", WARD),
        (
            ("endpoint rename", f"hdm_core_dblist {SLUG}", {"slug": SLUG}, {"slug": SLUG.replace("_1", "_2")}),
            "endpoint: renaming began",
            "ward_1 (postgres, db1:5432) → ward_2 (postgres, db1:5432)",
        ),
        (("pack rename", "rule pack old", {"name": "old"}, {"name": "new"}), "pack renamed", "rp_old → rp_new"),
        (("grant", "role reader"), "rights granted", "role reader"),
        (("something new", "of a later release"), "something new", "of a later release"),
        (("activate", "metric pack "), "activated", "mp_"),
        (("config set", "hdm_pack_metric_conf"), "configuration saved", "mp_ , all endpoints"),
    ],
)  # fmt: skip
def test_a_change_in_words(stated: tuple[Any, ...], done: str, to: str) -> None:
    """The object as people call it; one that cannot be read, as it is."""
    line = audit_words.line(ENGLISH, change(*stated))
    assert (line.done, line.to) == (done, to)


def test_a_configuration_has_a_page() -> None:
    """Of a version or an endpoint."""
    version = audit_words.line(ENGLISH, change("config set", "hdm_pack_metric_conf basic:1.0.0")).configuration
    place = audit_words.line(ENGLISH, change("config restore", f"hdm_pack_rule_conf basic:{SLUG}")).configuration
    assert version == names.Named(kind="metric", pack="basic", version="1.0.0", place=None)
    assert place
    assert (place.kind, place.pack, place.version, place.place) == ("rule", "basic", None, names.place(SLUG))
    assert audit_words.line(ENGLISH, change("activate", f"metric pack basic {SLUG}")).configuration is None


def test_every_line_of_a_difference_has_a_sign() -> None:
    """Lines that are left out are a gap; the head of the first part says nothing."""
    found = audit_words.signs("@@ -1,2 +1,2 @@\n {\n-  1\n+  2\n@@ -9 +9 @@\n-\n+x")
    assert [(one.kind, one.sign, one.text) for one in found] == [
        ("same", " ", "{"),
        ("removed", "-", "  1"),
        ("added", "+", "  2"),
        ("gap", " ", ""),
        ("removed", "-", ""),
        ("added", "+", "x"),
    ]
    assert audit_words.signs("") == []
    (remark,) = audit_words.signs("(too long to compare: 3,000 and 4,000 lines)")
    assert remark.kind == "remark"


def test_switches_have_no_difference() -> None:
    """The word says it."""
    line = audit_words.line(ENGLISH, change("activate", f"metric pack basic {SLUG}", False, True, "-false\n+true"))
    assert line.difference == []


def test_actions_can_be_filtered_by_name() -> None:
    """The names are those of the audit trail."""
    named = dict(audit_words.actions(Texts("fr")))
    assert {"activate", "config set", "pack rename", "endpoint renamed", "incident muted"} <= named.keys()
    assert named["activate"] == "activé"
