"""Scripts of the roles, imported as modules although no package holds them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def imported(script: Path) -> ModuleType:
    """The script as a module of its name."""
    spec = importlib.util.spec_from_file_location(script.stem, script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[script.stem] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module
