"""The tables of directives and options, as docs/reference.py reads them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "reference", Path(__file__).parents[1] / "docs" / "reference.py"
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["reference"] = module
    spec.loader.exec_module(module)
    return module
