"""Traces in Zarr: one array a quantity, chunks of runs of one block and a range of steps, one writer a chunk.

The group of a program is made once, whole, by rename; its bytes follow from the plan alone, so whichever worker comes
first may make it. A chunk is the unit of writing: encoded with the codecs that the array's metadata declares
(`trace_codec`) and published like every other file. Nothing ever writes part of
a chunk. Arrays that were made before there were checksums go on without.
How many runs and steps a chunk has follows from bytes (`trace_chunks`); the array's metadata says it, and whoever
reads or goes on writing takes it from there. Arrays have plain chunks, no shards: small ones hold a block of runs.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from campaign.store.atomic import publish_bytes, publish_many, storage_error, sync_folder, temporary_name
from campaign.store.layout import Layout
from campaign.store.records import dumps_pretty
from campaign.store.trace_chunks import cut
from campaign.store.trace_codec import encode_chunk
from campaign.store.trace_metadata import METADATA, group_files, group_metadata
from campaign.store.trace_spec import Field, TraceSpec

_AT_ONCE_BYTES = 64 * 2**20  # of encoded chunks that wait to be published together


def ensure_group(layout: Layout, stage: str, program: str, spec: TraceSpec) -> Path:
    """The trace group of a program, made if it is not there. Safe to call from any number of workers at once.

    A group that has lost its own metadata and not its chunks gets back the files that it lacks.
    """
    group = layout.trace_group(stage, program)
    if (group / METADATA).exists():
        return group
    ensure_parents(layout, stage)
    temporary = temporary_name(group)
    files = group_files(spec)
    try:
        for name, data in files.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        for folder, _, names in os.walk(temporary):
            for name in names:
                descriptor = os.open(os.path.join(folder, name), os.O_RDONLY)
                os.fsync(descriptor)
                os.close(descriptor)
        with contextlib.suppress(OSError):  # somebody else was first, or its chunks are there already
            os.rename(temporary, group)
        for name, data in files.items():
            if not (group / name).exists():
                publish_bytes(group / name, data)
        sync_folder(group.parent)
    except OSError as error:
        raise storage_error(error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return group


def ensure_parents(layout: Layout, stage: str) -> None:
    """The groups above those of the programs of a stage."""
    for parent in (layout.traces, layout.traces / stage):
        if not (parent / METADATA).exists():
            publish_bytes(parent / METADATA, dumps_pretty(group_metadata({})), durable=False)


def chunk_path(group: Path, field: Field, row_chunk: int, step_chunk: int) -> Path:
    """File of the chunk at (row_chunk, step_chunk, 0, …)."""
    index = [str(row_chunk)] + ([str(step_chunk)] + ["0"] * (len(field.shape) - 1) if field.shape else [])
    return group.joinpath(field.name, "c", *index)


def write_chunks(group: Path, spec: TraceSpec, items: Iterable[tuple[str, int, int, np.ndarray]]) -> int:
    """Publish chunks of (field name, first row, first step, values). Returns the bytes written.

    Rows and steps begin with a chunk and end with one, or with the block and the array. Of what is handed over together
    a chunk is left out where none of the arrays holds more than the fill value in its runs and steps: that is how Zarr
    says "nothing here". Where one does, all are written, and what is written once always is, so that a chunk that is
    missing can be told from one that never was.
    """
    own = [(spec.field(name), row, step, values) for name, row, step, values in items if values.size]
    held: dict[tuple[int, int, tuple[int, ...]], np.ndarray] = {}
    for field, row, step, values in own:
        if not field.once:
            place = (row, step, values.shape[:2])
            held[place] = held.get(place, False) | _is_held(field, values)
    written, size, files = 0, 0, []
    for field, row, step, values in own:
        mask = np.True_ if field.once else held[row, step, values.shape[:2]]
        masks = cut(np.broadcast_to(mask, values.shape[:2]), row, step, field.run_chunk, field.chunk[:1])
        for (row_chunk, step_chunk, chunk), (_, _, is_held) in zip(
            cut(values, row, step, field.run_chunk, field.chunk), masks, strict=True
        ):
            if is_held.any():
                files.append((chunk_path(group, field, row_chunk, step_chunk), encode_chunk(field, chunk)))
                size += len(files[-1][1])
            if size >= _AT_ONCE_BYTES:
                publish_many(files)
                written, size, files = written + size, 0, []
    publish_many(files)
    return written + size


def _is_held(field: Field, values: np.ndarray) -> np.ndarray:
    """At which runs and steps values are more than the fill value: (runs, steps)."""
    nothing = np.isnan(values) if field.dtype.startswith("float") else values == field.fill
    return np.logical_not(np.all(nothing, axis=tuple(range(2, values.ndim))))
