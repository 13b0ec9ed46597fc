"""The report file: whatever a pack writes to it, the run survives and names the lines that it cannot read."""

from __future__ import annotations

import json
import os
import stat
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hdm_airflow.runner import report
from hdm_airflow.runner.masking import Masker
from hdm_airflow.runner.report import LINE_LIMIT, REPORT_LIMIT, Progress, Report, ReportReader

A, B = "a:sqlite:/a.db:::false", "b:sqlite:/b.db:::false"


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[ReportReader]:
    found = ReportReader(tmp_path / "report.jsonl", frozenset({A, B}), Masker([]))
    yield found
    with suppress(OSError):  # the test has closed it
        os.close(found._descriptor)


def line(slug: str = A, status: str = "ok", **more: object) -> str:
    return json.dumps({"endpoint": slug, "status": status, **more}) + "\n"


def append(reader: ReportReader, text: str | bytes) -> None:
    with reader.path.open("ab") as file:
        file.write(text.encode() if isinstance(text, str) else text)


def test_report_file_is_private_and_new(reader: ReportReader) -> None:
    """An existing file could belong to another user."""
    assert stat.S_IMODE(reader.path.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        ReportReader(reader.path, frozenset(), Masker([]))


def test_everything_that_a_pack_says_is_read(reader: ReportReader) -> None:
    """Contract 1."""
    append(reader, line(status="partial", message="m", metrics=3, alerts=0, incomplete=["t"], version="2.1"))
    append(reader, '{"progress": 0.4, "message": "half of it"}\n')
    reports = reader.close()
    wanted = Report(status="partial", message="m", metrics=3, alerts=0, incomplete=("t",), version="2.1")
    assert reports.endpoints == {A: wanted}
    assert reports.progress == Progress(share=0.4, message="half of it")
    assert (reports.problems, reports.silent) == ([], False)


def test_texts_are_masked_whole_before_they_are_cut(tmp_path: Path) -> None:
    """More people read ledger, XCom and mails than the log."""
    found = ReportReader(tmp_path / "r", frozenset({A}), Masker(["s3  cret"]))
    texts = {"message": "x" * 995 + "s3  cret", "version": "s3  cret", "incomplete": ["s3  cret.table"]}
    append(found, line(status="failed", **texts))
    report = found.close().endpoints[A]
    assert (report.message[-5:], report.version, report.incomplete) == ("xx***", "***", ("***.table", "*"))


def test_endless_report_is_read_in_bounded_steps_and_up_to_a_limit(tmp_path: Path) -> None:
    """A pack that writes without end must neither stop the clock nor fill the memory."""
    found = ReportReader(tmp_path / "r", frozenset({A}), Masker([]))
    append(found, (b"x" * ((16 << 10) - 1) + b"\n") * (70 << 6))
    found.poll()
    assert len(found.reports.problems) + found.reports.dropped < 300
    append(found, line())
    reports = found.close()
    assert reports.endpoints == {}
    assert len(reports.problems) + reports.dropped == (64 << 6) + 1


def test_report_that_is_not_read_to_its_end_leaves_no_endpoint_ok(reader: ReportReader) -> None:
    """The rest may say that the endpoint failed."""
    append(reader, line() + line(B, "partial", metrics=3))
    append(reader, (b"x" * ((16 << 10) - 1) + b"\n") * (4 << 10))
    append(reader, line(status="failed"))
    reports = reader.close()
    assert {slug: (one.status, one.metrics) for slug, one in reports.endpoints.items()} == {
        A: ("failed", None),
        B: ("failed", 3),
    }
    assert "the report is longer than 67,108,864 bytes" in reports.endpoints[A].message


def test_report_of_exactly_the_limit_is_whole(reader: ReportReader) -> None:
    """Nothing of it is left unread."""
    append(reader, line())
    os.truncate(reader.path, REPORT_LIMIT - 1)
    append(reader, "\n")
    reports = reader.close()
    assert reports.endpoints[A].status == "ok"
    assert reports.problems == [f"report line 2: the line is longer than {LINE_LIMIT:,} bytes"]


def test_report_that_there_is_no_time_to_read_leaves_no_endpoint_ok(reader: ReportReader) -> None:
    """A pack reports faster than we read, and then its time is up."""
    append(reader, line() + line(B) + "nonsense\n" * 2_000_000 + line(status="failed"))
    asked = iter([True, False])
    reports = reader.close(go_on=lambda: next(asked))
    assert [one.status for one in reports.endpoints.values()] == ["failed", "failed"]
    assert "no time to read the report to its end" in reports.endpoints[B].message
    assert reports.dropped


def test_error_that_ends_the_reading_leaves_no_endpoint_ok(reader: ReportReader) -> None:
    """The pack's lock is lost while its report is read; the ledger then gets what was read so far."""
    append(reader, line() + "nonsense\n" * 2_000_000 + line(status="failed"))

    def lose_the_lock() -> bool:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        reader.close(go_on=lose_the_lock)
    assert reader.reports.endpoints[A].status == "failed"


def test_time_is_checked_between_any_two_steps(reader: ReportReader) -> None:
    """The caller keeps the pack's lock and its time limit meanwhile."""
    append(reader, "\n" * 5_000_000 + line())
    asked = 0

    def go_on() -> bool:
        nonlocal asked
        asked += 1
        return True

    assert reader.close(go_on=go_on).endpoints.keys() == {A}
    assert asked >= 2  # a step is 4 MiB at most, however fast this machine is


def test_report_is_read_to_its_end_before_the_one_that_replaced_it(reader: ReportReader) -> None:
    """What it says must not depend on how busy this machine is."""
    append(reader, "nonsense\n" * 1_000_000 + line(status="failed"))
    reader.poll()
    other = reader.path.with_name("new")
    other.write_text(line(B))
    other.replace(reader.path)
    reports = reader.close()
    assert {slug: one.status for slug, one in reports.endpoints.items()} == {A: "failed", B: "ok"}
    assert len(reports.problems) + reports.dropped == 1_000_001


def test_last_line_per_endpoint_wins(reader: ReportReader) -> None:
    """A pack can report `failed` at its start, and correct that later."""
    append(reader, line(status="failed", message="not yet") + line(B) + line())
    assert {slug: one.status for slug, one in reader.close().endpoints.items()} == {A: "ok", B: "ok"}


def test_silence_is_empty(reader: ReportReader) -> None:
    """Progress alone is not a report on any endpoint."""
    append(reader, '{"progress": 1}\n')
    assert reader.close().silent


def test_line_counts_when_it_is_whole(reader: ReportReader) -> None:
    """We read while the pack writes, even in the middle of a character."""
    text = line(message="größe").replace("\\u00f6", "ö").replace("\\u00df", "ß").encode()
    for position in range(len(text)):
        append(reader, text[position : position + 1])
        reports = reader.poll()
        assert reports.silent is (position < len(text) - 1)
    assert reports.endpoints[A].message == "größe"
    assert reader.close().problems == []


def test_last_line_without_a_line_end_counts_at_the_end(reader: ReportReader) -> None:
    """printf forgets it; a killed pack has written half a line."""
    append(reader, line().rstrip("\n"))
    assert reader.poll().silent
    assert not reader.close().silent


@pytest.mark.parametrize("text", ["\ufeff" + line(), line().replace("\n", "\r\n"), "\n\n  \n" + line()])
def test_marks_and_line_ends_of_other_systems_are_no_problem(reader: ReportReader, text: str) -> None:
    """PowerShell writes the first two."""
    append(reader, text)
    reports = reader.close()
    assert (reports.silent, reports.problems) == (False, [])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("not json\n", "not JSON"),
        ('{"endpoint": "half\n', "not JSON"),
        (b"\xff\xfe\x00\n", "not JSON"),
        (b'{"endpoint": "caf\xe9"}\n', "not JSON"),
        ("[" * 50_000 + "\n", "not JSON"),
        ("9" * 5_000 + "\n", "not JSON"),
        ("[1]\n", "not a JSON object"),
        ("null\n", "not a JSON object"),
        ("{}\n", "neither endpoint nor progress"),
        (line("c:sqlite:/c.db:::false"), "not part of this run"),
        ('{"endpoint": ["a"], "status": "ok"}\n', "not part of this run"),
        (line(status="success"), "the status is not one of"),
        (f'{{"endpoint": "{A}"}}\n', "the status is not one of"),
        (f'{{"endpoint": "{A}", "status": ["ok"]}}\n', "the status is not one of"),
        ('{"progress": 40}\n', "not a number from 0 to 1"),
        ('{"progress": "0.4"}\n', "not a number from 0 to 1"),
        ('{"progress": true}\n', "not a number from 0 to 1"),
        ('{"progress": NaN}\n', "not a number from 0 to 1"),
    ],
)
def test_line_that_is_no_report_is_named_and_spoils_no_other(reader, text: str | bytes, reason: str) -> None:
    """The number of the line and its fault, but never the line itself, which may contain a patient's name."""
    append(reader, line(B))
    append(reader, text)
    append(reader, line())
    reports = reader.close()
    assert reports.endpoints.keys() == {A, B}
    (problem,) = reports.problems
    assert problem.startswith("report line 2: ")
    assert reason in problem


@pytest.mark.parametrize(
    ("key", "value", "read"),
    [
        ("metrics", "7", None),
        ("metrics", -1, None),
        ("metrics", True, None),
        ("metrics", 2**63, None),  # more than the ledger's column holds
        ("metrics", 1.5, None),
        ("alerts", 0, 0),
        ("message", None, ""),
        ("message", {"table": "visits"}, '{"table": "visits"}'),
        ("message", "a\n b\0\ud800", "a b?"),
        ("message", "x" * 5_000, "x" * 1_000),
        ("incomplete", "visits", ()),
        ("incomplete", ["visits", 7, "a  b", " c"], ("visits", "7", "a  b", " c")),  # as the alerts name them
        ("incomplete", ["", None, " \n"], ()),  # no names
        ("incomplete", ["a\nb", "visits"], ("a b", "visits", "*")),  # some name, we cannot say which
        ("incomplete", ["x" * 1_001], ("x" * 1_000, "*")),
        ("incomplete", ["a\0"], ("a", "*")),
        ("version", "", None),
        ("version", 2, "2"),
        ("version", "v" * 100, "v" * 64),
    ],
)
def test_odd_value_costs_the_value_and_not_the_report(reader, key: str, value: object, read: object) -> None:
    """The status counts; everything else must fit into a row of the ledger."""
    append(reader, line(**{key: value}))
    reports = reader.close()
    assert getattr(reports.endpoints[A], key) == read
    assert reports.problems == []


def test_message_nested_to_the_limit_is_no_reason_to_raise(reader: ReportReader) -> None:
    """JSON that can be read cannot always be written: both fail at some depth."""
    for depth in range(100, 6_000, 100):
        append(reader, f'{{"endpoint": "{A}", "status": "ok", "message": {"[" * depth}{"]" * depth}}}\n')
    append(reader, line(B))
    reports = reader.close()
    assert reports.endpoints.keys() == {A, B}


def test_problems_are_counted_when_there_are_many(reader: ReportReader) -> None:
    """A pack that writes its log here must fill neither the task's log nor the memory."""
    append(reader, "nonsense\n" * 5_000 + line())
    reports = reader.close()
    assert (len(reports.problems), reports.dropped, reports.silent) == (20, 4_980, False)


def test_line_of_50_mb_is_let_go_as_it_comes(reader: ReportReader) -> None:
    """It is named, the next one is read, and the worker's memory does not grow."""
    tracemalloc.start()
    try:
        for _ in range(50):
            append(reader, b"x" * 1_000_000)
            reader.poll()
        append(reader, "\n" + line())
        reports = reader.close()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * LINE_LIMIT
    assert reports.problems == [f"report line 1: the line is longer than {LINE_LIMIT:,} bytes"]
    assert not reports.silent


def test_rewritten_report_is_read_from_its_start_and_named(reader: ReportReader) -> None:
    """`> "$HDM_REPORT"` in place of `>>` is an easy mistake; reports read before still count."""
    append(reader, line(B, message="a longer line than the one that follows it"))
    reader.poll()
    reader.path.write_text(line())
    reports = reader.close()
    assert reports.endpoints.keys() == {A, B}
    assert "rewrote the report" in reports.problems[0]


def test_truncated_report_is_named_and_goes_on(reader: ReportReader) -> None:
    """Half a line at the end of the old content is dropped with it."""
    append(reader, line(B) + '{"endpoint": ')
    reader.poll()
    os.truncate(reader.path, 0)
    reader.poll()
    append(reader, line())
    reports = reader.close()
    assert reports.endpoints.keys() == {A, B}
    assert len(reports.problems) == 1


@pytest.mark.parametrize("how", ["moved over", "removed and written"])
def test_another_file_in_the_reports_place_is_read_and_named(reader: ReportReader, how: str) -> None:
    """`jq ... > new && mv new "$HDM_REPORT"`: the pack has reported, so it must not be called unreported."""
    append(reader, line(B))
    reader.poll()
    other = reader.path.with_name("new")
    other.write_text(line())
    if how == "moved over":
        other.replace(reader.path)
    else:
        reader.path.unlink()
        reader.path.write_text(line())
    reports = reader.close()
    assert reports.endpoints.keys() == {A, B}
    assert "replaced the report" in reports.problems[0]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("what", ["nothing", "pipe", "link", "folder"])
def test_what_cannot_be_read_in_the_reports_place_leaves_what_was_read(reader, tmp_path: Path, what: str) -> None:
    """A pipe would block us, and a link can lead anywhere."""
    append(reader, line(B))
    reader.poll()
    reader.path.unlink()
    if what == "pipe":
        os.mkfifo(reader.path)
    elif what == "link":
        (tmp_path / "elsewhere").write_text(line())
        reader.path.symlink_to("elsewhere")
    elif what == "folder":
        reader.path.mkdir()
    assert reader.close().endpoints.keys() == {B}


def test_no_file_stays_open(tmp_path: Path) -> None:
    """Whatever replaced it in the meantime."""
    lowest = os.dup(0)
    os.close(lowest)
    reader = ReportReader(tmp_path / "report", frozenset({A}), Masker([]))
    for number in range(5):
        (tmp_path / f"{number}").write_text(line())
        (tmp_path / f"{number}").replace(reader.path)
        reader.poll()
    reader.close()
    again = os.dup(0)
    os.close(again)
    assert again == lowest


PIECES = st.lists(
    st.binary(max_size=40)
    | st.sampled_from([b"\n", b"{", b'{"progress":', b"\x00", b"\xff", b'"endpoint"', b"\r\n"])
    | st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists, max_leaves=4).map(
        lambda value: json.dumps({"endpoint": A, "status": value, "metrics": value}).encode() + b"\n"
    ),
    max_size=12,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=PIECES)
def test_garbage_in_any_pieces_spoils_no_report_that_follows(tmp_path: Path, pieces: list[bytes]) -> None:
    """However it is cut, whenever it is read."""
    path = tmp_path / "report"
    path.unlink(missing_ok=True)
    reader = ReportReader(path, frozenset({A, B}), Masker([]))
    for piece in [*pieces, b"\n", line(B).encode()]:
        append(reader, piece)
        reader.poll()
    reports = reader.close()
    assert reports.endpoints[B] == Report(status="ok")
    lines = [one for one in b"".join(pieces).split(b"\n") if one.strip()]
    assert len(reports.problems) + reports.dropped <= len(lines)


def test_control_characters_in_texts_are_visible(tmp_path: Path) -> None:
    """Ledger, log and terminal show them; a secret with a colour in it is masked first."""
    found = ReportReader(tmp_path / "r", frozenset({A}), Masker(["s3cret"]))
    bad = "a\x1b[2J\u202eb \x9b s3\x1b[1mcret"
    append(found, line(status="partial", message=bad, version=bad, incomplete=[bad]))
    append(found, json.dumps({"progress": 0.5, "message": bad}) + "\n")
    reports = found.close()
    report, shown = reports.endpoints[A], "a\\x1b[2J\\u202eb \\x9b ***"
    assert (report.message, report.version, report.incomplete) == (shown, shown, (shown, "*"))
    assert reports.progress == Progress(share=0.5, message=shown)


@pytest.mark.parametrize(("seen", "shown"), [(0, "mmmmm"), (17, "mmmmm"), (39, "mmmmm"), (40, "mmmmm ***")])
def test_secret_at_the_end_of_what_is_read_of_a_message_leaves_no_part_of_itself(
    tmp_path: Path, seen: int, shown: str
) -> None:
    """A line of a report holds up to a megabyte; no message is shown, or searched for secrets, to its end."""
    secret = "k7#Qw!x9Zp" * 4
    mask = Masker([secret])
    found = ReportReader(tmp_path / "r", frozenset({A}), mask)
    text = "mmmmm".ljust(report._MASKED + mask.longest - seen) + secret
    append(found, json.dumps({"endpoint": A, "status": "ok", "message": text}) + "\n")
    assert found.close().endpoints[A].message == shown


@pytest.mark.parametrize(("last", "shown"), [("table  1", ["table  1"]), ("x s3cret y", ["x *** y", "*"])])
def test_many_names_are_searched_for_secrets_at_once(tmp_path: Path, last: str, shown: list[str]) -> None:
    """Each is masked alone only if there is a secret in one of them."""
    found = ReportReader(tmp_path / "r", frozenset({A}), Masker(["s3cret"]))
    names = [f"table_{number}" for number in range(50_000)]
    append(found, json.dumps({"endpoint": A, "status": "partial", "incomplete": [*names, last]}) + "\n")
    assert found.close().endpoints[A].incomplete == (*names, *shown)
