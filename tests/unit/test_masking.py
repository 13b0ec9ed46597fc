"""Masking: no secret reaches a log, in whatever form a program prints it."""

from __future__ import annotations

import base64
import json
import random
import re
import string
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
