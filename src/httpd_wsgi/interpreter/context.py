"""What setup() was told about this process and this interpreter; empty before, as in `_boot.py
tryout`.
"""

from __future__ import annotations

from typing import Any

settings: dict[str, Any] = {}
# Monotonic time at which the process began to stop; 0 when its requests have time to end
stopping_since = 0.0
