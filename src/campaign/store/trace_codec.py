"""A chunk of a trace as bytes: little-endian, Blosc lz4 with shuffle, CRC-32C at the end."""

from __future__ import annotations

import google_crc32c
import numpy as np

from campaign.store.trace_spec import Field

DTYPES = {"float64": "<f8", "float32": "<f4", "int64": "<i8", "int32": "<i4", "int8": "|i1", "uint8": "|u1"}
BLOSC_HEADER = 16  # bytes; the last four are the compressed size
CHECKSUM_BYTES = 4
CHECKSUM = "crc32c"  # of a chunk, at its end: four bytes, little-endian; Zarr's name for it


def encode_chunk(field: Field, values: np.ndarray) -> bytes:
    """Bytes of one chunk; `values` (runs, …) is padded with the fill value to the full chunk shape."""
    from numcodecs import blosc

    full = (field.run_chunk, *field.chunk)
    dtype = np.dtype(DTYPES[field.dtype])
    if values.shape != full:
        padded = np.full(full, field.fill, dtype)
        padded[tuple(slice(n) for n in values.shape)] = values
        values = padded
    data = np.ascontiguousarray(values, dtype)
    return closed(blosc.compress(data, b"lz4", 1, blosc.SHUFFLE), field.has_checksum)


def closed(data: bytes, has_checksum: bool) -> bytes:
    """A chunk with its checksum, where it has one."""
    return data + google_crc32c.value(data).to_bytes(CHECKSUM_BYTES, "little") if has_checksum else data


def fault_of_chunk(data: bytes, has_checksum: bool) -> str | None:
    """What is wrong with the bytes of a chunk by the length in its header and by its checksum; decoders do not look."""
    body = data[:-CHECKSUM_BYTES] if has_checksum else data
    expected = size_in(body)
    if expected != len(body):
        stated = "says nothing" if expected is None else f"says {expected + len(data) - len(body)}"
        return f"{len(data)} bytes, its header {stated}"
    is_right = not has_checksum or data == closed(body, True)
    return None if is_right else "its checksum is that of something else"


def size_in(header: bytes) -> int | None:
    """The length of a chunk that its first `BLOSC_HEADER` bytes state; None where there are fewer."""
    return int.from_bytes(header[12:BLOSC_HEADER], "little") if len(header) >= BLOSC_HEADER else None


def decode_chunk(field: Field, data: bytes) -> np.ndarray:
    """The values of one chunk, padding included: the inverse of `encode_chunk`.

    Raises:
        ValueError, RuntimeError: it is not a chunk of this field, or not all of one, which decoders do not notice.
    """
    from numcodecs import blosc

    fault = fault_of_chunk(data, field.has_checksum)
    if fault is not None:
        raise ValueError(fault)
    body = data[:-CHECKSUM_BYTES] if field.has_checksum else data
    values = np.frombuffer(blosc.decompress(body), np.dtype(DTYPES[field.dtype]))
    return values.reshape((field.run_chunk, *field.chunk))
