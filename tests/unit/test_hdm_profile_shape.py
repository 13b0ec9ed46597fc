"""hdm_profile: the shape of texts, the decimal places of numbers, the hours of datetimes."""

# ruff: noqa: RUF001  # texts of many alphabets, and what broken encodings make of them

from __future__ import annotations

import datetime as dt
import re
import struct
from decimal import Decimal
from pathlib import Path
from typing import Any

import hdm_profile as hp
import pytest
from hdm_profile import Spec, Stats
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests import shape_oracle as oracle
from tests.unit.hdm_profile_harness import copied, fed, numeric, packets, profile

TEXT = Spec(hp.TEXT, hp.PG_TEXT)
SHAPES = {
    "edge_blank_count": "edge_blanks",
    "upper_count": "uppers",
    "lower_count": "lowers",
    "mojibake_count": "mojibakes",
    "placeholder_count": "placeholders",
}
EPOCH = dt.datetime(2000, 1, 1)  # noqa: DTZ001  # profiles count from here, without a zone


def of_texts(texts: list[str] | list[bytes]) -> dict[str, int]:
    """The metrics of texts, by the engine."""
    rows = [[text.encode() if isinstance(text, str) else text] for text in texts]
    (stats,) = fed([TEXT], copied(rows)).finish()
    return {name: getattr(stats, field) for name, field in SHAPES.items()}


def of_numbers(spec: Spec, stream: bytes) -> tuple[int, int | None]:
    """Numbers with digits after the point, and the most such digits."""
    (stats,) = fed([spec], stream).finish()
    return stats.fractions, stats.places


def doubles(values: list[float], code: str = "d") -> bytes:
    """What COPY sends of doubles."""
    return copied([[struct.pack(f">{code}", value)] for value in values])


# Size -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [*range(1, 70), *range(4075, 4100)])
def test_blanks_are_counted_in_blocks_of_any_length(length: int) -> None:
    """Sixteen bytes are read at once, the last ones twice; from 4,081 bytes on, a byte could not count its blanks."""
    for text in (" " * length, "a " * length, " é" * length, "x" * length, " " + "b" * length, "b" * length + " "):
        cut = text[:length]
        (stats,) = fed([TEXT], copied([[cut.encode()]])).finish()
        trimmed = cut.strip(" ")
        assert (stats.longest, stats.trimmed, stats.blanks) == (length, len(trimmed), trimmed.count(" ")), cut


@pytest.mark.parametrize("characters", [0, 1, 2045, 2046, 2047, 2048, 5000])
def test_length_of_a_known_text_is_added_each_time(characters: int) -> None:
    """A text that the table has is not measured again; from 2,047 characters on, its length is not noted there."""
    texts = ["é" * characters, "ab", "é" * characters, "é" * characters]
    (stats,) = fed([TEXT], copied([[text.encode()] for text in texts])).finish()
    assert (stats.mean_length, stats.empty) == ((3 * characters + 2) / 4, 3 * (characters == 0))


# Case -------------------------------------------------------------------------------------------------------


def test_every_letter_has_the_case_that_python_gives_it() -> None:
    """Of Latin, Greek and Cyrillic, alone and among ASCII; other alphabets have none."""
    for character in [*oracle.LETTERS, "Ա", "ა", "א", "中", "😀", "𝐀", "Ａ"]:
        if character == "\0":
            continue
        for text in (character, f"12{character} ", f"1234567{character}", f"12345678{character}90"):
            found = of_texts([text])
            assert (found["upper_count"], found["lower_count"]) == (oracle.is_upper(text), oracle.is_lower(text)), text


@pytest.mark.parametrize(
    ("text", "case"),
    [
        *[("ÉTÉ", "upper"), ("été", "lower"), ("Été", ""), ("STRASSE", "upper"), ("straße", "lower"), ("STRAßE", "")],
        *[("TIẾNG VIỆT", "upper"), ("tiếng việt", "lower"), ("Tiếng Việt", ""), ("ЖЁЛТЫЙ", "upper"), ("Ж1", "upper")],
        *[("I10.9", "upper"), ("i10.9", "lower"), ("110.9", ""), ("", ""), (" ", ""), ("中文", ""), ("中a", "lower")],
        *[("ABCDEFGHIJKLMNOPq", ""), ("abcdefghijklmnopQ", ""), ("@[`{", ""), ("AZ", "upper"), ("az", "lower")],
        *[("Ǆ", "upper"), ("ǅ", ""), ("ǆ", "lower"), ("ΑΒΓ", "upper"), ("αβγ", "lower")],
    ],
)
def test_case_of_texts(text: str, case: str) -> None:
    """Upper or lower only if all letters are."""
    found = of_texts([text])
    assert [name for name in ("upper", "lower") if found[f"{name}_count"]] == ([case] if case else [])


# Broken encodings -------------------------------------------------------------------------------------------

SOUND = (
    *("Élodie à l'hôpital, où l'âge d'or « Noël » coûte 5 € – déjà vu…", "L’ÂGE, ÂME, « PÂTÉ », CHÂTEAU, ÎLE, ÏÖ"),
    *("Äpfel, Öl, Übung, Spaß, GROẞ, „Ärzte“, „Spaß“, 37,5 °C ± 0,2 µg/m² ½ §", "ÄÖÜ", "Å, Ångström, Åse, SMÅ, blå"),
    *("NÃO, IRMÃ, AMANHÃ, “AMANHÃ”, ‘IRMÃ’, Irmã – não", "coração âmbito", "España, NIÑO, ESPAÑA™ – Ñ"),
    *("Tiếng Việt có dấu: ĐÃ, MÃ SỐ, “ĐÔ, ‘MÃ’, CÂN, Â, Ã, bệnh viện, Nguyễn Thị Ánh", "ÂN, ẤN, ẬU"),
    *("Żółć, gęślą jaźń, ŁÓDŹ", "İstanbul, ışık, ŞİŞLİ", "Îles, ROMÂNIA, în, «CAFÉ», «està», Ðað", "Ελλάδα", "Привет"),
    *(
        "\u00a0",
        "a\u00a0b",
        "e\u0301",
        "x\u0085y",
        "",
        "plain",
        "日本語",
        "😀",
        "À\u00a0: ÇÀ ?",
        "Spaß“",
        "Â",
        "Ã",
        "â",
    ),
)


@pytest.mark.parametrize("text", SOUND)
def test_sound_texts_of_many_languages_are_no_mojibake(text: str) -> None:
    """Accents, quotes, dashes, symbols and non-breaking spaces where languages have them."""
    assert of_texts([text])["mojibake_count"] == 0
    assert not oracle.is_mojibake(text)


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
@pytest.mark.parametrize(
    "text",
    [
        *("é", "è", "à", "ç", "ô", "ü", "ö", "ä", "ß", "ñ", "ã", "É", "Ä", "Ö", "Ü", "Ñ", "Ó", "°", "µ", "«", "\u00a0"),
        *("Élodie", "hôpital", "Müller", "Straße", "Österreich", "NIÑO", "37,5 °C", "5 €", "l’âge", "– tiret", "“mot”"),
        *("Łódź", "gęś", "ığdır", "Привет", "Tiếng Việt có dấu"),
    ],
)
def test_utf_8_that_was_read_as_something_else_is_mojibake(text: str, encoding: str) -> None:
    """What CP1252 does not have stays a control, as in browsers."""
    read = text.encode().decode("latin-1") if encoding == "latin-1" else _lenient(text.encode())
    for padded in (read, f"Dr. {read} Meier", read + "123456789"):
        assert of_texts([padded])["mojibake_count"] == 1, padded
        assert oracle.is_mojibake(padded)


def _lenient(raw: bytes) -> str:
    """CP1252 as browsers read it: the five bytes that it leaves out are controls."""
    return "".join(chr(b) if b in {0x81, 0x8D, 0x8F, 0x90, 0x9D} else bytes([b]).decode("cp1252") for b in raw)


@pytest.mark.parametrize(
    "raw",
    [
        *(b"\xff", b"abc\xe9", b"\xe9t\xe9", b"\xc3", b"a\xc3", b"\xc3(", b"\xe2\x82", b"\xe2\x82x", b"\xf0\x9f\x98"),
        *(b"\xc0\xaf", b"\xc1\x81", b"\xe0\x80\x80", b"\xf0\x80\x80\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"),
        *(b"\xf5\x80\x80\x80", b"\x80", b"1234567\x80", b"12345678\xc3", "\ufffd".encode(), "a\ufffdb".encode()),
    ],
)
def test_what_is_not_utf_8_is_mojibake(raw: bytes) -> None:
    """As is the character that decoders put in its place."""
    assert of_texts([raw])["mojibake_count"] == 1


# Placeholders and blanks --------------------------------------------------------------------------------------


def test_placeholders_are_found_whatever_their_case_and_padding() -> None:
    """All of the list, and repeated marks."""
    repeated = ["-", "---", "?", "???", ".", "...", "*", "*****", "_", "____", "xx", "XXX", "xXx", "x" * 40, "-" * 99]
    for word in [*oracle.WORDS, *repeated]:
        for text in (word, word.upper(), word.title(), f" {word}", f"\u00a0{word}\t\r\n", f"{word}\u3000 "):
            assert of_texts([text])["placeholder_count"] == 1, text
            assert oracle.is_placeholder(text), text


def test_the_documentation_lists_the_placeholders() -> None:
    """Each of them, and no others."""
    page = (Path(__file__).parents[2] / "docs" / "reference" / "metric-pack-basic.md").read_text("utf-8")
    block = re.search(r"^    n/a .*?^$", page, flags=re.DOTALL | re.MULTILINE)
    assert block
    assert sorted(re.split(r"\s{2,}", block[0].strip().lower())) == sorted(oracle.WORDS)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "x", "X", "n", "no", "nap", "na na", "nana", "unknown.", "unknown1", "tests", "testing", "-1", "?!"),
        *("Nantes", "nonE1", "nul", "nulls", "n/b", "none of these", "xxy", "._", "a", "0", "999", "\0", "na\0", "ná"),
        *("NON RENSEIGNÈ", "\u00c3\u00a9", "néan", "not  available", "non-renseigné", "–", "test\u0301"),
    ],
)
def test_other_words_are_no_placeholders(text: str) -> None:
    """Not even those that begin or end like one."""
    assert of_texts([text])["placeholder_count"] == 0
    assert not oracle.is_placeholder(text)


def test_blanks_of_any_kind_count_at_both_ends() -> None:
    """Those within a text do not."""
    for blank in oracle.BLANKS:
        for text in (blank, blank + "a", "a" + blank, "é" + blank, blank + "é", "😀" + blank + "  "):
            assert of_texts([text])["edge_blank_count"] == 1, ascii(text)
        assert of_texts([f"a{blank}b", f"é{blank}é"])["edge_blank_count"] == 0
    assert of_texts(["", "a", "\x1c", "\u200c", "\u2060", "\u180e", "é", "\u0301"])["edge_blank_count"] == 0


# Any text, any way of counting ---------------------------------------------------------------------------------

CHARACTERS = st.sampled_from(
    [*"aAxX-?. nN1\tÃÂâÄéÉß€™‡”ǅ", "\u00a0", "\x85", "\x92", "\ufffd", "\ufeff", "Ẽ", "中", "😀"]
)
ANYTHING = st.text(st.characters(codec="utf-8"), max_size=12)


@settings(max_examples=300)
@given(st.lists(st.text(CHARACTERS, max_size=20) | ANYTHING | st.sampled_from(oracle.WORDS), max_size=6))
@example(["ABCDEFGÉ", "ABCDEFGHÉ", "ÉABCDEFGH", "12345678Ã\u00a9"])
def test_python_sees_the_same_shapes(texts: list[str]) -> None:
    """On each engine's wire."""
    wanted = oracle.of_texts(texts)
    rows = [[text.encode()] for text in texts]
    taken = profile(Spec(hp.TEXT, hp.ANY_TEXT))
    taken.feed_rows([(text,) for text in texts])
    for one in (fed([TEXT], copied(rows)), fed([Spec(hp.TEXT, hp.MY_TEXT)], packets(rows)), taken):
        (stats,) = one.finish()
        assert {name: getattr(stats, field) for name, field in SHAPES.items()} == wanted


@pytest.mark.parametrize("memory", [1, 1 << 29])
@pytest.mark.parametrize("distinct", [3, 1000, 4999, 5000, 5001, 12_000])
def test_shapes_are_exact_however_many_levels_there_are(memory: int, distinct: int) -> None:
    """Counted by level, by value, or first by one and then by the other."""
    ends = ("", " ", "é", "É", "Ã©", "a", "A")
    texts = [f"{i % distinct}{ends[i % distinct % 7]}" if i % 5 else "N/A" for i in range(24_000)]
    (stats,) = fed([TEXT], copied([[text.encode()] for text in texts]), memory=memory).finish()
    assert {name: getattr(stats, field) for name, field in SHAPES.items()} == oracle.of_texts(texts)


def test_uuids_are_lower_case_unless_they_are_all_digits() -> None:
    """As their texts, however many they are."""
    for count in (10, 9_000):
        raw = [[bytes([i % 256, i // 256, *[0x11] * 14])] for i in range(count)]
        texts = [one.hex() for (one,) in raw]
        (stats,) = fed([Spec(hp.TEXT, hp.PG_UUID)], copied(raw)).finish()
        assert (stats.lowers, stats.uppers) == (sum(map(oracle.is_lower, texts)), 0)


def test_numbers_among_the_texts_of_sqlite_have_no_shape() -> None:
    """1e+300 has no letter, and -1 is no dash."""
    one = profile(Spec(hp.TEXT, hp.ANY_TEXT))
    one.feed_rows([(1e300,), (-1,), (b"x",), ("1e+300",), (None,)])
    (stats,) = one.finish()
    assert [getattr(stats, field) for field in SHAPES.values()] == [0, 0, 1, 0, 0]


# Numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "places"),
    [
        *[(0.5, 1), (-0.25, 2), (1 / 3, 15), (0.1 + 0.2, 15), (4000.25, 2), (-123456789012.25, 2), (1e-15, 15)],
        *[(123456789012.125, 3), (1e300, 0), (-0.0, 0), (2.0**53 + 2, 0), (2.0**52 - 0.5, 15), (5e-324, 15)],
        *[(99.99, 2), (19.999, 3), (1e-5, 5), (1234567.1234567, 7), (0.123456789012345, 15), (1e14 + 0.5, 15)],
        *[(1e13 + 0.5, 1), (0.000123, 6)],
    ],
)
def test_places_of_doubles(value: float, places: int) -> None:
    """The fewest that are read as the same double, at most 15."""
    assert of_numbers(Spec(hp.FLOAT, hp.PG_FLOAT8), doubles([value])) == (int(places > 0), places)
    assert oracle.places(value) == places


@pytest.mark.parametrize(
    ("text", "places"), [("0.1", 1), ("0.333333343", 8), ("16777216", 0), ("1e-30", 15), ("99.95", 2), ("0.03125", 5)]
)
def test_places_of_single_floats(text: str, places: int) -> None:
    """The fewest that are read as the same float of 32 bits: from PostgreSQL, and from MySQL as a double."""
    raw = struct.pack(">f", float(text))
    (value,) = struct.unpack(">f", raw)
    assert of_numbers(Spec(hp.FLOAT, hp.PG_FLOAT4), copied([[raw]])) == (int(places > 0), places)
    stream = packets([[repr(value).encode()]])
    assert of_numbers(Spec(hp.FLOAT, hp.MY_SINGLE), stream) == (int(places > 0), places)


@settings(max_examples=200)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.decimals(-(10**6), 10**6, places=3).map(float)))
@example([0.5, 123456789012.25, 0.12345])
@example([0.12345, 123456789012.25, 0.5])
def test_python_needs_the_same_places(values: list[float]) -> None:
    """In any order, with doubles from each engine."""
    wanted = oracle.of_numbers(values)
    taken = profile(Spec(hp.FLOAT, hp.ANY_FLOAT), Spec(hp.DECIMAL, hp.ANY_FLOAT))
    taken.feed_rows([(value, value) for value in values])
    texts = packets([[repr(value).encode()] for value in values])
    found: list[Stats] = [*fed([Spec(hp.FLOAT, hp.PG_FLOAT8)], doubles(values)).finish(), *taken.finish()]
    found += fed([Spec(hp.FLOAT, hp.MY_FLOAT)], texts).finish()
    assert [(one.fractions, one.places) for one in found] == [tuple(wanted.values())] * 4


DECIMALS = st.decimals(-(10**30), 10**30, places=12) | st.sampled_from(
    list(map(Decimal, ("1.10", "0", "0.0001", "100.5000", "-12345.67891", "0.00010000")))
)


@settings(max_examples=200)
@given(st.lists(DECIMALS))
def test_places_of_decimals_are_their_digits_after_the_point(values: list[Decimal]) -> None:
    """Exact ones, without the zeros at the end, of any length."""
    wanted = tuple(oracle.of_numbers(values).values())
    assert of_numbers(Spec(hp.DECIMAL, hp.PG_NUMERIC), copied([[numeric(value)] for value in values])) == wanted
    texts = packets([[f"{value:f}".encode()] for value in values])
    assert of_numbers(Spec(hp.DECIMAL, hp.MY_DECIMAL), texts) == wanted
    small = [value for value in values if len(value.normalize().as_tuple().digits) <= 15 and abs(value) < 10**12]
    wanted = tuple(oracle.of_numbers(small).values())
    assert of_numbers(Spec(hp.FLOAT, hp.PG_NUMERIC), copied([[numeric(value)] for value in small])) == wanted


def test_numbers_that_are_not_finite_need_no_places() -> None:
    """Nor do none at all."""
    nothing = [float("nan"), float("inf"), float("-inf")]
    assert of_numbers(Spec(hp.FLOAT, hp.PG_FLOAT8), doubles(nothing)) == (0, None)
    huge = [Decimal("NaN"), Decimal("1e400") + Decimal("0.5")]
    assert of_numbers(Spec(hp.DECIMAL, hp.PG_NUMERIC), copied([[numeric(value)] for value in huge])) == (0, None)


# Datetimes ----------------------------------------------------------------------------------------------------


@settings(max_examples=100)
@given(st.lists(st.datetimes() | st.dates().map(lambda day: dt.datetime.combine(day, dt.time()))))
def test_hours_are_those_of_python(moments: list[dt.datetime]) -> None:
    """From year 1 to 9999; infinity and years beyond have none."""
    micros = [(moment - EPOCH) // dt.timedelta(microseconds=1) for moment in moments]
    beyond = [2**63 - 1, -(2**63), 86_400_000_000 * 2_921_940]
    stream = copied([[struct.pack(">q", value)] for value in [*micros, *beyond]])
    (stats,) = fed([Spec(hp.DATETIME, hp.PG_TIMESTAMP)], stream).finish()
    wanted: dict[str, Any] = oracle.of_datetimes(moments)
    assert (stats.midnights, stats.clocks) == (wanted["midnight_count"], len(moments) - wanted["midnight_count"])
    assert stats.hour == (None if wanted["hour_mean"] is None else pytest.approx(wanted["hour_mean"], rel=1e-12))


def test_dates_have_no_hours_and_no_dates_are_not_midnights() -> None:
    """0000-00-00 is in no calendar."""
    (stats,) = fed([Spec(hp.DATE, hp.MY_DATE)], packets([[b"2020-02-29"]])).finish()
    assert (stats.midnights, stats.clocks, stats.hour) == (0, 0, None)
    rows = [[text] for text in (b"0000-00-00 00:00:00", b"2020-02-30 10:00:00", b"2020-02-29 18:30:00")]
    (stats,) = fed([Spec(hp.DATETIME, hp.MY_DATETIME)], packets(rows)).finish()
    assert (stats.midnights, stats.clocks, stats.hour) == (0, 1, 18.5)
