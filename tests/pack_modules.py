"""The modules of a reference pack's program, for tests that call them."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest

PACKS = Path(__file__).parents[1] / "dags/packs"
PROCESS = PACKS / "metric-packs/basic/process"


def load(names: tuple[str, ...], pack: str = "metric-packs/basic") -> SimpleNamespace:
    """Modules of a reference pack by name, each after those that it imports.

    Nothing of that stays in sys.modules, where other packs have such names, too.
    """
    before = {name: sys.modules.pop(name, None) for name in names}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", True)
        patch.syspath_prepend(str(PACKS / pack / "process"))
        found = {name: import_module(name) for name in names}
    for name, module in before.items():
        sys.modules.pop(name)
        if module is not None:
            sys.modules[name] = module
    return SimpleNamespace(**found)
