"""What setup() was told about this process and this interpreter; empty before, as in `_boot.py
tryout`.
"""

from __future__ import annotations

from typing import Any

settings: dict[str, Any] = {}
