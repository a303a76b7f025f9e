"""How a process of ours is started."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def running(module: str, python: Sequence[str] = (sys.executable,)) -> list[str]:
    """The command that runs one of our modules.

    With ``-P``: a file of the folder where somebody works, ``random.py`` or ``signal.py``, is not taken for a library.
    """
    return [*python, "-P", "-m", module]
