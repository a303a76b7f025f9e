"""States as plain arrays in one file: what can go wrong when one is read."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

UNREADABLE = (  # what NumPy and zipfile raise for a file that is not whole
    *(ValueError, KeyError, OSError, EOFError, RuntimeError, NotImplementedError, SyntaxError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
)


def fault_of(path: Path) -> str | None:
    """What is wrong with a file of arrays; None where all of them can be read and have the checksums that they state.

    Raises:
        FileNotFoundError: it is not there.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            for name in archive.files:
                archive[name]
    except FileNotFoundError:
        raise
    except UNREADABLE as error:
        return f"cannot be read: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
    return None
