"""Masking: no secret reaches a log, in whatever form a program prints it."""

from __future__ import annotations

import base64
import html
import json
import quopri
import random
import re
import signal
import string
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdm_airflow.runner.masking import MASK, Masker

SECRETS = st.text(st.characters(exclude_characters="*"), min_size=1, max_size=12)
LETTERS = st.text(alphabet="abc", max_size=30)
FEW = st.lists(st.text(alphabet="abc", min_size=1, max_size=3), max_size=5)


def test_text_without_a_secret_stays_as_it_is() -> None:
    """Also if there is no secret to look for."""
    for mask in (Masker([]), Masker([""]), Masker(["s3cret"])):
        assert mask("nothing to hide") == "nothing to hide"


@settings(max_examples=40, deadline=None)
@given(secrets=st.lists(SECRETS, min_size=1, max_size=4), around=st.lists(st.text(max_size=6), min_size=5, max_size=5))
def test_masked_text_never_contains_a_secret(secrets: list[str], around: list[str]) -> None:
    """Wherever they are, whatever surrounds them, however they overlap."""
    text = "".join(part for pair in zip(around, [*secrets, ""], strict=False) for part in pair)
    masked = Masker(secrets)(text)
    assert not [secret for secret in secrets if secret in masked]


@settings(max_examples=60, deadline=None)
@given(secrets=FEW, text=LETTERS)
def test_exactly_the_letters_of_secrets_are_masked(secrets: list[str], text: str) -> None:
    """If two overlap, no part of the second one may stay readable."""
    hidden = set()
    for secret in secrets:
        for start in range(len(text)):
            if text.startswith(secret, start):
                hidden.update(range(start, start + len(secret)))
    rest = "".join(letter for position, letter in enumerate(text) if position not in hidden)
    masked = Masker(secrets)(text)
    assert masked.replace(MASK, "") == rest
    assert (MASK in masked) is bool(hidden)


@settings(max_examples=40, deadline=None)
@given(secret=SECRETS, before=st.binary(max_size=7), after=st.binary(max_size=7), urlsafe=st.booleans())
def test_secret_inside_longer_base64_text_is_masked(secret: str, before: bytes, after: bytes, urlsafe: bool) -> None:
    """`user:password` in an Authorization header: the secret starts at any of three alignments."""
    raw = secret.encode("utf-8", "surrogatepass")
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    text = encode(before + raw + after).decode("ascii")
    bits = (len(before) * 8, (len(before) + len(raw)) * 8)
    core = text[-(-bits[0] // 6) : bits[1] // 6]  # the letters that depend on the secret alone
    assert len(core) < 4 or core not in Masker([secret])(text)


@pytest.mark.parametrize(
    "secret", ["s3cret", "p@ss/w:rd?", 'quo"te\\d', "grüße€", "line one\nline two", "with space", "a'b<c>&$`!d"]
)
@pytest.mark.parametrize(
    "form",
    [
        str,
        repr,
        json.dumps,
        lambda secret: json.dumps({"password": secret}, ensure_ascii=False),
        quote,
        lambda secret: quote(secret, safe=""),
        quote_plus,
        lambda secret: secret.encode().hex(),
        lambda secret: base64.b64encode(secret.encode()).decode(),
        lambda secret: f"postgresql://hdm:{quote(secret, safe='')}@db:5432/heart",
        lambda secret: f"postgresql://hdm:{quote(secret, safe=' +')}@db:5432/heart",
        lambda secret: repr(secret.encode()),
        lambda secret: json.dumps(json.dumps({"password": secret})),
        lambda secret: json.dumps(json.dumps({"password": secret}, ensure_ascii=False), ensure_ascii=False),
        lambda secret: json.dumps(json.dumps({"password": secret}, ensure_ascii=False)),
        lambda secret: f"postgresql://hdm:{re.sub('[:@/]', lambda sign: f'%{ord(sign[0]):X}', secret)}@db:5432/heart",
        lambda secret: quote(secret, safe="!'()*~-_."),
        lambda secret: re.sub("%..", lambda code: code[0].lower(), quote(secret, safe="")),
        ascii,
        lambda secret: json.dumps(secret).replace("/", "\\/"),
        lambda secret: re.sub("[<>&]", lambda sign: f"\\u{ord(sign[0]):04x}", json.dumps(secret, ensure_ascii=False)),
        lambda secret: re.sub(r"\\u(....)", lambda code: f"\\u{code[1].upper()}", json.dumps(secret)),
        lambda secret: re.sub(r"[^\w@%+=:,./-]", r"\\\g<0>", secret),
        lambda secret: re.sub(r'["$`\\]', r"\\\g<0>", secret),
        lambda secret: f"""'{secret.replace("'", "''")}'""",
        lambda secret: secret.encode().hex().upper(),
    ],
    ids=[
        "plain", "repr", "json", "unicode-json", "path", "url", "form", "hex", "base64", "connection",
        "sqlalchemy-2", "bytes", "json-in-json", "unicode-json-in-json", "unicode-json-in-ascii-json", "sqlalchemy-1",
        "javascript", "small-path", "ascii", "php-json", "go-json", "capital-json", "printf-q", "declare-p", "sql",
        "capital-hex",
    ],
)  # fmt: skip
def test_forms_in_which_programs_print_a_secret_are_masked(secret: str, form) -> None:
    """A traceback prints a repr, a debug line prints JSON, a driver prints its URL."""
    text = f"before {form(secret)} after"
    masked = Masker([secret])(text)
    assert MASK in masked
    assert form(secret) not in masked
    assert (masked[:7], masked[-6:]) == ("before ", " after")


def test_secret_that_a_program_prints_in_latin_1_is_masked() -> None:
    """As Perl does; the log is read as UTF-8, in which only the ASCII letters stay readable."""
    printed = "login as Grüße/7 failed".encode("latin-1").decode("utf-8", "replace")
    assert Masker(["Grüße/7"])(printed) == f"login as {MASK} failed"
    assert Masker(["€€€€"])("is it ????") == "is it ????"


def test_secret_of_several_lines_is_masked_line_by_line() -> None:
    """A log splits a private key into lines."""
    mask = Masker(["-----BEGIN KEY-----\nabcdefgh\nijklmnop\n"])
    assert [mask(line) for line in ("abcdefgh", "> ijklmnop")] == [MASK, f"> {MASK}"]


@pytest.mark.parametrize("secret", ["a", "x1", "7", "é", "."])
def test_short_secret_is_masked_as_it_is(secret: str) -> None:
    """Airflow's own mask skips short secrets; a bad password is still a password."""
    assert Masker([secret])(f"-{secret}-") == f"-{MASK}-"


def test_short_secret_does_not_blank_what_only_looks_like_its_encoding() -> None:
    """The base64 of `a` is two letters, which occur in every other word."""
    assert Masker(["a"])("YQ YW hex 61 %61") == "YQ YW hex 61 %61"


def test_signs_of_patterns_in_a_secret_are_only_signs() -> None:
    """Otherwise `.*` as a password would blank every line, and `(` would end the run."""
    mask = Masker([".*", "(", "[a-z]", "\\", "^$", "a|b"])
    assert mask("plain text") == "plain text"
    assert mask("x(y") == f"x{MASK}y"
    assert mask("[a-z] a|b") == f"{MASK} {MASK}"


@pytest.mark.parametrize(
    ("secrets", "text", "masked"),
    [
        (["pass", "password"], "password pass", f"{MASK} {MASK}"),
        (["ab", "bcdefgh"], "abcdefgh.", f"{MASK}."),
        (["abcd", "bc"], "abcd bc abc", f"{MASK} {MASK} a{MASK}"),
        (["aa"], "aaaaa", MASK),
        (["one", "two"], "onetwo", MASK * 2),
    ],
)
def test_overlapping_secrets_leave_nothing(secrets: list[str], text: str, masked: str) -> None:
    """The longest at each position, and each that starts inside another."""
    assert Masker(secrets)(text) == masked


def test_thousand_secrets_are_all_masked() -> None:
    """A hospital has hundreds of databases; with Airflow's mask this costs fifteen seconds."""
    dice = random.Random(7)  # noqa: S311  # no secret depends on it
    signs = string.ascii_letters + string.digits + "!$%&/()=?+-_.:,;"
    secrets = ["".join(dice.choices(signs, k=dice.randint(1, 24) if n % 9 else 2)) for n in range(1_000)]
    mask = Masker(secrets)
    text = " ".join(secrets)
    masked = mask(text)
    assert set(masked) <= set(f"{MASK} ")
    encoded = " ".join(base64.b64encode(f"user:{secret}".encode()).decode() for secret in secrets if len(secret) > 8)
    assert max(map(len, mask(encoded).replace(MASK, " ").split())) <= 10


def test_secrets_that_begin_with_each_other_are_masked() -> None:
    """Python's patterns cannot nest deeper than its calls."""
    secrets = ["a" * length for length in range(1, 500)]
    assert Masker(secrets)("x" + secrets[-1] + "y") == f"x{MASK}y"


def test_secret_that_is_no_text_of_utf8_breaks_nothing() -> None:
    """JSON can contain half a character; a password's encoding must not end the run."""
    assert Masker(["a\ud800b"])("xa\ud800by") == f"x{MASK}y"


def test_longest_form_is_known() -> None:
    """At the cut of a line, this many characters may be the beginning of a secret."""
    mask = Masker(["grüße"])
    assert mask.longest >= len(quote("grüße"))


#: Ways to write one character; each is undone before the next one.
ESCAPES = (
    str,
    lambda sign: f"\\{ord(sign):03o}" if ord(sign) < 256 else sign,
    lambda sign: "".join(f"\\x{byte:02x}" for byte in sign.encode()),
    lambda sign: "".join(f"\\{byte:03o}" for byte in sign.encode()),
    lambda sign: json.dumps(sign)[1:-1],
    lambda sign: f"\\u{ord(sign):04X}" if ord(sign) < 1 << 16 else f"\\U{ord(sign):08x}",
    lambda sign: "".join(f"%{byte:02X}" for byte in sign.encode()),
    lambda sign: quote(quote(sign, safe=""), safe=""),
    lambda sign: f"&#{ord(sign)};",
    lambda sign: f"&#x{ord(sign):X};",
    html.escape,
    lambda sign: sign if sign.isalnum() else f"\\{sign}",
    lambda sign: sign if sign.isalnum() else f"^{sign}",
    lambda sign: f"'{sign}'",
    lambda sign: f'{sign}" \\\n   "'.replace(" \\", "\\"),
    lambda sign: f"\x1b[1m{sign}\x1b[0m",
)
HARMLESS = st.text(st.sampled_from("abcdefgXYZ0123 .:/@#;,<>&!()~-_=+*?|[]{}äß€😀"), min_size=8, max_size=20)


@settings(max_examples=120, deadline=None)
@given(data=st.data(), secret=HARMLESS.filter(lambda text: text == text.strip() and not re.search("&[#a-zA-Z]", text)))
def test_any_mixture_of_escapes_is_masked(data: st.DataObject, secret: str) -> None:
    """Whatever the program: it escapes some characters, in one way or another, and may break the secret over lines."""
    ways = data.draw(st.lists(st.sampled_from(ESCAPES), min_size=len(secret), max_size=len(secret)))
    printed = "".join(way(sign) for way, sign in zip(ways, secret, strict=True))
    masked = Masker([secret])(f"login={printed}\tfailed")
    left = re.sub(r"\*\*\*|[\\'\"^\n ]|\x1b\[[01]m", "", masked.removeprefix("login=").removesuffix("\tfailed"))
    assert MASK in masked
    assert not left, (printed, masked)


#: What programs print of a secret; tests/integration/test_masked_programs.py runs those that are installed.
WRITTEN = [
    ('a<b>&c;d"e', "http://u:a%3Cb%3E&c%3Bd%22e@h/"),
    ("'\"x'y z!q\"'", "[ `'\"x'y z!q\"'` ] '\\'\"x\\'y z!q\"\\''"),
    ("quo\"te'd\\back", "E'quo\"te''d\\\\back'"),
    ("tr:ue", "db:5432:heart:hdm:tr\\:ue"),
    ("semi;colon,com|pipe", "semi\\;colon\\,com\\|pipe"),
    ("tab\tsec\x1bret", "$'tab\\tsec\\Eret' $'tab\\tsec\\033ret'"),
    ("Grüße€7 x", "$'Gr\\303\\274\\303\\237e\\342\\202\\2547 x'"),
    ("s3cret-word", "<Buffer 73 33 63 72 65 74 2d 77 6f 72 64>"),
    ("s3cret-word", "\\x7333637265742D776F7264 0x73,0x33,0x63,0x72,0x65,0x74,0x2d,0x77,0x6f,0x72,0x64"),
    ("s3cret word here", "login: s3cret\n    word here"),
    ("s3cret-word", "s3cret=\n-word"),
]  # fmt: skip


@pytest.mark.parametrize(("secret", "printed"), WRITTEN)
def test_forms_of_programs_that_may_be_missing_are_masked(secret: str, printed: str) -> None:
    """Copied from their output."""
    masked = Masker([secret])(printed)
    pieces = {secret[at : at + 3] for at in range(len(secret) - 2)}
    assert MASK in masked
    assert not [piece for piece in pieces if piece in masked], masked


def test_ordinary_words_without_a_short_secrets_quotes_stay() -> None:
    """An escaped secret is never shorter than the secret itself."""
    mask = Masker(["a'b\"cd", "%41%42"])
    assert mask("abcd AB and ab\ncd") == "abcd AB and ab\ncd"
    assert mask("a\\'b\\\"cd") == MASK


def test_ordinary_output_is_read_once() -> None:
    """Masking a million lines costs less than a second; ten thousand secrets take seconds to prepare, not minutes."""
    dice = random.Random(7)  # noqa: S311  # no secret depends on it
    signs = string.ascii_letters + string.digits + "!$%&/()=?+-_.:,;"
    lines = "measured column 17 of table patients: 1,000,000 values, 3.2 percent of them empty\n" * 800
    begin = time.process_time()
    mask = Masker("".join(dice.choices(signs, k=20)) for _ in range(10_000))
    for _ in range(4):
        assert mask(lines) == lines
    assert time.process_time() - begin < 10


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        ("secretpass", "s" + "\n" * 60 + "x"),
        ("secretpass", "secre" + "\r\n" * 60 + "x"),
        ("secretpass", "0000000 " + " " * 30_000 + "x"),
        ("secretpass", "0000000 " + " |" * 15_000 + "x"),
        ("secretpass", "0000000 " + " >" * 15_000 + "x"),
        ("secretpass", "s\a\x1b]'<" * 5_000),
        ("secretpass", "s\x1b[" * 10_000),
        ("$$abcdef", "$" * 30_000),
        ('"abcdef', '"' * 30_000),
        ("a b c secret", "a" + " " * 30_000 + "x"),
        ("p@P`p@P`", "7" + "0x" * 15_000),
        ("=\n=\nabcd", "=\n" * 15_000),
    ],
)
def test_no_text_takes_long(secret: str, text: str) -> None:
    """A few blank lines after the first letter of a password must not stop the clock, nor must a hostile pack."""
    mask = Masker([secret])
    signal.setitimer(signal.ITIMER_REAL, 20)  # its default action ends the tests instead of letting them hang
    began = time.process_time()
    try:
        mask.spans(text)
        mask.heads(text)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert time.process_time() - began < 2


@pytest.mark.parametrize("secret", ["p=ss=wd=long=1", "pä$$=wörd", "ghp_abcdefghijklmnopqrstuvwxyz01/+==Zz"])
@pytest.mark.parametrize("width", [1, 4, 5, 8, 20])
def test_sign_at_a_line_break_may_belong_to_the_secret_or_to_the_break(secret: str, width: int) -> None:
    """`fold` breaks after any character, mail with `=`; mail also encodes `=` and all that is not ASCII."""
    mask = Masker([secret])
    lines = [secret[start : start + width] for start in range(0, len(secret), width)]
    encoded = quopri.encodestring(secret.encode()).decode()
    for text in ("\n".join(lines), encoded, f"Password: {encoded}=\n"):
        masked = mask(f"before {text} after")
        assert masked.startswith(f"before {MASK}" if "Password" not in text else f"before Password: {MASK}")
        assert not [part for part in re.findall(r"\w{3,}", secret) if part in masked]
