"""The checksum of a plan's rows, which is in the header of their part."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

from campaign.store.layout import Layout

ROWS = "rows"  # key of a header: length and checksum of the file of its rows


def sum_of(rows: bytes) -> dict[str, Any]:
    """What a header says of the file of its rows."""
    return {"bytes": len(rows), "crc32": f"{zlib.crc32(rows):08x}"}


def fault_of_rows(layout: Layout, header: Mapping[str, Any]) -> str | None:
    """What is wrong with the rows file of a part by the checksum in its header; None where that has none.

    Raises:
        FileNotFoundError: there is no rows file.
    """
    known = header.get(ROWS)
    if known is None:
        return None
    data = layout.plan_rows(header["stage"], header["part"]).read_bytes()
    if len(data) != known["bytes"]:
        return f"{len(data):,} bytes; the header says {known['bytes']:,}"
    return None if sum_of(data) == known else "it is not the file whose checksum the header has"
