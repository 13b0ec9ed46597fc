"""JSON fault: the likely cause of a text that is not JSON, in the words of people who write it by hand."""

from __future__ import annotations

import re
from json import JSONDecodeError

_TYPOGRAPHIC = "\u201c\u201d\u201e\u201f\u2018\u2019\u201a\u201b\u00ab\u00bb"  # as word processors write them
_WORDS = {"True": "true", "False": "false", "None": "null", "TRUE": "true", "FALSE": "false", "nil": "null"}
_WORD = re.compile(r"[A-Za-z_][\w-]*")
_LONG = 40  # characters of a word in a hint
#: What Python's parser says -> cause and hint, where the signs at the fault do not say more.
_OF_MESSAGE = {
    "Unterminated string": ("a text is not closed", 'write a closing " on the same line'),
    "Invalid control character": ("a text has a line break or tab in it", 'close it with ", or write \\n or \\t'),
    "Invalid \\": ("a backslash in a text is not doubled", "write \\\\, or in paths /"),
    "Extra data": ("something follows the end", "remove it; write one object"),
    "Expecting ':'": ("a colon is missing after a key", 'write "key": value'),
    "Expecting ','": ("a comma is missing", "write a comma between two entries"),
}


def explain(text: str, error: JSONDecodeError) -> tuple[str, str]:
    """The likely cause, and what to do."""
    before, after = text[: error.pos], text[error.pos :]
    if found := _explain_sign(before, after, error.msg):
        return found
    if word := _WORD.match(after):
        return _explain_word(word[0], is_key=error.msg.startswith("Expecting property name"))
    found = next((one for start, one in _OF_MESSAGE.items() if error.msg.startswith(start)), None)
    return found or (error.msg, "correct it there")


def _explain_sign(before: str, after: str, message: str) -> tuple[str, str] | None:
    """The cause, if the text around the fault shows it."""
    sign, is_number = after[:1], before[-1:].isdecimal()
    before = before.rstrip()
    causes = [
        (not before and not after.strip(), "it is empty", "write one object: { ... }"),
        (
            "trailing comma" in message or (before.endswith(",") and sign in ("}", "]")),
            "a comma follows the last entry",
            "remove the comma before the closing bracket",
        ),
        (after.startswith(("#", "//", "/*")), "it has a comment, and JSON has none", "remove the comment"),
        (sign == "'", "it has single quotes", 'write double quotes: "name"'),
        (sign and sign in _TYPOGRAPHIC, "it has typographic quotes", 'write plain double quotes: "name"'),
        (not after.strip(), "it ends too early", "add what is missing, such as a closing bracket"),
        (
            is_number and (sign in set(".:-/+") or sign.isdecimal()),  # 1.0.0, 2026-01-31, 12:30, 01
            "a text has no quotes",
            'write double quotes around it, such as "1.0.0"',
        ),
        (
            sign in {"]", "}"} and message.startswith("Expecting ','"),
            "a bracket is of the wrong kind",
            "close { with } and [ with ]",
        ),
    ]
    return next(((cause, hint) for applies, cause, hint in causes if applies), None)


def _explain_word(word: str, *, is_key: bool) -> tuple[str, str]:
    if is_key:
        return "a key has no quotes", f'write double quotes around it: "{word[:_LONG]}"'
    if word in _WORDS:
        return f"{word} is not a word of JSON", f"write {_WORDS[word]}"
    return "a text has no quotes", f'write double quotes around it: "{word[:_LONG]}"'
