"""A program's output: the same lines however it arrives, masked whole, and never more than the log takes."""

from __future__ import annotations

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
    expected = [line.rstrip("\r") for line in (lines if lines[-1] else lines[:-1])]
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


def test_output_beyond_the_limit_is_counted_and_left_out() -> None:
    """The chunk that would exceed the limit is left out as a whole."""
    lines = logged([b"one\n", b"two\n", b"three\n", b"four\n"], limit=9)
    assert lines[:2] == ["one", "two"]
    assert "limits.output" in lines[2]
    assert lines[3].startswith("11 bytes")
