"""A program's output: the same lines however it arrives, masked whole, and never more than the log takes."""

from __future__ import annotations

import base64
import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdm_airflow.runner.masking import MASK, Masker
from hdm_airflow.runner.processes.output import LINE_LIMIT, Output

CHUNKS = st.lists(st.text(alphabet="ab\n\r", max_size=8), max_size=12)


def logged(chunks: list[bytes], *, mask: Masker | None = None, limit: int | None = None) -> list[str]:
    """The lines that the log gets of these chunks."""
    lines: list[str] = []
    output = Output(lines.append, mask or Masker([]), limit)
    for chunk in chunks:
        output.feed(chunk)
    output.close()
    return lines


@settings(max_examples=60, deadline=None)
@given(chunks=CHUNKS)
def test_lines_do_not_depend_on_how_the_output_is_cut_into_chunks(chunks: list[str]) -> None:
    """A pipe hands over whatever is there; a last line without a line end counts."""
    lines = "".join(chunks).split("\n")
    expected = [line.rstrip("\r").replace("\r", r"\r") for line in (lines if lines[-1] else lines[:-1])]
    assert logged([chunk.encode() for chunk in chunks]) == expected


def test_secret_that_is_split_over_two_chunks_is_masked() -> None:
    """Lines are masked whole."""
    assert logged([b"it is s3c", b"ret\nand ", b"s3cret"], mask=Masker(["s3cret"])) == [f"it is {MASK}", f"and {MASK}"]


def test_line_beyond_its_limit_is_cut_before_what_could_be_a_piece_of_a_secret() -> None:
    """The cut may fall into a secret."""
    mask = Masker(["s3cret"])
    (line, last) = logged([b"x" * (LINE_LIMIT - 3), b"s3cret" + b"x" * 97, b"\nlast\n"], mask=mask)
    assert line == "x" * (LINE_LIMIT - mask.longest) + " ... [100 bytes of this line dropped]"
    assert last == "last"


@settings(max_examples=80, deadline=None)
@given(
    secret=st.text("abcdXYZ019' \\$;&", min_size=9, max_size=24).map(lambda text: f"Q{text}Q"),
    width=st.integers(1, 30),
    cuts=st.lists(st.integers(0, 80), max_size=6),
    encode=st.booleans(),
)
def test_secret_over_several_lines_and_reads_leaves_no_three_bytes(
    secret: str, width: int, cuts: list[int], encode: bool
) -> None:
    """`base64` wraps at 76 columns, and a pipe hands over one line before the next."""
    whole = base64.b64encode(secret.encode()).decode() if encode else secret
    text = ("\n".join(re.findall(f".{{1,{width}}}", whole)) + "\nend\n").encode()
    places = sorted({0, len(text), *(cut % len(text) for cut in cuts)})
    lines = logged([text[a:b] for a, b in itertools.pairwise(places)], mask=Masker([secret]))
    left = re.sub(r"\*\*\*|[ '\\$]", "", "".join(lines[:-1]))
    assert lines[-1] == "end"
    assert len(lines) == text.count(b"\n")
    assert len(left) <= (8 if encode else 3), lines  # 2 letters and the padding at each end belong to other bytes, too


def test_line_that_could_begin_a_secret_waits_for_the_next_one() -> None:
    """And no other line waits; a log that stood still would look like a hanging pack."""
    lines: list[str] = []
    output = Output(lines.append, Masker(["s3cret-password"]), None)
    output.feed(b"one\ntwo s3\n")
    assert lines == ["one", "two s3"]
    output.feed(b"three s3cret-\n")
    assert lines == ["one", "two s3"]
    output.feed(b"  password\n")
    assert lines == ["one", "two s3", f"three {MASK}", MASK]
    output.feed(b"four s3cret-\n")
    output.feed(b"five\n")
    assert lines[4:] == ["four s3cret-", "five"]


def test_half_a_secret_at_the_end_of_the_output_is_masked() -> None:
    """A killed pack can stop in the middle of a write."""
    assert logged([b"login with s3cret-pass"], mask=Masker(["s3cret-password"])) == [f"login with {MASK}"]
    assert logged([b"login with s3cr"], mask=Masker(["s3cret-password"])) == ["login with s3cr"]


def test_lines_that_wait_are_bounded() -> None:
    """A pack could print half a secret, then quotes without end."""
    lines: list[str] = []
    output = Output(lines.append, Masker(["s3cret-password"]), None)
    output.feed(b"s3cret\n")
    for _ in range(200):
        output.feed(b"'" * 999 + b"\n")
    assert len(lines) > 100
    assert not [line for line in lines if "s3cr" in line]


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        (b"\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        (b"\x1b[1;38;5;208mleft on", "\x1b[1;38;5;208mleft on\x1b[0m"),
        (b"\x1b[8mhidden", r"\x1b[8mhidden"),
        (b"\x1b[38;5;8;8mhidden", r"\x1b[38;5;8;8mhidden"),
        (b"\x1b[2J\x1b[1;1Hgone", r"\x1b[2J\x1b[1;1Hgone"),
        (b"\x1b]0;title\x07", r"\x1b]0;title\x07"),
        (b"\x1b]52;c;cm0gLXJm\x1b\\", r"\x1b]52;c;cm0gLXJm\x1b" + "\\"),
        ("\x9b2J \u202etxt.exe \u2066".encode(), r"\x9b2J \u202etxt.exe \u2066"),
        (b"10%\r20%\r", r"10%\r20%"),
        (b"a\bb\tc\x00", "a\\x08b\tc\\x00"),
        ("Größe 5 µm, 1\u202f000 ✓".encode(), "Größe 5 µm, 1\u202f000 ✓"),
    ],
)
def test_control_characters_are_visible_in_the_log(printed: bytes, shown: str) -> None:
    """They could erase lines, change the title or fill the clipboard; colours are rendered by Airflow's page."""
    assert logged([printed + b"\n"]) == [shown]


@pytest.mark.parametrize(
    "printed",
    [
        b"s3\x1b[31mcr\x1b[0met",
        b"s\x003cret",
        b"s3cr\x1b]0;x\x07et",
        "s3\u200bcr\u202eet".encode(),
        b"s3cr\r\net",
        b"s\x08s3\x083c\x08cr\x08re\x08et\x08t",
    ],
)
def test_control_characters_in_a_secret_do_not_defeat_masking(printed: bytes) -> None:
    """`grep --color` colours a part of a line; `man` prints each letter twice."""
    assert set("".join(logged([printed + b"\n"], mask=Masker(["s3cret"])))) <= set("*\x1b[0m")


def test_output_beyond_the_limit_is_counted_and_left_out() -> None:
    """The chunk that would exceed the limit is left out as a whole."""
    lines = logged([b"one\n", b"two\n", b"three\n", b"four\n"], limit=9)
    assert lines[:2] == ["one", "two"]
    assert "limits.output" in lines[2]
    assert lines[3].startswith("11 bytes")


def test_output_that_there_is_no_time_for_is_counted_and_left_out() -> None:
    """The log says why, once."""
    lines: list[str] = []
    output = Output(lines.append, Masker([]), None)
    output.feed(b"one\ntwo\nhal")
    output.refuse("the time is up")
    output.refuse("the time is up")
    output.feed(b"f\n")
    output.close()
    assert lines == [
        "one",
        "two",
        "the output is truncated here: the time is up",
        "hal",
        "2 bytes of output were dropped",
    ]
