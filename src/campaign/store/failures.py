"""Failed runs: found in a block's summaries without reading the rest, and grouped by what went wrong."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from campaign.store.layout import Layout
from campaign.store.records import loads

Record = dict[str, Any]
FAILED = b'"status":"failed"'  # as `records.dumps` writes it; inside a text the quotes would be escaped


def failure_signature(outcome: str, message: str | None) -> str:
    """What failed runs have in common: outcome and message, digits left out."""
    return f"{outcome}: " + "".join("#" if c.isdigit() else c for c in message or "")[:160]


def failure_signatures(records: Iterable[Record]) -> list[Record]:
    """The failed ones of some records, grouped: {"signature", "message", "run_id" of the first, "n"}."""
    groups: dict[str, Record] = {}
    for record in records:
        if record["status"] == "failed":
            signature = failure_signature(record["outcome"], record["message"])
            first = {"signature": signature, "message": record["message"] or "", "run_id": record["run_id"], "n": 0}
            groups.setdefault(signature, first)["n"] += 1
    return list(groups.values())


def failed_records(layout: Layout, stage: str, part: int, block: int) -> list[Record]:
    """The records of a block's failed runs; lines that are not JSON are left to `campaign verify`.

    Raises:
        FileNotFoundError: not published.
    """
    data = layout.summaries(stage, part, block).read_bytes()
    found, position = [], data.find(FAILED)
    while position >= 0:
        begin, end = data.rfind(b"\n", 0, position) + 1, data.find(b"\n", position)
        end = len(data) if end < 0 else end
        try:
            record = loads(data[begin:end])
        except ValueError:
            record = None
        if isinstance(record, dict) and record.get("status") == "failed":
            found.append(record)
        position = data.find(FAILED, end)
    return found
