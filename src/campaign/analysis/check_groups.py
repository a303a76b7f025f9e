"""Trace groups against what their programs declare: metadata and coordinates, without which chunks are numbers only."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from campaign.analysis.check_programs import Declared
from campaign.analysis.finding import REBUILD, Finding
from campaign.errors import Damage
from campaign.store import plan
from campaign.store.layout import Layout
from campaign.store.records import dumps_pretty, loads
from campaign.store.summaries import published
from campaign.store.trace_groups import declared_spec, is_whole
from campaign.store.trace_metadata import METADATA, group_files, group_metadata
from campaign.store.trace_policy import trace_policy


def check_groups(layout: Layout, stage: str, declared: Declared) -> Iterator[Finding]:
    """Files of the trace groups of a stage that are missing, or not what they were made as."""
    for path, _, message in faults(layout, stage, declared):
        place = path.relative_to(layout.root).as_posix()
        yield Finding(kind="trace group", place=place, message=message, repair=REBUILD)


def faults(layout: Layout, stage: str, declared: Declared) -> Iterator[tuple[Path, bytes, str]]:
    """(file, what it should hold, what is wrong) of every damaged file of the groups of a stage."""
    if (layout.traces / stage).is_dir():
        for parent in (layout.traces, layout.traces / stage):
            expected = dumps_pretty(group_metadata({}))
            message = _fault(parent / METADATA, expected, is_exact=True)
            if message is not None:
                yield parent / METADATA, expected, message
    done = published(layout, stage)
    for part in plan.parts(layout, stage):
        try:
            header = plan.read_header(layout, stage, part)
        except Damage:
            continue  # told by `check_plan`
        if trace_policy(header.get("trace", True)).is_nothing:
            continue
        for program, entry in header["programs"].items():
            known = declared.get(program)
            group = layout.trace_group(stage, program)
            blocks = range(entry["first_block"], entry["first_block"] + entry["n_blocks"])
            is_begun = group.is_dir() or any((part, block) in done for block in blocks)
            if known is None or not known.get("trace") or not is_begun:
                continue
            try:
                ids = plan.program_run_ids(layout, stage, part, program)
            except Damage:
                continue
            yield from _of_group(group, known, group_files(declared_spec(known, entry, stage, program, ids)))


def _of_group(
    group: Path, declared: Mapping[str, Any], expected: Mapping[str, bytes]
) -> Iterator[tuple[Path, bytes, str]]:
    """Metadata are compared as JSON, coordinates by their values: other versions of codecs give other bytes."""
    is_exact = is_whole(declared)
    for name, data in expected.items():
        if not is_exact and not name.startswith(tuple(f"{array}/" for array in declared["trace"])):
            data = _as_found(group / name, _with_others(group, data) if name == METADATA else data)
        path = group / name
        fault = _fault(path, data, is_exact=is_exact) if path.name == METADATA else _coordinate_fault(path, data)
        if fault is not None:
            yield path, data, fault


def _with_others(group: Path, data: bytes) -> bytes:
    """The metadata of a group with those of the arrays that lie in it and that its declaration does not name."""
    metadata = loads(data)
    arrays = metadata["consolidated_metadata"]["metadata"]
    for path in sorted(group.glob(f"*/{METADATA}")):
        with contextlib.suppress(OSError, ValueError):
            arrays.setdefault(path.parent.name, loads(path.read_bytes()))
    return dumps_pretty(metadata)


def _as_found(path: Path, data: bytes) -> bytes:
    """A file that can be read is right where nothing says more: earlier declarations know no coordinates."""
    try:
        found = path.read_bytes()
        return found if path.name != METADATA or isinstance(loads(found), dict) else data
    except (OSError, ValueError):
        return data


def _fault(path: Path, expected: bytes, *, is_exact: bool) -> str | None:
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        return "missing; its chunks are not affected"
    if found == expected:
        return None
    try:
        seen, wanted = loads(found), loads(expected)
    except ValueError as error:
        return f"not JSON ({error}); its chunks are not affected"
    if not is_exact and isinstance(seen, dict):
        seen, wanted = seen | {"attributes": None}, wanted | {"attributes": None}
    return None if seen == wanted else "not what its program declares; its chunks are not affected"


def _coordinate_fault(path: Path, expected: bytes) -> str | None:
    try:
        if path.read_bytes() == expected:
            return None
    except FileNotFoundError:
        return "missing"
    import zarr

    try:
        array: Any = zarr.open_array(store=path.parents[1 if path.parent.name == "c" else 0], mode="r")
        found = np.asarray(array[...])
    except Exception as error:  # codecs raise whatever they like
        return f"cannot be decoded: {type(error).__name__}: {error}"
    return None if _decoded(path, expected, found) else "not the values that its program declares"


def _decoded(path: Path, expected: bytes, found: np.ndarray) -> bool:
    """Whether the bytes that should be there hold the values that are there."""
    from numcodecs import blosc, vlen, zstd

    if found.dtype.kind in "UOT":
        return vlen.VLenUTF8().decode(zstd.decompress(expected)).tolist() == found.tolist()
    return np.frombuffer(blosc.decompress(expected), found.dtype).tobytes() == found.tobytes()
