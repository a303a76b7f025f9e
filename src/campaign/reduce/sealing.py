"""The checksum of a Parquet file, inside the file: eight digits in its metadata, taken with zeros in their place."""

from __future__ import annotations

import mmap
import re
import zlib
from pathlib import Path

FIELD = "campaign.crc32"
BLANK = "00000000"
_FIELD = re.compile(re.escape(FIELD.encode()) + b"..([0-9a-f]{8})", re.DOTALL)  # key, two bytes of Thrift, value
_FOOTER = 2**24  # bytes from the end that contain the field


def seal_file(path: Path) -> None:
    """Put the checksum into a file that was written with `FIELD`: `BLANK` in its metadata."""
    with path.open("rb+") as file, mmap.mmap(file.fileno(), 0) as data:
        place = _place(data)
        if place is not None:
            data[place : place + len(BLANK)] = _sum(data, place)


def fault_of_file(path: Path) -> str | None:
    """What is wrong with a file by its checksum; None where nothing is, or where it has none."""
    with path.open("rb") as file:
        if not path.stat().st_size:
            return "empty"
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            place = _place(data)
            if place is None or data[place : place + len(BLANK)] == _sum(data, place):
                return None
    return "its checksum is that of something else"


def _place(data: mmap.mmap) -> int | None:
    begin = max(0, len(data) - _FOOTER)
    found = [begin + match.start(1) for match in _FIELD.finditer(data[begin:])]
    return found[-1] if found else None


def _sum(data: mmap.mmap, place: int) -> bytes:
    with memoryview(data) as view:
        sum_ = zlib.crc32(view[:place])
        sum_ = zlib.crc32(BLANK.encode(), sum_)
        return b"%08x" % zlib.crc32(view[place + len(BLANK) :], sum_)
