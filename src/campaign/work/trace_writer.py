"""Where a block's arrays go: whole chunks of the program's Zarr arrays, one writer a chunk."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path

import numpy as np

from campaign.errors import Damage
from campaign.store.layout import Layout
from campaign.store.records import read_json
from campaign.store.traces import TraceSpec, chunk_path, decode_chunk, ensure_group, has_checksums, write_chunks


@dataclass(slots=True)
class TraceWriter:
    """The chunks of one block.

    While a block is one group of runs its chunks are published as they come, in a thread: the device goes on while they
    are encoded and synced. `settle` waits until they are on disk. When it is several (structures differ, or memory was
    short) the pieces are put together first and published by `flush`.

    Attributes:
        folder: trace group of the program.
        spec: its arrays.
        row_chunk: index of the block among the program's blocks.
        n_runs: runs of the block.
        is_whole: the block is one group.
    """

    folder: Path
    spec: TraceSpec
    row_chunk: int
    n_runs: int
    is_whole: bool
    pieces: dict[tuple[str, int], np.ndarray] = field(default_factory=dict)
    writing: Future[int] | None = None

    @classmethod
    def open(
        cls, layout: Layout, stage: str, program: str, spec: TraceSpec, *, row_chunk: int, n_runs: int, is_whole: bool
    ) -> TraceWriter:
        """Make or find the program's trace group.

        Raises:
            Damage: the group on disk has other arrays: an option that changes shapes is not marked structural.
        """
        folder = ensure_group(layout, stage, program, spec)
        shapes, are_checked = _found_on_disk(folder, tuple(f.name for f in spec.fields))
        spec = replace(spec, has_checksums=are_checked)
        for array, shape in zip(spec.fields, shapes, strict=True):
            if shape != (spec.n_rows, *array.shape):
                raise Damage(
                    f"array `{array.name}` of program {program} has shape {shape} on disk and "
                    f"{(spec.n_rows, *array.shape)} here",
                    hint="a varying option changes shapes: mark it `Annotated[…, Structural()]` in the plug-in",
                )
        return cls(folder, spec, row_chunk, n_runs, is_whole)

    def put(self, chunk: int, rows: np.ndarray, fields: Mapping[str, np.ndarray]) -> None:
        """Take one step chunk of some runs: arrays (len(rows) or more, …), lanes beyond the rows left out.

        Raises:
            Unavailable: the chunk before could not be written.
        """
        items = []
        for name, values in fields.items():
            own = values[: len(rows)]
            if self.is_whole and len(rows) == self.n_runs:
                items.append((name, self.row_chunk, chunk, own))
                continue
            block = self.pieces.get((name, chunk))
            if block is None:
                block = np.full((self.n_runs, *own.shape[1:]), self.spec.field(name).fill, own.dtype)
            block[rows] = own
            if self.is_whole:
                items.append((name, self.row_chunk, chunk, block))
            else:
                self.pieces[name, chunk] = block
        self.settle()
        if items:
            self.writing = _writer(os.getpid()).submit(write_chunks, self.folder, self.spec, items)

    def settle(self) -> None:
        """Wait until what was put is on disk.

        Raises:
            Unavailable: it could not be written.
        """
        writing, self.writing = self.writing, None
        if writing is not None:
            writing.result()

    def retain(self, rows: np.ndarray) -> None:
        """Forget the steps of all runs of the block but these: chunks are published again without the others.

        Raises:
            Unavailable: a chunk could not be written.
        """
        self.settle()
        items = []
        for spec in self.spec.fields:
            for chunk in () if spec.once else range(-(-spec.shape[0] // spec.chunk[0])):
                whole = self.pieces.pop((spec.name, chunk), None)
                path = chunk_path(self.folder, spec, self.row_chunk, chunk)
                if whole is None and path.exists():
                    whole = decode_chunk(self.spec, spec, path.read_bytes())[: self.n_runs]
                if whole is None:
                    continue
                kept = np.full_like(whole, spec.fill)
                kept[rows] = whole[rows]
                path.unlink(missing_ok=True)
                items.append((spec.name, self.row_chunk, chunk, kept))
        write_chunks(self.folder, self.spec, items)

    def flush(self) -> None:
        """Publish what was put together, and wait for what was put before."""
        self.settle()
        items = [(name, self.row_chunk, chunk, values) for (name, chunk), values in self.pieces.items()]
        write_chunks(self.folder, self.spec, items)
        self.pieces.clear()


@cache
def _writer(process: int) -> ThreadPoolExecutor:
    """The threads of a process that write chunks; a forked child has none of its parent's."""
    return ThreadPoolExecutor(2, thread_name_prefix="campaign-traces")


_Found = tuple[list[tuple[int, ...] | None], bool]


def _found_on_disk(folder: Path, names: tuple[str, ...]) -> _Found:
    """Shapes of the arrays of a group, None where there is none, and whether chunks have checksums; read once for each
    group that is made."""
    made = (folder / "zarr.json").stat()
    return _found(folder, names, made.st_ino, made.st_mtime_ns)


@lru_cache(maxsize=256)
def _found(folder: Path, names: tuple[str, ...], inode: int, made_ns: int) -> _Found:
    paths = [folder / name / "zarr.json" for name in names]
    found = [read_json(path) if path.exists() else None for path in paths]
    shapes = [None if metadata is None else tuple(metadata["shape"]) for metadata in found]
    return shapes, all(has_checksums(metadata) for metadata in found if metadata is not None)
