"""Activate scripts: with them, a shell enters the layer of its run, and not the venv of the store below it."""

from __future__ import annotations

import shlex
from pathlib import Path

#: For sh, bash and zsh, with any options (set -eu).
_SH = """# Use it with: . "$VIRTUAL_ENV/bin/activate"
deactivate () {{
    if [ -n "${{_OLD_VIRTUAL_PATH:-}}" ]; then
        PATH="$_OLD_VIRTUAL_PATH"
        export PATH
        unset _OLD_VIRTUAL_PATH
    fi
    hash -r 2>/dev/null || true
    unset VIRTUAL_ENV
    if [ "${{1:-}}" != nondestructive ]; then
        unset -f deactivate
    fi
}}
deactivate nondestructive
VIRTUAL_ENV={layer}
export VIRTUAL_ENV
_OLD_VIRTUAL_PATH="$PATH"
PATH="$VIRTUAL_ENV/bin:$PATH"
export PATH
unset PYTHONHOME
hash -r 2>/dev/null || true
"""
_FISH = """# Use it with: source "$VIRTUAL_ENV/bin/activate.fish"
function deactivate
    if set -q _OLD_VIRTUAL_PATH
        set -gx PATH $_OLD_VIRTUAL_PATH
        set -e _OLD_VIRTUAL_PATH
    end
    set -e VIRTUAL_ENV
    if test "$argv[1]" != nondestructive
        functions -e deactivate
    end
end
deactivate nondestructive
set -gx VIRTUAL_ENV {layer}
set -gx _OLD_VIRTUAL_PATH $PATH
set -gx PATH "$VIRTUAL_ENV/bin" $PATH
set -e PYTHONHOME
"""
_CSH = """# Use it with: source "$VIRTUAL_ENV/bin/activate.csh"
if ( $?_OLD_VIRTUAL_PATH ) then
    setenv PATH "$_OLD_VIRTUAL_PATH:q"
endif
setenv VIRTUAL_ENV {layer}
set _OLD_VIRTUAL_PATH = "$PATH:q"
setenv PATH "$VIRTUAL_ENV:q/bin:$PATH:q"
unsetenv PYTHONHOME
alias deactivate 'setenv PATH "$_OLD_VIRTUAL_PATH:q"; unset _OLD_VIRTUAL_PATH; unsetenv VIRTUAL_ENV; unalias deactivate'
"""


def write_activate_scripts(layer: Path) -> None:
    """Write `activate`, `activate.fish` and `activate.csh` into the layer's `bin`."""
    path = str(layer)
    fish = "'" + path.replace("\\", "\\\\").replace("'", "\\'") + "'"
    for name, text, quoted in (
        ("activate", _SH, shlex.quote(path)),
        ("activate.fish", _FISH, fish),
        ("activate.csh", _CSH, shlex.quote(path).replace("!", "\\!")),
    ):
        (layer / "bin" / name).write_text(text.format(layer=quoted), "utf-8")
