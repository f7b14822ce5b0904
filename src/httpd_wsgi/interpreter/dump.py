"""The stacks of this interpreter's threads, as faulthandler writes them; worker/stacks.py makes
them readable.
"""

from __future__ import annotations

import faulthandler
import os
import sys


def dump(fd: int) -> None:
    """Called in every interpreter: its threads as faulthandler sees them. sys._current_frames()
    would have one frame per thread in all of them.
    """
    name = getattr(sys.modules.get("mod_wsgi"), "application_group", "")
    os.write(fd, f"Interpreter {name}\n".encode())
    faulthandler.dump_traceback(fd, all_threads=True)
