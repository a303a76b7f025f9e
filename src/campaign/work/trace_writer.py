"""Where a block's arrays go: whole chunks of the program's Zarr arrays, one writer a chunk."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path

import numpy as np

from campaign.errors import Damage
from campaign.store.layout import Layout
from campaign.store.trace_codec import decode_chunk
from campaign.store.trace_metadata import stored_field
from campaign.store.trace_spec import Field, TraceSpec
from campaign.store.traces import chunk_path, ensure_group, write_chunks


@dataclass(slots=True)
class TraceWriter:
    """The chunks of one block.

    While a block is one group of runs its chunks are published as they come, in a thread: the device goes on while they
    are encoded and synced. `settle` waits until they are on disk. When it is several (structures differ, or memory was
    short) the pieces are put together first and published by `flush`.

    Attributes:
        folder: trace group of the program.
        spec: its arrays, in chunks as they are on disk.
        row: first row of the block in them.
        n_runs: runs of the block.
        is_whole: the block is one group.
    """

    folder: Path
    spec: TraceSpec
    row: int
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
            Damage: the group on disk has other arrays: an option that changes shapes is not marked structural; or its
                chunks hold runs of several blocks.
        """
        folder = ensure_group(layout, stage, program, spec)
        fields = []
        for array, found in zip(spec.fields, _fields_on_disk(folder, tuple(f.name for f in spec.fields)), strict=True):
            n_rows, stored = found or (0, None)
            if stored is None or (n_rows, *stored.shape) != (spec.n_rows, *array.shape):
                shape = stored and (n_rows, *stored.shape)
                raise Damage(
                    f"array `{array.name}` of program {program} has shape {shape} on disk and "
                    f"{(spec.n_rows, *array.shape)} here",
                    hint="a varying option changes shapes: mark it `Annotated[…, Structural()]` in the plug-in",
                )
            if spec.block_size % stored.run_chunk:
                raise Damage(
                    f"array `{array.name}` of program {program} has chunks of {stored.run_chunk} runs, and its blocks "
                    f"have {spec.block_size}",
                    hint="run `campaign verify`",
                )
            is_checked = stored.has_checksum
            fields.append(replace(array, run_chunk=stored.run_chunk, chunk=stored.chunk, has_checksum=is_checked))
        return cls(folder, replace(spec, fields=tuple(fields)), row_chunk * spec.block_size, n_runs, is_whole)

    def put(self, chunk: int, rows: np.ndarray, fields: Mapping[str, np.ndarray]) -> None:
        """Take one step chunk of some runs: arrays (len(rows) or more, …), lanes beyond the rows left out.

        Raises:
            Unavailable: the chunk before could not be written.
            Damage: the steps do not fill whole chunks of the array on disk.
        """
        items = []
        for name, values in fields.items():
            own = values[: len(rows)]
            _require_whole_chunks(self.spec.field(name), own, self.folder)
            if self.is_whole and len(rows) == self.n_runs:
                items.append(self._item(name, chunk, own))
                continue
            block = self.pieces.get((name, chunk))
            if block is None:
                block = np.full((self.n_runs, *own.shape[1:]), self.spec.field(name).fill, own.dtype)
            block[rows] = own
            if self.is_whole:
                items.append(self._item(name, chunk, block))
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

    def forget(self, rows: np.ndarray) -> None:
        """Take the steps of some runs of the block back: chunks are published again without them.

        Raises:
            Unavailable: a chunk could not be written.
        """
        self.settle()
        for array in self.spec.fields:
            for (name, _), block in self.pieces.items():
                if name == array.name and not array.once:
                    block[rows] = array.fill
            for item in self._without(array, rows) if not array.once and len(rows) else ():
                write_chunks(self.folder, self.spec, [item])

    def _without(self, array: Field, rows: np.ndarray) -> Iterator[tuple[str, int, int, np.ndarray]]:
        """The chunks on disk that hold steps of some runs of the block, taken away, without these."""
        length = array.chunk[0]
        for first in (np.unique(rows // array.run_chunk) * array.run_chunk).tolist():
            own = rows[(rows >= first) & (rows < first + array.run_chunk)] - first
            for chunk in range(-(-array.shape[0] // length)):
                path = chunk_path(self.folder, array, (self.row + first) // array.run_chunk, chunk)
                if path.exists():
                    values = decode_chunk(array, path.read_bytes()).copy()
                    values[own] = array.fill
                    path.unlink()
                    yield array.name, self.row + first, chunk * length, values

    def _item(self, name: str, chunk: int, values: np.ndarray) -> tuple[str, int, int, np.ndarray]:
        """What `write_chunks` takes. All that is handed over of an array has one length; the last may go beyond it."""
        if values.ndim == 1:
            return name, self.row, 0, values
        step = chunk * values.shape[1]
        return name, self.row, step, values[:, : self.spec.field(name).shape[0] - step]

    def flush(self) -> None:
        """Publish what was put together, and wait for what was put before."""
        self.settle()
        items = [self._item(name, chunk, values) for (name, chunk), values in self.pieces.items()]
        write_chunks(self.folder, self.spec, items)
        self.pieces.clear()


@cache
def _writer(process: int) -> ThreadPoolExecutor:
    """The threads of a process that write chunks; a forked child has none of its parent's."""
    return ThreadPoolExecutor(2, thread_name_prefix="campaign-traces")


def _require_whole_chunks(array: Field, values: np.ndarray, folder: Path) -> None:
    if array.chunk and values.shape[1] % array.chunk[0] and values.shape[1] < array.shape[0]:
        raise Damage(
            f"array `{array.name}` in {folder} has chunks of {array.chunk[0]} steps, which do not divide the "
            f"{values.shape[1]} that are written at once",
            hint="another version of campaign started this directory: continue with that one, or submit to a new "
            "directory",
        )


def _fields_on_disk(folder: Path, names: tuple[str, ...]) -> list[tuple[int, Field] | None]:
    """The arrays of a group with their rows, None where there is none; read once for each group that is made."""
    made = (folder / "zarr.json").stat()
    return _fields(folder, names, made.st_ino, made.st_mtime_ns)


@lru_cache(maxsize=256)
def _fields(folder: Path, names: tuple[str, ...], inode: int, made_ns: int) -> list[tuple[int, Field] | None]:
    return [stored_field(folder / name) for name in names]
