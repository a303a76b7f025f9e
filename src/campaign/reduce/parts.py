"""The reducer's cache: the typed rows of one block, kept while the block's summaries stay as they are.

A part file is one line of JSON (what it was made from, checksum of the rest), then an Arrow stream. A part that is
torn, foreign, or made from other summaries or another declaration is not an error: it is rebuilt. It is only a cache,
so it is not synced, and the folder may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa

from campaign.errors import Unavailable
from campaign.store.atomic import publish_bytes
from campaign.store.records import dumps, loads

_VERSION = 1  # raise when the meaning of the cached columns changes
_COMPRESSION = pa.ipc.IpcWriteOptions(compression="lz4")


def signature(summaries: Path, result: pa.Schema) -> dict[str, Any]:
    """What a part must have been made from: that very file (published once, by rename) and that declaration.

    Raises:
        FileNotFoundError: the block is not published.
    """
    stat = os.stat(summaries)
    declared = hashlib.sha256(result.serialize()).hexdigest()[:16]
    return {
        "version": _VERSION,
        "size": stat.st_size,
        "mtime_ns": stat.st_mtime_ns,
        "inode": stat.st_ino,
        "schema": declared,
    }


def load(part: Path, made_from: dict[str, Any], result: pa.Schema) -> pa.RecordBatch | None:
    """The cached rows, or None when they are not there or not to be trusted."""
    try:
        data = part.read_bytes()
        end = data.index(b"\n")
        head = loads(data[:end])
        body = memoryview(data)[end + 1 :]
        if head.get("from") != made_from or head.get("crc") != zlib.crc32(body):
            return None
        with pa.ipc.open_stream(body) as stream:
            batch = stream.read_next_batch()
    except (OSError, ValueError, AttributeError, StopIteration, pa.ArrowException):
        return None
    return batch if batch.schema.equals(result) else None


def keep(part: Path, made_from: dict[str, Any], batch: pa.RecordBatch) -> None:
    """Cache the rows. A disk that is full or read-only is no reason to fail: the table does not need the cache."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=_COMPRESSION) as stream:
        stream.write_batch(batch)
    body = sink.getvalue()
    head = dumps({"from": made_from, "crc": zlib.crc32(body)})
    with contextlib.suppress(OSError, Unavailable):
        publish_bytes(part, head + b"\n" + body.to_pybytes(), durable=False)
