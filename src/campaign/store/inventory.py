"""Which files belong into a campaign directory: the grammar of `layout.py`, read backwards."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from campaign.store.atomic import is_temporary
from campaign.store.layout import Layout
from campaign.store.lease import file_system_time
from campaign.store.owner import is_process_surely_dead, this_process

_NAME = r"[^/]+"
_BLOCK = r"\d{4,}-\d{6,}"
_KNOWN = re.compile(
    "|".join(
        (
            r"campaign\.json",
            r"manifest\.json",
            r"report\.html",
            r"history/\d+\.json",
            r"inputs/[0-9a-f]+(\.json|/.+)",
            rf"plan/{_NAME}/\d{{4,}}\.(json|parquet)",
            rf"programs/{_NAME}/{_NAME}\.json",
            r"runs/[0-9a-f]{32}/(summary|meta)\.json",
            r"runs/[0-9a-f]{32}/(trace|grads|signals|curvature|precond|checkpoint_best|checkpoint_final)\.npz",
            r"runs/[0-9a-f]{32}/diag_steps\.jsonl",
            rf"summaries/{_NAME}/{_BLOCK}\.jsonl",
            rf"traces\.zarr(/{_NAME}){{0,3}}/zarr\.json",
            rf"traces\.zarr/{_NAME}/{_NAME}/{_NAME}/c(/\d+)*",
            rf"(checkpoints|states)/{_NAME}/{_BLOCK}\.npz",
            rf"checkpoints/{_NAME}/{_BLOCK}\.(hung|passes|passes-before)",
            rf"tables/{_NAME}\.parquet",
            rf"tables/parts/{_NAME}/{_BLOCK}\.arrow",
            rf"events/{_NAME}\.jsonl",
            r"logs/.+",
            r"lock/(driver|driver-job|stop|array|claim-.+|share-.+|pilots-.+|submission-.+)\.json",
            rf"lock/probe-{_NAME}",
            r"damaged/.+",
        )
    )
)
_WRITER = re.compile(r"(?P<before>.+)-(?P<pid>\d+)-\d+\.tmp")
BYTECODE = "__pycache__"  # Python's, beside a problem file: neither ours nor damage
IN_FLIGHT_S = 600.0  # a temporary file of another host that was touched later may still be on its way


def is_known(relative: str) -> bool:
    """Whether a path relative to the campaign directory is one that campaign writes."""
    return _KNOWN.fullmatch(relative) is not None


def walk(layout: Layout) -> Iterator[tuple[str, bool]]:
    """(relative path, is temporary) of files, but for compiled Python; a temporary folder is named, and not entered."""
    for folder, names, files in os.walk(layout.root):
        names[:] = [name for name in names if name != BYTECODE]
        relative = Path(folder).relative_to(layout.root).as_posix()
        prefix = "" if relative == "." else relative + "/"
        for name in [n for n in names if is_temporary(n)]:
            names.remove(name)
            yield prefix + name, True
        for name in files:
            yield prefix + name, is_temporary(name)


def is_abandoned(layout: Layout, relative: str) -> bool:
    """Whether nobody will finish a temporary file: its process has ended here, or it has not changed for long."""
    match, host = _WRITER.fullmatch(relative), this_process().host
    if match and match["before"].endswith(f".{host}") and is_process_surely_dead(host, int(match["pid"])):
        return True
    try:
        return file_system_time(layout) - (layout.root / relative).stat().st_mtime > IN_FLIGHT_S
    except FileNotFoundError:
        return False
