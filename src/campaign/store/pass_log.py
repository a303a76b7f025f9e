"""What unfinished passes over rows have summed: records appended to one file, each with its checksum.

A record is a stretch of row blocks of one pass, with the numbers of each block. The end of the file may be torn by a
kill: what stands before it counts. Nothing is synced: after a power cut the last records may be missing, and are
computed again.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from campaign.store.atomic import storage_error
from campaign.store.layout import Layout

KEY = 16  # bytes that say which pass of which run
_HEAD = struct.Struct("<16sIIIcI")  # key, first row block, blocks, numbers of a block, type, CRC-32 of the numbers


def append(path: Path, key: bytes, first: int, parts: np.ndarray) -> None:
    """Add the parts (n, width) of row blocks first … first + n − 1 of a pass.

    Raises:
        Unavailable: the disk is full or cannot be written.
    """
    data = np.ascontiguousarray(parts).tobytes()
    head = _HEAD.pack(key, first, *parts.shape, parts.dtype.char.encode(), zlib.crc32(data))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(head + data)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise storage_error(error) from error


def read(path: Path) -> Iterator[tuple[bytes, int, np.ndarray]]:
    """(key, first, parts) of the records that are whole, up to the first that is not."""
    try:
        data = path.read_bytes()
    except OSError:
        return
    at = 0
    while at + _HEAD.size <= len(data):
        key, first, n, width, kind, check = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        if kind not in (b"d", b"f"):
            return
        size = n * width * np.dtype(kind.decode()).itemsize
        body = data[at : at + size]
        if len(body) < size or zlib.crc32(body) != check:
            return
        at += size
        yield key, first, np.frombuffer(body, kind.decode()).reshape(n, width)


def turn_over(layout: Layout, stage: str, part: int, block: int) -> None:
    """A checkpoint was saved: what was summed before the last one is not needed any more.

    The loop is a chunk of steps ahead of the state that it saves, so the passes since the last checkpoint still are.
    """
    with contextlib.suppress(FileNotFoundError):
        os.replace(layout.passes(stage, part, block), layout.earlier_passes(stage, part, block))


def discard(layout: Layout, stage: str, part: int, block: int) -> None:
    """Remove what is kept of a block's passes."""
    layout.passes(stage, part, block).unlink(missing_ok=True)
    layout.earlier_passes(stage, part, block).unlink(missing_ok=True)
