"""Masking of what real programs print of a secret."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from hdm_airflow.runner.masking import MASK, Masker

SPECIAL = [
    "semi;colon,com|pipe", "tab\tsec\x1bret", "quo\"te'd\\back", 'a<b>&c;d"e', "'\"x'y z!q\"'", "tr:ue", "Grüße€7 x",
    "x%41<y%zz", "correcthorse", "R&D&amp;x<y>", "back\\nslash\\x41", "$dollar$$`tick`^caret", "😀smile😀",
    "aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW3xY5zA7bC9" * 3,
    "-----BEGIN KEY-----\nabcdefghijkl\nmnopqrst==\n-----END KEY-----",
]  # fmt: skip
PROGRAMS = {
    "printf-q": 'printf "%q\\n" "$P"',
    "declare": "declare -p P",
    "quoted": 'echo "${P@Q}"',
    "xtrace": 'set -x; : "$P" 2>&1',
    "base64": 'printf %s "user:$P" | base64',
    "base64-narrow": 'printf %s "$P" | base64 -w 20 | sed "s/^/    /"',
    "xxd": 'printf %s "pre$P" | xxd',
    "xxd-plain": 'printf %s "pre$P" | xxd -p -u -c 7',
    "xxd-c": 'printf %s "pre$P" | xxd -i',
    "hexdump": 'printf %s "pre$P" | hexdump -C',
    "hexdump-words": 'printf %s "pre$P" | hexdump',
    "od": 'printf %s "pre$P" | od',
    "od-characters": 'printf %s "pre$P" | od -c',
    "od-octal": 'printf %s "pre$P" | od -b',
    "od-hex": 'printf %s "pre$P" | od -A x -t x1z',
    "jq": 'jq -n "env.P, (env.P|@sh), (env.P|@uri), (env.P|@html), (env.P|@base64), (env.P|@json|@json|@json)"',
    "jq-raw": 'jq -nr "(env.P|@sh), (env.P|@html), ([env.P]|@csv), ([env.P]|@tsv)"',
    "python": 'python3 -c \'import os, pprint; p = os.environ["P"]; print(ascii(p), p.encode())'
    "; pprint.pprint([p], width=8)'",
    "perl": "perl -MData::Dumper -e '$Data::Dumper::Useqq = 1; print Dumper($ENV{P}), quotemeta($ENV{P})'",
    "curl": 'curl --silent --libcurl - --user "user:$P" http://127.0.0.1:9/',
    "grep": 'printf "%s\\n" "$P" | grep --color=always -e e -e b -e .',
    "node": 'node -e \'const p = process.env.P, u = new URL("http://u@h/"); u.password = p; '
    "console.log([p], JSON.stringify(p), Buffer.from(p), u.href)'",
}


@pytest.mark.parametrize(
    ("program", "locale"),
    [*((program, "C.UTF-8") for program in PROGRAMS), *((program, "C") for program in ("printf-q", "declare", "grep"))],
)
def test_no_program_prints_four_characters_of_a_secret(program: str, locale: str) -> None:
    """Each prints the secret in its own way; some of it may remain only if it also occurs in plain text."""
    script = PROGRAMS[program]
    tool = re.split(r"[| ]+", script.replace('printf %s "pre$P" | ', ""))[0]
    if shutil.which(tool) is None and tool not in {"declare", "printf", "set"}:
        pytest.skip(f"{tool} is not installed; tests/unit/test_masking.py has its forms")
    for secret in SPECIAL:
        variables = {**os.environ, "P": secret, "LC_ALL": locale}
        made = subprocess.run(
            ["bash", "-c", f"exec 2>&1; {script}"], env=variables, stdout=subprocess.PIPE, check=False
        )
        printed = made.stdout.decode("utf-8", "surrogateescape")
        masked = Masker([secret])(printed)
        pieces = {form[at : at + 4] for form in (secret, secret.encode().hex()) for at in range(len(form) - 3)}
        assert MASK in masked, (secret, printed)
        assert not [piece for piece in pieces if piece in re.sub(r"(?m)^0*[0-9a-f]{6,8}|\d{5}", "", masked)], masked
