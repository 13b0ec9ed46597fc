r"""Printable: text of others, with control and invisible characters written as escapes such as `\\x1b` and `\\u202e`.

In a terminal or a log viewer they could move the cursor, change the title, reverse the reading direction or hide text.
"""

from __future__ import annotations

import re

#: Characters beyond ASCII that nobody sees: controls, format characters, line separators; inside a pattern's [].
HIDDEN = (
    "\x80-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001-\U000e007f"
)
_ODD = re.compile(f"[\x00-\x08\x0b-\x1f\x7f{HIDDEN}\ud800-\udfff]")
_ODD_IN_LINE = re.compile(f"[\x00-\x1f\x7f{HIDDEN}\ud800-\udfff]")
#: Colours and styles (SGR), without `8`, which hides text.
_CODE = r"(?:[0-7]|9|[12][0-9]|[349][0-79]|10[0-7]|[34]8[;:]5[;:][0-9]{1,3}|[34]8[;:]2(?:[;:][0-9]{0,3}){3,4})"
_COLOUR = re.compile(rf"\x1b\[(?:0*{_CODE}?(?:[;:]0*{_CODE}?)*)m")
_PARTS = re.compile(f"({_COLOUR.pattern})|{_ODD.pattern}")
_RESET = "\x1b[0m"


def printable(text: str, *, lines: bool = False) -> str:
    """The text with control and invisible characters, and lone surrogates, as escapes.

    Args:
        text: any.
        lines: keep line breaks and tabs.
    """
    return (_ODD if lines else _ODD_IN_LINE).sub(_escaped, text)


def coloured(line: str) -> str:
    """The same for a line of a program's output, which keeps its tabs and colours; the colours end with the line."""
    shown = _PARTS.sub(lambda match: match[1] or _escaped(match), line)
    return shown + _RESET if "\x1b" in shown and not shown.endswith((_RESET, "\x1b[m")) else shown


def _escaped(match: re.Match[str]) -> str:
    return ascii(match[0])[1:-1]
