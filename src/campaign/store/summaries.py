"""Summaries: the published records of runs, a file a block ("packed") or a folder a run ("directories")."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

from campaign.errors import Damage
from campaign.store.atomic import publish_bytes, publish_many
from campaign.store.checksum import fault_of_line, seal, sealed_line
from campaign.store.layout import Layout
from campaign.store.records import dumps_pretty, loads

PACKED = "packed"
DIRECTORIES = "directories"
Record = dict[str, Any]


def publish_block(
    layout: Layout, stage: str, part: int, block: int, lines: Sequence[bytes], metas: Sequence[Record] | None = None
) -> None:
    """Publish the records of a block, each a line of JSON that gets a checksum; its traces must be on disk already.

    With `metas` (layout "directories") each run gets its folder first, and the packed file is the last word:
    a block counts as published when, and only when, its packed file exists.
    """
    lines = [sealed_line(line) for line in lines]
    if metas is not None:
        files = []
        for line, meta in zip(lines, metas, strict=True):
            record, run_id = loads(line), meta["run_id"]
            files.append((layout.meta(run_id), dumps_pretty(seal(meta))))
            files.append((layout.summary(run_id), dumps_pretty(record)))
        publish_many(files, durable=False)
    publish_bytes(layout.summaries(stage, part, block), b"\n".join(lines) + b"\n")


def published(layout: Layout, stage: str) -> set[tuple[int, int]]:
    """(part, block) of every published block of a stage: one directory listing."""
    found = set()
    try:
        names = os.listdir(layout.summaries_folder(stage))
    except FileNotFoundError:
        return found
    for name in names:
        stem, dot, suffix = name.partition(".")
        if dot and suffix == "jsonl":
            part, _, block = stem.partition("-")
            if part.isdigit() and block.isdigit():
                found.add((int(part), int(block)))
    return found


def read_block(layout: Layout, stage: str, part: int, block: int) -> list[Record]:
    """The records of a published block.

    Raises:
        FileNotFoundError: not published.
        Damage: truncated, not JSON, or not what its checksum says; names the file and the line.
    """
    path = layout.summaries(stage, part, block)
    data = path.read_bytes()
    if not data.endswith(b"\n"):
        raise Damage(f"{path} is truncated", hint="run `campaign verify`, then `campaign resume`")
    return list(_parse(data.splitlines(), path))


def _parse(lines: Iterable[bytes], path: object) -> Iterable[Record]:
    for number, line in enumerate(lines, 1):
        fault = fault_of_line(line)
        if fault is not None:
            raise Damage(f"{path}, line {number}: {fault}", hint="run `campaign verify`, then `campaign resume`")
        try:
            yield loads(line)
        except ValueError as error:
            raise Damage(
                f"{path}, line {number}, is not JSON ({error})", hint="run `campaign verify`, then `campaign resume`"
            ) from error
